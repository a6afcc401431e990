//! The log on Apache Kafka: topics, consumer group and transactions of a cluster, through librdkafka.
//!
//! An implementation of the trait and nothing more: it reports what the cluster answered, the
//! worker decides. What is particular to the client library is absorbed here.
//!
//! ```text
//! drain.rs     batches of records straight from the client library (the only unsafe code)
//! options.rs   what the cluster is and who we are, as checked plain data
//! range.rs     a sequential reader of committed records, outside the group
//! ```
//!
//! This room must not know accounts, events or scores, and must not decide what follows from an
//! answer: it only classifies it.

mod drain;
mod options;
mod range;

pub use drain::{HeaderIter, KafkaBatch};
pub use options::{
    DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, KafkaOptions, Protocol, Sasl, Security,
    TokenSource, refused_property,
};
