//! Several instances of the program on one cluster: their configuration, their lives, what they
//! have committed, and what a stranger reads of them. Include it beside the two other parts:
//!
//! ```text
//! #[path = "support/fleet.rs"]
//! mod fleet;
//! #[path = "support/mod.rs"]
//! mod process;
//! #[path = "support/kafka/mod.rs"]
//! mod support;
//! ```

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accountpulse::app::cluster_status::cluster_status;
use accountpulse::app::kafka_link::KafkaLink;
use accountpulse::clock;
use accountpulse::config::Config;
use accountpulse::engine::event::Kind;
use accountpulse::log::TopicPartition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use crate::process::lines::Lines;
use crate::process::oracle::Told;
use crate::process::{Process, expect};
use crate::support::python;

/// Partitions of every topic, unless a [`Shape`] says otherwise.
pub const PARTITIONS: u32 = 4;
/// Two input topics and what they carry.
pub const INPUTS: [&[Kind]; 2] = [
    &[Kind::Login, Kind::Usage],
    &[Kind::Ticket, Kind::Invoice, Kind::Survey, Kind::Contact, Kind::Contract, Kind::Account],
];
/// Their names.
pub const TOPICS: [&str; 2] = ["product.v1", "business.v1"];
/// Longest time without progress.
const STANDSTILL: Duration = Duration::from_secs(120);
/// Time between two looks at the progress.
const LOOK: Duration = Duration::from_millis(20);

/// Lines of each instance that a failure shows.
const SHOWN_LINES: usize = 30;

/// How large a fleet is, and how soon a silent member is given up.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Partitions of every topic.
    pub partitions: u32,
    /// Workers of an instance.
    pub workers: u32,
    /// `kafka.session_timeout`, seconds.
    pub session_s: u32,
    /// `kafka.transaction_timeout`, seconds.
    pub transaction_s: u32,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape { partitions: PARTITIONS, workers: 2, session_s: 6, transaction_s: 4 }
    }
}

/// Waits as long as something moves.
pub struct Patience {
    best: u64,
    since: Instant,
}

impl Patience {
    /// Begins now.
    pub fn new() -> Patience {
        Patience { best: 0, since: clock::monotonic() }
    }

    /// Takes in how far it has come: whether nothing has moved for too long. Rests a little.
    pub fn is_over(&mut self, reached: u64) -> bool {
        let now = clock::monotonic();
        if reached > self.best {
            *self = Patience { best: reached, since: now };
        }
        clock::pause(LOOK);
        now.duration_since(self.since) > STANDSTILL
    }
}

/// The instances of one test, in a folder of their own.
pub struct Fleet {
    folder: tempfile::TempDir,
    brokers: String,
    more: String,
    shape: Shape,
    /// How the test itself asks the cluster.
    pub link: KafkaLink,
    /// What each instance says that was started last under its name.
    said: Mutex<Vec<(String, Arc<Lines>)>>,
}

impl Fleet {
    /// Of the cluster at `brokers`; `more` is added to every configuration.
    pub fn new(brokers: &str, more: &str) -> Fleet {
        Fleet::shaped(brokers, more, Shape::default())
    }

