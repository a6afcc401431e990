//! Batches of records straight from the client library, and the one other call that its safe
//! wrapper lacks ([`set_token`]): the only `unsafe` of this crate.
//!
//! What for: the safe wrapper hands out one message per call and pays several times the price of
//! a message for it. Here partitions are forwarded to one queue, which is drained in batches;
//! records stay where the library put them and are read in place.
//!
//! # Why this is sound
//! - Every native object lives in a type that owns it and destroys it once: [`Message`],
//!   [`Source`] (topic handles) and [`BatchQueue`] (the queue). A null pointer never gets into one.
//! - The library wants messages, queues and topic handles gone before the client. Each owner
//!   keeps the client alive through [`Source`] and lets go of its own object first: `Drop` runs
//!   before the fields do, and fields go in the order they stand in.
//! - The batch call is not safe beside another batch call on the same client. It takes
//!   `&mut BatchQueue`, and a client is given one queue.
//! - Key, value and header slices borrow the batch, which owns the message that owns the bytes.
//! - The first look at the headers of a message parses them in place, so a batch must not be
//!   shared between threads: it is `Send` and not `Sync`. It may move: messages are plain memory
//!   with atomic counts on what they share, and may be destroyed on any thread.
//!
//! To add an accessor: read through a `&Message`, say which field owns what is returned.
//!
//! This file must not decide anything: it neither classifies errors nor waits longer than asked.
#![allow(unsafe_code, reason = "the batch interface of the library has no safe wrapper")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings as native;
use rdkafka::client::{Client, OAuthToken};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::topic_partition_list::TopicPartitionList;
use rdkafka::types::{RDKafkaMessage, RDKafkaQueue, RDKafkaRespErr, RDKafkaTopic, RDKafkaTopicPartition};

use super::KafkaOptions;
use super::closing::Closing;
use crate::log::{HEADER_BYTES, Offset, RecordBatch, RecordRef, TopicId, TopicPartition};

/// What the library holds for a record beside key, value and headers, and what our queues do.
const MESSAGE_BYTES: usize = 512;

/// A record of the library's, destroyed with this value.
pub(super) struct Message(NonNull<RDKafkaMessage>);

// SAFETY: see the head of the file: a message may be read and destroyed on any one thread.
unsafe impl Send for Message {}

impl Message {
    fn raw(&self) -> &RDKafkaMessage {
        // SAFETY: not null, and alive until `drop`.
        unsafe { self.0.as_ref() }
    }

    /// Its offset.
    pub fn offset(&self) -> Offset {
        u64::try_from(self.raw().offset).unwrap_or(0)
    }

    /// Bytes of key and value.
    pub fn len(&self) -> usize {
        self.raw().len + self.raw().key_len
    }

    fn timestamp_ms(&self) -> i64 {
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive; the second argument is a place to write to.
        unsafe { native::rd_kafka_message_timestamp(self.0.as_ptr(), &mut kind) }
    }

    fn headers(&self) -> HeaderIter<'_> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive. The call parses the headers into the message, which owns
        // them; nobody else looks meanwhile, since `Message` is not `Sync`.
        let code = unsafe { native::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) };
        let found = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        HeaderIter { headers: if found { headers } else { ptr::null_mut() }, next: 0, message: self }
    }

    fn failure(&self) -> Option<RDKafkaErrorCode> {
        let code = self.raw().err;
        (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
    }

    fn failure_text(&self) -> String {
        // SAFETY: the message is alive and so is the text, which is either static or its payload.
        let text = unsafe { native::rd_kafka_message_errstr(self.0.as_ptr()) };
        if text.is_null() {
            return String::new();
        }
        // SAFETY: not null, and ends with a zero.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: this value owns the message, and nobody can look at it any more.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Bytes at `start`; `None` for the null pointer.
///
/// # Safety
/// `start` is null or points to `len` bytes that live as long as `_owner`.
unsafe fn bytes<T>(_owner: &T, start: *const c_void, len: usize) -> Option<&[u8]> {
    if start.is_null() {
        return None;
    }
    // SAFETY: promised by the caller.
    Some(unsafe { std::slice::from_raw_parts(start.cast(), len) })
}

/// The headers of a record, in order. A header without a value is an empty one here; a name that
/// is not UTF-8 is passed over.
pub struct HeaderIter<'a> {
    headers: *mut native::rd_kafka_headers_t,
    next: usize,
    message: &'a Message,
}

impl<'a> HeaderIter<'a> {
    /// The next header, whatever its name.
    fn raw(&mut self) -> Option<(&'a CStr, &'a [u8])> {
        if self.headers.is_null() {
            return None;
        }
        let (mut name, mut value, mut len) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers belong to the message that is borrowed here.
        let code = unsafe {
            native::rd_kafka_header_get_all(self.headers, self.next, &mut name, &mut value, &mut len)
        };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR || name.is_null() {
            return None;
        }
        self.next += 1;
        // SAFETY: name and value belong to the headers; a name ends with a zero.
        Some(unsafe { (CStr::from_ptr(name), bytes(self.message, value, len).unwrap_or_default()) })
    }

    /// What all that are left weigh: the library holds them twice, as they came and parsed.
    fn weight(mut self) -> usize {
        let weight = |(name, value): (&CStr, &[u8])| HEADER_BYTES + 2 * (name.count_bytes() + value.len());
        std::iter::from_fn(|| self.raw()).map(weight).sum()
    }
}

impl<'a> Iterator for HeaderIter<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        std::iter::from_fn(|| self.raw()).find_map(|(name, value)| Some((name.to_str().ok()?, value)))
    }
}

