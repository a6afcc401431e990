//! The figures: names, units, budgets, and the one form in which they are told,
//! `name value unit budget verdict`. What stands beside a figure has the name `figure/what`, and
//! `-` for budget and verdict.
//!
//! To add a figure: a line in [`FIGURES`], and its measurement in the module of its group.

use std::io::Write;

/// What is measured together, in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    Engine,
    Memory,
    Cores,
    Json,
    Proto,
    Checkpoint,
    Latency,
    Restore,
    Idle,
    Overload,
}

impl Group {
    /// In the order in which they are measured; the rate of `Json` is what later ones take half of.
    pub const ALL: [Group; 10] = [
        Group::Json,
        Group::Proto,
        Group::Engine,
        Group::Memory,
        Group::Cores,
        Group::Latency,
        Group::Restore,
        Group::Checkpoint,
        Group::Idle,
        Group::Overload,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Group::Engine => "engine",
            Group::Memory => "memory",
            Group::Cores => "cores",
            Group::Json => "json",
            Group::Proto => "proto",
            Group::Checkpoint => "checkpoint",
            Group::Latency => "latency",
            Group::Restore => "restore",
            Group::Idle => "idle",
            Group::Overload => "overload",
        }
    }

    pub fn figures(self) -> impl Iterator<Item = &'static Figure> {
        FIGURES.iter().filter(move |figure| figure.group == self)
    }
}

/// What a figure may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Budget {
    AtMost(f64),
    AtLeast(f64),
}

impl Budget {
    fn is_kept(self, value: f64) -> bool {
        match self {
            Budget::AtMost(most) => value <= most,
            Budget::AtLeast(least) => value >= least,
        }
    }
}

impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Budget::AtMost(most) => write!(f, "<={most}"),
            Budget::AtLeast(least) => write!(f, ">={least}"),
        }
    }
}

/// One figure.
#[derive(Debug)]
pub struct Figure {
    pub name: &'static str,
    pub group: Group,
    pub unit: &'static str,
    /// None where the measurement itself names the bound.
    pub budget: Option<Budget>,
    pub what: &'static str,
}

const fn figure(
    name: &'static str,
    group: Group,
    unit: &'static str,
    budget: Budget,
    what: &'static str,
) -> Figure {
    Figure { name, group, unit, budget: Some(budget), what }
}

use Budget::{AtLeast, AtMost};

pub const FIGURES: [Figure; 18] = [
    figure(
        "kafka_cpu_s_per_m_json",
        Group::Json,
        "cpu_s",
        AtMost(1.8),
        "CPU seconds of the whole process per million JSON events from Kafka, exactly once",
    ),
    figure(
        "kafka_ratio_json",
        Group::Json,
        "ratio",
        AtLeast(0.3),
        "its rate against a drain of the same topics that drops everything",
    ),
    figure("kafka_cpu_s_per_m_proto", Group::Proto, "cpu_s", AtMost(1.3), "the same for protobuf"),
    figure("kafka_ratio_proto", Group::Proto, "ratio", AtLeast(0.4), "the same for protobuf"),
    figure(
        "engine_json_ns",
        Group::Engine,
        "ns/event",
        AtMost(1_000.0),
        "decode, apply, score, rules, deadlines and outputs per JSON event, one core",
    ),
    figure("engine_proto_ns", Group::Engine, "ns/event", AtMost(600.0), "the same for protobuf"),
    figure(
        "output_ns",
        Group::Engine,
        "ns/record",
        AtMost(2_000.0),
        "building a score or a transition from state and writing it as JSON with key and headers",
    ),
    figure(
        "accounts_ratio",
        Group::Memory,
        "ratio",
        AtLeast(0.6),
        "rate of events at 1 M typical accounts against 10 k",
    ),
    figure(
        "bytes_per_account",
        Group::Memory,
        "bytes",
        AtMost(2_048.0),
        "resident memory of a process with 1 M typical accounts, per account",
    ),
    figure(
        "risk_latency_p50_ms",
        Group::Latency,
        "ms",
        AtMost(100.0),
        "from producing an event to reading the risk it starts, at half of full load and across a midnight",
    ),
    figure("risk_latency_p99_ms", Group::Latency, "ms", AtMost(100.0), "the same, of a hundred the slowest"),
    figure(
        "restore_s",
        Group::Restore,
        "s",
        AtMost(10.0),
        "from the start of a killed process until its state of 1 M accounts is back",
    ),
    figure(
        "tail_ratio",
        Group::Restore,
        "ratio",
        AtMost(1.5),
        "from there until nothing waits, as a share of the time between two rounds of pages",
    ),
    figure(
        "checkpoint_cost",
        Group::Checkpoint,
        "ratio",
        AtLeast(0.9),
        "rate with rounds of pages every 30 s against the rate without",
    ),
    figure(
        "cores_ratio",
        Group::Cores,
        "ratio",
        AtLeast(0.95),
        "two threads of one process against two processes, engine only",
    ),
    figure(
        "idle_cpu",
        Group::Idle,
        "cores",
        AtMost(0.02),
        "share of a core with 100 k accounts and no input",
    ),
    Figure {
        name: "overload_rss_mb",
        group: Group::Overload,
        unit: "MB",
        budget: None,
        what: "most memory of an instance that gets ten times its load while the broker stands still for seconds; \
               the bound is the one of the manual",
    },
    Figure {
        name: "waiting_rss_mb",
        group: Group::Overload,
        unit: "MB",
        budget: None,
        what: "most memory of an instance that merges by event time and waits for an input that never comes",
    },
];

/// Names a child was asked for.
pub struct Wanted(pub Vec<String>);

impl Wanted {
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|wanted| wanted == name)
    }
}

/// The figure of that name.
pub fn find(name: &str) -> Option<&'static Figure> {
    FIGURES.iter().find(|figure| figure.name == name)
}

/// Tells a figure.
pub fn tell(name: &str, value: f64) {
    let budget = find(name).and_then(|figure| figure.budget).expect("a figure with a budget");
    tell_against(name, value, budget);
}

/// Tells a figure whose bound follows from the settings.
pub fn tell_against(name: &str, value: f64, budget: Budget) {
    let unit = find(name).expect("a figure").unit;
    let verdict = if budget.is_kept(value) { "kept" } else { "missed" };
    say(&format!("{name} {} {unit} {budget} {verdict}", short(value)));
}

/// Tells what stands beside a figure.
pub fn beside(name: &str, value: f64, unit: &str) {
    say(&format!("{name} {} {unit} - -", short(value)));
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").and_then(|()| out.flush()).expect("somebody reads the figures");
}

/// Three digits that count, and never an exponent.
fn short(value: f64) -> String {
    let digits = match value.abs() {
        0.0 => 0,
        size if size >= 100.0 => 0,
        size if size >= 10.0 => 1,
        size if size >= 1.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    format!("{value:.digits$}")
}
