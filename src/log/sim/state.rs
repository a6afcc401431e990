//! What the broker holds, and the requests members make of it. No faults here: a request either
//! runs or is refused for a reason that lies in the state.

use std::collections::BTreeMap;

use super::batch::{SimBatch, SimRecord};
use super::counts::SimCounts;
use super::fault::unavailable;
use super::group::Group;
use super::partition::{Partition, ReadOut};
use super::transaction::{MarkerTarget, Producer, Refused, Stage, TxnId};
use super::{SimOptions, Weakness};
use crate::log::{CommittedPosition, GroupMetadata, LogError, Offset, OutRecord, TopicId, TopicPartition};

pub(super) struct Topic {
    pub(super) name: String,
    pub(super) compacted: bool,
    pub(super) partitions: Vec<Partition>,
}

/// An `EndTxn` that is still on its way.
#[derive(Debug)]
pub(super) struct LateEnd {
    pub(super) producer: String,
    epoch: u64,
    txn: TxnId,
    commit: bool,
}

/// What became of a record handed to the broker.
pub(super) enum Delivery {
    /// Appended at this offset.
    Done(Offset),
    /// Not possible now; try again.
    Later,
}

pub(super) struct State {
    pub(super) topics: Vec<Topic>,
    pub(super) producers: BTreeMap<String, Producer>,
    pub(super) positions: BTreeMap<TopicPartition, CommittedPosition>,
    pub(super) group: Group,
    pub(super) late: Vec<LateEnd>,
    pub(super) available: bool,
    pub(super) auto_markers: bool,
    pub(super) poll_records: usize,
    pub(super) buffer_records: usize,
    pub(super) calls: u64,
    pub(super) counts: SimCounts,
    pub(super) weakness: Option<Weakness>,
    random: Option<u64>,
    txns: TxnId,
}

impl State {
    pub(super) fn new(options: SimOptions) -> Self {
        let inputs = options.topics.iter().filter(|topic| topic.input);
        let group = Group::new(inputs.map(|topic| topic.partitions).max().unwrap_or(0));
        let topics = options.topics.into_iter().map(|topic| Topic {
            name: topic.name,
            compacted: topic.compacted,
            partitions: (0..topic.partitions).map(|_| Partition::default()).collect(),
        });
        Self {
            topics: topics.collect(),
            producers: BTreeMap::new(),
            positions: BTreeMap::new(),
            group,
            late: Vec::new(),
            available: true,
            auto_markers: options.auto_markers,
            poll_records: options.poll_records.max(1),
            buffer_records: options.buffer_records.max(1),
            calls: 0,
            counts: SimCounts::default(),
            weakness: options.weakness,
            random: options.seed,
            txns: 0,
        }
    }

    /// A number below `bound` from the seed; `None` without a seed.
    pub(super) fn draw(&mut self, bound: usize) -> Option<usize> {
        let state = self.random.as_mut()?;
        // SplitMix64: small, well mixed, the same everywhere.
        *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^= mixed >> 31;
        let bound = u64::try_from(bound).unwrap_or(u64::MAX).max(1);
        usize::try_from(mixed % bound).ok()
    }

    pub(super) fn topic_mut(&mut self, topic: TopicId) -> Option<&mut Topic> {
        self.topics.get_mut(usize::from(topic.0))
    }

    pub(super) fn partition(&self, at: TopicPartition) -> Result<&Partition, LogError> {
        let topic = self.topics.get(usize::from(at.topic.0));
        topic.and_then(|topic| topic.partitions.get(at.partition as usize)).ok_or_else(|| unknown(at))
    }

    pub(super) fn partition_mut(&mut self, at: TopicPartition) -> Result<&mut Partition, LogError> {
        let topic = self.topics.get_mut(usize::from(at.topic.0));
        topic.and_then(|topic| topic.partitions.get_mut(at.partition as usize)).ok_or_else(|| unknown(at))
    }

