//! What the cluster answers once it lets us in: topics, the group, bounds; and what it refuses.

use std::time::Duration;

use accountpulse::log::kafka::{KafkaCluster, KafkaError, Made, MemberFound, NewTopic, Security, TopicState};
use accountpulse::log::{AppendRecord, CommittedPosition, TopicId, TopicPartition, Watermarks};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaApiKey;
use rdkafka::{Offset, TopicPartitionList};

use super::{CLOSED, OPEN, PASSWORD, SOON, at, broker, options, record, scram, to, works};
use crate::support::{Broker, Listener, Options};

#[test]
fn what_is_not_granted_is_named() {
    let mut options = to(Listener::Scram, scram("alice", PASSWORD));
    options.topics = vec![OPEN.to_owned(), CLOSED.to_owned(), "open-missing".to_owned()];
    options.group = "closed-group".to_owned();
    let cluster = KafkaCluster::new(options).unwrap();
    let no_topic = "user \"alice\" has no access to the topic closed-scores, or it does not exist; grant READ, \
                    WRITE and DESCRIBE on it, or create it";
    let no_group = "user \"alice\" has no access to the consumer group closed-group; grant READ on it";

    let topics = cluster.describe(SOON).unwrap();
    assert!(matches!(topics[0].state, TopicState::Found { partitions: 2, .. }), "{topics:?}");
    assert_eq!(topics[1].state, TopicState::Denied(no_topic.to_owned()));
    assert_eq!(topics[2].state, TopicState::Missing);

    let denied = |sentence: &str| KafkaError::Denied { sentence: sentence.to_owned() };
    let closed = TopicPartition { topic: TopicId(1), partition: 0 };
    let appended = AppendRecord { at: closed, ..record(0, "in vain") };
    let both = vec![record(0, "beside it"), appended];
    assert_eq!(cluster.appender().unwrap().append(both, SOON), Err(denied(no_topic)));
    let mut reader = cluster.reader().unwrap();
    let read = reader.read(closed, 0, 1, SOON).map(|range| range.position);
    assert_eq!(read, Err(denied(no_topic)));
    assert_eq!(reader.watermarks(closed), Err(denied(no_topic)));
    let missing = TopicPartition { topic: TopicId(2), partition: 0 };
    assert!(reader.read(missing, 0, 1, SOON).is_err());
    let sentence = "reading open-scores/2: the topic has 2 partitions";
    assert_eq!(reader.read(at(2), 0, 1, SOON).map(|range| range.position).unwrap_err().to_string(), sentence);
    assert_eq!(cluster.positions(&[at(0)], SOON), Err(denied(no_group)));
    assert_eq!(cluster.members(SOON), Ok(vec![]));

    let wanted =
        [NewTopic { name: "closed-new".to_owned(), partitions: 1, replication: 1, settings: vec![] }];
    let sentence = "user \"alice\" may not make the topic closed-new; grant CREATE on it, or let an administrator \
                    make it";
    let made = cluster.create(&wanted, true, SOON).unwrap();
    assert_eq!(made, [("closed-new".to_owned(), Err(sentence.to_owned()))]);
}

#[test]
fn topics_are_made_and_described() {
    let cluster = KafkaCluster::new(to(Listener::Scram, scram("admin", "admin-secret"))).unwrap();
    let topic = |name: &str, replication, policy: &str| NewTopic {
        name: name.to_owned(),
        partitions: 3,
        replication,
        settings: vec![("cleanup.policy", policy.to_owned())],
    };
    let name = "open-made";
    let asked = cluster.create(&[topic(name, 1, "compact")], true, SOON).unwrap();
    assert_eq!(asked, [(name.to_owned(), Ok(Made::Created))]);
    let made = cluster.create(&[topic(name, 1, "compact"), topic(OPEN, 1, "delete")], false, SOON).unwrap();
    assert_eq!(made, [(name.to_owned(), Ok(Made::Created)), (OPEN.to_owned(), Ok(Made::Existed))]);

    let mut options = to(Listener::Scram, scram("admin", "admin-secret"));
    options.topics = vec![name.to_owned()];
    let found = KafkaCluster::new(options).unwrap().describe(SOON).unwrap();
    let TopicState::Found { partitions: 3, replication: 1, settings } = &found[0].state else {
        panic!("{found:?}")
    };
    assert_eq!(settings["cleanup.policy"], "compact");

    let wrong = [topic("open-copies", 3, "delete"), topic("open-policy", 1, "shred")];
    let sentences = [
        "the topic open-copies wants 3 copies, which the cluster does not have brokers for; lower it",
        "the cluster refuses a setting of the topic open-policy (cleanup.policy=shred); check its version and \
         policies",
    ];
    let names = ["open-copies", "open-policy"];
    let expected: Vec<_> =
        names.iter().zip(sentences).map(|(name, why)| ((*name).to_owned(), Err(why.to_owned()))).collect();
    assert_eq!(cluster.create(&wrong, true, SOON).unwrap(), expected);
}

