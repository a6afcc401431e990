//! How long a killed instance takes to be back. It has a million accounts and half of its full
//! load, and is killed when a round of pages is about to close: then the input since the begin of
//! the round before must be read again. The load goes on meanwhile.

use std::time::Duration;

use accountpulse::clock;

use crate::cluster::{Cluster, Job, Observer};
use crate::figures::{Wanted, beside, tell};
use crate::instance::{Watched, series_at, wait_for};
use crate::live::{Load, Stopper};
use crate::sizes::Sizes;
use crate::throughput;
use crate::workload::{self, Encoding, load};

/// Days of the history: every account's day turns in each.
const DAYS: u32 = 7;
/// Between two looks; metrics are refreshed half as often.
const LOOK: Duration = Duration::from_millis(250);
/// This much before a round closes the instance is killed.
const BEFORE: Duration = Duration::from_millis(1_000);
/// How long it gets more than it can handle, to find out how much that is.
const OVERLOADED: Duration = Duration::from_secs(10);
/// Waits that end in failure.
const LONGEST: Duration = Duration::from_secs(300);
/// An instance has caught up when no more waits than comes in this time.
const CAUGHT_UP_SECONDS: f64 = 1.0;

/// `restore_s`, `tail_ratio`.
pub fn run(cluster: &Cluster, sizes: &Sizes, wanted: &Wanted, rate: Option<f64>) {
    let usual = rate.unwrap_or_else(|| throughput::trial(cluster));
    let mut options = workload::until_now(sizes.restore_events);
    (options.accounts, options.days) = (sizes.restore_accounts, DAYS);
    let loaded = load(cluster, "state", Encoding::Json, workload::ending_now(options), true);
    let more = format!("checkpoint_round: {}s\n", sizes.round.as_secs());
    let job = Job { name: "restored", inputs: "state", more: &more };
    let config = cluster.create(job);
    let folder = cluster.folder().join(job.name);
    let observer = Observer::new(cluster, job.name, job.inputs);
    let first = Watched::start(&folder, &config);
    wait_for(&observer, loaded.events, |_| ());
    first.wait_until_live();
    let full = live_rate(cluster, job.inputs, &observer, usual, sizes.restore_accounts).min(usual);
    let background = Load::new((full / 2.0) as u64, sizes.restore_accounts);
    std::thread::scope(|scope| {
        let _stopper = Stopper(&background);
        scope.spawn(|| background.send_to(cluster, job.inputs));
        let period = watch_rounds(&first, sizes);
        wait_for_the_end_of_a_round(&first, period);
        let pages = first.metric("accountpulse_checkpoint_bytes_total");
        let rounds = first.metric("accountpulse_checkpoint_rounds_total");
        let accounts = first.metric("accountpulse_accounts");
        let age = series_at(&first.process.url, "accountpulse_checkpoint_age_seconds");
        let sent = (clock::monotonic(), background.sent());
        drop(first);
        let back = Back::watch(&Watched::start(&folder, &config), cluster, &observer, &background);
        if wanted.has("restore_s") {
            tell("restore_s", back.state_seconds);
        }
        if wanted.has("tail_ratio") {
            tell("tail_ratio", back.tail_seconds / sizes.round.as_secs_f64());
        }
        let beside = |what: &str, value: f64, unit| beside(&format!("restore_s/{what}"), value, unit);
        let load = (background.sent() - sent.1) as f64 / sent.0.elapsed().as_secs_f64();
        beside("accounts", accounts, "accounts");
        beside("load_wanted", background.rate as f64, "events/s");
        beside("load", load, "events/s");
        beside("time_between_rounds", period, "s");
        beside("oldest_round_when_killed", age.into_iter().fold(0.0, f64::max), "s");
        beside("pages_per_round_of_a_shard", pages / rounds.max(1.0) / 1e6, "MB");
        beside("events_read_again", back.replayed, "events");
        beside("reading_again_within_the_restore", back.muted_seconds, "s");
        beside("until_nothing_waits", back.state_seconds + back.tail_seconds, "s");
    });
}

