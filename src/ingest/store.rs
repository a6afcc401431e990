//! What this room needs of the log: to append events durably and to read what was published.
//! `app` implements it over the embedded log; tests over a vector.

use std::time::Duration;

use crate::engine::event::Kind;

/// An admitted event on its way to its input topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRecord {
    /// Decides the topic.
    pub kind: Kind,
    /// Decided by the key, as Kafka's default partitioner does.
    pub partition: u32,
    /// The account id.
    pub key: Vec<u8>,
    /// The event as it came.
    pub value: Vec<u8>,
    /// What must stand beside it for the value to be read as it was meant.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// A record on its way back to the input topic where it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRecord {
    /// Name of the topic, which is an input.
    pub topic: String,
    /// Partition.
    pub partition: u32,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes.
    pub value: Option<Vec<u8>>,
    /// Headers, in order.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Record timestamp, UTC milliseconds.
    pub timestamp_ms: i64,
}

/// The topics that can be read over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputTopic {
    /// Newest score per account.
    Scores,
    /// Risk transitions.
    Risks,
    /// Refused input.
    DeadLetters,
}

impl OutputTopic {
    /// All of them.
    pub const ALL: [OutputTopic; 3] = [OutputTopic::Scores, OutputTopic::Risks, OutputTopic::DeadLetters];

    /// The name in addresses and commands.
    pub const fn name(self) -> &'static str {
        match self {
            OutputTopic::Scores => "scores",
            OutputTopic::Risks => "risks",
            OutputTopic::DeadLetters => "dead-letters",
        }
    }

    /// The topic of that name.
    pub fn from_name(name: &str) -> Option<OutputTopic> {
        OutputTopic::ALL.into_iter().find(|topic| topic.name() == name)
    }
}

/// A published record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its offset.
    pub offset: u64,
    /// Record timestamp, UTC milliseconds.
    pub timestamp_ms: i64,
    /// Key bytes.
    pub key: Option<Vec<u8>>,
    /// Value bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// Headers that are meant for readers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Why the log did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It has more to write than it can take; try again shortly.
    #[error("the log has more to write than it can take now")]
    Busy,
    /// It refuses, and waiting does not help: somebody has to change something.
    #[error("{sentence}")]
    Refused {
        /// What, and the next step.
        sentence: String,
    },
    /// The disk refuses; nothing was acknowledged.
    #[error("{sentence}")]
    Disk {
        /// Why, and the next step.
        sentence: String,
    },
    /// It failed; nothing was acknowledged.
    #[error("the log failed: {detail}")]
    Failed {
        /// What it said.
        detail: String,
    },
}

/// Published records, from a running log or from files at rest.
pub trait Outputs {
    /// First and next offset of every partition of a topic.
    fn bounds(&self, topic: OutputTopic) -> Result<Vec<(u64, u64)>, StoreError>;

    /// Committed records from an offset, about `max_bytes` of them, and where the next read
    /// starts. `bounds` are those of the partition as they were asked for: what retention took away is
    /// skipped, and beyond the end nothing is waited for.
    fn read(
        &self,
        topic: OutputTopic,
        partition: u32,
        bounds: (u64, u64),
        from: u64,
        max_bytes: usize,
    ) -> Result<(Vec<Stored>, u64), StoreError>;
}

/// The log as this room sees it. Calls may block and are made from threads that may.
pub trait Store: Outputs + Send + Sync + 'static {
    /// Returns once every record is durable, or none is.
    fn append(&self, records: Vec<NewRecord>) -> Result<(), StoreError>;

    /// Whether an input topic has that name.
    fn is_input(&self, topic: &str) -> bool;

    /// Name of the dead-letter topic.
    fn letters_name(&self) -> String;

    /// The record of an input topic at that offset, if it is still there.
    fn input_record(&self, topic: &str, partition: u32, offset: u64) -> Result<Option<Stored>, StoreError>;

    /// Writes records to input topics as they are; returns once every record is durable.
    fn put_back(&self, records: Vec<OldRecord>) -> Result<(), StoreError>;

    /// A number that changes whenever something was committed.
    fn changes(&self) -> u64;

    /// Waits until [`Store::changes`] differs from `seen`, at most `longest`.
    fn wait(&self, seen: u64, longest: Duration);
}
