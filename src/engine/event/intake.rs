//! From a record of a log to an event, or to the reason it is refused: everything that can be
//! said about one record without state. The verdict depends on the record alone and on the
//! settings here, never on a clock or on what came before, so reading again gives it again.
//!
//! To add a check: a [`Reason`], a step in [`Intake::decode`] in the order that names the cause
//! rather than its consequence, and a line in `docs/events.md`.

use super::{Event, MAX_EVENT_BYTES, PersonKey, Reason, Refusal, decode_json, decode_protobuf};
use crate::engine::partition::partition_of;

/// How the values of a topic are encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// One JSON object per record.
    Json,
    /// One `accountpulse.v1.Event` per record, without framing.
    Protobuf,
}

/// One record as a log hands it over.
#[derive(Clone, Copy)]
pub struct RawRecord<'a> {
    /// The record's key.
    pub key: Option<&'a [u8]>,
    /// The record's value; none for a tombstone.
    pub value: Option<&'a [u8]>,
    /// The record's timestamp, UTC milliseconds.
    pub timestamp_ms: i64,
    /// The partition it stands in.
    pub partition: u32,
    /// How the value is encoded.
    pub encoding: Encoding,
}

/// What is needed to judge a record.
#[derive(Clone, Debug)]
pub struct Intake {
    /// Hashes person ids.
    pub person_key: PersonKey,
    /// How far `occurred_at` may be ahead of the record's timestamp.
    pub skew_ms: i64,
    /// How many partitions every input topic has.
    pub partitions: u32,
}

impl Intake {
    /// The event in a record.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] for the dead-letter topic.
    pub fn decode<'a>(&self, r: RawRecord<'a>) -> Result<Event<'a>, Refusal> {
        let size = r.value.map_or(0, <[u8]>::len);
        if size > MAX_EVENT_BYTES {
            let sentence = format!("the value has {size} bytes; send at most {MAX_EVENT_BYTES}");
            return Err(Refusal::new(Reason::TooLarge, sentence));
        }
        let key = r
            .key
            .filter(|key| !key.is_empty())
            .ok_or_else(|| Refusal::new(Reason::MissingKey, "the record has no key; key it by account_id"))?;
        let event = self.decode_value(&r)?;
        // Before the partition: a record with the wrong key usually stands where that key belongs.
        if event.account.as_bytes() != key {
            let sentence = "the record key differs from account_id; key the record by account_id";
            return Err(Refusal::new(Reason::KeyMismatch, sentence));
        }
        self.check_partition(key, r.partition)?;
        let latest = r.timestamp_ms.saturating_add(self.skew_ms);
        if event.occurred_at_ms > latest {
            return Err(self.in_the_future(event.occurred_at_ms, r.timestamp_ms));
        }
        Ok(event)
    }

    fn decode_value<'a>(&self, r: &RawRecord<'a>) -> Result<Event<'a>, Refusal> {
        match (r.encoding, r.value) {
            (Encoding::Json, Some(value)) => decode_json(value, &self.person_key),
            (Encoding::Protobuf, Some(value)) => decode_protobuf(value, &self.person_key),
            (Encoding::Json, None) => Err(no_value(Reason::MalformedJson)),
            (Encoding::Protobuf, None) => Err(no_value(Reason::MalformedProtobuf)),
        }
    }

    fn check_partition(&self, key: &[u8], partition: u32) -> Result<(), Refusal> {
        let right = partition_of(key, self.partitions);
        if partition == right {
            return Ok(());
        }
        let of = self.partitions;
        Err(Refusal::new(
            Reason::WrongPartition,
            format!(
                "the key belongs to partition {right} of {of}, the record stands in {partition}; \
                 set the producer's partitioner to murmur2 (murmur2_random in librdkafka)"
            ),
        ))
    }

    #[cold]
    fn in_the_future(&self, occurred_at_ms: i64, timestamp_ms: i64) -> Refusal {
        let ahead = occurred_at_ms.saturating_sub(timestamp_ms);
        let skew = self.skew_ms;
        Refusal::new(
            Reason::Future,
            format!(
                "occurred_at: is {ahead} ms after the record's timestamp, {skew} ms are allowed; \
                 check the producer's clock and time zone"
            ),
        )
    }
}

#[cold]
fn no_value(reason: Reason) -> Refusal {
    Refusal::new(reason, "the record has no value; events are never deleted by a tombstone, send an event")
}
