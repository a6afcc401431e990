//! The worker on a simulated log with one input topic, stepped by hand, so that what it takes in
//! memory can be counted.

use std::sync::Arc;
use std::time::Duration;

use accountpulse::engine::EngineConfig;
use accountpulse::engine::event::{Encoding, Intake, PersonKey};
use accountpulse::engine::record::OutputEncoding;
use accountpulse::log::sim::{SimBroker, SimLog, SimOptions, SimRecord, SimTopic};
use accountpulse::log::{Offset, TopicId, TopicPartition};
use accountpulse::worker::{
    BreakerLimits, ClockMode, InputTopic, Now, OutputTopics, Wake, Worker, WorkerCounts, WorkerSettings,
};

use super::kinds::Draft;
use super::letters::Letter;

pub const PARTITIONS: u32 = 4;
/// 2026-02-02T09:00:00Z
pub const START_MS: i64 = 1_770_022_800_000;
pub const INPUT_NAME: &str = "events.v1";
const INPUT: TopicId = TopicId(0);
const DEAD_LETTERS: TopicId = TopicId(3);
const TOPICS: [(&str, bool); 5] = [
    (INPUT_NAME, false),
    ("scores.v1", true),
    ("risks.v1", false),
    ("dead-letters.v1", false),
    ("checkpoints.v1", true),
];
/// More steps than any of these tests needs for one thing.
const STEPS: usize = 100_000;

pub struct Bench {
    broker: SimBroker,
    worker: Worker<SimLog>,
    wall_ms: i64,
    pub counts: WorkerCounts,
}

pub fn intake() -> Intake {
    Intake { person_key: PersonKey::new([7; 16]), skew_ms: 600_000, partitions: PARTITIONS }
}

impl Bench {
    /// A live worker that holds no partition, however bad it is.
    pub fn new() -> Bench {
        let topics = TOPICS.into_iter().enumerate().map(|(index, (name, compacted))| SimTopic {
            name: name.to_owned(),
            partitions: PARTITIONS,
            compacted,
            input: index == 0,
        });
        let broker = SimBroker::new(SimOptions::new(topics.collect()));
        let outputs = OutputTopics {
            scores: TopicId(1),
            risks: TopicId(2),
            dead_letters: DEAD_LETTERS,
            checkpoints: TopicId(4),
        };
        let input = InputTopic { topic: INPUT, name: INPUT_NAME.to_owned(), encoding: Encoding::Auto };
        let mut settings =
            WorkerSettings::new(vec![input], outputs, PARTITIONS, ClockMode::Wall { lateness_ms: 0 });
        settings.poll_wait = Duration::ZERO;
        settings.output_encoding = OutputEncoding::Json;
        settings.breaker = BreakerLimits { consecutive: u32::MAX, window: 1_000, bad_percent: 101 };
        let worker =
            Worker::new(broker.member("w"), settings, Arc::new(EngineConfig::default()), intake()).unwrap();
        let mut bench = Bench { broker, worker, wall_ms: START_MS, counts: WorkerCounts::default() };
        bench.until("the worker is live", |bench| bench.worker.status().ready);
        bench
    }

    /// Appends a record to the input topic; its offset.
    pub fn append(&self, draft: &Draft) -> Offset {
        let record = SimRecord {
            timestamp_ms: draft.timestamp_ms,
            key: draft.key.clone(),
            value: draft.value.clone(),
            headers: draft.headers.clone(),
        };
        let at = TopicPartition { topic: INPUT, partition: draft.partition };
        self.broker.append(at, record).unwrap()
    }

    /// Steps until something is so.
    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&Bench) -> bool) {
        for _ in 0..STEPS {
            if is_so(self) {
                return;
            }
            self.wall_ms += 10;
            let wake = self.worker.step(Now { wall_ms: self.wall_ms });
            assert!(!matches!(wake, Wake::Rebuild { .. }), "{wake:?}");
            self.counts.add(self.worker.take_counts());
            assert_eq!(self.counts.consumed_total(), self.counts.fates_total());
        }
        panic!("it never comes to it that {what}: {:?}", self.counts);
    }

    /// Steps until so many records were consumed in all.
    pub fn consume(&mut self, records: u64) {
        self.until("everything is consumed", |bench| bench.counts.consumed_total() >= records);
        assert_eq!(self.counts.consumed_total(), records);
    }

    /// The committed dead letters.
    pub fn letters(&self) -> Vec<Letter> {
        let records = self.broker.committed_records(DEAD_LETTERS).into_iter();
        let letters = records.map(|found| Letter {
            partition: found.at.partition,
            key: found.record.key,
            value: found.record.value,
            headers: found.record.headers,
            timestamp_ms: Some(found.record.timestamp_ms),
        });
        letters.collect()
    }
}
