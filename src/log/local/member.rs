//! The one member: the `Log` trait over the store.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::codec::{Body, Fresh, LocalBatch};
use super::store::LocalStore;
use super::writer::{Chunk, Done, Failed, NewPosition, Records, Reply, Work};
use super::{LocalError, POLL_BYTES, TopicKind};
use crate::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, ReadRange, TopicPartition, Watermarks,
};

/// How long one call of `init` or `commit` waits for the disk before it answers "not yet".
const DISK_WAIT: Duration = Duration::from_millis(100);

/// An input partition being read.
struct Reading {
    at: TopicPartition,
    position: Offset,
}

/// What the open transaction holds for one partition.
struct Pending {
    chunk: Chunk,
    /// The end before this transaction; only this member moves it.
    base: Offset,
    count: u64,
}

/// Where the transaction stands.
enum Stage {
    Idle,
    Open,
    /// Handed to the writer.
    Committing(Receiver<Reply>),
}

/// Where the handle stands.
enum Life {
    New,
    Fencing(Receiver<Reply>),
    Ready(u64),
}

/// The member of the embedded log, with its transaction.
pub struct LocalLog {
    store: Arc<LocalStore>,
    life: Life,
    announced: bool,
    reading: Vec<Reading>,
    /// Next entry of `reading` to look at; a round ends behind the last one.
    cursor: usize,
    round_had_records: bool,
    /// The input counter when the round began: what came later must not be slept over.
    round_began: u64,
    stage: Stage,
    pending: BTreeMap<TopicPartition, Pending>,
    pending_bytes: usize,
    positions: Vec<NewPosition>,
}

impl LocalLog {
    pub(super) fn new(store: Arc<LocalStore>) -> Self {
        Self {
            store,
            life: Life::New,
            announced: false,
            reading: Vec::new(),
            cursor: 0,
            round_had_records: false,
            round_began: 0,
            stage: Stage::Idle,
            pending: BTreeMap::new(),
            pending_bytes: 0,
            positions: Vec::new(),
        }
    }

    fn epoch(&self) -> Result<u64, LogError> {
        match self.life {
            Life::Ready(epoch) => Ok(epoch),
            _ => Err(misuse("init has not finished")),
        }
    }

    fn open(&self) -> Result<(), LogError> {
        match self.stage {
            Stage::Open => self.epoch().map(|_| ()),
            Stage::Idle => Err(misuse("no transaction is open")),
            Stage::Committing(_) => Err(misuse("the transaction is being committed")),
        }
    }

    fn group(epoch: u64) -> GroupMetadata {
        GroupMetadata {
            generation: i64::try_from(epoch).unwrap_or(i64::MAX),
            member: format!("local-{epoch}"),
        }
    }

    fn forget_transaction(&mut self) {
        self.stage = Stage::Idle;
        self.pending_bytes = 0;
        self.positions.clear();
    }

    fn restart_round(&mut self) {
        self.cursor = 0;
        self.round_had_records = false;
        self.round_began = self.store.shared.lock().input_changes;
    }

    /// What the partition at the cursor has.
    fn look(&mut self) -> Result<Option<Polled<LocalBatch>>, LogError> {
        let index = self.cursor;
        self.cursor += 1;
        let Some(reading) = self.reading.get_mut(index) else { return Ok(None) };
        let (at, position) = (reading.at, reading.position);
        if self.store.watermarks(at)?.end == position {
            return Ok(Some(Polled::Drained { at, position, asked_ms_ago: 0 }));
        }
        let (batch, next) = self.store.read(at, position, POLL_BYTES)?;
        reading.position = next;
        self.round_had_records = true;
        Ok(Some(Polled::Records(batch)))
    }

    /// The place in the open transaction for records to `to`, made at the first of them.
    fn place_for(&mut self, to: TopicPartition) -> Result<&mut Pending, LocalError> {
        let slot = match self.pending.entry(to) {
            Entry::Occupied(known) => return Ok(known.into_mut()),
            Entry::Vacant(slot) => slot,
        };
        let (topic, place) = self.store.layout.find(to)?;
        if topic.options.kind != TopicKind::Output {
            return Err(LocalError::WrongSide { topic: topic.options.name.clone() });
        }
        let compacted = topic.options.compacted;
        let records = if compacted { Records::Keyed(Vec::new()) } else { Records::Joined(Body::new()) };
        let base = self.store.watermarks(to)?.end;
        Ok(slot.insert(Pending { chunk: Chunk { at: to, place, records }, base, count: 0 }))
    }

    /// Hands the transaction to the writer.
    fn submit(&mut self) -> Result<Receiver<Reply>, LogError> {
        let epoch = self.epoch()?;
        // The counts stay behind for `last_sent`.
        let chunks = self.pending.values_mut().map(|pending| {
            let records = std::mem::replace(&mut pending.chunk.records, Records::Joined(Body::new()));
            Chunk { records, ..pending.chunk.clone() }
        });
        let work =
            Work::Commit { epoch, chunks: chunks.collect(), positions: std::mem::take(&mut self.positions) };
        Ok(self.store.submit(work, self.pending_bytes)?)
    }
}

fn misuse(detail: &str) -> LogError {
    LogError::Store { detail: detail.to_owned() }
}

impl Log for LocalLog {
    type Batch = LocalBatch;

