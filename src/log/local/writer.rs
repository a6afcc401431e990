//! The only writer: takes what waits in the queue, writes it in one transaction of the store,
//! publishes it, and answers everybody.
//!
//! Because there is one writer, a fence is an ordinary request: when it has been answered, every
//! commit of an older member has either happened or will be refused.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use redb::{Database, ReadableTable, Table, WriteTransaction};

use super::codec::{Body, summary};
use super::room::{Room, Slot};
use super::shared::Shared;
use super::tables::{ENDS, NEWEST, POSITIONS, Place, RECORDS, disk_error};
use super::{GROUP_BYTES, LocalError, MAX_QUEUED_REQUESTS, RETENTION_BATCHES, STORED_BATCH_BYTES};
use crate::log::{CommittedPosition, Offset, TopicPartition, Watermarks};

/// Records for one partition, encoded by the caller.
#[derive(Clone, Debug)]
pub(super) enum Records {
    /// Stored together.
    Joined(Body),
    /// Stored one by one with a key index: a compacted topic.
    Keyed(Vec<(Option<Vec<u8>>, Body)>),
}

/// Records and where they go.
#[derive(Clone, Debug)]
pub(super) struct Chunk {
    pub(super) at: TopicPartition,
    pub(super) place: Place,
    pub(super) records: Records,
}

/// Older records of this partition may go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cutoff {
    pub(super) at: TopicPartition,
    pub(super) place: Place,
    /// Batches whose newest record is older than this.
    pub(super) before_ms: i64,
    /// Never records at or above this offset.
    pub(super) floor: Offset,
}

/// A position to store.
#[derive(Clone, Debug)]
pub(super) struct NewPosition {
    pub(super) at: TopicPartition,
    pub(super) place: Place,
    pub(super) position: CommittedPosition,
}

/// What the writer is asked for.
pub(super) enum Work {
    Append(Vec<Chunk>),
    Commit { epoch: u64, chunks: Vec<Chunk>, positions: Vec<NewPosition> },
    Fence,
    Retain(Vec<Cutoff>),
}

/// What it answers, once durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// The offset of the first record of each chunk.
    Appended(Vec<Offset>),
    Committed,
    /// A newer member exists; nothing was written.
    Fenced,
    /// The epoch of the new member.
    Epoch(u64),
    /// How many stored values were deleted.
    Retained(usize),
}

/// Why the work was not done.
#[derive(Clone, Debug)]
pub(super) struct Failed {
    pub(super) error: LocalError,
    /// The failure came while the transaction was being made durable: it may or may not be.
    pub(super) unknown: bool,
}

pub(super) type Reply = Result<Done, Failed>;

/// One entry of the queue.
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) bytes: usize,
    pub(super) reply: Sender<Reply>,
}

/// The writer thread's own state.
pub(super) struct Writer {
    pub(super) db: Arc<Slot>,
    pub(super) room: Room,
    pub(super) dir: PathBuf,
    pub(super) shared: Arc<Shared>,
    pub(super) queue: Receiver<Request>,
    pub(super) queued_bytes: Arc<AtomicUsize>,
    pub(super) epoch: u64,
}

impl Writer {
    /// Serves the queue until every sender is gone.
    pub(super) fn run(mut self) {
        while let Some(first) = self.next() {
            let mut size = first.bytes;
            let mut group = vec![first];
            // Bounded in number, too: work without bytes could come for ever.
            while size < GROUP_BYTES && group.len() < MAX_QUEUED_REQUESTS {
                let Ok(next) = self.queue.try_recv() else { break };
                size += next.bytes;
                group.push(next);
            }
            self.serve(group);
            self.queued_bytes.fetch_sub(size, Ordering::AcqRel);
        }
    }

    /// The next request; while the disk has failed, tries now and then whether it is well again.
    fn next(&mut self) -> Option<Request> {
        loop {
            let Some(pause) = self.room.pause() else { return self.queue.recv().ok() };
            match self.queue.recv_timeout(pause) {
                Ok(request) => return Some(request),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => self.try_again(),
            }
        }
    }

    /// Opens the file anew. Whoever was a member before may have missed what became durable when the
    /// disk failed, so it is fenced.
    fn try_again(&mut self) {
        match self.room.open_again(&self.db) {
            Ok(mirror) => {
                self.epoch += 1;
                tracing::info!(dir = %self.dir.display(), "the log is open again");
                self.shared.recover(mirror);
            }
            Err(error) => self.shared.fail(&error),
        }
    }

