//! What an uninterrupted run over the same events tells: the measure for every run that was
//! disturbed. The clock is event time alone, so it is a function of the events.

use std::collections::BTreeMap;
use std::path::Path;

use accountpulse::engine::event::Kind;
use accountpulse::engine::partition::partition_of;
use accountpulse::simulate::SimEvent;
use serde_json::Value;

use super::{expect, write_lines};

/// Accounts with this prefix only move time on.
const LAST: &str = "last-";

/// Transitions by (id, sequence number), and what stays of the last score per account.
#[derive(Default)]
pub struct Told {
    pub risks: BTreeMap<(String, u64), Value>,
    pub scores: BTreeMap<String, Value>,
    /// Per account, the transitions in the order in which they were told.
    pub order: BTreeMap<String, Vec<(String, u64)>>,
}

impl Told {
    /// Takes in one value of the topic.
    pub fn take(&mut self, topic: &str, mut value: Value) {
        let account = value["account_id"].as_str().unwrap().to_owned();
        if account.starts_with(LAST) {
            return;
        }
        if topic == "scores" {
            // The rest of the record depends on when it was published, not on the events.
            let kept = ["score", "band", "coverage", "risks"].map(|key| value[key].take());
            self.scores.insert(account, Value::from(kept.to_vec()));
            return;
        }
        let identity = (value["id"].as_str().unwrap().to_owned(), value["transition_seq"].as_u64().unwrap());
        // Depends on when the program looks, not on the events.
        value.as_object_mut().unwrap().remove("backfill");
        self.order.entry(account).or_default().push(identity.clone());
        let twice = self.risks.insert(identity.clone(), value);
        assert!(twice.is_none(), "{identity:?} was told twice: {twice:?}");
    }

    /// That nothing is missing, nothing is added, and the order within each account is the same.
    pub fn assert_same(&self, oracle: &Told) {
        for (identity, risk) in &oracle.risks {
            assert_eq!(self.risks.get(identity), Some(risk), "{identity:?}");
        }
        assert_eq!(self.risks.len(), oracle.risks.len(), "number of transitions");
        assert_eq!(self.order, oracle.order, "order within accounts");
        for (account, score) in &oracle.scores {
            assert_eq!(self.scores.get(account), Some(score), "{account}");
        }
        assert_eq!(self.scores.len(), oracle.scores.len(), "number of scores");
    }

    /// Rules of which time alone moved a risk.
    pub fn rules_of_time(&self) -> Vec<&str> {
        let timed = self.risks.values().filter(|risk| risk.get("caused_by").is_none_or(Value::is_null));
        let mut rules: Vec<&str> = timed.map(|risk| risk["rule"].as_str().unwrap()).collect();
        rules.sort_unstable();
        rules.dedup();
        rules
    }
}

/// Replays files, one per input in input order, each with the events of these kinds.
pub fn replay(folder: &Path, config: &str, inputs: &[&[Kind]], events: &[SimEvent]) -> Told {
    replayed(folder, &["-c", config], inputs, events)
}

/// The same with other arguments of the command.
pub fn replayed(folder: &Path, args: &[&str], inputs: &[&[Kind]], events: &[SimEvent]) -> Told {
    let mut args: Vec<String> =
        ["replay"].iter().chain(args).map(|argument| (*argument).to_owned()).collect();
    for (index, kinds) in inputs.iter().enumerate() {
        let file = folder.join(format!("input-{index}.jsonl"));
        write_lines(&file, events.iter().filter(|event| kinds.contains(&event.kind)));
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

/// One event per kind and partition at `at`: with event time as the only clock, the end of history
/// is believed when something later was seen in every input partition.
pub fn last_words(partitions: u32, kinds: &[Kind], at_ms: i64) -> Vec<SimEvent> {
    let at = jiff::Timestamp::from_millisecond(at_ms).unwrap();
    let mut events = Vec::new();
    for partition in 0..partitions {
        let of_partition = |id: &String| partition_of(id.as_bytes(), partitions) == partition;
        let account = (0..).map(|n| format!("{LAST}{n}")).find(of_partition).unwrap();
        for kind in kinds {
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
            events.push(SimEvent { at_ms, account, kind: *kind, json: json.into_bytes() });
        }
    }
    events
}
