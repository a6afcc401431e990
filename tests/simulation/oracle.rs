//! What a run told the world, and whether it is what the uninterrupted run tells.

use std::collections::BTreeMap;

use accountpulse::engine::Effects;
use accountpulse::engine::record::{RecordKind, json_twin};
use accountpulse::engine::replay::{Refused, Replay, ReplayOptions, ReplaySink};
use accountpulse::log::TopicId;
use accountpulse::log::sim::{CommittedRecord, SimRecord};
use accountpulse::worker::{HEADER_CE_ID, HEADER_CODE, HEADER_OFFSET, HEADER_PARTITION, HEADER_TOPIC};
use serde_json::Value;

use super::history::{History, PARTITIONS};
use super::world::{DEAD_LETTERS, RISKS, SCORES, World, config, intake};

/// The committed outputs and the final state.
#[derive(PartialEq)]
pub struct Told {
    /// Per account its transitions, in order.
    pub risks: BTreeMap<String, Vec<Value>>,
    /// Per account score, band and coverage class of its last record.
    pub scores: BTreeMap<String, [Value; 3]>,
    /// Topic, partition, offset, code of every dead letter, sorted.
    pub dead_letters: Vec<String>,
    /// Ids of transitions that stand more than once; ids of scores that name different records.
    pub repeated_ids: Vec<String>,
    /// Per account the exact explanation of the final state.
    pub accounts: BTreeMap<String, Value>,
}

fn twin(kind: RecordKind, record: &SimRecord) -> Value {
    let json = json_twin(kind, record.value.as_deref().unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// The committed ids of a topic, and what each names; an id that names two things stands as such.
fn ids(world: &World, topic: TopicId, kind: RecordKind) -> BTreeMap<String, Vec<Value>> {
    let mut ids: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for CommittedRecord { record, .. } in world.broker.committed_records(topic) {
        let found = record.headers.iter().find(|(name, _)| name == HEADER_CE_ID);
        let id = String::from_utf8_lossy(&found.unwrap().1).into_owned();
        ids.entry(id).or_default().push(twin(kind, &record));
    }
    ids
}

/// Collects it; call after the last recovery.
pub fn told(world: &mut World, accounts: &[String]) -> Told {
    let mut risks: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in world.broker.committed_records(RISKS) {
        let key = String::from_utf8(record.record.key.clone().unwrap()).unwrap();
        risks.entry(key).or_default().push(twin(RecordKind::Risk, &record.record));
    }
    let mut scores = BTreeMap::new();
    for record in world.broker.committed_records(SCORES) {
        let key = String::from_utf8(record.record.key.clone().unwrap()).unwrap();
        let value = twin(RecordKind::Score, &record.record);
        scores.insert(key, ["score", "band", "coverage"].map(|field| value[field].clone()));
    }
    let mut dead_letters: Vec<String> = Vec::new();
    for record in world.broker.committed_records(DEAD_LETTERS) {
        let header = |name: &str| {
            let found = record.record.headers.iter().find(|(known, _)| known == name);
            String::from_utf8_lossy(&found.unwrap().1).into_owned()
        };
        let fields = [HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET, HEADER_CODE].map(header);
        dead_letters.push(fields.join(" "));
    }
    dead_letters.sort();
    let risk_ids = ids(world, RISKS, RecordKind::Risk).into_iter().filter(|(_, told)| told.len() > 1);
    let score_ids = ids(world, SCORES, RecordKind::Score).into_iter();
    let score_ids = score_ids.filter(|(_, told)| told.iter().any(|value| *value != told[0]));
    let repeated_ids = risk_ids.chain(score_ids).map(|(id, _)| id).collect();
    let mut exact = BTreeMap::new();
    for account in accounts {
        if let Some(state) = world.account(account) {
            let mut record = serde_json::to_value(&state.record).unwrap();
            // These compare with what happened to be published last; the rest is a function of state.
            for field in ["causes", "previous", "changes"] {
                record.as_object_mut().unwrap().remove(field);
            }
            exact.insert(account.clone(), record);
        }
    }
    Told { risks, scores, dead_letters, repeated_ids, accounts: exact }
}

/// The transitions of the same history through the engine's replay, which has no worker.
pub fn replay(history: &History) -> BTreeMap<String, Vec<Value>> {
    #[derive(Default)]
    struct Sink(BTreeMap<String, Vec<Value>>);
    impl ReplaySink for Sink {
        fn effects(&mut self, effects: Effects) {
            for risk in effects.risks {
                let account = risk.account_id.clone();
                self.0.entry(account).or_default().push(serde_json::to_value(&risk).unwrap());
            }
        }
        fn refused(&mut self, _: Refused) {}
    }
    let options = ReplayOptions {
        config: config(),
        person_key: intake().person_key,
        partitions: PARTITIONS,
        lateness_ms: 0,
        until_ms: Some(history.until_ms),
    };
    let lines = |topic: &Vec<Vec<SimRecord>>| {
        let values = topic.iter().flatten().map(|record| record.value.clone().unwrap());
        values.collect::<Vec<_>>().into_iter()
    };
    let mut sink = Sink::default();
    Replay::new(options, history.records.iter().map(lines).collect()).run(&mut sink);
    sink.0
}

/// The first difference, in words.
pub fn compare(expected: &Told, found: &Told) -> Result<(), String> {
    for (account, transitions) in &expected.risks {
        let ours = found.risks.get(account).map(Vec::as_slice).unwrap_or_default();
        let show =
            |v: &Value| format!("{} {} {} at {}", v["rule"], v["transition"], v["transition_seq"], v["at"]);
        for (index, transition) in transitions.iter().enumerate() {
            match ours.get(index) {
                Some(same) if same == transition => {}
                Some(other) if show(other) == show(transition) => {
                    return Err(format!("{account}: transition {index} is {other}, expected {transition}"));
                }
                Some(other) => {
                    return Err(format!(
                        "{account}: transition {index} is {}, expected {}",
                        show(other),
                        show(transition)
                    ));
                }
                None => {
                    return Err(format!("{account}: transition {index} ({}) is missing", show(transition)));
                }
            }
        }
        if let Some(extra) = ours.get(transitions.len()) {
            return Err(format!("{account}: {} is one too many", show(extra)));
        }
    }
    if let Some(account) = found.risks.keys().find(|account| !expected.risks.contains_key(*account)) {
        return Err(format!("{account} has transitions and should have none"));
    }
    first_difference("last score", &expected.scores, &found.scores)?;
    first_difference("final state", &expected.accounts, &found.accounts)?;
    if let Some(id) = found.repeated_ids.first() {
        return Err(format!("the id {id} names more than one record"));
    }
    if expected.dead_letters != found.dead_letters {
        let missing = expected.dead_letters.iter().find(|d| !found.dead_letters.contains(d));
        let (want, have) = (expected.dead_letters.len(), found.dead_letters.len());
        return Err(format!("{have} dead letters, expected {want}; first missing: {missing:?}"));
    }
    Ok(())
}

fn first_difference<V: PartialEq + std::fmt::Debug>(
    what: &str,
    expected: &BTreeMap<String, V>,
    found: &BTreeMap<String, V>,
) -> Result<(), String> {
    for (account, value) in expected {
        if found.get(account) != Some(value) {
            return Err(format!("{what} of {account} is {:?}, expected {value:?}", found.get(account)));
        }
    }
    if found.len() != expected.len() {
        return Err(format!("{what}: {} accounts, expected {}", found.len(), expected.len()));
    }
    Ok(())
}
