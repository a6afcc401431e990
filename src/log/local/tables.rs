//! The tables in the file, what is checked when it is opened, and reading a range.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use redb::{
    Database, DatabaseError, ReadTransaction, ReadableDatabase, ReadableTable, StorageError, TableDefinition,
};

use super::codec::LocalBatch;
use super::{DiskTrouble, FORMAT_VERSION, LocalError, LocalOptions, LocalTopic, TopicKind};
use crate::log::{CommittedPosition, Offset, TopicId, TopicPartition, Watermarks};

/// A partition as the file numbers it. Topic numbers in the file belong to names and outlive the
/// order of the configuration.
pub(super) type Place = (u16, u32);

/// Facts about the whole store.
pub(super) const META: TableDefinition<'_, &str, u32> = TableDefinition::new("meta");
/// Topic name → (number in the file, compacted).
pub(super) const TOPICS: TableDefinition<'_, &str, (u16, bool)> = TableDefinition::new("topics");
/// (topic, partition, offset of the first record) → records. One record each in compacted topics.
pub(super) const RECORDS: TableDefinition<'_, (u16, u32, u64), &[u8]> = TableDefinition::new("records");
/// (topic, partition, key) → offset of the newest record; compacted topics only.
pub(super) const NEWEST: TableDefinition<'_, (u16, u32, &[u8]), u64> = TableDefinition::new("newest");
/// (topic, partition) → (start, end).
pub(super) const ENDS: TableDefinition<'_, Place, (u64, u64)> = TableDefinition::new("ends");
/// (topic, partition) → (position, metadata).
pub(super) const POSITIONS: TableDefinition<'_, Place, (u64, &str)> = TableDefinition::new("positions");

const META_FORMAT: &str = "format";
const META_PARTITIONS: &str = "partitions";

/// A topic with its number in the file.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) number: u16,
    pub(super) options: LocalTopic,
}

/// All topics, by [`TopicId`].
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) partitions: u32,
    pub(super) topics: Vec<Topic>,
}

impl Layout {
    /// The topic and the place of a partition.
    pub(super) fn find(&self, at: TopicPartition) -> Result<(&Topic, Place), LocalError> {
        let topic = self.topics.get(usize::from(at.topic.0)).filter(|_| at.partition < self.partitions);
        topic.map(|topic| (topic, (topic.number, at.partition))).ok_or(LocalError::Unknown { at })
    }

    /// The id of the topic of that name.
    pub(super) fn id(&self, name: &str) -> Option<TopicId> {
        let index = self.topics.iter().position(|topic| topic.options.name == name)?;
        u16::try_from(index).ok().map(TopicId)
    }

    /// Every partition of every topic with its place.
    pub(super) fn all(&self) -> impl Iterator<Item = (TopicPartition, Place, &LocalTopic)> {
        (0u16..).zip(&self.topics).flat_map(move |(index, topic)| {
            (0..self.partitions).map(move |partition| {
                (
                    TopicPartition { topic: TopicId(index), partition },
                    (topic.number, partition),
                    &topic.options,
                )
            })
        })
    }
}

/// What memory mirrors of the file.
#[derive(Clone, Debug, Default)]
pub(super) struct Mirror {
    pub(super) ends: BTreeMap<TopicPartition, Watermarks>,
    pub(super) positions: BTreeMap<TopicPartition, CommittedPosition>,
}

/// Turns what the store said while `dir` was opened into the sentence a person needs.
pub(super) fn opening_error(dir: &Path, error: DatabaseError) -> LocalError {
    let dir = dir.to_path_buf();
    match error {
        DatabaseError::DatabaseAlreadyOpen => LocalError::InUse { dir },
        // What the store answers for a file that is not its own.
        DatabaseError::Storage(StorageError::Io(io)) if io.kind() == ErrorKind::InvalidData => {
            LocalError::Damaged { dir, detail: io.to_string() }
        }
        DatabaseError::Storage(StorageError::Io(io)) => LocalError::io(&dir, &io),
        other => LocalError::Damaged { dir, detail: other.to_string() },
    }
}

/// An error while the store is used.
pub(super) fn disk_error(dir: &Path, error: impl Into<redb::Error>) -> LocalError {
    let dir = dir.to_path_buf();
    match error.into() {
        redb::Error::Corrupted(detail) => LocalError::Damaged { dir, detail },
        redb::Error::Io(io) => LocalError::io(&dir, &io),
        other => LocalError::Disk { dir, trouble: DiskTrouble::Broken, detail: other.to_string() },
    }
}

