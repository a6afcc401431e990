//! The log on Apache Kafka: topics, consumer group and transactions of a cluster, through librdkafka.
//!
//! An implementation of the trait and nothing more: it reports what the cluster answered, the
//! worker decides. What is particular to the client library is absorbed here.
//!
//! ```text
//! options.rs      what the cluster is and who we are, as checked plain data
//! client.rs       the cluster, shared by all clients of a process: making them, connecting, watching
//! settings.rs     the library's settings, for every kind of client
//! context.rs      what every client's callbacks do: the book of reasons, log lines, tokens
//! reasons.rs      codes and texts of the library as sentences with a next step
//! error.rs        a failed call
//! security.rs     TLS and SASL;  token.rs  bearer tokens
//! watchdog.rs     notices calls that do not return;  closing.rs  watches how a client ends
//! admin.rs        questions about topics and the group, making topics
//! reader.rs       reads committed records outside the group
//! appender.rs     appends records outside transactions
//!
//! member.rs       a member of the group with its transactional producer;  member/calls.rs  the `Log` trait
//! rebalance.rs    what the group's callbacks leave for the member to find
//! inputs.rs       the input partitions being read, and what proves that their silence was heard
//! probe.rs        asks for the ends of partitions, open transactions included
//! transaction.rs  one transaction after the other, and what became of each
//! delivery.rs     what the callbacks of its producer report
//! sweep.rs        ends a transaction of our own name that hangs
//! outcome.rs      what an error of the library means to the caller of the trait
//! range.rs        a sequential reader of committed records, outside the group
//! drain.rs        batches of records straight from the client library (nearly all unsafe code)
//! ```
//!
//! This room must not know accounts, events or scores, and must not decide what follows from an
//! answer: it only classifies it.

mod admin;
mod appender;
mod client;
mod closing;
mod context;
mod delivery;
mod drain;
mod error;
mod inputs;
mod member;
mod options;
mod outcome;
mod probe;
mod range;
mod reader;
mod reasons;
mod rebalance;
mod security;
mod settings;
mod sweep;
mod token;
mod transaction;
mod watchdog;

pub use admin::{Made, MemberFound, NewTopic, TopicFound, TopicState};
pub use appender::KafkaAppender;
pub use client::{ClusterInfo, KafkaCluster};
pub use context::Trouble;
pub use drain::{HeaderIter, KafkaBatch};
pub use error::KafkaError;
pub use member::KafkaLog;
pub use options::{
    DEFAULT_FETCHED_BYTES, DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, KafkaOptions, Protocol,
    Sasl, Security, TokenSource, refused_property,
};
pub use reader::KafkaReader;
