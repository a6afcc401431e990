//! The log: the one seam between the worker and whatever stores the topics.
//!
//! The trait has Kafka's own height. An implementation *decides nothing*: it reports what
//! happened (assignment, revocation, an unclear commit) and the worker decides. That is what
//! lets the simulation put a crash between any two calls, and what keeps the embedded log and
//! Kafka interchangeable.
//!
//! Implementations: [`kafka`] (a cluster), [`local`] (durable, one node, on an embedded store) and
//! [`sim`] (in memory, seeded, with faults; tests). To add one: implement [`Log`] and
//! [`RecordBatch`], then run the contract suite (`tests/log_contract/`) against it.
//!
//! This room must not know accounts, events or scores: keys and values are bytes.

pub mod kafka;
pub mod local;
pub mod sim;

use std::borrow::Cow;
use std::time::Duration;

/// A topic, as an index into the list the log was opened with. Names stay at the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId(pub u16);

/// A partition of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// Which topic.
    pub topic: TopicId,
    /// Which partition of it, from 0.
    pub partition: u32,
}

/// The position of a record. A *position* is always the offset of the next record to read.
pub type Offset = u64;

/// One record, borrowed from its batch.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Where it stands.
    pub at: TopicPartition,
    /// Its offset.
    pub offset: Offset,
    /// The record's own timestamp (producer or append time), UTC milliseconds.
    pub timestamp_ms: i64,
    /// Key bytes; `None` when the producer set none.
    pub key: Option<&'a [u8]>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

/// What a record weighs beside key, value and headers: its place in a batch and in the queue of its
/// input.
pub const RECORD_BYTES: usize = 128;
/// What a header weighs beside name and value: its place in the list.
pub const HEADER_BYTES: usize = 64;

/// Records that own (or keep alive) their bytes until dropped. Records of one partition stand
/// in offset order; offsets may have gaps (aborted records, transaction markers, compaction).
pub trait RecordBatch {
    /// How many records.
    fn len(&self) -> usize;
    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The record at `index`.
    ///
    /// # Panics
    /// If `index >= len()`.
    fn get(&self, index: usize) -> RecordRef<'_>;
    /// Place and offset of the record at `index`, for those who need no more of it.
    ///
    /// # Panics
    /// If `index >= len()`.
    fn place(&self, index: usize) -> (TopicPartition, Offset) {
        let record = self.get(index);
        (record.at, record.offset)
    }
    /// About the memory that the record at `index` holds, so that what waits can be bounded.
    ///
    /// # Panics
    /// If `index >= len()`.
    fn weight(&self, index: usize) -> usize {
        let record = self.get(index);
        let mut bytes =
            RECORD_BYTES + record.key.map_or(0, <[u8]>::len) + record.value.map_or(0, <[u8]>::len);
        if self.has_headers(index) {
            self.each_header(index, &mut |name, value| bytes += HEADER_BYTES + name.len() + value.len());
        }
        bytes
    }
    /// Whether the record at `index` may have headers; `false` saves their look-up.
    fn has_headers(&self, index: usize) -> bool {
        let _ = index;
        true
    }
    /// The last header of that name of the record at `index`.
    fn header(&self, index: usize, name: &str) -> Option<&[u8]>;
    /// Shows every header of the record at `index`, in order.
    fn each_header<'b>(&'b self, index: usize, see: &mut dyn FnMut(&'b str, &'b [u8]));
}

/// The name of a header: mostly one of ours.
pub type HeaderName = Cow<'static, str>;

/// The value of a header: some are the same in every record.
pub type HeaderValue = Cow<'static, [u8]>;

/// A record to be written inside the open transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutRecord {
    /// Target; the partition is always explicit (outputs of shard *p* go to partition *p*).
    pub to: TopicPartition,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` writes a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Record timestamp, UTC milliseconds.
    pub timestamp_ms: i64,
}

/// A record to append to an input topic, outside of any transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppendRecord {
    /// Where to.
    pub at: TopicPartition,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` writes a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Record timestamp, UTC milliseconds.
    pub timestamp_ms: i64,
}

/// The group membership under which partitions were assigned. Positions are committed under
/// exactly this value, so an owner that was replaced is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// Generation (Kafka: generation id; others: any number that changes with each assignment).
    pub generation: i64,
    /// Member id.
    pub member: String,
}

