//! The real program on its embedded log: 200,000 records in eight topics, JSON and protobuf, one in
//! a hundred bad. What is told is what a replay of the good ones tells.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use accountpulse::app::topics::{TopicTable, open_local};
use accountpulse::config::Config;
use accountpulse::engine::event::pb::{self, event::Body};
use accountpulse::engine::event::{Kind as EventKind, Reason};
use accountpulse::engine::partition::partition_of;
use accountpulse::log::local::{LocalReader, LocalStore};
use accountpulse::log::{AppendRecord, RecordBatch, TopicPartition};
use accountpulse::simulate::SimEvent;
use prost::Message;
use serde_json::Value;

use super::kinds::{self, Draft, Kind, Near};
use super::letters::{Letter, Place, check_all};
use super::support::oracle::{Told, last_words};
use super::support::{Process, expect, history};

/// A little above what is needed: the company stays a little below what it may.
const EVENTS: usize = 205_000;
/// One record in so many is bad.
const ONE_IN: usize = 100;
/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;
/// Of every topic of the embedded log.
pub const PARTITIONS: u32 = 4;
/// Nearly the largest record that the embedded log takes.
const HUGE_BYTES: usize = 15_000_000;
/// One of each topic and partition.
const LAST_WORDS: usize = PARTITIONS as usize * EventKind::ALL.len();
/// How much more the process may ever hold than the one without bad records, beside one copy of each:
/// records that wait are limited by their number, and the store keeps 128 MiB of its file in memory.
/// That nothing of them *stays* is counted to the byte in `alone.rs`.
const MORE_BYTES: u64 = 192 << 20;
/// Records are written in pieces of about this size.
const APPEND_BYTES: usize = 16 << 20;

/// Kept for longer than the made-up history is old.
const CONFIG: &str = "clock:\n  mode: event\n  lateness: 0s\nstorage:\n  retention:\n    events: 3650d\n    \
                      risks: 3650d\n    dead_letters: 3650d\n";

/// Every second login and use, which are most events, in protobuf; the others in JSON.
fn encoded(number: usize, event: &SimEvent) -> Vec<u8> {
    if number.is_multiple_of(2) || !matches!(event.kind, EventKind::Login | EventKind::Usage) {
        return event.json.clone();
    }
    let json: Value = serde_json::from_slice(&event.json).unwrap();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let body = match event.kind {
        EventKind::Login => Body::Login(pb::Login { user_id: text(&json["login"]["user_id"]) }),
        _ => Body::Usage(pb::Usage {
            user_id: text(&json["usage"]["user_id"]),
            feature: text(&json["usage"]["feature"]),
            count: json["usage"]["count"].as_u64().unwrap_or(0) as u32,
        }),
    };
    let message = pb::Event {
        v: 0,
        id: text(&json["id"]),
        account_id: text(&json["account_id"]),
        occurred_at_ms: event.at_ms,
        version: json["version"].as_u64(),
        body: Some(body),
    };
    message.encode_to_vec()
}

/// Writes to the log of an instance before it starts.
pub struct Writing {
    store: Arc<LocalStore>,
    table: TopicTable,
    waiting: Vec<AppendRecord>,
    bytes: usize,
    ends: BTreeMap<TopicPartition, u64>,
}

impl Writing {
    /// In an empty data directory.
    pub fn to(config: &str, data: &Path) -> Writing {
        let mut config = Config::load(Path::new(config), &|_| None).unwrap();
        config.storage.data_dir = data.to_owned();
        let table = TopicTable::new(&config);
        let store = open_local(&config, &table).unwrap();
        Writing { store, table, waiting: Vec::new(), bytes: 0, ends: BTreeMap::new() }
    }

