//! The promises. Each function is one of them, for any implementation.
//!
//! They hold for an embedded log and for a cluster alike, so none of them knows more than the trait
//! says: offsets may have gaps, compaction may come later, a commit may be seen a moment after it.

/// Hands the names of all promises to a macro that makes tests of them.
#[macro_export]
macro_rules! promises {
    ($run:ident) => {
        $run! {
            the_assignment_comes_first_and_holds_all_partitions
            records_of_a_partition_come_in_order_from_the_assigned_position
            outputs_and_positions_become_visible_together
            what_is_aborted_or_dropped_is_never_visible
            an_empty_transaction_commits
            a_range_can_be_walked_in_small_steps
            records_come_back_as_they_were_sent
            a_compacted_topic_keeps_the_newest_record_of_each_key
            commits_survive_a_reopen
            the_last_sent_offset_is_the_one_that_is_read
            nothing_is_refused_in_silence
            a_full_buffer_takes_nothing_and_loses_nothing
            assigning_again_replaces_all_positions
            positions_that_do_not_exist_are_refused
            an_input_that_was_read_to_its_end_is_reported_again_and_again
            a_newer_member_fences_the_older
            positions_under_another_membership_are_refused
            a_position_may_move_without_outputs
        }
    };
}

use std::time::Duration;

use accountpulse::log::{
    CommitOutcome, CommittedPosition, GroupMetadata, Log, LogError, Offset, OutRecord, Polled, RecordBatch,
    Watermarks,
};

use super::harness::{
    Harness, IN, OUT, STATE, assignment, at, commit, committed, newest, next, out, poll_error, put, read_all,
    read_with, take, until, values, visible,
};

fn position(position: Offset, metadata: &str) -> CommittedPosition {
    CommittedPosition { position, metadata: metadata.into() }
}

pub fn the_assignment_comes_first_and_holds_all_partitions<H: Harness>() {
    let harness = H::open();
    harness.append(at(IN, 0), "k", "v");
    let mut log = harness.member();
    match next(&mut log) {
        Polled::Assigned { partitions, .. } => assert_eq!(partitions, [0, 1]),
        other => panic!("{other:?}", other = kind(&other)),
    }
    // Nothing is read before it is assigned.
    for _ in 0..5 {
        assert_eq!(kind(&log.poll(Duration::ZERO).unwrap()), "idle");
    }
}

fn kind<B>(polled: &Polled<B>) -> &'static str {
    match polled {
        Polled::Idle => "idle",
        Polled::Records(_) => "records",
        Polled::Assigned { .. } => "assigned",
        Polled::Revoked => "revoked",
        Polled::Lost => "lost",
        Polled::Drained { .. } => "drained",
        Polled::End { .. } => "end",
    }
}

pub fn records_of_a_partition_come_in_order_from_the_assigned_position<H: Harness>() {
    let harness = H::open();
    for index in 0..10 {
        harness.append(at(IN, index % 2), "k", &index.to_string());
    }
    let mut log = harness.member();
    assignment(&mut log);
    log.assign(&[(at(IN, 0), 2), (at(IN, 1), 0)]).unwrap();
    let seen = take(&mut log, 8);
    let of = |partition| seen.iter().filter(move |found| found.0 == partition).map(|found| found.2.as_str());
    assert_eq!(of(0).collect::<Vec<_>>(), ["4", "6", "8"]);
    assert_eq!(of(1).collect::<Vec<_>>(), ["1", "3", "5", "7", "9"]);
}

pub fn outputs_and_positions_become_visible_together<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    put(&mut log, &[out(at(OUT, 0), "a", "1"), out(at(STATE, 1), "b", "2")]);
    assert_eq!(visible(&mut log, at(OUT, 0)), 0);
    log.send_offsets(&[(at(IN, 0), position(7, "n=1"))], &group).unwrap();
    assert_eq!(visible(&mut log, at(STATE, 1)), 0);
    commit(&mut log);
    assert_eq!(values(&mut log, at(OUT, 0)), ["1"]);
    assert_eq!(values(&mut log, at(STATE, 1)), ["2"]);
    assert_eq!(committed(&mut log), [None, Some(position(7, "n=1"))]);
}

