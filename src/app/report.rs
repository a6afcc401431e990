//! From what the workers counted and how they stand to metrics and readiness. Called between
//! steps, at most a few times a second.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use crate::engine::event::{Kind, Reason};
use crate::engine::rule::RULES;
use crate::ingest::health::Health;
use crate::log::{Offset, TopicId, TopicPartition};
use crate::telemetry::catalogue::*;
use crate::worker::{PhaseName, ShardState, ShardStatus, WorkerCounts, WorkerStatus};

/// One past the newest record of a partition, as far as it is known.
pub type End<'a> = &'a dyn Fn(TopicPartition) -> Option<Offset>;

/// What the workers of an instance report to: metrics speak of all of them together.
pub struct Board {
    /// Names of the input topics, by number.
    topics: Vec<String>,
    partitions: u32,
    health: Arc<Health>,
    beats_ms: Vec<AtomicI64>,
    places: Mutex<Vec<Place>>,
}

/// What one worker reported last.
#[derive(Default)]
struct Place {
    status: Option<WorkerStatus>,
    /// Records behind each committed position.
    waiting: BTreeMap<(TopicId, u32), u64>,
}

/// One worker's way to the board.
pub struct Reporter {
    board: Arc<Board>,
    worker: usize,
}

impl Board {
    /// A board for so many workers.
    pub fn new(topics: Vec<String>, partitions: u32, workers: usize, health: Arc<Health>) -> Arc<Board> {
        Arc::new(Board {
            topics,
            partitions,
            health,
            beats_ms: (0..workers).map(|_| AtomicI64::new(0)).collect(),
            places: Mutex::new((0..workers).map(|_| Place::default()).collect()),
        })
    }

    /// The reporter of a worker.
    pub fn reporter(self: &Arc<Board>, worker: usize) -> Reporter {
        Reporter { board: Arc::clone(self), worker }
    }

    fn publish(&self, places: &[Place], now_ms: i64) {
        let all = || places.iter().filter_map(|place| place.status.as_ref());
        let live = |status: &WorkerStatus| status.phase == PhaseName::Live;
        let assigned = |status: &WorkerStatus| live(status) || status.phase == PhaseName::Restoring;
        let told = places.iter().all(|place| place.status.is_some());
        self.health.assigned.store(told && all().all(assigned), Relaxed);
        self.health.restored.store(told && all().all(|status| status.ready), Relaxed);
        let shards: Vec<&ShardStatus> = all().flat_map(|status| &status.shards).collect();
        let refused: Vec<&str> = shards.iter().filter_map(|shard| refusal(shard)).collect();
        self.health.note_refused(in_one(&refused));
        let waiting = places.iter().flat_map(|place| place.waiting.values()).sum();
        self.health.waiting.store(waiting, Relaxed);
        HEARTBEAT.set(&[], now_ms as f64 / 1000.0);
        READY.set(&[], if self.health.is_ready() { 1.0 } else { 0.0 });
        SHARDS_REFUSED.set(&[], refused.len() as f64);
        let buffered: usize = shards.iter().map(|shard| shard.buffered_bytes).sum();
        BUFFERED_BYTES.set(&[], buffered as f64);
        self.inputs(places, &shards);
        if all().any(live) {
            self.shards(&shards, now_ms);
        }
    }

