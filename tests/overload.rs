//! Under overload memory stays within its bound: what a worker holds of its input is limited by
//! bytes, the log keeps the rest, and nothing is lost, reordered or waited for in vain because of it.
//!
//! Its own test target, because a counting allocator counts for the whole process.

#![allow(unsafe_code, reason = "an allocator cannot be written without")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use accountpulse::engine::EngineConfig;
use accountpulse::engine::event::{Encoding, Intake, Kind, PersonKey};
use accountpulse::log::sim::{Call, Fault, SimBroker, SimLog, SimOptions, SimRecord, SimTopic};
use accountpulse::log::{RECORD_BYTES, TopicId, TopicPartition};
use accountpulse::simulate::{Workload, WorkloadOptions};
use accountpulse::worker::{
    ClockMode, InputTopic, Now, OutputTopics, Wake, Worker, WorkerCounts, WorkerSettings,
};
use serde_json::Value;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system's allocator; counting touches a constant-initialised atomic.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The tests measure the whole process: one at a time.
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

const BUSY: TopicId = TopicId(0);
const QUIET: TopicId = TopicId(1);
const SCORES: TopicId = TopicId(2);
const RISKS: TopicId = TopicId(3);
const LIMIT_BYTES: usize = 256 * 1024;
const EVENTS: u64 = 15_000;
/// Records of one answer of the log.
const BATCH: usize = 256;
/// Bytes of a long header.
const HEADER: usize = 4_096;
/// About the most that one of them weighs.
const RECORD_MOST: usize = 600;
const MOST_STEPS: u32 = 2_000_000;

struct Bench {
    broker: SimBroker,
    worker: Worker<SimLog>,
    counts: WorkerCounts,
    wall_ms: i64,
    /// Most that was buffered after any step.
    most: usize,
    /// Whether an input ever rested.
    rested: bool,
    /// Steps since a commit last landed.
    steps_idle: u32,
}

impl Bench {
    fn new(clock: ClockMode, limit_bytes: usize) -> Bench {
        let topic = |name: &str, compacted, input| SimTopic {
            name: name.to_owned(),
            partitions: 1,
            compacted,
            input,
        };
        let mut options = SimOptions::new(vec![
            topic("busy.v1", false, true),
            topic("quiet.v1", false, true),
            topic("scores.v1", true, false),
            topic("risks.v1", false, false),
            topic("dead-letters.v1", false, false),
            topic("checkpoints.v1", true, false),
        ]);
        options.poll_records = BATCH;
        let broker = SimBroker::new(options);
        let input = |topic: TopicId, name: &str| InputTopic {
            topic,
            name: name.to_owned(),
            encoding: Encoding::Auto,
        };
        let outputs =
            OutputTopics { scores: SCORES, risks: RISKS, dead_letters: TopicId(4), checkpoints: TopicId(5) };
        let inputs = vec![input(BUSY, "busy.v1"), input(QUIET, "quiet.v1")];
        let mut settings = WorkerSettings::new(inputs, outputs, 1, clock);
        settings.poll_wait = Duration::ZERO;
        settings.max_buffered_bytes = limit_bytes;
        let intake = Intake { person_key: PersonKey::new([7; 16]), skew_ms: i64::MAX / 4, partitions: 1 };
        let config = Arc::new(EngineConfig::default());
        let worker = Worker::new(broker.member("w"), settings, config, intake).unwrap();
        Bench {
            broker,
            worker,
            counts: WorkerCounts::default(),
            wall_ms: 0,
            most: 0,
            rested: false,
            steps_idle: 0,
        }
    }

    fn append(&self, event: &Event) {
        self.append_with(event, Vec::new());
    }

    fn append_with(&self, event: &Event, headers: Vec<(String, Vec<u8>)>) {
        let at = TopicPartition { topic: event.topic, partition: 0 };
        let record = SimRecord { headers, ..SimRecord::new(event.at_ms, &event.account, &event.json) };
        self.broker.append(at, record).unwrap();
    }

    fn close(&self) {
        for topic in [BUSY, QUIET] {
            self.broker.close_input(TopicPartition { topic, partition: 0 }).unwrap();
        }
    }

