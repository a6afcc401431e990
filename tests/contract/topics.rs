//! What the worker writes to the log, read back as a stranger reads it: keys, partitions, headers,
//! ids, order, in both encodings; and that none of it depends on where commits fall.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use accountpulse::engine::EngineConfig;
use accountpulse::engine::event::{Encoding, Intake, PersonKey};
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::record::{OutputEncoding, RecordKind, json_twin, transition_id};
use accountpulse::engine::risk::Transition;
use accountpulse::log::sim::{CommittedRecord, SimBroker, SimOptions, SimRecord, SimTopic};
use accountpulse::log::{TopicId, TopicPartition};
use accountpulse::worker::{
    ClockMode, HEADER_CODE, HEADER_DECISIONS, HEADER_EXCEPTION, HEADER_MESSAGE, HEADER_OFFSET,
    HEADER_PARTITION, HEADER_STAGE, HEADER_TIMESTAMP, HEADER_TOPIC, InputTopic, Now, OutputTopics,
    ShardStatus, Wake, Worker, WorkerSettings,
};
use jiff::Timestamp;
use serde_json::Value;

use super::records::{events, replay, stories, until_ms};

const PARTITIONS: u32 = 3;
const INPUT: TopicId = TopicId(0);
const SCORES: TopicId = TopicId(1);
const RISKS: TopicId = TopicId(2);
const DEAD_LETTERS: TopicId = TopicId(3);
const CHECKPOINTS: TopicId = TopicId(4);
const INPUT_NAME: &str = "all-events.v1";
/// What is no event; each partition ends with one.
const BAD: &[u8] = b"{\"id\": 7}";
/// The headers that its producer gave it: one twice, one without text.
const OWN_HEADERS: [(&str, &[u8]); 4] =
    [("traceparent", b"00-1-2-01"), ("tried", b"1"), ("tried", b"2"), ("blob", b"\xff\x00")];
/// Tells the events of another story again.
pub const REPEATED: &str = "same_event_twice";

/// The events of all stories by time, with the account of each.
fn history() -> Vec<(i64, String, Vec<u8>)> {
    let mut all = Vec::new();
    for value in stories().iter().filter(|story| *story != REPEATED).flat_map(|story| events(story)) {
        let event: Value = serde_json::from_slice(&value).unwrap();
        let at: Timestamp = event["occurred_at"].as_str().unwrap().parse().unwrap();
        all.push((at.as_millisecond(), event["account_id"].as_str().unwrap().to_owned(), value));
    }
    all.sort();
    all
}

fn until() -> i64 {
    stories().iter().map(|story| until_ms(story)).max().unwrap()
}

fn settings(encoding: OutputEncoding, commit_interval_ms: i64) -> WorkerSettings {
    let inputs = vec![InputTopic { topic: INPUT, name: INPUT_NAME.to_owned(), encoding: Encoding::Json }];
    let outputs =
        OutputTopics { scores: SCORES, risks: RISKS, dead_letters: DEAD_LETTERS, checkpoints: CHECKPOINTS };
    let mut settings = WorkerSettings::new(inputs, outputs, PARTITIONS, ClockMode::Event { lateness_ms: 0 });
    settings.until_ms = Some(until());
    settings.output_encoding = encoding;
    settings.commit_interval_ms = commit_interval_ms;
    settings.poll_wait = Duration::ZERO;
    settings
}

fn broker() -> SimBroker {
    let topic = |name: &str, compacted, input| SimTopic {
        name: name.to_owned(),
        partitions: PARTITIONS,
        compacted,
        input,
    };
    let topics = [
        topic(INPUT_NAME, false, true),
        topic("scores.v1", true, false),
        topic("risks.v1", false, false),
        topic("dead-letters.v1", false, false),
        topic("checkpoints.v1", true, false),
    ];
    let mut options = SimOptions::new(topics.to_vec());
    // Few, so that the interval between commits decides what each holds.
    options.poll_records = 3;
    let broker = SimBroker::new(options);
    for (at_ms, account, value) in history() {
        let at = TopicPartition { topic: INPUT, partition: partition_of(account.as_bytes(), PARTITIONS) };
        broker.append(at, SimRecord::new(at_ms, account.as_bytes(), &value)).unwrap();
    }
    for partition in 0..PARTITIONS {
        let at = TopicPartition { topic: INPUT, partition };
        let own = OWN_HEADERS.map(|(name, value)| (name.to_owned(), value.to_vec()));
        broker.append(at, SimRecord { headers: own.to_vec(), ..SimRecord::new(7, b"who", BAD) }).unwrap();
        broker.close_input(at).unwrap();
    }
    broker
}

