//! Reads one partition after another, from an offset, what is committed: for recovery and for
//! readers outside the group.
//!
//! Going on where the last read ended costs nothing; any other place starts the fetch anew. What
//! was fetched beyond the answer is kept for the next one.
//!
//! This file must not name a group: a reader neither joins one nor moves its positions.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaOptions;
use super::client::{Probe, serve};
use super::drain::{BatchQueue, KafkaBatch, Message, Notice};
use crate::clock;
use crate::log::{Offset, ReadRange, TopicId, TopicPartition};

/// Most records taken from the library at once; the rest waits there.
const TAKE: usize = 1024;
/// Longest wait between two looks at what the library has to say beside records.
const SLICE: Duration = Duration::from_millis(20);
/// Longest wait for the whereabouts of a topic before the first fetch.
const METADATA_WAIT: Duration = Duration::from_secs(2);

/// Why a range could not be read.
#[derive(Debug)]
pub(super) enum RangeError {
    /// There is no such offset.
    OutOfRange {
        /// The one that is missing.
        offset: Offset,
    },
    /// The cluster, or the library, said no.
    Failed {
        /// What it said.
        code: RDKafkaErrorCode,
        /// And in words.
        detail: String,
    },
}

/// Where the reader stands.
struct Standing {
    at: TopicPartition,
    /// Of the next record to hand out.
    position: Offset,
    /// Where the library said that nothing more can be seen.
    end: Offset,
    /// What the library reported, to be told once everything before it is handed out.
    failure: Option<RangeError>,
}

/// A sequential reader of committed records. Its consumer must have no group, and
/// `auto.offset.reset` = `error`, `enable.partition.eof` = `true`.
pub(super) struct RangeReader {
    ready: VecDeque<Message>,
    queue: BatchQueue,
    standing: Option<Standing>,
    known: Vec<TopicId>,
    names: Vec<String>,
    notices: Vec<Notice>,
    consumer: Arc<Probe>,
}

impl RangeReader {
    /// A reader over all topics of `options`; `None` if one of their names cannot be one.
    pub fn new(consumer: Probe, options: &KafkaOptions) -> Option<RangeReader> {
        // The first callback brings the token, without which the first question is never answered.
        serve(&consumer);
        let consumer = Arc::new(consumer);
        let topics: Vec<TopicId> =
            (0..options.topics.len()).map_while(|i| u16::try_from(i).ok()).map(TopicId).collect();
        let queue = BatchQueue::new(&consumer, options, &topics, TAKE)?;
        Some(RangeReader {
            ready: VecDeque::new(),
            queue,
            standing: None,
            known: Vec::new(),
            names: options.topics.clone(),
            notices: Vec::new(),
            consumer,
        })
    }

    /// The client that reads.
    pub fn consumer(&self) -> &Probe {
        &self.consumer
    }

    /// Committed records from `from` on: at least one, if one comes within `wait`, and otherwise
    /// about `max_bytes`. A position that is `from` says that nothing more is to be seen now.
    pub fn read(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<ReadRange<KafkaBatch>, RangeError> {
        let stands = self.standing.as_ref().is_some_and(|s| s.at == at && s.position == from);
        if !stands {
            self.start(at, from)?;
        }
        let deadline = clock::monotonic() + wait;
        let mut left = wait;
        loop {
            self.pull(if self.ready.is_empty() { left.min(SLICE) } else { Duration::ZERO });
            let Some(standing) = &mut self.standing else { break };
            if !self.ready.is_empty() || standing.end > standing.position {
                break;
            }
            if let Some(failure) = standing.failure.take() {
                self.stop();
                return Err(failure);
            }
            left = deadline.saturating_duration_since(clock::monotonic());
            if left.is_zero() {
                break;
            }
        }
        Ok(self.hand_out(from, max_bytes))
    }

    fn hand_out(&mut self, from: Offset, max_bytes: usize) -> ReadRange<KafkaBatch> {
        let (mut messages, mut bytes, mut position) = (Vec::new(), 0, from);
        while bytes < max_bytes.max(1)
            && let Some(message) = self.ready.pop_front()
        {
            bytes += message.len().max(1);
            position = message.offset() + 1;
            messages.push(message);
        }
        if let Some(standing) = &mut self.standing {
            // Nothing stands between the last record and the next one, or the end.
            let next = self.ready.front().map_or(standing.end, Message::offset);
            position = position.max(next);
            standing.position = position;
        }
        ReadRange { batch: self.queue.batch(messages), position }
    }

    fn start(&mut self, at: TopicPartition, from: Offset) -> Result<(), RangeError> {
        self.stop();
        if !self.known.contains(&at.topic) {
            // Without this the library's first fetch waits half a second for its own question.
            let name = self.names.get(usize::from(at.topic.0)).map(String::as_str);
            if self.consumer.fetch_metadata(name, METADATA_WAIT).is_ok() {
                self.known.push(at.topic);
            }
        }
        let failed = |code: RDKafkaErrorCode| RangeError::Failed { code, detail: code.to_string() };
        self.queue.start(at, from).map_err(failed)?;
        self.standing = Some(Standing { at, position: from, end: from, failure: None });
        Ok(())
    }

    fn stop(&mut self) {
        self.ready.clear();
        if let Some(standing) = self.standing.take() {
            self.queue.stop(standing.at);
        }
    }

    /// Takes what has come, and what the library says beside it.
    fn pull(&mut self, wait: Duration) {
        // Serves logs, errors and tokens; they reach the context.
        serve(&self.consumer);
        if self.ready.len() >= TAKE {
            return;
        }
        let messages = self.queue.take(wait, &mut self.notices);
        let Some(standing) = &mut self.standing else { return };
        let next = self.ready.back().map_or(standing.position, |last| last.offset() + 1);
        let (queue, at) = (&self.queue, standing.at);
        let wanted = |message: &Message| message.offset() >= next && queue.is_of(at, message);
        self.ready.extend(messages.into_iter().filter(wanted));
        for notice in self.notices.drain(..) {
            match notice {
                Notice::Eof { at, position } if at == standing.at => standing.end = position,
                Notice::Error { at: Some(at), offset, code: RDKafkaErrorCode::AutoOffsetReset, .. }
                    if at == standing.at =>
                {
                    // The library says it of the record it would have fetched.
                    let offset = offset.unwrap_or(standing.position);
                    standing.failure = Some(RangeError::OutOfRange { offset });
                }
                Notice::Error { at, code, detail, .. } if at.is_none_or(|at| at == standing.at) => {
                    standing.failure = Some(RangeError::Failed { code, detail });
                }
                _ => {}
            }
        }
    }
}

impl Drop for RangeReader {
    fn drop(&mut self) {
        // Waits for the library's own thread.
        let _watched = self.consumer.guard("the end of reading a range");
        self.stop();
    }
}
