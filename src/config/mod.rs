//! Configuration: one YAML file, turned from its *file shape* ([`file`]) into a checked
//! [`Config`]. Everything that is wrong is said at once, each with file, line, column, the
//! offending place and what to do next ([`error`]).
//!
//! `config defaults` prints `defaults.yaml` and the engine's own sections; a test holds that to
//! [`Config::default`] and to the file shape, so the manual cannot drift from the code.
//!
//! This room reads no files besides the configuration itself, no clock, and starts nothing.
//!
//! To add a setting: a documented field in [`file`], a `DEFAULT_` constant and a field here, its
//! check in `check.rs`, its line with a comment in `defaults.yaml`, and a wrong file named after
//! the fault in `tests/config/bad/`.

mod check;
mod check_kafka;
pub mod error;
pub mod file;
mod kafka;
mod scalar;
mod show;
mod tree;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::EngineConfig;
use crate::engine::event::Kind;

pub use crate::engine::record::OutputEncoding;
pub use check::parse_duration;
pub use error::ConfigError;
pub use kafka::{Kafka, KafkaSecurity, PasswordMechanism, SaslSettings, Secret};
pub use show::defaults_yaml;

/// The first part of the default configuration: the settings of the process.
const DEFAULTS_YAML: &str = include_str!("defaults.yaml");

/// Partitions of every topic in the embedded log. Fixed when a data directory is created.
pub const PARTITIONS: u32 = 4;

/// Default of `storage.data_dir`.
pub const DEFAULT_DATA_DIR: &str = "accountpulse-data";
/// Default of `storage.retention.events`.
pub const DEFAULT_RETENTION_EVENTS: Duration = Duration::from_secs(30 * DAY_SECS);
/// Default of `storage.retention.risks`.
pub const DEFAULT_RETENTION_RISKS: Duration = Duration::from_secs(90 * DAY_SECS);
/// Default of `storage.retention.dead_letters`.
pub const DEFAULT_RETENTION_DEAD_LETTERS: Duration = Duration::from_secs(14 * DAY_SECS);
/// Default of `topics.prefix`.
pub const DEFAULT_TOPIC_PREFIX: &str = "accountpulse";
/// Default port of `http.listen`.
pub const DEFAULT_HTTP_PORT: u16 = 9464;
/// Default of `clock.lateness`.
pub const DEFAULT_LATENESS: Duration = Duration::from_secs(5);
/// Default of `clock.skew_limit`.
pub const DEFAULT_SKEW_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Default of `privacy.person_key_file`, inside the data directory.
pub const DEFAULT_PERSON_KEY_FILE: &str = "person.key";
/// Default of `http.request_bytes`.
pub const DEFAULT_REQUEST_BYTES: u64 = 8 * 1024 * 1024;
/// Default of `http.queued_requests`.
pub const DEFAULT_QUEUED_REQUESTS: u32 = 64;
/// Default of `http.ready_lag_records`.
pub const DEFAULT_READY_LAG_RECORDS: u64 = 50_000;
/// Default of `memory.buffered_bytes`.
pub const DEFAULT_BUFFERED_BYTES: u64 = 64 * 1024 * 1024;
/// Default of `memory.fetched_bytes`.
pub const DEFAULT_FETCHED_BYTES: u64 = 32 * 1024 * 1024;
/// Default of `commit_interval`.
pub const DEFAULT_COMMIT_INTERVAL: Duration = Duration::from_millis(50);
/// Default of `checkpoint_round`.
pub const DEFAULT_CHECKPOINT_ROUND: Duration = Duration::from_secs(30);
/// Default of `log.level`.
pub const DEFAULT_LOG_LEVEL: &str = "info";

const DAY_SECS: u64 = 24 * 60 * 60;

/// A checked configuration: every value is inside its domain.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where and for how long data is kept.
    pub storage: Storage,
    /// The cluster, where the log is one.
    pub kafka: Kafka,
    /// Names of the topics.
    pub topics: Topics,
    /// The HTTP listener.
    pub http: Http,
    /// How a shard's clock moves.
    pub clock: Clock,
    /// What may wait in memory.
    pub memory: Memory,
    /// Where the key of the person pseudonyms lies. Relative paths are inside the data directory.
    pub person_key_file: PathBuf,
    /// Longest time between two commits while there is something to commit.
    pub commit_interval: Duration,
    /// Time in which every changed page is written once.
    pub checkpoint_round: Duration,
    /// Logging.
    pub log: LogSettings,
    /// What decides: scorecards, rules, limits of accounts, where the day begins.
    pub engine: Arc<EngineConfig>,
}

/// What holds the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogKind {
    /// The embedded log.
    Local,
    /// A cluster.
    Kafka,
}

/// See `storage` in `defaults.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// What holds the topics.
    pub log: LogKind,
    /// Folder of the embedded log, the state and the key file.
    pub data_dir: PathBuf,
    /// How long events are kept.
    pub retention_events: Duration,
    /// How long risk transitions are kept.
    pub retention_risks: Duration,
    /// How long dead letters are kept.
    pub retention_dead_letters: Duration,
}