pub fn what_is_aborted_or_dropped_is_never_visible<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    put(&mut log, &[out(at(OUT, 0), "a", "aborted")]);
    log.send_offsets(&[(at(IN, 0), position(1, "1"))], &group).unwrap();
    log.abort().unwrap();
    put(&mut log, &[out(at(OUT, 0), "a", "kept")]);
    commit(&mut log);
    put(&mut log, &[out(at(OUT, 0), "a", "dropped")]);
    drop(log);
    let mut log = harness.member();
    assert_eq!(values(&mut log, at(OUT, 0)), ["kept"]);
    assert_eq!(committed(&mut log), [None, None]);
}

pub fn an_empty_transaction_commits<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    put(&mut log, &[]);
    commit(&mut log);
    assert_eq!(log.watermarks(at(OUT, 0)).unwrap(), Watermarks { start: 0, end: 0 });
}

pub fn a_range_can_be_walked_in_small_steps<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    for round in 0..5 {
        let records: Vec<_> = (0..3).map(|index| out(at(OUT, 0), "k", &format!("{round}.{index}"))).collect();
        put(&mut log, &records);
        commit(&mut log);
    }
    let end = log.watermarks(at(OUT, 0)).unwrap().end;
    let (mut from, mut seen, mut steps) = (0, Vec::new(), 0);
    until("the end", || {
        if from >= end {
            return Some(());
        }
        let range = log.read_range(at(OUT, 0), from, 1).unwrap();
        assert!(range.position >= from);
        for index in 0..range.batch.len() {
            let record = range.batch.get(index);
            assert!((from..range.position).contains(&record.offset));
            seen.push(record.offset);
        }
        from = range.position;
        steps += 1;
        None
    });
    assert_eq!(seen, read_all(&mut log, at(OUT, 0)).iter().map(|found| found.0).collect::<Vec<_>>());
    assert_eq!((seen.len(), seen.is_sorted()), (15, true));
    assert!(steps >= 15, "a byte limit of one gives one record at a time");
    let last = log.read_range(at(OUT, 0), end, 1).unwrap();
    assert!(last.batch.is_empty() && last.position >= end);
}

pub fn records_come_back_as_they_were_sent<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    let headers =
        vec![("h".into(), b"1".into()), ("other".into(), Vec::new().into()), ("h".into(), b"2".into())];
    let full = OutRecord { headers, timestamp_ms: 5, ..out(at(OUT, 1), "key", "") };
    let bare =
        OutRecord { key: None, value: None, timestamp_ms: 1_700_000_000_123, ..out(at(OUT, 1), "", "") };
    put(&mut log, &[full, bare]);
    commit(&mut log);
    let mut seen = 0;
    read_with(&mut log, at(OUT, 1), |batch, index| {
        let record = batch.get(index);
        let found = (record.key, record.value, record.timestamp_ms);
        let header = |name| batch.header(index, name);
        match seen {
            0 => {
                assert_eq!(found, (Some(&b"key"[..]), Some(&b""[..]), 5));
                assert_eq!((header("h"), header("other")), (Some(&b"2"[..]), Some(&b""[..])));
                assert_eq!(header("none"), None);
                let mut all = Vec::new();
                batch.each_header(index, &mut |name, value| all.push((name, value)));
                assert_eq!(all, [("h", &b"1"[..]), ("other", b""), ("h", b"2")]);
            }
            _ => {
                assert_eq!(found, (None, None, 1_700_000_000_123));
                assert_eq!(header("h"), None);
            }
        }
        seen += 1;
    });
    assert_eq!(seen, 2);
}

pub fn a_compacted_topic_keeps_the_newest_record_of_each_key<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    put(&mut log, &[out(at(STATE, 0), "a", "1"), out(at(STATE, 0), "b", "2"), out(at(STATE, 0), "a", "3")]);
    commit(&mut log);
    put(&mut log, &[out(at(STATE, 0), "b", "aborted")]);
    log.abort().unwrap();
    // The same key in another partition is another key.
    put(&mut log, &[out(at(STATE, 1), "a", "4"), out(at(STATE, 0), "c", "5")]);
    commit(&mut log);
    let first = [("a", "3"), ("b", "2"), ("c", "5")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    assert_eq!(newest(&mut log, at(STATE, 0)), first);
    let before = log.watermarks(at(STATE, 0)).unwrap();
    harness.compact();
    assert_eq!(newest(&mut log, at(STATE, 0)), first);
    assert_eq!(newest(&mut log, at(STATE, 1)), [("a".to_owned(), "4".to_owned())]);
    assert_eq!(log.watermarks(at(STATE, 0)).unwrap(), before, "offsets stay what they were");
}