    /// Of another shape.
    pub fn shaped(brokers: &str, more: &str, shape: Shape) -> Fleet {
        let folder = tempfile::tempdir().unwrap();
        let text = yaml(brokers, "observer", folder.path(), more, shape);
        let config = Config::parse("observer", &text, &|_| None).unwrap();
        let link = KafkaLink::open(&config).unwrap();
        let (brokers, more) = (brokers.to_owned(), more.to_owned());
        Fleet { folder, brokers, more, shape, link, said: Mutex::default() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration of an instance; its path.
    pub fn config(&self, instance: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{instance}.yaml"));
        std::fs::write(&path, yaml(&self.brokers, instance, self.folder.path(), &self.more, self.shape))
            .unwrap();
        path
    }

    /// Makes the topics, with the command for it.
    pub fn create_topics(&self) {
        let config = self.config("creator");
        let made = expect(0, &["topics", "create", "-c", config.to_str().unwrap()]);
        assert!(made.contains("6 created, 0 were there"), "{made}");
    }

    /// Starts an instance.
    pub fn start(&self, instance: &str) -> Process {
        let config = self.config(instance);
        let process = Process::start(&self.folder.path().join(instance), &["-c", config.to_str().unwrap()]);
        let mut said = self.said.lock().unwrap();
        said.retain(|(name, _)| name != instance);
        said.push((instance.to_owned(), Arc::clone(&process.lines)));
        process
    }

    /// The last lines of every instance.
    pub fn last_words(&self) -> String {
        let said = self.said.lock().unwrap();
        said.iter().map(|(name, lines)| format!("{name}:\n{}\n", lines.last(SHOWN_LINES))).collect()
    }

    /// Input records handled by commits so far.
    pub fn committed(&self) -> u64 {
        let inputs = self.link.topics.input_ids();
        let at = |partition| inputs.iter().map(move |topic| TopicPartition { topic: *topic, partition });
        let all: Vec<TopicPartition> = (0..self.shape.partitions).flat_map(at).collect();
        // A broker that is away answers later.
        let found = self.link.cluster.positions(&all, Duration::from_secs(5));
        found.map_or(0, |found| found.iter().flatten().map(|position| position.position).sum())
    }

    /// Waits until so many input records are handled.
    pub fn wait_for(&self, records: u64) {
        let mut patience = Patience::new();
        loop {
            let reached = self.committed();
            if reached >= records {
                return;
            }
            let stands = patience.is_over(reached);
            let shown = || format!("{}\n{}", self.status(), self.last_words());
            assert!(!stands, "only {reached} of {records} records are handled: {}", shown());
        }
    }

    /// How the shards stand, in the words of the command.
    pub fn status(&self) -> String {
        match cluster_status(&self.link, clock::wall_ms()) {
            Ok(status) => format!("{status:#?}"),
            Err(error) => error.to_string(),
        }
    }

    /// What a reader that knows only `docs/contract.md` finds.
    pub fn read(&self) -> Told {
        let mut told = Told::default();
        for (topic, name) in [("risks", "accountpulse.risks.v1"), ("scores", "accountpulse.scores.v1")] {
            let lines = python::run("read.py", &["--bootstrap", &self.brokers, "--topic", name]);
            for line in lines.lines() {
                let mut line: Value = serde_json::from_str(line).unwrap();
                told.take(topic, line["value"].take());
            }
        }
        told
    }

    /// No output holds a transaction that is not ended. Nobody may be at work.
    pub fn assert_nothing_open(&self) {
        let end = |level: &str, topic: &str, partition| {
            let mut config = rdkafka::ClientConfig::new();
            config.set("bootstrap.servers", &self.brokers).set("isolation.level", level);
            let reader: BaseConsumer = config.create().unwrap();
            reader.fetch_watermarks(topic, partition, STANDSTILL).unwrap().1
        };
        for name in ["checkpoints", "scores", "risks", "dead-letters"] {
            let topic = format!("accountpulse.{name}.v1");
            for partition in 0..self.shape.partitions as i32 {
                let [seen, written] =
                    ["read_committed", "read_uncommitted"].map(|level| end(level, &topic, partition));
                assert_eq!(seen, written, "a transaction is open in {topic}/{partition}");
            }
        }
    }

    /// Dead letters as that reader finds them.
    pub fn dead_letters(&self) -> String {
        python::run("read.py", &["--bootstrap", &self.brokers, "--topic", "accountpulse.dead-letters.v1"])
    }
}

fn yaml(brokers: &str, instance: &str, folder: &Path, more: &str, shape: Shape) -> String {
    let [product, business] = TOPICS;
    let Shape { partitions, workers, session_s, transaction_s } = shape;
    format!(
        "storage:\n  log: kafka\n  retention:\n    events: 3650d\n    risks: 3650d\nkafka:\n  brokers: {brokers}\n  instance: {instance}\n  workers: {workers}\n  \
         partitions: {partitions}\n  replication: 1\n  session_timeout: {session_s}s\n  \
         transaction_timeout: {transaction_s}s\n\
         topics:\n  names:\n    logins: {product}\n    usage: {product}\n    tickets: {business}\n    \
         invoices: {business}\n    surveys: {business}\n    contacts: {business}\n    \
         contracts: {business}\n    accounts: {business}\n\
         privacy:\n  person_key_file: {}\n{more}",
        folder.join("person.key").display(),
    )
}
