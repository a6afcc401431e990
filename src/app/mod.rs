//! Wiring and lifecycle: the only room that names all others.
//!
//! ```text
//! running.rs     one instance, from start to end
//! worker_thread  the thread that drives the worker
//! report.rs      what the worker counted, as metrics and readiness
//! timed_log.rs   measures commits
//! retention.rs   deletes what has expired and recovery cannot need
//! follow.rs      follows our own risks topic
//! topics.rs      the topics of the embedded log
//! store.rs       the embedded log as `ingest` sees it
//! instance.rs    which instance uses a data directory, and at which address
//! client.rs      speaking to a running instance
//! source.rs      published records, from an instance or from a data directory at rest
//! demo.rs        the made-up company of `demo`
//! person_key.rs  the key of the pseudonyms, made on the first start
//! ```

pub mod client;
pub mod demo;
pub mod follow;
pub mod instance;
pub mod person_key;
pub mod report;
pub mod retention;
pub mod running;
pub mod source;
pub mod store;
pub mod timed_log;
pub mod topics;
pub mod worker_thread;
