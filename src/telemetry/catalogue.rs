//! Every metric there is, in one place: name, type, labels, help and when to expect it non-zero.

use crate::engine::event::{Kind, Reason};

use super::exporter::Names;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Type {
    /// Only grows; starts at 0 with the process.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Cumulative buckets with these upper bounds, in seconds.
    Histogram(&'static [f64]),
}

/// A label with its closed set of values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Label {
    /// Configured names of the input topics.
    Topic,
    /// Partition number.
    Partition,
    /// Kind of event.
    EventType,
    /// Reason code of a refusal.
    Reason,
    /// Band of the score.
    Band,
    /// Rule key.
    Rule,
    /// Severity of a risk.
    Severity,
    /// What happened to a risk.
    Transition,
    /// Route of an HTTP request, as written in the router.
    Route,
    /// HTTP method.
    Method,
    /// HTTP status code.
    Status,
    /// Outcome of a commit.
    Result,
    /// Why a worker was built again.
    Cause,
    /// Facts about the build; one series.
    Build,
}

/// Bands, best first; `unknown` while too little is known to score.
pub const BANDS: [&str; 4] = ["healthy", "watch", "at_risk", "unknown"];
/// Outcomes of a commit.
pub const COMMIT_RESULTS: [&str; 4] = ["committed", "aborted", "indefinite", "fenced"];
/// Why a worker was built again.
pub const REBUILD_CAUSES: [&str; 8] = [
    "log",
    "unclear",
    "fenced",
    "commit_timeout",
    "restore_stalled",
    "restore_restarts",
    "prepare",
    "standstill",
];
/// Event type of a record that could not be decoded.
pub const UNDECODABLE: &str = "undecodable";

impl Label {
    /// The label's names: one, except for the build.
    pub const fn names(self) -> &'static [&'static str] {
        match self {
            Label::Topic => &["topic"],
            Label::Partition => &["partition"],
            Label::EventType => &["event_type"],
            Label::Reason => &["reason"],
            Label::Band => &["band"],
            Label::Rule => &["rule"],
            Label::Severity => &["severity"],
            Label::Transition => &["transition"],
            Label::Route => &["route"],
            Label::Method => &["method"],
            Label::Status => &["status"],
            Label::Result => &["result"],
            Label::Cause => &["cause"],
            Label::Build => &["version", "rustversion"],
        }
    }

    /// The values to register with 0; `None` when they show themselves only in use.
    pub fn values(self, names: &Names) -> Option<Vec<String>> {
        let owned = |values: &[&str]| Some(values.iter().map(|v| (*v).to_owned()).collect());
        match self {
            Label::Topic => Some(names.topics.clone()),
            Label::Partition => Some((0..names.partitions).map(|p| p.to_string()).collect()),
            Label::EventType => {
                let kinds = Kind::ALL.map(Kind::name);
                owned(&[&kinds[..], &[UNDECODABLE]].concat())
            }
            Label::Reason => owned(&Reason::ALL.map(Reason::code)),
            Label::Band => owned(&BANDS),
            Label::Rule => Some(names.rules.clone()),
            Label::Severity => Some(names.severities.clone()),
            Label::Transition => Some(names.transitions.clone()),
            Label::Result => owned(&COMMIT_RESULTS),
            Label::Cause => owned(&REBUILD_CAUSES),
            Label::Route | Label::Method | Label::Status | Label::Build => None,
        }
    }
}

/// One metric.
#[derive(Debug, PartialEq)]
pub struct Metric {
    /// Full name.
    pub name: &'static str,
    /// What it is.
    pub kind: Type,
    /// Its labels.
    pub labels: &'static [Label],
    /// What it counts; HELP in the exposition.
    pub help: &'static str,
    /// When it is expected to be other than 0.
    pub non_zero: &'static str,
}

/// From a commit that waited for nothing to a stalled disk.
const COMMIT_BUCKETS: &[f64] = &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
/// Around the promise: 99 % below 100 ms.
const FRESHNESS_BUCKETS: &[f64] =
    &[0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Requests that wait for a durable write.
const HTTP_BUCKETS: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0];