    fn init(&mut self) -> Result<bool, LogError> {
        let answer = match &self.life {
            Life::Ready(_) => return Ok(true),
            Life::Fencing(answer) => answer.clone(),
            Life::New => {
                let answer = self.store.submit(Work::Fence, 0)?;
                self.life = Life::Fencing(answer.clone());
                answer
            }
        };
        match answer.recv_timeout(DISK_WAIT) {
            Ok(Ok(Done::Epoch(epoch))) => {
                self.life = Life::Ready(epoch);
                Ok(true)
            }
            Ok(Err(Failed { error, .. })) => Err(error.into()),
            Err(RecvTimeoutError::Timeout) => Ok(false),
            // The writer answers a fence with an epoch only, unless it is gone.
            Ok(Ok(_)) | Err(RecvTimeoutError::Disconnected) => Err(LocalError::Closed.into()),
        }
    }

    fn poll(&mut self, wait: Duration) -> Result<Polled<LocalBatch>, LogError> {
        let epoch = self.epoch()?;
        if !self.announced {
            self.announced = true;
            self.reading.clear();
            let partitions = (0..self.store.partitions()).collect();
            return Ok(Polled::Assigned { partitions, unusable: Vec::new(), group: Self::group(epoch) });
        }
        let mut waited = false;
        loop {
            if let Some(seen) = self.look()? {
                return Ok(seen);
            }
            let (had_records, began) = (self.round_had_records, self.round_began);
            self.restart_round();
            if had_records {
                continue;
            }
            // What arrived since the round began ends the wait at once.
            if waited || self.store.shared.wait(began, wait, |published| published.input_changes) == began {
                drop(self.store.shared.usable()?);
                return Ok(Polled::Idle);
            }
            waited = true;
            self.restart_round();
        }
    }

    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError> {
        self.epoch()?;
        for (at, _) in positions {
            let (topic, _) = self.store.layout.find(*at)?;
            if topic.options.kind != TopicKind::Input {
                return Err(LocalError::WrongSide { topic: topic.options.name.clone() }.into());
            }
        }
        self.reading =
            positions.iter().map(|(at, position)| Reading { at: *at, position: *position }).collect();
        self.restart_round();
        Ok(())
    }

    fn unassign(&mut self) -> Result<(), LogError> {
        self.epoch()?;
        self.reading.clear();
        self.restart_round();
        Ok(())
    }

    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.epoch()?;
        let found = partitions.iter().map(|at| self.store.position(*at)).collect::<Result<_, _>>()?;
        Ok(Committed::Positions(found))
    }

    fn watermarks(&mut self, at: TopicPartition) -> Result<Watermarks, LogError> {
        self.epoch()?;
        Ok(self.store.watermarks(at)?)
    }

    fn read_range(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadRange<LocalBatch>, LogError> {
        self.epoch()?;
        let (batch, position) = self.store.read(at, from, max_bytes)?;
        Ok(ReadRange { batch, position })
    }

    fn begin(&mut self) -> Result<(), LogError> {
        self.epoch()?;
        if !matches!(self.stage, Stage::Idle) {
            return Err(misuse("a transaction is already open"));
        }
        self.forget_transaction();
        self.pending.clear();
        self.stage = Stage::Open;
        Ok(())
    }

    fn send(&mut self, record: &OutRecord) -> Result<(), LogError> {
        self.open()?;
        let (timestamp_ms, headers) = (record.timestamp_ms, record.headers.as_slice());
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        let fresh = Fresh { timestamp_ms, key, value, headers };
        let bytes = fresh.stored_len();
        // A single record always fits, so that a small limit cannot stop the worker for good.
        if self.pending_bytes > 0 && self.pending_bytes + bytes > self.store.transaction_bytes {
            return Err(LogError::BufferFull);
        }
        let pending = self.place_for(record.to)?;
        match &mut pending.chunk.records {
            Records::Joined(all) => all.push(&fresh)?,
            Records::Keyed(all) => {
                let mut body = Body::new();
                body.push(&fresh)?;
                all.push((record.key.clone(), body));
            }
        }
        pending.count += 1;
        self.pending_bytes += bytes;
        Ok(())
    }

    fn drain(&mut self) -> Result<Drain, LogError> {
        self.open()?;
        Ok(Drain::Done)
    }

    fn last_sent(&self, at: TopicPartition) -> Option<Offset> {
        let pending = self.pending.get(&at)?;
        (pending.base + pending.count).checked_sub(1)
    }

    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &GroupMetadata,
    ) -> Result<(), LogError> {
        self.open()?;
        if *group != Self::group(self.epoch()?) {
            return Err(LogError::AbortRequired { detail: "the membership is not this member's".to_owned() });
        }
        for (at, position) in positions {
            let (_, place) = self.store.layout.find(*at)?;
            self.positions.push(NewPosition { at: *at, place, position: position.clone() });
        }
        Ok(())
    }

    fn commit(&mut self) -> Result<CommitOutcome, LogError> {
        let answer = match &self.stage {
            Stage::Committing(answer) => answer.clone(),
            _ => {
                self.open()?;
                let answer = self.submit()?;
                self.stage = Stage::Committing(answer.clone());
                answer
            }
        };
        let reply = match answer.recv_timeout(DISK_WAIT) {
            Err(RecvTimeoutError::Timeout) => return Ok(CommitOutcome::Pending),
            Err(RecvTimeoutError::Disconnected) => return Ok(CommitOutcome::Indefinite),
            Ok(reply) => reply,
        };
        self.forget_transaction();
        match reply {
            Ok(Done::Committed) => Ok(CommitOutcome::Committed),
            Ok(Done::Fenced) => Ok(CommitOutcome::Fenced),
            Err(Failed { unknown: false, error }) => Err(error.into()),
            // Failing while it became durable: only the file knows.
            Ok(_) | Err(Failed { unknown: true, .. }) => Ok(CommitOutcome::Indefinite),
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.open()?;
        self.forget_transaction();
        self.pending.clear();
        Ok(())
    }
}
