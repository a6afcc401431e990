//! What a contract test needs of an implementation, and what it says to any of them.
//!
//! Nothing here takes the first answer for the last one: a cluster tells a change a moment after
//! it was made. Waits end with the answer, or after a time that is far longer than any wait that succeeds.

#![allow(dead_code, reason = "each test binary uses its part")]

use std::time::Duration;

use accountpulse::clock;
use accountpulse::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, RecordBatch, TopicId, TopicPartition,
};

pub const IN: TopicId = TopicId(0);
pub const OUT: TopicId = TopicId(1);
pub const STATE: TopicId = TopicId(2);
pub const PARTITIONS: u32 = 2;

/// One wait for something to happen.
const WAIT: Duration = Duration::from_millis(10);
/// Far longer than anything that is waited for takes.
const LONGEST: Duration = Duration::from_secs(120);

/// An implementation with topics `IN` (input), `OUT` and `STATE` (compacted), two partitions each.
pub trait Harness {
    type Log: Log;
    fn open() -> Self;
    /// The same with room for about three small records per transaction or between drains.
    fn open_small() -> Self;
    /// A member that has finished `init`.
    fn member(&self) -> Self::Log;
    fn append(&self, at: TopicPartition, key: &str, value: &str);
    /// Lets compaction run, where it can be told to.
    fn compact(&self);
    /// Deletes records of an input below `before`.
    fn forget(&self, at: TopicPartition, before: Offset);
    /// Everything is closed and opened again; what was durable is there.
    fn reopen(self) -> Self;
}

/// Asks until there is an answer.
pub fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let began = clock::monotonic();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(clock::monotonic().duration_since(began) < LONGEST, "{what} did not come");
    }
}

/// Finishes `init`.
pub fn ready<L: Log>(mut log: L) -> L {
    until("init", || log.init().unwrap().then_some(()));
    log
}

pub fn at(topic: TopicId, partition: u32) -> TopicPartition {
    TopicPartition { topic, partition }
}

pub fn out(to: TopicPartition, key: &str, value: &str) -> OutRecord {
    let (key, value) = (Some(key.into()), Some(value.into()));
    OutRecord { to, key, value, headers: Vec::new(), timestamp_ms: 1 }
}

/// The next thing that happens, whatever it is.
pub fn next<L: Log>(log: &mut L) -> Polled<L::Batch> {
    until("a happening", || match log.poll(WAIT).unwrap() {
        Polled::Idle => None,
        happening => Some(happening),
    })
}

/// Polls until the assignment came.
pub fn assignment<L: Log>(log: &mut L) -> (Vec<u32>, GroupMetadata) {
    until("the assignment", || match log.poll(WAIT).unwrap() {
        Polled::Assigned { partitions, group, .. } => Some((partitions, group)),
        _ => None,
    })
}

/// Polls until an error came.
pub fn poll_error<L: Log>(log: &mut L) -> LogError {
    until("an error", || log.poll(WAIT).err())
}

/// Begins, sends and drains.
pub fn put<L: Log>(log: &mut L, records: &[OutRecord]) {
    log.begin().unwrap();
    for record in records {
        log.send(record).unwrap();
    }
    until("every acknowledgement", || (log.drain().unwrap() == Drain::Done).then_some(()));
}

/// Commits and expects it to succeed.
pub fn commit<L: Log>(log: &mut L) {
    let outcome = until("the outcome", || match log.commit().unwrap() {
        CommitOutcome::Pending => None,
        outcome => Some(outcome),
    });
    assert_eq!(outcome, CommitOutcome::Committed);
}

/// The committed positions of the second and the first input partition.
pub fn committed<L: Log>(log: &mut L) -> Vec<Option<CommittedPosition>> {
    until("a stable position", || match log.committed(&[at(IN, 1), at(IN, 0)]).unwrap() {
        Committed::Positions(found) => Some(found),
        Committed::Pending => None,
    })
}

pub fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8(bytes.unwrap().to_vec()).unwrap()
}

/// Reads a partition to its end, once everything in it has its outcome; `with` sees every record.
pub fn read_with<L: Log>(log: &mut L, from: TopicPartition, mut with: impl FnMut(&L::Batch, usize)) {
    let marks = log.watermarks(from).unwrap();
    let mut position = marks.start;
    until("the end of the partition", || {
        if position >= marks.end {
            return Some(());
        }
        let range = log.read_range(from, position, 1 << 20).unwrap();
        for index in 0..range.batch.len() {
            let record = range.batch.get(index);
            assert_eq!(record.at, from);
            assert!((position..range.position).contains(&record.offset));
            with(&range.batch, index);
        }
        position = range.position;
        None
    });
}

/// All committed values of a partition with their offsets.
pub fn read_all<L: Log>(log: &mut L, from: TopicPartition) -> Vec<(Offset, String)> {
    let mut all = Vec::new();
    read_with(log, from, |batch, index| {
        let record = batch.get(index);
        all.push((record.offset, text(record.value)));
    });
    all
}

/// The values of a partition, once everything in it has its outcome.
pub fn values<L: Log>(log: &mut L, from: TopicPartition) -> Vec<String> {
    read_all(log, from).into_iter().map(|(_, value)| value).collect()
}

/// The newest value of each key, by key.
pub fn newest<L: Log>(log: &mut L, from: TopicPartition) -> Vec<(String, String)> {
    let mut all = std::collections::BTreeMap::new();
    read_with(log, from, |batch, index| {
        let record = batch.get(index);
        all.insert(text(record.key), text(record.value));
    });
    all.into_iter().collect()
}

/// How many records can be read now, although a transaction is open.
pub fn visible<L: Log>(log: &mut L, from: TopicPartition) -> usize {
    let mut position = log.watermarks(from).unwrap().start;
    let mut count = 0;
    loop {
        let range = log.read_range(from, position, 1 << 20).unwrap();
        count += range.batch.len();
        if range.position == position {
            return count;
        }
        position = range.position;
    }
}

/// Polls until `count` records came; answers partition, offset and value of each.
pub fn take<L: Log>(log: &mut L, count: usize) -> Vec<(u32, Offset, String)> {
    let mut all = Vec::new();
    until("enough records", || {
        if let Polled::Records(batch) = log.poll(WAIT).unwrap() {
            for index in 0..batch.len() {
                let record = batch.get(index);
                all.push((record.at.partition, record.offset, text(record.value)));
            }
        }
        (all.len() >= count).then_some(())
    });
    all
}
