//! The checks around the decoders: key, partition, size and time of a record.

use super::*;
use crate::engine::partition::partition_of;

const EVENT: &str =
    r#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T09:00:00Z","login":{"user_id":"u"}}"#;

fn intake() -> Intake {
    Intake { person_key: KEY, skew_ms: 60_000, partitions: 12 }
}

fn record(value: &[u8]) -> RawRecord<'_> {
    RawRecord {
        key: Some(b"acme"),
        value: Some(value),
        timestamp_ms: ms("2026-01-05T09:00:00Z"),
        partition: partition_of(b"acme", 12),
        encoding: Encoding::Json,
        headers: &NoHeaders,
    }
}

#[track_caller]
fn check(record: RawRecord<'_>, expected: Reason) {
    assert_eq!(intake().decode(record).map_err(|refusal| refusal.reason), Err(expected));
}

#[test]
fn a_good_record_passes() {
    let event = intake().decode(record(EVENT.as_bytes())).expect("an event");
    assert_eq!((event.account.as_ref(), event.kind()), ("acme", Kind::Login));
}

#[test]
fn every_check_names_its_cause() {
    let good = record(EVENT.as_bytes());
    check(RawRecord { key: None, ..good }, Reason::MissingKey);
    check(RawRecord { key: Some(b""), ..good }, Reason::MissingKey);
    check(RawRecord { key: Some(b"acme2"), ..good }, Reason::KeyMismatch);
    check(RawRecord { key: Some(b"\xff"), ..good }, Reason::KeyMismatch);
    check(RawRecord { partition: (good.partition + 1) % 12, ..good }, Reason::WrongPartition);
    check(RawRecord { value: None, ..good }, Reason::MalformedJson);
    check(RawRecord { value: None, encoding: Encoding::Protobuf, ..good }, Reason::MalformedProtobuf);
    check(RawRecord { encoding: Encoding::Protobuf, ..good }, Reason::MalformedProtobuf);
    let mut padded = EVENT.as_bytes().to_vec();
    padded.resize(MAX_EVENT_BYTES, b' ');
    assert!(intake().decode(record(&padded)).is_ok());
    padded.push(b' ');
    check(record(&padded), Reason::TooLarge);
}

#[test]
fn the_future_begins_after_the_skew() {
    let good = record(EVENT.as_bytes());
    let edge = good.timestamp_ms - 60_000;
    assert!(intake().decode(RawRecord { timestamp_ms: edge, ..good }).is_ok());
    check(RawRecord { timestamp_ms: edge - 1, ..good }, Reason::Future);
    check(RawRecord { timestamp_ms: -1, ..good }, Reason::Future);
    check(RawRecord { timestamp_ms: i64::MIN, ..good }, Reason::Future);
    assert!(intake().decode(RawRecord { timestamp_ms: i64::MAX, ..good }).is_ok());
}
