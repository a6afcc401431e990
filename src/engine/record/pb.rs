//! The protobuf messages of `proto/accountpulse/v1/score.proto` and `risk.proto`, as prost-build
//! writes them; only `decode.rs` makes them, `encode.rs` takes the enum numbers.
//!
//! The generated file is committed, so building needs neither protoc nor a build script;
//! `tests/proto_fresh.rs` regenerates it and compares. Nothing is edited by hand here.
//! To add a field: change the schema, then `ACCOUNTPULSE_BLESS=1 cargo test --test proto_fresh`.

include!("pb/accountpulse.v1.rs");