/// What [`Log::poll`] saw.
#[derive(Debug)]
pub enum Polled<B> {
    /// Nothing new within the wait.
    Idle,
    /// Input records of assigned partitions that have been started with [`Log::assign`].
    Records(B),
    /// This member now owns these partition numbers (of *every* input topic). Restore, then
    /// call [`Log::assign`]. Replaces any earlier assignment as a whole.
    Assigned {
        /// Partition numbers, ascending.
        partitions: Vec<u32>,
        /// Partition numbers that were given without being of use: some input topic lacks them, or
        /// the others have more partitions than they should. Ascending; nobody else reads them.
        unusable: Vec<u32>,
        /// Membership to commit under.
        group: GroupMetadata,
    },
    /// All partitions are being taken away in good order: a last commit is still allowed;
    /// afterwards call [`Log::unassign`].
    Revoked,
    /// The partitions are already gone (session lost): abort, forget, never commit.
    Lost,
    /// The position of this partition has reached its high watermark as of this answer: it
    /// proves that silence was heard. Repeated while it stays true, at the log's own pace.
    Drained {
        /// Which partition.
        at: TopicPartition,
        /// The position that equals the high watermark.
        position: Offset,
        /// How old the proof is: nothing is known of what was appended after the question was
        /// put, that many milliseconds ago.
        asked_ms_ago: i64,
    },
    /// End of input: nothing will ever be appended to this partition again (replay, tests).
    End {
        /// Which partition.
        at: TopicPartition,
    },
}

/// A committed position with the metadata stored beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedPosition {
    /// Next offset to read.
    pub position: Offset,
    /// The text stored with it (the commit number; see `worker`).
    pub metadata: String,
}

/// Answer of [`Log::committed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Some transaction that carries positions of this group has no outcome yet; ask again.
    Pending,
    /// Stable positions, in the order asked; `None` where nothing was ever committed.
    Positions(Vec<Option<CommittedPosition>>),
}

/// Start and end of a partition, taken together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watermarks {
    /// The first offset that still exists (retention may have moved it).
    pub start: Offset,
    /// The high watermark: one past the last appended record, *whatever its transaction's
    /// state* (read uncommitted).
    pub end: Offset,
}

/// Answer of [`Log::read_range`].
#[derive(Debug)]
pub struct ReadRange<B> {
    /// Committed records with `offset >= from`, possibly none.
    pub batch: B,
    /// Where the reader stands now: everything below it has been delivered, was aborted or is
    /// a marker. Equal to `from` when an open transaction (or nothing) follows.
    pub position: Offset,
}

/// Answer of [`Log::drain`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drain {
    /// Records are still on their way; call again.
    Pending,
    /// Every record sent so far is acknowledged.
    Done,
}

/// Outcome of [`Log::commit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// The transaction is committed.
    Committed,
    /// Not finished within the call's time; nothing is known yet, call again.
    Pending,
    /// The outcome is unknown and will stay so for this producer: drop the log handle and the
    /// state, start again from the committed positions. Never begin another transaction.
    Indefinite,
    /// Another owner replaced this one (or the transaction outlived its timeout).
    Fenced,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// Another producer with the same id took over, or the generation is stale.
    #[error("this worker was replaced by a newer owner ({detail})")]
    Fenced {
        /// What the log said.
        detail: String,
    },
    /// The open transaction cannot be committed; abort it.
    #[error("the transaction must be aborted: {detail}")]
    AbortRequired {
        /// What the log said.
        detail: String,
    },
    /// The output buffer is full; commit what is there, or drain and try again.
    #[error("the output buffer is full")]
    BufferFull,
    /// The log cannot be reached now. Silence proves nothing while this lasts.
    #[error("the log does not answer: {detail}")]
    Unavailable {
        /// What the log said.
        detail: String,
    },
    /// The position asked for does not exist (below the start, or above the end).
    #[error("{topic:?}/{partition}: offset {offset} does not exist (available: {start}..{end})")]
    OutOfRange {
        /// Topic.
        topic: TopicId,
        /// Partition.
        partition: u32,
        /// Asked for.
        offset: Offset,
        /// First existing.
        start: Offset,
        /// High watermark.
        end: Offset,
    },
    /// Another process uses the name of this one. The owner of the handle must end instead of
    /// starting again: two that replace each other would never come to rest.
    #[error(
        "another process runs under the instance name {instance}; give each process its own (kafka.instance)"
    )]
    InstanceTaken {
        /// The name.
        instance: String,
    },
    /// We may not do what every member must. The owner of the handle must end: only somebody who
    /// changes permissions can help.
    #[error("{sentence}")]
    Denied {
        /// What we may not do, and the next step.
        sentence: String,
    },
    /// The store itself failed; the handle must be dropped.
    #[error("the store failed: {detail}")]
    Store {
        /// What the store said.
        detail: String,
    },
}

