//! A committed reader that reads along while the run is going on, up to the last stable offset,
//! and holds every record to what was told before it and to what an uninterrupted run tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accountpulse::engine::record::{RecordKind, json_twin};
use accountpulse::log::sim::{SimBroker, SimRecord};
use accountpulse::log::{Offset, TopicId, TopicPartition};
use accountpulse::worker::{HEADER_CE_ID, HEADER_CODE, HEADER_OFFSET, HEADER_PARTITION, HEADER_TOPIC};
use serde_json::Value;

use super::history::PARTITIONS;
use super::ideal::{self, States};
use super::setup::{DEAD_LETTERS, RISKS, SCORES, VERSIONS};

/// What the event clock lets us know in advance.
#[derive(Default)]
pub struct Known {
    /// Per account its transitions, in order.
    pub risks: BTreeMap<String, Vec<Value>>,
    pub states: States,
}

/// What was read so far.
#[derive(Default)]
pub struct Reader {
    positions: BTreeMap<TopicPartition, Offset>,
    /// Per account its transitions, in order.
    pub risks: BTreeMap<String, Vec<Value>>,
    /// Per account its last score.
    pub scores: BTreeMap<String, Value>,
    /// Topic, partition, offset, code of every dead letter.
    pub letters: BTreeSet<String>,
    risk_ids: BTreeSet<String>,
    score_ids: BTreeMap<String, Value>,
    /// Per account and rule: number of the last transition, and the risk that fires.
    lives: BTreeMap<(String, String), (u64, Option<String>)>,
    known: Option<Arc<Known>>,
    /// Scores in between may be gone: nothing is said about how they follow each other.
    latest_only: bool,
}

impl Reader {
    /// With `known`, also held to it.
    pub fn new(known: Option<Arc<Known>>) -> Self {
        Reader { known, ..Reader::default() }
    }

    /// Begins when scores have been compacted already.
    pub fn only_latest(&mut self) {
        self.latest_only = true;
    }

    /// Reads on, as far as a committed reader may.
    pub fn read(&mut self, broker: &SimBroker) -> Result<(), String> {
        for topic in [RISKS, SCORES, DEAD_LETTERS] {
            for partition in 0..PARTITIONS {
                let at = TopicPartition { topic, partition };
                let from = self.positions.get(&at).copied().unwrap_or(0);
                let read = broker.read_committed(at, from).map_err(|e| e.to_string())?;
                self.positions.insert(at, read.position);
                for (_, record) in read.records {
                    self.take(topic, &record)?;
                }
            }
        }
        Ok(())
    }

    /// Whether nothing was written that it has not read.
    pub fn is_abreast(&self, broker: &SimBroker, partition: u32) -> bool {
        let at = TopicPartition { topic: SCORES, partition };
        broker.watermarks(at).is_ok_and(|marks| self.positions.get(&at) == Some(&marks.end))
    }

    fn take(&mut self, topic: TopicId, record: &SimRecord) -> Result<(), String> {
        match topic {
            RISKS => self.risk(record),
            SCORES => self.score(record),
            _ => self.letter(record),
        }
    }

    fn risk(&mut self, record: &SimRecord) -> Result<(), String> {
        let told = twin(RecordKind::Risk, record);
        let (account, id) = (text(&record.key), header(record, HEADER_CE_ID));
        if !self.risk_ids.insert(id.clone()) {
            return Err(format!("{account}: transition {id} ({}) is told twice", show(&told)));
        }
        let rule = told["rule"].as_str().unwrap_or_default().to_owned();
        let (last, firing) = self.lives.entry((account.clone(), rule)).or_default();
        let legal = match told["transition"].as_str() {
            Some("started") => firing.is_none(),
            _ => firing.as_deref() == told["id"].as_str(),
        };
        if !legal || told["transition_seq"].as_u64() != Some(*last + 1) {
            return Err(format!("{account}: {} contradicts number {last}, {firing:?}", show(&told)));
        }
        *last += 1;
        *firing = match told["transition"].as_str() {
            Some("resolved" | "retracted") => None,
            _ => told["id"].as_str().map(str::to_owned),
        };
        let ours = self.risks.entry(account.clone()).or_default();
        if let Some(known) = &self.known {
            let expected = known.risks.get(&account).and_then(|all| all.get(ours.len()));
            if expected != Some(&told) {
                let index = ours.len();
                return Err(match expected {
                    None => format!("{account}: {} is one too many", show(&told)),
                    Some(other) if show(other) == show(&told) => {
                        format!("{account}: transition {index} is {told}, expected {other}")
                    }
                    Some(other) => {
                        format!("{account}: transition {index} is {}, expected {}", show(&told), show(other))
                    }
                });
            }
        }
        ours.push(told);
        Ok(())
    }