pub fn commits_survive_a_reopen<H: Harness>() {
    let harness = H::open();
    harness.append(at(IN, 0), "k", "in");
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    put(
        &mut log,
        &[out(at(OUT, 0), "a", "out"), out(at(STATE, 0), "a", "old"), out(at(STATE, 0), "a", "new")],
    );
    log.send_offsets(&[(at(IN, 0), position(1, "n=8 ünïcode"))], &group).unwrap();
    commit(&mut log);
    put(&mut log, &[out(at(OUT, 0), "a", "open")]);
    drop(log);

    let harness = harness.reopen();
    harness.compact();
    let mut log = harness.member();
    assignment(&mut log);
    assert_eq!(committed(&mut log), [None, Some(position(1, "n=8 ünïcode"))]);
    assert_eq!(values(&mut log, at(OUT, 0)), ["out"]);
    assert_eq!(newest(&mut log, at(STATE, 0)), [("a".to_owned(), "new".to_owned())]);
    assert_eq!(values(&mut log, at(IN, 0)), ["in"]);
    let end = log.watermarks(at(IN, 0)).unwrap().end;
    harness.append(at(IN, 0), "k", "later");
    let later = read_all(&mut log, at(IN, 0)).pop();
    assert_eq!(later, Some((end, "later".to_owned())), "offsets go on where they were");
}

pub fn the_last_sent_offset_is_the_one_that_is_read<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    for round in 0..3 {
        put(
            &mut log,
            &[
                out(at(OUT, 0), "k", "x"),
                out(at(OUT, 0), "k", &round.to_string()),
                out(at(STATE, 1), "k", "s"),
            ],
        );
        let (last, state) = (log.last_sent(at(OUT, 0)).unwrap(), log.last_sent(at(STATE, 1)).unwrap());
        assert_eq!(log.last_sent(at(OUT, 1)), None);
        commit(&mut log);
        assert_eq!(read_all(&mut log, at(OUT, 0)).pop(), Some((last, round.to_string())));
        assert_eq!(read_all(&mut log, at(STATE, 1)).pop(), Some((state, "s".to_owned())));
        put(&mut log, &[]);
        assert_eq!(log.last_sent(at(OUT, 0)), None, "it belongs to its transaction");
        log.abort().unwrap();
    }
}

pub fn nothing_is_refused_in_silence<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    assert!(log.send(&out(at(OUT, 0), "k", "v")).is_err(), "no transaction");
    assert!(log.send_offsets(&[(at(IN, 0), position(0, ""))], &group).is_err(), "no transaction");
    assert!(log.commit().is_err() && log.abort().is_err() && log.drain().is_err(), "no transaction");
    log.begin().unwrap();
    assert!(log.begin().is_err(), "one at a time");
    assert!(log.send(&out(at(OUT, 9), "k", "v")).is_err(), "no such partition");
    assert!(log.watermarks(at(OUT, 9)).is_err());
    assert!(log.read_range(at(OUT, 9), 0, 1).is_err());
    assert!(log.assign(&[(at(IN, 9), 0)]).is_err());
}

pub fn a_full_buffer_takes_nothing_and_loses_nothing<H: Harness>() {
    let harness = H::open_small();
    let mut log = harness.member();
    put(&mut log, &[]);
    let mut full = 0;
    for index in 0..20 {
        let record = out(at(OUT, 0), "k", &format!("{index:05}"));
        match log.send(&record) {
            Ok(()) => {}
            Err(LogError::BufferFull) => {
                full += 1;
                commit(&mut log);
                log.begin().unwrap();
                log.send(&record).unwrap();
            }
            Err(other) => panic!("{other}"),
        }
    }
    commit(&mut log);
    assert!(full > 0);
    let expected: Vec<_> = (0..20).map(|index| format!("{index:05}")).collect();
    assert_eq!(values(&mut log, at(OUT, 0)), expected);
}

pub fn assigning_again_replaces_all_positions<H: Harness>() {
    let harness = H::open();
    for value in ["a", "b", "c"] {
        harness.append(at(IN, 0), "k", value);
        harness.append(at(IN, 1), "k", value);
    }
    let mut log = harness.member();
    assignment(&mut log);
    log.assign(&[(at(IN, 0), 0), (at(IN, 1), 0)]).unwrap();
    take(&mut log, 6);
    log.assign(&[(at(IN, 1), 1)]).unwrap();
    assert_eq!(take(&mut log, 2), [(1, 1, "b".to_owned()), (1, 2, "c".to_owned())]);
    harness.append(at(IN, 0), "k", "not read");
    log.unassign().unwrap();
    harness.append(at(IN, 1), "k", "d");
    for _ in 0..5 {
        assert_eq!(kind(&log.poll(Duration::ZERO).unwrap()), "idle");
    }
    log.assign(&[(at(IN, 1), 3)]).unwrap();
    assert_eq!(take(&mut log, 1), [(1, 3, "d".to_owned())]);
}

