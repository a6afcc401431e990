//! Stories: lives of small customers, and which risks a customer success manager expects of them.
//! Each is `stories/NAME.jsonl`, the events, and `stories/NAME.expected.yaml`, what must come out;
//! names that begin with `calm_` are those in which nothing may fire. How to read the expected
//! files stands in `stories/expected.rs`; how to change a story in `stories/generate.rs`.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

#[path = "stories/expected.rs"]
mod expected;
#[path = "stories/generate.rs"]
mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use accountpulse::engine::event::{PersonKey, Reason, decode_json};
use accountpulse::engine::replay::{Refused, Replay, ReplayOptions, ReplaySink};
use accountpulse::engine::risk::Transition;
use accountpulse::engine::{Effects, EngineConfig};
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
    let other_rule = expected.differences(&[seen("other", "2026-01-03")]);
    assert!(other_rule.contains("expected: late") && other_rule.contains("got: other"), "{other_rule}");
    let surplus = expected.differences(&[seen("late", "2026-01-03"), seen("other", "2026-01-03")]);
    assert!(surplus.contains("got: other") && !surplus.contains("late"), "{surplus}");
}

/// Runs lines through the engine as `accountpulse replay` does.
fn replay(lines: Vec<Vec<u8>>, until_ms: i64, partitions: u32) -> Vec<SeenRisk> {
    let options = ReplayOptions {
        config: Arc::new(EngineConfig::default()),
        person_key: PersonKey::new([7; 16]),
        partitions,
        lateness_ms: 0,
        until_ms: Some(until_ms),
    };
    let mut seen = Seen::default();
    Replay::new(options, vec![lines.into_iter()]).run(&mut seen);
    let mut risks: Vec<SeenRisk> = seen.risks.into_values().collect();
    risks.sort_by_key(|risk| risk.transitions.first().map(|(_, at_ms)| *at_ms));
    risks
}

/// Keeps the transitions of each episode; a line that is refused for any reason but lateness is
/// a mistake in the story.
#[derive(Default)]
struct Seen {
    risks: BTreeMap<String, SeenRisk>,
}

impl ReplaySink for Seen {
    fn effects(&mut self, effects: Effects) {
        for risk in effects.risks {
            let what = match risk.transition {
                Transition::Started => "started".to_owned(),
                Transition::SeverityRaised => format!("severity {}", risk.severity.name()),
                Transition::Resolved => "resolved".to_owned(),
                Transition::Retracted => "retracted".to_owned(),
                Transition::Amended | Transition::Renotified => continue,
            };
            let fresh =
                || SeenRisk { id: risk.id.clone(), rule: risk.rule.to_string(), transitions: Vec::new() };
            let episode = self.risks.entry(risk.id.clone()).or_insert_with(fresh);
            episode.transitions.push((what, risk.at_ms));
        }
    }

    fn refused(&mut self, refused: Refused) {
        assert_eq!(refused.refusal.reason, Reason::Late, "line {}: {}", refused.line, refused.refusal);
    }
}

fn lines(story: &str) -> Vec<Vec<u8>> {
    read(&format!("{story}.jsonl")).lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// Compares every story, told in some other way, with what is expected of it.
fn check_all(how: &str, tell: impl Fn(Vec<Vec<u8>>) -> Vec<Vec<u8>>, partitions: u32) {
    let mut report = String::new();
    for story in generate::all() {
        let expected = expected(story.name);
        let seen = replay(tell(lines(story.name)), expected.until_ms(), partitions);
        let differences = expected.differences(&seen);
        if !differences.is_empty() {
            let Expected { title, why, .. } = expected;
            report.push_str(&format!("\n{} ({title}), {how}:\n  {}\n{differences}", story.name, why.trim()));
        }
    }
    assert!(report.is_empty(), "{report}");
}

#[test]
fn every_story_leads_to_what_is_expected() {
    check_all("as written", |lines| lines, 1);
}

#[test]
fn every_story_told_twice_line_by_line_leads_to_the_same() {
    check_all("each line twice", |lines| lines.iter().flat_map(|l| [l.clone(), l.clone()]).collect(), 1);
}

#[test]
fn the_number_of_partitions_does_not_matter() {
    check_all("in 16 partitions", |lines| lines, 16);
}
