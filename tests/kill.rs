//! kill -9, ten times, while 200,000 events are being sent.
//!
//! The clock is event time alone, so what comes out is a function of what went in: the risks and
//! scores of the killed instance must be those of a replay of the same files, each transition
//! once, word for word. A lost or doubled event would show in the numbers of the evidence.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod support;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use accountpulse::engine::event::Kind;
use accountpulse::engine::partition::partition_of;
use accountpulse::simulate::SimEvent;
use serde_json::Value;
use support::{Process, accountpulse, expect, history, write_lines};

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
    events.extend(last_words());

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

    let oracle = replay(folder.path(), config, &events);
    let live = published(&data);
    assert_eq!(live.risks.len(), oracle.risks.len(), "number of transitions");
    assert!(oracle.risks.len() > 50, "only {} transitions: the history is too calm", oracle.risks.len());
    for (identity, risk) in &oracle.risks {
        assert_eq!(live.risks.get(identity), Some(risk), "{identity:?}");
    }
    for (account, score) in &oracle.scores {
        assert_eq!(live.scores.get(account), Some(score), "{account}");
    }
}

/// One event per input partition, two days after the end: with event time as the only clock, the
/// end of history is believed when something later was seen everywhere.
fn last_words() -> Vec<SimEvent> {
    let at = "2026-03-04T00:00:00Z";
    let mut events = Vec::new();
    for partition in 0..PARTITIONS {
        let of_partition = |id: &String| partition_of(id.as_bytes(), PARTITIONS) == partition;
        let account = (0..).map(|n| format!("last-{n}")).find(of_partition).unwrap();
        for kind in Kind::ALL {
            let body = match kind {
                Kind::Login => r#""login":{"user_id":"u"}"#,
                Kind::Usage => r#""usage":{"feature":"f"}"#,
                Kind::Ticket => r#""ticket":{"id":"t","status":"open","opened_at":"2026-03-01T00:00:00Z"}"#,
                Kind::Invoice => {
                    r#""invoice":{"id":"i","amount_minor":1,"currency":"EUR","issued_at":"2026-03-01T00:00:00Z","due_at":"2026-04-01T00:00:00Z"}"#
                }
                Kind::Survey => r#""survey":{"id":"s","type":"nps"}"#,
                Kind::Contact => r#""contact":{"id":"c","role":"user","status":"active"}"#,
                Kind::Contract => {
                    r#""contract":{"id":"k","start_at":"2026-01-01T00:00:00Z","recurring_minor":1,"currency":"EUR"}"#
                }
                Kind::Account => r#""account":{"name":"Last"}"#,
            };
            let json = format!(r#"{{"id":"last","account_id":"{account}","occurred_at":"{at}",{body}}}"#);
            let account = account.as_str().into();
            events.push(SimEvent { at_ms: END_MS + 2 * 86_400_000, account, kind, json: json.into_bytes() });
        }
    }
    events
}

/// Waits until all that can be worked through is: the last words of seven of the eight topics wait
/// for something later for ever.
fn settle(instance: &Process) {
    let stay = f64::from(PARTITIONS * (Kind::ALL.len() as u32 - 1));
    instance.wait_for("accountpulse_records_waiting", |waiting| waiting <= stay);
}

/// Transitions by (id, sequence number), and the last whole score and band per account.
#[derive(Default)]
struct Told {
    risks: BTreeMap<(String, u64), Value>,
    scores: BTreeMap<String, (Value, Value)>,
}

impl Told {
    fn take(&mut self, topic: &str, mut value: Value) {
        let account = value["account_id"].as_str().unwrap().to_owned();
        if account.starts_with("last-") {
            return;
        }
        if topic == "scores" {
            self.scores.insert(account, (value["score"].take(), value["band"].take()));
            return;
        }
        let identity = (value["id"].as_str().unwrap().to_owned(), value["transition_seq"].as_u64().unwrap());
        // Depends on when the program looks, not on the events.
        value.as_object_mut().unwrap().remove("backfill");
        let twice = self.risks.insert(identity.clone(), value);
        assert!(twice.is_none(), "{identity:?} was told twice: {twice:?}");
    }
}

fn replay(folder: &Path, config: &str, events: &[SimEvent]) -> Told {
    let mut args = vec!["replay".to_owned(), "-c".to_owned(), config.to_owned()];
    for kind in Kind::ALL {
        let file = folder.join(format!("{}.jsonl", kind.name()));
        write_lines(&file, events.iter().filter(|event| event.kind == kind));
        args.push(file.to_str().unwrap().to_owned());
    }
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut told = Told::default();
    for line in expect(0, &args).lines() {
        let mut line: Value = serde_json::from_str(line).unwrap();
        let value = line["value"].take();
        told.take(line["topic"].as_str().unwrap(), value);
    }
    told
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
