//! The implementations that need nothing but this process.

use std::sync::Arc;

use accountpulse::log::local::{LocalLog, LocalOptions, LocalStore, LocalTopic, TopicKind};
use accountpulse::log::sim::{SimBroker, SimLog, SimOptions, SimRecord, SimTopic};
use accountpulse::log::{AppendRecord, Offset, TopicPartition};
use tempfile::TempDir;

use super::harness::{Harness, PARTITIONS, STATE, ready};

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

    fn append(&self, at: TopicPartition, key: &str, value: &str) {
        self.0.append(at, SimRecord::new(1, key.as_bytes(), value.as_bytes())).unwrap();
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

    fn append(&self, at: TopicPartition, key: &str, value: &str) {
        let (key, value) = (Some(key.into()), Some(value.into()));
        self.store
            .append(vec![AppendRecord { at, key, value, headers: Vec::new(), timestamp_ms: 1 }])
            .unwrap();
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
