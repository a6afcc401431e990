//! What the owner of a worker decides: topics, limits, intervals. Every limit has a name, a unit
//! and a default here. This room must not read files: `config/` checks, the app hands over.

use std::collections::BTreeMap;
use std::time::Duration;

use super::SettingsError;
use super::apply::MAX_INPUTS;
use super::breaker::BreakerLimits;
pub use super::frontier::ClockMode;
#[doc(hidden)]
pub use super::planted::{Break, Planted};
use crate::engine::event::{Encoding, Intake};
use crate::engine::record::OutputEncoding;
use crate::log::TopicId;

/// Time between the starts of two commits, while there is something to commit.
pub const DEFAULT_COMMIT_INTERVAL_MS: i64 = 50;
/// Time between two commits that carry nothing but a moved clock.
pub const DEFAULT_HEARTBEAT_MS: i64 = 3_000;
/// Most effects (scores and transitions) of one commit, timers included.
pub const DEFAULT_MAX_EFFECTS: usize = 20_000;
/// About the most bytes of effects and dead letters of one commit.
pub const DEFAULT_MAX_COMMIT_BYTES: usize = 4 * 1024 * 1024;
/// Time between the starts of two rounds of pages.
pub const DEFAULT_ROUND_MS: i64 = 30_000;
/// Pages are added to a commit until they have this many bytes (one page always may).
pub const DEFAULT_PAGE_BYTES_PER_COMMIT: usize = 1024 * 1024;
/// A page copy is split into records of about this size.
pub const DEFAULT_PAGE_SPLIT_BYTES: usize = 512 * 1024;
/// Records held in memory between two polls; above it the worker applies before it polls. They are
/// applied in one go, which must not outlast the commit interval by much.
pub const DEFAULT_MAX_BUFFERED_RECORDS: usize = 10_000;
/// About the memory that polled and not yet applied records may hold; above it the worker polls no
/// more. While one input is waited for in event mode, those that have enough are not read.
pub const DEFAULT_MAX_BUFFERED_BYTES: usize = 64 * 1024 * 1024;
/// Bytes asked for in one read during recovery.
pub const DEFAULT_READ_BYTES: usize = 4 * 1024 * 1024;
/// Largest value that a dead letter carries; larger ones are kept by reference.
pub const DEFAULT_MAX_DEAD_LETTER_BYTES: usize = 768 * 1024;
/// A commit that takes longer than this is given up and the worker rebuilt.
pub const DEFAULT_COMMIT_TIMEOUT_MS: i64 = 60_000;
/// Recovery that makes no progress for this long is given up: the longest time an open
/// transaction may live, plus the interval at which a broker ends such transactions.
pub const DEFAULT_RESTORE_STALL_MS: i64 = 90_000;
/// Recovery that has waited this long for a transaction takes it for one that hangs.
pub const DEFAULT_SWEEP_AFTER_MS: i64 = 45_000;
/// An input partition that says nothing for this long is looked after, and if it holds back a record
/// for as long again the worker is rebuilt. Far longer than a broker holds an answer back.
pub const DEFAULT_STANDSTILL_MS: i64 = 30_000;
/// Pause before a call is repeated that the log could not answer.
pub const DEFAULT_RETRY_MS: i64 = 100;
/// Longest wait in a poll.
pub const DEFAULT_POLL_WAIT: Duration = Duration::from_millis(20);

/// An input topic.
#[derive(Clone, Debug)]
pub struct InputTopic {
    /// Which topic of the log.
    pub topic: TopicId,
    /// Its name, for dead letters and messages.
    pub name: String,
    /// How its values are encoded.
    pub encoding: Encoding,
}

/// The topics the worker writes.
#[derive(Clone, Copy, Debug)]
pub struct OutputTopics {
    /// Scores, compacted; their headers are the journal of decisions.
    pub scores: TopicId,
    /// Risk transitions.
    pub risks: TopicId,
    /// Refused input.
    pub dead_letters: TopicId,
    /// Pages, markers and shard records, compacted; ours alone.
    pub checkpoints: TopicId,
}

