//! The embedded log: durable, one node, one process, on one file (`log.redb`).
//!
//! It keeps the contract of the trait with far simpler means than a cluster: there is one writer
//! thread, so a transaction is one transaction of the embedded store, and there is one member, so
//! it owns every partition for good.
//!
//! ```text
//! append (many threads) ─┐  bounded queue        ┌─▶ log.redb   (one fsync per group)
//! commit (the member)  ──┼─▶ writer thread ──────┤
//! fence, retention     ──┘  groups what waits    └─▶ shared: ends, positions, change counters
//!                                                        │ condvar
//! poll, read, wait_for_change ◀──────────────────────────┘ and a snapshot of the file
//! ```
//!
//! Promises: what was acknowledged survives a kill at any moment; outputs and positions of a
//! commit become visible together; nothing is visible before it is durable. After the disk failed
//! once, every call fails with the same reason until the file was opened anew: the file holds what
//! was acknowledged, memory is not trusted. The writer opens it by itself once there is room again
//! (`room.rs`), and every member from before is fenced then.
//!
//! Only the member writes output topics, only [`LocalStore::append`] writes input topics. That
//! makes the offset of an output known before it is durable.
//!
//! This room must not decide about retention floors or time: both are handed in. To change what
//! is stored, raise [`FORMAT_VERSION`] and keep reading the older ones.

mod codec;
mod member;
mod reader;
mod room;
mod shared;
mod store;
mod tables;
mod writer;

#[cfg(test)]
mod tests;

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

pub use codec::LocalBatch;
pub use member::LocalLog;
pub use reader::LocalReader;
pub use store::LocalStore;

use super::{LogError, Offset, TopicPartition};

/// The name of the file inside the data directory.
pub const FILE_NAME: &str = "log.redb";
/// What the bytes in the file mean.
pub const FORMAT_VERSION: u32 = 1;
/// The largest record: key, value and headers together.
pub const MAX_RECORD_BYTES: usize = 16 << 20;
/// The most one `append` may carry.
pub const MAX_APPEND_BYTES: usize = 64 << 20;
/// What may wait for the writer before `append` answers [`LocalError::Busy`].
pub const MAX_QUEUED_BYTES: usize = 256 << 20;
/// How many requests may wait for the writer before `append` answers [`LocalError::Busy`].
pub const MAX_QUEUED_REQUESTS: usize = 1024;
/// What one open transaction of the member may hold before `send` answers `BufferFull`. Here that
/// answer never goes away (nothing is sent before the commit), so it must lie beyond the largest
/// commit there is: the scores of every account after a change of the configuration.
pub const DEFAULT_TRANSACTION_BYTES: usize = 2 << 30;
/// Records are stored together in values of about this size.
const STORED_BATCH_BYTES: usize = 1 << 20;
/// The writer stops adding requests to a group beyond this size.
const GROUP_BYTES: usize = 32 << 20;
/// What one `poll` hands out, about.
const POLL_BYTES: usize = 1 << 20;
/// How many stored batches one retention pass deletes at most, so that it never stalls a commit.
const RETENTION_BATCHES: usize = 512;
/// Pages of the file kept in memory.
const CACHE_BYTES: usize = 128 << 20;

// A full append must fit the queue, or it could never be accepted.
const _: () = assert!(MAX_RECORD_BYTES <= MAX_APPEND_BYTES && MAX_APPEND_BYTES <= MAX_QUEUED_BYTES);

/// Which side of the engine a topic is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicKind {
    /// Written by [`LocalStore::append`], read by the member.
    Input,
    /// Written by the member.
    Output,
}

/// A topic of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalTopic {
    /// Its name; the [`super::TopicId`] is its index in [`LocalOptions::topics`].
    pub name: String,
    /// Which side it is on.
    pub kind: TopicKind,
    /// Keep only the newest record per key. The older one goes in the same commit.
    pub compacted: bool,
    /// How long records are kept by their own timestamp; `None` is for ever. A compacted topic
    /// keeps its newest records for ever and takes no retention.
    pub retention_ms: Option<i64>,
}

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct LocalOptions {
    /// All topics. New ones are added to an existing store; missing ones keep their data.
    pub topics: Vec<LocalTopic>,
    /// Partitions of every topic, fixed when the store is created.
    pub partitions: u32,
    /// What one open transaction may hold before `send` answers `BufferFull`.
    pub transaction_bytes: usize,
}

impl LocalOptions {
    /// Options with the default limits.
    pub fn new(topics: Vec<LocalTopic>, partitions: u32) -> Self {
        Self { topics, partitions, transaction_bytes: DEFAULT_TRANSACTION_BYTES }
    }
}

/// What a disk can suffer from; each has its own next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskTrouble {
    /// No room, or the quota is used up.
    Full,
    /// The file may not grow beyond a limit of the process.
    Limit,
    /// The file system is mounted without the right to write.
    ReadOnly,
    /// The user of this process may not.
    Denied,
    /// Something else has the name of the directory.
    NoDirectory,
    /// Anything else.
    Broken,
}

