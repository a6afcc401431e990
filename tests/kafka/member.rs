//! Members of a group that share inputs: what moves, what stays, and what it costs to leave.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use accountpulse::clock;
use accountpulse::log::kafka::KafkaLog;
use accountpulse::log::{
    CommittedPosition, GroupMetadata, Log, Offset, Polled, RecordBatch, TopicId, TopicPartition,
};

use crate::cluster::Cluster;
use crate::harness::{Harness, assignment, at, commit, next, out, put, ready, text, until, values};

const WAIT: Duration = Duration::from_millis(5);
const PARTITIONS: u32 = 4;
const INPUTS: [TopicId; 2] = [TopicId(0), TopicId(1)];
const OUT: TopicId = TopicId(2);

/// Copies its inputs to the output, a transaction per batch, as the worker would.
struct Copier {
    log: KafkaLog,
    owned: Vec<u32>,
    group: Option<GroupMetadata>,
    positions: BTreeMap<TopicPartition, Offset>,
    /// What happened to its membership.
    history: Vec<&'static str>,
}

impl Copier {
    fn join(cluster: &Cluster) -> Copier {
        let log = ready(cluster.cluster.member(0).unwrap());
        Copier { log, owned: Vec::new(), group: None, positions: BTreeMap::new(), history: Vec::new() }
    }

    fn step(&mut self) {
        match self.log.poll(WAIT).unwrap() {
            Polled::Assigned { partitions, unusable, group } => {
                assert_eq!(unusable, [0; 0]);
                self.history.push("assigned");
                (self.owned, self.group) = (partitions, Some(group));
                self.start();
            }
            Polled::Revoked => {
                self.history.push("revoked");
                self.commit(&[]);
                self.log.unassign().unwrap();
                self.owned.clear();
            }
            Polled::Lost => {
                self.history.push("lost");
                self.owned.clear();
            }
            Polled::Records(batch) => {
                let mut copies = Vec::new();
                for index in 0..batch.len() {
                    let record = batch.get(index);
                    assert_eq!(self.positions[&record.at], record.offset, "{:?}", record.at);
                    assert_eq!(batch.header(index, "h"), Some(&b"v"[..]));
                    self.positions.insert(record.at, record.offset + 1);
                    copies.push(out(at(OUT, record.at.partition), "k", &text(record.value)));
                }
                self.commit(&copies);
            }
            Polled::Drained { at, position, .. } => assert_eq!(self.positions[&at], position),
            Polled::Idle | Polled::End { .. } => {}
        }
    }

    fn start(&mut self) {
        let all: Vec<_> = self.owned.iter().flat_map(|p| INPUTS.map(|topic| at(topic, *p))).collect();
        let found = until("stable positions", || match self.log.committed(&all).unwrap() {
            accountpulse::log::Committed::Positions(found) => Some(found),
            accountpulse::log::Committed::Pending => None,
        });
        let position = |found: &Option<CommittedPosition>| found.as_ref().map_or(0, |found| found.position);
        self.positions = all.iter().copied().zip(found.iter().map(position)).collect();
        let positions: Vec<_> = self.positions.iter().map(|(at, position)| (*at, *position)).collect();
        self.log.assign(&positions).unwrap();
    }

    fn commit(&mut self, copies: &[accountpulse::log::OutRecord]) {
        put(&mut self.log, copies);
        let positions = self.positions.iter();
        let positions: Vec<_> = positions
            .map(|(at, position)| (*at, CommittedPosition { position: *position, metadata: "n".into() }))
            .collect();
        self.log.send_offsets(&positions, self.group.as_ref().unwrap()).unwrap();
        commit(&mut self.log);
    }
}

/// Everything there is to copy, in the order of its partition.
fn input(count: u32, from: u32) -> impl Iterator<Item = (TopicPartition, String)> {
    (from..from + count).map(|number| {
        let partition = number % PARTITIONS;
        let topic = INPUTS[(number / PARTITIONS % 2) as usize];
        (at(topic, partition), format!("{}-{number:06}", topic.0))
    })
}

