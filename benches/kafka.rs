//! What the program costs on a real Apache Kafka, which the bench starts on the same machine: CPU
//! per event of the whole process, its rate beside our own batch drain of the same topics, and the
//! time from an event to the risk it starts. Prints `name value unit budget verdict` lines (the last
//! two only where DESIGN has a budget) and the conditions beside them; no test asserts a figure.
//!
//! ```text
//! cargo bench --profile dev --bench kafka                          # 2 million events, two runs each
//! cargo bench --profile dev --bench kafka -- 500000 --runs 1       # fewer
//! cargo bench --profile dev --bench kafka -- --only json           # or proto, latency
//! cargo bench --profile dev --bench kafka -- --profile json        # where the time goes, by `perf`
//! ```
//!
//! It needs what `scripts/setup-test-tools.sh` gets; `--profile` also needs Linux' `perf`. Runs and
//! drains take turns, so that a busy neighbour meets both. To add a figure: a module that returns
//! plain numbers, and its lines here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a bench that cannot go on fails here")]

#[path = "../tests/support/mod.rs"]
mod process;
#[path = "support/protobuf.rs"]
mod protobuf;
#[path = "../tests/support/kafka/mod.rs"]
mod support;

#[path = "kafka/cluster.rs"]
mod cluster;
#[path = "kafka/drain.rs"]
mod drain;
#[path = "kafka/instance.rs"]
mod instance;
#[path = "kafka/latency.rs"]
mod latency;
#[path = "kafka/profile.rs"]
mod profile;
#[path = "kafka/workload.rs"]
mod workload;

use cluster::{Cluster, PARTITIONS};
use drain::Drained;
use instance::Run;
use workload::Encoding;

/// What the program runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Days the workload spreads over, and its accounts.
const ACCOUNT_DAYS: f64 = 60.0 * 100_000.0;

/// What the command line asks for.
struct Args {
    events: u64,
    runs: usize,
    workers: u32,
    probes: usize,
    /// Events a second while the latency is measured; half of what the JSON runs reached otherwise.
    rate: Option<u64>,
    only: Option<String>,
    profile: Option<Encoding>,
}

