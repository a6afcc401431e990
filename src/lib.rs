//! accountpulse: customer health scores and churn risks per event and per deadline, exactly
//! once, with exact explanations.
//!
//! # Layout
//!
//! Dependencies point one way, from the top of this list to the bottom (`tests/tidy.rs` holds it):
//!
//! ```text
//! cli/        one file per command; prints, asks nothing else
//! app/        wiring and lifecycle; the only room that names all others
//! ingest/     HTTP in: events, health, metrics
//! simulate/   a believable company, and the benchmark workload
//! worker/     step(now) -> Wake: poll, apply, commit; restore; rounds of pages; breaker
//! config/     file shape -> validated Config; every error has line, column and next step
//! telemetry/  metric catalogue, log set-up
//! log/        the trait at Kafka's height; local/ (durable, embedded), sim/ (memory, faults)
//! clock.rs    the only reader of time
//! engine/     PURE: events -> facts -> features -> score -> rules -> risks
//! ```
//!
//! # Data flow
//!
//! ```text
//! producers -> input topics -> worker: decode -> shard -> facts -> features -> score -> rules
//!                                         |                 ^ clock, deadlines          |
//!                                         +-> dead letters                              v
//!                       one transaction: scores + risks + dead letters + pages + positions
//! ```

pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod ingest;
pub mod log;
pub mod simulate;
pub mod telemetry;
pub mod worker;