    fn step(&mut self) {
        self.wall_ms += 1;
        let wake = self.worker.step(Now { wall_ms: self.wall_ms });
        assert!(!matches!(wake, Wake::Rebuild { .. }), "{wake:?}");
        let counts = self.worker.take_counts();
        self.steps_idle = if counts.commits > 0 { 0 } else { self.steps_idle + 1 };
        self.counts.add(counts);
        for shard in self.worker.status().shards {
            self.most = self.most.max(shard.buffered_bytes);
            self.rested |= shard.resting > 0;
        }
    }

    fn run_until(&mut self, events: u64) {
        for _ in 0..MOST_STEPS {
            if self.counts.consumed_total() >= events {
                return;
            }
            self.step();
        }
        panic!("{} of {events} events after {MOST_STEPS} steps", self.counts.consumed_total());
    }

    /// Until the clock has come to the newest event and everything is told.
    fn finish(&mut self, newest_ms: i64) {
        for _ in 0..MOST_STEPS {
            self.wall_ms += 1_000;
            self.step();
            let shards = self.worker.status().shards;
            if shards.iter().all(|shard| shard.clock_ms >= Some(newest_ms)) && self.steps_idle > 50 {
                return;
            }
        }
        panic!("the clock does not come to the end");
    }

    /// The transitions, and the last score of every account; where commits fall decides which
    /// scores come before it and which causes it names.
    fn told(&self) -> (Vec<Value>, BTreeMap<Vec<u8>, [Value; 3]>) {
        let value = |record: &SimRecord| -> Value {
            serde_json::from_slice(record.value.as_deref().unwrap_or_default()).unwrap()
        };
        let risks = self.broker.committed_records(RISKS).into_iter().map(|found| value(&found.record));
        let score = |record: SimRecord| {
            let value = value(&record);
            let last = ["score", "band", "coverage"].map(|field| value[field].clone());
            (record.key.unwrap_or_default(), last)
        };
        let scores = self.broker.committed_records(SCORES).into_iter().map(|found| score(found.record));
        (risks.collect(), scores.collect())
    }
}

struct Event {
    topic: TopicId,
    at_ms: i64,
    account: Vec<u8>,
    json: Vec<u8>,
}

/// The workload; surveys, two of a hundred, are the quiet topic.
fn events() -> Vec<Event> {
    let mut options = WorkloadOptions::new(5, EVENTS);
    options.accounts = 300;
    let mut workload = Workload::new(options);
    let mut all = Vec::new();
    loop {
        let (mut json, mut account) = (Vec::new(), Vec::new());
        let Some(event) = workload.next_into(&mut json) else { return all };
        Workload::push_account_id(event.account, &mut account);
        let topic = if event.kind == Kind::Survey { QUIET } else { BUSY };
        assert!(json.len() + account.len() + RECORD_BYTES < RECORD_MOST);
        all.push(Event { topic, at_ms: event.at_ms, account, json });
    }
}

fn live_bytes() -> usize {
    LIVE.load(Ordering::Relaxed)
}

/// Steps until a worker that lacks an input has all it takes; what it allocated for that.
fn wait_for_the_missing(bench: &mut Bench) -> usize {
    // Live, with nothing read: the rest is what the worker itself needs.
    let (mut same, mut before, base) = (0, usize::MAX, live_bytes());
    while same < 500 {
        bench.step();
        let buffered = bench.worker.status().shards.iter().map(|shard| shard.buffered).sum();
        same = if buffered == before { same + 1 } else { 0 };
        before = buffered;
    }
    assert_eq!(bench.counts.consumed_total(), 0, "nothing may be applied before the missing input speaks");
    live_bytes().saturating_sub(base)
}

