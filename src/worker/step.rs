//! One step of the worker: which phase does what, and what the log's notices mean.
//!
//! Rebalance, in prose. *Assigned* names the whole new assignment: whatever was live is parked if
//! it is exactly what its last commit holds, and everything else is dropped; recovery of the
//! assignment begins. *Revoked* allows a last commit: what was polled and not applied is
//! forgotten, what was applied is committed under the old membership, then the partitions are
//! given back and the shards parked. *Lost* means they are gone already: everything is dropped,
//! nothing is committed. Both end a recovery that is under way.

use std::sync::Arc;
use std::time::Duration;

use super::apply::{Pass, PassContext, Room, apply_pass};
use super::commit::{CycleStep, PrepareContext, prepare};
use super::counts::WorkerCounts;
use super::flow::{Flow, Input};
use super::owned::Lane;
use super::planted::Break;
use super::queued::Queued;
use super::restore::{Restore, RestoreContext, RestoreRefusal, RestoreStep};
use super::{Now, Phase, RebuildReason, Wake, Worker};
use crate::log::{GroupMetadata, Log, LogError, Polled, RecordBatch, TopicPartition};

/// Most happenings taken from the log in one step.
const MAX_POLLS_PER_STEP: usize = 64;

impl<L: Log> Worker<L> {
    /// Does a bounded amount of work and says when to be called again.
    pub fn step(&mut self, now: Now) -> Wake {
        match self.try_step(now) {
            Ok(wake) => wake,
            Err(reason) => {
                let reason = Arc::new(reason);
                self.phase = Phase::Broken(Arc::clone(&reason));
                Wake::Rebuild { reason }
            }
        }
    }

    fn try_step(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        match &self.phase {
            Phase::Init => self.init(now),
            Phase::Waiting => self.wait_for_assignment(now),
            Phase::Restoring(_) => self.restore(now),
            Phase::Assigning => self.assign(now),
            Phase::Live => self.live(now),
            Phase::Committing(_) => self.commit(now),
            Phase::Unassigning => self.unassign(now),
            Phase::Stopped => Ok(Wake::Stopped),
            Phase::Broken(reason) => Ok(Wake::Rebuild { reason: Arc::clone(reason) }),
        }
    }

    fn retry(&self, now: Now) -> Wake {
        Wake::At(now.wall_ms.saturating_add(self.settings.retry_ms))
    }

    fn init(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        if self.stopping {
            // Nothing is held yet; a log that does not answer must not keep the process.
            self.phase = Phase::Stopped;
            return Ok(Wake::Stopped);
        }
        match self.log.init() {
            Ok(true) => {
                self.phase = Phase::Waiting;
                Ok(Wake::Immediately)
            }
            Ok(false) | Err(LogError::Unavailable { .. }) => Ok(self.retry(now)),
            Err(error) => Err(RebuildReason::Log(error)),
        }
    }

    fn wait_for_assignment(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        if self.stopping {
            self.phase = Phase::Unassigning;
            return Ok(Wake::Immediately);
        }
        let seen = self.poll(now, self.settings.poll_wait)?;
        Ok(if seen == Seen::Nothing { Wake::Idle } else { Wake::Immediately })
    }

    /// Polls once and acts on it.
    fn poll(&mut self, now: Now, wait: Duration) -> Result<Seen, RebuildReason> {
        match self.log.poll(wait) {
            Ok(Polled::Idle) => return Ok(Seen::Nothing),
            Ok(Polled::Records(batch)) => self.take_records(batch),
            Ok(Polled::Assigned { partitions, unusable, group }) => {
                self.assigned(partitions, &unusable, group, now);
                return Ok(Seen::Rebalance);
            }
            Ok(Polled::Revoked) => {
                self.revoked();
                return Ok(Seen::Rebalance);
            }
            Ok(Polled::Lost) => {
                self.lost();
                return Ok(Seen::Rebalance);
            }
            Ok(Polled::Drained { at, asked_ms_ago, .. }) => {
                if let Some(lane) = self.lane(at) {
                    // What came after the question was put has not been heard.
                    lane.note_drained(now.wall_ms.saturating_sub(asked_ms_ago));
                }
                // Said again and again while it stays true: not a reason to poll at once.
                return Ok(Seen::Silence);
            }
            Ok(Polled::End { at }) => {
                if let Some(lane) = self.lane(at) {
                    lane.ended = true;
                }
            }
            Err(LogError::Unavailable { .. }) => {
                let lanes = self.shards.values_mut().flat_map(|owned| &mut owned.lanes);
                lanes.for_each(Lane::forget_drained);
                self.forget_standstill();
                return Ok(Seen::Nothing);
            }
            Err(error) => return Err(RebuildReason::Log(error)),
        }
        Ok(Seen::Input)
    }