    fn shards(&self, shards: &[&ShardStatus], now_ms: i64) {
        let mut bands = [0u64; BANDS.len()];
        let mut firing: BTreeMap<&str, u64> = RULES.iter().map(|rule| (rule.key, 0)).collect();
        for shard in shards {
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
        let owned: BTreeSet<u32> = shards.iter().map(|shard| shard.partition).collect();
        for partition in (0..self.partitions).filter(|partition| !owned.contains(partition)) {
            // What another instance took over must not seem to stand still here.
            CLOCK_DELAY.set(&[&partition.to_string()], 0.0);
            CHECKPOINT_AGE.set(&[&partition.to_string()], 0.0);
        }
        for (band, count) in BANDS.iter().zip(bands) {
            ACCOUNTS.set(&[band], count as f64);
        }
        for (rule, count) in firing {
            RISKS_FIRING.set(&[rule], count as f64);
        }
    }

    fn inputs(&self, places: &[Place], shards: &[&ShardStatus]) {
        let held: BTreeSet<(u32, TopicId)> = shards
            .iter()
            .flat_map(|shard| shard.held.iter().map(|held| (shard.partition, held.topic)))
            .collect();
        for partition in 0..self.partitions {
            let label = partition.to_string();
            for (number, topic) in (0u16..).zip(&self.topics) {
                let topic_id = TopicId(number);
                let open = held.contains(&(partition, topic_id));
                BREAKER_OPEN.set(&[topic, &label], if open { 1.0 } else { 0.0 });
                let waiting = places.iter().find_map(|place| place.waiting.get(&(topic_id, partition)));
                RECORDS_WAITING.set(&[topic, &label], waiting.copied().unwrap_or(0) as f64);
            }
        }
    }
}

/// Why a shard is not served.
fn refusal(shard: &ShardStatus) -> Option<&str> {
    match &shard.state {
        ShardState::Live => None,
        ShardState::Refused { sentence } => Some(sentence),
    }
}

/// The first of them, and how many there are beside it.
fn in_one(refused: &[&str]) -> Option<String> {
    let (first, more) = refused.split_first()?;
    Some(if more.is_empty() { (*first).to_owned() } else { format!("{first} (and {} more)", more.len()) })
}

impl Reporter {
    /// The worker finished a step.
    pub fn beat(&self, wall_ms: i64) {
        let beats = &self.board.beats_ms;
        if let Some(beat) = beats.get(self.worker) {
            beat.store(wall_ms, Relaxed);
        }
        // The instance lives as long as its slowest worker does.
        let slowest = beats.iter().map(|beat| beat.load(Relaxed)).min().unwrap_or(wall_ms);
        self.board.health.heartbeat_ms.store(slowest, Relaxed);
    }

    /// What happened since the last call.
    pub fn counts(&self, counts: &WorkerCounts) {
        for (topic, kinds) in self.board.topics.iter().zip(&counts.consumed) {
            let names = Kind::ALL.map(Kind::name).into_iter().chain([UNDECODABLE]);
            for (name, count) in names.zip(kinds).filter(|(_, count)| **count > 0) {
                EVENTS_CONSUMED.add(&[topic, name], *count);
            }
        }
        for (reason, count) in Reason::ALL.iter().zip(counts.dead_lettered).filter(|(_, count)| *count > 0) {
            EVENTS_REJECTED.add(&[reason.code()], count);
        }
        for ((rule, severity, transition), count) in &counts.told {
            RISKS_PUBLISHED.add(&[rule, severity, transition], *count);
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
            (&SWEPT, counts.swept),
        ];
        for (metric, count) in totals.into_iter().filter(|(_, count)| *count > 0) {
            metric.add(&[], count);
        }
        for ms in &counts.freshness_ms {
            EVENT_TO_RISK.observe(&[], (*ms).max(0) as f64 / 1000.0);
        }
        if counts.recoveries > 0 {
            RESTORE_SECONDS.set(&[], counts.restore_ms as f64 / 1000.0);
        }
    }

    /// How the worker stands.
    pub fn status(&self, status: &WorkerStatus, now_ms: i64, end: End<'_>) {
        let mut waiting = BTreeMap::new();
        for (at, position) in status.shards.iter().flat_map(|shard| &shard.committed) {
            if let Some(end) = end(*at) {
                waiting.insert((at.topic, at.partition), end.saturating_sub(*position));
            }
        }
        let mut places = self.board.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get_mut(self.worker) {
            *place = Place { status: Some(status.clone()), waiting };
        }
        self.board.publish(&places, now_ms);
    }
}
