//! From buffered records to state: the merge of a shard's input partitions by event time.
//!
//! Always the head with the smallest (event time, input) is applied, and before it the clock is
//! moved to just below it, so that a deadline between two events fires between them. In event
//! mode a head is applied only when every input has one (or has ended): then the outcome is a
//! function of the partitions' content alone. In wall mode nobody waits; the lateness allowance
//! and the engine's merge rules absorb the difference.
//!
//! An undecodable record is put aside as soon as it is at the head; its time counts for nothing.
//! The pass stops when the commit is full, and continues after it at the same place.
//! This room must not call the log.

use std::collections::VecDeque;

use super::breaker::OnBad;
use super::counts::WorkerCounts;
use super::dead_letter::{Stage, dead_letter, size_of};
use super::frontier::frontier;
use super::owned::{Lane, OwnedShard};
use super::planted::Break;
use super::queued::Queued;
use super::settings::WorkerSettings;
use crate::engine::event::{Event, Headers, Intake, RawRecord, Refusal};
use crate::engine::{Input, Shard, Verdict};
use crate::log::{RecordBatch, RecordRef};

/// What may still be added to the commit by this shard.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    /// Effects.
    pub effects: usize,
    /// Bytes of dead letters.
    pub dead_letter_bytes: usize,
}

/// How a pass ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pass {
    /// Everything that may be applied now is applied.
    Done,
    /// The commit is full; more waits.
    Full,
}

/// What a pass needs beside the shard.
pub(super) struct PassContext<'c> {
    pub settings: &'c WorkerSettings,
    pub intake: &'c Intake,
    pub wall_ms: i64,
    pub room: Room,
}

/// The next record of an input partition.
enum Head<'q> {
    /// Not looked at yet.
    Unread,
    /// Nothing is buffered.
    Empty,
    /// An event.
    Event(Event<'q>),
    /// Not an event.
    Refused(Refusal),
}

impl Head<'_> {
    fn time_ms(&self) -> Option<i64> {
        match self {
            Head::Event(event) => Some(event.occurred_at_ms),
            _ => None,
        }
    }
}

/// Applies what is buffered, moves the clock as far as the inputs have spoken, and counts.
pub(super) fn apply_pass<B: RecordBatch>(
    owned: &mut OwnedShard<B>,
    context: &PassContext<'_>,
    counts: &mut WorkerCounts,
) -> Pass {
    // The queues are borrowed by the decoded heads while the rest of the shard changes.
    let queues: Vec<VecDeque<Queued<B>>> =
        owned.lanes.iter_mut().map(|lane| std::mem::take(&mut lane.queue)).collect();
    let mut taken = vec![0_usize; queues.len()];
    let pass = merge(owned, &queues, &mut taken, context, counts);
    for ((lane, queue), taken) in owned.lanes.iter_mut().zip(queues).zip(taken) {
        lane.give_back(queue, taken);
    }
    pass
}

fn merge<'q, B: RecordBatch>(
    owned: &mut OwnedShard<B>,
    queues: &'q [VecDeque<Queued<B>>],
    taken: &mut [usize],
    context: &PassContext<'_>,
    counts: &mut WorkerCounts,
) -> Pass {
    let mut heads: Vec<Head<'q>> = queues.iter().map(|_| Head::Unread).collect();
    if !owned.shard.evaluate_some(context.room.effects.saturating_sub(owned.owed.len())) {
        return Pass::Full;
    }
    loop {
        for (index, head) in heads.iter_mut().enumerate() {
            if matches!(head, Head::Unread) {
                if taken[index].is_multiple_of(Shard::APPROACHED) {
                    let next = queues[index].iter().skip(taken[index]).take(Shard::APPROACHED);
                    owned.shard.approach(next.filter_map(|queued| queued.record().key));
                }
                *head = read_head(queues[index].get(taken[index]), index, &owned.lanes[index], context);
            }
        }
        if is_full(owned, context.room) {
            return Pass::Full;
        }
        if let Some(index) = heads.iter().position(|head| matches!(head, Head::Refused(_))) {
            let head = std::mem::replace(&mut heads[index], Head::Unread);
            if let (Head::Refused(refusal), Some(queued)) = (head, queues[index].get(taken[index]))
                && put_aside(owned, index, queued, &refusal, context, counts)
            {
                taken[index] += 1;
            }
            continue;
        }
        let next = earliest(&heads).filter(|_| all_spoke(owned, &heads, context));
        if !advance(owned, &heads, next.map(|(_, at)| at), context) {
            return Pass::Full;
        }
        let Some((index, _)) = next else { return Pass::Done };
        if let (Head::Event(event), Some(queued)) = (&heads[index], queues[index].get(taken[index])) {
            apply_one(owned, index, queued, event, context, counts);
            taken[index] += 1;
        }
        heads[index] = Head::Unread;
    }
}

fn read_head<'q, B: RecordBatch>(
    queued: Option<&'q Queued<B>>,
    index: usize,
    lane: &Lane<B>,
    context: &PassContext<'_>,
) -> Head<'q> {
    let Some(queued) = queued.filter(|_| !lane.breaker.is_tripped()) else { return Head::Empty };
    match decode(context.intake, context.settings, index, &queued.record(), queued) {
        Ok(event) => Head::Event(event),
        Err(refusal) => Head::Refused(refusal),
    }
}

