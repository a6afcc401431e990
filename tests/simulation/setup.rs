//! What every world is made of: topics, settings, configurations, and what a seed decides.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use accountpulse::engine::EngineConfig;
use accountpulse::engine::event::{Encoding, Intake, PersonKey};
use accountpulse::engine::time::{DAY_MS, DurationMs};
use accountpulse::log::TopicId;
use accountpulse::log::sim::{SimTopic, Weakness};
use accountpulse::worker::{Break, ClockMode, InputTopic, OutputTopics, WorkerSettings};

use super::history::{PARTITIONS, TOPICS};
use super::rng::Rng;

pub const MEMBERS: [&str; 3] = ["w0", "w1", "w2"];
pub const SCORES: TopicId = TopicId(2);
pub const RISKS: TopicId = TopicId(3);
pub const DEAD_LETTERS: TopicId = TopicId(4);
pub const CHECKPOINTS: TopicId = TopicId(5);
pub const LATENESS_MS: i64 = 3_600_000;
/// The rule that the newer config switches off by the wall clock.
pub const MUTABLE_RULE: &str = "sla_breach";

/// Which clock the workers go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Event,
    Wall,
}

/// A bug put in on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// In the worker.
    Worker(Break),
    /// In its client of the log.
    Client(Weakness),
}

/// What the seed decides about a run as a whole.
#[derive(Clone, Debug)]
pub struct Traits {
    pub mode: Mode,
    pub history: u64,
    /// Crashes and damaged checkpoints, little else.
    pub damage_only: bool,
    /// Recoveries evaluate everything and refuse when something comes out.
    pub audit: bool,
    /// Markers of transactions are delivered at once.
    pub auto_markers: bool,
    /// A topic whose records come late, by the event clock.
    pub lagging: Option<usize>,
    /// A new config is rolled out from this step on.
    pub roll_from: Option<u64>,
    /// Records an output buffer holds.
    pub buffer_records: usize,
    pub poll_records: usize,
    /// Steps after which the broker ends an open transaction.
    pub transaction_steps: u64,
    /// Ticks per million calls at which a fault is drawn.
    pub ppm: u64,
    /// Patience of the watchdogs, in wall milliseconds.
    pub patience_ms: i64,
}

impl Traits {
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x7a17);
        let wall = rng.below(4) == 0;
        Traits {
            mode: if wall { Mode::Wall } else { Mode::Event },
            history: rng.below(super::HISTORIES),
            damage_only: rng.below(4) == 0,
            audit: rng.below(2) == 0,
            auto_markers: rng.below(4) != 0,
            lagging: (!wall && rng.below(4) == 0).then(|| rng.below(2) as usize),
            roll_from: (rng.below(4) == 0).then(|| 200 + rng.below(800)),
            buffer_records: *rng.pick(&[2, 5, 1_000, 1_000]),
            poll_records: 1 + rng.below(6) as usize,
            transaction_steps: *rng.pick(&[130, 500, 1_300]),
            ppm: *rng.pick(&[2_000, 6_000, 15_000]),
            patience_ms: *rng.pick(&[500, 1_000, 2_500]),
        }
    }

    /// A run in which nothing happens.
    pub fn quiet(mode: Mode) -> Self {
        Traits {
            mode,
            history: 0,
            damage_only: false,
            audit: true,
            auto_markers: true,
            lagging: None,
            roll_from: None,
            buffer_records: 1_000,
            poll_records: 4,
            transaction_steps: 1_000_000,
            ppm: 0,
            patience_ms: 10_000_000,
        }
    }
}

/// The config at the beginning.
pub fn config() -> Arc<EngineConfig> {
    let mut config = EngineConfig::default();
    config.rules.inactivity.after_days = 5;
    config.rules.inactivity.min_active_days = 3;
    config.rules.late_payment.grace = DurationMs::days(2);
    config.rules.late_payment.high_after_days = 6;
    config.rules.late_payment.critical_after_days = 12;
    Arc::new(config)
}

/// The config that replaces it. By the event clock it decides alike (there are no contracts), so
/// that it must tell nothing; by the wall clock it switches a rule off.
pub fn newer_config(mode: Mode) -> Arc<EngineConfig> {
    let mut config = EngineConfig::clone(&config());
    match mode {
        Mode::Event => config.rules.renewal_at_risk.within_days += 1,
        Mode::Wall => config.rules.sla_breach.enabled = false,
    }
    Arc::new(config)
}

/// Versions of all configs there are.
pub static VERSIONS: LazyLock<[String; 3]> = LazyLock::new(|| {
    [config().version(), newer_config(Mode::Event).version(), newer_config(Mode::Wall).version()]
});

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

/// Settings that make everything happen often: few effects per commit, small pages, short rounds.
pub fn crowded(seed: u64, traits: &Traits, clock: ClockMode) -> WorkerSettings {
    let mut settings = settings(clock);
    settings.poll_wait = Duration::ZERO;
    settings.commit_interval_ms = 8;
    settings.heartbeat_ms = 60;
    settings.round_ms = 40 + (seed % 5) as i64 * 40;
    settings.max_effects = 2 + (seed % 7) as usize;
    settings.page_bytes_per_commit = 1 + (seed % 3) as usize * 1_500;
    settings.max_buffered_records = 8;
    if seed.is_multiple_of(2) {
        // Some records: while one input of a merge is missing, others rest.
        settings.max_buffered_bytes = 4_000;
    }
    settings.read_bytes = if traits.ppm > 0 { 600 } else { 2_400 };
    settings.commit_timeout_ms = traits.patience_ms;
    settings.restore_stall_ms = traits.patience_ms * 2;
    settings.retry_ms = 3;
    // Longer than a member does not hear that its session is over, though the clock jump meanwhile.
    settings.standstill_ms = 4_000;
    settings.audit_restores = traits.audit;
    if traits.mode == Mode::Wall {
        // Hours pass between two steps.
        settings.read_bytes = 4_000;
        // Scores that rest for their second take room as well.
        settings.max_effects += 8;
        settings.commit_timeout_ms = 3 * DAY_MS;
        settings.restore_stall_ms = 6 * DAY_MS;
        settings.standstill_ms = 6_000;
    }
    settings
}

pub fn intake() -> Intake {
    Intake { person_key: PersonKey::new([7; 16]), skew_ms: 60_000, partitions: PARTITIONS }
}