/// Creates the tables in a new file, or checks that an existing one fits the options.
pub(super) fn prepare(db: &Database, dir: &Path, options: &LocalOptions) -> Result<Layout, LocalError> {
    check_options(options)?;
    let failed = |error: redb::Error| disk_error(dir, error);
    let txn = db.begin_write().map_err(|error| failed(error.into()))?;
    let topics = {
        let mut meta = txn.open_table(META).map_err(|error| failed(error.into()))?;
        let stored = |meta: &redb::Table<'_, &str, u32>, key| {
            meta.get(key).map(|found| found.map(|guard| guard.value())).map_err(|error| failed(error.into()))
        };
        if let Some(found) = stored(&meta, META_FORMAT)? {
            let partitions = stored(&meta, META_PARTITIONS)?.unwrap_or(0);
            check_meta(dir, found, partitions, options)?;
        } else {
            for (key, value) in [(META_FORMAT, FORMAT_VERSION), (META_PARTITIONS, options.partitions)] {
                meta.insert(key, value).map_err(|error| failed(error.into()))?;
            }
        }
        // Tables are created here, so that readers always find them.
        txn.open_table(RECORDS).map_err(|error| failed(error.into()))?;
        txn.open_table(NEWEST).map_err(|error| failed(error.into()))?;
        txn.open_table(ENDS).map_err(|error| failed(error.into()))?;
        txn.open_table(POSITIONS).map_err(|error| failed(error.into()))?;
        let mut table = txn.open_table(TOPICS).map_err(|error| failed(error.into()))?;
        number_topics(&mut table, dir, options)?
    };
    txn.commit().map_err(|error| failed(error.into()))?;
    Ok(Layout { partitions: options.partitions, topics })
}

fn check_options(options: &LocalOptions) -> Result<(), LocalError> {
    let refuse = |topic: &LocalTopic, detail: &str| {
        Err(LocalError::Topic { topic: topic.name.clone(), detail: detail.to_owned() })
    };
    for (index, topic) in options.topics.iter().enumerate() {
        if topic.compacted && topic.retention_ms.is_some() {
            return refuse(
                topic,
                "a compacted topic keeps its newest records for ever; remove its retention",
            );
        }
        if topic.compacted && topic.kind == TopicKind::Input {
            return refuse(topic, "an input topic cannot be compacted: recovery reads all of its records");
        }
        if options.topics.iter().take(index).any(|earlier| earlier.name == topic.name) {
            return refuse(topic, "is named twice; give every topic its own name");
        }
        if u16::try_from(index).is_err() {
            return refuse(topic, "is one topic too many");
        }
    }
    Ok(())
}

fn check_meta(dir: &Path, format: u32, partitions: u32, options: &LocalOptions) -> Result<(), LocalError> {
    let dir = dir.to_path_buf();
    if format != FORMAT_VERSION {
        return Err(LocalError::FormatVersion { dir, stored: format, supported: FORMAT_VERSION });
    }
    if partitions != options.partitions {
        return Err(LocalError::PartitionCount { dir, stored: partitions, wanted: options.partitions });
    }
    Ok(())
}

fn number_topics(
    table: &mut redb::Table<'_, &str, (u16, bool)>,
    dir: &Path,
    options: &LocalOptions,
) -> Result<Vec<Topic>, LocalError> {
    let failed = |error: StorageError| disk_error(dir, error);
    let mut next = 0;
    for entry in table.iter().map_err(failed)? {
        next = next.max(entry.map_err(failed)?.1.value().0.saturating_add(1));
    }
    let mut topics = Vec::with_capacity(options.topics.len());
    for options in &options.topics {
        let known = table.get(options.name.as_str()).map_err(failed)?.map(|guard| guard.value());
        let number = match known {
            Some((number, compacted)) if compacted == options.compacted => number,
            Some((_, compacted)) => {
                let [was, is] =
                    [compacted, options.compacted].map(|it| if it { "compacted" } else { "not compacted" });
                let detail =
                    format!("was created {was}, the configuration says {is}; use another topic name");
                return Err(LocalError::Topic { topic: options.name.clone(), detail });
            }
            None => {
                table.insert(options.name.as_str(), (next, options.compacted)).map_err(failed)?;
                next += 1;
                next - 1
            }
        };
        topics.push(Topic { number, options: options.clone() });
    }
    Ok(topics)
}