    fn serve(&mut self, group: Vec<Request>) {
        let earlier = self.shared.lock().failed.clone();
        let outcome = match earlier {
            Some(error) => Err(Failed { error, unknown: false }),
            None => self.write(&group).inspect_err(|failed| {
                // Memory may now differ from the file: from here on everybody hears the reason.
                tracing::error!("{}", failed.error);
                self.room.note_failure();
                self.shared.fail(&failed.error);
            }),
        };
        match outcome {
            Ok(answers) => {
                for (request, answer) in group.iter().zip(answers) {
                    // A caller that went away does not want its answer.
                    drop(request.reply.send(Ok(answer)));
                }
            }
            Err(failed) => {
                for request in &group {
                    drop(request.reply.send(Err(failed.clone())));
                }
            }
        }
    }

    fn write(&mut self, group: &[Request]) -> Result<Vec<Done>, Failed> {
        let failed = |unknown| {
            let dir = self.dir.clone();
            move |error: redb::Error| Failed { error: disk_error(&dir, error), unknown }
        };
        let begun = self
            .db
            .with(Database::begin_write)
            .ok_or(Failed { error: LocalError::Closed, unknown: false })?;
        let mut txn = begun.map_err(|error| failed(false)(error.into()))?;
        // Costs a second flush of the disk per group, and spares a walk through the whole file
        // after a kill.
        txn.set_quick_repair(true);
        let ends = self.shared.lock().mirror.ends.clone();
        let mut change = Change { epoch: self.epoch, ends, ..Change::default() };
        let answers = change.apply(&txn, group).map_err(failed(false))?;
        if !change.dirty {
            // Nothing to write: a fence or a refused commit needs no disk. An aborted
            // transaction of the store cannot lose anything, so its result does not matter.
            drop(txn);
            self.epoch = change.epoch;
            return Ok(answers);
        }
        txn.commit().map_err(|error| failed(true)(error.into()))?;
        self.epoch = change.epoch;
        self.shared.publish(|published| {
            published.mirror.ends = change.ends;
            published.mirror.positions.extend(change.positions);
            published.changes += 1;
            published.input_changes += u64::from(change.appended);
        });
        Ok(answers)
    }
}

/// What a group changes, collected before it is durable.
#[derive(Default)]
struct Change {
    epoch: u64,
    dirty: bool,
    appended: bool,
    ends: BTreeMap<TopicPartition, Watermarks>,
    /// Partitions whose ends moved.
    moved: BTreeMap<TopicPartition, Place>,
    positions: Vec<(TopicPartition, CommittedPosition)>,
    /// Records of a partition that wait to be stored together.
    joined: BTreeMap<TopicPartition, (Place, Offset, Body)>,
}

type RecordTable<'t> = Table<'t, (u16, u32, u64), &'static [u8]>;
type NewestTable<'t> = Table<'t, (u16, u32, &'static [u8]), u64>;

struct Tables<'t> {
    records: RecordTable<'t>,
    newest: NewestTable<'t>,
    positions: Table<'t, Place, (u64, &'static str)>,
}

impl Change {
    fn apply(&mut self, txn: &WriteTransaction, group: &[Request]) -> Result<Vec<Done>, redb::Error> {
        let mut tables = Tables {
            records: txn.open_table(RECORDS)?,
            newest: txn.open_table(NEWEST)?,
            positions: txn.open_table(POSITIONS)?,
        };
        let mut answers = Vec::with_capacity(group.len());
        for request in group {
            answers.push(self.one(&mut tables, &request.work)?);
        }
        for (_, (place, base, body)) in std::mem::take(&mut self.joined) {
            store(&mut tables.records, place, base, &body)?;
        }
        let mut ends = txn.open_table(ENDS)?;
        for (at, place) in &self.moved {
            let marks = self.marks(*at);
            ends.insert(*place, (marks.start, marks.end))?;
        }
        Ok(answers)
    }

    fn one(&mut self, tables: &mut Tables<'_>, work: &Work) -> Result<Done, redb::Error> {
        match work {
            Work::Append(chunks) => {
                self.appended = true;
                Ok(Done::Appended(self.chunks(tables, chunks)?))
            }
            Work::Commit { epoch, .. } if *epoch != self.epoch => Ok(Done::Fenced),
            Work::Commit { chunks, positions, .. } => {
                self.chunks(tables, chunks)?;
                for new in positions {
                    let metadata = new.position.metadata.as_str();
                    tables.positions.insert(new.place, (new.position.position, metadata))?;
                    self.positions.push((new.at, new.position.clone()));
                    self.dirty = true;
                }
                Ok(Done::Committed)
            }
            Work::Fence => {
                self.epoch += 1;
                Ok(Done::Epoch(self.epoch))
            }
            Work::Retain(cutoffs) => Ok(Done::Retained(self.retain(tables, cutoffs)?)),
        }
    }

