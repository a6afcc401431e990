//! The test broker itself: it starts, other people's clients and ours agree on it, and what it
//! acknowledged survives `kill -9`.

use std::path::Path;
use std::time::Duration;

use accountpulse::engine::partition::partition_of;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::support::python::Produce;
use crate::support::{Broker, Options, shared};

const PARTITIONS: u32 = 12;
/// Polls of 100 ms without anything before a reader gives up.
const EMPTY_POLLS: usize = 300;

/// Key, value, partition and timestamp of a record.
type Read = (String, String, u32, i64);

fn event(number: usize, account: &str) -> String {
    format!(
        r#"{{"id":"e-{number}","account_id":"{account}","occurred_at":"2026-03-01T09:00:{:02}.250Z","login":{{"user_id":"u-1"}}}}"#,
        number % 60
    )
}

/// Writes one event for each account.
fn write_events(path: &Path, accounts: &[String]) {
    let lines: Vec<String> = accounts.iter().enumerate().map(|(n, account)| event(n, account)).collect();
    std::fs::write(path, lines.join("\n") + "\n").unwrap();
}

/// Reads `count` records from the beginning of a topic.
fn read(broker: &Broker, topic: &str, count: usize) -> Vec<Read> {
    let mut config = broker.config();
    let reader: BaseConsumer = config.set("group.id", "none").create().unwrap();
    // Without it the first fetch of a fresh client comes half a second later.
    reader.fetch_metadata(Some(topic), Duration::from_secs(30)).unwrap();
    let mut all = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        all.add_partition_offset(topic, partition as i32, Offset::Beginning).unwrap();
    }
    reader.assign(&all).unwrap();
    let mut records = Vec::new();
    let mut empty = 0;
    while records.len() < count && empty < EMPTY_POLLS {
        match reader.poll(Duration::from_millis(100)) {
            None => empty += 1,
            Some(Err(error)) => eprintln!("while reading {topic}: {error}"),
            Some(Ok(record)) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                records.push((
                    text(record.key()),
                    text(record.payload()),
                    record.partition() as u32,
                    record.timestamp().to_millis().unwrap(),
                ));
            }
        }
    }
    assert_eq!(records.len(), count, "{topic}:\n{}", broker.log_excerpt());
    records
}

#[test]
fn a_stranger_writes_and_we_read_the_same_records_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    let accounts: Vec<String> = (0..1000).map(|n| format!("acct-{}", n % 50)).collect();
    write_events(&file, &accounts);
    let mut broker = Broker::start(Options::plain());
    broker.create_topic("logins", PARTITIONS, &[]);

    let produce = Produce::to(&broker.bootstrap(crate::support::Listener::Plain));
    let sent = produce.topic("login", "logins").at_event_time().send(&[&file]);
    assert_eq!(sent, 1000);
    let mut before = read(&broker, "logins", 1000);
    broker.kill9();
    broker.restart();
    let mut after = read(&broker, "logins", 1000);

    before.sort();
    after.sort();
    assert_eq!(before, after);
    let mut values: Vec<&str> = after.iter().map(|(_, value, _, _)| value.as_str()).collect();
    let lines = std::fs::read_to_string(&file).unwrap();
    let mut written: Vec<&str> = lines.lines().collect();
    values.sort();
    written.sort();
    assert_eq!(values, written);
    let first = after.iter().find(|(_, value, _, _)| value.contains(r#""e-0""#)).unwrap();
    let at: jiff::Timestamp = "2026-03-01T09:00:00.250Z".parse().unwrap();
    assert_eq!(first.3, at.as_millisecond());
}

#[test]
fn a_key_lands_in_the_partition_that_we_compute() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("events.jsonl");
    // All lengths modulo 4, and characters of one to four bytes.
    let accounts: Vec<String> =
        (0..3000).map(|n| format!("{}-{n}", ["acme", "mülle", "株式会社", "🚀x"][n % 4])).collect();
    write_events(&file, &accounts);
    let broker = shared();
    broker.create_topic("keys", PARTITIONS, &[]);

    let produce = Produce::to(&broker.bootstrap(crate::support::Listener::Plain));
    assert_eq!(produce.topic("*", "keys").send(&[&file]), 3000);

    let mut keys = std::collections::BTreeSet::new();
    for (key, _, partition, _) in read(broker, "keys", 3000) {
        assert_eq!(partition, partition_of(key.as_bytes(), PARTITIONS), "{key}");
        keys.insert(key);
    }
    assert_eq!(keys, accounts.into_iter().collect());
}
