//! How much of everything is measured: enough for steady figures within 25 minutes in all, or just
//! enough to see that the apparatus works.

use std::time::Duration;

/// The sizes of one report.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Threads that make data, and workers of an instance.
    pub threads: usize,
    /// Events through the engine, in each encoding.
    pub engine_events: u64,
    /// Events behind the outputs that are built and written.
    pub output_events: u64,
    /// Rounds of decoding 20,000 events.
    pub decode_rounds: usize,
    /// Typical accounts in memory; a hundredth of them are the few to compare with.
    pub typical_accounts: u32,
    /// Events for each of the two numbers of accounts.
    pub ratio_events: u64,
    /// Events in the two files of `cores_ratio`.
    pub cores_events: u64,
    /// Runs of each of its two ways.
    pub cores_runs: usize,
    /// Events in Kafka, in each encoding.
    pub kafka_events: u64,
    /// Runs over them, a drain after each.
    pub kafka_runs: usize,
    /// How long the runs of `checkpoint_cost` are to last: one round of pages, and the wait for it.
    pub checkpoint: Duration,
    /// Time between the starts of two rounds there and in `restore_s`.
    pub round: Duration,
    /// Surveys whose risk is waited for.
    pub probes: usize,
    /// Accounts in Kafka when the instance is killed.
    pub restore_accounts: u32,
    /// Events of these accounts before it is killed.
    pub restore_events: u64,
    /// Accounts of the idle instance.
    pub idle_accounts: u32,
    /// How long it is watched.
    pub idle: Duration,
    /// Events of the burst.
    pub burst_events: u64,
    /// How long the broker stands still while the burst waits.
    pub frozen: Duration,
}

impl Sizes {
    pub fn full() -> Sizes {
        Sizes {
            threads: 2,
            engine_events: 5_000_000,
            output_events: 1_000_000,
            decode_rounds: 60,
            typical_accounts: 1_000_000,
            ratio_events: 2_000_000,
            cores_events: 3_000_000,
            cores_runs: 9,
            kafka_events: 5_000_000,
            kafka_runs: 2,
            checkpoint: Duration::from_secs(66),
            round: Duration::from_secs(30),
            probes: 600,
            restore_accounts: 1_000_000,
            restore_events: 3_000_000,
            idle_accounts: 100_000,
            idle: Duration::from_secs(20),
            burst_events: 3_000_000,
            frozen: Duration::from_secs(8),
        }
    }

    /// Says nothing about the program; shows that everything is measured.
    pub fn quick() -> Sizes {
        Sizes {
            engine_events: 200_000,
            output_events: 100_000,
            decode_rounds: 4,
            typical_accounts: 20_000,
            ratio_events: 100_000,
            cores_events: 200_000,
            cores_runs: 1,
            kafka_events: 300_000,
            kafka_runs: 1,
            checkpoint: Duration::from_secs(14),
            round: Duration::from_secs(5),
            probes: 100,
            restore_accounts: 50_000,
            restore_events: 150_000,
            idle_accounts: 10_000,
            idle: Duration::from_secs(5),
            burst_events: 300_000,
            frozen: Duration::from_secs(3),
            ..Sizes::full()
        }
    }
}