/// Names of all topics, in the order in which the log numbers them.
#[derive(Clone, Debug, PartialEq)]
pub struct Topics {
    /// How scores and risks are written.
    pub output_encoding: OutputEncoding,
    /// The input topic of each event kind, in the order of [`Kind::ALL`]; several kinds may share
    /// one.
    pub inputs: [String; Kind::ALL.len()],
    /// Scores (compacted).
    pub scores: String,
    /// Risk transitions.
    pub risks: String,
    /// Refused input.
    pub dead_letters: String,
    /// Our own checkpoints (compacted).
    pub checkpoints: String,
}

impl Topics {
    /// The names with a prefix: `<prefix>.logins.v1` and so on.
    pub fn with_prefix(prefix: &str) -> Topics {
        let name = |base: &str| format!("{prefix}.{base}.v1");
        Topics {
            output_encoding: OutputEncoding::Json,
            inputs: Kind::ALL.map(|kind| name(input_base(kind))),
            scores: name("scores"),
            risks: name("risks"),
            dead_letters: name("dead-letters"),
            checkpoints: name("checkpoints"),
        }
    }

    /// Every name: inputs in kind order, then scores, risks, dead letters, checkpoints.
    pub fn all(&self) -> Vec<&str> {
        let outputs = [&self.scores, &self.risks, &self.dead_letters, &self.checkpoints];
        self.inputs.iter().chain(outputs).map(String::as_str).collect()
    }
}

/// The plural under which a kind's topic is named.
pub const fn input_base(kind: Kind) -> &'static str {
    match kind {
        Kind::Login => "logins",
        Kind::Usage => "usage",
        Kind::Ticket => "tickets",
        Kind::Invoice => "invoices",
        Kind::Survey => "surveys",
        Kind::Contact => "contacts",
        Kind::Contract => "contracts",
        Kind::Account => "accounts",
    }
}

/// See `http` in `defaults.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Largest body of one request.
    pub request_bytes: usize,
    /// Requests that may wait for their durable write before new ones get 429.
    pub queued_requests: usize,
    /// The instance is ready when at most this many records wait for the worker.
    pub ready_lag_records: u64,
}

/// What moves a shard's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// Event time, and the wall clock where silence was heard.
    Wall,
    /// Event time alone: back-fills and tests.
    Event,
}

/// See `clock` in `defaults.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Clock {
    /// What moves it.
    pub mode: ClockMode,
    /// How far it stays behind the newest event of its slowest input.
    pub lateness: Duration,
    /// How far an event may lie after the timestamp of its record.
    pub skew_limit: Duration,
}

/// See `memory` in `defaults.yaml`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Input that a worker holds and has not applied.
    pub buffered_bytes: usize,
    /// Input that the cluster's client fetches ahead of a worker.
    pub fetched_bytes: usize,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines, one object per line.
    Json,
}

/// See `log` in `defaults.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct LogSettings {
    /// How lines look.
    pub format: LogFormat,
    /// What is written: a level, or a filter such as `info,accountpulse::worker=debug`.
    pub level: String,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            kafka: Kafka::default(),
            storage: Storage {
                log: LogKind::Local,
                data_dir: PathBuf::from(DEFAULT_DATA_DIR),
                retention_events: DEFAULT_RETENTION_EVENTS,
                retention_risks: DEFAULT_RETENTION_RISKS,
                retention_dead_letters: DEFAULT_RETENTION_DEAD_LETTERS,
            },
            topics: Topics::with_prefix(DEFAULT_TOPIC_PREFIX),
            http: Http {
                listen: SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_HTTP_PORT)),
                request_bytes: DEFAULT_REQUEST_BYTES as usize,
                queued_requests: DEFAULT_QUEUED_REQUESTS as usize,
                ready_lag_records: DEFAULT_READY_LAG_RECORDS,
            },
            clock: Clock {
                mode: ClockMode::Wall,
                lateness: DEFAULT_LATENESS,
                skew_limit: DEFAULT_SKEW_LIMIT,
            },
            memory: Memory {
                buffered_bytes: DEFAULT_BUFFERED_BYTES as usize,
                fetched_bytes: DEFAULT_FETCHED_BYTES as usize,
            },
            person_key_file: PathBuf::from(DEFAULT_PERSON_KEY_FILE),
            commit_interval: DEFAULT_COMMIT_INTERVAL,
            checkpoint_round: DEFAULT_CHECKPOINT_ROUND,
            log: LogSettings { format: LogFormat::Text, level: DEFAULT_LOG_LEVEL.to_owned() },
            engine: Arc::new(EngineConfig::default()),
        }
    }
}

impl Config {
    /// Reads and checks a file; `env` answers `${NAME}`.
    pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.display().to_string(), cause })?;
        Config::parse(&path.display().to_string(), &text, env)
    }

    /// Checks the text of a file that is called `name` in messages.
    pub fn parse(
        name: &str,
        text: &str,
        env: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        let shape = file::parse(text).map_err(|finding| ConfigError::wrong(name, text, vec![finding]))?;
        check::check(&shape, text, env).map_err(|findings| ConfigError::wrong(name, text, findings))
    }

    /// Partitions of every topic.
    pub fn partitions(&self) -> u32 {
        match self.storage.log {
            LogKind::Local => PARTITIONS,
            LogKind::Kafka => self.kafka.partitions,
        }
    }

    /// The file that holds the key of the person pseudonyms.
    pub fn person_key_path(&self) -> PathBuf {
        self.storage.data_dir.join(&self.person_key_file)
    }
}
