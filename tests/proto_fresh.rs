//! Holds the committed protobuf code to `proto/`: users need neither protoc nor a build script,
//! so the generated files are in the repository and this test proves they are not stale.
//!
//! After changing a schema: `ACCOUNTPULSE_BLESS=1 cargo test --test proto_fresh`. To add a schema:
//! its name in a row of [`GENERATED`].

use std::{fs, path::Path};

/// Schemas, and the file that is generated from them.
const GENERATED: [(&[&str], &str); 2] = [
    (&["accountpulse/v1/event.proto"], "src/engine/event/pb/accountpulse.v1.rs"),
    (
        &["accountpulse/v1/score.proto", "accountpulse/v1/risk.proto"],
        "src/engine/record/pb/accountpulse.v1.rs",
    ),
];

#[test]
fn generated_code_is_what_the_schema_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stale = Vec::new();
    for (schemas, committed) in GENERATED {
        let compiled = protox::compile(schemas, [root.join("proto")]).expect("the schema compiles");
        let out = tempfile::tempdir().expect("a temporary directory");
        prost_build::Config::new().out_dir(out.path()).compile_fds(compiled).expect("code is generated");
        let fresh = fs::read_to_string(out.path().join("accountpulse.v1.rs")).expect("generated file");
        let path = root.join(committed);
        if std::env::var_os("ACCOUNTPULSE_BLESS").is_some() {
            fs::create_dir_all(path.parent().expect("a file has a parent")).expect("directory");
            fs::write(&path, &fresh).expect("generated file is written");
        }
        if fs::read_to_string(&path).unwrap_or_default() != fresh {
            stale.push(committed);
        }
    }
    assert!(
        stale.is_empty(),
        "{stale:?} differ from proto/; run: ACCOUNTPULSE_BLESS=1 cargo test --test proto_fresh"
    );
}

/// A reader compiles all of them into one program, where names of one package must not clash.
#[test]
fn all_schemas_compile_together() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let all: Vec<&str> = GENERATED.iter().flat_map(|(schemas, _)| *schemas).copied().collect();
    let listed = fs::read_dir(root.join("proto/accountpulse/v1")).expect("the schemas").count();
    assert_eq!(all.len(), listed, "every file of proto/ is in GENERATED");
    protox::compile(all, [root.join("proto")]).expect("no name stands twice");
}
