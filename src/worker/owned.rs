//! A shard this worker owns, with its input partitions.
//!
//! Four meanings of "position" are kept apart: *fetched* (buffered here), *applied* (in the
//! state), *committed* (in the last transaction that landed) and *checkpointed* (in a page or
//! marker, see `rounds.rs`). Applied never goes backwards; a shard whose transaction failed is
//! dropped, never rolled back.
//! This room only keeps; it must not call the log.

use std::collections::VecDeque;
use std::sync::Arc;

use super::breaker::Breaker;
use super::frontier::Heard;
use super::rounds::Rounds;
use crate::engine::Shard;
use crate::engine::event::Headers;
use crate::engine::record::RiskTransition;
use crate::log::{Offset, OutRecord, RecordBatch, RecordRef, TopicPartition};

/// A polled record that waits for its turn; keeps its batch alive.
pub(super) struct Queued<B> {
    batch: Arc<B>,
    index: usize,
    offset: Offset,
}

impl<B: RecordBatch> Queued<B> {
    /// The record at `index` of `batch`, which has it at that offset.
    pub fn new(batch: Arc<B>, index: usize, offset: Offset) -> Self {
        Queued { batch, index, offset }
    }

    /// The record.
    pub fn record(&self) -> RecordRef<'_> {
        self.batch.get(self.index)
    }

    /// Its offset.
    pub fn offset(&self) -> Offset {
        self.offset
    }
}

impl<B: RecordBatch> Headers for Queued<B> {
    fn any(&self) -> bool {
        self.batch.has_headers(self.index)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.batch.header(self.index, name)
    }

    fn each<'h>(&'h self, see: &mut dyn FnMut(&'h str, &'h [u8])) {
        self.batch.each_header(self.index, see);
    }
}

/// The headers of a record of a batch that is only read.
pub(super) struct HeadersAt<'b, B> {
    /// The batch.
    pub batch: &'b B,
    /// Which record.
    pub index: usize,
}

impl<B: RecordBatch> Headers for HeadersAt<'_, B> {
    fn any(&self) -> bool {
        self.batch.has_headers(self.index)
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.batch.header(self.index, name)
    }

    fn each<'h>(&'h self, see: &mut dyn FnMut(&'h str, &'h [u8])) {
        self.batch.each_header(self.index, see);
    }
}

/// One input partition of a shard.
pub(super) struct Lane<B> {
    /// Which partition.
    pub at: TopicPartition,
    /// Polled and not yet applied, in offset order.
    pub queue: VecDeque<Queued<B>>,
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
}

impl<B: RecordBatch> Lane<B> {
    /// A partition that continues at `position`.
    pub fn new(at: TopicPartition, position: Offset, newest_ms: Option<i64>) -> Self {
        Lane {
            at,
            queue: VecDeque::new(),
            applied: position,
            fetched: position,
            newest_ms,
            drained: None,
            ended: false,
            breaker: Breaker::default(),
        }
    }

    /// Takes a polled record. One below the fetched position was asked for twice and is known.
    pub fn push(&mut self, queued: Queued<B>) {
        let offset = queued.offset();
        if offset >= self.fetched {
            self.fetched = offset + 1;
            self.queue.push_back(queued);
        }
    }

    /// Silence was heard: at `wall_ms` there was nothing beyond what has been fetched.
    pub fn note_drained(&mut self, wall_ms: i64) {
        self.drained = Some((self.fetched, wall_ms));
    }

    /// Silence proves nothing any more.
    pub fn forget_drained(&mut self) {
        self.drained = None;
    }

    /// Forgets what was fetched and not applied; it will be read again.
    pub fn rewind(&mut self) {
        self.queue.clear();
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
}
