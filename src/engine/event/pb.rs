//! The protobuf messages of `proto/accountpulse/v1/event.proto`, as prost-build writes them.
//!
//! The generated file is committed, so building needs neither protoc nor a build script;
//! `tests/proto_fresh.rs` regenerates it and compares. Nothing is edited by hand here and no
//! logic lives here. These messages hold raw person ids: only `proto.rs` reads them, at once.
//! To add a field: change the schema, then `ACCOUNTPULSE_BLESS=1 cargo test --test proto_fresh`.

include!("pb/accountpulse.v1.rs");
