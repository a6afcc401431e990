//! What a contract test needs of an implementation, for each of them.

use std::sync::Arc;
use std::time::Duration;

use accountpulse::log::local::{AppendRecord, LocalLog, LocalOptions, LocalStore, LocalTopic, TopicKind};
use accountpulse::log::sim::{SimBroker, SimLog, SimOptions, SimRecord, SimTopic};
use accountpulse::log::{
    CommitOutcome, Drain, GroupMetadata, Log, Offset, OutRecord, Polled, RecordBatch, TopicId, TopicPartition,
};
use tempfile::TempDir;

pub const IN: TopicId = TopicId(0);
pub const OUT: TopicId = TopicId(1);
pub const STATE: TopicId = TopicId(2);
pub const PARTITIONS: u32 = 2;

/// An implementation with topics `IN` (input), `OUT` and `STATE` (compacted), two partitions each.
pub trait Harness {
    type Log: Log;
    fn open() -> Self;
    /// The same with room for about three small records per transaction or between drains.
    fn open_small() -> Self;
    /// A member that has finished `init`.
    fn member(&self) -> Self::Log;
    fn append(&self, at: TopicPartition, key: &str, value: &str) -> Offset;
    /// Lets compaction run where it is not part of the commit.
    fn compact(&self);
    /// Deletes records of an input below `before`.
    fn forget(&self, at: TopicPartition, before: Offset);
    /// Everything is closed and opened again; what was durable is there.
    fn reopen(self) -> Self;
}

pub struct Sim(SimBroker);

impl Sim {
    fn with(change: impl FnOnce(&mut SimOptions)) -> Self {
        let topic = |name: &str, input, compacted| SimTopic {
            name: name.into(),
            partitions: PARTITIONS,
            compacted,
            input,
        };
        let topics = vec![topic("in", true, false), topic("out", false, false), topic("state", false, true)];
        let mut options = SimOptions::new(topics);
        change(&mut options);
        Self(SimBroker::new(options))
    }
}

impl Harness for Sim {
    type Log = SimLog;

    fn open() -> Self {
        Self::with(|_| {})
    }

    fn open_small() -> Self {
        Self::with(|options| options.buffer_records = 3)
    }

    fn member(&self) -> SimLog {
        ready(self.0.member("worker"))
    }

    fn append(&self, at: TopicPartition, key: &str, value: &str) -> Offset {
        self.0.append(at, SimRecord::new(1, key.as_bytes(), value.as_bytes())).unwrap()
    }

    fn compact(&self) {
        self.0.compact(STATE, false);
    }

    fn forget(&self, at: TopicPartition, before: Offset) {
        self.0.delete_before(at, before).unwrap();
    }

    fn reopen(self) -> Self {
        self
    }
}

pub struct Local {
    pub store: Arc<LocalStore>,
    pub dir: TempDir,
    options: LocalOptions,
}

/// The topics of the contract; the input keeps its records for a second.
pub fn local_options() -> LocalOptions {
    let topic = |name: &str, kind, compacted, retention_ms| LocalTopic {
        name: name.into(),
        kind,
        compacted,
        retention_ms,
    };
    let topics = vec![
        topic("in", TopicKind::Input, false, Some(1000)),
        topic("out", TopicKind::Output, false, Some(1000)),
        topic("state", TopicKind::Output, true, None),
    ];
    LocalOptions::new(topics, PARTITIONS)
}

impl Local {
    fn with(options: LocalOptions) -> Self {
        let dir = TempDir::new().unwrap();
        Self { store: LocalStore::open(dir.path(), options.clone()).unwrap(), dir, options }
    }
}

impl Harness for Local {
    type Log = LocalLog;

    fn open() -> Self {
        Self::with(local_options())
    }

    fn open_small() -> Self {
        Self::with(LocalOptions { transaction_bytes: 100, ..local_options() })
    }

    fn member(&self) -> LocalLog {
        ready(self.store.member())
    }

    fn append(&self, at: TopicPartition, key: &str, value: &str) -> Offset {
        let (key, value) = (Some(key.into()), Some(value.into()));
        self.store
            .append(vec![AppendRecord { at, key, value, headers: Vec::new(), timestamp_ms: 1 }])
            .unwrap()[0]
    }

    fn compact(&self) {}

    fn forget(&self, at: TopicPartition, before: Offset) {
        self.store.set_retention_floor(at, before).unwrap();
        while self.store.delete_expired(1_000_000).unwrap() > 0 {}
    }

    fn reopen(self) -> Self {
        let Self { store, dir, options } = self;
        assert_eq!(Arc::strong_count(&store), 1, "a member is still alive");
        drop(store);
        Self { store: LocalStore::open(dir.path(), options.clone()).unwrap(), dir, options }
    }
}

fn ready<L: Log>(mut log: L) -> L {
    while !log.init().unwrap() {}
    log
}

pub fn at(topic: TopicId, partition: u32) -> TopicPartition {
    TopicPartition { topic, partition }
}

pub fn out(to: TopicPartition, key: &str, value: &str) -> OutRecord {
    let (key, value) = (Some(key.into()), Some(value.into()));
    OutRecord { to, key, value, headers: Vec::new(), timestamp_ms: 1 }
}

/// Polls until the assignment came.
pub fn assignment<L: Log>(log: &mut L) -> (Vec<u32>, GroupMetadata) {
    loop {
        if let Polled::Assigned { partitions, group } = log.poll(Duration::ZERO).unwrap() {
            return (partitions, group);
        }
    }
}

/// Begins, sends and drains.
pub fn put<L: Log>(log: &mut L, records: &[OutRecord]) {
    log.begin().unwrap();
    for record in records {
        log.send(record).unwrap();
    }
    while log.drain().unwrap() == Drain::Pending {}
}

/// Commits and expects it to succeed.
pub fn commit<L: Log>(log: &mut L) {
    loop {
        match log.commit().unwrap() {
            CommitOutcome::Pending => {}
            outcome => return assert_eq!(outcome, CommitOutcome::Committed),
        }
    }
}

pub fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

/// All committed values of a partition with their offsets.
pub fn read_all<L: Log>(log: &mut L, from: TopicPartition) -> Vec<(Offset, String)> {
    let mut position = log.watermarks(from).unwrap().start;
    let mut all = Vec::new();
    loop {
        let range = log.read_range(from, position, 1 << 20).unwrap();
        for index in 0..range.batch.len() {
            let record = range.batch.get(index);
            assert_eq!(record.at, from);
            all.push((record.offset, text(record.value)));
        }
        if range.position == position {
            return all;
        }
        position = range.position;
    }
}

/// The values of a partition.
pub fn values<L: Log>(log: &mut L, from: TopicPartition) -> Vec<String> {
    read_all(log, from).into_iter().map(|(_, value)| value).collect()
}

/// Polls until `count` records came; answers partition and value of each.
pub fn take<L: Log>(log: &mut L, count: usize) -> Vec<(u32, Offset, String)> {
    let mut all = Vec::new();
    while all.len() < count {
        if let Polled::Records(batch) = log.poll(Duration::ZERO).unwrap() {
            for index in 0..batch.len() {
                let record = batch.get(index);
                all.push((record.at.partition, record.offset, text(record.value)));
            }
        }
    }
    all
}
