//! House rules that no lint knows, held as a test. Each finding says what to do instead.
//!
//! To add a rule: a function `fn rule(file: &Source, found: &mut Vec<String>)`, a line in
//! [`RULES`], and a case in `every_rule_can_fail`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

/// Longest file, in lines.
const MAX_FILE_LINES: usize = 500;
/// Longest function, in lines from its `fn` to its closing brace.
const MAX_FUNCTION_LINES: usize = 70;

/// The rooms, from the top to the bottom; a room may name only rooms below it. With each, the
/// rooms it must not name although they stand below.
const ROOMS: [(&str, &[&str]); 10] = [
    ("cli", &[]),
    ("app", &[]),
    ("ingest", &[]),
    ("simulate", &["worker", "config", "telemetry", "log", "clock"]),
    ("worker", &["config", "telemetry"]),
    ("config", &["telemetry", "clock"]),
    ("telemetry", &["log"]),
    ("log", &["engine"]),
    ("clock", &["engine"]),
    ("engine", &[]),
];

type Rule = fn(&Source, &mut Vec<String>);
const RULES: [Rule; 6] = [direction, clock_reads, file_length, function_length, bans, outside_paths];

/// A text file of the repository.
struct Source {
    /// Path from the root of the repository, with `/`.
    path: String,
    /// As it stands.
    text: String,
    /// Rust only: the same lines with comments and the insides of literals blanked.
    code: String,
    /// Rust only: `code` with the bodies of `#[cfg(test)]` items blanked too.
    shipped: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Source {
        let code = if path.ends_with(".rs") { blank_literals(text) } else { String::new() };
        // `src/**/tests.rs` and `src/**/tests/` are modules under `#[cfg(test)]`.
        let test_module = path.ends_with("/tests.rs") || path.contains("/tests/");
        let ships = path.starts_with("src/") && !test_module;
        let shipped = if ships { blank_tests(&code) } else { String::new() };
        Source { path: path.to_owned(), text: text.to_owned(), code, shipped }
    }

    /// The room a source file belongs to.
    fn room(&self) -> Option<&str> {
        let first = self.path.strip_prefix("src/")?.split('/').next()?;
        let name = first.strip_suffix(".rs").unwrap_or(first);
        ROOMS.iter().map(|(room, _)| *room).find(|room| *room == name)
    }
}

/// Imports point downwards only.
fn direction(file: &Source, found: &mut Vec<String>) {
    let Some(room) = file.room() else { return };
    let own = ROOMS.iter().position(|(name, _)| *name == room).unwrap();
    for (number, line) in numbered(&file.shipped) {
        for (at, _) in line.match_indices("crate::") {
            let rest = &line[at + "crate::".len()..];
            let group = rest.strip_prefix('{').map(|group| group.split('}').next().unwrap());
            let named: Vec<&str> = match group {
                Some(group) => group.split(',').map(str::trim).collect(),
                None => vec![rest],
            };
            for name in named.into_iter().map(first_word) {
                let Some(other) = ROOMS.iter().position(|(room, _)| *room == name) else { continue };
                if other < own || ROOMS[own].1.contains(&name) {
                    found.push(format!(
                        "{}:{number}: `{room}` must not name `{name}`: rooms depend downwards only \
                         (see the layout in src/lib.rs). Hand in what is needed as an argument, or \
                         move the code to the room that may know both (usually `app`).",
                        file.path
                    ));
                }
            }
        }
    }
}

/// Time is read in one place.
fn clock_reads(file: &Source, found: &mut Vec<String>) {
    const READS: [&str; 6] = [
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "Zoned::now",
        "UNIX_EPOCH.elapsed",
        "thread::sleep",
    ];
    if file.path == "src/clock.rs" || file.path == "tests/tidy.rs" {
        return;
    }
    for (number, line) in numbered(&file.code) {
        for read in READS.iter().filter(|read| line.contains(**read)) {
            found.push(format!(
                "{}:{number}: `{read}`: only src/clock.rs reads time, and nothing sleeps. Take the \
                 time as an argument; wait for a happening (channel, condition, process output).",
                file.path
            ));
        }
    }
}

/// Generated files say so in their first line and are nobody's to read.
fn is_generated(file: &Source) -> bool {
    file.text.lines().next().is_some_and(|line| line.contains("@generated"))
}

/// Files fit in one sitting.
fn file_length(file: &Source, found: &mut Vec<String>) {
    let lines = file.text.lines().count();
    let generated = is_generated(file);
    if file.path.ends_with(".rs") && lines > MAX_FILE_LINES && !generated {
        found.push(format!(
            "{}: {lines} lines (at most {MAX_FILE_LINES}): split it along what a reader looks for; \
             a folder with a short mod.rs works well.",
            file.path
        ));
    }
}