/// Everything a worker is told.
#[derive(Clone, Debug)]
pub struct WorkerSettings {
    /// Input topics; the place in this list is the engine's `Input` and part of the state: new
    /// topics are added at the end.
    pub inputs: Vec<InputTopic>,
    /// Output topics.
    pub outputs: OutputTopics,
    /// How scores and risks are written. A change needs no other change: readers find the encoding
    /// of each record in its headers, and recovery reads none of them.
    pub output_encoding: OutputEncoding,
    /// Partitions of every topic.
    pub partitions: u32,
    /// Where "now" comes from.
    pub clock: ClockMode,
    /// In event mode: how far the clock goes when every input has ended, if not to the newest event.
    pub until_ms: Option<i64>,
    /// See [`DEFAULT_POLL_WAIT`].
    pub poll_wait: Duration,
    /// See [`DEFAULT_COMMIT_INTERVAL_MS`].
    pub commit_interval_ms: i64,
    /// See [`DEFAULT_HEARTBEAT_MS`].
    pub heartbeat_ms: i64,
    /// See [`DEFAULT_MAX_EFFECTS`].
    pub max_effects: usize,
    /// See [`DEFAULT_MAX_COMMIT_BYTES`].
    pub max_commit_bytes: usize,
    /// See [`DEFAULT_ROUND_MS`].
    pub round_ms: i64,
    /// See [`DEFAULT_PAGE_BYTES_PER_COMMIT`].
    pub page_bytes_per_commit: usize,
    /// See [`DEFAULT_PAGE_SPLIT_BYTES`].
    pub page_split_bytes: usize,
    /// See [`DEFAULT_MAX_BUFFERED_RECORDS`].
    pub max_buffered_records: usize,
    /// See [`DEFAULT_MAX_BUFFERED_BYTES`].
    pub max_buffered_bytes: usize,
    /// See [`DEFAULT_READ_BYTES`].
    pub read_bytes: usize,
    /// See [`DEFAULT_MAX_DEAD_LETTER_BYTES`].
    pub max_dead_letter_bytes: usize,
    /// See [`DEFAULT_COMMIT_TIMEOUT_MS`].
    pub commit_timeout_ms: i64,
    /// See [`DEFAULT_RESTORE_STALL_MS`].
    pub restore_stall_ms: i64,
    /// See [`DEFAULT_SWEEP_AFTER_MS`].
    pub sweep_after_ms: i64,
    /// See [`DEFAULT_STANDSTILL_MS`].
    pub standstill_ms: i64,
    /// See [`DEFAULT_RETRY_MS`].
    pub retry_ms: i64,
    /// When an input partition is held.
    pub breaker: BreakerLimits,
    /// The config epochs this process reached before, by shard (from
    /// [`super::Worker::config_epochs`] of the worker this one replaces). A shard with a later
    /// epoch and another config has been taken over by a newer config and is given up.
    pub known_epochs: BTreeMap<u32, u64>,
    /// Evaluate every account after a recovery and refuse the shard if anything comes out. Costs
    /// a full evaluation: for tests.
    pub audit_restores: bool,
    /// A part of the recovery protocol left out on purpose, to show that the simulation finds it.
    #[doc(hidden)]
    pub planted: Planted,
}

impl WorkerSettings {
    /// Settings with every default.
    pub fn new(inputs: Vec<InputTopic>, outputs: OutputTopics, partitions: u32, clock: ClockMode) -> Self {
        WorkerSettings {
            inputs,
            outputs,
            output_encoding: OutputEncoding::default(),
            partitions,
            clock,
            until_ms: None,
            poll_wait: DEFAULT_POLL_WAIT,
            commit_interval_ms: DEFAULT_COMMIT_INTERVAL_MS,
            heartbeat_ms: DEFAULT_HEARTBEAT_MS,
            max_effects: DEFAULT_MAX_EFFECTS,
            max_commit_bytes: DEFAULT_MAX_COMMIT_BYTES,
            round_ms: DEFAULT_ROUND_MS,
            page_bytes_per_commit: DEFAULT_PAGE_BYTES_PER_COMMIT,
            page_split_bytes: DEFAULT_PAGE_SPLIT_BYTES,
            max_buffered_records: DEFAULT_MAX_BUFFERED_RECORDS,
            max_buffered_bytes: DEFAULT_MAX_BUFFERED_BYTES,
            read_bytes: DEFAULT_READ_BYTES,
            max_dead_letter_bytes: DEFAULT_MAX_DEAD_LETTER_BYTES,
            commit_timeout_ms: DEFAULT_COMMIT_TIMEOUT_MS,
            restore_stall_ms: DEFAULT_RESTORE_STALL_MS,
            sweep_after_ms: DEFAULT_SWEEP_AFTER_MS,
            standstill_ms: DEFAULT_STANDSTILL_MS,
            retry_ms: DEFAULT_RETRY_MS,
            breaker: BreakerLimits::default(),
            known_epochs: BTreeMap::new(),
            audit_restores: false,
            planted: Planted::default(),
        }
    }

    /// Whether a worker can run with these and that intake.
    pub fn check(&self, intake: &Intake) -> Result<(), SettingsError> {
        let inputs = self.inputs.len();
        if inputs == 0 || inputs > MAX_INPUTS {
            return Err(SettingsError::Inputs { inputs });
        }
        let partitions = self.partitions;
        if partitions == 0 {
            return Err(SettingsError::Partitions);
        }
        if intake.partitions != partitions {
            return Err(SettingsError::IntakePartitions { partitions, intake: intake.partitions });
        }
        Ok(())
    }

    /// Whether that break is planted.
    pub(super) fn breaks(&self, which: Break) -> bool {
        self.planted.is(which)
    }
}
