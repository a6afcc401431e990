//! Tests of the decoders: `examples` (every field by value), `refusals` (every reason by value),
//! `both` (the two encodings against each other, and arbitrary bytes), `docs` (the manual's
//! examples are fixtures), `records` (the checks around the decoders), `scan` (the protobuf scan
//! against `oracle`, which reads by way of the generated messages), `plain` (the short way through
//! JSON against the long one), `framing` and `cloudevents` (what may stand around an event).

mod both;
mod cloudevents;
mod docs;
mod examples;
mod framing;
mod oracle;
mod plain;
mod records;
mod refusals;
mod scan;

use super::*;

/// The key all tests hash with.
const KEY: PersonKey = PersonKey::new(*b"0123456789abcdef");

/// Milliseconds of an RFC 3339 time.
fn ms(at: &str) -> i64 {
    at.parse::<jiff::Timestamp>().expect("a time").as_millisecond()
}

/// A whole event in JSON around a body.
fn event(body: &str) -> String {
    format!(r#"{{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T09:00:00Z",{body}}}"#)
}

/// Headers of a test; of two with one name the last counts.
struct Given<'a>(&'a [(&'a str, &'a [u8])]);

impl Headers for Given<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }
}

/// The event in a value with these headers, read as a worker does.
fn read<'a>(value: &'a [u8], headers: &'a dyn Headers, encoding: Encoding) -> Result<Event<'a>, Refusal> {
    let intake = Intake { person_key: KEY, skew_ms: 0, partitions: 1 };
    let (key, timestamp_ms, partition) = (None, 0, 0);
    intake.decode_value(&RawRecord { key, value: Some(value), timestamp_ms, partition, encoding, headers })
}
