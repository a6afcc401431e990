//! The world of one run: a broker, three members, a scheduler that decides who takes the next
//! step, and time that passes between steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use accountpulse::engine::partition::partition_of;
use accountpulse::engine::record::OutputEncoding;
use accountpulse::engine::{AccountState, EngineConfig};
use accountpulse::log::sim::{Fault, SimBroker, SimLog, SimOptions};
use accountpulse::log::{LogError, TopicId, TopicPartition};
use accountpulse::worker::{
    ClockMode, Now, PhaseName, Planted, RebuildReason, ShardState, Wake, Worker, WorkerCounts, WorkerSettings,
};

use super::disturb::Ill;
use super::faults::{Plan, install};
use super::history::{History, PARTITIONS, TOPICS};
use super::passing::Feed;
use super::published::Published;
use super::reader::{Known, Reader};
use super::rng::Rng;
use super::setup::{Bug, LATENESS_MS, MEMBERS, Mode, Traits, config, crowded, intake, newer_config, topics};

/// Steps with faults.
pub const FAULTY_STEPS: u64 = 2_500;
/// Steps within which everything must be done once faults have stopped.
const QUIET_STEPS: u64 = 20_000;

pub struct Seat {
    pub worker: Option<Worker<SimLog>>,
    /// Not before this step is it started again.
    pub back_at: u64,
    pub frozen_until: u64,
    /// It has the newer config.
    pub newer: bool,
    /// What its process knows of config epochs.
    pub known_epochs: BTreeMap<u32, u64>,
    /// Changes with every worker.
    pub instance: u64,
}

/// A process that was replaced and does not know.
pub struct Zombie {
    pub worker: Worker<SimLog>,
    /// Nothing was left to read when it was replaced.
    pub only_timers: bool,
}

pub struct World {
    pub broker: SimBroker,
    pub traits: Traits,
    pub history: &'static History,
    seed: u64,
    pub rng: Rng,
    plan: Arc<Mutex<Plan>>,
    reader: Arc<Mutex<Reader>>,
    pub published: Published,
    pub seats: Vec<Seat>,
    pub zombies: Vec<Zombie>,
    pub ills: Vec<(u64, Ill)>,
    /// The middle member sleeps as soon as it has given back its shard.
    pub sleepy: bool,
    /// Nothing is appended for its shard before this step.
    pub sleep_until: u64,
    pub feeds: Vec<Feed>,
    /// How late it is; the wall clock may be wrong.
    pub true_ms: i64,
    pub skew_ms: i64,
    pub step: u64,
    pub start_ms: i64,
    pub until_ms: i64,
    bug: Option<Bug>,
    lateness_ms: i64,
    calls: Arc<AtomicU64>,
    /// By producer and epoch, the step at which its transaction was first seen open.
    pub open_since: BTreeMap<(String, u64), u64>,
    /// Steps it took after faults had stopped.
    pub quiet_steps: u64,
    pub counts: WorkerCounts,
    pub trace: String,
}

impl World {
    pub fn new(
        seed: u64,
        traits: Traits,
        history: &'static History,
        known: Option<Arc<Known>>,
        bug: Option<Bug>,
    ) -> Self {
        let mut options = SimOptions::new(topics());
        options.seed = Some(seed);
        options.poll_records = traits.poll_records;
        options.buffer_records = traits.buffer_records;
        options.auto_markers = traits.auto_markers;
        if let Some(Bug::Client(weakness)) = bug {
            options.weakness = Some(weakness);
        }
        let broker = SimBroker::new(options);
        let reader = Arc::new(Mutex::new(Reader::new(known)));
        let plan = Arc::new(Mutex::new(Plan::new(seed, &traits, Arc::clone(&reader))));
        install(&broker, &plan);
        let seat = || Seat {
            worker: None,
            back_at: 0,
            frozen_until: 0,
            newer: false,
            known_epochs: BTreeMap::new(),
            instance: 0,
        };
        let places = (0..TOPICS.len()).flat_map(|topic| (0..PARTITIONS).map(move |p| (topic, p)));
        let feeds = places.map(|(topic, partition)| Feed {
            at: TopicPartition { topic: TopicId(topic as u16), partition },
            next: 0,
            closed: false,
        });
        let by_wall = traits.mode == Mode::Wall;
        World {
            broker,
            history,
            seed,
            rng: Rng::new(seed),
            plan,
            reader,
            published: Published::default(),
            seats: MEMBERS.iter().map(|_| seat()).collect(),
            zombies: Vec::new(),
            ills: Vec::new(),
            sleepy: false,
            sleep_until: 0,
            feeds: feeds.collect(),
            true_ms: if by_wall { history.start_ms } else { history.until_ms },
            skew_ms: 0,
            step: 0,
            start_ms: history.start_ms,
            until_ms: history.until_ms,
            bug,
            lateness_ms: LATENESS_MS,
            calls: Arc::new(AtomicU64::new(0)),
            open_since: BTreeMap::new(),
            quiet_steps: 0,
            counts: WorkerCounts::default(),
            trace: String::new(),
            traits,
        }
    }

