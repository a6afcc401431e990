//! Input partitions that say nothing although there is something to say.
//!
//! A client of the log may cease to deliver one partition without a word: a forwarding that was
//! forgotten, a fetch that is never repeated. Everything else goes on, and the lag of this one
//! grows for ever. So what is read and stands still for long is looked after: does a reader of its
//! own find a committed record behind the position? If so, and it has not come after as long
//! again, the worker is dropped and made anew; a new client begins with a new fetch.
//!
//! Everything that stands still for another reason is left alone. Time counts only where the log
//! was asked and all it had was taken: not without room for more, not in a commit or a recovery,
//! and not while the log does not answer. Proved silence, an end, a hold and a rest are no
//! standstill. And only a *record* is something to deliver: what was aborted, the marks of
//! transactions and whatever stands behind an open one are not.
//!
//! This room must not conclude anything for the clock: silence that nobody has heard holds it
//! anyway (`frontier.rs`).

use super::owned::Lane;
use super::planted::Break;
use super::{Now, RebuildReason, Worker};
use crate::log::{Log, LogError, Offset, RecordBatch, TopicPartition};

/// Most time that counts between two polls, so that a clock that is set forward makes nothing old.
const LONGEST_MS: i64 = 1_000;
/// Reads of one look before it is put off: the first of a reader only starts its fetch.
const MAX_READS: u32 = 20;
/// A read ends with the first record.
const ONE_RECORD: usize = 1;

/// How long an input partition has stood still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Stillness {
    /// Time that counts.
    for_ms: i64,
    /// There is a committed record behind its position.
    withheld: bool,
}

/// What is watched of the inputs together.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// When everything the log had was taken last.
    heard_out_ms: Option<i64>,
    look: Option<Look>,
}

/// A look for a record behind the position of a partition, one call of the log after the other.
#[derive(Debug)]
struct Look {
    at: TopicPartition,
    /// Where the partition stands.
    stands: Offset,
    /// How far the look has come, and how far it goes once that is known.
    position: Offset,
    end: Option<Offset>,
    reads: u32,
}

/// What a step of a look came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    NotYet,
    Record,
    Nothing,
}

impl Look {
    fn new(at: TopicPartition, stands: Offset) -> Look {
        Look { at, stands, position: stands, end: None, reads: 0 }
    }

    fn step<L: Log>(&mut self, log: &mut L) -> Result<Found, LogError> {
        let Some(end) = self.end else {
            let end = log.stable_end(self.at)?;
            self.end = Some(end);
            return Ok(if end > self.position { Found::NotYet } else { Found::Nothing });
        };
        let range = log.read_range(self.at, self.position, ONE_RECORD)?;
        if !range.batch.is_empty() {
            return Ok(Found::Record);
        }
        self.position = range.position;
        self.reads += 1;
        let over = self.position >= end || self.reads >= MAX_READS;
        Ok(if over { Found::Nothing } else { Found::NotYet })
    }
}

impl<B: RecordBatch> Lane<B> {
    /// Whether it is read and has not ended.
    fn is_read(&self) -> bool {
        !self.rests && !self.ended && !self.breaker.is_tripped()
    }
}

impl<L: Log> Worker<L> {
    fn all_lanes(&mut self) -> impl Iterator<Item = &mut Lane<L::Batch>> {
        self.shards.values_mut().flat_map(|owned| &mut owned.lanes)
    }

    /// Everything the log had is taken: what is read and has said nothing stands still.
    pub(super) fn note_heard_out(&mut self, now: Now) {
        let before = self.watch.heard_out_ms.replace(now.wall_ms).unwrap_or(now.wall_ms);
        let passed_ms = now.wall_ms.saturating_sub(before).clamp(0, LONGEST_MS);
        for lane in self.all_lanes().filter(|lane| lane.is_read()) {
            lane.still.for_ms = lane.still.for_ms.saturating_add(passed_ms);
        }
    }

    /// Nothing stands still any more: the log does not answer, or reading begins anew.
    pub(super) fn forget_standstill(&mut self) {
        self.watch = Watch::default();
        self.all_lanes().for_each(|lane| lane.still = Stillness::default());
    }

    /// Looks after what has stood still for long, with one call of the log at most.
    pub(super) fn look_after_inputs(&mut self) -> Result<(), RebuildReason> {
        if self.settings.breaks(Break::StandstillIgnored) {
            return Ok(());
        }
        let Some(mut look) = self.next_look()? else { return Ok(()) };
        let still = match look.step(&mut self.log) {
            Ok(Found::NotYet) => {
                self.watch.look = Some(look);
                return Ok(());
            }
            Ok(found) => Stillness { for_ms: 0, withheld: found == Found::Record },
            Err(LogError::Unavailable { .. }) => {
                self.forget_standstill();
                return Ok(());
            }
            Err(error) => return Err(RebuildReason::Log(error)),
        };
        if let Some(lane) = self.lane(look.at) {
            lane.still = still;
        }
        Ok(())
    }

    /// The look that is under way, or one that is due.
    fn next_look(&mut self) -> Result<Option<Look>, RebuildReason> {
        if let Some(look) = self.watch.look.take()
            && self.lane(look.at).is_some_and(|lane| lane.is_read() && lane.fetched == look.stands)
        {
            return Ok(Some(look));
        }
        let limit_ms = self.settings.standstill_ms;
        let due = |lane: &&mut Lane<L::Batch>| lane.is_read() && lane.still.for_ms >= limit_ms;
        let Some(lane) = self.all_lanes().find(due) else { return Ok(None) };
        let (at, offset) = (lane.at, lane.fetched);
        if !lane.still.withheld {
            return Ok(Some(Look::new(at, offset)));
        }
        let known = self.settings.inputs.iter().find(|input| input.topic == at.topic);
        let topic = known.map_or("?", |input| input.name.as_str()).to_owned();
        Err(RebuildReason::Standstill { topic, partition: at.partition, offset, waited_ms: limit_ms })
    }
}
