//! A real Apache Kafka under violence: processes and the broker are killed, frozen, removed and
//! added at random moments while somebody else's producer writes, and somebody else's readers must
//! see what an undisturbed run tells. `scripts/setup-test-tools.sh` gets the broker.
//!
//! ```text
//! cargo test --test kafka_chaos                                               one round of each
//! ACCOUNTPULSE_CHAOS_ROUNDS=10 cargo test --test kafka_chaos -- --nocapture   ten, with what was fired
//! ACCOUNTPULSE_CHAOS_SEED=17 cargo test --test kafka_chaos event_clock        a plan again
//! ```
//!
//! A seed gives the same events, the same faults in the same order and the same shares of the work
//! between them. It does not give the same run: processes and a broker are not simulated.
//!
//! To add a fault: a variant of [`plan::Strike`], its place in a plan, what it does in
//! `world.rs`, and a counter that shows that it was fired.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

#[path = "support/fleet.rs"]
mod fleet;
#[path = "support/mod.rs"]
mod process;
#[path = "support/kafka/mod.rs"]
mod support;

#[path = "kafka_chaos/bad.rs"]
mod bad;
#[path = "kafka_chaos/end_txn.rs"]
mod end_txn;
#[path = "kafka_chaos/event_clock.rs"]
mod event_clock;
#[path = "kafka_chaos/group.rs"]
mod group;
#[path = "kafka_chaos/life.rs"]
mod life;
#[path = "kafka_chaos/plan.rs"]
mod plan;
#[path = "kafka_chaos/probes.rs"]
mod probes;
#[path = "kafka_chaos/readers.rs"]
mod readers;
#[path = "kafka_chaos/self_test.rs"]
mod self_test;
#[path = "kafka_chaos/wall_clock.rs"]
mod wall_clock;
#[path = "kafka_chaos/world.rs"]
mod world;