/// All stories told by a worker, until everything is committed.
fn run(encoding: OutputEncoding, commit_interval_ms: i64) -> SimBroker {
    let broker = broker();
    let intake = Intake { person_key: PersonKey::new([7; 16]), skew_ms: 60_000, partitions: PARTITIONS };
    let config = Arc::new(EngineConfig::default());
    let settings = settings(encoding, commit_interval_ms);
    let mut worker = Worker::new(broker.member("w"), settings, config, intake).unwrap();
    let mut wall_ms = until();
    let mut rest = 200;
    for _ in 0..200_000 {
        wall_ms += 7;
        let wake = worker.step(Now { wall_ms });
        assert!(!matches!(wake, Wake::Rebuild { .. }), "{wake:?}");
        let shards = worker.status().shards;
        let is_done = |shard: &ShardStatus| shard.clock_ms == Some(until());
        if shards.len() == PARTITIONS as usize && shards.iter().all(is_done) {
            // The last commit is still to come.
            rest -= 1;
            if rest == 0 {
                return broker;
            }
        }
    }
    panic!("the worker does not come to its end");
}

/// The worker's output with commits close together, as JSON.
fn usual() -> &'static SimBroker {
    static USUAL: OnceLock<SimBroker> = OnceLock::new();
    USUAL.get_or_init(|| run(OutputEncoding::Json, 0))
}

fn header<'r>(record: &'r CommittedRecord, name: &str) -> Option<&'r str> {
    let mut found = record.record.headers.iter().filter(|(known, _)| known == name);
    let value = found.next().map(|(_, value)| std::str::from_utf8(value).expect("headers are text"));
    assert!(found.next().is_none(), "{name} stands twice");
    value
}

fn twin(kind: RecordKind, record: &CommittedRecord) -> Value {
    let json = json_twin(kind, record.record.value.as_deref().unwrap()).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// What the document says of keys, partitions and headers, of every record of a topic.
fn check_records(broker: &SimBroker, topic: TopicId, kind: RecordKind, content_type: &str) -> usize {
    let records = broker.committed_records(topic);
    for record in &records {
        let value = twin(kind, record);
        let account = value["account_id"].as_str().unwrap();
        assert_eq!(record.record.key.as_deref(), Some(account.as_bytes()));
        assert_eq!(record.at.partition, partition_of(account.as_bytes(), PARTITIONS));
        let (ce_type, time) = match kind {
            RecordKind::Score => ("accountpulse.score.v1", &value["as_of"]),
            RecordKind::Risk => ("accountpulse.risk.v1", &value["at"]),
        };
        let expected = [
            ("content-type", content_type),
            ("ce_specversion", "1.0"),
            ("ce_source", "/accountpulse"),
            ("ce_type", ce_type),
            ("ce_time", time.as_str().unwrap()),
            ("ce_subject", account),
        ];
        for (name, expected) in expected {
            assert_eq!(header(record, name), Some(expected), "{name}");
        }
        let id = header(record, "ce_id").unwrap();
        match kind {
            RecordKind::Score => assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}"),
            RecordKind::Risk => {
                let (episode, number) = (value["id"].as_str().unwrap(), &value["transition_seq"]);
                assert_eq!(id, format!("{episode}/{number}"));
            }
        }
        let own = record.record.headers.iter().any(|(name, _)| name == HEADER_DECISIONS);
        assert_eq!(own, kind == RecordKind::Score);
        assert_eq!(record.record.headers.len(), expected.len() + 1 + usize::from(own));
    }
    records.len()
}

#[test]
fn keys_partitions_and_headers_are_those_of_the_document() {
    for (encoding, content_type) in
        [(OutputEncoding::Json, "application/json"), (OutputEncoding::Protobuf, "application/x-protobuf")]
    {
        let broker = run(encoding, 0);
        assert!(check_records(&broker, SCORES, RecordKind::Score, content_type) > 100);
        assert!(check_records(&broker, RISKS, RecordKind::Risk, content_type) > 50);
    }
}

#[test]
fn protobuf_topics_say_what_json_topics_say() {
    let protobuf = run(OutputEncoding::Protobuf, 0);
    for (topic, kind) in [(SCORES, RecordKind::Score), (RISKS, RecordKind::Risk)] {
        let (ours, theirs) = (usual().committed_records(topic), protobuf.committed_records(topic));
        assert_eq!(ours.len(), theirs.len());
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert_ne!(theirs.record.value.as_deref().unwrap()[0], b'{');
            assert_eq!(twin(kind, ours), twin(kind, theirs));
            assert_eq!((ours.at, ours.offset), (theirs.at, theirs.offset));
            assert_eq!(header(ours, "ce_id"), header(theirs, "ce_id"));
        }
    }
}

