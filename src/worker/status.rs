//! What a worker says about itself, for readiness, metrics and people.

use super::{Phase, Worker};
use crate::engine::partition::partition_of;
use crate::engine::{AccountState, ShardStats};
use crate::log::{Log, Offset, TopicId, TopicPartition};

/// What a worker is doing, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PhaseName {
    /// Fencing its predecessor.
    Starting,
    /// In the group, without partitions.
    Waiting,
    /// Recovering.
    Restoring,
    /// Applying and committing.
    Live,
    /// Giving its partitions back.
    Leaving,
    /// Gracefully stopped.
    Stopped,
    /// To be rebuilt.
    Broken,
}

/// An input partition left out because its records do not decode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeldInput {
    /// Which topic.
    pub topic: TopicId,
    /// The offset of the record it stopped at.
    pub offset: u64,
}

/// How a shard stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardState {
    /// It is served.
    Live,
    /// It cannot be served; the sentence says what is missing.
    Refused {
        /// The sentence.
        sentence: String,
    },
}

/// One shard.
#[derive(Clone, Debug)]
pub struct ShardStatus {
    /// Which.
    pub partition: u32,
    /// Live or refused.
    pub state: ShardState,
    /// Number of its last commit.
    pub commit: u64,
    /// Its clock.
    pub clock_ms: Option<i64>,
    /// Wall time of its last marker, or of its recovery.
    pub checkpointed_ms: Option<i64>,
    /// Committed position per input.
    pub committed: Vec<(TopicPartition, Offset)>,
    /// Polled records that wait.
    pub buffered: usize,
    /// About the memory they hold.
    pub buffered_bytes: usize,
    /// Inputs that are not read for now because they have enough.
    pub resting: usize,
    /// Input partitions that are held; the clock of the shard stands still.
    pub held: Vec<HeldInput>,
    /// What it holds.
    pub stats: Option<ShardStats>,
}

/// A worker at this moment.
#[derive(Clone, Debug)]
pub struct WorkerStatus {
    /// What it is doing.
    pub phase: PhaseName,
    /// Live, with every assigned shard served.
    pub ready: bool,
    /// While restoring: shards that stand, shards assigned.
    pub restored: Option<(usize, usize)>,
    /// Its shards, by partition.
    pub shards: Vec<ShardStatus>,
}

impl<L: Log> Worker<L> {
    /// One account as it stands in a shard of this worker.
    pub fn account(&mut self, account: &str) -> Option<AccountState> {
        let partition = partition_of(account.as_bytes(), self.settings.partitions);
        self.shards.get_mut(&partition)?.shard.account(account)
    }

    /// How the worker stands. Cheap enough for every scrape, not for every step.
    pub fn status(&self) -> WorkerStatus {
        let (phase, restored) = match &self.phase {
            Phase::Init => (PhaseName::Starting, None),
            Phase::Waiting => (PhaseName::Waiting, None),
            Phase::Restoring(restore) => (PhaseName::Restoring, Some(restore.progress())),
            Phase::Assigning if !self.keeps_buffered => (PhaseName::Restoring, None),
            Phase::Live | Phase::Committing(_) if self.leaving => (PhaseName::Leaving, None),
            Phase::Live | Phase::Committing(_) | Phase::Assigning => (PhaseName::Live, None),
            Phase::Unassigning => (PhaseName::Leaving, None),
            Phase::Stopped => (PhaseName::Stopped, None),
            Phase::Broken(_) => (PhaseName::Broken, None),
        };
        let mut shards: Vec<ShardStatus> = self.shards.values().map(live_status).collect();
        let refusals = match &self.phase {
            Phase::Restoring(restore) => &restore.refused,
            _ => &self.refused,
        };
        shards.extend(refusals.iter().map(|(partition, refusal)| ShardStatus {
            partition: *partition,
            state: ShardState::Refused { sentence: refusal.to_string() },
            commit: 0,
            clock_ms: None,
            checkpointed_ms: None,
            committed: Vec::new(),
            buffered: 0,
            buffered_bytes: 0,
            resting: 0,
            held: Vec::new(),
            stats: None,
        }));
        shards.sort_by_key(|shard| shard.partition);
        let ready = phase == PhaseName::Live && self.refused.is_empty();
        WorkerStatus { phase, ready, restored, shards }
    }
}

fn live_status<B: crate::log::RecordBatch>(owned: &super::OwnedShard<B>) -> ShardStatus {
    let held = owned.lanes.iter().filter(|lane| lane.breaker.is_tripped());
    ShardStatus {
        partition: owned.partition,
        state: ShardState::Live,
        commit: owned.commit,
        clock_ms: owned.shard.clock_ms(),
        checkpointed_ms: Some(owned.checkpointed_ms),
        committed: owned.lanes.iter().map(|lane| lane.at).zip(owned.committed.iter().copied()).collect(),
        buffered: owned.buffered(),
        buffered_bytes: owned.weight(),
        resting: owned.lanes.iter().filter(|lane| lane.rests).count(),
        held: held.map(|lane| HeldInput { topic: lane.at.topic, offset: lane.applied }).collect(),
        stats: Some(owned.shard.stats()),
    }
}
