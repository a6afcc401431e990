//! From producing an event that starts a risk to reading that risk: surveys with a bad answer of
//! accounts that exist, one after the other, while the workload comes in real time at half of full
//! load. The day of all accounts turns in the middle of it.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use accountpulse::clock;
use accountpulse::engine::event::Kind;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::cluster::{Cluster, Job, Observer, PARTITIONS, Sender};
use crate::figures::{Wanted, beside, tell};
use crate::instance::{Watched, wait_for};
use crate::live::{Load, Stopper};
use crate::measure::{cpu_seconds, quantile};
use crate::sizes::Sizes;
use crate::throughput;
use crate::workload::{self, Encoding, load};

/// Events before it begins: all accounts that matter exist then.
const HISTORY: u64 = 300_000;
const ACCOUNTS: u32 = 100_000;
/// The load comes for this long before the first probe.
const WARM_UP: Duration = Duration::from_secs(5);
/// How long the last probes are waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// From making the instance to its midnight, beside what catching up takes: to start, to warm up, and
/// for half of the probes.
const UNTIL_MIDNIGHT_MS: i64 = 60_000;
/// A short history of many days is caught up with so much more slowly than a long one.
const SLOWER: f64 = 6.0;
/// Mean time between two probes.
const PROBE_EVERY_MS: i64 = 50;
/// The clock of a shard is this far behind, and no day turns before it is there.
const LATENESS_MS: i64 = 5_000;
const DAY_MS: i64 = 86_400_000;
const MINUTE_MS: i64 = 60_000;

/// A probe on its way.
#[derive(Clone, Copy)]
struct Sent {
    at: Instant,
    wall_ms: i64,
}

/// `risk_latency_p50_ms`, `risk_latency_p99_ms`.
pub fn run(cluster: &Cluster, sizes: &Sizes, rate: Option<f64>, wanted: &Wanted) {
    let full = rate.unwrap_or_else(|| throughput::trial(cluster));
    let background = Load::new((full / 2.0) as u64, ACCOUNTS);
    let mut sender = Sender::new(cluster, "live", "0");
    let (instance, midnight_ms) = prepare(cluster, &mut sender, sizes.probes, full);
    let observer = Observer::new(cluster, "latency", "live");
    let seen: Mutex<Vec<Option<Instant>>> = Mutex::new(vec![None; sizes.probes]);
    let mut sent = Vec::with_capacity(sizes.probes);
    std::thread::scope(|scope| {
        let _stopper = Stopper(&background);
        scope.spawn(|| background.send_to(cluster, "live"));
        scope.spawn(|| read_risks(cluster, &seen, &background));
        clock::pause(WARM_UP);
        let first_ms = midnight_ms - PROBE_EVERY_MS * sizes.probes as i64 / 2;
        let early_ms = first_ms - clock::wall_ms();
        assert!(early_ms >= 0, "midnight came {} ms too soon for the preparations", -early_ms);
        clock::pause(Duration::from_millis(early_ms.unsigned_abs()));
        let (told, before) = (instance.told(), background.sent());
        let (begun, cpu) = (clock::monotonic(), cpu_seconds(instance.pid));
        for probe in 0..sizes.probes {
            sent.push(send_probe(&mut sender, probe));
        }
        let events = (background.sent() - before) as f64;
        let beside = |what: &str, value, unit| beside(&format!("risk_latency_p99_ms/{what}"), value, unit);
        beside("load_wanted", background.rate as f64, "events/s");
        beside("load", events / begun.elapsed().as_secs_f64(), "events/s");
        beside("cpu", (cpu_seconds(instance.pid) - cpu) / (events / 1e6), "cpu_s_per_m");
        beside("outputs_per_event", (instance.told() - told) / events, "records");
        beside("waiting_at_the_end", observer.waiting() as f64, "events");
        let all_seen = || lock(&seen).iter().all(Option::is_some);
        let begun = clock::monotonic();
        while !all_seen() && begun.elapsed() < PATIENCE {
            clock::pause(Duration::from_millis(50));
        }
    });
    report(&sent, &lock(&seen), midnight_ms, wanted);
}

