//! Every kind of record that must be refused, with the reason by value. A kind makes its record
//! from a good one near it, so that what was let through by mistake would change what is told.
//!
//! ```text
//! text.rs         JSON that does not parse, and text that is none
//! fields.rs       JSON that parses: envelope, values, contradictions
//! wire.rs         protobuf
//! cloudevents.rs  CloudEvents in all modes
//! place.rs        frames of schema registries, keys, partitions, times, sizes
//! ```
//!
//! To add a kind: a row in one of them.

mod cloudevents;
mod fields;
mod place;
mod text;
pub mod wire;

use accountpulse::engine::event::Reason;
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::rfc3339;

/// The good event a bad record is made from: a login.
#[derive(Clone, Debug)]
pub struct Near {
    pub account: String,
    pub at_ms: i64,
    /// How often the kind was made before: what it may vary.
    pub n: usize,
    pub partitions: u32,
}

/// A record to be refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    pub timestamp_ms: i64,
    pub partition: u32,
}

/// How a kind makes its record.
#[derive(Clone, Copy)]
pub enum Make {
    /// From its value; key, partition and time are right.
    Text(fn(&Near) -> String),
    /// The same, for values that are no text.
    Bytes(fn(&Near) -> Vec<u8>),
    /// All of it.
    Record(fn(&Near) -> Draft),
}

/// A kind of bad record.
#[derive(Clone, Copy)]
pub struct Kind {
    pub name: &'static str,
    pub reason: Reason,
    make: Make,
}

impl Kind {
    pub fn draft(&self, near: &Near) -> Draft {
        match self.make {
            Make::Text(make) => near.draft(make(near).as_bytes()),
            Make::Bytes(make) => near.draft(&make(near)),
            Make::Record(make) => make(near),
        }
    }

    /// Where the engine refuses it.
    pub fn stage(&self) -> &'static str {
        if self.reason == Reason::Late { "apply" } else { "decode" }
    }
}

type Row<T> = (&'static str, Reason, fn(&Near) -> T);

fn kinds<T: 'static>(rows: &[Row<T>], make: fn(fn(&Near) -> T) -> Make) -> Vec<Kind> {
    rows.iter().map(|&(name, reason, of)| Kind { name, reason, make: make(of) }).collect()
}

/// All kinds. Their names are unique.
pub fn all() -> Vec<Kind> {
    [
        kinds(text::TEXTS, Make::Text),
        kinds(text::BYTES, Make::Bytes),
        kinds(fields::ENVELOPE, Make::Text),
        kinds(fields::BODIES, Make::Text),
        kinds(wire::DAMAGED, Make::Bytes),
        kinds(wire::VALUES, Make::Bytes),
        kinds(cloudevents::BINARY, Make::Record),
        kinds(cloudevents::STRUCTURED, Make::Record),
        kinds(place::FRAMES, Make::Record),
        kinds(place::PLACES, Make::Record),
    ]
    .concat()
}

impl Near {
    /// One of these, each in its turn.
    fn pick<T: Copy>(&self, of: &[T]) -> T {
        of[self.n % of.len()]
    }

    fn at(&self) -> String {
        rfc3339(self.at_ms)
    }

    /// The beginning of an envelope in JSON, without its brace.
    fn envelope(&self) -> String {
        format!(r#""id":"bad-{}","account_id":"{}","occurred_at":"{}""#, self.n, self.account, self.at())
    }

    /// A whole event in JSON around a body.
    fn event(&self, body: &str) -> String {
        format!("{{{},{body}}}", self.envelope())
    }

    /// A good login.
    fn login(&self) -> String {
        self.event(LOGIN)
    }

    /// A record with that value; the rest is right.
    fn draft(&self, value: &[u8]) -> Draft {
        Draft {
            key: Some(self.account.clone().into_bytes()),
            value: Some(value.to_vec()),
            headers: Vec::new(),
            timestamp_ms: self.at_ms,
            partition: partition_of(self.account.as_bytes(), self.partitions),
        }
    }

    /// Another account, of whatever partition.
    fn other(&self) -> String {
        format!("{}-other-{}", self.account, self.n)
    }
}

impl Draft {
    fn with(mut self, name: &str, value: impl AsRef<[u8]>) -> Draft {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.as_ref().to_vec()));
        self
    }

    fn without(mut self, name: &str) -> Draft {
        self.headers.retain(|(known, _)| known != name);
        self
    }

    /// Keyed otherwise, in the partition where that key belongs.
    pub fn keyed(mut self, key: &[u8], partitions: u32) -> Draft {
        self.partition = partition_of(key, partitions);
        self.key = Some(key.to_vec());
        self
    }
}

/// A good body.
const LOGIN: &str = r#""login":{"user_id":"u-bad"}"#;
