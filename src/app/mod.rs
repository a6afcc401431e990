//! Wiring and lifecycle: the only room that names all others.
//!
//! ```text
//! instance.rs    which instance uses a data directory, and at which address
//! client.rs      speaking to a running instance
//! person_key.rs  the key of the pseudonyms, made on the first start
//! ```

pub mod client;
pub mod instance;
pub mod person_key;