#[test]
fn bounds_and_places_beyond_them() {
    let cluster = KafkaCluster::new(to(Listener::Scram, scram("admin", "admin-secret"))).unwrap();
    let mut options = cluster.options().clone();
    options.topics = vec!["open-bounds".to_owned()];
    broker().create_topic("open-bounds", 1, &[]);
    let cluster = KafkaCluster::new(options).unwrap();
    let records = (0..500).map(|n| record(0, &format!("value {n}"))).collect();
    cluster.appender().unwrap().append(records, SOON).unwrap();
    let mut reader = cluster.reader().unwrap();
    assert_eq!(reader.watermarks(at(0)), Ok(Watermarks { start: 0, end: 500 }));
    let mut position = 490;
    while position < 500 {
        position = reader.read(at(0), position, 1, SOON).unwrap().position;
    }
    let beyond = reader.read(at(0), 600, 1, SOON).map(|range| range.position);
    let expected = KafkaError::OutOfRange { topic: "open-bounds".to_owned(), partition: 0, offset: 600 };
    assert_eq!(beyond, Err(expected));
    // And goes on after it.
    assert_eq!(reader.read(at(0), 499, 1 << 20, SOON).unwrap().position, 500);
}

#[test]
fn an_answer_heals() {
    let mut broker = Broker::start(Options::plain());
    broker.create_topic(OPEN, 2, &[]);
    let cluster =
        KafkaCluster::new(options(&broker.bootstrap(Listener::Plain), Security::default())).unwrap();
    works(&cluster, 0, "before");
    let appender = cluster.appender().unwrap();
    let mut reader = cluster.reader().unwrap();
    appender.append(vec![record(0, "known")], SOON).unwrap();
    let end = reader.watermarks(at(0)).unwrap().end;
    broker.kill9();
    let error = appender.append(vec![record(0, "late")], Duration::from_secs(5)).unwrap_err();
    assert!(matches!(error, KafkaError::Connect { permanent: false, .. }), "{error:?}");
    assert!(cluster.trouble().is_some());
    broker.restart();
    appender.append(vec![record(0, "again")], SOON).unwrap();
    assert!(reader.read(at(0), end, 1, SOON).unwrap().position > end);
    assert_eq!(cluster.trouble(), None);
}

/// As far as a broker's age shows: without the request that hands out producer ids.
#[test]
fn a_broker_without_idempotent_producers_is_named() {
    let old = MockCluster::new(1).unwrap();
    old.create_topic(OPEN, 2, 1).unwrap();
    old.apiversion(RDKafkaApiKey::InitProducerId, None, None).unwrap();
    let cluster = KafkaCluster::new(options(&old.bootstrap_servers(), Security::default())).unwrap();
    cluster.connect(SOON).unwrap();
    for error in [
        cluster.appender().unwrap().append(vec![record(0, "x")], SOON).unwrap_err(),
        cluster.try_transactions(SOON).unwrap_err(),
    ] {
        assert!(error.is_permanent(), "{error:?}");
        assert!(error.to_string().starts_with("the brokers lack something we need ("), "{error}");
    }
}

#[test]
fn transactions_are_tried_under_a_name_beside_the_workers() {
    let cluster = KafkaCluster::new(to(Listener::Scram, scram("alice", PASSWORD))).unwrap();
    assert_eq!(cluster.try_transactions(SOON), Ok(()));
    let mut options = cluster.options().clone();
    options.group = "closed-group".to_owned();
    let sentence =
        "user \"alice\" may not use the transactional id closed-group-pod-check; grant WRITE on it";
    let denied = KafkaError::Denied { sentence: sentence.to_owned() };
    assert_eq!(KafkaCluster::new(options).unwrap().try_transactions(SOON), Err(denied));
}

#[test]
fn a_member_under_our_name_and_its_positions_are_seen() {
    let mut config = broker().config();
    config.set("group.id", "open-members").set("group.instance.id", "pod-0").set("client.id", "pod-0");
    let member: BaseConsumer = config.create().unwrap();
    member.subscribe(&[OPEN]).unwrap();
    let owns = |_| {
        drop(member.poll(Duration::from_millis(100)));
        member.assignment().is_ok_and(|owned| owned.count() == 2)
    };
    assert!((0..300).any(owns), "no assignment");
    let mut list = TopicPartitionList::new();
    let mut position = list.add_partition(OPEN, 1);
    position.set_offset(Offset::Offset(42)).unwrap();
    position.set_metadata("commit 7");
    member.commit(&list, CommitMode::Sync).unwrap();

    let mut options = to(Listener::Scram, scram("alice", PASSWORD));
    options.group = "open-members".to_owned();
    let cluster = KafkaCluster::new(options).unwrap();
    let members = cluster.members(SOON).unwrap();
    let names: Vec<_> = members.iter().map(MemberFound::instance).collect();
    assert_eq!(names, [Some("pod-0")]);
    let seen = (members[0].client_id.as_str(), members[0].host.as_str(), members[0].group_state.as_str());
    assert_eq!(seen, ("pod-0", "127.0.0.1", "Stable"));
    assert_eq!(members[0].partitions, [(OPEN.to_owned(), vec![0, 1])]);
    let committed = CommittedPosition { position: 42, metadata: "commit 7".to_owned() };
    assert_eq!(cluster.positions(&[at(1), at(0)], SOON).unwrap(), [Some(committed), None]);
}