    pub(super) fn lane(&mut self, at: TopicPartition) -> Option<&mut Lane<L::Batch>> {
        self.shards.get_mut(&at.partition)?.lanes.iter_mut().find(|lane| lane.at == at)
    }

    fn take_records(&mut self, batch: L::Batch) {
        let batch = Arc::new(batch);
        let mut places = (0..batch.len()).map(|index| (index, batch.place(index))).peekable();
        while let Some(&(_, (at, _))) = places.peek() {
            // Records of one partition mostly stand together: one look-up per run.
            let mut lane = self.lane(at);
            while let Some((index, (_, offset))) = places.next_if(|(_, (next, _))| *next == at) {
                if let Some(lane) = &mut lane {
                    lane.push(Queued::new(Arc::clone(&batch), index, offset));
                }
            }
        }
    }

    fn assigned(&mut self, partitions: Vec<u32>, unusable: &[u32], group: GroupMetadata, now: Now) {
        self.park();
        let incomplete = |&partition: &u32| (partition, RestoreRefusal::Incomplete { partition });
        self.refused = unusable.iter().map(incomplete).collect();
        self.counts.refused += u64::try_from(self.refused.len()).unwrap_or(u64::MAX);
        self.group = Some(group);
        let parked = std::mem::take(&mut self.parked);
        self.phase = Phase::Restoring(Box::new(Restore::new(partitions, parked, now.wall_ms)));
    }

    /// Keeps what is exactly its last commit; forgets everything else.
    fn park(&mut self) {
        for (partition, mut owned) in std::mem::take(&mut self.shards) {
            owned.lanes.iter_mut().for_each(Lane::rewind);
            if self.settings.breaks(Break::RevokeWithoutCommit) {
                drop(owned.shard.drain_all());
                self.parked.insert(partition, owned);
            } else if owned.is_clean() {
                self.parked.insert(partition, owned);
            }
        }
        self.forget();
    }

    /// Forgets everything that belongs to the assignment only.
    fn forget(&mut self) {
        self.shards.clear();
        self.refused.clear();
        self.uncommitted = WorkerCounts::default();
        self.group = None;
        self.leaving = false;
        self.full = false;
        self.keeps_buffered = false;
    }

    fn revoked(&mut self) {
        match &self.phase {
            Phase::Live if !self.settings.breaks(Break::RevokeWithoutCommit) => {
                self.leaving = true;
                let lanes = self.shards.values_mut().flat_map(|owned| &mut owned.lanes);
                lanes.for_each(Lane::rewind);
            }
            _ => self.phase = Phase::Unassigning,
        }
    }

    fn lost(&mut self) {
        self.forget();
        self.parked.clear();
        self.phase = Phase::Waiting;
    }

    fn restore(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        if self.stopping {
            self.phase = Phase::Unassigning;
            return Ok(Wake::Immediately);
        }
        // Recovery never keeps the group waiting, and ends when the assignment changes.
        if self.poll(now, Duration::ZERO)? == Seen::Rebalance {
            return Ok(Wake::Immediately);
        }
        let Phase::Restoring(restore) = &mut self.phase else { return Ok(Wake::Immediately) };
        let context = RestoreContext {
            settings: &self.settings,
            config: &self.config,
            config_version: &self.config_version,
            intake: &self.intake,
            identity: &self.identity,
            known_epochs: &self.config_epochs,
            wall_ms: now.wall_ms,
        };
        let step = restore.step(&mut self.log, &context);
        self.counts.add(std::mem::take(&mut restore.counts));
        match step? {
            RestoreStep::Again => Ok(Wake::Immediately),
            RestoreStep::Wait => Ok(self.retry(now)),
            RestoreStep::Finished => {
                self.shards = std::mem::take(&mut restore.done);
                self.refused.append(&mut restore.refused);
                let epochs = self.shards.values().map(|owned| (owned.partition, owned.config_epoch));
                self.config_epochs.extend(epochs);
                self.next_commit_ms = now.wall_ms;
                self.phase = Phase::Assigning;
                Ok(Wake::Immediately)
            }
        }
    }

    /// Starts (or, after a breaker tripped, restarts) reading at the applied positions, without
    /// the partitions that are held. When inputs rest or rest no more, it goes on behind what is
    /// buffered, without those that rest.
    fn assign(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        self.forget_standstill();
        let mut positions = Vec::new();
        for lane in self.shards.values_mut().flat_map(|owned| &mut owned.lanes) {
            if !self.keeps_buffered {
                lane.rewind();
            }
            if !lane.breaker.is_tripped() && !lane.rests {
                positions.push((lane.at, lane.fetched));
            }
        }
        match self.log.assign(&positions) {
            Ok(()) => {
                self.keeps_buffered = false;
                self.phase = Phase::Live;
                Ok(Wake::Immediately)
            }
            Err(LogError::Unavailable { .. }) => Ok(self.retry(now)),
            Err(error) => Err(RebuildReason::Log(error)),
        }
    }

