//! What only the simulated broker can show: faults, two-phase ends, generations.

use std::time::Duration;

use super::*;
use crate::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord,
    Polled, RecordBatch, TopicId, TopicPartition,
};

const IN: TopicId = TopicId(0);
const OUT: TopicId = TopicId(1);
const STATE: TopicId = TopicId(2);

fn at(topic: TopicId, partition: u32) -> TopicPartition {
    TopicPartition { topic, partition }
}

fn broker_with(change: impl FnOnce(&mut SimOptions)) -> SimBroker {
    let topic =
        |name: &str, input, compacted| SimTopic { name: name.into(), partitions: 2, compacted, input };
    let topics = vec![topic("in", true, false), topic("out", false, false), topic("state", false, true)];
    let mut options = SimOptions::new(topics);
    change(&mut options);
    SimBroker::new(options)
}

fn broker() -> SimBroker {
    broker_with(|_| {})
}

fn record(to: TopicPartition, key: &str, value: &str) -> OutRecord {
    let (key, value) = (Some(key.into()), Some(value.into()));
    OutRecord { to, key, value, headers: vec![("h".into(), b"x".into())], timestamp_ms: 7 }
}

fn position(position: Offset, metadata: &str) -> CommittedPosition {
    CommittedPosition { position, metadata: metadata.into() }
}

fn start(broker: &SimBroker, name: &str) -> SimLog {
    let mut log = broker.member(name);
    while !log.init().unwrap() {}
    log
}

fn poll(log: &mut SimLog) -> Polled<SimBatch> {
    log.poll(Duration::ZERO).unwrap()
}

fn assigned(log: &mut SimLog) -> (Vec<u32>, GroupMetadata) {
    match poll(log) {
        Polled::Assigned { partitions, unusable, group } if unusable.is_empty() => (partitions, group),
        other => panic!("not assigned: {other:?}"),
    }
}

fn put(log: &mut SimLog, records: &[OutRecord]) {
    log.begin().unwrap();
    for record in records {
        log.send(record).unwrap();
    }
    assert_eq!(log.drain().unwrap(), Drain::Done);
}

fn values(broker: &SimBroker, topic: TopicId) -> Vec<String> {
    let all = broker.committed_records(topic).into_iter();
    all.map(|found| String::from_utf8(found.record.value.unwrap()).unwrap()).collect()
}

#[test]
fn an_open_transaction_hides_what_follows_and_its_marker_takes_an_offset() {
    let broker = broker();
    let (mut a, mut b) = (start(&broker, "a"), start(&broker, "b"));
    put(&mut a, &[record(at(OUT, 0), "k", "a1")]);
    put(&mut b, &[record(at(OUT, 0), "k", "b1")]);
    assert_eq!(b.commit().unwrap(), CommitOutcome::Committed);

    let seen = b.read_range(at(OUT, 0), 0, 1000).unwrap();
    assert_eq!((seen.batch.len(), seen.position), (0, 0));
    assert_eq!(b.watermarks(at(OUT, 0)).unwrap().end, 3);

    a.abort().unwrap();
    let seen = b.read_range(at(OUT, 0), 0, 1000).unwrap();
    assert_eq!((seen.batch.len(), seen.position), (1, 4));
    assert_eq!(seen.batch.get(0).offset, 1);
    assert_eq!(seen.batch.header(0, "h"), Some(b"x".as_slice()));
}

#[test]
fn markers_come_one_by_one_and_positions_are_pending_until_theirs() {
    let broker = broker_with(|options| options.auto_markers = false);
    let mut a = start(&broker, "a");
    let (_, group) = assigned(&mut a);
    put(&mut a, &[record(at(OUT, 0), "k", "v0"), record(at(OUT, 1), "k", "v1")]);
    a.send_offsets(&[(at(IN, 0), position(5, "1"))], &group).unwrap();
    assert_eq!(a.commit().unwrap(), CommitOutcome::Committed);

    assert_eq!(a.committed(&[at(IN, 0)]).unwrap(), Committed::Pending);
    assert_eq!(a.committed(&[at(IN, 1)]).unwrap(), Committed::Positions(vec![None]));
    let second = PendingMarker { producer: "a".into(), target: MarkerTarget::Partition(at(OUT, 1)) };
    assert!(broker.deliver_marker(&second));
    assert_eq!(values(&broker, OUT), ["v1"]);

    // The next transaction waits for the rest of this one.
    a.begin().unwrap();
    a.send(&record(at(OUT, 0), "k", "v2")).unwrap();
    assert_eq!(a.drain().unwrap(), Drain::Pending);
    broker.deliver_markers();
    assert_eq!(a.drain().unwrap(), Drain::Done);
    assert_eq!(a.last_sent(at(OUT, 0)), Some(2));
    assert_eq!(a.committed(&[at(IN, 0)]).unwrap(), Committed::Positions(vec![Some(position(5, "1"))]));
}

