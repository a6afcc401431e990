//! Every kind of bad record in a topic of a real Kafka, compressed in batches, with values larger
//! than anything we read and such that unpack to thousands of times their size on the wire.

#[path = "../../bad_input/kinds/mod.rs"]
mod kinds;
#[path = "../../bad_input/letters.rs"]
mod letters;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use accountpulse::clock;
use accountpulse::engine::event::Reason;
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::rfc3339;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};

use super::place::{PARTITIONS, Place};
use crate::support::{Listener, shared};
use kinds::{Draft, Kind, Near};
use letters::{Letter, Place as Stands, check_all};

/// Times that each kind is written.
const ROUNDS: usize = 2;
/// Good records between two bad ones: a topic that is bad as a whole would be held.
const GOOD: usize = 3;
const HUGE_BYTES: usize = 20_000_000;
/// What the process may ever hold in memory, the client library's queues included.
const MOST_BYTES: u64 = 400 << 20;
const WAIT: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(110);

/// Writes to one new topic and knows where each record stands.
struct Writing {
    producer: BaseProducer,
    topic: String,
    ends: BTreeMap<u32, u64>,
    good: usize,
}

impl Writing {
    fn write(&mut self, draft: &Draft) -> Stands {
        let mut headers = OwnedHeaders::new();
        for (name, value) in &draft.headers {
            headers = headers.insert(Header { key: name, value: Some(value) });
        }
        let mut record = BaseRecord::<[u8], [u8]>::to(&self.topic)
            .partition(draft.partition as i32)
            .timestamp(draft.timestamp_ms)
            .headers(headers);
        record.key = draft.key.as_deref();
        record.payload = draft.value.as_deref();
        while let Err((error, back)) = self.producer.send(record) {
            assert_eq!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::QueueFull), "{error}");
            self.producer.poll(WAIT);
            record = back;
        }
        let end = self.ends.entry(draft.partition).or_default();
        *end += 1;
        (self.topic.clone(), draft.partition, *end - 1)
    }

    fn write_good(&mut self, account: &str, at_ms: i64) {
        self.good += 1;
        let (n, at) = (self.good, rfc3339(at_ms));
        let value = format!(
            r#"{{"id":"good-{n}","account_id":"{account}","occurred_at":"{at}","login":{{"user_id":"u"}}}}"#
        );
        self.write(&Draft {
            key: Some(account.into()),
            value: Some(value.into_bytes()),
            headers: Vec::new(),
            timestamp_ms: at_ms,
            partition: partition_of(account.as_bytes(), PARTITIONS),
        });
    }
}

/// All kinds that Kafka takes, and values of 20 MB, with good records between them.
fn write(writing: &mut Writing, at_ms: i64) -> BTreeMap<Stands, (Kind, Draft)> {
    let mut bad = BTreeMap::new();
    let too_large = kinds::all().into_iter().find(|kind| kind.reason == Reason::TooLarge).unwrap();
    for n in 0..ROUNDS {
        let mut all: Vec<(Kind, Draft)> = Vec::new();
        for (index, kind) in kinds::all().into_iter().enumerate() {
            let near = Near { account: format!("acct-{}", index % 7), at_ms, n, partitions: PARTITIONS };
            all.push((kind, kind.draft(&near)));
        }
        // No broker has a record from before 1970 or after all time.
        all.retain(|(_, draft)| (1..i64::MAX).contains(&draft.timestamp_ms));
        for filling in [b' ', b'{'] {
            let mut draft =
                too_large.draft(&Near { account: "acct-1".into(), at_ms, n, partitions: PARTITIONS });
            draft.value = Some(vec![filling; HUGE_BYTES]);
            all.push((too_large, draft));
        }
        for (index, (kind, draft)) in all.into_iter().enumerate() {
            for turn in 0..GOOD {
                writing.write_good(&format!("acct-{}", (index + turn) % 7), at_ms);
            }
            let place = writing.write(&draft);
            assert!(bad.insert(place, (kind, draft)).is_none());
        }
    }
    writing.producer.flush(LONGEST).unwrap();
    bad
}

/// The committed records of the dead-letter topic.
fn read(topic: &str) -> Vec<Letter> {
    let mut config = shared().config();
    config.set("group.id", "reads-letters").set("isolation.level", "read_committed");
    config.set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
    }
    consumer.assign(&all).unwrap();
    let began = clock::monotonic();
    let (mut letters, mut ended) = (Vec::new(), BTreeSet::new());
    while ended.len() < PARTITIONS as usize {
        assert!(clock::monotonic().duration_since(began) < LONGEST, "{} letters", letters.len());
        let message = match consumer.poll(WAIT) {
            None => continue,
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                ended.insert(partition);
                continue;
            }
            Some(message) => message.unwrap(),
        };
        let headers = message.headers().map(|headers| headers.iter().collect()).unwrap_or(Vec::new());
        letters.push(Letter {
            partition: message.partition() as u32,
            key: message.key().map(<[u8]>::to_vec),
            value: message.payload().map(<[u8]>::to_vec),
            headers: headers
                .into_iter()
                .map(|header| (header.key.to_owned(), header.value.unwrap_or_default().to_vec()))
                .collect(),
            timestamp_ms: None,
        });
    }
    letters
}

#[test]
fn every_kind_of_bad_record_becomes_one_dead_letter() {
    let bootstrap = shared().bootstrap(Listener::Plain);
    let place = Place::new(&bootstrap, "bad").kafka("workers: 1");
    let topic = place.input_topic();
    let large = (2 * HUGE_BYTES).to_string();
    let settings = [
        ("max.message.bytes", large.as_str()),
        ("message.timestamp.type", "CreateTime"),
        ("retention.ms", "-1"),
    ];
    shared().create_topic(&topic, PARTITIONS, &settings);
    let mut config = shared().config();
    config.set("enable.idempotence", "true").set("compression.type", "zstd").set("linger.ms", "50");
    config.set("message.max.bytes", &large).set("queue.buffering.max.kbytes", "200000");
    let producer = config.create().unwrap();
    let mut writing = Writing { producer, topic, ends: BTreeMap::new(), good: 0 };
    let bad = write(&mut writing, clock::wall_ms() - 60_000);
    assert!(bad.len() >= 80 * ROUNDS, "{}", bad.len());

    let instance = place.start("one");
    instance.ready();
    let (consumed, all) = ("accountpulse_events_consumed_total", (bad.len() + writing.good) as f64);
    instance.process.wait_for(consumed, |consumed| consumed >= all);
    assert_eq!(instance.process.metric(consumed), all);
    let fates = ["applied", "duplicate", "late", "superseded", "limited", "rejected"];
    let fates = fates.map(|fate| instance.process.metric(&format!("accountpulse_events_{fate}_total")));
    assert_eq!(all, fates.iter().sum::<f64>(), "{fates:?}");
    assert_eq!(fates[0], writing.good as f64, "every good one was applied, and nothing else");
    assert_eq!(instance.process.metric("accountpulse_breaker_open"), 0.0);
    let most = most_bytes(instance.process.child.id());
    println!("{} bad records among {} good ones, {} MB at most", bad.len(), writing.good, most >> 20);
    assert!(most < MOST_BYTES, "{most} bytes");
    instance.stop();
    check_all(read(&place.topic("dead-letters")), &bad);
}

/// Most memory a process ever held.
fn most_bytes(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}