/// What keeps the client of a queue and of its batches alive.
trait KeptAlive: Send + Sync {}
impl<T: Send + Sync> KeptAlive for T {}

/// Where records come from: the client, and which of its topic handles is which topic. The
/// handles are held, so that an address means one topic for as long as a batch asks.
struct Source {
    topics: Vec<(NonNull<RDKafkaTopic>, TopicId)>,
    /// Only kept; dropped behind the handles.
    _client: Arc<dyn KeptAlive>,
}

// SAFETY: topic handles are only compared by address, and counted atomically by the library.
unsafe impl Send for Source {}
// SAFETY: as above; nothing changes after creation.
unsafe impl Sync for Source {}

impl Source {
    fn topic(&self, handle: *mut RDKafkaTopic) -> Option<TopicId> {
        self.topics.iter().find(|(known, _)| known.as_ptr() == handle).map(|(_, topic)| *topic)
    }

    fn handle(&self, topic: TopicId) -> Option<NonNull<RDKafkaTopic>> {
        self.topics.iter().find(|(_, known)| *known == topic).map(|(handle, _)| *handle)
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        for (handle, _) in &self.topics {
            // SAFETY: made by `rd_kafka_topic_new`, once; the client is still alive (a field).
            unsafe { native::rd_kafka_topic_destroy(handle.as_ptr()) }
        }
    }
}

/// Records of the library's, read in place.
pub struct KafkaBatch {
    messages: Vec<Message>,
    source: Arc<Source>,
}

impl KafkaBatch {
    /// Place and offset of the record at `index`, without looking at the rest of it.
    pub(super) fn place(&self, index: usize) -> (TopicPartition, Offset) {
        let message = &self.messages[index];
        // A record gets into a batch only if its topic is known.
        let topic = self.source.topic(message.raw().rkt).unwrap_or(TopicId(u16::MAX));
        let partition = u32::try_from(message.raw().partition).unwrap_or(0);
        (TopicPartition { topic, partition }, message.offset())
    }

    /// The last place and offset of each run of records of one partition.
    pub(super) fn ends(&self) -> impl Iterator<Item = (TopicPartition, Offset)> {
        let partition = |message: &Message| (message.raw().rkt, message.raw().partition);
        (0..self.messages.len()).filter_map(move |index| {
            let last = self
                .messages
                .get(index + 1)
                .is_none_or(|next| partition(next) != partition(&self.messages[index]));
            last.then(|| self.place(index))
        })
    }

    /// The headers of the record at `index`, in order.
    ///
    /// # Panics
    /// If `index >= len()`.
    pub fn headers(&self, index: usize) -> HeaderIter<'_> {
        self.messages[index].headers()
    }
}

impl RecordBatch for KafkaBatch {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn get(&self, index: usize) -> RecordRef<'_> {
        let message = &self.messages[index];
        let raw = message.raw();
        let (at, offset) = self.place(index);
        // SAFETY: key and payload belong to the message, which the batch owns.
        let (key, value) =
            unsafe { (bytes(message, raw.key, raw.key_len), bytes(message, raw.payload, raw.len)) };
        RecordRef { at, offset, timestamp_ms: message.timestamp_ms(), key, value }
    }

    fn place(&self, index: usize) -> (TopicPartition, Offset) {
        KafkaBatch::place(self, index)
    }

    fn weight(&self, index: usize) -> usize {
        let message = &self.messages[index];
        // A record without headers costs one look; those of any other are looked at by the decoder, too.
        MESSAGE_BYTES + message.len() + message.headers().weight()
    }

    fn has_headers(&self, index: usize) -> bool {
        self.messages.get(index).is_some_and(|message| !message.headers().headers.is_null())
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        self.headers(index).filter(|(found, _)| *found == name).last().map(|(_, value)| value)
    }

    fn each_header<'b>(&'b self, index: usize, see: &mut dyn FnMut(&'b str, &'b [u8])) {
        self.headers(index).for_each(|(name, value)| see(name, value));
    }
}

