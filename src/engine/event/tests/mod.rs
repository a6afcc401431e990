//! Tests of the decoders: `examples` (every field by value), `refusals` (every reason by value),
//! `both` (the two encodings against each other, and arbitrary bytes), `docs` (the manual's
//! examples are fixtures), `records` (the checks around the decoders), `scan` (the protobuf scan
//! against `oracle`, which reads by way of the generated messages).

mod both;
mod docs;
mod examples;
mod oracle;
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