#[test]
fn a_merge_that_waits_for_an_input_holds_no_more_than_its_limit() {
    let _alone = ALONE.lock();
    let events = events();
    let allocated = |limit_bytes| {
        let mut bench = Bench::new(ClockMode::Event { lateness_ms: 0 }, limit_bytes);
        let busy = events.iter().filter(|event| event.topic == BUSY);
        busy.for_each(|event| bench.append(event));
        let allocated = wait_for_the_missing(&mut bench);
        (bench, allocated)
    };
    let most = LIMIT_BYTES + BATCH * RECORD_MOST;
    let (mut bounded, small) = allocated(LIMIT_BYTES);
    assert!(bounded.rested && bounded.most <= most, "{} bytes are buffered", bounded.most);
    // What a record weighs is an estimate; its copy must not weigh much more.
    assert!(small < most * 3 / 2, "{small} bytes are allocated, the limit is {LIMIT_BYTES}");
    // That this can fail: without the limit the whole topic comes into memory.
    let (mut unbounded, _) = allocated(usize::MAX);
    assert!(unbounded.most > 10 * most, "{} bytes are buffered without a limit", unbounded.most);

    let newest_ms = events.last().unwrap().at_ms;
    for bench in [&mut bounded, &mut unbounded] {
        let quiet = events.iter().filter(|event| event.topic == QUIET);
        quiet.for_each(|event| bench.append(event));
        bench.close();
        bench.run_until(EVENTS);
        bench.finish(newest_ms);
    }
    assert!(bounded.most <= most, "{} bytes were buffered", bounded.most);
    assert_eq!(bounded.told(), unbounded.told(), "the limit changes what is told");
}

#[test]
fn headers_count_like_everything_else() {
    let _alone = ALONE.lock();
    let mut bench = Bench::new(ClockMode::Event { lateness_ms: 0 }, LIMIT_BYTES);
    for event in events().iter().filter(|event| event.topic == BUSY).take(2_000) {
        bench.append_with(event, vec![("trace".to_owned(), vec![b'x'; HEADER])]);
    }
    let allocated = wait_for_the_missing(&mut bench);
    assert!(bench.rested && allocated > 10 * HEADER, "{allocated} bytes are allocated");
    assert!(allocated < bench.most * 3 / 2, "{allocated} bytes are allocated, {} are counted", bench.most);
    assert!(bench.most <= LIMIT_BYTES + BATCH * (RECORD_MOST + HEADER), "{} bytes are counted", bench.most);
}

#[test]
fn a_merge_of_unequal_inputs_comes_through_within_its_limit() {
    let _alone = ALONE.lock();
    let events = events();
    let run = |limit_bytes| {
        let mut bench = Bench::new(ClockMode::Event { lateness_ms: 0 }, limit_bytes);
        events.iter().for_each(|event| bench.append(event));
        bench.close();
        bench.run_until(EVENTS);
        bench.finish(events.last().unwrap().at_ms);
        bench
    };
    // The smallest of limits: a batch is more than all of it.
    let (tight, free) = (run(BATCH * RECORD_MOST / 4), run(usize::MAX));
    assert!(tight.rested && !free.rested);
    assert!(tight.most <= BATCH * RECORD_MOST * 5 / 4, "{} bytes were buffered", tight.most);
    assert_eq!(tight.told(), free.told(), "the limit changes what is told");
}

#[test]
fn a_burst_into_a_slow_log_waits_in_the_log() {
    let _alone = ALONE.lock();
    let events = events();
    let mut bench = Bench::new(ClockMode::Wall { lateness_ms: 0 }, LIMIT_BYTES);
    bench.wall_ms = events[0].at_ms;
    // Every commit takes a thousand calls more than it should.
    let mut slowed = false;
    bench.broker.set_hook(Box::new(move |site| {
        slowed = site.call == Call::Drain && !slowed;
        if slowed { Fault::Slow(1_000) } else { Fault::None }
    }));
    let (usual, burst) = events.split_at(EVENTS as usize / 11);
    for (usual, burst) in usual.iter().zip(burst.chunks(10)) {
        bench.append(usual);
        burst.iter().for_each(|event| bench.append(event));
        bench.step();
    }
    let waiting = EVENTS - bench.counts.consumed_total();
    assert!(waiting > EVENTS / 2, "the log was not slow enough to matter: {waiting} events wait");
    bench.run_until(EVENTS - EVENTS % 11);
    let most = LIMIT_BYTES + BATCH * RECORD_MOST;
    assert!(bench.most <= most, "{} bytes were buffered", bench.most);
    bench.broker.clear_hook();
}
