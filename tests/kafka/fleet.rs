//! Several instances of the program on one cluster: their configuration, their lives, what they
//! have committed, and what a stranger reads of them.

use std::path::{Path, PathBuf};
use std::time::Duration;

use accountpulse::app::cluster_status::cluster_status;
use accountpulse::app::kafka_link::KafkaLink;
use accountpulse::clock;
use accountpulse::config::Config;
use accountpulse::engine::event::Kind;
use accountpulse::log::TopicPartition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::Value;

use crate::process::oracle::Told;
use crate::process::{Process, expect, last_lines};
use crate::support::python;

/// Partitions of every topic.
pub const PARTITIONS: u32 = 4;
/// Two input topics and what they carry.
pub const INPUTS: [&[Kind]; 2] = [
    &[Kind::Login, Kind::Usage],
    &[Kind::Ticket, Kind::Invoice, Kind::Survey, Kind::Contact, Kind::Contract, Kind::Account],
];
/// Their names.
pub const TOPICS: [&str; 2] = ["product.v1", "business.v1"];
/// A test gives up when nothing more is handled for so long. It may take as long as it goes on.
const STANDSTILL: Duration = Duration::from_secs(120);
/// Between two looks at what is handled.
const PACE: Duration = Duration::from_millis(50);

/// The instances of one test, in a folder of their own.
pub struct Fleet {
    folder: tempfile::TempDir,
    brokers: String,
    more: String,
    link: KafkaLink,
}

impl Fleet {
    /// Of the cluster at `brokers`; `more` is added to every configuration.
    pub fn new(brokers: &str, more: &str) -> Fleet {
        let folder = tempfile::tempdir().unwrap();
        let text = yaml(brokers, "observer", folder.path(), more);
        let config = Config::parse("observer", &text, &|_| None).unwrap();
        let link = KafkaLink::open(&config).unwrap();
        Fleet { folder, brokers: brokers.to_owned(), more: more.to_owned(), link }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration of an instance; its path.
    pub fn config(&self, instance: &str) -> PathBuf {
        let path = self.folder.path().join(format!("{instance}.yaml"));
        std::fs::write(&path, yaml(&self.brokers, instance, self.folder.path(), &self.more)).unwrap();
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
        Process::start(&self.folder.path().join(instance), &["-c", config.to_str().unwrap()])
    }

    /// Input records handled by commits so far.
    pub fn committed(&self) -> u64 {
        let inputs = self.link.topics.input_ids();
        let at = |partition| inputs.iter().map(move |topic| TopicPartition { topic: *topic, partition });
        let all: Vec<TopicPartition> = (0..PARTITIONS).flat_map(at).collect();
        // A broker that is away answers later.
        let found = self.link.cluster.positions(&all, Duration::from_secs(5));
        found.map_or(0, |found| found.iter().flatten().map(|position| position.position).sum())
    }

    /// Waits until so many input records are handled, for as long as there are ever more.
    pub fn wait_for(&self, records: u64) {
        let (mut most, mut since) = (0, clock::monotonic());
        loop {
            let handled = self.committed();
            if handled >= records {
                return;
            }
            if handled > most {
                (most, since) = (handled, clock::monotonic());
            }
            if clock::monotonic().duration_since(since) > STANDSTILL {
                let shown = cluster_status(&self.link, clock::wall_ms());
                panic!("only {most} of {records} records are handled: {shown:#?}\n{}", self.last_words());
            }
            clock::pause(PACE);
        }
    }

    /// The last lines of every instance.
    fn last_words(&self) -> String {
        let files = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        let logs = files.filter(|file| file.extension().is_some_and(|extension| extension == "log"));
        logs.map(|log| format!("{}:\n{}\n", log.display(), last_lines(&log))).collect()
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
            for partition in 0..PARTITIONS as i32 {
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

fn yaml(brokers: &str, instance: &str, folder: &Path, more: &str) -> String {
    let [product, business] = TOPICS;
    format!(
        "storage:\n  log: kafka\n  retention:\n    events: 3650d\n    risks: 3650d\nkafka:\n  brokers: {brokers}\n  instance: {instance}\n  workers: 2\n  \
         partitions: {PARTITIONS}\n  replication: 1\n  session_timeout: 6s\n  transaction_timeout: 4s\n\
         topics:\n  names:\n    logins: {product}\n    usage: {product}\n    tickets: {business}\n    \
         invoices: {business}\n    surveys: {business}\n    contacts: {business}\n    \
         contracts: {business}\n    accounts: {business}\n\
         privacy:\n  person_key_file: {}\n{more}",
        folder.join("person.key").display(),
    )
}
