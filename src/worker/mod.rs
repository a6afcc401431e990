//! The worker: owns shards, turns input into committed output, survives anything by starting
//! again from what was committed.
//!
//! [`Worker::step`] polls, applies, commits; it never blocks longer than the poll wait it was
//! given and reads no clock. A thread does nothing but call it and obey the [`Wake`]. Because a
//! step is a function of the log's answers and the time handed in, several workers run in one
//! thread of a test, with a crash between any two log calls.
//!
//! ```text
//!  Init ─▶ Waiting ─▶ Restoring ─▶ Assigning ─▶ Live ⇄ Committing
//!             ▲           │                       │        │
//!             │       (revoked)              (revoked, stop: a last commit)
//!             └────── Unassigning ◀───────────────┴────────┘ ─▶ Stopped
//!  anything unclear ─▶ Rebuild: drop this worker with its log handle, make a new one
//! ```
//!
//! # Rooms
//!
//! - `apply.rs` merge of a shard's inputs by event time; `frontier.rs` how far the clock may go;
//!   `flow.rs` how much input may wait; `breaker.rs` when an input partition is held; `dead_letter.rs`
//!   what becomes of bad input; `standstill.rs` inputs that say nothing although there is something
//! - `commit.rs` one transaction; `output.rs` its scores and transitions as records; `rounds.rs` which pages it carries; `format.rs` their bytes
//! - `restore/` recovery; `judge.rs` which checkpoint may be used
//! - `owned.rs` a shard and its inputs, `queued.rs` their records; `counts.rs` what happened;
//!   `settings.rs` limits; `planted.rs` what tests leave out on purpose
//!
//! # Crash-only
//!
//! After a fence, an abort, an error of the store or an outcome that stays unknown, nothing in
//! memory can be trusted to match the log. The worker says [`Wake::Rebuild`] and every later step
//! says it again. There is no other repair, so the path is exercised all the time.
//!
//! This room must not know how topics are stored, and must not decide what an event means.

mod apply;
mod breaker;
mod commit;
mod counts;
mod dead_letter;
mod flow;
pub mod format;
mod frontier;
mod judge;
mod output;
mod owned;
mod planted;
mod queued;
mod restore;
mod rounds;
mod settings;
mod standstill;
mod status;
mod step;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use apply::MAX_INPUTS;
pub use breaker::BreakerLimits;
pub use commit::PrepareError;
pub use counts::{CONSUMED_KINDS, MAX_FRESHNESS_SAMPLES, WorkerCounts};
pub use dead_letter::{
    HEADER_BY_REFERENCE, HEADER_CODE, HEADER_EXCEPTION, HEADER_KEY_BY_REFERENCE, HEADER_LEFT_OUT,
    HEADER_MESSAGE, HEADER_OFFSET, HEADER_PARTITION, HEADER_STAGE, HEADER_TIMESTAMP, HEADER_TOPIC,
    is_letter_header,
};
pub use output::{
    HEADER_CE_ID, HEADER_CE_SOURCE, HEADER_CE_SPECVERSION, HEADER_CE_SUBJECT, HEADER_CE_TIME, HEADER_CE_TYPE,
    HEADER_CONTENT_TYPE, HEADER_DECISIONS, OutputWriter,
};
pub use restore::{RestoreRefusal, Stall};
pub use settings::*;
pub use status::{HeldInput, PhaseName, ShardState, ShardStatus, WorkerStatus};

use crate::engine::EngineConfig;
use crate::engine::event::Intake;
use crate::log::{GroupMetadata, Log, LogError, Offset};
use commit::CommitCycle;
use format::StateIdentity;
use owned::OwnedShard;
use restore::Restore;
use standstill::Watch;

/// The time handed into a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Wall clock, UTC milliseconds.
    pub wall_ms: i64,
}

/// When and why to call [`Worker::step`] again.
#[derive(Debug)]
pub enum Wake {
    /// There is more to do now.
    Immediately,
    /// At this wall time, or earlier if you like.
    At(i64),
    /// Nothing to do until the log has something: call again, the poll waits.
    Idle,
    /// Drop this worker and its log handle and make a new one, after a pause that grows.
    Rebuild {
        /// Why.
        reason: Arc<RebuildReason>,
    },
    /// The graceful shutdown is complete.
    Stopped,
}

/// Why a worker cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RebuildReason {
    /// The log failed, or fenced this worker.
    #[error("the log handle is no longer usable: {0}")]
    Log(LogError),
    /// The outcome of a commit is unknown.
    #[error("the outcome of a commit is unknown; the committed positions will tell")]
    Unclear,
    /// Another owner replaced this one.
    #[error("another owner replaced this worker, or its transaction outlived its timeout")]
    Fenced,
    /// A commit took too long.
    #[error("a commit took longer than {timeout_ms} ms; look at the log's own latency")]
    CommitTimeout {
        /// The limit.
        timeout_ms: i64,
    },
    /// Recovery waited too long.
    #[error(
        "recovery waited {waited_ms} ms for {stall}; look for a transaction that hangs \
         (kafka-transactions.sh find-hanging names it)"
    )]
    RestoreStalled {
        /// For what.
        stall: Stall,
        /// How long.
        waited_ms: i64,
    },
    /// Recovery started over too often.
    #[error("recovery started over {restarts} times because another owner keeps committing")]
    RestoreRestarts {
        /// How often.
        restarts: u32,
    },
    /// A commit could not be put together.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// The log does not deliver what it has.
    #[error(
        "partition {partition} of {topic} stands at offset {offset}: for {waited_ms} ms nothing came, though a committed \
         record stands behind it and is found by another reader; a new client of the log begins to read anew"
    )]
    Standstill {
        /// Which input topic.
        topic: String,
        /// Which partition.
        partition: u32,
        /// The offset of the next record.
        offset: Offset,
        /// How long, once the record was known.
        waited_ms: i64,
    },
}

