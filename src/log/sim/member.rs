//! One member of the group: the `Log` trait over the shared broker, with a fault before each call.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::batch::SimBatch;
use super::broker::Shared;
use super::fault::{Call, CallSite, Fault, Indefinite, crashed, unavailable};
use super::group::Notice;
use super::partition::Partition;
use super::reading::Inputs;
use super::state::{Delivery, refused_error};
use super::transaction::Refused;
use crate::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, ReadRange, TopicPartition, Watermarks,
};

/// The limit of a read that is limited by bytes only.
const NO_RECORD_LIMIT: usize = usize::MAX;

/// What the call does after the hook was asked.
enum Go {
    Run,
    /// Answer "not yet".
    Later,
    /// Run, with this fault for the call to interpret.
    With(Fault),
}

/// A member of the group with its transactional producer. Dropping it leaves the group, unless it
/// crashed.
pub struct SimLog {
    shared: Arc<Shared>,
    name: String,
    epoch: Option<u64>,
    member_id: Option<String>,
    /// Partitions were handed to this member and not taken back yet.
    holding: bool,
    crashed: bool,
    slow: BTreeMap<Call, u32>,
    inputs: Inputs,
    in_txn: bool,
    /// The broker knows of the open transaction.
    touched: bool,
    abort_required: Option<String>,
    waiting: VecDeque<OutRecord>,
    undrained: usize,
    acked: BTreeMap<TopicPartition, Offset>,
}

impl SimLog {
    pub(super) fn new(shared: Arc<Shared>, name: &str) -> Self {
        Self {
            shared,
            name: name.to_owned(),
            epoch: None,
            member_id: None,
            holding: false,
            crashed: false,
            slow: BTreeMap::new(),
            inputs: Inputs::default(),
            in_txn: false,
            touched: false,
            abort_required: None,
            waiting: VecDeque::new(),
            undrained: 0,
            acked: BTreeMap::new(),
        }
    }

    /// Asks for a fault and serves those that mean the same for every call.
    fn enter(&mut self, call: Call) -> Result<Go, LogError> {
        if self.crashed {
            return Err(crashed());
        }
        if let Some(left) = self.slow.get_mut(&call).filter(|left| **left > 0) {
            *left -= 1;
            return Ok(Go::Later);
        }
        let index = {
            let mut state = self.shared.state();
            state.calls += 1;
            state.calls - 1
        };
        // The state is not locked here: a hook may call the broker.
        let fault = self.shared.ask_hook(CallSite { member: &self.name, call, index });
        match fault {
            Fault::None => {}
            Fault::Crash => {
                self.crashed = true;
                return Err(crashed());
            }
            Fault::AbortRequired => return Err(self.require_abort("injected")),
            Fault::Unavailable => return Err(unavailable("injected")),
            Fault::Fenced => {
                self.shared.state().expire(&self.name);
            }
            Fault::Slow(times) if times > 0 => {
                self.slow.insert(call, times - 1);
                return Ok(Go::Later);
            }
            Fault::Slow(_) => {}
            Fault::BufferFull | Fault::Indefinite(_) | Fault::Withhold => {
                return self.usable(call).map(|()| Go::With(fault));
            }
        }
        self.usable(call)?;
        Ok(Go::Run)
    }

    fn usable(&self, call: Call) -> Result<(), LogError> {
        if !self.shared.state().available {
            return Err(unavailable("the broker is away"));
        }
        if call != Call::Init && self.epoch.is_none() {
            return Err(LogError::Store { detail: "init has not finished".to_owned() });
        }
        Ok(())
    }

    fn require_abort(&mut self, detail: &str) -> LogError {
        if self.in_txn {
            self.abort_required = Some(detail.to_owned());
        }
        LogError::AbortRequired { detail: detail.to_owned() }
    }

    /// The producer's epoch, provided that a transaction is open and can still be committed.
    fn transaction(&self) -> Result<u64, LogError> {
        if let Some(detail) = &self.abort_required {
            return Err(LogError::AbortRequired { detail: detail.clone() });
        }
        match self.epoch {
            Some(epoch) if self.in_txn => Ok(epoch),
            _ => Err(LogError::Store { detail: "no transaction is open".to_owned() }),
        }
    }

