//! The world of one run: a broker, three members, a scheduler that decides who takes the next
//! step, and time that passes between steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use accountpulse::engine::EngineConfig;
use accountpulse::engine::event::{Encoding, Intake, PersonKey};
use accountpulse::engine::record::OutputEncoding;
use accountpulse::engine::time::DurationMs;
use accountpulse::log::sim::{Fault, SimBroker, SimLog, SimOptions, SimTopic};
use accountpulse::log::{TopicId, TopicPartition};
use accountpulse::worker::format::{Key, ShardRecord, decode};
use accountpulse::worker::{
    Break, ClockMode, InputTopic, Now, OutputTopics, PhaseName, ShardState, Wake, Worker, WorkerCounts,
    WorkerSettings,
};

use super::faults::{Plan, install};
use super::history::{History, PARTITIONS, TOPICS};
use super::rng::Rng;

pub const MEMBERS: [&str; 3] = ["w0", "w1", "w2"];
pub const SCORES: TopicId = TopicId(2);
pub const RISKS: TopicId = TopicId(3);
pub const DEAD_LETTERS: TopicId = TopicId(4);
pub const CHECKPOINTS: TopicId = TopicId(5);

/// Steps with faults.
const FAULTY_STEPS: u64 = 2_500;
/// Steps within which everything must be done once faults have stopped.
const QUIET_STEPS: u64 = 60_000;
/// A transaction open for longer is ended by the broker, in wall milliseconds; by seed.
const TRANSACTION_TIMEOUTS_MS: [i64; 3] = [200, 800, 2_000];
const LATENESS_MS: i64 = 3_600_000;

pub struct Seat {
    worker: Option<Worker<SimLog>>,
    /// Not before this step is it started again.
    back_at: u64,
    frozen_until: u64,
}

pub struct World {
    pub broker: SimBroker,
    seed: u64,
    rng: Rng,
    plan: Arc<Mutex<Plan>>,
    seats: Vec<Seat>,
    zombies: Vec<Worker<SimLog>>,
    wall_ms: i64,
    step: u64,
    until_ms: i64,
    planted: Option<Break>,
    audit: bool,
    lateness_ms: i64,
    calls: Arc<AtomicU64>,
    open_since: BTreeMap<(String, u64), i64>,
    pub counts: WorkerCounts,
    pub trace: String,
}

pub fn config() -> Arc<EngineConfig> {
    let mut config = EngineConfig::default();
    config.rules.inactivity.after_days = 5;
    config.rules.inactivity.min_active_days = 3;
    config.rules.late_payment.grace = DurationMs::days(2);
    config.rules.late_payment.high_after_days = 6;
    config.rules.late_payment.critical_after_days = 12;
    Arc::new(config)
}

pub fn topics() -> Vec<SimTopic> {
    let topic = |name: &str, compacted, input| SimTopic {
        name: name.to_owned(),
        partitions: PARTITIONS,
        compacted,
        input,
    };
    vec![
        topic(TOPICS[0], false, true),
        topic(TOPICS[1], false, true),
        topic("scores.v1", true, false),
        topic("risks.v1", false, false),
        topic("dead-letters.v1", false, false),
        topic("checkpoints.v1", true, false),
    ]
}

pub fn settings(clock: ClockMode) -> WorkerSettings {
    let input = |topic: u16| InputTopic {
        topic: TopicId(topic),
        name: TOPICS[usize::from(topic)].to_owned(),
        encoding: Encoding::Auto,
    };
    let outputs =
        OutputTopics { scores: SCORES, risks: RISKS, dead_letters: DEAD_LETTERS, checkpoints: CHECKPOINTS };
    WorkerSettings::new(vec![input(0), input(1)], outputs, PARTITIONS, clock)
}

pub fn intake() -> Intake {
    Intake { person_key: PersonKey::new([7; 16]), skew_ms: 60_000, partitions: PARTITIONS }
}

impl World {
    pub fn new(seed: u64, history: &History, planted: Option<Break>) -> Self {
        let mut rng = Rng::new(seed);
        let mut options = SimOptions::new(topics());
        options.seed = Some(seed);
        options.poll_records = 1 + rng.below(6) as usize;
        options.auto_markers = seed % 4 != 1;
        let broker = SimBroker::new(options);
        append(&broker, history);
        let plan = Arc::new(Mutex::new(Plan::new(seed)));
        install(&broker, &plan);
        let seats = MEMBERS.iter().map(|_| Seat { worker: None, back_at: 0, frozen_until: 0 }).collect();
        World {
            broker,
            seed,
            rng,
            plan,
            seats,
            zombies: Vec::new(),
            wall_ms: history.until_ms,
            step: 0,
            until_ms: history.until_ms,
            planted,
            audit: seed.is_multiple_of(2),
            lateness_ms: LATENESS_MS,
            calls: Arc::new(AtomicU64::new(0)),
            open_since: BTreeMap::new(),
            counts: WorkerCounts::default(),
            trace: String::new(),
        }
    }