    fn score(&mut self, record: &SimRecord) -> Result<(), String> {
        let told = twin(RecordKind::Score, record);
        let (account, id) = (text(&record.key), header(record, HEADER_CE_ID));
        if self.score_ids.insert(id.clone(), told.clone()).is_some_and(|other| other != told) {
            return Err(format!("{account}: the id {id} names two scores"));
        }
        let before = self.scores.get(&account);
        if before.is_some_and(|before| ideal::as_of_ms(before) > ideal::as_of_ms(&told)) {
            return Err(format!("{account}: a score as of {} follows a later one", told["as_of"]));
        }
        let pair = |value: &Value| (value["score_hundredths"].clone(), value["band"].clone());
        let previous = told.get("previous").filter(|previous| !previous.is_null()).map(pair);
        if !self.latest_only && previous != before.map(pair) {
            return Err(format!(
                "{account}: the score as of {} follows {previous:?}, told was {:?}",
                told["as_of"],
                before.map(pair)
            ));
        }
        if let Some(known) = &self.known
            && !ideal::passed_through(&known.states, &account, &told)
        {
            return Err(format!("{account}: no uninterrupted run has this score: {told}"));
        }
        self.scores.insert(account, told);
        Ok(())
    }

    fn letter(&mut self, record: &SimRecord) -> Result<(), String> {
        let fields = [HEADER_TOPIC, HEADER_PARTITION, HEADER_OFFSET, HEADER_CODE];
        let letter = fields.map(|name| header(record, name)).join(" ");
        if !self.letters.insert(letter.clone()) {
            return Err(format!("the dead letter {letter} is written twice"));
        }
        Ok(())
    }

    /// The last score names exactly the risks that fire by the transitions told.
    pub fn agrees(&self) -> Result<(), String> {
        let mut firing: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for ((account, _), (_, id)) in &self.lives {
            firing.entry(account).or_default().extend(id.as_deref());
        }
        for (account, score) in &self.scores {
            let listed = score["risks"].as_array().map(Vec::as_slice).unwrap_or_default();
            let listed = listed.iter().filter(|risk| risk["phase"] == "firing");
            let listed: BTreeSet<&str> = listed.filter_map(|risk| risk["id"].as_str()).collect();
            let told = firing.remove(account.as_str()).unwrap_or_default();
            if listed != told {
                return Err(format!("{account}: the last score lists {listed:?}, told were {told:?}"));
            }
        }
        match firing.into_iter().find(|(_, told)| !told.is_empty()) {
            Some((account, _)) => Err(format!("{account}: a risk fires and no score says so")),
            None => Ok(()),
        }
    }
}

fn text(key: &Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(key.as_deref().unwrap_or_default()).into_owned()
}

fn header(record: &SimRecord, name: &str) -> String {
    let found = record.headers.iter().find(|(known, _)| known == name);
    found.map(|(_, value)| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
}

fn show(told: &Value) -> String {
    format!("{} {} {} at {}", told["rule"], told["transition"], told["transition_seq"], told["at"])
}

/// The record as JSON. Which of the two configs was in force is not compared: they decide alike
/// about everything that is.
fn twin(kind: RecordKind, record: &SimRecord) -> Value {
    let json = json_twin(kind, record.value.as_deref().unwrap_or_default()).unwrap();
    let mut value: Value = serde_json::from_slice(&json).unwrap();
    let fields = value.as_object_mut().unwrap();
    let version = fields.remove("config_version");
    assert!(VERSIONS.iter().any(|known| version == Some(Value::from(known.clone()))), "{version:?}");
    value
}
