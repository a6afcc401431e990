//! Reading a log that no process has open: the offline commands.

use std::path::{Path, PathBuf};

use redb::{Builder, DatabaseError, ReadOnlyDatabase};

use super::codec::LocalBatch;
use super::tables::{Layout, Mirror, Span, load, opening_error, read_span, stored_layout};
use super::{CACHE_BYTES, FILE_NAME, LocalError};
use crate::log::{CommittedPosition, Offset, TopicId, TopicPartition, Watermarks};

/// A log opened for reading. Topics are numbered as in the file: ask [`Self::topic`].
pub struct LocalReader {
    dir: PathBuf,
    db: ReadOnlyDatabase,
    layout: Layout,
    mirror: Mirror,
}

impl LocalReader {
    /// Opens the log in `dir`. A log that was not closed in good order is repaired first, which
    /// needs the right to write.
    pub fn open(dir: &Path) -> Result<Self, LocalError> {
        let file = dir.join(FILE_NAME);
        if !file.is_file() {
            return Err(LocalError::Missing { dir: dir.to_path_buf() });
        }
        let mut builder = Builder::new();
        builder.set_cache_size(CACHE_BYTES);
        let db = match builder.open_read_only(&file) {
            Err(DatabaseError::RepairAborted) => {
                drop(builder.open(&file).map_err(|error| opening_error(dir, error))?);
                builder.open_read_only(&file)
            }
            other => other,
        };
        let db = db.map_err(|error| opening_error(dir, error))?;
        let layout = stored_layout(&db, dir)?;
        let mirror = load(&db, dir, &layout)?;
        Ok(Self { dir: dir.to_path_buf(), db, layout, mirror })
    }

    /// The id of the topic of that name.
    pub fn topic(&self, name: &str) -> Option<TopicId> {
        self.layout.id(name)
    }

    /// Partitions of every topic.
    pub fn partitions(&self) -> u32 {
        self.layout.partitions
    }

    /// Start and end of a partition.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, LocalError> {
        self.mirror.ends.get(&at).copied().ok_or(LocalError::Unknown { at })
    }

    /// The committed position of an input partition.
    pub fn position(&self, at: TopicPartition) -> Option<&CommittedPosition> {
        self.mirror.positions.get(&at)
    }

    /// About `max_bytes` of records from `from` on, and the position behind them.
    pub fn read(
        &self,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<(LocalBatch, Offset), LocalError> {
        let (_, place) = self.layout.find(at)?;
        let span = Span { at, place, from, marks: self.watermarks(at)?, max_bytes: max_bytes.max(1) };
        read_span(&self.db, &self.dir, &span)
    }
}
