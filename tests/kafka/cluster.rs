//! The contract's harness on a real cluster: topics, group and instance of its own for every test,
//! on the broker that all tests of this binary share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use accountpulse::log::kafka::{
    DEFAULT_FETCHED_BYTES, KafkaAppender, KafkaCluster, KafkaLog, KafkaOptions, Security,
};
use accountpulse::log::{AppendRecord, Offset, TopicId, TopicPartition};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{Offset as Place, TopicPartitionList};

use crate::harness::{Harness, PARTITIONS, ready};
use crate::support::{Listener, shared};

/// Far longer than any answer takes.
const LONG: Duration = Duration::from_secs(30);

/// A cluster with topics of a test's own.
pub struct Cluster {
    pub options: KafkaOptions,
    pub cluster: Arc<KafkaCluster>,
    appender: KafkaAppender,
}

impl Cluster {
    /// Fresh topics `in`, `out` and `state`, or further ones, `partitions` each.
    pub fn with(inputs: &[&str], partitions: u32, properties: &[(&str, &str)]) -> Cluster {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("t{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let broker = shared();
        let topics: Vec<String> =
            inputs.iter().chain(&["out", "state"]).map(|topic| format!("{name}.{topic}")).collect();
        for topic in &topics {
            let compacted = topic.ends_with(".state");
            let policy: &[_] = if compacted { &[("cleanup.policy", "compact")] } else { &[] };
            broker.create_topic(topic, partitions, policy);
        }
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Cluster::of(KafkaOptions {
            brokers: broker.bootstrap(Listener::Plain),
            group: name,
            instance: "one".to_owned(),
            topics,
            inputs: (0..inputs.len()).map(|topic| TopicId(topic as u16)).collect(),
            partitions,
            session_timeout: Duration::from_secs(6),
            transaction_timeout: Duration::from_secs(5),
            fetched_bytes: DEFAULT_FETCHED_BYTES,
            security: Security::default(),
            properties: properties.iter().map(own).collect::<BTreeMap<_, _>>(),
        })
    }

    pub fn of(options: KafkaOptions) -> Cluster {
        let cluster = KafkaCluster::new(options.clone()).unwrap();
        let appender = cluster.appender().unwrap();
        Cluster { options, cluster, appender }
    }

    /// The same cluster as another process sees it.
    pub fn as_instance(&self, instance: &str) -> Cluster {
        Cluster::of(KafkaOptions { instance: instance.to_owned(), ..self.options.clone() })
    }

    pub fn append_all(&self, records: impl Iterator<Item = (TopicPartition, String)>) {
        let record = |(at, value): (TopicPartition, String)| AppendRecord {
            at,
            key: Some(b"k".to_vec()),
            value: Some(value.into_bytes()),
            headers: vec![("h".to_owned(), b"v".to_vec())],
            timestamp_ms: 1,
        };
        self.appender.append(records.map(record).collect(), LONG).unwrap();
    }
}

impl Harness for Cluster {
    type Log = KafkaLog;

    fn open() -> Self {
        Self::with(&["in"], PARTITIONS, &[])
    }

    fn open_small() -> Self {
        Self::with(&["in"], PARTITIONS, &[("queue.buffering.max.messages", "3")])
    }

    fn member(&self) -> KafkaLog {
        ready(self.cluster.member(0).unwrap())
    }

    fn append(&self, at: TopicPartition, key: &str, value: &str) {
        let (key, value) = (Some(key.into()), Some(value.into()));
        let record = AppendRecord { at, key, value, headers: Vec::new(), timestamp_ms: 1 };
        self.appender.append(vec![record], LONG).unwrap();
    }

    // The broker does it in its own time.
    fn compact(&self) {}

    fn forget(&self, at: TopicPartition, before: Offset) {
        let admin: AdminClient<DefaultClientContext> = shared().config().create().unwrap();
        let mut list = TopicPartitionList::new();
        let name = &self.options.topics[usize::from(at.topic.0)];
        list.add_partition_offset(name, at.partition as i32, Place::Offset(before as i64)).unwrap();
        let options = AdminOptions::new().operation_timeout(Some(LONG));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let deleted = runtime.block_on(admin.delete_records(&list, &options)).unwrap();
        deleted.elements().iter().for_each(|one| one.error().unwrap());
    }

    fn reopen(self) -> Self {
        Self::of(self.options)
    }
}
