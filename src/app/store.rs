//! The log of an instance as everything around its workers sees it: written to by ingest, read by
//! whoever asks for outputs. Embedded ([`RunningLog::Local`]), at rest ([`LogAtRest`]) or a cluster
//! ([`RunningLog::Kafka`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::kafka_link::KafkaLink;
use super::topics::TopicTable;
use crate::clock;
use crate::config::Config;
use crate::ingest::{NewRecord, OldRecord, OutputTopic, Outputs, Store, StoreError, Stored};
use crate::log::kafka::KafkaError;
use crate::log::local::{LocalBatch, LocalError, LocalReader, LocalStore};
use crate::log::{AppendRecord, RecordBatch, TopicId, TopicPartition, Watermarks};

/// Time between two looks at a cluster that tells nobody of changes.
const LOOK: Duration = Duration::from_millis(100);

impl From<LocalError> for StoreError {
    fn from(error: LocalError) -> StoreError {
        match error {
            LocalError::Busy => StoreError::Busy,
            error @ LocalError::Disk { .. } => StoreError::Disk { sentence: error.to_string() },
            other => StoreError::Failed { detail: other.to_string() },
        }
    }
}

impl From<KafkaError> for StoreError {
    fn from(error: KafkaError) -> StoreError {
        match error {
            KafkaError::Busy => StoreError::Busy,
            error if error.is_permanent() => StoreError::Refused { sentence: error.to_string() },
            other => StoreError::Failed { detail: other.to_string() },
        }
    }
}

/// Start and end of every partition of a topic, in order.
fn bounds<E>(
    topic: TopicId,
    partitions: u32,
    watermarks: impl Fn(TopicPartition) -> Result<Watermarks, E>,
) -> Result<Vec<(u64, u64)>, StoreError>
where
    StoreError: From<E>,
{
    let marks = |partition| Ok(watermarks(TopicPartition { topic, partition }).map(|m| (m.start, m.end))?);
    (0..partitions).map(marks).collect()
}

/// The log of the running instance.
#[derive(Clone)]
pub enum RunningLog {
    /// The embedded one.
    Local(Arc<LocalStore>, Arc<TopicTable>),
    /// A cluster.
    Kafka(Arc<KafkaLink>),
}

impl RunningLog {
    /// Its topics.
    pub fn topics(&self) -> &TopicTable {
        match self {
            RunningLog::Local(_, topics) => topics,
            RunningLog::Kafka(link) => &link.topics,
        }
    }

    /// Partitions of every topic.
    pub fn partitions(&self) -> u32 {
        match self {
            RunningLog::Local(store, _) => store.partitions(),
            RunningLog::Kafka(link) => link.partitions(),
        }
    }

    /// Start and end of a partition, as readers see them.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, StoreError> {
        match self {
            RunningLog::Local(store, _) => Ok(store.watermarks(at)?),
            RunningLog::Kafka(link) => Ok(link.watermarks(at)?),
        }
    }

    /// Returns once every record is durable. On the embedded log all are or none is; on a cluster
    /// some may be when it fails.
    pub fn write(&self, records: Vec<AppendRecord>) -> Result<(), StoreError> {
        match self {
            RunningLog::Local(store, _) => store.append(records).map(drop).map_err(StoreError::from),
            RunningLog::Kafka(link) => Ok(link.append(records)?),
        }
    }
}

impl Outputs for RunningLog {
    fn bounds(&self, topic: OutputTopic) -> Result<Vec<(u64, u64)>, StoreError> {
        bounds(self.topics().output(topic), self.partitions(), |at| self.watermarks(at))
    }

    fn read(
        &self,
        topic: OutputTopic,
        partition: u32,
        (start, end): (u64, u64),
        from: u64,
        max_bytes: usize,
    ) -> Result<(Vec<Stored>, u64), StoreError> {
        let at = TopicPartition { topic: self.topics().output(topic), partition };
        let read = |from| match self {
            RunningLog::Local(store, _) => {
                let (batch, next) = store.read(at, from, max_bytes)?;
                Ok((stored(for_readers(topic), &batch, LocalBatch::headers), next))
            }
            RunningLog::Kafka(_) if from >= end => Ok((Vec::new(), from)),
            RunningLog::Kafka(link) => Ok(link.read(for_readers(topic), at, from, max_bytes)?),
        };
        let from = from.clamp(start, end);
        match read(from) {
            // What retention took away since the bounds were asked for is skipped as well.
            Err(error) => match self.watermarks(at) {
                Ok(marks) if marks.start > from => read(marks.start),
                _ => Err(error),
            },
            found => found,
        }
    }
}

impl Store for RunningLog {
    fn append(&self, records: Vec<NewRecord>) -> Result<(), StoreError> {
        let timestamp_ms = clock::wall_ms();
        let topics = self.topics();
        let record = |record: NewRecord| AppendRecord {
            at: TopicPartition { topic: topics.input(record.kind), partition: record.partition },
            key: Some(record.key),
            value: Some(record.value),
            headers: record.headers,
            timestamp_ms,
        };
        self.write(records.into_iter().map(record).collect())
    }