/// Functions fit on a screen.
fn function_length(file: &Source, found: &mut Vec<String>) {
    if is_generated(file) {
        return;
    }
    for (name, first, lines) in functions(&file.code) {
        if lines > MAX_FUNCTION_LINES {
            found.push(format!(
                "{}:{first}: fn {name} has {lines} lines (at most {MAX_FUNCTION_LINES}): give its \
                 steps names and call them.",
                file.path
            ));
        }
    }
}

/// Calls that have no place in shipped code.
fn bans(file: &Source, found: &mut Vec<String>) {
    const BANS: [(&str, &str); 5] = [
        (".unwrap(", "return a typed error, or state the invariant with `expect(\"why\")`"),
        ("todo!", "finish it, or leave it out and say so in the docs"),
        ("unimplemented!", "finish it, or leave it out and say so in the docs"),
        ("dbg!", "log through tracing, or remove it"),
        ("panic!(", "return a typed error; a broken invariant is an `assert!` with its sentence"),
    ];
    for (number, line) in numbered(&file.shipped) {
        for (ban, instead) in BANS.iter().filter(|(ban, _)| line.contains(ban)) {
            found.push(format!("{}:{number}: `{ban}` outside tests: {instead}.", file.path));
        }
    }
}

/// Nothing refers to a place outside the repository.
fn outside_paths(file: &Source, found: &mut Vec<String>) {
    // Written in pieces, so that this file passes its own rule.
    let outside = [concat!("/wo", "rk/"), concat!("../sh", "ared"), concat!("/ro", "ot/")];
    for (number, line) in numbered(&file.text) {
        for place in outside.iter().filter(|place| line.contains(**place)) {
            found.push(format!(
                "{}:{number}: `{place}` lies outside the repository, where nobody else can follow: \
                 bring what matters into docs/ and point there.",
                file.path
            ));
        }
    }
}

fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line))
}

fn first_word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    &text[..end]
}

/// Blanks comments and the insides of string and character literals; keeps every line break.
fn blank_literals(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        } else {
            let blank = |c: &char| if *c == '\n' { '\n' } else { ' ' };
            out.extend(chars[at..end].iter().map(blank));
            at = end;
        }
    }
    out
}

/// Where the comment or literal that begins at `at` ends; `at` itself when none begins there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let until = |from: usize, stop: &str| {
        let stop: Vec<char> = stop.chars().collect();
        let found = (from..chars.len()).find(|i| chars[*i..].starts_with(&stop));
        found.map_or(chars.len(), |i| i + stop.len())
    };
    let word_before = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], chars.get(at + 1)) {
        ('/', Some('/')) => until(at, "\n") - usize::from(chars[at..].contains(&'\n')),
        ('/', Some('*')) => until(at + 2, "*/"),
        ('r', Some('"' | '#')) if !word_before || chars[at - 1] == 'b' => {
            let hashes = chars[at + 1..].iter().take_while(|c| **c == '#').count();
            match chars.get(at + 1 + hashes) {
                Some('"') => until(at + 2 + hashes, &format!("\"{}", "#".repeat(hashes))),
                _ => at, // a raw identifier
            }
        }
        ('"', _) => {
            let mut i = at + 1;
            while i < chars.len() && chars[i] != '"' {
                i += if chars[i] == '\\' { 2 } else { 1 };
            }
            (i + 1).min(chars.len())
        }
        // 'x' and '\x' are characters, 'a without a closing quote is a lifetime.
        ('\'', Some('\\')) => until(at + 3, "'"),
        ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => at + 3,
        _ => at,
    }
}

