//! What only a real Apache Kafka can show. `scripts/setup-test-tools.sh` gets it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

#[path = "support/mod.rs"]
mod process;
#[path = "support/kafka/mod.rs"]
mod support;

#[path = "log_contract/contract.rs"]
#[macro_use]
mod contract;
#[path = "log_contract/harness.rs"]
mod harness;

#[path = "kafka/broker.rs"]
mod broker;
#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/conformance.rs"]
mod conformance;
#[path = "kafka/dead_owner.rs"]
mod dead_owner;
#[path = "kafka/exactly_once.rs"]
mod exactly_once;
#[path = "support/fleet.rs"]
mod fleet;
#[path = "kafka/hanging.rs"]
mod hanging;
#[path = "kafka/member.rs"]
mod member;
#[path = "kafka/processes.rs"]
mod processes;
#[path = "kafka/promises.rs"]
mod promises;
#[path = "kafka/security.rs"]
mod security;
#[path = "kafka/standstill.rs"]
mod standstill;
