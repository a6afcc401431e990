//! History through shards in event time, without a log: what `accountpulse replay` runs.
//!
//! Every source is an input topic. Its events are dealt to partitions by account, and each shard
//! merges its inputs by event time, waiting until each has a next event or has ended — exactly
//! what a worker does with `clock: event` — so the outcome does not depend on how sources
//! happen to interleave, and twice the same sources give the same output.

use super::Verdict;
use super::config::EngineConfig;
use super::event::{Event, MAX_EVENT_BYTES, PersonKey, Reason, Refusal, decode_json};
use super::partition::partition_of;
use super::shard::{Effects, Input, Shard, ShardId};
use std::collections::VecDeque;
use std::sync::Arc;

/// How a replay is set up.
#[derive(Clone, Debug)]
pub struct ReplayOptions {
    /// What decides.
    pub config: Arc<EngineConfig>,
    /// Key of the pseudonyms.
    pub person_key: PersonKey,
    /// Number of shards.
    pub partitions: u32,
    /// How far the clock stays behind the newest event, milliseconds.
    pub lateness_ms: i64,
    /// Let time pass up to here after the last event; `None` = stop at the newest event.
    pub until_ms: Option<i64>,
}

/// A line that could not be used, or was put aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which source.
    pub source: usize,
    /// Which line of it, from 1.
    pub line: u64,
    /// Why.
    pub refusal: Refusal,
}

/// What a replay counted; `read` is the sum of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplayCounts {
    /// Lines read.
    pub read: u64,
    /// Applied.
    pub applied: u64,
    /// Resent.
    pub duplicate: u64,
    /// Older than the duplicate horizon.
    pub late: u64,
    /// A later write of the same entity was known.
    pub superseded: u64,
    /// Fell under a limit of its account.
    pub limited: u64,
    /// Refused.
    pub refused: u64,
    /// Left out because they are after the end that was asked for.
    pub after_until: u64,
}

/// Receives what a replay tells, as it happens.
pub trait ReplaySink {
    /// Scores and risk transitions.
    fn effects(&mut self, effects: Effects);
    /// A line that was refused or late.
    fn refused(&mut self, refused: Refused);
}

struct Line {
    number: u64,
    at_ms: i64,
    bytes: Vec<u8>,
}

struct Source<I> {
    lines: I,
    read: u64,
    ended: bool,
    /// Decoded far enough to know account and time, by partition.
    waiting: Vec<VecDeque<Line>>,
}

/// A replay in progress.
pub struct Replay<I> {
    options: ReplayOptions,
    sources: Vec<Source<I>>,
    shards: Vec<Shard>,
    newest_ms: Vec<Option<i64>>,
    counts: ReplayCounts,
}

/// Lines dealt from one source at a time while another shard waits for it.
const DEAL: usize = 1024;

impl<I: Iterator<Item = Vec<u8>>> Replay<I> {
    /// Prepares a replay of sources of JSON lines.
    pub fn new(options: ReplayOptions, sources: Vec<I>) -> Self {
        let partitions = options.partitions.max(1);
        let source = |lines| Source {
            lines,
            read: 0,
            ended: false,
            waiting: (0..partitions).map(|_| VecDeque::new()).collect(),
        };
        let shard = |partition| Shard::new(options.config.clone(), ShardId { partition, partitions });
        Replay {
            sources: sources.into_iter().map(source).collect(),
            shards: (0..partitions).map(shard).collect(),
            newest_ms: vec![None; partitions as usize],
            counts: ReplayCounts::default(),
            options,
        }
    }

    /// Runs to the end.
    pub fn run(&mut self, sink: &mut impl ReplaySink) -> ReplayCounts {
        if self.sources.len() == 1 {
            self.run_single(sink);
        } else {
            self.run_merged(sink);
        }
        for (shard, newest_ms) in self.shards.iter_mut().zip(&self.newest_ms) {
            // A shard that saw nothing has nothing to wait for.
            let Some(newest_ms) = *newest_ms else { continue };
            shard.advance(self.options.until_ms.unwrap_or(newest_ms), usize::MAX);
            sink.effects(shard.drain_all());
        }
        self.counts
    }

    /// One source needs no merging: each line is decoded once and applied at once.
    fn run_single(&mut self, sink: &mut impl ReplaySink) {
        while let Some(bytes) = self.sources[0].lines.next() {
            self.sources[0].read += 1;
            let number = self.sources[0].read;
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.counts.read += 1;
            let key = self.options.person_key.clone();
            match decode(&bytes, &key) {
                Ok(event) => {
                    let partition = self.partition_of(&event);
                    self.apply(partition, 0, number, &event, sink);
                }
                Err(refusal) => self.refuse(Refused { source: 0, line: number, refusal }, sink),
            }
        }
    }