#[test]
fn a_new_instance_fences_the_old_one_and_aborts_its_transaction() {
    let broker = broker();
    let mut old = start(&broker, "a");
    put(&mut old, &[record(at(OUT, 0), "k", "lost")]);
    let mut new = broker.member("a");
    assert!(!new.init().unwrap());
    assert!(new.init().unwrap());
    assert_eq!(old.commit().unwrap(), CommitOutcome::Fenced);
    assert!(values(&broker, OUT).is_empty());
    old.begin().unwrap();
    assert!(matches!(old.send(&record(at(OUT, 0), "k", "v")), Err(LogError::Fenced { .. })));
}

#[test]
fn a_late_end_commits_the_next_transaction_of_the_same_epoch_only() {
    for restart in [false, true] {
        let broker = broker();
        broker.set_hook(Box::new(|site| match (site.call, site.index) {
            (Call::Commit, 0..=10) => Fault::Indefinite(Indefinite::Late),
            _ => Fault::None,
        }));
        let mut a = start(&broker, "a");
        put(&mut a, &[record(at(OUT, 0), "k", "one")]);
        assert_eq!(a.commit().unwrap(), CommitOutcome::Indefinite);
        assert!(values(&broker, OUT).is_empty());
        if restart {
            a = start(&broker, "a");
        }
        put(&mut a, &[record(at(OUT, 0), "k", "half")]);
        assert_eq!(broker.deliver_late(0), !restart);
        assert_eq!(values(&broker, OUT).contains(&"half".to_owned()), !restart);
        assert_eq!(broker.late_requests(), 0);
    }
}

#[test]
fn an_indefinite_commit_lands_or_is_lost() {
    for (what, landed) in [(Indefinite::Landed, true), (Indefinite::Lost, false)] {
        let broker = broker();
        let mut a = start(&broker, "a");
        put(&mut a, &[record(at(OUT, 0), "k", "v")]);
        broker.set_hook(Box::new(move |_| Fault::Indefinite(what)));
        assert_eq!(a.commit().unwrap(), CommitOutcome::Indefinite);
        assert_eq!(!values(&broker, OUT).is_empty(), landed);
        assert_eq!(broker.open_transactions().is_empty(), landed);
        assert!(broker.expire_transaction("a"));
        assert!(broker.open_transactions().is_empty());
    }
}

#[test]
fn positions_are_fenced_by_generation_and_member_but_not_by_ownership() {
    let broker = broker();
    let (mut a, mut b) = (start(&broker, "a"), start(&broker, "b"));
    let (all, old) = assigned(&mut a);
    assert_eq!(all, [0, 1]);
    assert!(matches!(poll(&mut b), Polled::Idle));
    assert!(matches!(poll(&mut a), Polled::Revoked));
    assert!(matches!(poll(&mut a), Polled::Idle));
    // A last commit while the rebalance waits is accepted.
    put(&mut a, &[]);
    a.send_offsets(&[(at(IN, 0), position(1, "1"))], &old).unwrap();
    assert_eq!(a.commit().unwrap(), CommitOutcome::Committed);

    a.unassign().unwrap();
    let ((mine, fresh), (theirs, _)) = (assigned(&mut a), assigned(&mut b));
    assert_eq!((mine, theirs), (vec![0], vec![1]));
    put(&mut a, &[record(at(OUT, 0), "k", "v")]);
    let stale = a.send_offsets(&[(at(IN, 0), position(2, "2"))], &old);
    assert!(matches!(stale, Err(LogError::AbortRequired { .. })));
    assert!(matches!(a.commit(), Err(LogError::AbortRequired { .. })));
    a.abort().unwrap();
    put(&mut a, &[]);
    a.send_offsets(&[(at(IN, 1), position(9, "2"))], &fresh).unwrap();
    assert_eq!(a.commit().unwrap(), CommitOutcome::Committed);
    assert_eq!(broker.positions().len(), 2);
}

