//! The log on Apache Kafka: topics, consumer group and transactions of a cluster, through librdkafka.
//!
//! An implementation of the trait and nothing more: it reports what the cluster answered, the
//! worker decides. What is particular to the client library is absorbed here.
//!
//! ```text
//! options.rs   what the cluster is and who we are, as checked plain data
//! client.rs    the cluster, shared by all clients of a process: making them, connecting, watching
//! settings.rs  the library's settings, for every kind of client
//! context.rs   what every client's callbacks do: the book of reasons, log lines, tokens
//! reasons.rs   codes and texts of the library as sentences with a next step
//! error.rs     a failed call
//! security.rs  TLS and SASL;  token.rs  bearer tokens
//! watchdog.rs  notices calls that do not return
//! ```
//!
//! This room must not know accounts, events or scores, and must not decide what follows from an
//! answer: it only classifies it.

mod client;
mod context;
mod error;
mod options;
mod reasons;
mod security;
mod settings;
mod token;
mod watchdog;

pub use client::{ClusterInfo, KafkaCluster};
pub use context::Trouble;
pub use error::KafkaError;
pub use options::{
    DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, KafkaOptions, Protocol, Sasl, Security,
    TokenSource, refused_property,
};
