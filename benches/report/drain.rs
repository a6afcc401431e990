//! The same topics, read by as many members with the same client settings that drop everything:
//! what the client library and the broker allow at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use accountpulse::app::kafka_link::KafkaLink;
use accountpulse::clock;
use accountpulse::log::kafka::KafkaLog;
use accountpulse::log::{Log, LogError, Polled, RecordBatch, TopicPartition};

use crate::cluster::{Cluster, Job, PARTITIONS, all_inputs};
use crate::measure::cpu_seconds;

/// What a drain took.
#[derive(Clone, Copy, Debug)]
pub struct Drained {
    pub events: u64,
    pub seconds: f64,
    /// Of this process: the members and the library's threads.
    pub cpu_seconds: f64,
}

impl Drained {
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    pub fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds / (self.events as f64 / 1e6)
    }
}

/// What the members share.
struct Shared {
    inputs: Vec<TopicPartition>,
    total: u64,
    taken: AtomicU64,
    /// The partitions of each member.
    owned: Mutex<Vec<Vec<u32>>>,
    first: Mutex<Option<(Instant, f64)>>,
    last: Mutex<Option<(Instant, f64)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> (Instant, f64) {
    (clock::monotonic(), cpu_seconds(std::process::id()))
}

impl Shared {
    /// Whether every member has a part and together they have all.
    fn complete(&self) -> bool {
        let owned = lock(&self.owned);
        let mut all: Vec<u32> = owned.iter().flatten().copied().collect();
        all.sort_unstable();
        owned.iter().all(|part| !part.is_empty()) && all.into_iter().eq(0..PARTITIONS)
    }

    fn take(&self, records: usize) {
        let records = records as u64;
        lock(&self.first).get_or_insert_with(now);
        if self.taken.fetch_add(records, Ordering::Relaxed) + records == self.total {
            *lock(&self.last) = Some(now());
        }
    }

    fn done(&self) -> bool {
        self.taken.load(Ordering::Relaxed) >= self.total
    }
}

/// Reads all of `inputs` once.
pub fn drain(cluster: &Cluster, name: &str, inputs: &str, total: u64) -> Drained {
    let config = cluster.config(Job::new(name, inputs));
    let link = KafkaLink::open(&config).expect("a client");
    let members = cluster.workers as usize;
    let shared = Shared {
        inputs: all_inputs(&link.topics).collect(),
        total,
        taken: AtomicU64::new(0),
        owned: Mutex::new(vec![Vec::new(); members]),
        first: Mutex::default(),
        last: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for place in 0..members {
            let (link, shared) = (&link, &shared);
            scope.spawn(move || {
                let worker = u32::try_from(place).unwrap_or(0);
                member(link.cluster.member(worker).expect("a member"), shared, place);
            });
        }
    });
    let (first, last) = (lock(&shared.first).take(), lock(&shared.last).take());
    let ((first, first_cpu), (last, last_cpu)) = first.zip(last).expect("everything was read");
    Drained {
        events: total,
        seconds: last.duration_since(first).as_secs_f64(),
        cpu_seconds: last_cpu - first_cpu,
    }
}

fn member(mut log: KafkaLog, shared: &Shared, place: usize) {
    while !log.init().expect("fencing predecessors") {}
    let mut started = false;
    while !shared.done() {
        match log.poll(Duration::from_millis(20)) {
            Ok(Polled::Records(batch)) => shared.take(batch.len()),
            Ok(Polled::Assigned { partitions, .. }) => {
                assert!(!started, "the group moved during the measurement");
                lock(&shared.owned)[place] = partitions;
            }
            Ok(Polled::Revoked) => {
                assert!(!started, "the group moved during the measurement");
                lock(&shared.owned)[place].clear();
                log.unassign().expect("giving back");
            }
            Ok(Polled::Lost) => panic!("the group was lost"),
            Ok(_) | Err(LogError::Unavailable { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        if !started && shared.complete() {
            let mine = lock(&shared.owned)[place].clone();
            let of_mine = shared.inputs.iter().filter(|at| mine.contains(&at.partition));
            let from_start: Vec<_> = of_mine.map(|at| (*at, 0)).collect();
            log.assign(&from_start).expect("reading can start");
            started = true;
        }
    }
}
