//! What to do about a transaction that hangs: its coordinator takes it for ended, and it is still open
//! where it wrote. Brokers do that to a commit they were killed in, if a partition has no other copy;
//! nobody but a producer of the same name can end it then, and recovery would wait for ever.
//!
//! How it is ended must follow what can be seen of it, or half of it would be seen: per shard the
//! number of the last commit stands in the positions and in the checkpoint. A checkpoint that is
//! ahead of its positions says that what was written is seen; a checkpoint that is behind cannot be
//! helped from here; numbers that agree say that nothing of it was seen.
//!
//! This room must not decide when: `mod.rs` does, once no orderly transaction can be open any more.

use std::collections::BTreeMap;

use super::view::read_shard;
use super::{RestoreContext, Standings, standings_of};
use crate::log::{Log, LogError, Offset, RecordBatch, SweepAs, TopicPartition};
use crate::worker::format::Key;

/// What a step came to.
pub(super) enum SweepStep {
    /// Something was learnt; call again.
    Again,
    /// Nothing new yet.
    Wait,
    /// Done. `true`: something was ended, if there was anything to end.
    Done(bool),
}

/// Reading the last number of a checkpoint partition.
struct Reading {
    partition: u32,
    position: Offset,
    end: Offset,
    number: u64,
}

/// See the module.
pub(super) struct Sweep {
    partitions: Vec<u32>,
    /// Positions of the group hang, too.
    pending: bool,
    settled: Option<Standings>,
    /// Partitions whose checkpoint is still to be looked at.
    left: Vec<u32>,
    reading: Option<Reading>,
    seen: BTreeMap<u32, u64>,
}

impl Sweep {
    /// For these shards.
    pub fn new(partitions: Vec<u32>, pending: bool) -> Sweep {
        let left = partitions.clone();
        Sweep { partitions, pending, settled: None, left, reading: None, seen: BTreeMap::new() }
    }

    /// Makes at most a few log calls.
    pub fn step<L: Log>(&mut self, log: &mut L, context: &RestoreContext<'_>) -> Result<SweepStep, LogError> {
        if self.settled.is_none() {
            self.settled = standings_of(log, context.settings, &self.partitions, L::settled)?;
            return Ok(if self.settled.is_some() { SweepStep::Again } else { SweepStep::Wait });
        }
        if self.reading.is_some() {
            return self.read(log, context);
        }
        if let Some(partition) = self.left.pop() {
            let at = TopicPartition { topic: context.settings.outputs.checkpoints, partition };
            let looked = log.watermarks(at).and_then(|marks| Ok((marks.start, log.stable_end(at)?)));
            let (position, end) = looked.inspect_err(|_| self.left.push(partition))?;
            self.reading = Some(Reading { partition, position, end, number: 0 });
            return Ok(SweepStep::Again);
        }
        let Some(how) = self.how() else { return Ok(SweepStep::Done(false)) };
        let outputs = context.settings.outputs;
        let topics = [outputs.checkpoints, outputs.scores, outputs.risks, outputs.dead_letters];
        let at = |partition: &u32| topics.map(|topic| TopicPartition { topic, partition: *partition });
        let all: Vec<TopicPartition> = self.partitions.iter().flat_map(at).collect();
        log.sweep(&all, how)?;
        Ok(SweepStep::Done(true))
    }

    fn read<L: Log>(&mut self, log: &mut L, context: &RestoreContext<'_>) -> Result<SweepStep, LogError> {
        let Some(reading) = &mut self.reading else { return Ok(SweepStep::Again) };
        if reading.position >= reading.end {
            self.seen.insert(reading.partition, reading.number);
            self.reading = None;
            return Ok(SweepStep::Again);
        }
        let partition = reading.partition;
        let at = TopicPartition { topic: context.settings.outputs.checkpoints, partition };
        let read = log.read_range(at, reading.position, context.settings.read_bytes)?;
        for index in 0..read.batch.len() {
            let record = read.batch.get(index);
            if record.key.and_then(|key| Key::parse(key, partition)) == Some(Key::Shard) {
                let number = read_shard(partition, record.value).map(|shard| shard.commit);
                reading.number = number.unwrap_or(reading.number);
            }
        }
        let moved = read.position > reading.position;
        reading.position = read.position;
        Ok(if moved { SweepStep::Again } else { SweepStep::Wait })
    }

    /// As what it is ended; `None`: what can be seen of it does not allow either.
    fn how(&self) -> Option<SweepAs> {
        let settled = self.settled.as_ref()?;
        let (mut ahead, mut behind) = (false, false);
        for (partition, seen) in &self.seen {
            // Positions that are not ours are refused by recovery, in its own words.
            let standing = settled.get(partition)?.as_ref().ok()?;
            let number = standing.number.unwrap_or(0);
            ahead |= *seen > number;
            behind |= *seen < number;
        }
        match (ahead, behind) {
            (false, false) => Some(SweepAs::Aborted),
            (true, false) if self.pending => Some(SweepAs::Committed),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::plan::{RestoreRefusal, Standing};
    use super::*;

    fn how(pending: bool, shards: &[(u64, u64)]) -> Option<SweepAs> {
        let mut sweep = Sweep::new((0..).take(shards.len()).collect(), pending);
        let numbers = (0..).zip(shards);
        let standing = |number| Ok(Standing { number: Some(number), positions: Vec::new() });
        sweep.settled = Some(numbers.clone().map(|(p, (number, _))| (p, standing(*number))).collect());
        sweep.seen = numbers.map(|(partition, (_, seen))| (partition, *seen)).collect();
        sweep.how()
    }

    #[test]
    fn what_nobody_has_seen_is_aborted() {
        assert_eq!(how(true, &[(4, 4), (9, 9)]), Some(SweepAs::Aborted));
        assert_eq!(how(false, &[(4, 4)]), Some(SweepAs::Aborted));
        assert_eq!(how(true, &[(0, 0)]), Some(SweepAs::Aborted));
    }

    #[test]
    fn positions_follow_what_was_seen() {
        assert_eq!(how(true, &[(4, 5), (9, 9)]), Some(SweepAs::Committed));
        // No transaction is known to hold these positions back.
        assert_eq!(how(false, &[(4, 5)]), None);
    }

    #[test]
    fn half_of_a_commit_is_left_to_an_operator() {
        assert_eq!(how(true, &[(5, 4)]), None);
        assert_eq!(how(true, &[(5, 4), (8, 9)]), None);
    }

    #[test]
    fn positions_of_another_program_are_left_alone() {
        let mut sweep = Sweep::new(vec![0], true);
        let foreign = RestoreRefusal::ForeignPosition { partition: 0, input: 0, metadata: String::new() };
        sweep.settled = Some(BTreeMap::from([(0, Err(foreign))]));
        sweep.seen = BTreeMap::from([(0, 0)]);
        assert_eq!(sweep.how(), None);
    }
}