impl DiskTrouble {
    fn of(error: &std::io::Error) -> DiskTrouble {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => DiskTrouble::Full,
            ErrorKind::FileTooLarge => DiskTrouble::Limit,
            ErrorKind::ReadOnlyFilesystem => DiskTrouble::ReadOnly,
            ErrorKind::PermissionDenied => DiskTrouble::Denied,
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory => DiskTrouble::NoDirectory,
            _ => DiskTrouble::Broken,
        }
    }

    fn sentence(self, detail: &str) -> String {
        let (what, next) = match self {
            DiskTrouble::Full => ("its disk is full", "make room there"),
            DiskTrouble::Limit => {
                ("a limit of the process on the size of files is reached", "raise it (ulimit -f)")
            }
            DiskTrouble::ReadOnly => {
                ("its file system is read-only", "look for disk errors (dmesg), then mount it writable")
            }
            DiskTrouble::Denied => ("this user may not", "correct owner and permissions of the directory"),
            DiskTrouble::NoDirectory => {
                ("its place is no directory", "name another one (--data, or storage.data_dir)")
            }
            DiskTrouble::Broken => {
                ("the disk does not do it", "look at the disk and how it is mounted (dmesg)")
            }
        };
        format!("{what} ({detail}): {next}")
    }
}

/// Why the store refused or failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LocalError {
    /// Another process has it open.
    #[error("the data directory {} is in use by another accountpulse; stop it, or use --url", dir.display())]
    InUse {
        /// The data directory.
        dir: PathBuf,
    },
    /// Nothing is there to be read.
    #[error("there is no log in {}; check the data directory, or start `accountpulse run` with it first", dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
    },
    /// The partition count differs from the stored one.
    #[error(
        "the log in {} was created with {stored} partitions, the configuration says {wanted}; \
         set partitions back to {stored}, or start with an empty data directory", dir.display()
    )]
    PartitionCount {
        /// The data directory.
        dir: PathBuf,
        /// Fixed at creation.
        stored: u32,
        /// Configured now.
        wanted: u32,
    },
    /// Another version of the program wrote the file.
    #[error(
        "the log in {} has format version {stored}, this program reads version {supported}; \
         use the version of accountpulse that wrote it, or start with an empty data directory", dir.display()
    )]
    FormatVersion {
        /// The data directory.
        dir: PathBuf,
        /// In the file.
        stored: u32,
        /// Understood here.
        supported: u32,
    },
    /// The file does not hold what a log holds.
    #[error("the log in {} is damaged: {detail}; restore the data directory from a copy", dir.display())]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong.
        detail: String,
    },
    /// The options contradict each other or what is stored.
    #[error("topic {topic}: {detail}")]
    Topic {
        /// Its name.
        topic: String,
        /// What is wrong, and the next step.
        detail: String,
    },
    /// The disk or the file system refused. Nothing acknowledged is lost.
    #[error(
        "the log in {} cannot be written, {}; nothing acknowledged is lost, and an instance that still runs goes on \
         by itself", dir.display(), trouble.sentence(detail)
    )]
    Disk {
        /// The data directory.
        dir: PathBuf,
        /// What kind of trouble.
        trouble: DiskTrouble,
        /// What the system said.
        detail: String,
    },
    /// Too much waits for the disk; try again shortly.
    #[error("the log is busy: the writer's queue is full; try again shortly")]
    Busy,
    /// More than one call or record may carry.
    #[error("{what} of {bytes} bytes is over the limit of {limit} bytes; send less at once")]
    TooLarge {
        /// A record or an append.
        what: &'static str,
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// No such partition.
    #[error("there is no partition {} of topic number {}", at.partition, at.topic.0)]
    Unknown {
        /// What was asked for.
        at: TopicPartition,
    },
    /// Only input topics can be appended to, only output topics sent to.
    #[error(
        "topic {topic} is not written from this side: only inputs are appended to, only outputs are sent to"
    )]
    WrongSide {
        /// Its name.
        topic: String,
    },
    /// The position is below the start or above the end.
    #[error("topic number {}, partition {}: offset {offset} does not exist (available: {start}..{end})", at.topic.0, at.partition)]
    OutOfRange {
        /// Where.
        at: TopicPartition,
        /// Asked for.
        offset: Offset,
        /// First existing.
        start: Offset,
        /// One past the last.
        end: Offset,
    },
    /// The writer thread has ended.
    #[error("the log was closed")]
    Closed,
}

impl LocalError {
    /// What the system said of a file in `dir`.
    fn io(dir: &Path, error: &std::io::Error) -> LocalError {
        LocalError::Disk {
            dir: dir.to_path_buf(),
            trouble: DiskTrouble::of(error),
            detail: error.to_string(),
        }
    }
}

impl From<LocalError> for LogError {
    fn from(error: LocalError) -> Self {
        match error {
            LocalError::OutOfRange { at, offset, start, end } => {
                Self::OutOfRange { topic: at.topic, partition: at.partition, offset, start, end }
            }
            other => Self::Store { detail: other.to_string() },
        }
    }
}
