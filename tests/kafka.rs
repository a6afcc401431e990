//! What only a real Apache Kafka can show. `scripts/setup-test-tools.sh` gets it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

#[path = "support/kafka/mod.rs"]
mod support;

#[path = "kafka/broker.rs"]
mod broker;

#[path = "kafka/security.rs"]
mod security;
