//! The embedded log as `ingest` sees it, while it runs ([`RunningLog`]) and at rest
//! ([`LogAtRest`]).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::topics;
use crate::clock;
use crate::config::Config;
use crate::ingest::{NewRecord, OutputTopic, Outputs, Store, StoreError, Stored};
use crate::log::local::{AppendRecord, LocalBatch, LocalError, LocalReader, LocalStore};
use crate::log::{RecordBatch, TopicId, TopicPartition, Watermarks};

impl From<LocalError> for StoreError {
    fn from(error: LocalError) -> StoreError {
        match error {
            LocalError::Busy => StoreError::Busy,
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
pub struct RunningLog(pub Arc<LocalStore>);

impl Outputs for RunningLog {
    fn bounds(&self, topic: OutputTopic) -> Result<Vec<(u64, u64)>, StoreError> {
        bounds(topics::output(topic), self.0.partitions(), |at| self.0.watermarks(at))
    }

    fn read(
        &self,
        topic: OutputTopic,
        partition: u32,
        from: u64,
        max_bytes: usize,
    ) -> Result<(Vec<Stored>, u64), StoreError> {
        let at = TopicPartition { topic: topics::output(topic), partition };
        let marks = self.0.watermarks(at)?;
        // What retention took away in the meantime is skipped, as after a pause of a reader.
        let (batch, next) = self.0.read(at, from.clamp(marks.start, marks.end), max_bytes)?;
        Ok((stored(topic, &batch), next))
    }
}

impl Store for RunningLog {
    fn append(&self, records: Vec<NewRecord>) -> Result<(), StoreError> {
        let timestamp_ms = clock::wall_ms();
        let record = |record: NewRecord| AppendRecord {
            at: TopicPartition { topic: topics::input(record.kind), partition: record.partition },
            key: Some(record.key),
            value: Some(record.value),
            headers: record.headers,
            timestamp_ms,
        };
        self.0.append(records.into_iter().map(record).collect())?;
        Ok(())
    }

    fn changes(&self) -> u64 {
        self.0.changes()
    }

    fn wait(&self, seen: u64, longest: Duration) {
        self.0.wait_for_change(seen, longest);
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
        from: u64,
        max_bytes: usize,
    ) -> Result<(Vec<Stored>, u64), StoreError> {
        let at = TopicPartition { topic: self.number(topic), partition };
        let marks = self.reader.watermarks(at)?;
        let (batch, next) = self.reader.read(at, from.clamp(marks.start, marks.end), max_bytes)?;
        Ok((stored(topic, &batch), next))
    }
}

/// Records as readers get them: the decision headers of scores are ours alone.
fn stored(topic: OutputTopic, batch: &LocalBatch) -> Vec<Stored> {
    let for_readers = topic == OutputTopic::DeadLetters;
    let record = |index| {
        let record = batch.get(index);
        let headers = batch.headers(index).filter(|_| for_readers);
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
