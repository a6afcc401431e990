//! Stories: lives of small customers, and which risks a customer success manager expects of them.
//! Each is `stories/NAME.jsonl`, the events, and `stories/NAME.expected.yaml`, what must come out;
//! names that begin with `calm_` are those in which nothing may fire. How to read the expected
//! files stands in `stories/expected.rs`; how to change a story in `stories/generate.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

#[path = "stories/expected.rs"]
mod expected;
#[path = "stories/generate.rs"]
mod generate;

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use accountpulse::engine::event::{PersonKey, decode_json};
use expected::{Expected, SeenRisk, window};

/// Longest story, in lines: a person must be able to read it.
const MAX_LINES: usize = 300;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stories")
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn expected(story: &str) -> Expected {
    Expected::parse(&read(&format!("{story}.expected.yaml")))
}

#[test]
fn committed_stories_are_what_the_generator_writes() {
    let update = std::env::var_os("UPDATE_STORIES").is_some();
    for story in generate::all() {
        let text = story.lines.join("\n") + "\n";
        assert!(story.lines.len() <= MAX_LINES, "{} has {} lines", story.name, story.lines.len());
        let file = format!("{}.jsonl", story.name);
        if update {
            fs::write(folder().join(&file), &text).unwrap();
        }
        assert!(read(&file) == text, "{file} differs: see stories/generate.rs for how to update it");
    }
}

#[test]
fn every_story_says_what_is_expected_and_nothing_else_lies_around() {
    let names: BTreeSet<String> = generate::all().into_iter().map(|story| story.name.to_owned()).collect();
    for name in &names {
        let expected = expected(name);
        expected.check();
        assert_eq!(name.starts_with("calm_"), expected.risks.is_empty(), "{name}");
        assert!(!name.starts_with("calm_") || expected.may_also.is_empty(), "{name} must stay calm");
    }
    for entry in fs::read_dir(folder()).unwrap() {
        let file = entry.unwrap().file_name().into_string().unwrap();
        let Some((name, kind)) = file.split_once('.') else { panic!("{file}?") };
        let is_known = kind == "rs" || (names.contains(name) && matches!(kind, "jsonl" | "expected.yaml"));
        assert!(is_known, "{file} belongs to no story");
    }
}

#[test]
fn every_line_is_an_event_without_unknown_fields() {
    for story in generate::all() {
        for line in &story.lines {
            let event = decode_json(line.as_bytes(), &PersonKey::new([7; 16]))
                .unwrap_or_else(|refusal| panic!("{}: {refusal}\n{line}", story.name));
            assert_eq!(event.unknown_fields, 0, "{}: {line}", story.name);
        }
    }
}

#[test]
fn differences_are_found_and_only_those() {
    let expected = Expected::parse(
        "title: t\nwhy: w\nuntil: 2026-03-01\nmay_also: [noise]\nrisks:\n  - rule: late\n    \
         transitions: [started 2026-01-02, severity high 2026-01-03..2026-01-04, anything]\n",
    );
    let at = |text: &str| window(text).0;
    let seen = |rule: &str, high: &str| SeenRisk {
        id: "r".to_owned(),
        rule: rule.to_owned(),
        transitions: vec![
            ("started".to_owned(), at("2026-01-02T23:59:59Z")),
            ("severity high".to_owned(), at(high)),
            ("resolved".to_owned(), at("2026-01-09")),
        ],
    };
    assert_eq!(expected.differences(&[seen("late", "2026-01-04"), seen("noise", "2026-01-04")]), "");
    let wrong = expected.differences(&[seen("late", "2026-01-05")]);
    assert!(wrong.contains("expected: late") && wrong.contains("got: late"), "{wrong}");
    assert!(expected.differences(&[]).contains("expected: late"));
    let surplus = expected.differences(&[seen("late", "2026-01-03"), seen("other", "2026-01-03")]);
    assert!(surplus.contains("got: other") && !surplus.contains("late"), "{surplus}");
}
