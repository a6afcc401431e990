//! The test's handle on the broker: look inside, append input, and be the scheduler.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::counts::SimCounts;
use super::fault::{CallSite, Fault, Hook};
use super::member::SimLog;
use super::state::State;
use super::transaction::{MarkerTarget, Stage};
use super::{SimOptions, SimRecord};
use crate::log::{CommittedPosition, LogError, Offset, TopicId, TopicPartition, Watermarks};

/// Shared by the broker handle and all members.
pub(super) struct Shared {
    state: Mutex<State>,
    /// Apart from the state, so that a hook may call the broker.
    hook: Mutex<Option<Hook>>,
}

impl Shared {
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // A test that panicked elsewhere must not hide its message behind a poisoned lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ask_hook(&self, site: CallSite<'_>) -> Fault {
        let mut hook = self.hook.lock().unwrap_or_else(PoisonError::into_inner);
        hook.as_mut().map_or(Fault::None, |hook| hook(site))
    }
}

/// A record that committed readers see, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedRecord {
    /// Where it stands.
    pub at: TopicPartition,
    /// Its offset.
    pub offset: Offset,
    /// What it holds.
    pub record: SimRecord,
}

/// What a committed reader sees of a partition.
#[derive(Clone, Debug)]
pub struct CommittedRead {
    /// Records with their offsets.
    pub records: Vec<(Offset, Arc<SimRecord>)>,
    /// Where it stands now.
    pub position: Offset,
}

/// A transaction that has not ended everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its transactional id (the member's name).
    pub producer: String,
    /// The present epoch of that producer.
    pub epoch: u64,
    /// The decided outcome: `Some(true)` commit, `Some(false)` abort, `None` undecided.
    pub outcome: Option<bool>,
    /// Where it wrote and has not been marked yet.
    pub targets: Vec<MarkerTarget>,
}

/// A marker that can be delivered now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMarker {
    /// Whose transaction.
    pub producer: String,
    /// Where the marker goes.
    pub target: MarkerTarget,
}

/// The broker. Clones are handles on the same one.
#[derive(Clone)]
pub struct SimBroker {
    shared: Arc<Shared>,
}

impl SimBroker {
    /// An empty broker with these topics.
    pub fn new(options: SimOptions) -> Self {
        let shared = Shared { state: Mutex::new(State::new(options)), hook: Mutex::new(None) };
        Self { shared: Arc::new(shared) }
    }

    /// A new instance of the member called `name`: group instance id and transactional id both.
    /// It replaces an older instance of that name when it calls `init` and `poll`.
    pub fn member(&self, name: &str) -> SimLog {
        SimLog::new(Arc::clone(&self.shared), name)
    }