fn owned(copiers: &[&Copier]) -> Vec<u32> {
    let mut all: Vec<u32> = copiers.iter().flat_map(|copier| copier.owned.iter().copied()).collect();
    all.sort_unstable();
    all
}

/// Every record once, those of one input partition in their order.
fn assert_copied(log: &mut KafkaLog, count: u32) {
    let mut seen = BTreeSet::new();
    for partition in 0..PARTITIONS {
        let copied = values(log, at(OUT, partition));
        for topic in ["0-", "1-"] {
            let of_topic: Vec<_> = copied.iter().filter(|value| value.starts_with(topic)).collect();
            assert!(of_topic.is_sorted(), "{partition}: {of_topic:?}");
        }
        for value in copied {
            assert!(seen.insert(value.clone()), "{value} was copied twice");
        }
    }
    assert_eq!(seen.len(), count as usize);
}

#[test]
fn partitions_move_between_members_without_loss_and_a_restart_moves_none() {
    let one = Cluster::with(&["in-a", "in-b"], PARTITIONS, &[]);
    let two = one.as_instance("two");
    one.append_all(input(400, 0));
    let mut first = Copier::join(&one);
    until("all partitions", || {
        first.step();
        (first.owned == [0, 1, 2, 3] && first.positions.values().sum::<u64>() > 0).then_some(())
    });

    let mut second = Copier::join(&two);
    one.append_all(input(400, 400));
    until("a shared group", || {
        first.step();
        second.step();
        (first.owned.len() == 2 && second.owned.len() == 2).then_some(())
    });
    assert_eq!(owned(&[&first, &second]), [0, 1, 2, 3]);
    assert_eq!(first.history, ["assigned", "revoked", "assigned"]);

    // Back within the session: the same partitions, and the other one hears nothing of it.
    let before = second.owned.clone();
    drop(second);
    let mut second = Copier::join(&two);
    one.append_all(input(400, 800));
    until("the return", || {
        first.step();
        second.step();
        (!second.owned.is_empty()).then_some(())
    });
    assert_eq!(second.owned, before);
    until("everything", || {
        first.step();
        second.step();
        let positions = first.positions.values().chain(second.positions.values());
        (positions.sum::<u64>() == 1200).then_some(())
    });
    assert_eq!(first.history, ["assigned", "revoked", "assigned"]);
    assert_copied(&mut first.log, 1200);
}

#[test]
fn partitions_that_an_input_lacks_are_named() {
    let (long, short) = (Cluster::with(&["in-a"], 2, &[]), Cluster::with(&["in-b"], 1, &[]));
    let mut options = long.options.clone();
    options.topics.insert(1, short.options.topics[0].clone());
    options.inputs = INPUTS.to_vec();
    let mut log = ready(Cluster::of(options).cluster.member(0).unwrap());
    let Polled::Assigned { partitions, unusable, .. } = next(&mut log) else { panic!("not assigned") };
    assert_eq!((partitions, unusable), (vec![0], vec![1]));
}

#[test]
fn a_batch_keeps_the_order_of_every_partition() {
    let cluster = Cluster::with(&["in-a", "in-b"], PARTITIONS, &[]);
    let count = 40_000;
    for start in (0..count).step_by(10_000) {
        cluster.append_all(input(10_000, start));
    }
    let mut log = cluster.member();
    let (partitions, _) = assignment(&mut log);
    let all: Vec<_> = partitions.iter().flat_map(|p| INPUTS.map(|topic| (at(topic, *p), 0))).collect();
    // Also when reading begins anew while it runs.
    for _ in 0..3 {
        log.assign(&all).unwrap();
        let mut next: BTreeMap<TopicPartition, Offset> = all.iter().copied().collect();
        let mut seen = 0;
        until("all records", || {
            if let Polled::Records(batch) = log.poll(WAIT).unwrap() {
                for index in 0..batch.len() {
                    let record = batch.get(index);
                    assert_eq!(next.insert(record.at, record.offset + 1), Some(record.offset));
                }
                seen += batch.len();
            }
            (seen == count as usize).then_some(())
        });
    }
}

