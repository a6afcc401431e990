//! Holds the committed protobuf code to `proto/`: users need neither protoc nor a build script,
//! so the generated file is in the repository and this test proves it is not stale.
//!
//! After changing the schema: `ACCOUNTPULSE_BLESS=1 cargo test --test proto_fresh`.

use std::{fs, path::Path};

const SCHEMA: &str = "accountpulse/v1/event.proto";
const COMMITTED: &str = "src/engine/event/pb/accountpulse.v1.rs";

#[test]
fn generated_code_is_what_the_schema_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = protox::compile([SCHEMA], [root.join("proto")]).expect("the schema compiles");
    let out = tempfile::tempdir().expect("a temporary directory");
    prost_build::Config::new().out_dir(out.path()).compile_fds(schema).expect("code is generated");
    let fresh = fs::read_to_string(out.path().join("accountpulse.v1.rs")).expect("generated file");
    let committed = root.join(COMMITTED);
    if std::env::var_os("ACCOUNTPULSE_BLESS").is_some() {
        fs::create_dir_all(committed.parent().expect("a file has a parent")).expect("directory");
        fs::write(&committed, &fresh).expect("generated file is written");
    }
    let present = fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        present == fresh,
        "{COMMITTED} differs from proto/{SCHEMA}; run: ACCOUNTPULSE_BLESS=1 cargo test --test proto_fresh"
    );
}
