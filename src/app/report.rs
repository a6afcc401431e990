//! From what a worker counted and how it stands to metrics and readiness. Called between steps, at
//! most a few times a second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use crate::engine::event::{Kind, Reason};
use crate::engine::rule::RULES;
use crate::ingest::health::Health;
use crate::log::local::LocalStore;
use crate::log::{TopicId, TopicPartition};
use crate::telemetry::catalogue::*;
use crate::worker::{PhaseName, ShardState, WorkerCounts, WorkerStatus};

/// Writes metrics and readiness.
pub struct Reporter {
    /// Names of the input topics, by number.
    pub topics: Vec<String>,
    /// Where the records that wait are seen.
    pub store: Arc<LocalStore>,
    /// What requests for health read.
    pub health: Arc<Health>,
}

impl Reporter {
    /// What happened since the last call.
    pub fn counts(&self, counts: &WorkerCounts) {
        for (topic, kinds) in self.topics.iter().zip(&counts.consumed) {
            let names = Kind::ALL.map(Kind::name).into_iter().chain([UNDECODABLE]);
            for (name, count) in names.zip(kinds).filter(|(_, count)| **count > 0) {
                EVENTS_CONSUMED.add(&[topic, name], *count);
            }
        }
        for (reason, count) in Reason::ALL.iter().zip(counts.dead_lettered).filter(|(_, count)| *count > 0) {
            EVENTS_REJECTED.add(&[reason.code()], count);
        }
        let totals = [
            (&EVENTS_APPLIED, counts.applied),
            (&EVENTS_DUPLICATE, counts.duplicate),
            (&EVENTS_LATE, counts.late),
            (&EVENTS_SUPERSEDED, counts.superseded),
            (&EVENTS_LIMITED, counts.limited),
            (&EVENTS_REPLAYED, counts.replayed),
            (&SCORES_PUBLISHED, counts.scores),
            (&CHECKPOINT_ROUNDS, counts.markers),
            (&CHECKPOINT_BYTES, counts.page_bytes),
        ];
        for (metric, count) in totals.into_iter().filter(|(_, count)| *count > 0) {
            metric.add(&[], count);
        }
        for ms in &counts.freshness_ms {
            EVENT_TO_RISK.observe(&[], (*ms).max(0) as f64 / 1000.0);
        }
        if counts.restores > 0 {
            RESTORE_SECONDS.set(&[], counts.restore_ms as f64 / 1000.0);
        }
    }

    /// How the worker stands.
    pub fn status(&self, status: &WorkerStatus, now_ms: i64) {
        let live = status.phase == PhaseName::Live;
        self.health.assigned.store(live || status.phase == PhaseName::Restoring, Relaxed);
        self.health.restored.store(status.ready, Relaxed);
        self.health.waiting.store(self.waiting(), Relaxed);
        HEARTBEAT.set(&[], now_ms as f64 / 1000.0);
        READY.set(&[], if self.health.is_ready() { 1.0 } else { 0.0 });
        let refused = status.shards.iter().filter(|shard| shard.state != ShardState::Live).count();
        SHARDS_REFUSED.set(&[], refused as f64);
        self.held(status);
        if live {
            self.shards(status, now_ms);
        }
    }

    fn shards(&self, status: &WorkerStatus, now_ms: i64) {
        let mut bands = [0u64; BANDS.len()];
        let mut firing: BTreeMap<&str, u64> = RULES.iter().map(|rule| (rule.key, 0)).collect();
        for shard in &status.shards {
            let partition = shard.partition.to_string();
            let age = |at_ms: i64| now_ms.saturating_sub(at_ms).max(0) as f64 / 1000.0;
            if let Some(clock_ms) = shard.clock_ms {
                CLOCK_DELAY.set(&[&partition], age(clock_ms));
            }
            if let Some(at_ms) = shard.checkpointed_ms {
                CHECKPOINT_AGE.set(&[&partition], age(at_ms));
            }
            let Some(stats) = &shard.stats else { continue };
            // The engine lists bands worst first, the metric best first and unknown last.
            let worst_first = stats.by_band.iter().rev().chain([&stats.unknown]);
            bands.iter_mut().zip(worst_first).for_each(|(sum, count)| *sum += count);
            for (rule, _, count) in &stats.firing {
                *firing.entry(rule).or_default() += count;
            }
        }
        for (band, count) in BANDS.iter().zip(bands) {
            ACCOUNTS.set(&[band], count as f64);
        }
        for (rule, count) in firing {
            RISKS_FIRING.set(&[rule], count as f64);
        }
    }

    fn held(&self, status: &WorkerStatus) {
        for partition in 0..self.store.partitions() {
            for (number, topic) in (0u16..).zip(&self.topics) {
                let of_partition = status.shards.iter().filter(|shard| shard.partition == partition);
                let held =
                    of_partition.flat_map(|shard| &shard.held).any(|held| held.topic == TopicId(number));
                BREAKER_OPEN.set(&[topic, &partition.to_string()], if held { 1.0 } else { 0.0 });
            }
        }
    }

    /// Records behind the committed positions, per input partition into the metrics, summed back.
    pub fn waiting(&self) -> u64 {
        let mut sum = 0;
        for (number, topic) in (0u16..).zip(&self.topics) {
            for partition in 0..self.store.partitions() {
                let at = TopicPartition { topic: TopicId(number), partition };
                // A log that cannot answer has told the worker already.
                let (Ok(marks), Ok(position)) = (self.store.watermarks(at), self.store.position(at)) else {
                    continue;
                };
                let position = position.map_or(marks.start, |committed| committed.position);
                let waiting = marks.end.saturating_sub(position);
                RECORDS_WAITING.set(&[topic, &partition.to_string()], waiting as f64);
                sum += waiting;
            }
        }
        sum
    }
}