fn report(sent: &[Sent], seen: &[Option<Instant>], midnight_ms: i64, wanted: &Wanted) {
    let pairs = || sent.iter().zip(seen);
    let times = |part: &dyn Fn(&Sent) -> bool| {
        let time = |(sent, seen): (&Sent, &Option<Instant>)| {
            Some((*seen)?.duration_since(sent.at).as_secs_f64() * 1e3)
        };
        let mut times: Vec<f64> = pairs().filter(|(sent, _)| part(sent)).filter_map(time).collect();
        times.sort_by(f64::total_cmp);
        times
    };
    let all = times(&|_| true);
    let missing = sent.len() - all.len();
    let beside = |what: &str, value, unit| beside(&format!("risk_latency_p99_ms/{what}"), value, unit);
    beside("risks_waited_for", sent.len() as f64, "risks");
    assert!(missing == 0, "{missing} of {} risks were not seen within {PATIENCE:?}", sent.len());
    for (name, part) in [("risk_latency_p50_ms", 0.5), ("risk_latency_p99_ms", 0.99)] {
        if wanted.has(name) {
            tell(name, quantile(&all, part));
        }
    }
    let turning_ms = midnight_ms + LATENESS_MS;
    let before = times(&|sent: &Sent| sent.wall_ms < turning_ms);
    let turning = times(&|sent: &Sent| sent.wall_ms >= turning_ms);
    beside("p99_before_days_turn", quantile(&before, 0.99), "ms");
    if !turning.is_empty() {
        beside("p99_while_days_turn", quantile(&turning, 0.99), "ms");
    }
    beside("p90", quantile(&all, 0.9), "ms");
    beside("slowest", quantile(&all, 1.0), "ms");
}

/// An instance that has caught up with a history and knows the accounts of all probes, and its
/// midnight.
fn prepare(cluster: &Cluster, sender: &mut Sender, probes: usize, full: f64) -> (Watched, i64) {
    let loaded = load(cluster, "live", Encoding::Json, workload::until_now(HISTORY), false);
    for probe in 0..probes {
        let id = format!("{{\"id\":\"seen-{probe}\",");
        let body = r#""login":{"user_id":"u1"}}"#;
        sender.send(Kind::Login, account(probe).as_bytes(), event(&id, probe, body).as_bytes());
    }
    sender.flush();
    let catching_up_ms = (SLOWER * HISTORY as f64 / full * 1e3) as i64;
    let (midnight_ms, offset_s) = midnight_near(clock::wall_ms() + UNTIL_MIDNIGHT_MS + catching_up_ms);
    let more = format!("day_offset: {offset_s}s\n");
    let config = cluster.create(Job { name: "latency", inputs: "live", more: &more });
    let instance = Watched::start(&cluster.folder().join("latency"), &config);
    wait_for(&Observer::new(cluster, "latency", "live"), loaded.events + probes as u64, |_| ());
    instance.wait_until_live();
    (instance, midnight_ms)
}

/// A midnight at about that time, and the offset of the day that makes it one.
fn midnight_near(wall_ms: i64) -> (i64, i64) {
    // An offset of a day less a minute is the largest.
    let midnight_ms = if wall_ms % DAY_MS < MINUTE_MS { wall_ms + MINUTE_MS } else { wall_ms };
    let midnight_ms = midnight_ms / 1_000 * 1_000;
    (midnight_ms, (DAY_MS - midnight_ms % DAY_MS) / 1_000)
}

fn send_probe(sender: &mut Sender, probe: usize) -> Sent {
    // Not in step with anything that happens every so often; 50 ms in the mean.
    clock::pause(Duration::from_millis(30 + probe as u64 * 17 % 41));
    let id = format!("{{\"id\":\"probe-{probe}\",");
    let body = r#""survey":{"id":"answer-1","type":"nps","score":2,"respondent":"u1"}}"#;
    let event = event(&id, probe, body);
    let sent = Sent { at: clock::monotonic(), wall_ms: clock::wall_ms() };
    sender.send(Kind::Survey, account(probe).as_bytes(), event.as_bytes());
    sender.serve();
    sent
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn account(probe: usize) -> String {
    format!("probed-{probe:06}")
}

/// An event of the present.
fn event(id: &str, probe: usize, body: &str) -> String {
    let now = jiff::Timestamp::from_millisecond(clock::wall_ms()).expect("a time").to_string();
    format!("{id}\"account_id\":\"{}\",\"occurred_at\":\"{now}\",{body}", account(probe))
}

/// Notes when the risk of each probe can be read.
fn read_risks(cluster: &Cluster, seen: &Mutex<Vec<Option<Instant>>>, background: &Load) {
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
    while !background.is_stopped() {
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