    /// The partition, if someone answers for it now.
    pub(super) fn serving(&self, at: TopicPartition) -> Result<&Partition, LogError> {
        let partition = self.partition(at)?;
        if !self.available {
            Err(unavailable("the broker is away"))
        } else if partition.leaderless {
            Err(unavailable("the partition has no leader"))
        } else {
            Ok(partition)
        }
    }

    /// Reads committed records, checking the position.
    pub(super) fn read(
        &self,
        at: TopicPartition,
        from: Offset,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<(SimBatch, Offset), LogError> {
        let partition = self.serving(at)?;
        let marks = partition.watermarks();
        if from < marks.start || from > marks.end {
            let TopicPartition { topic, partition } = at;
            let (start, end) = (marks.start, marks.end);
            return Err(LogError::OutOfRange { topic, partition, offset: from, start, end });
        }
        let ReadOut { records, position } = partition.read(from, max_records, max_bytes);
        let records = records.into_iter().map(|(offset, record)| (at, offset, record)).collect();
        Ok((SimBatch { records }, position))
    }

    /// Whether a member may commit positions under `group`.
    pub(super) fn check_group(
        &mut self,
        group: &GroupMetadata,
        name: &str,
        id: Option<&str>,
    ) -> Result<(), &'static str> {
        let checked = match self.weakness {
            Some(Weakness::NoMembership) => Ok(()),
            Some(Weakness::FreshMembership) => {
                self.group.membership(name, id).map_or(Ok(()), |now| self.group.check(&now))
            }
            _ => self.group.check(group),
        };
        self.counts.stale_generations += u64::from(checked.is_err());
        checked
    }

    /// A new epoch for the producer; `None` while its predecessor's transaction is being ended.
    pub(super) fn init(&mut self, name: &str) -> Option<u64> {
        let epoch = self.producers.entry(name.to_owned()).or_insert_with(Producer::new).init();
        self.settle();
        epoch
    }

