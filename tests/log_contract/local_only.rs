//! What only the embedded log promises: one file, one process, one disk.

use std::sync::Arc;
use std::time::Duration;

use accountpulse::log::local::{
    FILE_NAME, LocalError, LocalOptions, LocalReader, LocalStore, LocalTopic, TopicKind,
};
use accountpulse::log::{AppendRecord, CommittedPosition, Log, Offset, Polled, RecordBatch, TopicPartition};
use tempfile::TempDir;

use super::harness::{Harness, IN, OUT, STATE, assignment, at, commit, out, put, text, values};
use super::implementations::{Local, local_options};

/// Far longer than any wait that succeeds.
const LONG: Duration = Duration::from_secs(60);

fn input(at: TopicPartition, value: &str, timestamp_ms: i64) -> AppendRecord {
    AppendRecord {
        at,
        key: None,
        value: Some(value.into()),
        headers: vec![("h".into(), b"v".to_vec())],
        timestamp_ms,
    }
}

fn refusal(opened: Result<Arc<LocalStore>, LocalError>) -> String {
    opened.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn a_copy_taken_while_the_store_runs_opens_with_everything_acknowledged() {
    // What a kill leaves behind: the file as it is, never closed.
    let local = Local::open();
    local.append(at(IN, 0), "k", "in");
    let mut log = local.member();
    let (_, group) = assignment(&mut log);
    put(&mut log, &[out(at(OUT, 0), "k", "out"), out(at(STATE, 0), "k", "state")]);
    let position = CommittedPosition { position: 1, metadata: "1".into() };
    log.send_offsets(&[(at(IN, 0), position.clone())], &group).unwrap();
    commit(&mut log);

    let copy = TempDir::new().unwrap();
    std::fs::copy(local.dir.path().join(FILE_NAME), copy.path().join(FILE_NAME)).unwrap();
    let reader = LocalReader::open(copy.path()).unwrap();
    let topic = reader.topic("out").unwrap();
    let (batch, position_after) = reader.read(at(topic, 0), 0, 1000).unwrap();
    assert_eq!((text(batch.get(0).value), position_after), ("out".to_owned(), 1));
    assert_eq!(reader.position(at(reader.topic("in").unwrap(), 0)), Some(&position));
    drop(reader);
    let opened = LocalStore::open(copy.path(), local_options()).unwrap();
    assert_eq!(opened.position(at(IN, 0)).unwrap(), Some(position));
    assert_eq!(opened.read(at(IN, 0), 0, 1000).unwrap().0.len(), 1);
}

#[test]
fn another_partition_count_is_refused_with_both_numbers() {
    let Local { store, dir, .. } = Local::open();
    drop(store);
    let options = LocalOptions { partitions: 8, ..local_options() };
    let said = refusal(LocalStore::open(dir.path(), options));
    assert!(said.contains("created with 2 partitions") && said.contains("says 8"), "{said}");
    assert!(said.contains("set partitions back to 2"), "{said}");
}

#[test]
fn a_second_open_names_the_directory_and_the_way_out() {
    let local = Local::open();
    let said = refusal(LocalStore::open(local.dir.path(), local_options()));
    assert!(said.contains(&local.dir.path().display().to_string()), "{said}");
    assert!(said.contains("in use by another accountpulse; stop it, or use --url"), "{said}");
    let said = LocalReader::open(local.dir.path()).map(|_| ()).unwrap_err().to_string();
    assert!(said.contains("in use"), "{said}");
}

#[test]
fn what_is_not_a_log_is_named() {
    let dir = TempDir::new().unwrap();
    assert!(matches!(LocalReader::open(dir.path()), Err(LocalError::Missing { .. })));
    std::fs::write(dir.path().join(FILE_NAME), vec![7; 10_000]).unwrap();
    let said = refusal(LocalStore::open(dir.path(), local_options()));
    assert!(said.contains("is damaged"), "{said}");
    let said = refusal(LocalStore::open(&dir.path().join(FILE_NAME), local_options()));
    assert!(said.contains("is no directory") && said.contains("name another one"), "{said}");
}

#[test]
fn topics_keep_their_data_when_the_configuration_reorders_them() {
    let local = Local::open();
    local.append(at(IN, 0), "k", "in");
    let Local { store, dir, .. } = local;
    drop(store);
    let mut options = local_options();
    options.topics.reverse();
    let topic =
        LocalTopic { name: "more".into(), kind: TopicKind::Input, compacted: false, retention_ms: None };
    options.topics.insert(0, topic);
    let store = LocalStore::open(dir.path(), options.clone()).unwrap();
    let moved = at(store.topic("in").unwrap(), 0);
    assert_eq!((moved.topic.0, store.watermarks(moved).unwrap().end), (3, 1));
    drop(store);

    for (index, compacted) in [(1, false), (3, true)] {
        let mut wrong = options.clone();
        wrong.topics[index].compacted = compacted;
        assert!(matches!(LocalStore::open(dir.path(), wrong), Err(LocalError::Topic { .. })));
    }
}

#[test]
fn retention_takes_old_records_but_never_inputs_at_or_above_the_floor() {
    let local = Local::open();
    for (index, timestamp_ms) in [(0, 10), (1, 20), (2, 30), (3, 5000)] {
        local.store.append(vec![input(at(IN, 0), &index.to_string(), timestamp_ms)]).unwrap();
    }
    let mut log = local.member();
    put(&mut log, &[out(at(OUT, 0), "k", "old")]);
    commit(&mut log);
    put(&mut log, &[out(at(STATE, 0), "k", "old but newest")]);
    commit(&mut log);
    let start = || local.store.watermarks(at(IN, 0)).unwrap().start;

    assert_eq!(local.store.delete_expired(3000).unwrap(), 1, "the output only: there is no floor yet");
    assert_eq!(start(), 0);
    local.store.set_retention_floor(at(IN, 0), 2).unwrap();
    assert_eq!(local.store.delete_expired(3000).unwrap(), 2);
    assert_eq!(start(), 2);
    local.store.set_retention_floor(at(IN, 0), 100).unwrap();
    assert_eq!(local.store.delete_expired(3000).unwrap(), 1);
    assert_eq!(start(), 3);
    assert_eq!(local.store.delete_expired(3000).unwrap(), 0);
    assert_eq!(values(&mut log, at(STATE, 0)), ["old but newest"]);
    drop(log);
    assert_eq!(local.reopen().store.watermarks(at(IN, 0)).unwrap().start, 3);
}

#[test]
fn records_stored_together_go_together_once_all_are_below_the_floor() {
    let local = Local::open();
    local.store.append((0..2).map(|index| input(at(IN, 0), &index.to_string(), 10)).collect()).unwrap();
    for (floor, deleted, start) in [(1, 0, 0), (2, 1, 2)] {
        local.store.set_retention_floor(at(IN, 0), floor).unwrap();
        assert_eq!(local.store.delete_expired(3000).unwrap(), deleted);
        assert_eq!(local.store.watermarks(at(IN, 0)).unwrap().start, start);
    }
}

#[test]
fn concurrent_appends_get_distinct_offsets_in_their_own_order() {
    let local = Local::open();
    let threads: Vec<_> = (0..4)
        .map(|caller| {
            let store = Arc::clone(&local.store);
            std::thread::spawn(move || -> Vec<(Offset, String)> {
                let mut mine = Vec::new();
                for round in 0..25 {
                    let name = |index| format!("{caller}.{round}.{index}");
                    // Every other record goes elsewhere: offsets come back in the caller's order.
                    let records = (0..6).map(|index| input(at(IN, index % 2), &name(index), 0)).collect();
                    let offsets = store.append(records).unwrap();
                    mine.extend(
                        (0..6).filter(|index| index % 2 == 0).map(|i| (offsets[i as usize], name(i))),
                    );
                }
                mine
            })
        })
        .collect();
    let mut all: Vec<_> = threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    all.sort();
    let (batch, end) = local.store.read(at(IN, 0), 0, usize::MAX).unwrap();
    let stored: Vec<_> = (0..batch.len()).map(|i| (batch.get(i).offset, text(batch.get(i).value))).collect();
    assert_eq!((stored, end), (all, 300));
}

#[test]
fn a_waiting_poll_wakes_at_an_append_and_a_waiting_reader_at_any_change() {
    let local = Local::open();
    let mut log = local.member();
    assignment(&mut log);
    log.assign(&[(at(IN, 0), 0)]).unwrap();
    let seen = local.store.changes();
    let store = Arc::clone(&local.store);
    let reader = std::thread::spawn(move || store.wait_for_change(seen, LONG));
    let (asleep, sleeps) = std::sync::mpsc::channel();
    let poller = std::thread::spawn(move || {
        asleep.send(()).unwrap();
        loop {
            match log.poll(LONG).unwrap() {
                Polled::Records(batch) => return text(batch.get(0).value),
                Polled::Drained { .. } => {}
                _ => panic!("it slept over the append"),
            }
        }
    });
    sleeps.recv().unwrap();
    local.append(at(IN, 0), "k", "news");
    assert_eq!(poller.join().unwrap(), "news");
    assert!(reader.join().unwrap() > seen);
    assert_eq!(local.store.wait_for_change(local.store.changes(), Duration::ZERO), local.store.changes());
}

#[test]
fn each_side_writes_its_own_topics_only() {
    let local = Local::open();
    let refused = local.store.append(vec![input(at(OUT, 0), "v", 0)]);
    assert!(matches!(refused, Err(LocalError::WrongSide { .. })));
    assert!(matches!(local.store.append(vec![input(at(IN, 9), "v", 0)]), Err(LocalError::Unknown { .. })));
    let mut log = local.member();
    log.begin().unwrap();
    assert!(log.send(&out(at(IN, 0), "k", "v")).is_err());
}

#[test]
fn large_appends_and_commits_come_back_whole() {
    let local = Local::open();
    let value = "x".repeat(700_000);
    let records = (0..5).map(|_| input(at(IN, 0), &value, 0)).collect();
    assert_eq!(local.store.append(records).unwrap(), [0, 1, 2, 3, 4]);
    let mut log = local.member();
    put(
        &mut log,
        &[out(at(OUT, 0), "k", &value), out(at(STATE, 0), "k", &value), out(at(OUT, 0), "k", "small")],
    );
    commit(&mut log);
    assert_eq!(values(&mut log, at(IN, 0)).len(), 5);
    assert_eq!(values(&mut log, at(OUT, 0)), [value.as_str(), "small"]);
    assert_eq!(values(&mut log, at(STATE, 0)), [value]);
    let (batch, next) = local.store.read(at(IN, 0), 3, 1).unwrap();
    assert_eq!((batch.len(), batch.get(0).offset, next), (1, 3, 4));
}
