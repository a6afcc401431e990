//! Wiring and lifecycle: the only room that names all others.
//!
//! ```text
//! topics.rs      the topics of the embedded log
//! store.rs       the embedded log as `ingest` sees it
//! instance.rs    which instance uses a data directory, and at which address
//! client.rs      speaking to a running instance
//! source.rs      published records, from an instance or from a data directory at rest
//! person_key.rs  the key of the pseudonyms, made on the first start
//! ```

pub mod client;
pub mod instance;
pub mod person_key;
pub mod source;
pub mod store;
pub mod topics;
