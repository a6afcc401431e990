//! Reads committed records outside the group: what `tail`, `follow` and `status` look at.
//!
//! It neither joins the group nor moves its positions, and must not be used for a worker's input.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode as Code};

use crate::clock;
use crate::log::{Offset, ReadRange, RecordBatch, TopicId, TopicPartition, Watermarks};

use super::admin::partition_number;
use super::client::{KafkaCluster, is_transport};
use super::context::Base;
use super::drain::KafkaBatch;
use super::error::KafkaError;
use super::range::{RangeError, RangeReader};
use super::settings;

/// Longest wait for the news whether a trouble is over.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// Pause before a partition that has no leader is asked for again.
const LEADER_PAUSE: Duration = Duration::from_millis(100);
/// Longest wait for the bounds of a partition.
const BOUNDS_TIMEOUT: Duration = Duration::from_secs(10);

/// A reader of committed records.
pub struct KafkaReader {
    range: RangeReader,
    /// Topics that were seen to be there and ours to read.
    seen: Vec<TopicId>,
    cluster: Arc<KafkaCluster>,
}

impl KafkaCluster {
    /// A reader of committed records.
    pub fn reader(self: &Arc<Self>) -> Result<KafkaReader, KafkaError> {
        let consumer = self.make(&settings::reader(self.options()), self.base("reader"))?;
        let range = RangeReader::new(consumer, self.options()).ok_or_else(|| KafkaError::Setting {
            setting: "kafka.topics".to_owned(),
            detail: "one of the names cannot be the name of a topic".to_owned(),
        })?;
        Ok(KafkaReader { range, seen: Vec::new(), cluster: Arc::clone(self) })
    }
}

impl KafkaReader {
    /// First offset that exists, and the end of what is committed: the records of transactions
    /// that are still open, and all after them, stand beyond it.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, KafkaError> {
        let name = self.cluster.topic(at)?;
        let partition = partition_number(at)?;
        let what = format!("the bounds of {name}/{partition}");
        let consumer = self.range.consumer();
        let deadline = clock::monotonic() + BOUNDS_TIMEOUT;
        let (start, end) = loop {
            let bounds = self.cluster.ask(&what, name, consumer, BOUNDS_TIMEOUT, |slice| {
                consumer.client().fetch_watermarks(name, partition, slice)
            });
            match bounds {
                // The library has one error for a partition that is missing, one that is not ours to
                // see and one that has no leader yet. Looking tells, and makes it forget the last.
                Err(KafkaError::Call { .. }) => self.look_at(at, name, BOUNDS_TIMEOUT)?,
                bounds => break bounds?,
            }
            if clock::monotonic() >= deadline {
                return Err(KafkaError::Call { what, detail: "no answer of its leader".to_owned() });
            }
            clock::pause(LEADER_PAUSE);
        };
        Ok(Watermarks { start: u64::try_from(start).unwrap_or(0), end: u64::try_from(end).unwrap_or(0) })
    }

    /// Committed records from `from` on, about `max_bytes` of them; waits at most `wait` for the
    /// first one. A position that is `from` says that nothing more is to be seen now.
    pub fn read(
        &mut self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<ReadRange<KafkaBatch>, KafkaError> {
        let cluster = Arc::clone(&self.cluster);
        let _watched = cluster.guard("reading a partition");
        let name = cluster.topic(at)?;
        // A topic that is missing or not ours to read looks empty to the library.
        if !self.seen.contains(&at.topic) {
            self.look_at(at, name, BOUNDS_TIMEOUT)?;
            self.seen.push(at.topic);
        }
        match self.range.read(at, from, max_bytes, wait) {
            Ok(range) if !range.batch.is_empty() || range.position > from => {
                self.base().heard();
                Ok(range)
            }
            Ok(range) => {
                // Silence is an answer only while the cluster answers otherwise.
                if self.base().trouble().is_some() {
                    self.look_at(at, name, LOOK_AGAIN)?;
                }
                Ok(range)
            }
            Err(RangeError::OutOfRange { offset }) => {
                Err(KafkaError::OutOfRange { topic: name.to_owned(), partition: at.partition, offset })
            }
            Err(RangeError::Failed { code, detail }) => {
                let error = LibraryError::MessageConsumption(code);
                if is_transport(&error) && self.base().trouble().is_some() {
                    return Err(cluster.unreachable(self.base()));
                }
                Err(match cluster.failed(&format!("reading {name}/{}", at.partition), &error, name) {
                    KafkaError::Call { what, .. } => {
                        KafkaError::Call { what, detail: cluster.scrub(&detail) }
                    }
                    other => other,
                })
            }
        }
    }

    /// Asks whether the partition is there and ours to see.
    fn look_at(&self, at: TopicPartition, name: &str, timeout: Duration) -> Result<(), KafkaError> {
        let what = format!("reading {name}/{}", at.partition);
        let consumer = self.range.consumer();
        let partitions = self.cluster.ask(&what, name, consumer, timeout, |slice| {
            let metadata = consumer.client().fetch_metadata(Some(name), slice)?;
            let topic = metadata.topics().iter().find(|topic| topic.name() == name);
            match topic.map(|topic| (topic.error(), topic.partitions().len())) {
                Some((Some(error), 0)) => Err(LibraryError::MetadataFetch(error.into())),
                Some((_, partitions)) => Ok(partitions),
                None => Err(LibraryError::MetadataFetch(Code::UnknownTopicOrPartition)),
            }
        })?;
        if usize::try_from(at.partition).is_ok_and(|partition| partition < partitions) {
            return Ok(());
        }
        let detail = format!("the topic has {partitions} partitions");
        Err(KafkaError::Call { what, detail })
    }

    fn base(&self) -> &Base {
        self.range.consumer().context()
    }
}