pub fn positions_that_do_not_exist_are_refused<H: Harness>() {
    let harness = H::open();
    for value in ["a", "b", "c"] {
        harness.append(at(IN, 0), "k", value);
    }
    harness.forget(at(IN, 0), 2);
    let mut log = harness.member();
    assignment(&mut log);
    assert_eq!(log.watermarks(at(IN, 0)).unwrap(), Watermarks { start: 2, end: 3 });
    assert_eq!(values(&mut log, at(IN, 0)), ["c"]);
    for bad in [0, 1, 4] {
        let refused = |error: LogError| match error {
            LogError::OutOfRange { offset, start, end, .. } => (offset, start, end) == (bad, 2, 3),
            _ => false,
        };
        assert!(refused(until("a refusal", || log.read_range(at(IN, 0), bad, 1).err())));
        log.assign(&[(at(IN, 0), bad)]).unwrap();
        assert!(refused(poll_error(&mut log)));
    }
}

pub fn an_input_that_was_read_to_its_end_is_reported_again_and_again<H: Harness>() {
    let harness = H::open();
    harness.append(at(IN, 0), "k", "a");
    let mut log = harness.member();
    assignment(&mut log);
    log.assign(&[(at(IN, 0), 0), (at(IN, 1), 0)]).unwrap();
    let mut reports = std::collections::BTreeMap::new();
    while !(0..2).all(|partition| reports.get(&partition) > Some(&1)) {
        match next(&mut log) {
            Polled::Drained { at, position, asked_ms_ago } => {
                assert!((0..=1_000).contains(&asked_ms_ago), "{asked_ms_ago} ms");
                assert_eq!(position, log.watermarks(at).unwrap().end);
                *reports.entry(at.partition).or_insert(0) += 1;
            }
            Polled::Records(batch) => assert!(!reports.contains_key(&0) && batch.len() == 1),
            other => panic!("{}", kind(&other)),
        }
    }
    harness.append(at(IN, 1), "k", "b");
    assert_eq!(take(&mut log, 1), [(1, 0, "b".to_owned())]);
}

pub fn a_newer_member_fences_the_older<H: Harness>() {
    let harness = H::open();
    let mut old = harness.member();
    let (_, group) = assignment(&mut old);
    put(&mut old, &[out(at(OUT, 0), "k", "zombie")]);
    old.send_offsets(&[(at(IN, 0), position(5, "z"))], &group).unwrap();
    let mut new = harness.member();
    match old.commit() {
        Ok(outcome) => assert_eq!(outcome, CommitOutcome::Fenced),
        // Where members have stable names, the name is gone as well.
        Err(LogError::Fenced { .. } | LogError::InstanceTaken { .. }) => {}
        Err(error) => panic!("{error}"),
    }
    assert!(values(&mut new, at(OUT, 0)).is_empty());
    assert_eq!(committed(&mut new), [None, None]);
}

pub fn positions_under_another_membership_are_refused<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    let stale = GroupMetadata { generation: group.generation - 1, ..group.clone() };
    let nobody = GroupMetadata { generation: -1, member: String::new() };
    for wrong in [stale, nobody] {
        put(&mut log, &[out(at(OUT, 0), "k", "v")]);
        let refused = log.send_offsets(&[(at(IN, 0), position(1, "1"))], &wrong);
        assert!(matches!(refused, Err(LogError::AbortRequired { .. })));
        log.abort().unwrap();
    }
    assert!(values(&mut log, at(OUT, 0)).is_empty());
}

pub fn a_position_may_move_without_outputs<H: Harness>() {
    let harness = H::open();
    let mut log = harness.member();
    let (_, group) = assignment(&mut log);
    for number in 1..=3 {
        put(&mut log, &[]);
        let both = [(at(IN, 0), position(0, &number.to_string())), (at(IN, 1), position(number, ""))];
        log.send_offsets(&both, &group).unwrap();
        commit(&mut log);
        let expected = [Some(position(number, "")), Some(position(0, &number.to_string()))];
        assert_eq!(committed(&mut log), expected);
    }
}