    fn marks(&self, at: TopicPartition) -> Watermarks {
        self.ends.get(&at).copied().unwrap_or(Watermarks { start: 0, end: 0 })
    }

    /// Takes the next `count` offsets of a partition; answers the first.
    fn take_offsets(&mut self, at: TopicPartition, place: Place, count: u32) -> Offset {
        let marks = self.ends.entry(at).or_insert(Watermarks { start: 0, end: 0 });
        let base = marks.end;
        marks.end += u64::from(count);
        self.moved.insert(at, place);
        self.dirty = true;
        base
    }

    fn chunks(&mut self, tables: &mut Tables<'_>, chunks: &[Chunk]) -> Result<Vec<Offset>, redb::Error> {
        let mut bases = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            let base = match &chunk.records {
                Records::Joined(body) => self.join(&mut tables.records, chunk, body)?,
                Records::Keyed(records) => self.keyed(tables, chunk, records)?,
            };
            bases.push(base);
        }
        Ok(bases)
    }

    /// Adds records to what waits for their partition, and stores that once it is large.
    fn join(
        &mut self,
        records: &mut RecordTable<'_>,
        chunk: &Chunk,
        body: &Body,
    ) -> Result<Offset, redb::Error> {
        let base = self.take_offsets(chunk.at, chunk.place, body.count);
        let waiting = self.joined.entry(chunk.at).or_insert_with(|| (chunk.place, base, Body::new()));
        waiting.2.extend(body);
        if waiting.2.len() >= STORED_BATCH_BYTES
            && let Some((place, first, full)) = self.joined.remove(&chunk.at)
        {
            store(records, place, first, &full)?;
        }
        Ok(base)
    }

    fn keyed(
        &mut self,
        tables: &mut Tables<'_>,
        chunk: &Chunk,
        records: &[(Option<Vec<u8>>, Body)],
    ) -> Result<Offset, redb::Error> {
        let first = self.marks(chunk.at).end;
        let (topic, partition) = chunk.place;
        for (key, body) in records {
            let offset = self.take_offsets(chunk.at, chunk.place, body.count);
            store(&mut tables.records, chunk.place, offset, body)?;
            if let Some(key) = key {
                let older = tables
                    .newest
                    .insert((topic, partition, key.as_slice()), offset)?
                    .map(|guard| guard.value());
                if let Some(older) = older {
                    tables.records.remove((topic, partition, older))?;
                }
            }
        }
        Ok(first)
    }

    /// Deletes whole stored values from the front, until one must stay.
    fn retain(&mut self, tables: &mut Tables<'_>, cutoffs: &[Cutoff]) -> Result<usize, redb::Error> {
        let mut deleted = 0;
        for cutoff in cutoffs {
            let (topic, partition) = cutoff.place;
            let mut gone = Vec::new();
            let mut start = self.marks(cutoff.at).start;
            for entry in tables.records.range((topic, partition, 0)..(topic, partition, cutoff.floor))? {
                let (key, value) = entry?;
                let base = key.value().2;
                // A value that cannot be read stays: readers shall see that it is damaged.
                let Some(known) = summary(value.value()) else { break };
                let next = base + u64::from(known.count);
                let stays = known.newest_ms >= cutoff.before_ms || next > cutoff.floor;
                if stays || deleted + gone.len() >= RETENTION_BATCHES {
                    break;
                }
                start = next;
                gone.push(base);
            }
            deleted += gone.len();
            for base in &gone {
                tables.records.remove((topic, partition, *base))?;
            }
            if !gone.is_empty() {
                self.dirty = true;
                self.moved.insert(cutoff.at, cutoff.place);
                if let Some(marks) = self.ends.get_mut(&cutoff.at) {
                    marks.start = start;
                }
            }
        }
        Ok(deleted)
    }
}

fn store(records: &mut RecordTable<'_>, place: Place, base: Offset, body: &Body) -> Result<(), redb::Error> {
    let (topic, partition) = place;
    records.insert((topic, partition, base), body.to_value().as_slice())?;
    Ok(())
}