    fn live(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        if self.leaving || self.stopping {
            return self.leave(now);
        }
        let polled = self.poll_input(now)?;
        if polled == Seen::Rebalance {
            return Ok(Wake::Immediately);
        }
        self.look_after_inputs()?;
        if self.change_flow() {
            self.phase = Phase::Assigning;
            return Ok(Wake::Immediately);
        }
        if !self.full && self.apply(now) {
            self.keeps_buffered = false;
            self.phase = Phase::Assigning;
            return Ok(Wake::Immediately);
        }
        if self.commit_is_due(now) || self.full {
            return self.begin_commit(now);
        }
        // While live the poll does the waiting: it ends early for records, and in time for the
        // next commit.
        Ok(if polled == Seen::Input { Wake::Immediately } else { Wake::Idle })
    }

    /// Whether the next commit is due. A wall clock that was set back must not postpone it by as much.
    fn commit_is_due(&self, now: Now) -> bool {
        let left_ms = self.next_commit_ms.saturating_sub(now.wall_ms);
        left_ms <= 0 || left_ms > self.settings.commit_interval_ms
    }

    /// Takes what the log has, while there is room for it.
    fn poll_input(&mut self, now: Now) -> Result<Seen, RebuildReason> {
        let mut best = Seen::Nothing;
        let mut wait = self.poll_wait(now);
        for _ in 0..MAX_POLLS_PER_STEP {
            if self.full || !self.has_room() {
                break;
            }
            let seen = self.poll(now, wait)?;
            wait = Duration::ZERO;
            match seen {
                Seen::Rebalance => return Ok(seen),
                Seen::Nothing => {
                    self.note_heard_out(now);
                    break;
                }
                Seen::Input => best = Seen::Input,
                Seen::Silence => {}
            }
        }
        Ok(best)
    }

    /// Whether more may be polled. In event mode an input that is missing must be waited for,
    /// however much the others have: a merge cannot go on without it.
    fn has_room(&self) -> bool {
        let merges = self.settings.clock.is_event();
        let inputs = self.inputs();
        let starves = merges && inputs.iter().any(|input| input.is_missing);
        let buffered: usize = self.shards.values().map(super::OwnedShard::buffered).sum();
        (starves || buffered < self.settings.max_buffered_records) && self.flow().has_room(&inputs, merges)
    }

    fn flow(&self) -> Flow {
        Flow::new(self.settings.max_buffered_bytes)
    }

    fn inputs(&self) -> Vec<Input> {
        let lanes = self.shards.values().flat_map(|owned| &owned.lanes);
        let input = |lane: &Lane<L::Batch>| Input {
            weight: lane.weight,
            rests: lane.rests,
            is_missing: lane.is_missing(),
        };
        lanes.map(input).collect()
    }

    /// In event mode: lets inputs rest that have enough while another is missing, and wakes those
    /// that have little. `true`: what is read must change.
    fn change_flow(&mut self) -> bool {
        if !self.settings.clock.is_event() {
            return false;
        }
        let Some(rests) = self.flow().change(&self.inputs()) else { return false };
        let lanes = self.shards.values_mut().flat_map(|owned| &mut owned.lanes);
        for (lane, rests) in lanes.zip(rests) {
            match rests {
                true if !lane.rests => lane.rest(),
                rests => lane.rests = rests,
            }
        }
        self.keeps_buffered = true;
        true
    }

    fn poll_wait(&self, now: Now) -> Duration {
        let pressing = self.shards.values().any(|owned| owned.is_pressing() || owned.rounds.is_writing());
        let left = u64::try_from(self.next_commit_ms.saturating_sub(now.wall_ms)).unwrap_or(0);
        let until_commit = if pressing { Duration::from_millis(left) } else { self.settings.poll_wait };
        self.settings.poll_wait.min(until_commit)
    }

    /// Applies what is buffered. `true`: an input partition was held just now.
    fn apply(&mut self, now: Now) -> bool {
        let first = self.first;
        let order: Vec<u32> =
            self.shards.range(first..).chain(self.shards.range(..first)).map(|(p, _)| *p).collect();
        for partition in order {
            let room = self.room_for(partition);
            let Some(owned) = self.shards.get_mut(&partition) else { continue };
            let context =
                PassContext { settings: &self.settings, intake: &self.intake, wall_ms: now.wall_ms, room };
            if apply_pass(owned, &context, &mut self.uncommitted) == Pass::Full {
                self.full = true;
            }
        }
        // A breaker that trips is no fate of a record: it counts at once, commit or not.
        let held = std::mem::take(&mut self.uncommitted.held);
        self.counts.held += held;
        held > 0
    }

