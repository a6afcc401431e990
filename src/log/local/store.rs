//! The store: opening, appending, reading, waiting, retention.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};
use redb::Builder;

use super::codec::{Body, Fresh, LocalBatch};
use super::member::LocalLog;
use super::room::{Opener, Room, Slot};
use super::shared::Shared;
use super::tables::{Layout, Span, load, opening_error, prepare, read_span};
use super::writer::{Chunk, Cutoff, Done, Records, Reply, Request, Work, Writer};
use super::{
    CACHE_BYTES, FILE_NAME, LocalError, LocalOptions, MAX_APPEND_BYTES, MAX_QUEUED_BYTES,
    MAX_QUEUED_REQUESTS, TopicKind,
};
use crate::log::{AppendRecord, CommittedPosition, Offset, TopicId, TopicPartition, Watermarks};

/// The durable log of one data directory. Shared by ingest, the worker and readers.
pub struct LocalStore {
    pub(super) dir: PathBuf,
    pub(super) layout: Layout,
    pub(super) shared: Arc<Shared>,
    pub(super) transaction_bytes: usize,
    pub(super) db: Arc<Slot>,
    floors: Mutex<BTreeMap<TopicPartition, Offset>>,
    queued_bytes: Arc<AtomicUsize>,
    /// `None` only while the store is being dropped.
    queue: Option<Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl LocalStore {
    /// Opens the log in `dir`, creating both if needed.
    pub fn open(dir: &Path, options: LocalOptions) -> Result<Arc<Self>, LocalError> {
        std::fs::create_dir_all(dir).map_err(|error| LocalError::io(dir, &error))?;
        let file = dir.join(FILE_NAME);
        let open = move || {
            let mut builder = Builder::new();
            builder.set_cache_size(CACHE_BYTES);
            builder.create(&file)
        };
        Self::with_opener(Box::new(open), dir, &options)
    }

    /// The store over what `open` opens, now and after a failure; tests bring a failing disk.
    pub(super) fn with_opener(
        open: Opener,
        dir: &Path,
        options: &LocalOptions,
    ) -> Result<Arc<Self>, LocalError> {
        let db = open().map_err(|error| opening_error(dir, error))?;
        let layout = prepare(&db, dir, options)?;
        let shared = Arc::new(Shared::new(load(&db, dir, &layout)?));
        let db = Arc::new(Slot::new(db));
        let queued_bytes = Arc::new(AtomicUsize::new(0));
        let (queue, requests) = bounded(MAX_QUEUED_REQUESTS);
        let writer = Writer {
            db: Arc::clone(&db),
            room: Room::new(dir, open, layout.clone()),
            dir: dir.to_path_buf(),
            shared: Arc::clone(&shared),
            queue: requests,
            queued_bytes: Arc::clone(&queued_bytes),
            epoch: 0,
        };
        let thread = std::thread::Builder::new().name("log-writer".to_owned());
        let writer = thread.spawn(move || writer.run()).map_err(|error| LocalError::io(dir, &error))?;
        Ok(Arc::new(Self {
            dir: dir.to_path_buf(),
            layout,
            shared,
            transaction_bytes: options.transaction_bytes,
            db,
            floors: Mutex::default(),
            queued_bytes,
            queue: Some(queue),
            writer: Some(writer),
        }))
    }

    /// The id of the topic of that name.
    pub fn topic(&self, name: &str) -> Option<TopicId> {
        self.layout.id(name)
    }

    /// Partitions of every topic.
    pub fn partitions(&self) -> u32 {
        self.layout.partitions
    }

    /// Appends to input topics and waits until that is durable. Answers the offsets in the order
    /// of the records; callers at the same time share one write to disk.
    pub fn append(&self, records: Vec<AppendRecord>) -> Result<Vec<Offset>, LocalError> {
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let (chunks, order) = self.encode(&records)?;
        drop(records);
        let bytes = chunks.iter().map(|chunk| chunk.1).sum();
        if bytes > MAX_APPEND_BYTES {
            return Err(LocalError::TooLarge { what: "an append", bytes, limit: MAX_APPEND_BYTES });
        }
        let work = Work::Append(chunks.into_iter().map(|(chunk, _)| chunk).collect());
        match self.answer(&self.offer(work, bytes)?)? {
            Done::Appended(bases) => {
                let offset = |(chunk, index): (usize, u64)| bases.get(chunk).map_or(0, |base| base + index);
                Ok(order.into_iter().map(offset).collect())
            }
            // The writer answers an append with `Appended` only.
            _ => Err(LocalError::Closed),
        }
    }

    /// One chunk per partition with its size, and for each record its chunk and place in it.
    #[allow(clippy::type_complexity, reason = "two parallel answers of one pass, used once")]
    fn encode(
        &self,
        records: &[AppendRecord],
    ) -> Result<(Vec<(Chunk, usize)>, Vec<(usize, u64)>), LocalError> {
        let mut bodies: Vec<(TopicPartition, super::tables::Place, Body)> = Vec::new();
        let mut known: BTreeMap<TopicPartition, usize> = BTreeMap::new();
        let mut order = Vec::with_capacity(records.len());
        for record in records {
            let at = record.at;
            let chunk = match known.get(&at) {
                Some(chunk) => *chunk,
                None => {
                    let (topic, place) = self.layout.find(at)?;
                    if topic.options.kind != TopicKind::Input {
                        return Err(LocalError::WrongSide { topic: topic.options.name.clone() });
                    }
                    bodies.push((at, place, Body::new()));
                    known.insert(at, bodies.len() - 1);
                    bodies.len() - 1
                }
            };
            // `known` holds indices of `bodies` only.
            let body = &mut bodies[chunk].2;
            order.push((chunk, u64::from(body.count)));
            let (timestamp_ms, headers) = (record.timestamp_ms, record.headers.as_slice());
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            body.push(&Fresh { timestamp_ms, key, value, headers })?;
        }
        let chunks = bodies.into_iter().map(|(at, place, body)| {
            let bytes = body.len();
            (Chunk { at, place, records: Records::Joined(body) }, bytes)
        });
        Ok((chunks.collect(), order))
    }

    /// A new member. Its `init` fences the one before it; exactly one can commit.
    pub fn member(self: &Arc<Self>) -> LocalLog {
        LocalLog::new(Arc::clone(self))
    }

    /// Puts work into the queue, or says that it is full.
    pub(super) fn offer(&self, work: Work, bytes: usize) -> Result<Receiver<Reply>, LocalError> {
        drop(self.shared.usable()?);
        let before = self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        let (reply, answer) = bounded(1);
        let request = Request { work, bytes, reply };
        let sent = match &self.queue {
            Some(_) if before + bytes > MAX_QUEUED_BYTES => Err(LocalError::Busy),
            Some(queue) => queue.try_send(request).map_err(|error| match error {
                TrySendError::Full(_) => LocalError::Busy,
                TrySendError::Disconnected(_) => LocalError::Closed,
            }),
            None => Err(LocalError::Closed),
        };
        if sent.is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
        }
        sent.map(|()| answer)
    }