/// What stood in the queue and is no record.
#[derive(Debug)]
pub(super) enum Notice {
    /// The reader stands at the end of what it may see.
    Eof {
        /// Where.
        at: TopicPartition,
        /// The next offset.
        position: Offset,
    },
    /// The library reports an error.
    Error {
        /// Of which partition, if of one.
        at: Option<TopicPartition>,
        /// Of which offset, if of one.
        offset: Option<Offset>,
        /// Its code.
        code: RDKafkaErrorCode,
        /// Its text.
        detail: String,
    },
}

/// A queue that collects the records of several partitions of one client.
pub(super) struct BatchQueue {
    queue: NonNull<RDKafkaQueue>,
    buffer: Vec<*mut RDKafkaMessage>,
    source: Arc<Source>,
}

// SAFETY: the library's queues may be used from any thread; `&mut` keeps it to one at a time.
unsafe impl Send for BatchQueue {}

impl BatchQueue {
    /// A queue of this client that takes at most `most` records at once; `None` if a topic of
    /// `options` has a name that cannot be one. A client must be given one queue only.
    pub fn new<C>(
        consumer: &Arc<Closing<BaseConsumer<C>>>,
        options: &KafkaOptions,
        topics: &[TopicId],
        most: usize,
    ) -> Option<BatchQueue>
    where
        C: ConsumerContext + 'static,
    {
        let client = consumer.client().native_ptr();
        let mut source = Source { topics: Vec::new(), _client: Arc::clone(consumer) as Arc<dyn KeptAlive> };
        for topic in topics {
            let name = CString::new(options.topics.get(usize::from(topic.0))?.as_str()).ok()?;
            // SAFETY: the client is alive; without a configuration the client's own is used.
            let handle = unsafe { native::rd_kafka_topic_new(client, name.as_ptr(), ptr::null_mut()) };
            source.topics.push((NonNull::new(handle)?, *topic));
        }
        // SAFETY: the client is alive, and `source` keeps it so.
        let queue = NonNull::new(unsafe { native::rd_kafka_queue_new(client) })?;
        Some(BatchQueue { queue, buffer: vec![ptr::null_mut(); most.max(1)], source: Arc::new(source) })
    }

    /// Sends the records of this partition here from now on. To be said again before every
    /// assignment: the library forgets it when it stops fetching.
    pub fn forward<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        name: &str,
        partition: i32,
    ) -> bool {
        let Ok(name) = CString::new(name) else { return false };
        let client = consumer.client().native_ptr();
        // SAFETY: the client is alive; the handle is destroyed below, the forwarding stays.
        let Some(partition) =
            NonNull::new(unsafe { native::rd_kafka_queue_get_partition(client, name.as_ptr(), partition) })
        else {
            return false;
        };
        // SAFETY: both queues are alive.
        unsafe {
            native::rd_kafka_queue_forward(partition.as_ptr(), self.queue.as_ptr());
            native::rd_kafka_queue_destroy(partition.as_ptr());
        }
        true
    }

    /// Starts reading one partition here, without a group; says why if it cannot.
    pub fn start(&mut self, at: TopicPartition, from: Offset) -> Result<(), RDKafkaErrorCode> {
        let (Some(topic), Ok(partition), Ok(from)) =
            (self.source.handle(at.topic), i32::try_from(at.partition), i64::try_from(from))
        else {
            return Err(RDKafkaErrorCode::InvalidArgument);
        };
        // SAFETY: topic handle and queue are alive.
        let code = unsafe {
            native::rd_kafka_consume_start_queue(topic.as_ptr(), partition, from, self.queue.as_ptr())
        };
        // SAFETY: reads a variable of this thread.
        if code == 0 { Ok(()) } else { Err(unsafe { native::rd_kafka_last_error() }.into()) }
    }

    /// Stops what [`BatchQueue::start`] started. What stood in the queue is not handed out any more.
    pub fn stop(&mut self, at: TopicPartition) {
        if let (Some(topic), Ok(partition)) = (self.source.handle(at.topic), i32::try_from(at.partition)) {
            // SAFETY: the topic handle is alive. The one error is that nothing was started.
            unsafe { native::rd_kafka_consume_stop(topic.as_ptr(), partition) };
        }
    }

    /// Takes what stands in the queue, up to the limit; waits at most `wait` for the first of it.
    pub fn take(&mut self, wait: Duration, notices: &mut Vec<Notice>) -> Vec<Message> {
        let all = self.buffer.len();
        let mut count = self.fill(0, all, Duration::ZERO);
        if count == 0 && !wait.is_zero() {
            // The call returns when it is full or when time is up: ask for one, then for the rest.
            count = self.fill(0, 1, wait);
            if count == 1 {
                count += self.fill(1, all, Duration::ZERO);
            }
        }
        let mut messages = Vec::with_capacity(count);
        for slot in &mut self.buffer[..count] {
            let Some(message) = NonNull::new(std::mem::replace(slot, ptr::null_mut())).map(Message) else {
                continue;
            };
            match message.failure() {
                None if self.source.topic(message.raw().rkt).is_some() => messages.push(message),
                None => {}
                Some(code) => notices.push(notice(&self.source, &message, code)),
            }
        }
        messages
    }

    /// Fills the buffer between two indices; says how many came.
    fn fill(&mut self, from: usize, to: usize, wait: Duration) -> usize {
        let Some(room) = self.buffer.get_mut(from..to) else { return 0 };
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is alive and `room` has as many places as are said. `&mut self` keeps
        // other batch calls of this client away.
        let count = unsafe {
            native::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, room.as_mut_ptr(), room.len())
        };
        usize::try_from(count).unwrap_or(0)
    }

    /// Whether the message is a record of this partition.
    pub fn is_of(&self, at: TopicPartition, message: &Message) -> bool {
        let raw = message.raw();
        i32::try_from(at.partition) == Ok(raw.partition) && self.source.topic(raw.rkt) == Some(at.topic)
    }

    /// Makes a batch of messages that came from here.
    pub fn batch(&self, messages: Vec<Message>) -> KafkaBatch {
        KafkaBatch { messages, source: Arc::clone(&self.source) }
    }
}