/// Decodes a record of input `index`. What it says depends on the record alone: its headers are
/// part of it, here and in the replay of a recovery.
pub(super) fn decode<'r>(
    intake: &Intake,
    settings: &WorkerSettings,
    index: usize,
    record: &RecordRef<'r>,
    headers: &'r dyn Headers,
) -> Result<Event<'r>, Refusal> {
    intake.decode(RawRecord {
        key: record.key,
        value: record.value,
        timestamp_ms: record.timestamp_ms,
        partition: record.at.partition,
        encoding: settings.inputs[index].encoding,
        headers,
    })
}

fn is_full<B: RecordBatch>(owned: &OwnedShard<B>, room: Room) -> bool {
    owned.shard.pending_effects() + owned.owed.len() >= room.effects
        || owned.dead_letter_bytes >= room.dead_letter_bytes
}

/// The head to apply next. Offsets need no comparison: there is one head per input.
fn earliest(heads: &[Head<'_>]) -> Option<(usize, i64)> {
    let timed = heads.iter().enumerate().filter_map(|(index, head)| Some((index, head.time_ms()?)));
    timed.min_by_key(|(index, at)| (*at, *index))
}

/// In event mode a head may be applied only when no other input could still bring an earlier one.
fn all_spoke<B: RecordBatch>(owned: &OwnedShard<B>, heads: &[Head<'_>], context: &PassContext<'_>) -> bool {
    !context.settings.clock.is_event()
        || owned
            .lanes
            .iter()
            .zip(heads)
            .all(|(lane, head)| head.time_ms().is_some() || lane.ended || lane.breaker.is_tripped())
}

/// Moves the clock as far as it may go before the event at `next_ms` (or at all, if none waits).
/// `false`: the commit is full and deadlines are left.
fn advance<B: RecordBatch>(
    owned: &mut OwnedShard<B>,
    heads: &[Head<'_>],
    next_ms: Option<i64>,
    context: &PassContext<'_>,
) -> bool {
    let settings = context.settings;
    let upto = next_ms.map_or(i64::MAX, |next_ms| next_ms.saturating_sub(1));
    let is_there = |target| owned.shard.clock_ms().is_some_and(|clock| clock >= target);
    if is_there(upto) {
        return true;
    }
    let heard = owned.lanes.iter().zip(heads).map(|(lane, head)| lane.heard(head.time_ms()));
    let spoken = frontier(settings.clock, heard, context.wall_ms, settings.until_ms);
    let Some(target) = spoken.map(|spoken| spoken.min(upto)).filter(|target| !is_there(*target)) else {
        return true;
    };
    if settings.breaks(Break::DecisionsAreClean) {
        owned.rounds.mark_due(owned.shard.take_dirty());
    }
    let reached = owned.shard.advance(target, context.room.effects.saturating_sub(owned.owed.len()));
    if settings.breaks(Break::DecisionsAreClean) {
        drop(owned.shard.take_dirty());
    }
    if reached < target && settings.breaks(Break::ClockAsFrontier) {
        owned.recorded_clock = Some(target);
    }
    reached >= target && !owned.shard.is_evaluating()
}

/// Most input topics of a worker.
pub const MAX_INPUTS: usize = 32;

fn apply_one<B: RecordBatch>(
    owned: &mut OwnedShard<B>,
    index: usize,
    queued: &Queued<B>,
    event: &Event<'_>,
    context: &PassContext<'_>,
    counts: &mut WorkerCounts,
) {
    let lane = &mut owned.lanes[index];
    lane.breaker.good(&context.settings.breaker);
    lane.applied = queued.offset() + 1;
    lane.newest_ms = lane.newest_ms.max(Some(event.occurred_at_ms));
    counts.consume(index, Some(event.kind()));
    match owned.shard.apply(input_of(context.settings, index), event) {
        Ok(Verdict::Late) => {
            counts.verdict(Verdict::Late);
            push_letter(owned, index, queued, &Refusal::late(event), Stage::Apply, context);
        }
        Ok(verdict) => counts.verdict(verdict),
        Err(refusal) => {
            counts.refusal(refusal.reason);
            push_letter(owned, index, queued, &refusal, Stage::Apply, context);
        }
    }
}

/// The engine's name of the input at `index`.
pub(super) fn input_of(settings: &WorkerSettings, index: usize) -> Input {
    if settings.breaks(Break::FilterAcrossInputs) {
        return Input(0);
    }
    // At most MAX_INPUTS inputs, checked when the worker is made.
    Input(u16::try_from(index).unwrap_or(u16::MAX))
}

/// Whether the record was consumed; if not, its partition is held from here on.
fn put_aside<B: RecordBatch>(
    owned: &mut OwnedShard<B>,
    index: usize,
    queued: &Queued<B>,
    refusal: &Refusal,
    context: &PassContext<'_>,
    counts: &mut WorkerCounts,
) -> bool {
    let lane = &mut owned.lanes[index];
    if lane.breaker.bad(&context.settings.breaker) == OnBad::Hold {
        counts.held += 1;
        return false;
    }
    lane.applied = queued.offset() + 1;
    counts.consume(index, None);
    counts.refusal(refusal.reason);
    push_letter(owned, index, queued, refusal, Stage::Decode, context);
    true
}

fn push_letter<B: RecordBatch>(
    owned: &mut OwnedShard<B>,
    index: usize,
    queued: &Queued<B>,
    refusal: &Refusal,
    stage: Stage,
    context: &PassContext<'_>,
) {
    let input = &context.settings.inputs[index];
    let letter =
        dead_letter(context.settings, input, &queued.record(), queued, (stage, refusal), context.wall_ms);
    owned.dead_letter_bytes += size_of(&letter);
    owned.dead_letters.push(letter);
}
