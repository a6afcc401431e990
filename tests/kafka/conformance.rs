//! What we rely on a broker for. A broker that fails one of these does not deliver exactly once,
//! whatever the other tests say: `cargo test --test kafka conformance` comes first.

use std::time::Duration;

use accountpulse::log::{CommittedPosition, Log, LogError};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use crate::cluster::Cluster;
use crate::harness::{Harness, IN, OUT, assignment, at, commit, out, put, until, values, visible};
use crate::support::shared;

const LONG: Duration = Duration::from_secs(30);

fn producer(id: &str) -> BaseProducer {
    let producer: BaseProducer = shared().config().set("transactional.id", id).create().unwrap();
    producer.init_transactions(LONG).unwrap();
    producer
}

fn code(error: &KafkaError) -> RDKafkaErrorCode {
    error.rdkafka_error_code().unwrap()
}

#[test]
fn aborted_and_open_records_are_hidden_and_count_towards_the_uncommitted_end_only() {
    let harness = Cluster::open();
    let mut log = harness.member();
    put(&mut log, &[out(at(OUT, 0), "k", "aborted")]);
    log.abort().unwrap();
    put(&mut log, &[out(at(OUT, 0), "k", "committed")]);
    let open = log.last_sent(at(OUT, 0)).unwrap();
    assert_eq!(visible(&mut log, at(OUT, 0)), 0);
    assert_eq!(log.watermarks(at(OUT, 0)).unwrap().end, open + 1);
    let reader = harness.cluster.reader().unwrap();
    let committed_end = || reader.watermarks(at(OUT, 0)).unwrap().end;
    until("the end below the open transaction", || (committed_end() == open).then_some(()));
    commit(&mut log);
    assert_eq!(values(&mut log, at(OUT, 0)), ["committed"]);
    until("the end behind the marker", || (committed_end() == open + 2).then_some(()));
    assert_eq!(log.watermarks(at(OUT, 0)).unwrap().end, open + 2);
}

#[test]
fn positions_move_with_the_commit_only() {
    let harness = Cluster::open();
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    let moved = CommittedPosition { position: 3, metadata: "n".to_owned() };
    let now = || harness.cluster.positions(&[at(IN, 0)], LONG).unwrap();
    put(&mut log, &[]);
    log.send_offsets(&[(at(IN, 0), moved.clone())], &group).unwrap();
    assert_eq!(now(), [None]);
    log.abort().unwrap();
    put(&mut log, &[]);
    log.send_offsets(&[(at(IN, 0), moved.clone())], &group).unwrap();
    assert_eq!(now(), [None]);
    commit(&mut log);
    until("the position", || (now() == [Some(moved.clone())]).then_some(()));
}

#[test]
fn a_producer_whose_id_was_taken_over_cannot_commit() {
    let harness = Cluster::open();
    let topic = harness.options.topics[1].as_str();
    let old = producer("conformance-zombie");
    old.begin_transaction().unwrap();
    old.send(BaseRecord::<str, str>::to(topic).partition(0).payload("zombie")).unwrap();
    old.flush(LONG).unwrap();
    let _new = producer("conformance-zombie");
    let Err(KafkaError::Transaction(error)) = old.commit_transaction(LONG) else {
        panic!("the zombie has committed");
    };
    assert!(error.is_fatal() && error.code() == RDKafkaErrorCode::Fenced, "{error}");
    let mut log = harness.member();
    assert!(values(&mut log, at(OUT, 0)).is_empty());
}

#[test]
fn positions_of_an_earlier_generation_are_refused() {
    let harness = Cluster::open();
    let topic = harness.options.topics[0].as_str();
    let join = || -> BaseConsumer {
        let mut config: ClientConfig = shared().config();
        config.set("group.id", "conformance-stale").set("session.timeout.ms", "6000");
        let consumer: BaseConsumer = config.create().unwrap();
        consumer.subscribe(&[topic]).unwrap();
        consumer
    };
    let owns = |consumer: &BaseConsumer, count: usize| {
        let _ = consumer.poll(Duration::from_millis(10));
        consumer.assignment().unwrap().count() == count
    };
    let first = join();
    until("the first assignment", || owns(&first, 2).then_some(()));
    let stale = first.group_metadata().unwrap();
    let second = join();
    until("the second assignment", || (owns(&first, 1) & owns(&second, 1)).then_some(()));

    let producer = producer("conformance-stale");
    producer.begin_transaction().unwrap();
    let mut positions = TopicPartitionList::new();
    positions.add_partition_offset(topic, 0, Offset::Offset(1)).unwrap();
    let refused = producer.send_offsets_to_transaction(&positions, &stale, LONG).unwrap_err();
    assert_eq!(code(&refused), RDKafkaErrorCode::IllegalGeneration);
    producer.abort_transaction(LONG).unwrap();
}

#[test]
fn a_name_that_two_processes_use_is_named() {
    let first = Cluster::open();
    let mut log = first.member();
    assignment(&mut log);
    let second = first.as_instance("one");
    let mut other = second.member();
    assignment(&mut other);
    let error = until("the end of the first", || log.poll(Duration::from_millis(10)).err());
    assert!(matches!(&error, LogError::InstanceTaken { instance } if instance == "one"), "{error}");
}