/// Blanks the item after each `#[cfg(test)]`.
fn blank_tests(code: &str) -> String {
    let mut out = code.to_owned();
    let mut from = 0;
    while let Some(at) = out[from..].find("#[cfg(test)]").map(|at| at + from) {
        let open = out[at..].find(['{', ';']).map_or(out.len(), |open| at + open);
        let end = match out[open..].starts_with('{') {
            true => closing_brace(&out, open),
            false => open,
        };
        let blank: String = out[at..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(at..end, &blank);
        from = at + blank.len();
    }
    out
}

/// The index of the brace that closes the one at `open`.
fn closing_brace(code: &str, open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return at,
            b'}' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Name, first line and number of lines of every function with a body.
fn functions(code: &str) -> Vec<(String, usize, usize)> {
    let line_of = |at: usize| code[..at].matches('\n').count() + 1;
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = at == 0 || !code.as_bytes()[at - 1].is_ascii_alphanumeric();
        let name = first_word(&code[at + 3..]);
        let Some(open) = code[at..].find(['{', ';']).map(|open| at + open) else { continue };
        if starts_word && !name.is_empty() && code[open..].starts_with('{') {
            let first = line_of(at);
            found.push((name.to_owned(), first, line_of(closing_brace(code, open)) - first + 1));
        }
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text file that is ours, ascending.
fn repository() -> Vec<Source> {
    const SKIP: [&str; 3] = [".git", "target", "Cargo.lock"];
    const TEXT: [&str; 12] =
        ["rs", "toml", "md", "yaml", "yml", "sh", "proto", "json", "jsonl", "txt", "html", "lock"];
    let mut pending: Vec<PathBuf> = vec![root().to_owned()];
    let mut files = Vec::new();
    while let Some(folder) = pending.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap()) {
            let path = entry.path();
            if SKIP.contains(&entry.file_name().to_str().unwrap()) {
                continue;
            }
            if entry.file_type().unwrap().is_dir() {
                pending.push(path);
            } else if path.extension().is_some_and(|ext| TEXT.contains(&ext.to_str().unwrap())) {
                files.push(path);
            }
        }
    }
    files.sort();
    let source = |path: &PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
        Source::new(&name, &String::from_utf8_lossy(&fs::read(path).unwrap()))
    };
    files.iter().map(source).collect()
}

fn check(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        for rule in RULES {
            rule(file, &mut found);
        }
    }
    found
}

#[test]
fn the_house_is_tidy() {
    let files = repository();
    assert!(files.iter().any(|file| file.path == "src/lib.rs"), "the walk does not see the sources");
    let found = check(&files);
    assert!(found.is_empty(), "{} findings:\n{}", found.len(), found.join("\n"));
}

#[test]
fn every_room_is_in_the_list() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let named: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    for room in &named {
        let known = ROOMS.iter().any(|(name, _)| name == room);
        assert!(known, "src/lib.rs names `{room}`: give it a place in ROOMS and in the layout");
    }
    assert_eq!(named.len(), ROOMS.len(), "a room in ROOMS is gone from src/lib.rs: remove it here");
}

#[test]
fn every_rule_can_fail() {
    let long_file = "//\n".repeat(MAX_FILE_LINES + 1);
    let long_fn = format!("fn long() {{\n{}}}\n", "    call();\n".repeat(MAX_FUNCTION_LINES));
    let outside = concat!("see /wo", "rk/notes\n");
    let cases: [(&str, &str, Option<&str>); 19] = [
        ("src/engine/shard.rs", "use crate::log::Offset;\n", Some("must not name `log`")),
        ("src/engine/shard.rs", "use crate::{clock, engine};\n", Some("must not name `clock`")),
        ("src/log/mod.rs", "use crate::engine::Shard;\n", Some("must not name `engine`")),
        ("src/worker/mod.rs", "use crate::engine::Shard;\n", None),
        ("src/worker/mod.rs", "// crate::cli is above\n", None),
        ("src/worker/mod.rs", "#[cfg(test)]\nmod t { use crate::cli; }\n", None),
        ("src/worker/mod.rs", "fn f() { Instant::now(); }\n", Some("only src/clock.rs reads time")),
        ("tests/a.rs", "fn f() { std::thread::sleep(d); }\n", Some("nothing sleeps")),
        ("src/clock.rs", "fn f() { Instant::now(); }\n", None),
        ("src/cli/run.rs", &long_file, Some("split it along")),
        ("src/cli/run.rs", &long_fn, Some("give its steps names")),
        ("src/cli/run.rs", "fn f() { x.unwrap(); }\n", Some("return a typed error")),
        ("src/cli/run.rs", "fn f() { todo!() }\n", Some("finish it")),
        ("src/cli/run.rs", "fn f() { panic!(\"x\") }\n", Some("broken invariant")),
        ("src/cli/run.rs", "fn f() { p(\"a.unwrap()\", 'x', '\\''); } // todo!\n", None),
        ("src/cli/run.rs", "#[cfg(test)]\nmod t {\n fn f() { x.unwrap(); }\n}\n", None),
        ("tests/a.rs", "fn f() { x.unwrap(); }\n", None),
        ("src/log/tests.rs", "fn f() { x.unwrap(); }\n", None),
        ("docs/a.md", outside, Some("outside the repository")),
    ];
    for (path, text, expected) in cases {
        let found = check(&[Source::new(path, text)]);
        match expected {
            None => assert!(found.is_empty(), "{path} {text:.60}: {found:?}"),
            Some(part) => {
                assert_eq!(found.len(), 1, "{path} {text:.60}: {found:?}");
                assert!(found[0].contains(part), "{path}: {found:?} does not say {part:?}");
            }
        }
    }
}