/// Events a second that it handles of a load that is too much for it. Catching up is cheaper: nothing is
/// sent meanwhile, and most of the million accounts have no part in it.
fn live_rate(cluster: &Cluster, inputs: &str, observer: &Observer, load: f64, accounts: u32) -> f64 {
    let load = Load::new(load as u64, accounts);
    let rate = std::thread::scope(|scope| {
        let _stopper = Stopper(&load);
        scope.spawn(|| load.send_to(cluster, inputs));
        clock::pause(OVERLOADED / 2);
        let (begun, before) = (clock::monotonic(), observer.committed());
        clock::pause(OVERLOADED);
        (observer.committed() - before) as f64 / begun.elapsed().as_secs_f64()
    });
    wait_until_caught_up(observer, rate);
    rate
}

/// Until no more waits than comes in a moment.
fn wait_until_caught_up(observer: &Observer, rate: f64) {
    let begun = clock::monotonic();
    while observer.waiting() as f64 > rate * CAUGHT_UP_SECONDS {
        assert!(begun.elapsed() < LONGEST, "{} events wait and wait", observer.waiting());
        clock::pause(LOOK);
    }
}

/// Until every shard has closed a round that began under the load; the seconds from one close to
/// the next.
fn watch_rounds(instance: &Watched, sizes: &Sizes) -> f64 {
    let (mut peaks, mut closed): (Vec<f64>, Vec<u32>) = (Vec::new(), Vec::new());
    let mut before: Vec<f64> = Vec::new();
    let begun = clock::monotonic();
    // The first marker of a shard closes a round without pages; two with all of them come after it.
    let all_written =
        |shards: usize| instance.metric("accountpulse_checkpoint_rounds_total") >= 3.0 * shards as f64;
    while closed.is_empty() || closed.iter().any(|count| *count < 2) || !all_written(closed.len()) {
        assert!(begun.elapsed() < LONGEST, "rounds do not close");
        let ages = series_at(&instance.process.url, "accountpulse_checkpoint_age_seconds");
        peaks.resize(ages.len(), 0.0);
        closed.resize(ages.len(), 0);
        for (shard, age) in ages.iter().enumerate() {
            if let Some(last) = before.get(shard).filter(|last| *last > age) {
                // What the first close ends began before the load.
                peaks[shard] = if closed[shard] == 0 { 0.0 } else { *last };
                closed[shard] += 1;
            }
        }
        before = ages;
        clock::pause(LOOK);
    }
    peaks.into_iter().fold(sizes.round.as_secs_f64(), f64::max)
}

fn wait_for_the_end_of_a_round(instance: &Watched, period: f64) {
    let begun = clock::monotonic();
    loop {
        let ages = series_at(&instance.process.url, "accountpulse_checkpoint_age_seconds");
        let oldest = ages.into_iter().fold(0.0, f64::max);
        if oldest >= period - BEFORE.as_secs_f64() {
            return;
        }
        assert!(begun.elapsed() < LONGEST, "no round comes to its end");
        clock::pause(LOOK);
    }
}

/// What the return took.
struct Back {
    /// From the start of the process, without the input that was read again.
    state_seconds: f64,
    /// From there until nothing waits.
    tail_seconds: f64,
    /// The part of it before the instance is live.
    muted_seconds: f64,
    replayed: f64,
}

impl Back {
    fn watch(instance: &Watched, cluster: &Cluster, observer: &Observer, background: &Load) -> Back {
        let (mut live, mut muted_seconds) = (instance.started, 0.0_f64);
        let mut workers = 0;
        while workers < cluster.workers {
            let (at, line) = instance.said.recv_timeout(LONGEST).expect("every worker restores its shards");
            let Some(tail_ms) = line.split_once("tail_ms=").filter(|_| line.contains("restored")) else {
                continue;
            };
            let digits: String = tail_ms.1.chars().take_while(char::is_ascii_digit).collect();
            muted_seconds = muted_seconds.max(digits.parse::<f64>().expect("milliseconds") / 1e3);
            live = live.max(at);
            workers += 1;
        }
        let begun = clock::monotonic();
        while !instance.process.get("/readyz?verbose").1.contains("[+] restored") {
            assert!(begun.elapsed() < LONGEST, "a worker lost what it had restored");
            clock::pause(LOOK);
        }
        let replayed = instance.metric("accountpulse_events_replayed_total");
        wait_until_caught_up(observer, background.rate as f64);
        let state_seconds = live.duration_since(instance.started).as_secs_f64() - muted_seconds;
        let tail_seconds = instance.started.elapsed().as_secs_f64() - state_seconds;
        Back { state_seconds, tail_seconds, muted_seconds, replayed }
    }
}