    /// Appends a record inside the producer's transaction.
    pub(super) fn produce(
        &mut self,
        name: &str,
        epoch: u64,
        record: &OutRecord,
    ) -> Result<Delivery, LogError> {
        let at = record.to;
        self.partition(at)?;
        if self.serving(at).is_err() {
            return Ok(Delivery::Later);
        }
        match self.enter(name, epoch, MarkerTarget::Partition(at)) {
            Ok(txn) => {
                let stored = SimRecord {
                    timestamp_ms: record.timestamp_ms,
                    key: record.key.clone(),
                    value: record.value.clone(),
                    headers: record
                        .headers
                        .iter()
                        .map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned()))
                        .collect(),
                };
                Ok(Delivery::Done(self.partition_mut(at)?.append(stored, Some(txn))))
            }
            Err(Refused::Busy) => Ok(Delivery::Later),
            Err(refused) => Err(refused_error(refused)),
        }
    }

    /// Adds positions to the producer's transaction.
    pub(super) fn add_positions(
        &mut self,
        name: &str,
        epoch: u64,
        positions: &[(TopicPartition, CommittedPosition)],
    ) -> Result<(), LogError> {
        self.enter(name, epoch, MarkerTarget::Positions).map_err(refused_error)?;
        if let Some(producer) = self.producers.get_mut(name) {
            producer.positions.extend_from_slice(positions);
        }
        Ok(())
    }

    fn enter(&mut self, name: &str, epoch: u64, target: MarkerTarget) -> Result<TxnId, Refused> {
        let fresh = self.txns + 1;
        let producer = self.producers.get_mut(name).ok_or(Refused::Fenced)?;
        let entered = producer.enter(epoch, target, fresh);
        self.counts.fenced += u64::from(entered == Err(Refused::Fenced));
        let txn = entered?;
        self.txns = self.txns.max(txn);
        Ok(txn)
    }

    /// Serves an `EndTxn`.
    pub(super) fn end(&mut self, name: &str, epoch: u64, commit: bool) -> Result<(), Refused> {
        let ended = self.producers.get_mut(name).ok_or(Refused::Fenced)?.end(epoch, commit);
        self.counts.fenced += u64::from(ended == Err(Refused::Fenced));
        self.settle();
        ended
    }

    /// Keeps an `EndTxn` for later.
    pub(super) fn delay_end(&mut self, name: &str, epoch: u64, commit: bool) {
        let txn = self.producers.get(name).map_or(0, |producer| producer.txn);
        self.late.push(LateEnd { producer: name.to_owned(), epoch, txn, commit });
    }

    /// Lets the delayed `EndTxn` at `index` arrive. Whether it changed anything nobody hears.
    pub(super) fn deliver_late(&mut self, index: usize) -> bool {
        if index >= self.late.len() {
            return false;
        }
        let late = self.late.remove(index);
        let meets = self.producers.get(&late.producer);
        let next = meets.is_some_and(|p| p.stage == Stage::Open && p.txn != late.txn);
        self.counts.late_into_next += u64::from(next);
        self.end(&late.producer, late.epoch, late.commit).is_ok()
    }

    /// Moves the epoch and aborts an open transaction, as its timeout would.
    pub(super) fn expire(&mut self, name: &str) -> bool {
        let Some(producer) = self.producers.get_mut(name) else { return false };
        producer.expire();
        self.settle();
        true
    }

    /// Delivers markers at once where the options say so.
    pub(super) fn settle(&mut self) {
        if self.auto_markers {
            for (name, target) in self.pending_markers() {
                self.deliver_marker(&name, target);
            }
        }
    }

    /// Markers that could be delivered now.
    pub(super) fn pending_markers(&self) -> Vec<(String, MarkerTarget)> {
        let ending =
            self.producers.iter().filter(|(_, producer)| matches!(producer.stage, Stage::Ending { .. }));
        let all =
            ending.flat_map(|(name, producer)| producer.targets.iter().map(|target| (name.clone(), *target)));
        all.filter(|(_, target)| match target {
            MarkerTarget::Positions => true,
            MarkerTarget::Partition(at) => self.partition(*at).is_ok_and(|partition| !partition.leaderless),
        })
        .collect()
    }

    /// Writes one marker; the transaction has ended when the last one is written.
    pub(super) fn deliver_marker(&mut self, name: &str, target: MarkerTarget) -> bool {
        let Some(producer) = self.producers.get_mut(name) else { return false };
        let Stage::Ending { commit } = producer.stage else { return false };
        if !producer.targets.remove(&target) {
            return false;
        }
        let txn = producer.txn;
        if producer.targets.is_empty() {
            producer.stage = Stage::Empty { last: Some(commit) };
        }
        match target {
            MarkerTarget::Positions => {
                let positions = std::mem::take(&mut producer.positions);
                if commit {
                    self.positions.extend(positions);
                }
            }
            MarkerTarget::Partition(at) => {
                if let Ok(partition) = self.partition_mut(at) {
                    partition.mark(txn, commit);
                }
            }
        }
        true
    }

    /// Stable positions; `None` while a transaction that carries one of them has no outcome.
    pub(super) fn stable_positions(
        &mut self,
        wanted: &[TopicPartition],
    ) -> Option<Vec<Option<CommittedPosition>>> {
        let mut undecided = self.producers.values().flat_map(|producer| &producer.positions);
        let stable = self.weakness != Some(Weakness::UnstablePositions);
        if stable && undecided.any(|(at, _)| wanted.contains(at)) {
            self.counts.pending_positions += 1;
            return None;
        }
        Some(wanted.iter().map(|at| self.positions.get(at).cloned()).collect())
    }
}

/// The error for a topic or partition that does not exist.
fn unknown(at: TopicPartition) -> LogError {
    LogError::Store { detail: format!("there is no partition {} of topic {}", at.partition, at.topic.0) }
}

/// How a refused request reads to the member.
pub(super) fn refused_error(refused: Refused) -> LogError {
    match refused {
        Refused::Fenced => LogError::Fenced { detail: "the producer epoch is stale".to_owned() },
        Refused::Busy => unavailable("the previous transaction has not ended everywhere"),
        Refused::Invalid => LogError::Fenced { detail: "the transaction ended the other way".to_owned() },
    }
}
