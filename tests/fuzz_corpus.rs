//! The bodies of the fuzz targets (`fuzz/bodies/`), run over every file of their corpora and over
//! seeded changes of them: no panic, the laws hold, and memory is bounded by the size of the input.
//!
//! ```text
//! cargo test --test fuzz_corpus                                    as with all tests
//! ACCOUNTPULSE_FUZZ_ROUNDS=10000 cargo test --test fuzz_corpus     more changes of each file
//! ACCOUNTPULSE_BLESS=1 cargo test --test fuzz_corpus examples      writes missing examples
//! ```
//!
//! What a fuzzer found goes into `fuzz/corpus/<target>/` under a name that says what it is. libFuzzer
//! itself, which is far better at finding: CONTRIBUTING.md.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

#[path = "../fuzz/bodies/mod.rs"]
mod bodies;
#[path = "support/examples.rs"]
mod examples;
#[path = "support/memory.rs"]
mod memory;
#[path = "fuzz_corpus/seeds.rs"]
mod seeds;

use std::fs;
use std::path::{Path, PathBuf};

use bodies::{Body, TARGETS};
use memory::taken;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// Changes of each file in the ordinary run, unless [`ROUNDS_VARIABLE`] gives another number.
const ROUNDS: u64 = 150;
const ROUNDS_VARIABLE: &str = "ACCOUNTPULSE_FUZZ_ROUNDS";
/// Longest input made by changes.
const MAX_BYTES: usize = 64 * 1024;
/// What a body may take in memory for each byte of its input, and beside that: a configuration of one
/// word becomes all its defaults and several pictures of what is wrong.
const BYTES_PER_BYTE: isize = 400;
const ROOM_BYTES: isize = 4 << 20;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a target's corpus, by name.
fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let mut folders = vec![root().join("fuzz/corpus").join(target)];
    if target == "config" {
        folders.push(root().join("tests/config/bad"));
    }
    let list =
        |folder: &PathBuf| fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut paths: Vec<PathBuf> = folders.iter().flat_map(list).map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
}

/// Prints the input of a body that panics.
struct Witness<'i>(&'i str, &'i [u8]);

impl Drop for Witness<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let hex: String = self.1.iter().map(|byte| format!("{byte:02x}")).collect();
            eprintln!("target {}, {} bytes: {hex}", self.0, self.1.len());
        }
    }
}

/// Runs a body: whether it accepted the bytes. It may take memory by the size of its input only.
fn run(target: &str, body: Body, bytes: &[u8]) -> bool {
    let _witness = Witness(target, bytes);
    let (accepted, taken) = taken(|| body(bytes));
    let most = BYTES_PER_BYTE * bytes.len() as isize + ROOM_BYTES;
    assert!(taken.most <= most, "{taken:?} for {} bytes", bytes.len());
    accepted
}

#[test]
fn every_file_of_the_corpora_keeps_the_laws() {
    for (target, body) in TARGETS {
        let files = corpus(target);
        let accepted = files.iter().filter(|(_, bytes)| run(target, body, bytes)).count();
        println!("{target}: {} files, {accepted} accepted", files.len());
        assert!(accepted >= 2 && accepted < files.len(), "{target}: a corpus holds good files and bad ones");
    }
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound.max(1) as u64) as usize
    }
}

/// Bytes that mean something to some parser.
const PARTS: [&[u8]; 22] = [
    b"null",
    b"{}",
    b"[",
    b"\"",
    b"\\ud800",
    b"-",
    b"1e999",
    b"18446744073709551616",
    b"\n",
    b": ",
    b"${",
    b"&a",
    b"*a",
    b"\xff",
    b"\xc3\xa9",
    b"\0",
    b"\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x03",
    b"\x04",
    b"9999-12-31T23:59:59Z",
    b"\xef\xbb\xbf",
];

/// One to four changes: flip, set, drop, repeat, insert, cut, or take the end of another file.
fn change(bytes: &[u8], other: &[u8], random: &mut Random) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(changed.len() + 1);
        let to = (at + 1 + random.below(16)).min(changed.len());
        match random.below(8) {
            0 if at < changed.len() => changed[at] ^= 1 << random.below(8),
            1 if at < changed.len() => changed[at] = random.below(256) as u8,
            2 => drop(changed.drain(at.min(to)..to)),
            3 => {
                let part = changed[at.min(to)..to].repeat(1 + random.below(8));
                changed.splice(at..at, part);
            }
            4 | 5 => drop(changed.splice(at..at, PARTS[random.below(PARTS.len())].iter().copied())),
            6 => changed.truncate(at),
            _ => {
                changed.truncate(at);
                changed.extend_from_slice(&other[random.below(other.len() + 1)..]);
            }
        }
    }
    changed.truncate(MAX_BYTES);
    changed
}

#[test]
fn changed_files_keep_the_laws() {
    let rounds = std::env::var(ROUNDS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(ROUNDS);
    for (target, body) in TARGETS {
        let files = corpus(target);
        let (mut runs, mut accepted) = (0_u64, 0_u64);
        for (number, (_, bytes)) in files.iter().enumerate() {
            let mut random = Random(number as u64);
            for _ in 0..rounds {
                let other = &files[random.below(files.len())].1;
                accepted += u64::from(run(target, body, &change(bytes, other, &mut random)));
                runs += 1;
            }
        }
        println!("{target}: {runs} changed files, {accepted} accepted");
        assert!(accepted > runs / 200, "{target}: nearly nothing is accepted, so the laws say nothing");
    }
}

#[test]
fn the_examples_are_in_the_corpora() {
    for (target, name, bytes) in seeds::all() {
        let path = root().join("fuzz/corpus").join(target).join(&name);
        if std::env::var_os("ACCOUNTPULSE_BLESS").is_some() && !path.exists() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &bytes).unwrap();
        }
        // Not compared: what an older version wrote stays, and must stay readable.
        let found = fs::read(&path).unwrap_or_else(|_| {
            panic!("{} is missing: ACCOUNTPULSE_BLESS=1 cargo test --test fuzz_corpus", path.display())
        });
        let body = TARGETS.iter().find(|(known, _)| *known == target).unwrap().1;
        assert!(run(target, body, &found), "{}: the example is refused", path.display());
    }
}
