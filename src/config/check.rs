//! File shape → [`Config`]. Every value is checked even when an earlier one was wrong, so one
//! run names everything there is to repair.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::Finding;
use super::file::{File, HttpFile, MemoryFile, NamesFile, did_you_mean};
use super::scalar::{Leaf, interpolate};
use super::show::show_duration;
use super::tree;
use super::{
    Clock, ClockMode, Config, Http, LogFormat, LogKind, LogSettings, Memory, OutputEncoding, PARTITIONS,
    Storage, Topics,
};
use crate::engine::EngineConfig;
use crate::engine::event::Kind;
use crate::engine::time::DurationMs;

/// Longest name of a topic (Kafka's limit).
const TOPIC_NAME_MAX: usize = 249;

/// A domain for durations: both ends are allowed.
pub(super) struct Range {
    pub min: Duration,
    pub max: Duration,
    pub default: &'static str,
}

pub(super) const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
const DAY: u64 = 24 * 60 * 60;
const RETENTION: Range = Range { min: secs(60 * 60), max: secs(3650 * DAY), default: "30d" };
const LATENESS: Range = Range { min: secs(0), max: secs(DAY), default: "5s" };
const SKEW: Range = Range { min: secs(1), max: secs(DAY), default: "10m" };
const COMMIT: Range = Range { min: Duration::from_millis(1), max: secs(5), default: "50ms" };
const DAY_OFFSET: Range = Range { min: secs(0), max: secs(DAY - 60), default: "0s" };
const ROUND: Range = Range { min: secs(1), max: secs(60 * 60), default: "30s" };

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Collects what is wrong while values are read.
pub(super) struct Checker<'a> {
    env: Env<'a>,
    findings: Vec<Finding>,
}

/// The checked configuration, or everything that is wrong with it.
pub fn check(file: &File, text: &str, env: Env<'_>) -> Result<Config, Vec<Finding>> {
    let mut c = Checker { env, findings: Vec::new() };
    let default = Config::default();
    let storage = c.storage(file, &default.storage);
    let topics = c.topics(file);
    let config = Config {
        kafka: c.kafka(&file.kafka, default.kafka.clone()),
        storage,
        topics,
        http: c.http(&file.http, &default.http),
        clock: Clock {
            mode: c.one_of(
                &file.clock.mode,
                "clock.mode",
                &[("wall", ClockMode::Wall), ("event", ClockMode::Event)],
                default.clock.mode,
            ),
            lateness: c.duration(&file.clock.lateness, "clock.lateness", &LATENESS, default.clock.lateness),
            skew_limit: c.duration(
                &file.clock.skew_limit,
                "clock.skew_limit",
                &SKEW,
                default.clock.skew_limit,
            ),
        },
        memory: c.memory(&file.memory, default.memory),
        person_key_file: c.path(
            &file.privacy.person_key_file,
            "privacy.person_key_file",
            default.person_key_file,
        ),
        commit_interval: c.duration(
            &file.commit_interval,
            "commit_interval",
            &COMMIT,
            default.commit_interval,
        ),
        checkpoint_round: c.duration(
            &file.checkpoint_round,
            "checkpoint_round",
            &ROUND,
            default.checkpoint_round,
        ),
        log: c.log(file, &default.log),
        engine: c.engine(file, text),
    };
    c.whole(file, &config);
    if c.findings.is_empty() {
        return Ok(config);
    }
    c.findings.sort_by_key(|finding| (finding.line, finding.column));
    Err(c.findings)
}