impl RebuildReason {
    /// The reason in a word, for metrics.
    pub const fn cause(&self) -> &'static str {
        match self {
            RebuildReason::Log(_) => "log",
            RebuildReason::Unclear => "unclear",
            RebuildReason::Fenced => "fenced",
            RebuildReason::CommitTimeout { .. } => "commit_timeout",
            RebuildReason::RestoreStalled { .. } => "restore_stalled",
            RebuildReason::RestoreRestarts { .. } => "restore_restarts",
            RebuildReason::Prepare(_) => "prepare",
            RebuildReason::Standstill { .. } => "standstill",
        }
    }
}

/// Settings that no worker can run with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// Too many (or no) input topics.
    #[error("{inputs} input topics are configured; give 1 to {MAX_INPUTS}")]
    Inputs {
        /// How many.
        inputs: usize,
    },
    /// No partitions.
    #[error("the topics have no partitions; create them with at least one")]
    Partitions,
    /// Worker and intake disagree.
    #[error(
        "the topics have {partitions} partitions, the intake expects {intake}; give both the same number"
    )]
    IntakePartitions {
        /// Of the topics.
        partitions: u32,
        /// Of the intake.
        intake: u32,
    },
}

/// What the worker is doing.
enum Phase<B> {
    /// Fencing its predecessor.
    Init,
    /// In the group, without partitions.
    Waiting,
    /// Recovering the shards of an assignment.
    Restoring(Box<Restore<B>>),
    /// Starting to read at the committed positions.
    Assigning,
    /// Applying.
    Live,
    /// A commit is on its way; nothing is polled or applied.
    Committing(Box<CommitCycle>),
    /// Giving the partitions back.
    Unassigning,
    /// Gracefully stopped.
    Stopped,
    /// Not usable any more.
    Broken(Arc<RebuildReason>),
}

/// One member of the group with the shards it owns. See the module.
pub struct Worker<L: Log> {
    log: L,
    settings: WorkerSettings,
    config: Arc<EngineConfig>,
    config_version: String,
    intake: Intake,
    identity: StateIdentity,
    phase: Phase<L::Batch>,
    shards: BTreeMap<u32, OwnedShard<L::Batch>>,
    /// State as of its last commit, from an assignment that was given back.
    parked: BTreeMap<u32, OwnedShard<L::Batch>>,
    refused: BTreeMap<u32, RestoreRefusal>,
    group: Option<GroupMetadata>,
    /// Fates of events that no commit holds yet.
    uncommitted: WorkerCounts,
    counts: WorkerCounts,
    /// The assignment was revoked: commit once more, then give it back.
    leaving: bool,
    stopping: bool,
    /// A commit is full; apply nothing until it has landed.
    full: bool,
    /// The next assignment goes on behind what is buffered instead of reading it again.
    keeps_buffered: bool,
    /// Which inputs stand still.
    watch: Watch,
    next_commit_ms: i64,
    /// The shard that applies and writes pages first; moves on with each commit.
    first: u32,
    /// Average size of a committed effect.
    effect_bytes: usize,
    /// Writes what is told, in the room of what was told before.
    output: OutputWriter,
    /// Config epoch of every shard this worker had.
    config_epochs: BTreeMap<u32, u64>,
}

/// Assumed size of an effect until some were committed.
const FIRST_EFFECT_BYTES: usize = 1_024;

impl<L: Log> Worker<L> {
    /// A worker over a fresh log handle. It does nothing before its first step.
    pub fn new(
        log: L,
        settings: WorkerSettings,
        config: Arc<EngineConfig>,
        intake: Intake,
    ) -> Result<Self, SettingsError> {
        settings.check(&intake)?;
        let partitions = settings.partitions;
        Ok(Worker {
            log,
            identity: StateIdentity {
                partitions,
                inputs: settings.inputs.iter().map(|input| input.name.clone()).collect(),
                person_key: intake.person_key.fingerprint(),
                engine: config.state_version(),
            },
            config_version: config.version(),
            config_epochs: settings.known_epochs.clone(),
            settings,
            config,
            intake,
            phase: Phase::Init,
            shards: BTreeMap::new(),
            parked: BTreeMap::new(),
            refused: BTreeMap::new(),
            group: None,
            uncommitted: WorkerCounts::default(),
            counts: WorkerCounts::default(),
            leaving: false,
            stopping: false,
            full: false,
            keeps_buffered: false,
            watch: Watch::default(),
            next_commit_ms: i64::MIN,
            first: 0,
            effect_bytes: FIRST_EFFECT_BYTES,
            output: OutputWriter::default(),
        })
    }

    /// Asks for a graceful end: no more polling, a last commit, the partitions given back, then
    /// [`Wake::Stopped`]. Not needed for correctness.
    pub fn request_stop(&mut self) {
        self.stopping = true;
    }

    /// What happened since the last call. Fates of events appear with the commit that holds them.
    pub fn take_counts(&mut self) -> WorkerCounts {
        std::mem::take(&mut self.counts)
    }

    /// The config epoch of every shard this worker had under its own config; hand them to the
    /// worker that replaces this one ([`WorkerSettings::known_epochs`]).
    pub fn config_epochs(&self) -> &BTreeMap<u32, u64> {
        &self.config_epochs
    }
}
