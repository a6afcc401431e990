//! From producing an event that starts a risk to reading that risk: surveys with a bad answer of
//! accounts that exist, one after the other, while the workload comes at a fixed rate in real time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use accountpulse::clock;
use accountpulse::engine::event::Kind;
use accountpulse::simulate::{Workload, WorkloadOptions};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::cluster::{Cluster, Observer, PARTITIONS, Sender};
use crate::instance::{cpu_seconds, wait_for};
use crate::process::Process;
use crate::workload::{Encoding, load};

/// Events before it begins: all accounts that matter exist then.
const HISTORY: u64 = 300_000;
/// The load comes for this long before the first probe.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the last probes are waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// How far the clock of an instance may be behind the present that has nothing to catch up with.
const LIVE_SECONDS: f64 = 10.0;
const SECONDS_PER_DAY: u64 = 86_400;

/// What was seen.
#[derive(Default)]
pub struct Latency {
    /// Milliseconds, ascending.
    pub seen: Vec<f64>,
    pub missing: usize,
    /// Events a second that were really sent.
    pub rate: f64,
    /// Records that waited when the last probe was sent.
    pub backlog: u64,
    /// Scores and transitions.
    pub outputs_per_event: f64,
    /// CPU seconds of the instance per million events at this rate.
    pub cpu_per_million: f64,
}

impl Latency {
    /// A quantile of what was seen, milliseconds.
    pub fn at(&self, quantile: f64) -> f64 {
        let rank = (quantile * self.seen.len() as f64).ceil() as usize;
        self.seen.get(rank.max(1) - 1).copied().unwrap_or(f64::NAN)
    }
}

/// Sends `probes` probes while `rate` events a second come.
pub fn measure(cluster: &Cluster, probes: usize, rate: u64) -> Latency {
    let mut sender = Sender::new(cluster, "live", "0");
    let process = prepare(cluster, &mut sender, probes);
    let observer = Observer::new(cluster, "latency", "live");
    let (stop, background) = (AtomicBool::new(false), AtomicU64::new(0));
    let seen: Mutex<Vec<Option<Instant>>> = Mutex::new(vec![None; probes]);
    let mut sent = Vec::with_capacity(probes);
    let mut latency = Latency::default();
    std::thread::scope(|scope| {
        scope.spawn(|| load_on(cluster, rate, &stop, &background));
        scope.spawn(|| read_risks(cluster, &seen, &stop));
        clock::pause(WARM_UP);
        let pid = process.child.id();
        let (told, before) = (told(&process), background.load(Ordering::Relaxed));
        let (begun, cpu) = (clock::monotonic(), cpu_seconds(pid));
        for probe in 0..probes {
            // Not in step with anything that happens every so often.
            clock::pause(Duration::from_millis(30 + probe as u64 * 17 % 41));
            let id = format!("{{\"id\":\"probe-{probe}\",");
            let body = r#""survey":{"id":"answer-1","type":"nps","score":2,"respondent":"u1"}}"#;
            let event = event(&id, probe, body);
            sent.push(clock::monotonic());
            sender.send(Kind::Survey, account(probe).as_bytes(), event.as_bytes());
            sender.serve();
        }
        let events = (background.load(Ordering::Relaxed) - before) as f64;
        latency.rate = events / begun.elapsed().as_secs_f64();
        latency.cpu_per_million = (cpu_seconds(pid) - cpu) / (events / 1e6);
        let committed = observer.committed();
        latency.backlog = observer.appended().saturating_sub(committed);
        latency.outputs_per_event = (self::told(&process) - told) / events;
        let all_seen = || lock(&seen).iter().all(Option::is_some);
        let begun = clock::monotonic();
        while !all_seen() && begun.elapsed() < PATIENCE {
            clock::pause(Duration::from_millis(50));
        }
        stop.store(true, Ordering::Relaxed);
    });
    let seen = lock(&seen);
    let pairs = sent.iter().zip(seen.iter());
    let times = pairs.filter_map(|(sent, seen)| Some((*seen)?.duration_since(*sent).as_secs_f64() * 1e3));
    latency.seen = times.collect();
    latency.seen.sort_by(f64::total_cmp);
    latency.missing = probes - latency.seen.len();
    latency
}