/// Reads ends and positions into memory.
pub(super) fn load(db: &impl ReadableDatabase, dir: &Path, layout: &Layout) -> Result<Mirror, LocalError> {
    let txn = db.begin_read().map_err(|error| disk_error(dir, error))?;
    let ends = txn.open_table(ENDS).map_err(|error| disk_error(dir, error))?;
    let positions = txn.open_table(POSITIONS).map_err(|error| disk_error(dir, error))?;
    let mut mirror = Mirror::default();
    for (at, place, _) in layout.all() {
        let found = ends.get(place).map_err(|error| disk_error(dir, error))?;
        let (start, end) = found.map_or((0, 0), |guard| guard.value());
        mirror.ends.insert(at, Watermarks { start, end });
        if let Some(guard) = positions.get(place).map_err(|error| disk_error(dir, error))? {
            let (position, metadata) = guard.value();
            mirror.positions.insert(at, CommittedPosition { position, metadata: metadata.to_owned() });
        }
    }
    Ok(mirror)
}

/// The topics of an existing file, for readers that have no configuration.
pub(super) fn stored_layout(db: &impl ReadableDatabase, dir: &Path) -> Result<Layout, LocalError> {
    let txn = db.begin_read().map_err(|error| disk_error(dir, error))?;
    let meta = txn.open_table(META).map_err(|error| disk_error(dir, error))?;
    let value = |key| meta.get(key).map(|found| found.map_or(0, |guard| guard.value()));
    let format = value(META_FORMAT).map_err(|error| disk_error(dir, error))?;
    if format != FORMAT_VERSION {
        let dir = dir.to_path_buf();
        return Err(LocalError::FormatVersion { dir, stored: format, supported: FORMAT_VERSION });
    }
    let partitions = value(META_PARTITIONS).map_err(|error| disk_error(dir, error))?;
    let table = txn.open_table(TOPICS).map_err(|error| disk_error(dir, error))?;
    let mut topics = Vec::new();
    for entry in table.iter().map_err(|error| disk_error(dir, error))? {
        let (name, facts) = entry.map_err(|error| disk_error(dir, error))?;
        let (number, compacted) = facts.value();
        let name = name.value().to_owned();
        let options = LocalTopic { name, kind: TopicKind::Output, compacted, retention_ms: None };
        topics.push(Topic { number, options });
    }
    topics.sort_by_key(|topic| topic.number);
    Ok(Layout { partitions, topics })
}

/// What to read.
pub(super) struct Span {
    pub(super) at: TopicPartition,
    pub(super) place: Place,
    pub(super) from: Offset,
    pub(super) marks: Watermarks,
    pub(super) max_bytes: usize,
}

/// Records from `from` up to the given end, about `max_bytes` of them, and the position behind.
/// The end is the caller's, so that a commit that lands meanwhile is not half seen.
pub(super) fn read_span(
    db: &impl ReadableDatabase,
    dir: &Path,
    span: &Span,
) -> Result<(LocalBatch, Offset), LocalError> {
    let Span { at, from, .. } = *span;
    let Watermarks { start, end } = span.marks;
    if from < start || from > end {
        return Err(LocalError::OutOfRange { at, offset: from, start, end });
    }
    let mut batch = LocalBatch::new(at);
    if from == end {
        return Ok((batch, end));
    }
    let txn = db.begin_read().map_err(|error| disk_error(dir, error))?;
    let position = fill(&txn, span, &mut batch).map_err(|error| disk_error(dir, error))?;
    let damaged = || LocalError::Damaged {
        dir: dir.to_path_buf(),
        detail: format!("a record at or after offset {from} of partition {} cannot be read", at.partition),
    };
    Ok((batch, position.ok_or_else(damaged)?))
}

fn fill(txn: &ReadTransaction, span: &Span, batch: &mut LocalBatch) -> Result<Option<Offset>, redb::Error> {
    let (topic, partition) = span.place;
    let end = span.marks.end;
    let table = txn.open_table(RECORDS)?;
    // The value that holds `from` begins at or before it.
    let before = table.range((topic, partition, 0)..=(topic, partition, span.from))?.next_back();
    let first = before.transpose()?.map_or(span.from, |(key, _)| key.value().2);
    for entry in table.range((topic, partition, first)..(topic, partition, end))? {
        let (key, value) = entry?;
        let base = key.value().2;
        let room = span.max_bytes.saturating_sub(batch.bytes());
        if room == 0 {
            return Ok(Some(base));
        }
        let value = value.value();
        let Some(next) = batch.take_value(base, value, span.from, room) else { return Ok(None) };
        let complete =
            super::codec::summary(value).is_some_and(|known| base + u64::from(known.count) == next);
        if !complete {
            return Ok(Some(next));
        }
    }
    Ok(Some(end))
}