/// The risks of one account in the order of its partition, with their ids.
fn risks_by_account(broker: &SimBroker) -> BTreeMap<String, Vec<(String, Value)>> {
    let mut by_account: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    for record in broker.committed_records(RISKS) {
        let account = String::from_utf8(record.record.key.clone().unwrap()).unwrap();
        let told = (header(&record, "ce_id").unwrap().to_owned(), twin(RecordKind::Risk, &record));
        by_account.entry(account).or_default().push(told);
    }
    by_account
}

#[test]
fn ids_name_records_wherever_commits_fall_and_in_a_replay() {
    let seldom = run(OutputEncoding::Json, 900);
    let risks = risks_by_account(usual());
    assert_eq!(risks, risks_by_account(&seldom));
    let mut replayed: BTreeMap<String, Vec<(String, Value)>> = BTreeMap::new();
    let lines = history().into_iter().map(|(_, _, value)| value).collect();
    for risk in replay(lines, until(), PARTITIONS).risks {
        let id = String::from_utf8(transition_id(&risk)).unwrap();
        replayed.entry(risk.account_id.clone()).or_default().push((id, serde_json::to_value(&risk).unwrap()));
    }
    assert_eq!(risks, replayed);
    let ids: BTreeSet<&String> = risks.values().flatten().map(|(id, _)| id).collect();
    assert_eq!(ids.len(), usual().committed_records(RISKS).len(), "no id stands twice");

    let scores = [usual().committed_records(SCORES), seldom.committed_records(SCORES)];
    assert_ne!(scores[0].len(), scores[1].len(), "which scores are published depends on the commits");
    let mut named: BTreeMap<String, Value> = BTreeMap::new();
    let mut last = [BTreeMap::new(), BTreeMap::new()];
    for (run, records) in scores.iter().enumerate() {
        let mut ids = BTreeSet::new();
        for record in records {
            let id = header(record, "ce_id").unwrap().to_owned();
            let value = twin(RecordKind::Score, record);
            let known = named.entry(id.clone()).or_insert_with(|| value.clone());
            assert_eq!(*known, value, "equal ids say the same");
            assert!(ids.insert(id), "an id stands twice");
            let shown = ["score", "band", "coverage", "risks"].map(|field| value[field].clone());
            last[run].insert(record.record.key.clone(), shown);
        }
    }
    assert_eq!(last[0], last[1], "the last score of an account does not depend on them");
}

#[test]
fn a_dead_letter_is_the_original_with_the_reason() {
    let letters = usual().committed_records(DEAD_LETTERS);
    assert_eq!(letters.len(), PARTITIONS as usize);
    for letter in letters {
        assert_eq!(letter.record.key.as_deref(), Some(&b"who"[..]));
        assert_eq!(letter.record.value.as_deref(), Some(BAD));
        assert_eq!(letter.record.timestamp_ms, 7);
        let input = TopicPartition { topic: INPUT, partition: letter.at.partition };
        let offset = (usual().watermarks(input).unwrap().end - 1).to_string();
        let partition = letter.at.partition.to_string();
        let expected = [
            (HEADER_TOPIC, INPUT_NAME),
            (HEADER_PARTITION, &*partition),
            (HEADER_OFFSET, &*offset),
            (HEADER_EXCEPTION, "Refusal"),
            (HEADER_STAGE, "decode"),
            (HEADER_TIMESTAMP, "7"),
        ];
        for (name, expected) in expected {
            assert_eq!(header(&letter, name), Some(expected), "{name}");
        }
        assert!(header(&letter, HEADER_MESSAGE).unwrap().contains("id"));
        assert!(!header(&letter, HEADER_CODE).unwrap().is_empty());
        let ours = expected.len() + 2;
        let own = OWN_HEADERS.map(|(name, value)| (name.to_owned(), value.to_vec()));
        assert_eq!(letter.record.headers[ours..], own, "as they were, behind ours");
    }
}

#[test]
fn the_document_names_every_header_and_transition_and_its_readers_skip_aborted_records() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/contract.md");
    let text = std::fs::read_to_string(path).unwrap();
    for topic in [SCORES, RISKS, DEAD_LETTERS] {
        for record in usual().committed_records(topic) {
            let is_own = |name: &&String| OWN_HEADERS.iter().any(|(own, _)| own == name);
            for name in record.record.headers.iter().map(|(name, _)| name).filter(|name| !is_own(name)) {
                assert!(text.contains(&format!("`{name}`")), "{name} is not in docs/contract.md");
            }
        }
    }
    for transition in Transition::ALL.map(Transition::name) {
        assert!(text.contains(&format!("**`{transition}`**")), "{transition} is not explained");
    }
    for language in ["python", "java"] {
        let (_, example) = text.split_once(&format!("```{language}\n")).unwrap();
        let (example, _) = example.split_once("```").unwrap();
        let isolation = example.to_lowercase().replace('_', ".");
        assert!(isolation.contains("isolation.level") && example.contains("read_committed"), "{language}");
    }
}
