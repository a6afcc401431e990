//! A log that measures its commits: passes every call on and records, from `begin` to the answer,
//! how long a transaction took and how it ended. The worker itself knows no metrics.

use std::time::{Duration, Instant};

use crate::clock;
use crate::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, ReadRange, SweepAs, TopicPartition, Watermarks,
};
use crate::telemetry::catalogue::{COMMIT_SECONDS, COMMITS};

/// See the module.
pub struct TimedLog<L> {
    log: L,
    began: Option<Instant>,
}

impl<L> TimedLog<L> {
    /// Measures `log`.
    pub fn new(log: L) -> TimedLog<L> {
        TimedLog { log, began: None }
    }
}

impl<L: Log> Log for TimedLog<L> {
    type Batch = L::Batch;

    fn init(&mut self) -> Result<bool, LogError> {
        self.log.init()
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled<Self::Batch>, LogError> {
        self.log.poll(wait)
    }

    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.log.assign(positions)
    }

    fn unassign(&mut self) -> Result<(), LogError> {
        self.log.unassign()
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.log.committed(partitions)
    }

    fn watermarks(&mut self, at: TopicPartition) -> Result<Watermarks, LogError> {
        self.log.watermarks(at)
    }

    fn read_range(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadRange<Self::Batch>, LogError> {
        self.log.read_range(at, from, max_bytes)
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.began = Some(clock::monotonic());
        self.log.begin()
    }

    fn send(&mut self, record: &OutRecord) -> Result<(), LogError> {
        self.log.send(record)
    }

    fn drain(&mut self) -> Result<Drain, LogError> {
        self.log.drain()
    }

    fn last_sent(&self, at: TopicPartition) -> Option<Offset> {
        self.log.last_sent(at)
    }

    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.log.send_offsets(positions, group)
    }

    fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        let outcome = self.log.commit();
        let result = match &outcome {
            Ok(CommitOutcome::Pending) => return outcome,
            Ok(CommitOutcome::Committed) => "committed",
            Ok(CommitOutcome::Indefinite) => "indefinite",
            Ok(CommitOutcome::Fenced) | Err(LogError::Fenced { .. }) => "fenced",
            Err(_) => "aborted",
        };
        COMMITS.add(&[result], 1);
        if let Some(began) = self.began.take() {
            COMMIT_SECONDS.observe(&[], clock::monotonic().duration_since(began).as_secs_f64());
        }
        outcome
    }

    fn settled(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.log.settled(partitions)
    }

    fn stable_end(&mut self, at: TopicPartition) -> Result<Offset, LogError> {
        self.log.stable_end(at)
    }

    fn sweep(&mut self, partitions: &[TopicPartition], how: SweepAs) -> Result<(), LogError> {
        self.log.sweep(partitions, how)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        COMMITS.add(&["aborted"], 1);
        self.began = None;
        self.log.abort()
    }
}
