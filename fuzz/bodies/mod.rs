//! What must hold for any bytes from outside, one function per fuzz target. libFuzzer calls them
//! (`targets/`), and so do the normal tests with every file of `corpus/` (`tests/fuzz_corpus.rs`).
//! A body fails by panicking: the decoders may not, so whatever panics is a finding.
//!
//! To add a target: a function here, its row in [`TARGETS`], a file in `targets/` with its
//! `[[bin]]` in `Cargo.toml`, and a folder with a few small files in `corpus/`.

#![allow(dead_code, reason = "a fuzz target uses one of them, the test all")]

pub mod config;
pub mod event;
pub mod json;
pub mod page;

/// What must hold for any bytes. It says whether they were accepted.
pub type Body = fn(&[u8]) -> bool;

/// Every target by its name.
pub const TARGETS: [(&str, Body); 5] = [
    ("json", event::json),
    ("protobuf", event::protobuf),
    ("record", event::record),
    ("config", config::file),
    ("page", page::stored),
];