/// Declares metrics as constants and lists them all, so that none can be left out of the list.
macro_rules! catalogue {
    ($($(#[$doc:meta])* $constant:ident = $name:literal, $kind:expr, [$($label:ident),*],
       $help:literal, $non_zero:literal;)*) => {
        $($(#[$doc])*
        #[doc = $help]
        pub const $constant: Metric = Metric {
            name: concat!("accountpulse_", $name),
            kind: $kind,
            labels: &[$(Label::$label),*],
            help: $help,
            non_zero: $non_zero,
        };)*
        /// Every metric, in the order of the manual.
        pub const ALL: &[Metric] = &[$($constant),*];
    };
}

use Type::{Counter, Gauge, Histogram};

catalogue! {
    BUILD_INFO = "build_info", Gauge, [Build],
        "A metric with the constant value 1, labelled with version and compiler of this binary.", "Always 1.";
    READY = "ready", Gauge, [],
        "Whether this instance is ready: configured, assigned, restored and caught up.",
        "1 in normal work; 0 while restoring, catching up or stopping.";
    EVENTS_CONSUMED = "events_consumed_total", Counter, [Topic, EventType],
        "Input records whose handling was committed.",
        "Whenever producers write. Equals the sum of applied, duplicate, late, superseded, limited and rejected.";
    EVENTS_APPLIED = "events_applied_total", Counter, [],
        "Events that changed facts about an account.", "Whenever producers write.";
    EVENTS_DUPLICATE = "events_duplicate_total", Counter, [],
        "Events that had been seen before and changed nothing.", "After producers retried; harmless.";
    EVENTS_LATE = "events_late_total", Counter, [],
        "Counts older than the duplicate horizon of their partition, put aside as dead letters.",
        "After a producer was away for longer than the horizon.";
    EVENTS_SUPERSEDED = "events_superseded_total", Counter, [],
        "States of an entity that were older than the state already known.",
        "When updates of one entity arrive out of order; harmless.";
    EVENTS_LIMITED = "events_limited_total", Counter, [],
        "Events that a limit of their account left no room for.",
        "When an account holds more entities or users than its limits allow.";
    EVENTS_REJECTED = "events_rejected_total", Counter, [Reason],
        "Input records that were refused and written to the dead-letter topic.",
        "When a producer sends something wrong; read the dead letters for the sentence.";
    EVENTS_REPLAYED = "events_replayed_total", Counter, [],
        "Input records read again, without effects, to restore state.",
        "After a start or a takeover; not part of the consumed records.";
    RECORDS_WAITING = "records_waiting", Gauge, [Topic, Partition],
        "Input records that were appended and not yet handled by a commit.",
        "Briefly under load; growth means that the worker cannot keep up or is held.";
    BUFFERED_BYTES = "buffered_bytes", Gauge, [],
        "Memory that input holds which workers took from the log and did not apply, about.",
        "Briefly under load; at most `memory.buffered_bytes` per worker, and near it while an input is waited for.";
    ACCOUNTS = "accounts", Gauge, [Band],
        "Accounts by band of their score.", "As soon as accounts are known.";
    SCORES_PUBLISHED = "scores_published_total", Counter, [],
        "Score records committed to the scores topic.", "Whenever scores change.";
    RISKS_PUBLISHED = "risks_published_total", Counter, [Rule, Severity, Transition],
        "Risk transitions committed to the risks topic.", "When risks start, change or end.";
    RISKS_FIRING = "risks_firing", Gauge, [Rule],
        "Risks that fire now.", "While customers are at risk.";
    EVENT_TO_RISK = "event_to_risk_seconds", Histogram(FRESHNESS_BUCKETS), [],
        "Time from the event or deadline that moved a risk to the commit of the transition; at most 1024 a second are sampled.",
        "With every risk that starts, changes or ends while live; history that is loaded is left out.";
    CLOCK_DELAY = "clock_delay_seconds", Gauge, [Partition],
        "How far the clock of a shard is behind the wall clock.",
        "Always a little (lateness); growth means that an input is silent or not caught up.";
    COMMITS = "commits_total", Counter, [Result],
        "Transactions by outcome.", "`committed` always; others after faults of the log.";
    COMMIT_SECONDS = "commit_seconds", Histogram(COMMIT_BUCKETS), [],
        "Duration of one commit, from begin to durable.", "With every commit.";
    CHECKPOINT_AGE = "checkpoint_age_seconds", Gauge, [Partition],
        "Time since the last round of checkpoint pages of a shard was closed.",
        "Up to a little more than checkpoint_round; growth makes recovery longer.";
    CHECKPOINT_ROUNDS = "checkpoint_rounds_total", Counter, [],
        "Closed rounds of checkpoint pages, all shards together.", "While state changes.";
    CHECKPOINT_BYTES = "checkpoint_bytes_total", Counter, [],
        "Compressed bytes of checkpoint pages written.", "While state changes.";
    RESTORE_SECONDS = "restore_seconds", Gauge, [],
        "Duration of the last restore of state, all shards together.", "After a start that found data.";
    SHARDS_REFUSED = "shards_refused", Gauge, [],
        "Shards that cannot be served because their state does not fit; the log says why.",
        "After a change that needs a migration, or damage.";
    REBUILDS = "worker_rebuilds_total", Counter, [Cause],
        "Times the worker dropped its state and started again from the last commit.",
        "After faults of the log; often means something is wrong below. `standstill`: the log did not deliver what it has.";
    SWEPT = "transactions_swept_total", Counter, [],
        "Transactions that the brokers had lost sight of, ended so that recovery could go on.",
        "After a broker was killed in the middle of a commit, if it has the only copy of a partition.";
    BREAKER_OPEN = "breaker_open", Gauge, [Topic, Partition],
        "Whether an input partition is held because nearly all of it is refused.",
        "1 after an upstream deploy turned a topic bad, until it is repaired.";
    HEARTBEAT = "worker_last_step_timestamp_seconds", Gauge, [],
        "When the worker last finished a step, seconds since 1970.", "Always the present, give or take a second.";
    INGEST_EVENTS = "ingest_events_total", Counter, [EventType],
        "Events accepted over HTTP and durably written.", "When producers use HTTP.";
    INGEST_REFUSED = "ingest_refused_total", Counter, [Reason],
        "Events refused at the HTTP door; they were not written.", "When a producer sends something wrong.";
    INGEST_THROTTLED = "ingest_throttled_total", Counter, [],
        "Requests answered 429 because the append queue was full.", "Under more load than the disk takes.";
    INGEST_RESUBMITTED = "ingest_resubmitted_total", Counter, [],
        "Refused records that were put back by `accountpulse dead-letters resubmit`.", "After a cause was repaired.";
    HTTP_SECONDS = "http_request_duration_seconds", Histogram(HTTP_BUCKETS), [Route, Method, Status],
        "Duration of HTTP requests until the response is ready.", "With every request.";
}

impl Metric {
    /// The names of all labels, in order.
    pub fn label_names(&self) -> Vec<&'static str> {
        self.labels.iter().flat_map(|label| label.names()).copied().collect()
    }

    fn key(&self, values: &[&str]) -> metrics::Key {
        let names = self.label_names();
        // A wrong number of values is a mistake in the calling line, found by its first test.
        debug_assert_eq!(names.len(), values.len(), "labels of {}", self.name);
        let labels: Vec<metrics::Label> = names
            .into_iter()
            .zip(values)
            .map(|(name, value)| metrics::Label::new(name, (*value).to_owned()))
            .collect();
        metrics::Key::from_parts(self.name, labels)
    }

    /// Adds to a counter.
    pub fn add(&self, values: &[&str], count: u64) {
        debug_assert_eq!(self.kind, Counter, "{}", self.name);
        metrics::with_recorder(|r| r.register_counter(&self.key(values), &METADATA)).increment(count);
    }

    /// Raises a counter to a total that was counted elsewhere; never lowers it.
    pub fn raise(&self, values: &[&str], total: u64) {
        debug_assert_eq!(self.kind, Counter, "{}", self.name);
        metrics::with_recorder(|r| r.register_counter(&self.key(values), &METADATA)).absolute(total);
    }

    /// Sets a gauge.
    pub fn set(&self, values: &[&str], value: f64) {
        debug_assert_eq!(self.kind, Gauge, "{}", self.name);
        metrics::with_recorder(|r| r.register_gauge(&self.key(values), &METADATA)).set(value);
    }

    /// Records one duration.
    pub fn observe(&self, values: &[&str], seconds: f64) {
        metrics::with_recorder(|r| r.register_histogram(&self.key(values), &METADATA)).record(seconds);
    }

    /// Makes the series exist, with 0.
    pub(super) fn register(&self, values: &[&str]) {
        let key = self.key(values);
        metrics::with_recorder(|recorder| match self.kind {
            Counter => recorder.register_counter(&key, &METADATA).increment(0),
            Gauge => recorder.register_gauge(&key, &METADATA).increment(0.0),
            Histogram(_) => drop(recorder.register_histogram(&key, &METADATA)),
        });
    }
}

static METADATA: metrics::Metadata<'static> =
    metrics::Metadata::new("accountpulse", metrics::Level::INFO, None);