    /// Asks `hook` for a fault before every call of every member.
    pub fn set_hook(&self, hook: Hook) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = Some(hook);
    }

    /// Takes the hook out.
    pub fn clear_hook(&self) {
        *self.shared.hook.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// What happened so far.
    pub fn counts(&self) -> SimCounts {
        let state = self.shared.state();
        SimCounts {
            overlapping_rebalances: state.group.overlapping,
            incomplete_assignments: state.group.incomplete_assignments,
            ..state.counts
        }
    }

    /// The id of the topic of that name.
    pub fn topic(&self, name: &str) -> Option<TopicId> {
        let state = self.shared.state();
        let index = state.topics.iter().position(|topic| topic.name == name)?;
        u16::try_from(index).ok().map(TopicId)
    }

    /// Appends a record outside any transaction. An input that was closed refuses it.
    pub fn append(&self, at: TopicPartition, record: SimRecord) -> Result<Offset, LogError> {
        let mut state = self.shared.state();
        let partition = state.partition_mut(at)?;
        if partition.closed {
            return Err(LogError::Store { detail: format!("partition {} is closed", at.partition) });
        }
        Ok(partition.append(record, None))
    }

    /// Says that nothing will ever be appended to the partition again: its reader gets `End`.
    pub fn close_input(&self, at: TopicPartition) -> Result<(), LogError> {
        self.shared.state().partition_mut(at)?.closed = true;
        Ok(())
    }

    /// Every committed record of a topic, by partition and offset. Records of a transaction
    /// whose marker was written count even where an older open transaction still hides them.
    pub fn committed_records(&self, topic: TopicId) -> Vec<CommittedRecord> {
        let mut state = self.shared.state();
        let Some(found) = state.topic_mut(topic) else { return Vec::new() };
        let mut all = Vec::new();
        for (partition, held) in (0u32..).zip(&found.partitions) {
            let at = TopicPartition { topic, partition };
            all.extend(held.committed().map(|(offset, record)| CommittedRecord {
                at,
                offset,
                record: SimRecord::clone(record),
            }));
        }
        all
    }

    /// Shows every committed record of a topic to `visit`, as [`SimBroker::committed_records`]
    /// without a copy. `visit` must not call the broker.
    pub fn visit_committed(&self, topic: TopicId, mut visit: impl FnMut(TopicPartition, Offset, &SimRecord)) {
        let mut state = self.shared.state();
        let Some(found) = state.topic_mut(topic) else { return };
        for (partition, held) in (0u32..).zip(&found.partitions) {
            let at = TopicPartition { topic, partition };
            held.committed().for_each(|(offset, record)| visit(at, offset, record));
        }
    }

    /// What a committed reader that stands at `from` sees now, and where it stands then. A reader
    /// that was overtaken by retention goes on at the start.
    pub fn read_committed(&self, at: TopicPartition, from: Offset) -> Result<CommittedRead, LogError> {
        let state = self.shared.state();
        let partition = state.partition(at)?;
        let out = partition.read(from.max(partition.watermarks().start), usize::MAX, usize::MAX);
        Ok(CommittedRead { records: out.records, position: out.position })
    }

    /// Keys of the records that the open transaction of a producer wrote to a topic.
    pub fn open_keys(&self, producer: &str, topic: TopicId) -> Vec<Vec<u8>> {
        let mut state = self.shared.state();
        let Some(txn) = state.producers.get(producer).map(|producer| producer.txn) else { return Vec::new() };
        let Some(found) = state.topic_mut(topic) else { return Vec::new() };
        let open = found.partitions.iter().flat_map(|partition| partition.open_keys(txn));
        open.map(<[u8]>::to_vec).collect()
    }

    /// Watermarks of a partition, whatever its state.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, LogError> {
        Ok(self.shared.state().partition(at)?.watermarks())
    }

    /// The last stable offset of a partition.
    pub fn stable_offset(&self, at: TopicPartition) -> Result<Offset, LogError> {
        Ok(self.shared.state().partition(at)?.stable())
    }

    /// The group's positions as they are, in partition order, without waiting for anything.
    pub fn positions(&self) -> Vec<(TopicPartition, CommittedPosition)> {
        let state = self.shared.state();
        state.positions.iter().map(|(at, position)| (*at, position.clone())).collect()
    }

    /// Transactions that have not ended everywhere.
    pub fn open_transactions(&self) -> Vec<OpenTransaction> {
        let state = self.shared.state();
        let open = state.producers.iter().filter_map(|(name, producer)| {
            let outcome = match producer.stage {
                Stage::Empty { .. } => return None,
                Stage::Open => None,
                Stage::Ending { commit } => Some(commit),
            };
            let targets = producer.targets.iter().copied().collect();
            Some(OpenTransaction { producer: name.clone(), epoch: producer.epoch, outcome, targets })
        });
        open.collect()
    }

    /// Markers that can be delivered now, in a fixed order.
    pub fn pending_markers(&self) -> Vec<PendingMarker> {
        let pending = self.shared.state().pending_markers();
        pending.into_iter().map(|(producer, target)| PendingMarker { producer, target }).collect()
    }

    /// Delivers one marker; `false` when it was not pending.
    pub fn deliver_marker(&self, marker: &PendingMarker) -> bool {
        self.shared.state().deliver_marker(&marker.producer, marker.target)
    }

    /// Delivers all markers that can be delivered.
    pub fn deliver_markers(&self) {
        for marker in self.pending_markers() {
            self.deliver_marker(&marker);
        }
    }

    /// Whether markers are delivered at once from now on.
    pub fn set_auto_markers(&self, at_once: bool) {
        let mut state = self.shared.state();
        state.auto_markers = at_once;
        state.settle();
    }

    /// How many late `EndTxn` requests are on their way.
    pub fn late_requests(&self) -> usize {
        self.shared.state().late.len()
    }

    /// Which of them is of this producer, if any.
    pub fn late_request_of(&self, producer: &str) -> Option<usize> {
        self.shared.state().late.iter().position(|late| late.producer == producer)
    }

    /// Lets a late `EndTxn` arrive; `false` when it was refused or does not exist.
    pub fn deliver_late(&self, index: usize) -> bool {
        self.shared.state().deliver_late(index)
    }

    /// The transaction timeout of a producer: fences it and aborts what is open.
    pub fn expire_transaction(&self, producer: &str) -> bool {
        self.shared.state().expire(producer)
    }

    /// The session timeout of a member: its partitions go to the others, it hears `Lost`.
    pub fn expire_session(&self, member: &str) -> bool {
        self.shared.state().group.remove(member)
    }

    /// Starts a rebalance with the members there are.
    pub fn rebalance(&self) {
        self.shared.state().group.rebalance();
    }

    /// Says that some input topic lacks this partition number, or has it again. Whoever is assigned
    /// it next is told.
    pub fn set_complete(&self, partition: u32, complete: bool) {
        let mut state = self.shared.state();
        let changed = match complete {
            true => state.group.incomplete.remove(&partition),
            false => state.group.incomplete.insert(partition),
        };
        if changed {
            state.group.rebalance();
        }
    }

    /// The generation of the newest completed rebalance.
    pub fn generation(&self) -> i64 {
        self.shared.state().group.generation
    }

    /// Retention: deletes what lies below `before` (never above the last stable offset).
    pub fn delete_before(&self, at: TopicPartition, before: Offset) -> Result<(), LogError> {
        self.shared.state().partition_mut(at)?.delete_before(before);
        Ok(())
    }

    /// Forgets the group's positions of a topic, as a cluster does with a topic that is deleted.
    pub fn forget_positions(&self, topic: TopicId) {
        self.shared.state().positions.retain(|at, _| at.topic != topic);
    }

    /// Compacts all partitions of a compacted topic; answers how many records went. With
    /// `purge_tombstones`, tombstones go too, as after their retention.
    pub fn compact(&self, topic: TopicId, purge_tombstones: bool) -> usize {
        let mut state = self.shared.state();
        let Some(topic) = state.topic_mut(topic).filter(|topic| topic.compacted) else { return 0 };
        let (mut removed, mut purged) = (0, 0);
        for partition in &mut topic.partitions {
            let went = partition.compact(purge_tombstones);
            (removed, purged) = (removed + went.0, purged + went.1);
        }
        state.counts.tombstones_purged += purged;
        removed
    }

    /// Takes the whole broker away, or brings it back.
    pub fn set_available(&self, available: bool) {
        self.shared.state().available = available;
    }

    /// Takes the leader of a partition away, or brings it back.
    pub fn set_leader(&self, at: TopicPartition, present: bool) -> Result<(), LogError> {
        let mut state = self.shared.state();
        state.partition_mut(at)?.leaderless = !present;
        state.settle();
        Ok(())
    }
}
