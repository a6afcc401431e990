//! The broker of the bench, and the configuration of everything that runs on it.
//!
//! A broker of the tests with the settings that tests shorten put back to Kafka's own, so that its
//! housekeeping costs what it costs anywhere. Every run has a group and output topics of its own;
//! the inputs are loaded once and read by all.

use std::path::Path;

use accountpulse::app::topics::TopicTable;
use accountpulse::clock;
use accountpulse::config::Config;
use accountpulse::engine::event::Kind;
use accountpulse::engine::partition::partition_of;
use accountpulse::log::TopicPartition;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::process;
use crate::sizes::Sizes;
use crate::support::{Broker, Listener, Options};

use std::time::Duration;

/// Partitions of every topic.
pub const PARTITIONS: u32 = 4;
/// Longest wait for an answer.
pub const ANSWER: Duration = Duration::from_secs(30);

/// The broker, and a folder for everybody's files.
pub struct Cluster {
    pub broker: Broker,
    pub workers: u32,
    folder: tempfile::TempDir,
}

/// A run on the cluster: its name is the first part of its outputs' names, its group and instance.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    pub name: &'a str,
    /// First part of the names of its inputs.
    pub inputs: &'a str,
    /// Further lines of the configuration.
    pub more: &'a str,
}

impl<'a> Job<'a> {
    pub fn new(name: &'a str, inputs: &'a str) -> Job<'a> {
        Job { name, inputs, more: "" }
    }
}

impl Cluster {
    pub fn start(sizes: &Sizes) -> Cluster {
        let options = Options::plain()
            .with("log.cleaner.backoff.ms", "15000")
            .with("log.cleaner.dedupe.buffer.size", "134217728")
            .with("transaction.abort.timed.out.transaction.cleanup.interval.ms", "10000")
            // All workers of a process come in one generation: no run begins with a rebalance.
            .with("group.initial.rebalance.delay.ms", "1500");
        let broker = Broker::start(options);
        broker.warm_up();
        let workers = u32::try_from(sizes.threads).unwrap_or(1).min(PARTITIONS);
        Cluster { broker, workers, folder: tempfile::tempdir().expect("a folder") }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The configuration of a run.
    fn yaml(&self, Job { name, inputs, more }: Job<'_>) -> String {
        format!(
            "storage:\n  log: kafka\nkafka:\n  brokers: {}\n  group: {name}\n  instance: {name}\n  \
             workers: {}\n  partitions: {PARTITIONS}\n  replication: 1\n\
             topics:\n  prefix: {inputs}\n  names:\n    scores: {name}.scores.v1\n    \
             risks: {name}.risks.v1\n    dead_letters: {name}.dead-letters.v1\n    \
             checkpoints: {name}.checkpoints.v1\n\
             http:\n  ready_lag_records: 1000\n\
             privacy:\n  person_key_file: {}\n{more}",
            self.broker.bootstrap(Listener::Plain),
            self.workers,
            self.folder().join("person.key").display(),
        )
    }

    /// The same, checked.
    pub fn config(&self, job: Job<'_>) -> Config {
        Config::parse(job.name, &self.yaml(job), &|_| None).expect("the bench's own configuration")
    }

    /// Writes it to a file and makes its topics; the path.
    pub fn create(&self, job: Job<'_>) -> String {
        let path = self.folder().join(format!("{}.yaml", job.name));
        std::fs::write(&path, self.yaml(job)).expect("a file");
        let path = path.to_str().expect("a path in UTF-8").to_owned();
        process::expect(0, &["topics", "create", "-c", &path]);
        path
    }
}

/// Writes events as a program of a customer's would: by key, idempotent, not compressed.
pub struct Sender {
    producer: BaseProducer,
    topics: [String; Kind::ALL.len()],
    pub sent: u64,
}

impl Sender {
    pub fn new(cluster: &Cluster, inputs: &str, linger_ms: &str) -> Sender {
        let mut config = cluster.broker.config();
        config.set("enable.idempotence", "true").set("linger.ms", linger_ms);
        config.set("queue.buffering.max.messages", "200000");
        let table = TopicTable::new(&cluster.config(Job::new("sender", inputs)));
        let topic = |kind: Kind| table.names[usize::from(table.input(kind).0)].clone();
        Sender { producer: config.create().expect("a producer"), topics: Kind::ALL.map(topic), sent: 0 }
    }

    pub fn send(&mut self, kind: Kind, account: &[u8], value: &[u8]) {
        let partition = i32::try_from(partition_of(account, PARTITIONS)).unwrap_or(0);
        let record = || {
            let topic = &self.topics[kind as usize];
            BaseRecord::<[u8], [u8]>::to(topic).partition(partition).key(account).payload(value)
        };
        while let Err((error, _)) = self.producer.send(record()) {
            let full = matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            assert!(full, "an event was not taken: {error}");
            self.producer.poll(Duration::from_millis(5));
        }
        self.sent += 1;
        if self.sent.is_multiple_of(1_000) {
            self.serve();
        }
    }

    pub fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    pub fn flush(&self) {
        self.producer.flush(ANSWER).expect("the broker takes what was sent");
    }
}

/// Looks at a run from outside: what its commits have handled.
pub struct Observer {
    consumer: BaseConsumer,
    inputs: TopicPartitionList,
}

impl Observer {
    pub fn new(cluster: &Cluster, name: &str, inputs: &str) -> Observer {
        let mut config = cluster.broker.config();
        // Positions of transactions under way must not hold an answer up.
        config.set("group.id", name).set("isolation.level", "read_uncommitted");
        let table = TopicTable::new(&cluster.config(Job::new(name, inputs)));
        let mut list = TopicPartitionList::new();
        for TopicPartition { topic, partition } in all_inputs(&table) {
            list.add_partition(&table.names[usize::from(topic.0)], i32::try_from(partition).unwrap_or(0));
        }
        Observer { consumer: config.create().expect("a consumer"), inputs: list }
    }

    /// Records handled by commits.
    pub fn committed(&self) -> u64 {
        let found = patient(|| self.consumer.committed_offsets(self.inputs.clone(), ANSWER));
        found.elements().iter().map(|entry| number(entry.offset())).sum()
    }

    /// Records that no commit has handled yet.
    pub fn waiting(&self) -> u64 {
        let committed = self.committed();
        self.appended().saturating_sub(committed)
    }

    /// Records there are.
    pub fn appended(&self) -> u64 {
        let end = |topic: &str, partition| {
            let (_, end) = patient(|| self.consumer.fetch_watermarks(topic, partition, ANSWER));
            u64::try_from(end).unwrap_or(0)
        };
        self.inputs.elements().iter().map(|entry| end(entry.topic(), entry.partition())).sum()
    }
}

/// Asks until there is an answer: a topic that was just made has no leader yet.
fn patient<T>(ask: impl Fn() -> Result<T, KafkaError>) -> T {
    let begun = clock::monotonic();
    loop {
        match ask() {
            Ok(answer) => return answer,
            Err(error) => assert!(begun.elapsed() < ANSWER, "the broker does not answer: {error}"),
        }
        clock::pause(Duration::from_millis(100));
    }
}

fn number(offset: Offset) -> u64 {
    match offset {
        Offset::Offset(offset) => u64::try_from(offset).unwrap_or(0),
        _ => 0,
    }
}

/// Every input partition.
pub fn all_inputs(table: &TopicTable) -> impl Iterator<Item = TopicPartition> {
    let at = |topic| (0..PARTITIONS).map(move |partition| TopicPartition { topic, partition });
    table.input_ids().into_iter().flat_map(at)
}