    /// Hands waiting records to the broker, in order, as far as it takes them.
    fn flush(&mut self, epoch: u64) -> Result<Drain, LogError> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        while let Some(record) = self.waiting.front() {
            match state.produce(&self.name, epoch, record)? {
                Delivery::Done(offset) => {
                    self.acked.insert(record.to, offset);
                    self.touched = true;
                    self.waiting.pop_front();
                }
                Delivery::Later => return Ok(Drain::Pending),
            }
        }
        Ok(Drain::Done)
    }

    fn close_transaction(&mut self) {
        self.in_txn = false;
        self.touched = false;
        self.abort_required = None;
        self.waiting.clear();
        self.undrained = 0;
    }

    /// Sends the `EndTxn` of an outcome that stays unknown.
    fn end_unknown(&mut self, epoch: u64, commit: bool, what: Indefinite) {
        let mut state = self.shared.state();
        match what {
            // Whether it was refused is exactly what the member does not learn.
            Indefinite::Landed => drop(state.end(&self.name, epoch, commit)),
            Indefinite::Late => state.delay_end(&self.name, epoch, commit),
            Indefinite::Lost => {}
        }
    }

    /// What the group has to say, if anything.
    fn group_notice(&mut self) -> Result<Option<Polled<SimBatch>>, LogError> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.state();
        let id = match &self.member_id {
            Some(id) => id.clone(),
            None => state.group.join(&self.name),
        };
        let notice = state.group.notice(&self.name, &id);
        self.member_id = Some(id);
        match notice {
            Notice::Nothing => Ok(None),
            Notice::Assigned { partitions, unusable, group } => {
                self.inputs.stop();
                self.holding = true;
                Ok(Some(Polled::Assigned { partitions, unusable, group }))
            }
            Notice::Revoked => Ok(Some(Polled::Revoked)),
            Notice::Replaced => {
                self.inputs.stop();
                Err(LogError::Fenced { detail: format!("another instance joined as {}", self.name) })
            }
            Notice::Gone => {
                self.member_id = None;
                self.inputs.stop();
                let held = std::mem::take(&mut self.holding);
                Ok(held.then_some(Polled::Lost))
            }
        }
    }
}

impl Log for SimLog {
    type Batch = SimBatch;

    fn init(&mut self) -> Result<bool, LogError> {
        if let Go::Later = self.enter(Call::Init)? {
            return Ok(false);
        }
        if self.epoch.is_none() {
            self.epoch = self.shared.state().init(&self.name);
        }
        Ok(self.epoch.is_some())
    }