#[test]
fn an_expired_session_is_lost_and_its_member_unknown() {
    let broker = broker();
    let mut a = start(&broker, "a");
    let (_, old) = assigned(&mut a);
    assert!(broker.expire_session("a"));
    assert!(matches!(poll(&mut a), Polled::Lost));
    put(&mut a, &[]);
    assert!(matches!(
        a.send_offsets(&[(at(IN, 0), position(1, "1"))], &old),
        Err(LogError::AbortRequired { .. })
    ));
    a.abort().unwrap();
    assert!(assigned(&mut a).1.generation > old.generation);
}

#[test]
fn a_crashed_member_keeps_its_place_until_a_new_instance_takes_it() {
    let broker = broker();
    let mut a = start(&broker, "a");
    let (_, old) = assigned(&mut a);
    broker.set_hook(Box::new(|_| Fault::Crash));
    assert!(matches!(a.poll(Duration::ZERO), Err(LogError::Store { .. })));
    broker.clear_hook();
    assert!(a.begin().is_err());
    drop(a);
    let mut again = start(&broker, "a");
    let (all, group) = assigned(&mut again);
    assert_eq!((all, group.generation), (vec![0, 1], old.generation));
    assert_ne!(group.member, old.member);
}

#[test]
fn compaction_keeps_the_newest_committed_record_and_stays_below_the_stable_offset() {
    let broker = broker();
    let (mut a, mut b) = (start(&broker, "a"), start(&broker, "b"));
    put(&mut a, &[record(at(STATE, 0), "k", "old"), record(at(STATE, 0), "k", "kept")]);
    a.commit().unwrap();
    put(&mut a, &[record(at(STATE, 0), "k", "aborted")]);
    a.abort().unwrap();
    put(&mut b, &[record(at(STATE, 0), "other", "open")]);
    put(&mut a, &[record(at(STATE, 0), "k", "above")]);
    a.commit().unwrap();
    assert_eq!(broker.compact(STATE, false), 2);
    assert_eq!(values(&broker, STATE), ["kept", "above"]);
    b.commit().unwrap();
    assert_eq!(broker.compact(STATE, false), 1);
    assert_eq!(values(&broker, STATE), ["open", "above"]);
    assert!(broker.rot(at(STATE, 0), b"k"));
    let rotten = broker.committed_records(STATE).pop().unwrap().record.value.unwrap();
    assert_ne!(rotten, b"above");
    assert_eq!(broker.compact(OUT, true), 0);
}

#[test]
fn damage_is_a_flipped_a_short_and_a_missing_value() {
    let broker = broker();
    let mut a = start(&broker, "a");
    put(&mut a, &[record(at(STATE, 0), "k", "older"), record(at(STATE, 0), "k", "newest")]);
    a.commit().unwrap();
    assert!(broker.tear(at(STATE, 0), b"k"));
    assert_eq!(values(&broker, STATE), ["older", "new"]);
    assert!(broker.lose(at(STATE, 0), b"k") && !broker.lose(at(STATE, 0), b"k"));
    assert!(values(&broker, STATE).is_empty() && !broker.rot(at(STATE, 0), b"k"));
}

#[test]
fn membership_is_checked_and_counted_unless_the_client_does_without() {
    let positions = [(at(IN, 0), position(1, "1"))];
    let send = |weakness| {
        let broker = broker_with(|options| options.weakness = weakness);
        let mut a = start(&broker, "a");
        let (_, group) = assigned(&mut a);
        broker.expire_session("a");
        a.begin().unwrap();
        let refused = a.send_offsets(&positions, &group).is_err();
        (broker, a, refused)
    };
    let (broker, mut a, refused) = send(None);
    assert!(refused);
    assert_eq!(broker.counts().stale_generations, 1);
    a.abort().unwrap();
    a.begin().unwrap();
    let nobody = GroupMetadata { generation: -1, member: String::new() };
    assert!(a.send_offsets(&positions, &nobody).is_err(), "who names no member is refused as well");
    for weakness in [Weakness::FreshMembership, Weakness::NoMembership] {
        let (_, _, refused) = send(Some(weakness));
        assert!(!refused, "{weakness:?}");
    }
}

