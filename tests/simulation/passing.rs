//! How time passes in a world: what is appended meanwhile, which transactions the broker ends, and
//! when the end has come.

use std::collections::BTreeMap;

use accountpulse::engine::time::HOUR_MS;
use accountpulse::log::TopicPartition;
use accountpulse::worker::format::{Key, ShardRecord, decode};

use super::disturb::SLEEPER;
use super::history::PARTITIONS;
use super::setup::{CHECKPOINTS, Mode};
use super::world::{FAULTY_STEPS, World};

/// An input partition that is still being written.
pub struct Feed {
    pub at: TopicPartition,
    pub next: usize,
    pub closed: bool,
}

impl World {
    pub fn pass_time(&mut self) {
        self.true_ms += self.rng.below(4) as i64;
        let by_wall = self.traits.mode == Mode::Wall;
        // Before the first look time stands still but for moments.
        if by_wall && self.published.has_begun && self.true_ms < self.until_ms && self.rng.below(14) == 0 {
            let hours = 1 + self.rng.below(10) as i64;
            self.true_ms = (self.true_ms + hours * HOUR_MS).min(self.until_ms);
        }
        for index in 0..self.feeds.len() {
            self.feed(index);
        }
    }

    /// Appends what is due to an input partition, and closes it behind the last record.
    fn feed(&mut self, index: usize) {
        let Feed { at, next, closed } = self.feeds[index];
        if closed || (at.partition as usize == SLEEPER && self.step < self.sleep_until) {
            return;
        }
        let topic = usize::from(at.topic.0);
        let records = &self.history.records[topic][at.partition as usize];
        let lags = self.traits.lagging == Some(topic) && self.step < FAULTY_STEPS;
        let due = match self.traits.mode {
            Mode::Wall if records.get(next).is_some_and(|placed| placed.place_ms > self.true_ms) => next,
            Mode::Wall => records.partition_point(|placed| placed.place_ms <= self.true_ms),
            Mode::Event if lags => records.len() * self.step as usize / FAULTY_STEPS as usize,
            Mode::Event => records.len(),
        };
        for placed in records.get(next..due).unwrap_or_default() {
            self.broker.append(at, placed.record.clone()).unwrap();
            if lags {
                self.count("lagging topic");
            }
        }
        self.feeds[index].next = due.max(next);
        if due == records.len() && (self.traits.mode == Mode::Event || self.true_ms >= self.until_ms) {
            self.broker.close_input(at).unwrap();
            self.feeds[index].closed = true;
        }
    }

    /// The broker's transaction timeout.
    pub fn end_old_transactions(&mut self) {
        if !self.step.is_multiple_of(16) {
            return;
        }
        let mut open = BTreeMap::new();
        for transaction in self.broker.open_transactions() {
            let key = (transaction.producer.clone(), transaction.epoch);
            let since = self.open_since.get(&key).copied().unwrap_or(self.step);
            if transaction.outcome.is_none() && self.step - since > self.traits.transaction_steps {
                self.count("transaction timeout");
                self.broker.expire_transaction(&transaction.producer);
            }
            open.insert(key, since);
        }
        self.open_since = open;
    }

    pub fn has_begun(&mut self) -> bool {
        if self.step.is_multiple_of(16) {
            self.published.has_begun = self.clocks().len() == PARTITIONS as usize;
        }
        self.published.has_begun
    }

    /// Recorded clocks by partition.
    fn clocks(&self) -> BTreeMap<u32, i64> {
        let mut clocks: BTreeMap<u32, i64> = BTreeMap::new();
        let mut latest: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        self.broker.visit_committed(CHECKPOINTS, |at, _, record| {
            let key = Key::parse(record.key.as_deref().unwrap_or_default(), at.partition);
            if let (Some(Key::Shard), Some(value)) = (key, &record.value) {
                latest.insert(at.partition, value.clone());
            }
        });
        for (partition, value) in latest {
            let record = decode::<ShardRecord>(&value).ok();
            clocks.extend(record.and_then(|record| Some((partition, record.clock_ms?))));
        }
        clocks
    }

    /// Every shard's record says that time has passed to the end.
    pub fn is_complete(&self) -> bool {
        if !self.step.is_multiple_of(64) || self.true_ms < self.until_ms || !self.seems_complete() {
            return false;
        }
        let clocks = self.clocks();
        clocks.len() == PARTITIONS as usize && clocks.values().all(|clock| *clock >= self.until_ms)
    }

    /// A cheap look first: some worker's clock has come to the end.
    fn seems_complete(&self) -> bool {
        let workers = self.seats.iter().filter_map(|seat| seat.worker.as_ref());
        let mut clocks = workers.flat_map(|worker| worker.status().shards).map(|shard| shard.clock_ms);
        clocks.any(|clock| clock >= Some(self.until_ms))
    }
}