    fn is_input(&self, topic: &str) -> bool {
        self.topics().inputs.iter().any(|name| name == topic)
    }

    fn letters_name(&self) -> String {
        let topics = self.topics();
        topics.names.get(usize::from(topics.outputs.dead_letters.0)).cloned().unwrap_or_default()
    }

    fn input_record(&self, topic: &str, partition: u32, offset: u64) -> Result<Option<Stored>, StoreError> {
        let Some(at) = self.topics().input_named(topic).map(|topic| TopicPartition { topic, partition })
        else {
            return Ok(None);
        };
        if partition >= self.partitions() {
            return Ok(None);
        }
        let marks = self.watermarks(at)?;
        if !(marks.start..marks.end).contains(&offset) {
            return Ok(None);
        }
        let records = match self {
            RunningLog::Local(store, _) => stored(true, &store.read(at, offset, 1)?.0, LocalBatch::headers),
            RunningLog::Kafka(link) => link.read(true, at, offset, 1)?.0,
        };
        Ok(records.into_iter().find(|record| record.offset == offset))
    }

    fn put_back(&self, records: Vec<OldRecord>) -> Result<(), StoreError> {
        let record = |record: OldRecord| {
            let refused = || StoreError::Refused {
                sentence: format!("{} is not an input topic; look at `topics.names`", record.topic),
            };
            let topic = self.topics().input_named(&record.topic).ok_or_else(refused)?;
            Ok(AppendRecord {
                at: TopicPartition { topic, partition: record.partition },
                key: record.key,
                value: record.value,
                headers: record.headers,
                timestamp_ms: record.timestamp_ms,
            })
        };
        self.write(records.into_iter().map(record).collect::<Result<_, StoreError>>()?)
    }

    fn changes(&self) -> u64 {
        match self {
            RunningLog::Local(store, _) => store.changes(),
            RunningLog::Kafka(_) => 0,
        }
    }

    fn wait(&self, seen: u64, longest: Duration) {
        match self {
            RunningLog::Local(store, _) => drop(store.wait_for_change(seen, longest)),
            RunningLog::Kafka(_) => clock::pause(longest.min(LOOK)),
        }
    }
}

/// The log of a data directory that no instance uses.
pub struct LogAtRest {
    reader: LocalReader,
    topics: [TopicId; OutputTopic::ALL.len()],
}

impl LogAtRest {
    /// Opens it; the names of its topics are those of the configuration.
    pub fn open(config: &Config, data_dir: &Path) -> Result<LogAtRest, LocalError> {
        let reader = LocalReader::open(data_dir)?;
        let names = [&config.topics.scores, &config.topics.risks, &config.topics.dead_letters];
        let mut topics = [TopicId(0); OutputTopic::ALL.len()];
        for (slot, name) in topics.iter_mut().zip(names) {
            *slot = reader.topic(name).ok_or_else(|| LocalError::Topic {
                topic: name.clone(),
                detail: "the log has no such topic; name its configuration with -c".to_owned(),
            })?;
        }
        Ok(LogAtRest { reader, topics })
    }

    fn number(&self, topic: OutputTopic) -> TopicId {
        self.topics[topic as usize] // one place per variant
    }
}

impl Outputs for LogAtRest {
    fn bounds(&self, topic: OutputTopic) -> Result<Vec<(u64, u64)>, StoreError> {
        bounds(self.number(topic), self.reader.partitions(), |at| self.reader.watermarks(at))
    }

    fn read(
        &self,
        topic: OutputTopic,
        partition: u32,
        (start, end): (u64, u64),
        from: u64,
        max_bytes: usize,
    ) -> Result<(Vec<Stored>, u64), StoreError> {
        let at = TopicPartition { topic: self.number(topic), partition };
        let (batch, next) = self.reader.read(at, from.clamp(start, end), max_bytes)?;
        Ok((stored(for_readers(topic), &batch, LocalBatch::headers), next))
    }
}

/// Whether the headers of a topic are for its readers: those of scores hold decisions, ours alone.
fn for_readers(topic: OutputTopic) -> bool {
    topic == OutputTopic::DeadLetters
}

/// Records as readers get them.
pub(super) fn stored<'b, B: RecordBatch, H: Iterator<Item = (&'b str, &'b [u8])>>(
    with_headers: bool,
    batch: &'b B,
    headers: impl Fn(&'b B, usize) -> H,
) -> Vec<Stored> {
    let record = |index| {
        let record = batch.get(index);
        let headers = headers(batch, index).filter(|_| with_headers);
        Stored {
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_vec())).collect(),
        }
    };
    (0..batch.len()).map(record).collect()
}
