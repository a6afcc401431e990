//! kill -9, ten times, while 200,000 events are being sent.
//!
//! The clock is event time alone, so what comes out is a function of what went in: the risks and
//! scores of the killed instance must be those of a replay of the same files, each transition
//! once, word for word. A lost or doubled event would show in the numbers of the evidence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use accountpulse::engine::event::Kind;
use serde_json::Value;
use support::oracle::{Told, last_words, replay};
use support::{Process, accountpulse, expect, history};

const KILLS: usize = 10;
/// A little above 200,000: the company stays a little below what it may.
const EVENTS: usize = 205_000;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
const PARTITIONS: u32 = 4;

const CONFIG: &str = "clock:\n  mode: event\n  lateness: 0s\ncheckpoint_round: 1s\n";

#[test]
fn killed_ten_times_every_event_counts_once_and_every_risk_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("accountpulse.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let config = config.to_str().unwrap();
    let data = folder.path().join("data");
    let mut events = history(700, 60, EVENTS, END_MS);
    events.extend(last_words(PARTITIONS, &Kind::ALL, END_MS + 2 * 86_400_000));

    let mut instance = Process::start(&data, &["-c", config]);
    let mut send = accountpulse(&["send", "-", "--retry-for", "5m", "--data", data.to_str().unwrap()])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = send.stdin.take().unwrap();
    for part in events.chunks(events.len() / (KILLS + 1) + 1) {
        for event in part {
            pipe.write_all(&event.json).unwrap();
            pipe.write_all(b"\n").unwrap();
        }
        // `send` still holds what it has read and not yet got acknowledged.
        instance.child.kill().unwrap();
        instance.child.wait().unwrap();
        instance = Process::start(&data, &["-c", config]);
    }
    drop(pipe);
    assert!(send.wait().unwrap().success());
    settle(&instance);
    assert_eq!(instance.end("-TERM"), Some(0));

    let kinds = Kind::ALL.map(|kind| [kind]);
    let inputs: Vec<&[Kind]> = kinds.iter().map(|kind| &kind[..]).collect();
    let oracle = replay(folder.path(), config, &inputs, &events);
    assert!(oracle.risks.len() > 50, "only {} transitions: the history is too calm", oracle.risks.len());
    published(&data).assert_same(&oracle);
}

/// Waits until all that can be worked through is: the last words of seven of the eight topics wait
/// for something later for ever. Fewer is what is not known yet: an instance that has just begun
/// shows no number at all.
fn settle(instance: &Process) {
    let stay = f64::from(PARTITIONS * (Kind::ALL.len() as u32 - 1));
    instance.wait_for("accountpulse_records_waiting", |waiting| waiting == stay);
}

fn published(data: &Path) -> Told {
    let data = data.to_str().unwrap();
    let mut told = Told::default();
    for topic in ["risks", "scores"] {
        for line in expect(0, &["tail", topic, "--from-beginning", "--data", data]).lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            told.take(topic, line["value"].take());
        }
    }
    let dead = expect(0, &["tail", "dead-letters", "--from-beginning", "--data", data]);
    assert!(dead.is_empty(), "dead letters: {dead:.2000}");
    told
}
