//! From a record of a log to an event, or to the reason it is refused: everything that can be
//! said about one record without state. The verdict depends on the record alone and on the
//! settings here, never on a clock or on what came before, so reading again gives it again.
//!
//! To add a check: a [`Reason`], a step in [`Intake::decode`] in the order that names the cause
//! rather than its consequence, and a line in `docs/events.md`.

use super::cloudevent;
use super::framing::{self, Payload};
use super::headers::{Headers, NoHeaders};
use super::{Event, MAX_EVENT_BYTES, PersonKey, Reason, Refusal, decode_json, decode_protobuf};
use crate::engine::partition::partition_of;

/// How the events of a topic are encoded. Framing by a schema registry's serializer and CloudEvents
/// are seen through in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Encoding {
    /// Either, told apart by the first byte of each record.
    #[default]
    Auto,
    /// One JSON object per record.
    Json,
    /// One `accountpulse.v1.Event` per record.
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
    /// The record's headers.
    pub headers: &'a dyn Headers,
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

    /// The event in a record's value and headers, whatever its key, partition and time are.
    ///
    /// # Errors
    ///
    /// A [`Refusal`] that says why it is not an event.
    pub fn decode_value<'a>(&self, r: &RawRecord<'a>) -> Result<Event<'a>, Refusal> {
        let key = &self.person_key;
        // Asked once: a log may have to parse them to know.
        let headers: &dyn Headers = if r.headers.any() { r.headers } else { &NoHeaders };
        if headers.any()
            && let Some(mode) = cloudevent::mode(headers)
        {
            return cloudevent::decode(mode, r, key);
        }
        let Some(value) = r.value else { return Err(no_value(r.encoding)) };
        decode_payload(framing::strip(value, headers, r.encoding)?, key).map_err(|refusal| {
            // The scan was only tried because the value does not start like JSON.
            let unsure = r.encoding == Encoding::Auto && refusal.reason == Reason::MalformedProtobuf;
            match unsure && framing::looks_like_text(value) {
                true => decode_json(value, key).err().unwrap_or(refusal),
                false => refusal,
            }
        })
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

/// The event in a value without framing.
#[inline]
pub(super) fn decode_payload<'a>(payload: Payload<'a>, key: &PersonKey) -> Result<Event<'a>, Refusal> {
    match payload {
        Payload::Json(text) => decode_json(text, key),
        Payload::Protobuf(bytes, message) => {
            framing::expect_message(message, 0, "Event")?;
            decode_protobuf(bytes, key)
        }
    }
}

#[cold]
fn no_value(encoding: Encoding) -> Refusal {
    let reason = match encoding {
        Encoding::Protobuf => Reason::MalformedProtobuf,
        Encoding::Auto | Encoding::Json => Reason::MalformedJson,
    };
    Refusal::new(reason, "the record has no value; events are never deleted by a tombstone, send an event")
}