impl Args {
    fn parse() -> Args {
        let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32);
        let mut args = Args {
            events: 2_000_000,
            runs: 2,
            workers: cores.min(PARTITIONS),
            probes: 600,
            rate: None,
            only: None,
            profile: None,
        };
        let mut given = std::env::args().skip(1);
        while let Some(word) = given.next() {
            let mut value = || given.next().unwrap_or_else(|| panic!("{word} needs a value"));
            match word.as_str() {
                // `cargo bench` adds it.
                "--bench" => {}
                "--runs" => args.runs = number(&value()),
                "--workers" => args.workers = number(&value()),
                "--probes" => args.probes = number(&value()),
                "--rate" => args.rate = Some(number(&value())),
                "--only" => args.only = Some(value()),
                "--profile" => args.profile = Some(encoding(&value())),
                events => args.events = number(events),
            }
        }
        args
    }

    fn wants(&self, part: &str) -> bool {
        self.only.as_ref().is_none_or(|only| only == part)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> T {
    text.parse()
        .unwrap_or_else(|_| panic!("'{text}' is no number; the head of benches/kafka.rs says what is"))
}

fn encoding(text: &str) -> Encoding {
    let found = [Encoding::Json, Encoding::Proto].into_iter().find(|encoding| encoding.name() == text);
    found.unwrap_or_else(|| panic!("--profile takes json or proto, not '{text}'"))
}

fn main() {
    let args = Args::parse();
    let cluster = Cluster::start(args.workers);
    say("workers", f64::from(args.workers), "threads");
    say("partitions", f64::from(PARTITIONS), "of each of 8 input topics");
    say("commit_interval", 50.0, "ms");
    if let Some(encoding) = args.profile {
        workload::load(&cluster, encoding.name(), encoding, args.events);
        return profile::record(&cluster, encoding, args.events);
    }
    let mut rate = None;
    for (encoding, cpu_budget, ratio_budget) in [(Encoding::Json, 1.8, 0.3), (Encoding::Proto, 1.3, 0.4)] {
        if args.wants(encoding.name()) {
            let reached = throughput(&cluster, &args, encoding, cpu_budget, ratio_budget);
            rate.get_or_insert(reached);
        }
    }
    if args.wants("latency") {
        let half = args.rate.or_else(|| rate.map(|rate| (rate / 2.0) as u64));
        latency_at(&cluster, args.probes, half.expect("--only latency needs --rate"));
    }
}

/// Runs and drains in turn; returns the median rate of the runs.
fn throughput(cluster: &Cluster, args: &Args, encoding: Encoding, cpu: f64, ratio: f64) -> f64 {
    let name = encoding.name();
    let loaded = workload::load(cluster, name, encoding, args.events);
    say(&format!("{name}_events"), loaded.events as f64, "events");
    say(&format!("{name}_mean"), loaded.bytes as f64 / loaded.events as f64, "bytes");
    let (mut runs, mut drains) = (Vec::new(), Vec::new());
    for turn in 0..args.runs {
        let run = instance::run(cluster, &format!("{name}-run-{turn}"), name, loaded.events, |_| ());
        println!("# {name} run {turn}: {run:.2?}");
        runs.push(run);
        let drained = drain::drain(cluster, &format!("{name}-drain-{turn}"), name, loaded.events);
        println!("# {name} drain {turn}: {drained:.2?}");
        drains.push(drained);
    }
    let of_runs = |figure: fn(&Run) -> f64| median(runs.iter().map(figure).collect());
    let of_drains = |figure: fn(&Drained) -> f64| median(drains.iter().map(figure).collect());
    let rate = of_runs(Run::rate);
    at_most(&format!("kafka_cpu_s_per_m_{name}"), of_runs(Run::cpu_per_million), "cpu_s", cpu);
    at_least(&format!("kafka_ratio_{name}"), rate / of_drains(Drained::rate), "ratio", ratio);
    say(&format!("kafka_rate_{name}"), rate, "events/s");
    say(&format!("drain_rate_{name}"), of_drains(Drained::rate), "events/s");
    say(&format!("drain_cpu_s_per_m_{name}"), of_drains(Drained::cpu_per_million), "cpu_s");
    say(&format!("{name}_outputs_per_event"), of_runs(Run::outputs_per_event), "records");
    say(&format!("{name}_dead_letters"), of_runs(|run| run.dead_letters), "records");
    say(&format!("{name}_account_days_per_event"), ACCOUNT_DAYS / loaded.events as f64, "ratio");
    say(&format!("{name}_commits"), of_runs(|run| run.commits), "commits");
    say(&format!("{name}_commit_mean"), of_runs(|run| run.commit_seconds * 1e3), "ms");
    say(&format!("{name}_page_bytes"), of_runs(|run| run.page_bytes / 1e6), "MB");
    rate
}

fn latency_at(cluster: &Cluster, probes: usize, rate: u64) {
    let latency = latency::measure(cluster, probes, rate);
    say("risk_latency_load_wanted", rate as f64, "events/s");
    say("risk_latency_load", latency.rate, "events/s");
    say("risk_latency_probes", latency.seen.len() as f64, "risks");
    say("risk_latency_missing", latency.missing as f64, "risks");
    say("risk_latency_backlog", latency.backlog as f64, "events");
    say("risk_latency_outputs_per_event", latency.outputs_per_event, "records");
    say("risk_latency_cpu_s_per_m", latency.cpu_per_million, "cpu_s");
    say("risk_latency_p50_ms", latency.at(0.5), "ms");
    say("risk_latency_p90_ms", latency.at(0.9), "ms");
    at_most("risk_latency_p99_ms", latency.at(0.99), "ms", 100.0);
    say("risk_latency_max_ms", latency.at(1.0), "ms");
}

/// The middle, or the mean of the two around it.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match (values.get(middle.wrapping_sub(1)), values.get(middle)) {
        (Some(low), Some(high)) if values.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(value)) => *value,
        _ => f64::NAN,
    }
}

fn at_most(name: &str, value: f64, unit: &str, budget: f64) {
    println!("{name} {value:.3} {unit} <={budget} {}", verdict(value <= budget));
}

fn at_least(name: &str, value: f64, unit: &str, budget: f64) {
    println!("{name} {value:.3} {unit} >={budget} {}", verdict(value >= budget));
}

fn verdict(kept: bool) -> &'static str {
    if kept { "kept" } else { "missed" }
}

fn say(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}