    /// Where it will stand.
    pub fn write(&mut self, kind: EventKind, draft: Draft) -> Place {
        let at = TopicPartition { topic: self.table.input(kind), partition: draft.partition };
        let size = |bytes: &Option<Vec<u8>>| bytes.as_ref().map_or(0, Vec::len);
        self.bytes += size(&draft.key) + size(&draft.value) + 100;
        let Draft { key, value, headers, timestamp_ms, .. } = draft;
        self.waiting.push(AppendRecord { at, key, value, headers, timestamp_ms });
        let end = self.ends.entry(at).or_default();
        *end += 1;
        let place = (self.table.inputs[usize::from(at.topic.0)].clone(), at.partition, *end - 1);
        if self.bytes >= APPEND_BYTES {
            self.flush();
        }
        place
    }

    /// What waits is durable then; how many records that makes.
    pub fn flush(&mut self) -> u64 {
        self.store.append(std::mem::take(&mut self.waiting)).unwrap();
        self.bytes = 0;
        self.ends.values().sum()
    }
}

/// What was written, beside the good events.
#[derive(Default)]
struct Written {
    bad: BTreeMap<Place, (Kind, Draft)>,
    bad_bytes: u64,
    records: usize,
}

/// Writes all events in their order and, with `bad`, one bad record after every 99.
fn write(config: &str, data: &Path, events: &[SimEvent], bad: bool) -> Written {
    let kinds = kinds::all();
    let mut writing = Writing::to(config, data);
    let mut written = Written::default();
    let mut near = None;
    for (number, event) in events.iter().enumerate() {
        let account = event.account.as_bytes();
        let good = Draft {
            key: Some(account.to_vec()),
            value: Some(encoded(number, event)),
            headers: Vec::new(),
            timestamp_ms: event.at_ms,
            partition: partition_of(account, PARTITIONS),
        };
        writing.write(event.kind, good);
        written.records += 1;
        if event.kind == EventKind::Login {
            near = Some((event.account.to_string(), event.at_ms));
        }
        // What stands behind the last words of a topic waits with them for ever.
        let turn = bad && number % (ONE_IN - 1) == ONE_IN - 2 && number < events.len() - LAST_WORDS;
        let Some((account, at_ms)) = near.clone().filter(|_| turn) else { continue };
        let turn = written.bad.len();
        let near = Near { account, at_ms, n: turn / kinds.len(), partitions: PARTITIONS };
        let kind = kinds[turn % kinds.len()];
        let mut draft = kind.draft(&near);
        if kind.reason == Reason::TooLarge {
            draft.value.as_mut().unwrap().resize(HUGE_BYTES, b' ');
        }
        // Whether a login is late is known where logins stand; all else is refused anywhere.
        let topic = if kind.stage() == "apply" { 0 } else { turn % EventKind::ALL.len() };
        written.bad_bytes += draft.value.as_ref().map_or(0, Vec::len) as u64;
        let place = writing.write(EventKind::ALL[topic], draft.clone());
        written.records += 1;
        assert!(written.bad.insert(place, (kind, draft)).is_none());
    }
    writing.flush();
    written
}

/// Most memory a process ever held.
fn most_bytes(process: &Process) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// Runs an instance over what its log holds, until nothing is left to do; `look` sees it then.
fn run(config: &str, data: &Path, written: &Written, look: impl FnOnce(&Process)) -> u64 {
    let instance = Process::start(data, &["-c", config]);
    // The last words of seven of the eight topics wait for something later for ever.
    let stay = LAST_WORDS - PARTITIONS as usize;
    let done = (written.records - stay) as f64;
    instance.wait_for("accountpulse_events_consumed_total", |consumed| consumed >= done);
    instance.wait_for("accountpulse_records_waiting", |waiting| waiting <= stay as f64);
    look(&instance);
    let most = most_bytes(&instance);
    assert_eq!(instance.end("-TERM"), Some(0));
    most
}