/// An instance that has caught up with a history, and knows the accounts of all probes.
fn prepare(cluster: &Cluster, sender: &mut Sender, probes: usize) -> Process {
    load(cluster, "live", Encoding::Json, HISTORY);
    for probe in 0..probes {
        let id = format!("{{\"id\":\"seen-{probe}\",");
        let body = r#""login":{"user_id":"u1"}}"#;
        sender.send(Kind::Login, account(probe).as_bytes(), event(&id, probe, body).as_bytes());
    }
    sender.flush();
    let config = cluster.create("latency", "live");
    let process = Process::start(&cluster.folder().join("latency"), &["-c", &config]);
    let observer = Observer::new(cluster, "latency", "live");
    wait_for(&observer, HISTORY + probes as u64, clock::monotonic());
    // Until its clocks have come to the present too: days that turn late are not what is measured.
    let delay = || process.metric("accountpulse_clock_delay_seconds") / f64::from(PARTITIONS);
    while process.get("/readyz").0 != 200 || delay() > LIVE_SECONDS {
        clock::pause(Duration::from_millis(250));
    }
    process
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Scores and transitions so far.
fn told(process: &Process) -> f64 {
    process.metric("accountpulse_scores_published_total")
        + process.metric("accountpulse_risks_published_total")
}

fn account(probe: usize) -> String {
    format!("probed-{probe:06}")
}

/// An event of the present.
fn event(id: &str, probe: usize, body: &str) -> String {
    let now = jiff::Timestamp::from_millisecond(clock::wall_ms()).expect("a time").to_string();
    format!("{id}\"account_id\":\"{}\",\"occurred_at\":\"{now}\",{body}", account(probe))
}

/// Sends the workload, each event at its own time.
fn load_on(cluster: &Cluster, rate: u64, stop: &AtomicBool, count: &AtomicU64) {
    let mut options = WorkloadOptions::new(3, rate * SECONDS_PER_DAY);
    (options.days, options.start_ms) = (1, clock::wall_ms());
    let mut workload = Workload::new(options);
    let mut sender = Sender::new(cluster, "live", "5");
    let begun = clock::monotonic();
    let (mut json, mut account) = (Vec::new(), Vec::new());
    while !stop.load(Ordering::Relaxed) {
        let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
        while sender.sent < due {
            json.clear();
            account.clear();
            let Some(event) = workload.next_into(&mut json) else { return };
            Workload::push_account_id(event.account, &mut account);
            sender.send(event.kind, &account, &json);
        }
        count.store(sender.sent, Ordering::Relaxed);
        sender.serve();
        clock::pause(Duration::from_millis(2));
    }
    sender.flush();
}

/// Notes when the risk of each probe can be read.
fn read_risks(cluster: &Cluster, seen: &Mutex<Vec<Option<Instant>>>, stop: &AtomicBool) {
    const MARK: &str = "\"caused_by\":\"probe-";
    let mut config = cluster.broker.config();
    config.set("group.id", "latency-reader").set("enable.auto.commit", "false");
    config.set("isolation.level", "read_committed").set("fetch.wait.max.ms", "50");
    let reader: BaseConsumer = config.create().expect("a reader");
    let mut all = TopicPartitionList::new();
    for partition in 0..i32::try_from(PARTITIONS).unwrap_or(0) {
        all.add_partition_offset("latency.risks.v1", partition, Offset::Beginning).expect("a partition");
    }
    reader.assign(&all).expect("reading can start");
    while !stop.load(Ordering::Relaxed) {
        let Some(Ok(message)) = reader.poll(Duration::from_millis(20)) else { continue };
        let now = clock::monotonic();
        let value = message.payload_view::<str>().and_then(Result::ok).unwrap_or_default();
        let Some((_, rest)) = value.split_once(MARK) else { continue };
        let number = rest.split('"').next().and_then(|number| number.parse::<usize>().ok());
        if let Some(number) = number
            && let Some(slot) = lock(seen).get_mut(number)
        {
            slot.get_or_insert(now);
        }
    }
}
