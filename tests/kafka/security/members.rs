//! A worker's whole way over a secured listener: joining, a transaction with positions, reading.

use std::time::Duration;

use accountpulse::log::kafka::{KafkaCluster, KafkaLog, KafkaOptions, TokenSource};
use accountpulse::log::{
    CommitOutcome, Committed, CommittedPosition, Drain, GroupMetadata, Log, LogError, OutRecord, Polled,
    RecordBatch,
};

use super::{PASSWORD, SOON, at, broker, mtls, oauth, scram, to, token};
use crate::support::Listener;

/// How often a call that may need repeating is made.
const TRIES: usize = 300;

/// Polls until something other than silence comes.
fn next<A>(log: &mut KafkaLog, mut wanted: impl FnMut(Polled<<KafkaLog as Log>::Batch>) -> Option<A>) -> A {
    let mut once = |_| match log.poll(Duration::from_millis(100)) {
        Ok(polled) => wanted(polled),
        Err(LogError::Unavailable { .. }) => None,
        Err(error) => panic!("{error}"),
    };
    (0..TRIES).find_map(&mut once).expect("the awaited did not come")
}

fn assigned(log: &mut KafkaLog) -> (Vec<u32>, GroupMetadata) {
    next(log, |polled| match polled {
        Polled::Assigned { partitions, group, .. } => Some((partitions, group)),
        _ => None,
    })
}

/// Joins, writes one record and the positions in one transaction, and reads the record.
fn works(mut options: KafkaOptions, group: &str) {
    options.group = group.to_owned();
    let cluster = KafkaCluster::new(options).unwrap();
    let mut log = cluster.member(0).unwrap();
    assert!((0..TRIES).any(|_| log.init().unwrap()));
    let (partitions, membership) = assigned(&mut log);
    assert_eq!(partitions, [0, 1]);
    let ends = [0, 1].map(|partition| (at(partition), log.watermarks(at(partition)).unwrap().end));
    log.assign(&ends).unwrap();

    log.begin().unwrap();
    let value = group.as_bytes().to_vec();
    let record = OutRecord {
        to: at(1),
        key: Some(b"acme".to_vec()),
        value: Some(value.clone()),
        headers: vec![],
        timestamp_ms: 1_750_000_000_123,
    };
    log.send(&record).unwrap();
    assert!((0..TRIES * 10).any(|_| log.drain().unwrap() == Drain::Done));
    let committed = ends.map(|(at, position)| (at, CommittedPosition { position, metadata: "7".to_owned() }));
    log.send_offsets(&committed, &membership).unwrap();
    let outcome =
        (0..TRIES).map(|_| log.commit().unwrap()).find(|outcome| *outcome != CommitOutcome::Pending);
    assert_eq!(outcome, Some(CommitOutcome::Committed));

    next(&mut log, |polled| match polled {
        Polled::Records(batch) => {
            (0..batch.len()).any(|index| batch.get(index).value == Some(&value)).then_some(())
        }
        _ => None,
    });
    let expected = committed.map(|(_, position)| Some(position)).to_vec();
    assert_eq!(cluster.positions(&[at(0), at(1)], SOON).unwrap(), expected);
    let stable = log.committed(&[at(0), at(1)]).unwrap();
    assert_eq!(stable, Committed::Positions(expected));
    let members = cluster.members(SOON).unwrap();
    assert_eq!(members[0].instance(), Some("pod-0"));
    assert_eq!(cluster.trouble(), None);
}

#[test]
fn a_worker_works_by_scram() {
    works(to(Listener::Scram, scram("alice", PASSWORD)), "open-by-scram");
}

#[test]
fn a_worker_works_by_certificate() {
    let certificates = broker().certificates();
    let security = mtls(certificates.client.clone(), certificates.client_key.clone());
    works(to(Listener::Mtls, security), "open-by-certificate");
}

#[test]
fn a_worker_works_by_token() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token("bob", 3600)).unwrap();
    works(to(Listener::OAuth, oauth(TokenSource::File(file))), "open-by-token");
}
