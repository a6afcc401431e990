//! Memory under overload: a burst of many times the usual load while the broker stands still for
//! seconds, and a merge by event time that waits for inputs which never say anything. What an
//! instance may take is the bound of the manual (docs/performance.md, "Memory").

use std::time::Duration;

use accountpulse::clock;
use accountpulse::config::{DEFAULT_BUFFERED_BYTES, DEFAULT_FETCHED_BYTES};

use crate::cluster::{Cluster, Job, Observer};
use crate::figures::{Budget, Wanted, beside, tell_against};
use crate::instance::{Watched, wait_for};
use crate::live::{Load, Stopper};
use crate::measure::{forget_peak, peak_bytes, resident_bytes};
use crate::sizes::Sizes;
use crate::throughput;
use crate::workload::{self, Encoding, load};

/// Events before the burst.
const HISTORY: u64 = 300_000;
const ACCOUNTS: u32 = 100_000;
/// The usual load, as a part of full load, and how many times it comes.
const USUAL: f64 = 0.2;
const TIMES: f64 = 10.0;
/// The usual load comes for this long.
const BEFORE: Duration = Duration::from_secs(5);
/// Small records weigh up to so many times their bytes in the client's queue.
const FETCHED_FACTOR: f64 = 3.0;
/// A commit on its way: effects and pages as records, encoded and compressed.
const COMMIT_BYTES: f64 = 24.0 * 1_048_576.0;
/// How long the merge that cannot go on is watched.
const WATCHED: Duration = Duration::from_secs(15);
const MB: f64 = 1e6;

/// What waits in memory at most, beside the state and the program itself.
fn may_wait(workers: u32) -> f64 {
    let each = DEFAULT_BUFFERED_BYTES as f64 + FETCHED_FACTOR * DEFAULT_FETCHED_BYTES as f64 + COMMIT_BYTES;
    f64::from(workers) * each
}

/// `overload_rss_mb`, `waiting_rss_mb`.
pub fn run(cluster: &Cluster, sizes: &Sizes, rate: Option<f64>, wanted: &Wanted) {
    let full = rate.unwrap_or_else(|| throughput::trial(cluster));
    load(cluster, "burst", Encoding::Json, workload::until_now(HISTORY), false);
    if wanted.has("overload_rss_mb") {
        burst(cluster, sizes, full);
    } else {
        load(cluster, "burst", Encoding::Json, workload::until_now(sizes.burst_events), false);
    }
    if wanted.has("waiting_rss_mb") {
        merge(cluster);
    }
}

fn burst(cluster: &Cluster, sizes: &Sizes, full: f64) {
    let job = Job::new("overload", "burst");
    let config = cluster.create(job);
    let folder = cluster.folder().join(job.name);
    let observer = Observer::new(cluster, job.name, job.inputs);
    let instance = Watched::start(&folder, &config);
    wait_for(&observer, HISTORY, |_| ());
    instance.wait_until_live();
    send(cluster, full * USUAL, (full * USUAL * BEFORE.as_secs_f64()) as u64, || ());
    forget_peak(instance.pid);
    let (begun, before) = (clock::monotonic(), observer.appended());
    send(cluster, full * USUAL * TIMES, sizes.burst_events, || {
        cluster.broker.freeze();
        clock::pause(sizes.frozen);
        cluster.broker.thaw();
    });
    let sent = observer.appended();
    let burst_rate = (sent - before) as f64 / begun.elapsed().as_secs_f64();
    let behind = observer.waiting() as f64;
    wait_for(&observer, sent, |_| ());
    let (peak, rebuilds) = (peak_bytes(instance.pid), instance.metric("accountpulse_worker_rebuilds_total"));
    drop(instance);
    // What the same state takes where nothing ever waited.
    let again = Watched::start(&folder, &config);
    again.wait_until_live();
    let state = resident_bytes(again.pid) as f64;
    let bound = (state + may_wait(cluster.workers)) / MB;
    tell_against("overload_rss_mb", peak as f64 / MB, Budget::AtMost(bound.round()));
    let beside = |what: &str, value: f64, unit| beside(&format!("overload_rss_mb/{what}"), value, unit);
    beside("state_and_program", state / MB, "MB");
    beside("may_wait", may_wait(cluster.workers) / MB, "MB");
    beside("usual_load", full * USUAL, "events/s");
    beside("burst", burst_rate, "events/s");
    beside("burst_events", (sent - before) as f64, "events");
    beside("waiting_in_the_log_after_it", behind, "events");
    beside("broker_frozen", sizes.frozen.as_secs_f64(), "s");
    beside("workers_started_again", rebuilds, "times");
}

/// Sends so many events at that rate, or as fast as they are taken; `meanwhile` happens after a third.
fn send(cluster: &Cluster, rate: f64, events: u64, meanwhile: impl FnOnce()) {
    let load = Load::new(rate.max(1.0) as u64, ACCOUNTS);
    let mut meanwhile = Some(meanwhile);
    std::thread::scope(|scope| {
        let _stopper = Stopper(&load);
        scope.spawn(|| load.send_to(cluster, "burst"));
        while load.sent() < events {
            if load.sent() >= events / 3
                && let Some(act) = meanwhile.take()
            {
                act();
            }
            clock::pause(Duration::from_millis(20));
        }
    });
}

/// An instance that merges by event time and has three inputs that are empty and may not be.
fn merge(cluster: &Cluster) {
    let job = Job { name: "waiting", inputs: "burst", more: "clock:\n  mode: event\n" };
    let config = cluster.create(job);
    let observer = Observer::new(cluster, job.name, job.inputs);
    let instance = Watched::start(&cluster.folder().join(job.name), &config);
    clock::pause(WATCHED);
    let held = instance.metric("accountpulse_buffered_bytes");
    assert!(held > 0.0, "nothing was read");
    // There is no state yet: what is resident is what waits, and the program.
    const PROGRAM: f64 = 128.0 * 1_048_576.0;
    let bound = (PROGRAM + may_wait(cluster.workers)) / MB;
    tell_against("waiting_rss_mb", peak_bytes(instance.pid) as f64 / MB, Budget::AtMost(bound.round()));
    beside("waiting_rss_mb/buffered", held / MB, "MB");
    beside("waiting_rss_mb/events_in_the_log", observer.appended() as f64, "events");
}
