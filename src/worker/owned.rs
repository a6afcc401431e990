//! A shard this worker owns, with its input partitions.
//!
//! Four meanings of "position" are kept apart: *fetched* (buffered here), *applied* (in the
//! state), *committed* (in the last transaction that landed) and *checkpointed* (in a page or
//! marker, see `rounds.rs`). Applied never goes backwards; a shard whose transaction failed is
//! dropped, never rolled back.
//! This room only keeps; it must not call the log.

use std::collections::VecDeque;

use super::breaker::Breaker;
use super::frontier::Heard;
use super::queued::Queued;
use super::rounds::Rounds;
use super::standstill::Stillness;
use crate::engine::Shard;
use crate::engine::record::RiskTransition;
use crate::log::{Offset, OutRecord, RecordBatch, TopicPartition};

/// One input partition of a shard.
pub(super) struct Lane<B> {
    /// Which partition.
    pub at: TopicPartition,
    /// Polled and not yet applied, in offset order.
    pub queue: VecDeque<Queued<B>>,
    /// About the memory that the queue holds.
    pub weight: usize,
    /// Not read for now: it has enough, and another input is waited for.
    pub rests: bool,
    /// Next offset to apply.
    pub applied: Offset,
    /// One past the last buffered record.
    pub fetched: Offset,
    /// Newest event time applied.
    pub newest_ms: Option<i64>,
    /// When the log last proved that there was nothing more, and what had been fetched then.
    drained: Option<(Offset, i64)>,
    /// The log said that nothing will ever come again.
    pub ended: bool,
    /// Counts undecodable records.
    pub breaker: Breaker,
    /// How long nothing came.
    pub still: Stillness,
}

impl<B: RecordBatch> Lane<B> {
    /// A partition that continues at `position`.
    pub fn new(at: TopicPartition, position: Offset, newest_ms: Option<i64>) -> Self {
        Lane {
            at,
            queue: VecDeque::new(),
            weight: 0,
            rests: false,
            applied: position,
            fetched: position,
            newest_ms,
            drained: None,
            ended: false,
            breaker: Breaker::default(),
            still: Stillness::default(),
        }
    }

    /// Takes a polled record. One below the fetched position was asked for twice and is known.
    pub fn push(&mut self, queued: Queued<B>) {
        let offset = queued.offset();
        if offset >= self.fetched {
            self.fetched = offset + 1;
            self.still = Stillness::default();
            self.weight += queued.weight();
            self.queue.push_back(queued);
        }
    }

    /// Puts back a queue whose first `taken` records were consumed.
    pub fn give_back(&mut self, mut queue: VecDeque<Queued<B>>, taken: usize) {
        if taken == queue.len() {
            // Mostly so, and then no record has to be looked at.
            queue.clear();
            self.weight = 0;
        } else {
            let gone: usize = queue.drain(..taken).map(|queued| queued.weight()).sum();
            self.weight = self.weight.saturating_sub(gone);
        }
        self.queue = queue;
    }

    /// Is not read until told otherwise, and frees the batches that its records came in.
    pub fn rest(&mut self) {
        self.rests = true;
        self.queue.iter_mut().for_each(Queued::keep);
    }

    /// Whether it says nothing although it is read: a merge by event time waits for it.
    pub fn is_missing(&self) -> bool {
        self.queue.is_empty() && !self.ended && !self.breaker.is_tripped()
    }

    /// Silence was heard: at `wall_ms` there was nothing beyond what has been fetched.
    pub fn note_drained(&mut self, wall_ms: i64) {
        self.drained = Some((self.fetched, wall_ms));
        self.still = Stillness::default();
    }

    /// Silence proves nothing any more.
    pub fn forget_drained(&mut self) {
        self.drained = None;
    }

    /// Forgets what was fetched and not applied; it will be read again.
    pub fn rewind(&mut self) {
        self.queue.clear();
        (self.weight, self.rests) = (0, false);
        self.fetched = self.applied;
        self.drained = None;
        self.ended = false;
    }

    /// What this partition has said; `head_ms` is the time of its next event, if one waits.
    pub fn heard(&self, head_ms: Option<i64>) -> Heard {
        // A proof counts once everything that was buffered before it has been applied.
        let drained_at_ms = self.drained.filter(|(needed, _)| self.applied >= *needed).map(|(_, at)| at);
        Heard {
            newest_ms: self.newest_ms,
            head_ms,
            drained_at_ms,
            ended: self.ended,
            held: self.breaker.is_tripped(),
        }
    }
}

/// A shard and everything that belongs to its tenure here.
pub(super) struct OwnedShard<B> {
    /// Which partition of every topic.
    pub partition: u32,
    /// The state.
    pub shard: Shard,
    /// Number of the last commit of this shard.
    pub commit: u64,
    /// Input partitions, in input order.
    pub lanes: Vec<Lane<B>>,
    /// Positions in that commit.
    pub committed: Vec<Offset>,
    /// Clock in that commit.
    pub committed_clock: Option<i64>,
    /// One past our last committed score: where a round's journal begins.
    pub journal: Offset,
    /// Pages.
    pub rounds: Rounds,
    /// Dead letters of events applied since that commit.
    pub dead_letters: Vec<OutRecord>,
    /// Their bytes.
    pub dead_letter_bytes: usize,
    /// Transitions that must go out with the next commit whatever else does.
    pub owed: Vec<RiskTransition>,
    /// The clock to record, when it is not the shard's own.
    pub recorded_clock: Option<i64>,
    /// How often the config of this state was changed.
    pub config_epoch: u64,
    /// The epoch was raised and is not committed yet.
    pub epoch_raised: bool,
    /// Wall time of the last commit of this shard, or of going live.
    pub last_commit_ms: i64,
    /// Wall time when the last round was closed.
    pub checkpointed_ms: i64,
}

impl<B: RecordBatch> OwnedShard<B> {
    /// Applied position per input.
    pub fn positions(&self) -> Vec<Offset> {
        self.lanes.iter().map(|lane| lane.applied).collect()
    }

    /// Whether an event was consumed since the last commit.
    pub fn moved(&self) -> bool {
        self.lanes.iter().zip(&self.committed).any(|(lane, committed)| lane.applied != *committed)
    }

    /// Inputs of which no event was consumed since the last commit.
    pub fn idle(&self) -> Vec<TopicPartition> {
        let lanes = self.lanes.iter().zip(&self.committed);
        lanes.filter(|(lane, committed)| lane.applied == **committed).map(|(lane, _)| lane.at).collect()
    }

    /// Whether the clock went on since the last commit.
    pub fn clock_moved(&self) -> bool {
        self.shard.clock_ms() != self.committed_clock
    }

    /// Whether the state is exactly what the last commit holds.
    pub fn is_clean(&self) -> bool {
        !self.moved()
            && !self.clock_moved()
            && !self.epoch_raised
            && self.dead_letters.is_empty()
            && self.owed.is_empty()
    }

    /// Whether something waits that the next commit must carry (a score alone may wait).
    pub fn is_pressing(&self) -> bool {
        self.moved() || self.epoch_raised || !self.dead_letters.is_empty() || !self.owed.is_empty()
    }

    /// Records buffered and not applied.
    pub fn buffered(&self) -> usize {
        self.lanes.iter().map(|lane| lane.queue.len()).sum()
    }

    /// About the memory they hold.
    pub fn weight(&self) -> usize {
        self.lanes.iter().map(|lane| lane.weight).sum()
    }
}
