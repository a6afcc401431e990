//! Bad input: whatever stands in an input topic, nothing stops, nothing is lost, nothing grows.
//! The records are written straight to the topics, as any producer may.
//!
//! ```text
//! mixed      the real program: 200,000 records, one in a hundred bad, of every kind
//! alone      the worker: each kind by itself, and values larger than any limit, with memory counted
//! cut        the worker: every example cut off at every byte
//! held       the real program: one partition turned bad as a whole
//! kinds/     the kinds, with the reason each must be refused for
//! ```
//!
//! On Apache Kafka the same kinds are read in `tests/kafka/processes/bad_input.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

mod support;

#[path = "bad_input/alone.rs"]
mod alone;
#[path = "bad_input/bench.rs"]
mod bench;
#[path = "bad_input/cut.rs"]
mod cut;
#[path = "support/examples.rs"]
mod examples;
#[path = "bad_input/held.rs"]
mod held;
#[path = "../fuzz/bodies/json.rs"]
mod json;
#[path = "bad_input/kinds/mod.rs"]
mod kinds;
#[path = "bad_input/letters.rs"]
mod letters;
#[path = "support/memory.rs"]
mod memory;
#[path = "bad_input/mixed.rs"]
mod mixed;

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;