    fn poll(&mut self, _wait: Duration) -> Result<Polled<SimBatch>, LogError> {
        match self.enter(Call::Poll)? {
            Go::Later => return Ok(Polled::Idle),
            Go::With(Fault::Withhold) => self.inputs.withhold(),
            Go::Run | Go::With(_) => {}
        }
        match self.group_notice()? {
            Some(notice) => Ok(notice),
            None => self.inputs.next(&mut self.shared.state()),
        }
    }

    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        if let Go::Later = self.enter(Call::Assign)? {
            return Err(unavailable("slow"));
        }
        for (at, _) in positions {
            self.shared.state().partition(*at)?;
        }
        self.inputs.start(positions);
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), LogError> {
        if let Go::Later = self.enter(Call::Unassign)? {
            return Err(unavailable("slow"));
        }
        self.inputs.stop();
        if let Some(id) = &self.member_id
            && self.shared.state().group.acknowledge(&self.name, id)
        {
            self.holding = false;
        }
        Ok(())
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        if let Go::Later = self.enter(Call::Committed)? {
            return Ok(Committed::Pending);
        }
        let stable = self.shared.state().stable_positions(partitions);
        Ok(stable.map_or(Committed::Pending, Committed::Positions))
    }

    fn watermarks(&mut self, at: TopicPartition) -> Result<Watermarks, LogError> {
        if let Go::Later = self.enter(Call::Watermarks)? {
            return Err(unavailable("slow"));
        }
        Ok(self.shared.state().serving(at)?.watermarks())
    }

    fn stable_end(&mut self, at: TopicPartition) -> Result<Offset, LogError> {
        if let Go::Later = self.enter(Call::Watermarks)? {
            return Err(unavailable("slow"));
        }
        Ok(self.shared.state().serving(at)?.stable())
    }

    fn read_range(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadRange<SimBatch>, LogError> {
        if let Go::Later = self.enter(Call::ReadRange)? {
            return Err(unavailable("slow"));
        }
        let mut state = self.shared.state();
        let hides = state.partition(at).is_ok_and(Partition::hides_committed);
        state.counts.committed_behind_open += u64::from(hides);
        let (batch, position) = state.read(at, from, NO_RECORD_LIMIT, max_bytes.max(1))?;
        Ok(ReadRange { batch, position })
    }

    fn begin(&mut self) -> Result<(), LogError> {
        if let Go::Later = self.enter(Call::Begin)? {
            return Err(unavailable("slow"));
        }
        if self.in_txn {
            return Err(LogError::Store { detail: "a transaction is already open".to_owned() });
        }
        self.close_transaction();
        self.acked.clear();
        self.in_txn = true;
        Ok(())
    }

    fn send(&mut self, record: &OutRecord) -> Result<(), LogError> {
        let go = self.enter(Call::Send)?;
        let epoch = self.transaction()?;
        let limit = {
            let state = self.shared.state();
            state.partition(record.to)?;
            state.buffer_records
        };
        if matches!(go, Go::With(Fault::BufferFull)) || self.undrained >= limit {
            return Err(LogError::BufferFull);
        }
        self.waiting.push_back(record.clone());
        self.undrained += 1;
        if !matches!(go, Go::Later) {
            self.flush(epoch)?;
        }
        Ok(())
    }

    fn drain(&mut self) -> Result<Drain, LogError> {
        let go = self.enter(Call::Drain)?;
        let epoch = self.transaction()?;
        if let Go::Later = go {
            return Ok(Drain::Pending);
        }
        let drained = self.flush(epoch)?;
        if drained == Drain::Done {
            self.undrained = 0;
        }
        Ok(drained)
    }

    fn last_sent(&self, at: TopicPartition) -> Option<Offset> {
        self.acked.get(&at).copied()
    }

    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        let go = self.enter(Call::SendOffsets)?;
        let epoch = self.transaction()?;
        if let Go::Later = go {
            return Err(unavailable("slow"));
        }
        if positions.is_empty() {
            // The client sends no request then, so nothing is fenced either.
            return Ok(());
        }
        let checked = self.shared.state().check_group(group, &self.name, self.member_id.as_deref());
        if let Err(refusal) = checked {
            return Err(self.require_abort(refusal));
        }
        self.shared.state().add_positions(&self.name, epoch, positions)?;
        self.touched = true;
        Ok(())
    }

    fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        let go = self.enter(Call::Commit)?;
        let epoch = self.transaction()?;
        if matches!(go, Go::Later) || self.flush(epoch)? == Drain::Pending {
            return Ok(CommitOutcome::Pending);
        }
        let touched = self.touched;
        self.close_transaction();
        if let Go::With(Fault::Indefinite(what)) = go {
            self.end_unknown(epoch, true, what);
            return Ok(CommitOutcome::Indefinite);
        }
        if !touched {
            return Ok(CommitOutcome::Committed);
        }
        match self.shared.state().end(&self.name, epoch, true) {
            Ok(()) => Ok(CommitOutcome::Committed),
            Err(Refused::Busy) => Ok(CommitOutcome::Indefinite),
            Err(Refused::Fenced | Refused::Invalid) => Ok(CommitOutcome::Fenced),
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        let go = self.enter(Call::Abort)?;
        let epoch = match self.epoch {
            Some(epoch) if self.in_txn => epoch,
            _ => return Err(LogError::Store { detail: "no transaction is open".to_owned() }),
        };
        if let Go::Later = go {
            return Err(unavailable("slow"));
        }
        let touched = self.touched;
        self.close_transaction();
        if let Go::With(Fault::Indefinite(what)) = go {
            self.end_unknown(epoch, false, what);
            return Err(unavailable("the outcome of the abort is unknown"));
        }
        if !touched {
            return Ok(());
        }
        self.shared.state().end(&self.name, epoch, false).map_err(refused_error)
    }
}

impl Drop for SimLog {
    fn drop(&mut self) {
        if let (false, Some(id)) = (self.crashed, &self.member_id) {
            self.shared.state().group.leave(&self.name, id);
        }
    }
}