#[test]
fn a_number_that_an_input_lacks_is_handed_out_as_unusable() {
    let broker = broker();
    let mut a = start(&broker, "a");
    assigned(&mut a);
    broker.set_complete(1, false);
    assert!(matches!(poll(&mut a), Polled::Revoked));
    a.unassign().unwrap();
    match poll(&mut a) {
        Polled::Assigned { partitions, unusable, .. } => {
            assert_eq!((partitions, unusable), (vec![0], vec![1]));
        }
        other => panic!("not assigned: {other:?}"),
    }
    broker.set_complete(1, true);
    assert!(matches!(poll(&mut a), Polled::Revoked));
    a.unassign().unwrap();
    assert_eq!(assigned(&mut a).0, [0, 1]);
    assert_eq!(broker.counts().incomplete_assignments, 1);
}

#[test]
fn unstable_positions_are_told_before_their_outcome() {
    let broker = broker_with(|options| {
        options.auto_markers = false;
        options.weakness = Some(Weakness::UnstablePositions);
    });
    let mut a = start(&broker, "a");
    let (_, group) = assigned(&mut a);
    put(&mut a, &[]);
    a.send_offsets(&[(at(IN, 0), position(5, "1"))], &group).unwrap();
    a.commit().unwrap();
    assert_eq!(a.committed(&[at(IN, 0)]).unwrap(), Committed::Positions(vec![None]));
}

#[test]
fn slowness_is_told_in_each_calls_own_way() {
    let broker = broker();
    let mut a = start(&broker, "a");
    broker.set_hook(Box::new(|_| Fault::Slow(2)));
    for _ in 0..2 {
        assert_eq!(a.committed(&[]).unwrap(), Committed::Pending);
        assert!(matches!(poll(&mut a), Polled::Idle));
        assert!(matches!(a.begin(), Err(LogError::Unavailable { .. })));
    }
    broker.clear_hook();
    put(&mut a, &[record(at(OUT, 0), "k", "v")]);
    broker.set_hook(Box::new(|_| Fault::Slow(1)));
    assert_eq!(a.drain().unwrap(), Drain::Pending);
    assert_eq!(a.commit().unwrap(), CommitOutcome::Pending);
    broker.clear_hook();
    assert_eq!(a.commit().unwrap(), CommitOutcome::Committed);
    assert_eq!(values(&broker, OUT), ["v"]);
}

#[test]
fn a_partition_without_leader_is_neither_read_nor_drained_nor_marked() {
    let broker = broker();
    let mut a = start(&broker, "a");
    assigned(&mut a);
    a.assign(&[(at(IN, 0), 0), (at(IN, 1), 0)]).unwrap();
    broker.set_leader(at(IN, 0), false).unwrap();
    assert!(matches!(poll(&mut a), Polled::Drained { at: TopicPartition { partition: 1, .. }, .. }));
    assert!(matches!(poll(&mut a), Polled::Idle));
    assert!(matches!(a.watermarks(at(IN, 0)), Err(LogError::Unavailable { .. })));

    put(&mut a, &[record(at(OUT, 0), "k", "v")]);
    broker.set_leader(at(OUT, 0), false).unwrap();
    a.commit().unwrap();
    assert!(values(&broker, OUT).is_empty());
    broker.set_leader(at(OUT, 0), true).unwrap();
    assert_eq!(values(&broker, OUT), ["v"]);
    broker.set_available(false);
    assert!(matches!(a.poll(Duration::ZERO), Err(LogError::Unavailable { .. })));
}

#[test]
fn an_open_transaction_upstream_keeps_an_input_from_being_drained() {
    let broker = broker();
    let (mut a, mut upstream) = (start(&broker, "a"), start(&broker, "upstream"));
    assigned(&mut a);
    a.assign(&[(at(IN, 0), 0)]).unwrap();
    put(&mut upstream, &[record(at(IN, 0), "k", "v")]);
    assert!(matches!(poll(&mut a), Polled::Idle));
    upstream.commit().unwrap();
    assert!(matches!(poll(&mut a), Polled::Records(batch) if batch.len() == 1));
    assert!(matches!(poll(&mut a), Polled::Drained { position: 2, .. }), "the marker counts");
}