    /// A world without faults and with one member: the uninterrupted run.
    pub fn quiet(seed: u64, history: &History) -> Self {
        let mut world = World::new(seed, history, None);
        world.seats.truncate(1);
        world.broker.set_auto_markers(true);
        world.crash_at(u64::MAX);
        world
    }

    /// Crashes the member that makes this call, instead of every other fault; counts calls.
    pub fn crash_at(&mut self, index: u64) {
        let calls = Arc::clone(&self.calls);
        self.broker.set_hook(Box::new(move |site| {
            calls.fetch_max(site.index + 1, Ordering::Relaxed);
            if site.index == index { Fault::Crash } else { Fault::None }
        }));
    }

    /// How many calls the members have made.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn set_lateness(&mut self, ms: i64) {
        self.lateness_ms = ms;
    }

    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        self.plan.lock().unwrap().fired.clone()
    }

    fn settings(&self) -> WorkerSettings {
        let mut settings = settings(ClockMode::Event { lateness_ms: self.lateness_ms });
        settings.until_ms = Some(self.until_ms);
        settings.poll_wait = Duration::ZERO;
        settings.commit_interval_ms = 8;
        settings.heartbeat_ms = 60;
        settings.round_ms = 40 + (self.seed % 5) as i64 * 40;
        settings.max_effects = 2 + (self.seed % 7) as usize;
        settings.page_bytes_per_commit = 1 + (self.seed % 3) as usize * 1_500;
        settings.page_split_bytes = 300;
        settings.max_buffered_records = 8;
        settings.read_bytes = 600;
        settings.commit_timeout_ms = 1_000;
        settings.restore_stall_ms = 2_500;
        settings.retry_ms = 3;
        settings.audit_restores = self.audit;
        // What is promised does not depend on the encoding, and it may change at any restart.
        let encodings = [OutputEncoding::Json, OutputEncoding::Protobuf];
        settings.output_encoding = encodings[((self.seed + self.step) % 2) as usize];
        settings.planted = self.planted;
        settings
    }

    fn start(&self, seat: usize) -> Worker<SimLog> {
        Worker::new(self.broker.member(MEMBERS[seat]), self.settings(), config(), intake()).unwrap()
    }

    /// Runs with faults for a while, then without until everything is done.
    pub fn run(&mut self) -> Result<(), String> {
        while self.step < FAULTY_STEPS && !self.is_complete() {
            self.disturb();
            self.turn()?;
        }
        self.calm();
        let limit = self.step + QUIET_STEPS;
        while !self.is_complete() {
            if self.step > limit {
                return Err(format!("no progress within {QUIET_STEPS} steps: {}", self.describe()));
            }
            self.turn()?;
        }
        self.restart_all()
    }

    fn calm(&mut self) {
        self.plan.lock().unwrap().on = false;
        self.zombies.clear();
        self.broker.set_auto_markers(true);
        self.broker.deliver_markers();
        self.seats.iter_mut().for_each(|seat| seat.frozen_until = 0);
        self.note("calm");
    }

    /// One clean recovery of everything at the end.
    fn restart_all(&mut self) -> Result<(), String> {
        self.audit = true;
        let limit = self.step + QUIET_STEPS;
        self.seats.iter_mut().for_each(|seat| seat.worker = None);
        for seat in &mut self.seats {
            seat.back_at = self.step;
        }
        while !self.all_live() {
            if self.step > limit {
                return Err(format!("the last recovery does not end: {}", self.describe()));
            }
            self.turn()?;
        }
        Ok(())
    }

    fn all_live(&self) -> bool {
        let live = self.seats.iter().filter_map(|seat| seat.worker.as_ref()).map(Worker::status);
        live.filter(|status| status.phase == PhaseName::Live).map(|s| s.shards.len()).sum::<usize>()
            == PARTITIONS as usize
    }

    /// What the scheduler does beside letting workers step.
    fn disturb(&mut self) {
        let seat = self.rng.below(self.seats.len() as u64) as usize;
        match self.rng.below(600) {
            0 => self.seats[seat].frozen_until = self.step + 150,
            1 => {
                // Paused for longer than its session: another member takes over meanwhile.
                self.seats[seat].frozen_until = self.step + 300;
                self.plan.lock().unwrap().count("session expired");
                self.broker.expire_session(MEMBERS[seat]);
            }
            2 => {
                // A second process with the same name; the first does not know yet.
                if let Some(worker) = self.seats[seat].worker.take() {
                    self.plan.lock().unwrap().count("zombie");
                    self.zombies.push(worker);
                }
            }
            _ => {}
        }
        let pending = self.broker.pending_markers();
        if !pending.is_empty() && self.rng.below(3) == 0 {
            let marker = self.rng.pick(&pending).clone();
            self.broker.deliver_marker(&marker);
        }
        if !self.zombies.is_empty() && self.rng.below(3) == 0 {
            let index = self.rng.below(self.zombies.len() as u64) as usize;
            if let Wake::Rebuild { .. } = self.zombies[index].step(Now { wall_ms: self.wall_ms }) {
                self.zombies.swap_remove(index);
            }
        }
    }

    /// Time passes and one member takes a step.
    fn turn(&mut self) -> Result<(), String> {
        self.step += 1;
        self.wall_ms += self.rng.below(4) as i64;
        self.end_old_transactions();
        let index = self.rng.below(self.seats.len() as u64) as usize;
        if self.step < self.seats[index].frozen_until {
            return Ok(());
        }
        if self.seats[index].worker.is_none() {
            if self.step >= self.seats[index].back_at {
                self.seats[index].worker = Some(self.start(index));
            }
            return Ok(());
        }
        let Some(worker) = self.seats[index].worker.as_mut() else { return Ok(()) };
        let wake = worker.step(Now { wall_ms: self.wall_ms });
        let counts = worker.take_counts();
        if counts.consumed_total() != counts.fates_total() {
            return Err(format!("consumed {} but fates {}", counts.consumed_total(), counts.fates_total()));
        }
        if counts.refused > 0 {
            let shards = worker.status().shards;
            let sentence = shards.into_iter().find_map(|shard| match shard.state {
                ShardState::Refused { sentence } => Some(sentence),
                ShardState::Live => None,
            });
            return Err(format!("refused: {}", sentence.unwrap_or_default()));
        }
        if counts.commits > 0 || counts.restores > 0 {
            self.note(&format!("{} {counts:?}", MEMBERS[index]));
        }
        self.counts.add(counts);
        if let Wake::Rebuild { reason } = wake {
            self.note(&format!("{} rebuilds: {reason}", MEMBERS[index]));
            self.seats[index].worker = None;
            self.seats[index].back_at = self.step + self.rng.below(60);
            if self.rng.below(3) == 0 {
                self.seats[index].back_at += 100 + self.rng.below(900);
                self.broker.expire_session(MEMBERS[index]);
            }
        }
        Ok(())
    }

    /// The broker's transaction timeout.
    fn end_old_transactions(&mut self) {
        if !self.step.is_multiple_of(16) {
            return;
        }
        let timeout_ms = TRANSACTION_TIMEOUTS_MS[(self.seed / 2) as usize % TRANSACTION_TIMEOUTS_MS.len()];
        let mut open = BTreeMap::new();
        for transaction in self.broker.open_transactions() {
            let key = (transaction.producer.clone(), transaction.epoch);
            let since = self.open_since.get(&key).copied().unwrap_or(self.wall_ms);
            if transaction.outcome.is_none() && self.wall_ms - since > timeout_ms {
                self.plan.lock().unwrap().count("transaction timeout");
                self.broker.expire_transaction(&transaction.producer);
            }
            open.insert(key, since);
        }
        self.open_since = open;
    }

    /// Every shard's record says that time has passed to the end.
    pub fn is_complete(&self) -> bool {
        if !self.step.is_multiple_of(64) || !self.seems_complete() {
            return false;
        }
        let mut clocks: BTreeMap<u32, i64> = BTreeMap::new();
        for record in self.broker.committed_records(CHECKPOINTS) {
            let TopicPartition { partition, .. } = record.at;
            let key = Key::parse(record.record.key.as_deref().unwrap_or_default(), partition);
            if key == Some(Key::Shard) {
                let value = record.record.value.unwrap_or_default();
                if let Ok(record) = decode::<ShardRecord>(&value) {
                    clocks.insert(partition, record.clock_ms.unwrap_or(i64::MIN));
                }
            }
        }
        clocks.len() == PARTITIONS as usize && clocks.values().all(|clock| *clock >= self.until_ms)
    }

    /// A cheap look first: some worker's clock has come to the end.
    fn seems_complete(&self) -> bool {
        let workers = self.seats.iter().filter_map(|seat| seat.worker.as_ref());
        let mut clocks = workers.flat_map(|worker| worker.status().shards).map(|shard| shard.clock_ms);
        clocks.any(|clock| clock >= Some(self.until_ms))
    }

    /// An account as some live worker has it.
    pub fn account(&mut self, account: &str) -> Option<accountpulse::engine::AccountState> {
        self.seats.iter_mut().filter_map(|seat| seat.worker.as_mut()).find_map(|w| w.account(account))
    }

    fn note(&mut self, text: &str) {
        let _ = writeln!(self.trace, "{:6} {:6} {text}", self.step, self.wall_ms - self.until_ms);
    }

    fn describe(&self) -> String {
        let status = self.seats.iter().map(|seat| seat.worker.as_ref().map(Worker::status));
        let status: Vec<_> = status
            .map(|status| {
                status.map(|s| {
                    let shards: Vec<_> =
                        s.shards.iter().map(|s| (s.partition, s.commit, s.clock_ms, s.buffered)).collect();
                    (s.phase, s.restored, shards)
                })
            })
            .collect();
        format!("{status:?}, open transactions {:?}", self.broker.open_transactions())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The hook holds the broker and the broker the hook.
        self.broker.clear_hook();
    }
}

fn append(broker: &SimBroker, history: &History) {
    for (topic, partitions) in history.records.iter().enumerate() {
        for (partition, records) in partitions.iter().enumerate() {
            let at = TopicPartition { topic: TopicId(topic as u16), partition: partition as u32 };
            for record in records {
                broker.append(at, record.clone()).unwrap();
            }
            broker.close_input(at).unwrap();
        }
    }
}