    fn run_merged(&mut self, sink: &mut impl ReplaySink) {
        loop {
            let mut stuck = None;
            for partition in 0..self.shards.len() {
                if let Some(source) = self.run_shard(partition, sink) {
                    stuck = Some(stuck.unwrap_or(source));
                }
            }
            match stuck {
                Some(source) => self.deal(source, sink),
                None => return,
            }
        }
    }

    fn partition_of(&self, event: &Event<'_>) -> usize {
        partition_of(event.account.as_bytes(), self.options.partitions.max(1)) as usize
    }

    fn refuse(&mut self, refused: Refused, sink: &mut impl ReplaySink) {
        self.counts.refused += 1;
        sink.refused(refused);
    }

    /// Applies everything a shard may apply; returns the source it waits for, if any.
    fn run_shard(&mut self, partition: usize, sink: &mut impl ReplaySink) -> Option<usize> {
        loop {
            let mut first: Option<(i64, usize)> = None;
            for (number, source) in self.sources.iter().enumerate() {
                match source.waiting[partition].front() {
                    Some(line) if first.is_none_or(|(at_ms, _)| line.at_ms < at_ms) => {
                        first = Some((line.at_ms, number));
                    }
                    Some(_) => {}
                    None if source.ended => {}
                    None => return Some(number),
                }
            }
            let (_, source) = first?;
            let Some(line) = self.sources[source].waiting[partition].pop_front() else { continue };
            let key = self.options.person_key.clone();
            // It decoded when it was dealt; it is decoded again because an event borrows its line.
            if let Ok(event) = decode(&line.bytes, &key) {
                self.apply(partition, source, line.number, &event, sink);
            }
        }
    }

    fn apply(
        &mut self,
        partition: usize,
        source: usize,
        line: u64,
        event: &Event<'_>,
        sink: &mut impl ReplaySink,
    ) {
        let at_ms = event.occurred_at_ms;
        if self.options.until_ms.is_some_and(|until_ms| at_ms > until_ms) {
            self.counts.after_until += 1;
            return;
        }
        let shard = &mut self.shards[partition];
        let newest = &mut self.newest_ms[partition];
        // Deadlines before this event come first; ties go to the event.
        shard.advance((at_ms - 1).saturating_sub(self.options.lateness_ms), usize::MAX);
        *newest = (*newest).max(Some(at_ms));
        match shard.apply(Input(source as u16), event) {
            Ok(verdict) => self.count(verdict, source, line, event, sink),
            Err(refusal) => self.refuse(Refused { source, line, refusal }, sink),
        }
        let shard = &mut self.shards[partition];
        if shard.pending_effects() > 0 {
            sink.effects(shard.drain_all());
        }
    }

    fn count(
        &mut self,
        verdict: Verdict,
        source: usize,
        line: u64,
        event: &Event<'_>,
        sink: &mut impl ReplaySink,
    ) {
        match verdict {
            Verdict::Applied => self.counts.applied += 1,
            Verdict::Duplicate => self.counts.duplicate += 1,
            Verdict::Superseded => self.counts.superseded += 1,
            Verdict::Limited => self.counts.limited += 1,
            Verdict::Late => {
                self.counts.late += 1;
                let refusal = Refusal::late(event);
                sink.refused(Refused { source, line, refusal });
            }
        }
    }

    /// Reads on in one source and deals its lines to their partitions.
    fn deal(&mut self, source: usize, sink: &mut impl ReplaySink) {
        for _ in 0..DEAL {
            let Some(bytes) = self.sources[source].lines.next() else {
                self.sources[source].ended = true;
                return;
            };
            self.sources[source].read += 1;
            let number = self.sources[source].read;
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            self.counts.read += 1;
            match self.place(&bytes) {
                Ok((partition, at_ms)) => {
                    self.sources[source].waiting[partition].push_back(Line { number, at_ms, bytes });
                }
                Err(refusal) => self.refuse(Refused { source, line: number, refusal }, sink),
            }
        }
    }

    /// Where a line belongs.
    fn place(&self, bytes: &[u8]) -> Result<(usize, i64), Refusal> {
        let event = decode(bytes, &self.options.person_key)?;
        Ok((self.partition_of(&event), event.occurred_at_ms))
    }

    /// The shard of an account, for explanations after the run.
    pub fn shard_of(&mut self, account: &str) -> Option<&mut Shard> {
        let partition = partition_of(account.as_bytes(), self.options.partitions.max(1));
        self.shards.get_mut(partition as usize)
    }

    /// All shards, for tests and measurements.
    pub fn shards(&mut self) -> &mut [Shard] {
        &mut self.shards
    }
}

fn decode<'a>(bytes: &'a [u8], key: &PersonKey) -> Result<Event<'a>, Refusal> {
    if bytes.len() > MAX_EVENT_BYTES {
        let sentence = format!("the line has {} bytes; an event has at most {MAX_EVENT_BYTES}", bytes.len());
        return Err(Refusal::new(Reason::TooLarge, sentence));
    }
    decode_json(bytes, key)
}