impl Drop for BatchQueue {
    fn drop(&mut self) {
        // SAFETY: made by `rd_kafka_queue_new`, once; the client is still alive (`source`).
        unsafe { native::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

fn notice(source: &Source, message: &Message, code: RDKafkaErrorCode) -> Notice {
    let raw = message.raw();
    let topic = if raw.rkt.is_null() { None } else { source.topic(raw.rkt) };
    let at = topic.zip(u32::try_from(raw.partition).ok());
    let at = at.map(|(topic, partition)| TopicPartition { topic, partition });
    match (code, at) {
        (RDKafkaErrorCode::PartitionEOF, Some(at)) => Notice::Eof { at, position: message.offset() },
        _ => {
            let offset = Offset::try_from(raw.offset).ok();
            Notice::Error { at, offset, code, detail: message.failure_text() }
        }
    }
}

/// Offset and metadata text of each entry of a list, in its order; an offset below zero is none.
/// The safe wrapper panics at text that is not UTF-8, and anybody may write text beside a position.
pub(super) fn positions(list: &TopicPartitionList) -> Vec<(i64, Option<RDKafkaErrorCode>, String)> {
    // SAFETY: the list is borrowed for the whole call, and has `cnt` elements.
    let entries = unsafe {
        let list = &*list.ptr();
        match usize::try_from(list.cnt) {
            Ok(count) if count > 0 && !list.elems.is_null() => std::slice::from_raw_parts(list.elems, count),
            _ => &[],
        }
    };
    let read = |entry: &RDKafkaTopicPartition| {
        // SAFETY: the metadata belongs to the list.
        let text = unsafe { bytes(list, entry.metadata, entry.metadata_size) };
        let text = String::from_utf8_lossy(text.unwrap_or_default()).into_owned();
        let failed = entry.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
        (entry.offset, failed.then(|| entry.err.into()), text)
    };
    entries.iter().map(read).collect()
}

/// Room for the library's reason.
const REASON_BYTES: usize = 512;

/// Hands a token to a client whose callbacks are never served, so that it cannot ask for one.
pub(super) fn set_token<C: ClientContext>(client: &Client<C>, token: &OAuthToken) -> Result<(), String> {
    let zero = |_| "the token holds a zero byte".to_owned();
    let value = CString::new(token.token.as_str()).map_err(zero)?;
    let principal = CString::new(token.principal_name.as_str()).map_err(zero)?;
    let mut reason = [0_u8; REASON_BYTES];
    // SAFETY: the client is borrowed, so it is alive, and its library calls may come from any
    // thread. Both texts end with a zero and outlive the call, which copies them. There are no
    // extensions: a null pointer and a count of 0. `reason` has the room that is said.
    let code = unsafe {
        native::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            value.as_ptr(),
            token.lifetime_ms,
            principal.as_ptr(),
            ptr::null_mut(),
            0,
            reason.as_mut_ptr().cast::<c_char>(),
            reason.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    let said = CStr::from_bytes_until_nul(&reason).map(CStr::to_string_lossy);
    Err(said.map_or_else(|_| String::new(), |said| said.into_owned()))
}

#[cfg(test)]
mod tests;
