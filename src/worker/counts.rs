//! What a worker did, as plain numbers. The app takes them and turns them into metrics; this
//! room knows no metric library.
//!
//! Conservation: every consumed record has exactly one fate, and fates are counted at the commit
//! that holds the record's position, so `consumed = applied + duplicate + late + superseded +
//! limited + dead-lettered` at any moment. Muted replay is counted apart.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::engine::Verdict;
use crate::engine::event::{Kind, Reason};

/// Kinds of event, and one place for records that could not be decoded.
pub const CONSUMED_KINDS: usize = Kind::ALL.len() + 1;
/// Most freshness samples kept between two calls of [`super::Worker::take_counts`].
pub const MAX_FRESHNESS_SAMPLES: usize = 1_024;

/// Rule, severity and transition of something told.
pub type Told = (Cow<'static, str>, &'static str, &'static str);

/// Counts since they were last taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkerCounts {
    /// Consumed records per input topic and kind (see [`Kind::ALL`]; the last place: undecodable).
    pub consumed: Vec<[u64; CONSUMED_KINDS]>,
    /// Changed the facts.
    pub applied: u64,
    /// Already known.
    pub duplicate: u64,
    /// Older than the horizon; also written as a dead letter.
    pub late: u64,
    /// An older state of an entity than the one that is known.
    pub superseded: u64,
    /// Forgotten at once because of a per-account limit.
    pub limited: u64,
    /// Dead letters by reason, in the order of [`Reason::ALL`]; late ones are in `late`.
    pub dead_lettered: [u64; Reason::ALL.len()],
    /// Records read again during recovery, without effect on the outside.
    pub replayed: u64,
    /// Journal records read during recovery.
    pub journal_records: u64,
    /// Committed transactions.
    pub commits: u64,
    /// Transitions of risks committed.
    pub transitions: u64,
    /// The same by rule, severity and transition.
    pub told: BTreeMap<Told, u64>,
    /// Scores committed.
    pub scores: u64,
    /// Page copies committed.
    pub pages: u64,
    /// Their bytes, compressed.
    pub page_bytes: u64,
    /// Markers committed, that is rounds closed.
    pub markers: u64,
    /// Shards recovered.
    pub restores: u64,
    /// Shards taken up again from parked state.
    pub reused: u64,
    /// Recoveries that used the older round.
    pub fallbacks: u64,
    /// Recoveries started over because the committed number had moved.
    pub restarts: u64,
    /// Transactions that hung and were ended.
    pub swept: u64,
    /// Shards refused.
    pub refused: u64,
    /// Recoveries of a whole assignment that were finished.
    pub recoveries: u64,
    /// Time that these took, summed.
    pub restore_ms: i64,
    /// The part of it in which input was read again, from the last checkpoint to the last commit.
    pub tail_ms: i64,
    /// Breakers tripped.
    pub held: u64,
    /// From the instant of an event or deadline to its committed transition, a sample.
    pub freshness_ms: Vec<i64>,
}

impl WorkerCounts {
    /// Everything consumed.
    pub fn consumed_total(&self) -> u64 {
        self.consumed.iter().flatten().sum()
    }

    /// Everything with a fate; equals [`Self::consumed_total`].
    pub fn fates_total(&self) -> u64 {
        let dead: u64 = self.dead_lettered.iter().sum();
        self.applied + self.duplicate + self.late + self.superseded + self.limited + dead
    }

    pub(super) fn consume(&mut self, input: usize, kind: Option<Kind>) {
        if self.consumed.len() <= input {
            self.consumed.resize(input + 1, [0; CONSUMED_KINDS]);
        }
        let place = kind.map_or(CONSUMED_KINDS - 1, |kind| kind as usize);
        self.consumed[input][place] += 1;
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Applied => self.applied += 1,
            Verdict::Duplicate => self.duplicate += 1,
            Verdict::Late => self.late += 1,
            Verdict::Superseded => self.superseded += 1,
            Verdict::Limited => self.limited += 1,
        }
    }

    pub(super) fn refusal(&mut self, reason: Reason) {
        self.dead_lettered[reason as usize] += 1;
    }

    pub(super) fn sample_freshness(&mut self, ms: i64) {
        if self.freshness_ms.len() < MAX_FRESHNESS_SAMPLES {
            self.freshness_ms.push(ms);
        }
    }

    /// Adds other counts to these.
    pub fn add(&mut self, other: WorkerCounts) {
        let WorkerCounts { consumed, dead_lettered, freshness_ms, .. } = &other;
        if self.consumed.len() < consumed.len() {
            self.consumed.resize(consumed.len(), [0; CONSUMED_KINDS]);
        }
        let ours = self.consumed.iter_mut().flatten();
        ours.zip(consumed.iter().flatten()).for_each(|(a, b)| *a += b);
        self.dead_lettered.iter_mut().zip(dead_lettered).for_each(|(a, b)| *a += b);
        freshness_ms.iter().for_each(|ms| self.sample_freshness(*ms));
        self.applied += other.applied;
        self.duplicate += other.duplicate;
        self.late += other.late;
        self.superseded += other.superseded;
        self.limited += other.limited;
        self.replayed += other.replayed;
        self.journal_records += other.journal_records;
        self.commits += other.commits;
        self.transitions += other.transitions;
        other.told.iter().for_each(|(which, count)| *self.told.entry(which.clone()).or_default() += count);
        self.scores += other.scores;
        self.pages += other.pages;
        self.page_bytes += other.page_bytes;
        self.markers += other.markers;
        self.restores += other.restores;
        self.reused += other.reused;
        self.fallbacks += other.fallbacks;
        self.restarts += other.restarts;
        self.swept += other.swept;
        self.refused += other.refused;
        self.recoveries += other.recoveries;
        self.restore_ms += other.restore_ms;
        self.tail_ms += other.tail_ms;
        self.held += other.held;
    }
}