#[test]
fn a_closed_input_ends_once_per_assignment_when_all_of_it_was_read() {
    let broker = broker();
    broker.append(at(IN, 0), SimRecord::new(1, b"k", b"v")).unwrap();
    broker.close_input(at(IN, 0)).unwrap();
    assert!(broker.append(at(IN, 0), SimRecord::new(1, b"k", b"v")).is_err());
    let mut a = start(&broker, "a");
    assigned(&mut a);
    for from in [0, 1] {
        a.assign(&[(at(IN, 0), from), (at(IN, 1), 0)]).unwrap();
        let mut ends = 0;
        for index in 0..20 {
            match poll(&mut a) {
                Polled::Records(_) => assert_eq!((index, from, ends), (0, 0, 0)),
                Polled::End { at } => ends += u32::from(at.partition == 0),
                Polled::Drained { at, .. } => assert_eq!(at.partition, 1),
                _ => {}
            }
        }
        assert_eq!(ends, 1);
    }
}

#[test]
fn a_partition_is_withheld_until_there_is_a_new_handle() {
    let broker = broker();
    broker.append(at(IN, 1), SimRecord::new(1, b"k", b"other")).unwrap();
    let mut a = start(&broker, "a");
    assigned(&mut a);
    a.assign(&[(at(IN, 0), 0), (at(IN, 1), 0)]).unwrap();
    broker.set_hook(Box::new(|_| Fault::Withhold));
    assert!(matches!(poll(&mut a), Polled::Drained { at: TopicPartition { partition: 0, .. }, .. }));
    broker.append(at(IN, 0), SimRecord::new(1, b"k", b"withheld")).unwrap();
    for from in [0, 1] {
        // Being assigned again does not help.
        a.assign(&[(at(IN, 0), 0), (at(IN, 1), from)]).unwrap();
        for _ in 0..20 {
            match poll(&mut a) {
                Polled::Records(batch) => assert_eq!(batch.place(0).0.partition, 1),
                Polled::Drained { at, .. } => assert_eq!(at.partition, 1),
                _ => {}
            }
        }
    }
    assert!(broker.counts().withheld > 0);
    // Other readers see it.
    assert_eq!(a.read_range(at(IN, 0), 0, 1).unwrap().batch.len(), 1);
    broker.clear_hook();
    let mut b = start(&broker, "a");
    assigned(&mut b);
    b.assign(&[(at(IN, 0), 0)]).unwrap();
    assert!(matches!(poll(&mut b), Polled::Records(batch) if batch.len() == 1));
}

#[test]
fn a_hook_may_call_the_broker_between_any_two_calls() {
    let broker = broker();
    let inside = broker.clone();
    broker.set_hook(Box::new(move |site| match site.call {
        Call::SendOffsets => {
            assert!(inside.expire_session(site.member));
            Fault::None
        }
        Call::Commit => Fault::Fenced,
        _ => Fault::None,
    }));
    let mut a = start(&broker, "a");
    let (_, group) = assigned(&mut a);
    put(&mut a, &[]);
    assert!(a.send_offsets(&[(at(IN, 0), position(1, "1"))], &group).is_err());
    a.abort().unwrap();
    put(&mut a, &[record(at(OUT, 0), "k", "v")]);
    assert_eq!(a.commit().unwrap(), CommitOutcome::Fenced);
    assert!(broker.open_transactions().is_empty() && values(&broker, OUT).is_empty());
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let run = |seed| {
        let broker = broker_with(|options| {
            options.seed = Some(seed);
            options.poll_records = 3;
        });
        for index in 0..40u8 {
            let to = at(IN, u32::from(index % 2));
            broker.append(to, SimRecord::new(0, b"k", &[index])).unwrap();
        }
        let mut a = start(&broker, "a");
        assigned(&mut a);
        a.assign(&[(at(IN, 0), 0), (at(IN, 1), 0)]).unwrap();
        let mut order = Vec::new();
        while order.len() < 40 {
            if let Polled::Records(batch) = poll(&mut a) {
                order.extend((0..batch.len()).map(|index| batch.get(index).value.unwrap()[0]));
            }
        }
        order
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
}