/// The dead letters, and what else was published.
pub fn published(data: &Path) -> (Vec<Letter>, Told) {
    let reader = LocalReader::open(data).unwrap();
    let topic = reader.topic("accountpulse.dead-letters.v1").unwrap();
    let mut letters = Vec::new();
    for partition in 0..PARTITIONS {
        let at = TopicPartition { topic, partition };
        let mut from = 0;
        while from < reader.watermarks(at).unwrap().end {
            let (batch, next) = reader.read(at, from, 1 << 20).unwrap();
            letters.extend((0..batch.len()).map(|index| letter(&batch, index)));
            from = next;
        }
    }
    drop(reader);
    let mut told = Told::default();
    for topic in ["risks", "scores"] {
        let data = data.to_str().unwrap();
        for line in expect(0, &["tail", topic, "--from-beginning", "--data", data]).lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            told.take(topic, line["value"].take());
        }
    }
    (letters, told)
}

fn letter(batch: &accountpulse::log::local::LocalBatch, index: usize) -> Letter {
    let record = batch.get(index);
    Letter {
        partition: record.at.partition,
        key: record.key.map(<[u8]>::to_vec),
        value: record.value.map(<[u8]>::to_vec),
        headers: batch.headers(index).map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        timestamp_ms: Some(record.timestamp_ms),
    }
}

/// That every record has one fate, and each refusal its reason.
fn check_counters(instance: &Process, written: &Written) {
    let count = |name: &str| instance.metric(&format!("accountpulse_events_{name}_total"));
    let consumed = count("consumed");
    let fates = ["applied", "duplicate", "late", "superseded", "limited", "rejected"].map(count);
    assert_eq!(consumed, fates.iter().sum::<f64>(), "{fates:?}");
    let waiting = instance.metric("accountpulse_records_waiting");
    assert_eq!(consumed + waiting, written.records as f64);
    let mut by_reason: BTreeMap<&str, f64> = BTreeMap::new();
    for (kind, _) in written.bad.values() {
        *by_reason.entry(kind.reason.code()).or_default() += 1.0;
    }
    assert_eq!(count("late"), by_reason.remove("late").unwrap());
    let metrics = instance.get("/metrics").1;
    for (reason, expected) in by_reason {
        let name = format!("accountpulse_events_rejected_total{{reason=\"{reason}\"}} ");
        let line = metrics.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        assert_eq!(line.parse::<f64>().unwrap(), expected, "{reason}");
    }
    for gone_wrong in ["breaker_open", "worker_rebuilds_total", "shards_refused"] {
        assert_eq!(instance.metric(&format!("accountpulse_{gone_wrong}")), 0.0, "{gone_wrong}");
    }
}

#[test]
fn one_bad_record_in_a_hundred_becomes_one_dead_letter_and_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("accountpulse.yaml");
    std::fs::write(&config, CONFIG).unwrap();
    let config = config.to_str().unwrap();
    let mut events = history(700, 60, EVENTS, END_MS);
    events.extend(last_words(PARTITIONS, &EventKind::ALL, END_MS + 2 * 86_400_000));

    let data = folder.path().join("good");
    let written = write(config, &data, &events, false);
    let usual = run(config, &data, &written, |_| ());
    let (letters, oracle) = published(&data);
    assert_eq!(letters, [], "the history is not good");
    assert!(oracle.risks.len() > 50, "only {} transitions: the history is too calm", oracle.risks.len());

    let data = folder.path().join("mixed");
    let written = write(config, &data, &events, true);
    let kinds = kinds::all().len();
    assert!(kinds >= 80 && written.bad.len() >= 2 * kinds, "{kinds} kinds, {}", written.bad.len());
    assert!(written.records >= 200_000 && written.bad.len() >= 2_000, "{} records", written.records);
    let most = run(config, &data, &written, |instance| check_counters(instance, &written));
    let (letters, told) = published(&data);
    check_all(letters, &written.bad);
    told.assert_same(&oracle);
    println!(
        "{} records, {} bad of {kinds} kinds, {} MB of them; the process held {} MB at most, {} MB without them",
        written.records,
        written.bad.len(),
        written.bad_bytes >> 20,
        most >> 20,
        usual >> 20
    );
    assert!(most < usual + written.bad_bytes + MORE_BYTES, "{most} bytes instead of {usual}");
}
