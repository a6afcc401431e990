//! What only a real Apache Kafka can show. `scripts/setup-test-tools.sh` gets it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

#[path = "support/mod.rs"]
mod process;
#[path = "support/kafka/mod.rs"]
mod support;

#[path = "kafka/broker.rs"]
mod broker;

#[path = "kafka/dead_owner.rs"]
mod dead_owner;
#[path = "kafka/exactly_once.rs"]
mod exactly_once;
#[path = "kafka/fleet.rs"]
mod fleet;
