//! Wiring and lifecycle: the only room that names all others.
//!
//! ```text
//! running.rs     one instance, from start to end
//! fleet.rs       all its workers; what must hold before they start
//! worker_thread  the thread that drives one worker
//! members.rs     where workers get their log handles
//! ends.rs        how far the inputs of a cluster go
//! report.rs      what the workers counted, as metrics and readiness
//! timed_log.rs   measures commits
//! retention.rs   deletes what has expired and recovery cannot need
//! follow.rs      follows our own risks topic
//! topics.rs      numbers and names of the topics
//! store.rs       the log as everything around the workers sees it
//! kafka_link.rs  this process's connection to a cluster
//! cluster_status how the shards of a cluster stand, whoever serves them
//! kafka_topics   what the topics of a cluster should be, and making them
//! instance.rs    which instance uses a data directory, and at which address
//! client.rs      speaking to a running instance
//! letters.rs     dead letters: found, grouped, put back
//! source.rs      published records, from an instance or from a data directory at rest
//! demo.rs        the made-up company of `demo`
//! person_key.rs  the key of the pseudonyms, made on the first start
//! ```

pub mod client;
pub mod cluster_status;
pub mod demo;
pub mod ends;
pub mod fleet;
pub mod follow;
pub mod instance;
pub mod kafka_link;
pub mod kafka_topics;
pub mod letters;
pub mod members;
pub mod person_key;
pub mod report;
pub mod retention;
pub mod running;
pub mod source;
pub mod store;
pub mod timed_log;
pub mod topics;
pub mod worker_thread;