    /// A world without faults and with one member: the uninterrupted run.
    pub fn quiet(seed: u64, mode: Mode, history: &'static History) -> Self {
        World::quiet_with(seed, mode, history, None)
    }

    /// The same with a bug.
    pub fn quiet_with(seed: u64, mode: Mode, history: &'static History, bug: Option<Bug>) -> Self {
        let mut world = World::new(seed, Traits::quiet(mode), history, None, bug);
        world.seats.truncate(1);
        world.crash_at(&[]);
        world
    }

    /// Crashes the member that makes one of these calls, instead of every other fault; counts calls.
    pub fn crash_at(&mut self, indices: &[u64]) {
        let (calls, indices) = (Arc::clone(&self.calls), indices.to_vec());
        self.broker.set_hook(Box::new(move |site| {
            calls.fetch_max(site.index + 1, Ordering::Relaxed);
            if indices.contains(&site.index) { Fault::Crash } else { Fault::None }
        }));
    }

    /// How many calls the members have made.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    pub fn set_lateness(&mut self, ms: i64) {
        self.lateness_ms = ms;
    }

    pub fn count(&self, kind: &'static str) {
        self.plan.lock().unwrap().count(kind);
    }

    pub fn deafen(&self, seat: usize) {
        self.plan.lock().unwrap().deafen(MEMBERS[seat]);
    }

    /// Which faults fired, and which were seen to have had an effect.
    pub fn fired(&self) -> BTreeMap<&'static str, u64> {
        let mut fired = self.plan.lock().unwrap().fired.clone();
        let counts = self.broker.counts();
        let seen = [
            ("late EndTxn in the next transaction", counts.late_into_next),
            ("stale generation", counts.stale_generations),
            ("open transaction below committed records", counts.committed_behind_open),
            ("overlapping rebalance", counts.overlapping_rebalances),
            ("rebalance with an incomplete rectangle", counts.incomplete_assignments),
            ("tombstone compacted away", counts.tombstones_purged),
            ("records withheld", counts.withheld),
        ];
        fired.extend(seen.into_iter().filter(|(_, times)| *times > 0));
        fired
    }

    pub fn reader(&self) -> Arc<Mutex<Reader>> {
        Arc::clone(&self.reader)
    }

    /// The committed reader reads on.
    pub fn read(&self) -> Result<(), String> {
        let mut plan = self.plan.lock().unwrap();
        match plan.found.take() {
            Some(found) => Err(found),
            None => self.reader.lock().unwrap().read(&self.broker),
        }
    }

    pub fn now(&self) -> Now {
        Now { wall_ms: self.true_ms + self.skew_ms }
    }

    fn settings(&self, seat: usize) -> WorkerSettings {
        let clock = match self.traits.mode {
            Mode::Event => ClockMode::Event { lateness_ms: self.lateness_ms },
            Mode::Wall => ClockMode::Wall { lateness_ms: self.lateness_ms },
        };
        let mut settings = crowded(self.seed, &self.traits, clock);
        settings.until_ms = (self.traits.mode == Mode::Event).then_some(self.until_ms);
        // What is promised does not depend on the encoding, and it may change at any restart.
        let encodings = [OutputEncoding::Json, OutputEncoding::Protobuf];
        settings.output_encoding = encodings[((self.seed + self.step) % 2) as usize];
        // Nor on the size of page parts, so that some become superfluous.
        settings.page_split_bytes = [90, 300, 1_000][((self.seed + self.step) % 3) as usize];
        settings.known_epochs = self.seats[seat].known_epochs.clone();
        if let Some(Bug::Worker(which)) = self.bug {
            settings.planted = Planted::new(which);
        }
        settings
    }

    fn config(&self, seat: usize) -> Arc<EngineConfig> {
        if self.seats[seat].newer { newer_config(self.traits.mode) } else { config() }
    }

    fn start(&mut self, seat: usize) {
        let log = self.broker.member(MEMBERS[seat]);
        let worker = Worker::new(log, self.settings(seat), self.config(seat), intake());
        self.seats[seat].worker = Some(worker.unwrap());
        self.seats[seat].instance += 1;
    }

    /// Runs with faults for a while, then without until everything is done.
    pub fn run(&mut self) -> Result<(), String> {
        // By the wall clock nothing is told of what happened before the first look.
        while self.traits.mode == Mode::Wall && !self.has_begun() {
            self.broker.deliver_markers();
            self.turn()?;
            if self.step > QUIET_STEPS {
                return Err(format!("the shards do not begin: {}", self.describe()));
            }
        }
        self.plan.lock().unwrap().on = self.traits.ppm > 0;
        let end = self.step + FAULTY_STEPS;
        while self.step < end && !self.is_complete() {
            if self.traits.ppm > 0 {
                self.disturb();
            }
            self.turn()?;
        }
        self.calm();
        let calm_at = self.step;
        self.finish(Self::is_complete, "no progress")?;
        self.restart_all(true)?;
        self.restart_all(false)?;
        self.finish(|world| world.published.is_all() && world.all_live(), "a score is not published")?;
        self.quiet_steps = self.step - calm_at;
        self.read()
    }

    fn finish(&mut self, done: impl Fn(&Self) -> bool, otherwise: &str) -> Result<(), String> {
        let limit = self.step + QUIET_STEPS;
        loop {
            self.turn()?;
            if done(self) {
                return Ok(());
            }
            if self.step > limit {
                return Err(format!("{otherwise} within {QUIET_STEPS} steps: {}", self.describe()));
            }
        }
    }

    fn calm(&mut self) {
        self.plan.lock().unwrap().on = false;
        (self.sleepy, self.sleep_until) = (false, 0);
        self.zombies.clear();
        self.heal(true);
        self.broker.set_auto_markers(true);
        self.broker.deliver_markers();
        self.seats.iter_mut().for_each(|seat| seat.frozen_until = 0);
        for index in 0..self.seats.len() {
            if self.traits.roll_from.is_some() && !self.seats[index].newer {
                self.upgrade(index);
            }
        }
        self.note("calm");
    }

    /// One clean recovery of everything at the end.
    fn restart_all(&mut self, audit: bool) -> Result<(), String> {
        self.traits.audit = audit;
        for seat in &mut self.seats {
            (seat.worker, seat.back_at) = (None, self.step);
            seat.known_epochs.clear();
        }
        self.published.forget();
        self.finish(Self::all_live, "the last recovery does not end")
    }

    fn all_live(&self) -> bool {
        let live = self.seats.iter().filter_map(|seat| seat.worker.as_ref()).map(Worker::status);
        live.filter(|status| status.phase == PhaseName::Live).map(|s| s.shards.len()).sum::<usize>()
            == PARTITIONS as usize
    }

    /// Time passes and one member takes a step.
    fn turn(&mut self) -> Result<(), String> {
        self.step += 1;
        self.pass_time();
        self.end_old_transactions();
        if self.step.is_multiple_of(8) {
            self.read()?;
        }
        if self.step.is_multiple_of(96) {
            self.look_at_scores()?;
        }
        let index = self.rng.below(self.seats.len() as u64) as usize;
        if self.step < self.seats[index].frozen_until {
            return Ok(());
        }
        let now = self.now();
        let Some(worker) = self.seats[index].worker.as_mut() else {
            if self.step >= self.seats[index].back_at {
                self.start(index);
            }
            return Ok(());
        };
        let wake = worker.step(now);
        let counts = worker.take_counts();
        if counts.consumed_total() != counts.fates_total() {
            return Err(format!("consumed {} but fates {}", counts.consumed_total(), counts.fates_total()));
        }
        if counts.commits > 0 || counts.restores > 0 {
            let WorkerCounts { commits, scores, transitions, pages, markers, restores, .. } = counts;
            self.note(&format!(
                "{} commits {commits} scores {scores} transitions {transitions} pages {pages} \
                 markers {markers} restores {restores}",
                MEMBERS[index]
            ));
        }
        let refused = counts.refused > 0;
        self.counts.add(counts);
        if let Wake::Rebuild { reason } = wake {
            self.rebuild(index, &reason)?;
        } else if refused {
            self.refused(index)?;
        }
        Ok(())
    }

    fn rebuild(&mut self, index: usize, reason: &RebuildReason) -> Result<(), String> {
        self.note(&format!("{} rebuilds: {reason}", MEMBERS[index]));
        match reason {
            RebuildReason::CommitTimeout { .. } => self.count("watchdog in commit"),
            RebuildReason::RestoreStalled { .. } => self.count("watchdog in restore"),
            RebuildReason::Standstill { .. } if self.may_stand_still() => self.count("standstill noticed"),
            RebuildReason::Standstill { .. } => return Err(format!("nothing was withheld: {reason}")),
            _ => {}
        }
        let crashed = matches!(reason, RebuildReason::Log(LogError::Store { .. }));
        let seat = &mut self.seats[index];
        if let Some(worker) = seat.worker.take() {
            seat.known_epochs = worker.config_epochs().clone();
        }
        if crashed {
            // The process is gone, and with it what it knew.
            seat.known_epochs.clear();
        }
        seat.back_at = self.step + self.rng.below(60);
        let rolling = self.traits.roll_from.is_some_and(|from| self.step + 200 > from);
        if crashed && rolling && !self.seats[index].newer {
            self.seats[index].newer = true;
            self.count("config changed before recovery");
        }
        if self.rng.below(3) == 0 {
            self.seats[index].back_at += 100 + self.rng.below(900);
            self.broker.expire_session(MEMBERS[index]);
        }
        Ok(())
    }

    /// Whether a client kept records to itself. By the wall clock hours pass while one does not hear
    /// that its session is over, and hears nothing else.
    fn may_stand_still(&self) -> bool {
        let deaf = self.fired().contains_key("late notice of a lost session");
        self.broker.counts().withheld > 0 || (self.traits.mode == Mode::Wall && deaf)
    }

    /// What may be refused: a partition that some topic lacks, and a config that was replaced, in
    /// which case the operator starts that process again.
    fn refused(&mut self, index: usize) -> Result<(), String> {
        let Some(worker) = &self.seats[index].worker else { return Ok(()) };
        let status = worker.status();
        let mut replaced = false;
        for shard in status.shards {
            let ShardState::Refused { sentence } = shard.state else { continue };
            if status.ready {
                return Err(format!("ready in spite of a refused shard: {sentence}"));
            }
            match sentence {
                s if s.contains("not every input topic has partition") => {}
                s if s.contains("this process runs an old config") => replaced = true,
                sentence => return Err(format!("refused: {sentence}")),
            }
        }
        if replaced {
            self.count("old config gave way");
            self.upgrade(index);
        }
        Ok(())
    }

    /// Holds the scores told to the scores that are.
    fn look_at_scores(&mut self) -> Result<(), String> {
        let now_ms = self.now().wall_ms;
        let reader = self.reader.lock().unwrap();
        for seat in &mut self.seats {
            let Some(worker) = seat.worker.as_mut() else { continue };
            let status = worker.status();
            if status.phase != PhaseName::Live {
                continue;
            }
            for shard in status.shards {
                if !reader.is_abreast(&self.broker, shard.partition) {
                    continue;
                }
                let ours =
                    |account: &&String| partition_of(account.as_bytes(), PARTITIONS) == shard.partition;
                for account in self.history.accounts.iter().filter(ours) {
                    let Some(state) = worker.account(account) else { continue };
                    let told = reader.scores.get(account);
                    self.published.look(account, &state, told, (seat.instance, shard.commit), now_ms)?;
                }
            }
        }
        Ok(())
    }

    /// An account as some live worker has it.
    pub fn account(&mut self, account: &str) -> Option<AccountState> {
        self.seats.iter_mut().filter_map(|seat| seat.worker.as_mut()).find_map(|w| w.account(account))
    }

    fn note(&mut self, text: &str) {
        let wall_ms = self.now().wall_ms;
        let _ = writeln!(self.trace, "{:6} {:6} {text}", self.step, wall_ms - self.until_ms);
    }

    fn describe(&self) -> String {
        let workers = self.seats.iter().map(|seat| seat.worker.as_ref().map(Worker::status));
        let brief = workers.map(|status| {
            let status = status?;
            let shards = status.shards.iter().map(|s| (s.partition, s.commit, s.clock_ms, s.buffered));
            Some((status.phase, status.restored, shards.collect::<Vec<_>>()))
        });
        let brief: Vec<_> = brief.collect();
        format!("{brief:?}, open transactions {:?}", self.broker.open_transactions())
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // The hook holds the broker and the broker the hook.
        self.broker.clear_hook();
    }
}