impl Checker<'_> {
    /// What only several settings together can get wrong.
    fn whole(&mut self, file: &File, config: &Config) {
        let Some(leaf) = &file.storage.log else { return };
        if config.storage.log == LogKind::Kafka && config.kafka.instance.is_none() {
            let message = "`kafka.instance` is missing".to_owned();
            let help = "give this process a name that it keeps over restarts and that no other has, \
                        such as `instance: ${HOSTNAME}`";
            self.wrong(leaf, message, help);
        }
    }

    pub(super) fn wrong(&mut self, leaf: &Leaf, message: String, help: impl Into<String>) {
        self.findings.push(Finding::at(leaf.referenced, message, help.into()));
    }

    /// The text of a leaf with variables replaced; `None` when absent or wrong.
    pub(super) fn text<'l>(&mut self, leaf: &'l Option<Leaf>, key: &str) -> Option<(&'l Leaf, String)> {
        let leaf = leaf.as_ref()?;
        match interpolate(&leaf.value.0, self.env) {
            Ok(text) if text.is_empty() => {
                let help = "give it a value, or remove the key to take the default";
                self.wrong(leaf, format!("`{key}` is empty"), help);
                None
            }
            Ok(text) => Some((leaf, text)),
            Err(sentence) => {
                self.wrong(leaf, format!("`{key}`: {sentence}"), "variables are replaced in values only");
                None
            }
        }
    }

    fn path(&mut self, leaf: &Option<Leaf>, key: &str, default: PathBuf) -> PathBuf {
        self.text(leaf, key).map_or(default, |(_, text)| PathBuf::from(text))
    }

    pub(super) fn duration(
        &mut self,
        leaf: &Option<Leaf>,
        key: &str,
        range: &Range,
        default: Duration,
    ) -> Duration {
        let Some((leaf, text)) = self.text(leaf, key) else { return default };
        let Some(value) = parse_duration(&text) else {
            let message = format!("`{key}`: `{text}` is not a duration");
            let help = format!("write a number with its unit, such as `{}`", range.default);
            self.wrong(leaf, message, help);
            return default;
        };
        if value < range.min || value > range.max {
            let message = format!("`{key}`: `{text}` is outside its range");
            let help = format!(
                "take {} to {}; the default is {}",
                show_duration(range.min),
                show_duration(range.max),
                range.default
            );
            self.wrong(leaf, message, help);
            return default;
        }
        value
    }

    pub(super) fn number(&mut self, leaf: &Option<Leaf>, key: &str, range: (u64, u64), default: u64) -> u64 {
        let Some((leaf, text)) = self.text(leaf, key) else { return default };
        match text.parse::<u64>() {
            Ok(value) if (range.0..=range.1).contains(&value) => value,
            _ => {
                let message = format!("`{key}`: `{text}` is not a whole number in its range");
                let help = format!("take {} to {}; the default is {default}", range.0, range.1);
                self.wrong(leaf, message, help);
                default
            }
        }
    }

    pub(super) fn one_of<T: Copy>(
        &mut self,
        leaf: &Option<Leaf>,
        key: &str,
        known: &[(&str, T)],
        default: T,
    ) -> T {
        let Some((leaf, text)) = self.text(leaf, key) else { return default };
        if let Some((_, value)) = known.iter().find(|(name, _)| *name == text) {
            return *value;
        }
        let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        self.wrong(leaf, format!("`{key}`: `{text}` is not known"), did_you_mean(&text, &names));
        default
    }

    fn listen(&mut self, leaf: &Option<Leaf>, default: SocketAddr) -> SocketAddr {
        let Some((leaf, text)) = self.text(leaf, "http.listen") else { return default };
        let Ok(address) = text.parse::<SocketAddr>() else {
            let message = format!("`http.listen`: `{text}` is not an address with a port");
            self.wrong(leaf, message, format!("write it like `{default}`"));
            return default;
        };
        if !address.ip().is_loopback() {
            let message = format!("`http.listen`: {} can be reached from other machines", address.ip());
            let help = "there is no authentication yet, so only loopback (127.0.0.1 or [::1]) is \
                        allowed; put a proxy that authenticates in front";
            self.wrong(leaf, message, help);
            return default;
        }
        address
    }

    fn storage(&mut self, file: &File, default: &Storage) -> Storage {
        let key = "storage.partitions";
        let of_file = &file.storage.partitions;
        let partitions = self.text(of_file, key);
        if let Some((leaf, text)) = partitions.filter(|(_, text)| *text != PARTITIONS.to_string()) {
            let message = format!("`{key}`: the embedded log has {PARTITIONS} partitions, not {text}");
            self.wrong(leaf, message, "remove the key: the number is fixed; on Kafka set `kafka.partitions`");
        }
        let kinds = [("local", LogKind::Local), ("kafka", LogKind::Kafka)];
        let kept = &file.storage.retention;
        Storage {
            log: self.one_of(&file.storage.log, "storage.log", &kinds, default.log),
            data_dir: self.path(&file.storage.data_dir, "storage.data_dir", default.data_dir.clone()),
            retention_events: self.duration(
                &kept.events,
                "storage.retention.events",
                &RETENTION,
                default.retention_events,
            ),
            retention_risks: self.duration(
                &kept.risks,
                "storage.retention.risks",
                &RETENTION,
                default.retention_risks,
            ),
            retention_dead_letters: self.duration(
                &kept.dead_letters,
                "storage.retention.dead_letters",
                &RETENTION,
                default.retention_dead_letters,
            ),
        }
    }

    fn http(&mut self, file: &HttpFile, default: &Http) -> Http {
        /// A request must hold at least one event of the largest size, and fit into one append of the
        /// log with keys and headers.
        const REQUEST: (u64, u64) = (1024 * 1024, 32 * 1024 * 1024);
        const QUEUED: (u64, u64) = (1, 4096);
        const LAG: (u64, u64) = (0, u64::MAX);
        let request = default.request_bytes as u64;
        let queued = default.queued_requests as u64;
        let lag = default.ready_lag_records;
        Http {
            listen: self.listen(&file.listen, default.listen),
            request_bytes: self.number(&file.request_bytes, "http.request_bytes", REQUEST, request) as usize,
            queued_requests: self.number(&file.queued_requests, "http.queued_requests", QUEUED, queued)
                as usize,
            ready_lag_records: self.number(&file.ready_lag_records, "http.ready_lag_records", LAG, lag),
        }
    }

    fn memory(&mut self, file: &MemoryFile, default: Memory) -> Memory {
        const BUFFERED: (u64, u64) = (1024 * 1024, 16 * 1024 * 1024 * 1024);
        /// Half of it is one answer of a broker, which must have room for the largest record.
        const FETCHED: (u64, u64) = (4 * 1024 * 1024, 1024 * 1024 * 1024);
        let (buffered, fetched) = (default.buffered_bytes as u64, default.fetched_bytes as u64);
        Memory {
            buffered_bytes: self.number(&file.buffered_bytes, "memory.buffered_bytes", BUFFERED, buffered)
                as usize,
            fetched_bytes: self.number(&file.fetched_bytes, "memory.fetched_bytes", FETCHED, fetched)
                as usize,
        }
    }

    /// The engine's own sections: it says what is wrong, the tree says where.
    fn engine(&mut self, file: &File, text: &str) -> Arc<EngineConfig> {
        let default = EngineConfig::default();
        let offset = self.duration(&file.day_offset, "day_offset", &DAY_OFFSET, secs(0));
        let engine = EngineConfig {
            day_offset: DurationMs(i64::try_from(offset.as_millis()).unwrap_or(i64::MAX)),
            limits: file.limits.clone(),
            scoring: file.scoring.clone().unwrap_or(default.scoring),
            rules: file.rules.clone(),
        };
        let problems = engine.problems();
        if !problems.is_empty() {
            let tree = tree::parse(text);
            for (path, sentence) in problems {
                let help = "`accountpulse config defaults` shows the default and what it means".to_owned();
                self.findings.push(Finding::at(tree.locate(&path), format!("`{path}`: {sentence}"), help));
            }
        }
        Arc::new(engine)
    }

    fn log(&mut self, file: &File, default: &LogSettings) -> LogSettings {
        let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
        let format = self.one_of(&file.log.format, "log.format", &formats, default.format);
        let mut level = default.level.clone();
        if let Some((leaf, text)) = self.text(&file.log.level, "log.level") {
            match text.parse::<tracing_subscriber::EnvFilter>() {
                Ok(_) if is_filter(&text) => level = text,
                _ => self.wrong(
                    leaf,
                    format!("`log.level`: `{text}` is neither a level nor a filter"),
                    "write error, warn, info, debug or trace, or a filter like \
                     `info,accountpulse::worker=debug`",
                ),
            }
        }
        LogSettings { format, level }
    }

    fn topics(&mut self, file: &File) -> Topics {
        let mut prefix = super::DEFAULT_TOPIC_PREFIX.to_owned();
        if let Some((leaf, text)) = self.text(&file.topics.prefix, "topics.prefix") {
            match topic_fault(&text) {
                None => prefix = text,
                Some(fault) => {
                    let help = format!("the default is `{prefix}`");
                    self.wrong(leaf, format!("`topics.prefix`: {fault}"), help);
                }
            }
        }
        let mut topics = Topics::with_prefix(&prefix);
        let encodings = [("json", OutputEncoding::Json), ("protobuf", OutputEncoding::Protobuf)];
        topics.output_encoding = self.one_of(
            &file.topics.output_encoding,
            "topics.output_encoding",
            &encodings,
            topics.output_encoding,
        );
        self.topic_names(&file.topics.names, &mut topics);
        topics
    }

    /// Applies the names that were given. Input topics may carry several kinds; an output shares
    /// its name with nothing.
    fn topic_names(&mut self, names: &NamesFile, topics: &mut Topics) {
        let Topics { inputs, scores, risks, dead_letters, checkpoints, .. } = topics;
        let [logins, usage, tickets, invoices, surveys, contacts, contracts, accounts] = inputs;
        let mut slots = [
            ("logins", &names.logins, logins),
            ("usage", &names.usage, usage),
            ("tickets", &names.tickets, tickets),
            ("invoices", &names.invoices, invoices),
            ("surveys", &names.surveys, surveys),
            ("contacts", &names.contacts, contacts),
            ("contracts", &names.contracts, contracts),
            ("accounts", &names.accounts, accounts),
            ("scores", &names.scores, scores),
            ("risks", &names.risks, risks),
            ("dead_letters", &names.dead_letters, dead_letters),
            ("checkpoints", &names.checkpoints, checkpoints),
        ];
        for (key, leaf, slot) in &mut slots {
            let Some((leaf, text)) = self.text(leaf, &format!("topics.names.{key}")) else { continue };
            match topic_fault(&text) {
                Some(fault) => {
                    let message = format!("`topics.names.{key}`: {fault}");
                    self.wrong(leaf, message, format!("the default is `{slot}`"));
                }
                None => **slot = text,
            }
        }
        for (index, (key, leaf, name)) in slots.iter().enumerate() {
            let twin = slots
                .iter()
                .enumerate()
                .find(|(i, (.., other))| *i != index && other == name && (*i).max(index) >= Kind::ALL.len());
            if let (Some(leaf), Some((_, (other, ..)))) = (leaf, twin) {
                let message = format!("`topics.names.{key}`: `{name}` is also the topic of `{other}`");
                self.wrong(leaf, message, "give each output its own name");
            }
        }
    }
}

/// Why a text cannot be (the beginning of) a topic name.
fn topic_fault(text: &str) -> Option<String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if text.len() > TOPIC_NAME_MAX {
        return Some(format!("longer than {TOPIC_NAME_MAX} characters"));
    }
    let wrong = text.chars().find(|c| !allowed(*c))?;
    Some(format!("`{wrong}` is not allowed in a topic name (a-z, 0-9, `.`, `_`, `-`)"))
}

/// Whether every directive has a known level: the filter parser takes any word for a target.
fn is_filter(text: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |level: &str| LEVELS.contains(&level.to_ascii_lowercase().as_str());
    text.split(',').all(|directive| match directive.rsplit_once('=') {
        Some((_, level)) => known(level),
        None => known(directive),
    })
}

/// A duration such as `5m`, `1h 30m` or `14d` (a day has 24 hours); the same in every section.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let millis = DurationMs::parse(text).ok()?.0;
    Some(Duration::from_millis(millis.unsigned_abs()))
}
