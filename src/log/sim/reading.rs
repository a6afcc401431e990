//! The input partitions that a member reads: whose turn it is, and what comes of it.

use super::batch::SimBatch;
use super::state::State;
use crate::log::{LogError, Offset, Polled, TopicPartition};

/// An input partition being read.
struct Reading {
    at: TopicPartition,
    position: Offset,
    ended: bool,
}

/// All of them.
#[derive(Default)]
pub(super) struct Inputs {
    reading: Vec<Reading>,
    /// Next entry of `reading` to look at; a round ends behind the last one.
    cursor: usize,
    round_had_records: bool,
    /// The partition of which nothing is delivered.
    withheld: Option<TopicPartition>,
}

impl Inputs {
    /// Reads exactly these from now on.
    pub(super) fn start(&mut self, positions: &[(TopicPartition, Offset)]) {
        let reading =
            positions.iter().map(|(at, position)| Reading { at: *at, position: *position, ended: false });
        *self = Inputs { reading: reading.collect(), withheld: self.withheld, ..Inputs::default() };
    }

    /// Reads nothing from now on.
    pub(super) fn stop(&mut self) {
        self.start(&[]);
    }

    /// Nothing comes any more of the partition whose turn it is, if there is one.
    pub(super) fn withhold(&mut self) {
        let turn = self.reading.get(self.cursor).or(self.reading.first());
        self.withheld = self.withheld.or(turn.map(|reading| reading.at));
    }

    /// The next happening. Each partition has its turn; behind the last one a round without records
    /// answers `Idle`.
    pub(super) fn next(&mut self, state: &mut State) -> Result<Polled<SimBatch>, LogError> {
        // Two rounds: the rest of this one, and a whole one if this one had records.
        for _ in 0..=self.reading.len() * 2 {
            if self.cursor >= self.reading.len() {
                self.cursor = 0;
                if !std::mem::take(&mut self.round_had_records) {
                    return Ok(Polled::Idle);
                }
            }
            let index = self.cursor;
            self.cursor += 1;
            let limit = draw_limit(state);
            let Some(reading) = self.reading.get_mut(index) else { continue };
            let withheld = self.withheld == Some(reading.at);
            let Some(seen) = look(state, reading, limit, withheld)? else { continue };
            self.round_had_records |= matches!(seen, Polled::Records(_));
            return Ok(seen);
        }
        Ok(Polled::Idle)
    }
}

/// How many records the next partition may answer with; 0 skips it, so that a seed also decides
/// how partitions interleave.
fn draw_limit(state: &mut State) -> usize {
    let most = state.poll_records;
    state.draw(most + 1).unwrap_or(most)
}

/// What one partition has for its reader, at most `limit` records; none if they are withheld.
fn look(
    state: &mut State,
    reading: &mut Reading,
    limit: usize,
    withheld: bool,
) -> Result<Option<Polled<SimBatch>>, LogError> {
    let Ok(partition) = state.serving(reading.at) else { return Ok(None) };
    let (end, closed) = (partition.watermarks().end, partition.closed);
    let (batch, position) = state.read(reading.at, reading.position, limit, usize::MAX)?;
    if withheld && !batch.records.is_empty() {
        state.counts.withheld += 1;
        return Ok(None);
    }
    reading.position = position;
    if !batch.records.is_empty() {
        return Ok(Some(Polled::Records(batch)));
    }
    let at = reading.at;
    if position < end || reading.ended {
        return Ok(None);
    }
    if closed {
        reading.ended = true;
        return Ok(Some(Polled::End { at }));
    }
    Ok(Some(Polled::Drained { at, position, asked_ms_ago: 0 }))
}
