//! What the program costs on a real Apache Kafka on the same machine: CPU per event of the whole
//! process, and its rate beside our own batch drain of the same topics. Runs and drains take turns,
//! so that a busy neighbour meets both.

use crate::cluster::{Cluster, Job, PARTITIONS};
use crate::drain::{self, Drained};
use crate::figures::{Wanted, beside, tell};
use crate::instance::{self, Run};
use crate::measure::median;
use crate::sizes::Sizes;
use crate::workload::{self, Encoding};

/// Events of a run that only tells the rate.
const TRIAL_EVENTS: u64 = 500_000;

/// About how many events a second an instance handles, where nobody has told yet.
pub fn trial(cluster: &Cluster) -> f64 {
    let options = workload::until_now(TRIAL_EVENTS);
    let loaded = workload::load(cluster, "trial", Encoding::Json, options, false);
    instance::run(cluster, Job::new("trial", "trial"), loaded.events, |_| ()).rate()
}

/// `kafka_cpu_s_per_m_*`, `kafka_ratio_*`.
pub fn run(cluster: &Cluster, sizes: &Sizes, encoding: Encoding, wanted: &Wanted) {
    let name = encoding.name();
    let options = workload::until_now(sizes.kafka_events);
    let loaded = workload::load(cluster, name, encoding, options, false);
    let (mut runs, mut drains) = (Vec::new(), Vec::new());
    for turn in 0..sizes.kafka_runs {
        let job = format!("{name}-run-{turn}");
        let run = instance::run(cluster, Job::new(&job, name), loaded.events, |_| ());
        eprintln!("# {name} run {turn}: {:.0} events/s, {:.2} CPU s/M", run.rate(), run.cpu_per_million());
        runs.push(run);
        let drained = drain::drain(cluster, &format!("{name}-drain-{turn}"), name, loaded.events);
        eprintln!("# {name} drain {turn}: {:.0} events/s", drained.rate());
        drains.push(drained);
    }
    let of_runs = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let of_drains = |figure: fn(&Drained) -> f64| median(drains.iter().map(figure).collect());
    let (rate, drained) = (of_runs(Run::rate), of_drains(Drained::rate));
    let (cpu, ratio) = (format!("kafka_cpu_s_per_m_{name}"), format!("kafka_ratio_{name}"));
    if wanted.has(&cpu) {
        tell(&cpu, of_runs(Run::cpu_per_million));
    }
    if wanted.has(&ratio) {
        tell(&ratio, rate / drained);
    }
    let beside = |what: &str, value: f64, unit| beside(&format!("{cpu}/{what}"), value, unit);
    beside("rate", rate, "events/s");
    beside("rate_of_the_drain", drained, "events/s");
    beside("drain", of_drains(Drained::cpu_per_million), "cpu_s");
    beside("events", loaded.events as f64, "events");
    beside("record_bytes", loaded.bytes as f64 / loaded.events as f64, "bytes");
    beside("partitions", f64::from(PARTITIONS), "partitions");
    beside("workers", f64::from(cluster.workers), "threads");
    beside("outputs_per_event", of_runs(Run::outputs_per_event), "records");
    beside("dead_letters", of_runs(|run| run.dead_letters), "records");
    let account_days = f64::from(options.days) * f64::from(options.accounts);
    beside("account_days_per_event", account_days / loaded.events as f64, "ratio");
    let workers = cluster.workers;
    let intervals = runs.iter().map(|run| run.commit_interval_ms(workers)).collect();
    beside("commit_interval", median(intervals), "ms");
    beside("commit_duration", of_runs(|run| run.commit_seconds * 1e3), "ms");
    beside("pages", of_runs(|run| run.page_bytes / 1e6), "MB");
}