    /// What this shard may have pending, given what the others have.
    fn room_for(&self, partition: u32) -> Room {
        let others = || self.shards.values().filter(|owned| owned.partition != partition);
        let effects: usize = others().map(|owned| owned.shard.pending_effects() + owned.owed.len()).sum();
        let letters: usize = others().map(|owned| owned.dead_letter_bytes).sum();
        let by_bytes = self.settings.max_commit_bytes / self.effect_bytes.max(1);
        Room {
            effects: self.settings.max_effects.min(by_bytes).saturating_sub(effects).max(1),
            dead_letter_bytes: self.settings.max_commit_bytes.saturating_sub(letters).max(1),
        }
    }

    fn begin_commit(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        let everything = self.leaving || self.stopping;
        let context = PrepareContext {
            settings: &self.settings,
            identity: &self.identity,
            config_version: &self.config_version,
            wall_ms: now.wall_ms,
            first: self.first,
            everything,
        };
        let cycle = prepare(&mut self.shards, &mut self.output, &context)?;
        self.first = (self.first + 1) % self.settings.partitions.max(1);
        self.next_commit_ms = now.wall_ms.saturating_add(self.settings.commit_interval_ms);
        let full = std::mem::take(&mut self.full);
        match cycle {
            Some(cycle) => {
                self.phase = Phase::Committing(Box::new(cycle));
                Ok(Wake::Immediately)
            }
            None if everything => {
                self.phase = Phase::Unassigning;
                Ok(Wake::Immediately)
            }
            // Everything that fills the commit may wait for the once-a-second rule.
            None if full => Ok(Wake::At(self.next_commit_ms)),
            None => Ok(Wake::Idle),
        }
    }

    fn commit(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        let Phase::Committing(cycle) = &mut self.phase else { return Ok(Wake::Immediately) };
        let Some(group) = &self.group else { return Err(RebuildReason::Fenced) };
        match cycle.step(&mut self.log, group, &self.settings, now.wall_ms)? {
            CycleStep::Again => Ok(Wake::Immediately),
            CycleStep::Retry => Ok(self.retry(now)),
            CycleStep::Landed => {
                self.landed(now);
                Ok(Wake::Immediately)
            }
        }
    }

    fn landed(&mut self, now: Now) {
        let Phase::Committing(cycle) = std::mem::replace(&mut self.phase, Phase::Live) else { return };
        let tally = cycle.landed(&mut self.shards, &mut self.output, now.wall_ms);
        self.counts.add(std::mem::take(&mut self.uncommitted));
        self.counts.commits += 1;
        self.counts.scores += tally.scores;
        self.counts.transitions += tally.transitions;
        tally
            .told
            .into_iter()
            .for_each(|(which, count)| *self.counts.told.entry(which).or_default() += count);
        self.counts.pages += tally.pages;
        self.counts.page_bytes += tally.page_bytes;
        self.counts.markers += tally.markers;
        let live = !self.settings.clock.is_event();
        for at in tally.transition_times_ms.into_iter().filter(|_| live) {
            self.counts.sample_freshness(now.wall_ms.saturating_sub(at));
        }
        let effects = usize::try_from(tally.scores + tally.transitions).unwrap_or(usize::MAX);
        if let Some(average) = tally.effect_bytes.checked_div(effects) {
            self.effect_bytes = (self.effect_bytes + average).div_ceil(2);
        }
    }

    /// Revoked or stopping: commits what is applied until nothing is left, then gives back.
    fn leave(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        if self.shards.values().all(super::OwnedShard::is_clean) {
            self.phase = Phase::Unassigning;
            return Ok(Wake::Immediately);
        }
        self.begin_commit(now)
    }

    fn unassign(&mut self, now: Now) -> Result<Wake, RebuildReason> {
        match self.log.unassign() {
            Ok(()) => {
                self.park();
                self.phase = if self.stopping { Phase::Stopped } else { Phase::Waiting };
                Ok(if self.stopping { Wake::Stopped } else { Wake::Immediately })
            }
            Err(LogError::Unavailable { .. }) => Ok(self.retry(now)),
            Err(error) => Err(RebuildReason::Log(error)),
        }
    }
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    Nothing,
    /// Proofs of silence only.
    Silence,
    /// Records or an end of input.
    Input,
    /// The assignment changed.
    Rebalance,
}