#[test]
fn a_member_leaves_at_once_and_its_batches_outlive_it() {
    let cluster = Cluster::with(&["in"], 1, &[]);
    cluster.append(at(TopicId(0), 0), "k", "v");
    let mut log = cluster.member();
    assignment(&mut log);
    log.assign(&[(at(TopicId(0), 0), 0)]).unwrap();
    let batch = until("a record", || match log.poll(WAIT).unwrap() {
        Polled::Records(batch) => Some(batch),
        _ => None,
    });
    let range = log.read_range(at(TopicId(0), 0), 0, 1).unwrap();
    put(&mut log, &[out(at(TopicId(1), 0), "k", "never committed")]);
    let began = clock::monotonic();
    drop(log);
    assert_eq!(text(batch.get(0).value), "v");
    drop((batch, range));
    let took = began.elapsed();
    assert!(took < Duration::from_secs(1), "{took:?}");

    // Wherever it stands in the group: joining, given partitions it has not seen, reading.
    for polls in [0, 1, 20, 400] {
        let mut log = cluster.member();
        let mut happenings = 0;
        for _ in 0..polls {
            happenings += usize::from(!matches!(log.poll(WAIT).unwrap(), Polled::Idle));
        }
        assert!(polls < 400 || happenings > 0, "no assignment");
        let began = clock::monotonic();
        drop(log);
        let took = began.elapsed();
        assert!(took < Duration::from_secs(1), "after {polls} polls: {took:?}");
    }
}

#[test]
fn a_member_that_leaves_in_the_middle_of_a_revocation_holds_nothing_up() {
    for seen in [false, true] {
        let one = Cluster::with(&["in-a", "in-b"], PARTITIONS, &[]);
        let two = one.as_instance("two");
        let mut first = ready(one.cluster.member(0).unwrap());
        assignment(&mut first);
        let mut second = ready(two.cluster.member(0).unwrap());
        if seen {
            until("the revocation", || matches!(next(&mut first), Polled::Revoked).then_some(()));
        } else {
            // It stands in a queue that nobody serves.
            let _ = second.poll(Duration::from_millis(500)).unwrap();
        }
        let began = clock::monotonic();
        drop((first, second));
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    }
}

/// More than the slow reader below takes in the time of several questions for ends.
const BACKLOG: u64 = 400_000;
/// Attempts before the test gives up; the first is enough unless the machine stands still.
const ROUNDS: usize = 3;

/// Work, so that records come in faster than they are read and no poll is without any.
fn labour(batch: &impl RecordBatch) -> u32 {
    let mut sum = 0_u32;
    for index in 0..batch.len() {
        let value = batch.get(index).value.unwrap_or_default();
        for _ in 0..60 {
            sum = value.iter().fold(sum, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
        }
    }
    sum
}

#[test]
fn the_silence_of_one_topic_is_heard_while_another_has_a_backlog() {
    let cluster = Cluster::with(&["busy", "quiet"], 1, &[]);
    let (busy, quiet) = (at(INPUTS[0], 0), at(INPUTS[1], 0));
    for _ in 0..BACKLOG / 20_000 {
        cluster.append_all((0..20_000).map(|_| (busy, "x".repeat(100))));
    }
    let mut log = cluster.member();
    assignment(&mut log);
    let heard_in_time = |log: &mut KafkaLog| {
        log.assign(&[(busy, 0), (quiet, 0)]).unwrap();
        let (mut position, mut first) = (0, None);
        while position < BACKLOG {
            match log.poll(WAIT).unwrap() {
                Polled::Records(batch) => {
                    first.get_or_insert_with(clock::monotonic);
                    position = batch.get(batch.len() - 1).offset + 1;
                    std::hint::black_box(labour(&batch));
                }
                // Asked before the first record came it proves nothing about the time after.
                Polled::Drained { at, asked_ms_ago, .. } if at == quiet => {
                    let since = first.map(|first| clock::monotonic().duration_since(first).as_millis());
                    if since.is_some_and(|since| asked_ms_ago < since as i64) {
                        return true;
                    }
                }
                _ => {}
            }
        }
        false
    };
    assert!((0..ROUNDS).any(|_| heard_in_time(&mut log)), "silence was heard only after the backlog");
}
