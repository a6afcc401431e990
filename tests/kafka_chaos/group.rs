//! What the cluster itself says: how often the group was made anew, and whether a transaction is
//! still open somewhere.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::support::Broker;

/// Where the broker keeps groups and positions.
const OFFSETS: &str = "__consumer_offsets";
/// The version of a key of that topic that stands for a group.
const GROUP_KEY: u16 = 2;
/// From this version on a value has its texts in another shape.
const COMPACT_VALUE: u16 = 4;
const ANSWER: Duration = Duration::from_secs(30);
/// Polls of 100 ms without anything before a topic is given up.
const EMPTY_POLLS: u32 = 300;

/// The newest generation of a group, as the broker keeps it. No question of the protocol tells it
/// to anybody but members.
pub fn generation(broker: &Broker, group: &str) -> u32 {
    let reader = reader(broker, "read_uncommitted");
    let mut all = TopicPartitionList::new();
    let mut left = 0;
    for (partition, end) in ends(&reader, OFFSETS) {
        if end > 0 {
            all.add_partition_offset(OFFSETS, partition, Offset::Beginning).unwrap();
            left += 1;
        }
    }
    reader.assign(&all).unwrap();
    let (mut newest, mut empty) = (0, 0);
    while left > 0 {
        match reader.poll(Duration::from_millis(100)) {
            Some(Ok(record)) => {
                let found = record.key().and_then(|key| generation_of(key, record.payload()?, group));
                newest = newest.max(found.unwrap_or(0));
                empty = 0;
            }
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(_))) => left -= 1,
            Some(Err(error)) => panic!("{OFFSETS} cannot be read: {error}"),
            None => {
                empty += 1;
                assert!(empty < EMPTY_POLLS, "{OFFSETS} does not end");
            }
        }
    }
    assert!(newest > 0, "the broker keeps no generation of {group}");
    newest
}

/// The generation that a record of the topic tells, if it is about the group.
fn generation_of(key: &[u8], value: &[u8], group: &str) -> Option<u32> {
    let short = |bytes: &[u8]| Some(u16::from_be_bytes(bytes.first_chunk().copied()?));
    let length = usize::from(short(key.get(2..)?)?);
    if short(key)? != GROUP_KEY || key.get(4..4 + length)? != group.as_bytes() {
        return None;
    }
    // Version, type of protocol as text, generation.
    let after_type = if short(value)? < COMPACT_VALUE {
        4 + usize::from(short(value.get(2..)?)?)
    } else {
        // Its length plus one, in a single byte: it is "consumer".
        2 + usize::from(*value.get(2)?)
    };
    Some(u32::from_be_bytes(value.get(after_type..)?.first_chunk().copied()?))
}

/// Partitions that committed readers do not see to their end, and where they stop: an open
/// transaction hides what stands behind its beginning.
pub fn open_transactions(broker: &Broker, topics: &[String]) -> Vec<String> {
    let [stable, all] = ["read_committed", "read_uncommitted"].map(|isolation| reader(broker, isolation));
    let offsets = OFFSETS.to_owned();
    let mut open = Vec::new();
    for topic in topics.iter().chain([&offsets]) {
        let found = ends(&stable, topic);
        assert!(!found.is_empty(), "{topic} has no partitions");
        for ((partition, stable), (_, end)) in found.into_iter().zip(ends(&all, topic)) {
            if stable < end {
                open.push(format!("{topic}/{partition} is open from {stable} to {end}"));
            }
        }
    }
    open
}

fn reader(broker: &Broker, isolation: &str) -> BaseConsumer {
    let mut config = broker.config();
    config.set("group.id", "chaos-observer").set("isolation.level", isolation);
    config.set("enable.partition.eof", "true").create().unwrap()
}

/// Partitions of a topic and their ends.
fn ends(reader: &BaseConsumer, topic: &str) -> Vec<(i32, i64)> {
    let metadata = reader.fetch_metadata(Some(topic), ANSWER).unwrap();
    let partitions = metadata.topics()[0].partitions().iter().map(|partition| partition.id());
    partitions.map(|id| (id, reader.fetch_watermarks(topic, id, ANSWER).unwrap().1)).collect()
}