/// How a transaction that hangs is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SweepAs {
    /// Nothing of it was ever seen, and nothing of it shall be.
    Aborted,
    /// What it wrote is seen: its positions shall be, too.
    Committed,
}

/// A member of the consumer group with one transactional producer: everything a worker may ask
/// of the topics. One thread owns it; dropping it leaves the group without committing.
///
/// Protocol of one commit: `begin`, `send`*, `drain` until [`Drain::Done`], `send_offsets`,
/// `commit` until it is not [`CommitOutcome::Pending`]. After `Indefinite`, `Fenced` or an
/// error other than `BufferFull`/`Unavailable`, the handle must be dropped.
pub trait Log {
    /// The batches this log hands out.
    type Batch: RecordBatch;

    /// Fences predecessors with the same transactional id and ends their open transaction.
    /// `false` = not finished, call again. Must be `true` once before anything else.
    fn init(&mut self) -> Result<bool, LogError>;

    /// The next happening; waits at most `wait`.
    fn poll(&mut self, wait: Duration) -> Result<Polled<Self::Batch>, LogError>;

    /// Starts reading exactly these input partitions from these positions (replaces all).
    fn assign(&mut self, positions: &[(TopicPartition, Offset)]) -> Result<(), LogError>;

    /// Stops reading and acknowledges a revocation.
    fn unassign(&mut self) -> Result<(), LogError>;

    /// Stable committed positions of the group.
    fn committed(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError>;

    /// Watermarks, read uncommitted.
    fn watermarks(&mut self, at: TopicPartition) -> Result<Watermarks, LogError>;

    /// Reads committed records of any topic from an offset, at most about `max_bytes`.
    fn read_range(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<ReadRange<Self::Batch>, LogError>;

    /// Opens a transaction.
    fn begin(&mut self) -> Result<(), LogError>;

    /// Writes into the open transaction. On [`LogError::BufferFull`] the record was not taken.
    fn send(&mut self, record: &OutRecord) -> Result<(), LogError>;

    /// Waits a bounded, short time for acknowledgements.
    fn drain(&mut self) -> Result<Drain, LogError>;

    /// The offset of the newest acknowledged record this handle sent to that partition in the
    /// open transaction. Only meaningful after [`Drain::Done`].
    fn last_sent(&self, at: TopicPartition) -> Option<Offset>;

    /// Adds positions (with metadata text) to the transaction, under `group`.
    fn send_offsets(
        &mut self,
        positions: &[(TopicPartition, CommittedPosition)],
        group: &GroupMetadata,
    ) -> Result<(), LogError>;

    /// Commits the open transaction.
    fn commit(&mut self) -> Result<CommitOutcome, LogError>;

    /// Aborts the open transaction.
    fn abort(&mut self) -> Result<(), LogError>;

    /// Positions of the group as they were last committed; what is pending is not waited for.
    fn settled(&mut self, partitions: &[TopicPartition]) -> Result<Committed, LogError> {
        self.committed(partitions)
    }

    /// The end that readers of committed records see: nothing behind it stands in an open transaction.
    fn stable_end(&mut self, at: TopicPartition) -> Result<Offset, LogError> {
        self.watermarks(at).map(|marks| marks.end)
    }

    /// Ends a transaction of a predecessor with the same transactional id that hangs: the log takes
    /// it for ended, yet it is open in these partitions or in the group's positions. Readers see
    /// nothing of the means. Changes nothing if there is none. Not inside a transaction. A log in
    /// which no transaction can hang has nothing to do.
    fn sweep(&mut self, partitions: &[TopicPartition], how: SweepAs) -> Result<(), LogError> {
        let _ = (partitions, how);
        Ok(())
    }
}