    /// Puts work into the queue, waiting for room: the member's own requests are never refused.
    pub(super) fn submit(&self, work: Work, bytes: usize) -> Result<Receiver<Reply>, LocalError> {
        drop(self.shared.usable()?);
        let (reply, answer) = bounded(1);
        let queue = self.queue.as_ref().ok_or(LocalError::Closed)?;
        self.queued_bytes.fetch_add(bytes, Ordering::AcqRel);
        if queue.send(Request { work, bytes, reply }).is_err() {
            self.queued_bytes.fetch_sub(bytes, Ordering::AcqRel);
            return Err(LocalError::Closed);
        }
        Ok(answer)
    }

    fn answer(&self, answer: &Receiver<Reply>) -> Result<Done, LocalError> {
        let reply = answer.recv().map_err(|_| LocalError::Closed)?;
        reply.map_err(|failed| failed.error)
    }

    /// Start and end of a partition.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, LocalError> {
        self.layout.find(at)?;
        let published = self.shared.usable()?;
        Ok(published.mirror.ends.get(&at).copied().unwrap_or(Watermarks { start: 0, end: 0 }))
    }

    /// The committed position of an input partition.
    pub fn position(&self, at: TopicPartition) -> Result<Option<CommittedPosition>, LocalError> {
        self.layout.find(at)?;
        Ok(self.shared.usable()?.mirror.positions.get(&at).cloned())
    }

    /// About `max_bytes` of records from `from` on, and the position behind them.
    pub fn read(
        &self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<(LocalBatch, Offset), LocalError> {
        let (_, place) = self.layout.find(at)?;
        let marks = self.watermarks(at)?;
        let span = Span { at, place, from, marks, max_bytes: max_bytes.max(1) };
        self.db.with(|db| read_span(db, &self.dir, &span)).unwrap_or_else(|| {
            // The file is being opened anew: whoever asks now hears why.
            self.shared.usable().and(Err(LocalError::Busy))
        })
    }

    /// Why the log cannot be used now, if so.
    pub fn trouble(&self) -> Option<LocalError> {
        self.shared.lock().failed.clone()
    }

    /// Calls `told` whenever the log fails, with the reason, and when it is back.
    pub fn on_trouble(&self, told: impl Fn(Option<&LocalError>) + Send + Sync + 'static) {
        self.shared.watch(Box::new(told));
    }

    /// A number that moves with every change of any topic.
    pub fn changes(&self) -> u64 {
        self.shared.lock().changes
    }

    /// Waits until [`Self::changes`] differs from `seen`, at most `timeout`; answers it.
    pub fn wait_for_change(&self, seen: u64, timeout: Duration) -> u64 {
        self.shared.wait(seen, timeout, |published| published.changes)
    }

    /// Allows retention to delete input records below `floor`. Without a floor it deletes none of
    /// that partition: recovery might still need them.
    pub fn set_retention_floor(&self, at: TopicPartition, floor: Offset) -> Result<(), LocalError> {
        self.layout.find(at)?;
        self.floors.lock().unwrap_or_else(PoisonError::into_inner).insert(at, floor);
        Ok(())
    }

    /// Deletes what is older than its topic's retention at `now_ms`. Answers how many stored
    /// batches went; a pass is bounded, so call again while it is not 0.
    pub fn delete_expired(&self, now_ms: i64) -> Result<usize, LocalError> {
        let floors = self.floors.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let cutoffs = self.layout.all().filter_map(|(at, place, topic)| {
            let before_ms = now_ms.saturating_sub(topic.retention_ms?);
            let floor = match topic.kind {
                TopicKind::Input => floors.get(&at).copied().unwrap_or(0),
                TopicKind::Output => Offset::MAX,
            };
            Some(Cutoff { at, place, before_ms, floor })
        });
        match self.answer(&self.submit(Work::Retain(cutoffs.collect()), 0)?)? {
            Done::Retained(count) => Ok(count),
            // The writer answers retention with `Retained` only.
            _ => Err(LocalError::Closed),
        }
    }
}

impl Drop for LocalStore {
    fn drop(&mut self) {
        // The writer ends when the last sender is gone, after it has served what waits.
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was already reported; there is nobody to tell it to here.
            drop(writer.join());
        }
    }
}
