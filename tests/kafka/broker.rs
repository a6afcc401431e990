//! The test broker itself: it starts, other people's clients and ours agree on it, and what it
//! acknowledged survives `kill -9`.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use accountpulse::engine::partition::partition_of;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::support::python::Produce;
use crate::support::{Broker, Listener, Options, USERS, shared};

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

    let produce = Produce::to(&broker.bootstrap(Listener::Plain));
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

    let produce = Produce::to(&broker.bootstrap(Listener::Plain));
    assert_eq!(produce.topic("*", "keys").send(&[&file]), 3000);

    let mut keys = std::collections::BTreeSet::new();
    for (key, _, partition, _) in read(broker, "keys", 3000) {
        assert_eq!(partition, partition_of(key.as_bytes(), PARTITIONS), "{key}");
        keys.insert(key);
    }
    assert_eq!(keys, accounts.into_iter().collect());
}

/// Keeps what librdkafka says about connections, and what became of records.
#[derive(Default)]
struct Said {
    errors: Mutex<Vec<String>>,
    refused: Mutex<Vec<RDKafkaErrorCode>>,
}

impl ClientContext for Said {
    fn error(&self, error: KafkaError, reason: &str) {
        self.errors.lock().unwrap().push(format!("{error}: {reason}"));
    }
}

impl ConsumerContext for Said {}

impl ProducerContext for Said {
    type DeliveryOpaque = ();
    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let refused = result.as_ref().err().and_then(|(error, _)| error.rdkafka_error_code());
        self.refused.lock().unwrap().extend(refused);
    }
}

/// Waits for an answer or a reason why there is none; metadata calls say nothing of the kind.
fn knock(config: &ClientConfig) -> Result<(), String> {
    let client: BaseConsumer<Said> = config.create_with_context(Said::default()).unwrap();
    for _ in 0..100 {
        if client.fetch_metadata(None, Duration::from_millis(300)).is_ok() {
            return Ok(());
        }
        // Serves the error callback.
        let _ = client.poll(Duration::ZERO);
        if let Some(reason) = client.context().errors.lock().unwrap().first() {
            return Err(reason.clone());
        }
    }
    Err("neither an answer nor a reason".to_owned())
}

/// The listener's own settings with these changed.
fn changed(broker: &Broker, listener: Listener, changes: &[(&str, &str)]) -> ClientConfig {
    let mut config = broker.config_for(listener);
    for (key, value) in changes {
        config.set(*key, *value);
    }
    config
}

#[test]
fn every_listener_lets_the_right_ones_in_and_nobody_else() {
    let broker = Broker::start(Options::secured());
    let certificates = broker.certificates();
    for listener in
        [Listener::Plain, Listener::Tls, Listener::Scram, Listener::Password, Listener::Mtls, Listener::OAuth]
    {
        assert_eq!(knock(&broker.config_for(listener)), Ok(()), "{listener:?}");
    }
    let sha256 = [("sasl.mechanism", "SCRAM-SHA-256")];
    assert_eq!(knock(&changed(&broker, Listener::Password, &sha256)), Ok(()));

    let unknown_ca = certificates.unknown_ca.to_str().unwrap();
    let stranger = [
        ("ssl.certificate.location", certificates.stranger.to_str().unwrap()),
        ("ssl.key.location", certificates.stranger_key.to_str().unwrap()),
    ];
    type Case<'c> = (Listener, &'c [(&'c str, &'c str)], &'c str);
    let cases: [Case<'_>; 6] = [
        (Listener::TlsOtherHost, &[], "certificate verify failed"),
        (Listener::Tls, &[("ssl.ca.location", unknown_ca)], "certificate verify failed"),
        (Listener::Scram, &[("sasl.password", "wrong")], "invalid credentials"),
        (Listener::Scram, &sha256, "Unsupported SASL mechanism"),
        (Listener::Password, &[("sasl.password", "wrong")], "uthentication"),
        (Listener::Mtls, &stranger, "alert"),
    ];
    for (listener, changes, reason) in cases {
        let refused = knock(&changed(&broker, listener, changes)).expect_err("it was let in");
        assert!(refused.contains(reason), "{listener:?} {changes:?}: {refused}");
    }

    broker.add_user("carol", "carol-secret");
    let carol = [("sasl.username", "carol"), ("sasl.password", "carol-secret")];
    assert_eq!(knock(&changed(&broker, Listener::Scram, &carol)), Ok(()));
    broker.remove_user("carol");
    assert!(knock(&changed(&broker, Listener::Scram, &carol)).is_err());
}

/// Sends one record; why it was refused.
fn write_as(broker: &Broker, (user, password): (&str, &str), topic: &str) -> Option<RDKafkaErrorCode> {
    let config = changed(broker, Listener::Scram, &[("sasl.username", user), ("sasl.password", password)]);
    let producer: BaseProducer<Said> = config.create_with_context(Said::default()).unwrap();
    producer.send(BaseRecord::<(), [u8]>::to(topic).payload(b"x")).unwrap();
    producer.flush(Duration::from_secs(30)).unwrap();
    producer.context().refused.lock().unwrap().pop()
}

#[test]
fn a_permission_is_needed_and_can_be_taken_back() {
    let broker = Broker::start(Options::secured().acls(&["admin"]));
    let [admin, alice, bob] = USERS;
    broker.create_topic("allowed.one", 1, &[]);
    assert_eq!(write_as(&broker, admin, "allowed.one"), None);
    let denied = Some(RDKafkaErrorCode::TopicAuthorizationFailed);
    assert_eq!(write_as(&broker, alice, "allowed.one"), denied);
    broker.allow("alice", "write", "topic allowed.*");
    assert_eq!(write_as(&broker, alice, "allowed.one"), None);
    assert_eq!(write_as(&broker, bob, "allowed.one"), denied);
    broker.disallow("alice", "write", "topic allowed.*");
    assert_eq!(write_as(&broker, alice, "allowed.one"), denied);
}
