//! Refused input as a record of the dead-letter topic: the original bytes, where they stood and
//! why they were refused, in words a person can act on. Nothing is dropped in silence.
//!
//! Headers the decoder reads are kept as they were. Names of ours follow Kafka Streams (KIP-1034),
//! so existing tools find them.

use super::settings::{InputTopic, WorkerSettings};
use crate::engine::event::{Headers, READ_HEADERS, Refusal};
use crate::log::{OutRecord, RecordRef, TopicPartition};

/// Name of the input topic.
pub const HEADER_TOPIC: &str = "__streams.errors.topic";
/// Partition, decimal.
pub const HEADER_PARTITION: &str = "__streams.errors.partition";
/// Offset, decimal.
pub const HEADER_OFFSET: &str = "__streams.errors.offset";
/// The kind of error.
pub const HEADER_EXCEPTION: &str = "__streams.errors.exception";
/// The sentence.
pub const HEADER_MESSAGE: &str = "__streams.errors.message";
/// Where in the engine it was refused: `decode` or `apply`.
pub const HEADER_STAGE: &str = "accountpulse.error.stage";
/// The closed code, see [`crate::engine::event::Reason::code`].
pub const HEADER_CODE: &str = "accountpulse.error.code";
/// Present when the value is left out: its length; fetch it at topic, partition and offset.
pub const HEADER_BY_REFERENCE: &str = "accountpulse.error.value_bytes";

/// Present when the key is left out: its length; fetch it likewise.
pub const HEADER_KEY_BY_REFERENCE: &str = "accountpulse.error.key_bytes";
/// Present when the record's own time is so far ahead that no log takes it: that time, milliseconds.
pub const HEADER_TIMESTAMP: &str = "accountpulse.error.timestamp_ms";

/// Longest key that a dead letter carries. Together with the value's limit and the headers it must
/// stay below what brokers take by default (1,000,000 bytes): a letter that cannot be written would
/// stop its shard for good.
const MAX_KEY_BYTES: usize = 64 * 1024;
/// Longest header of the original that is kept.
const MAX_HEADER_BYTES: usize = 8 * 1024;
/// Brokers refuse times more than an hour ahead of their own clock, unless told otherwise; the rest
/// of the hour is for clocks that differ.
const MAX_AHEAD_MS: i64 = 30 * 60 * 1000;

/// Where a record was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Decode,
    Apply,
}

impl Stage {
    const fn name(self) -> &'static str {
        match self {
            Stage::Decode => "decode",
            Stage::Apply => "apply",
        }
    }
}

/// The dead letter of a record.
pub(super) fn dead_letter(
    settings: &WorkerSettings,
    input: &InputTopic,
    record: &RecordRef<'_>,
    original: &dyn Headers,
    (stage, refusal): (Stage, &Refusal),
    wall_ms: i64,
) -> OutRecord {
    let mut headers = vec![
        (HEADER_TOPIC, input.name.clone().into_bytes()),
        (HEADER_PARTITION, record.at.partition.to_string().into_bytes()),
        (HEADER_OFFSET, record.offset.to_string().into_bytes()),
        (HEADER_EXCEPTION, b"Refusal".to_vec()),
        (HEADER_MESSAGE, refusal.message.clone().into_bytes()),
        (HEADER_STAGE, stage.name().as_bytes().to_vec()),
        (HEADER_CODE, refusal.reason.code().as_bytes().to_vec()),
    ];
    let cap = settings.max_dead_letter_bytes;
    let value = record.value.filter(|value| value.len() <= cap);
    if let (Some(original), None) = (record.value, value) {
        headers.push((HEADER_BY_REFERENCE, original.len().to_string().into_bytes()));
    }
    let key = record.key.filter(|key| key.len() <= MAX_KEY_BYTES);
    if let (Some(original), None) = (record.key, key) {
        headers.push((HEADER_KEY_BY_REFERENCE, original.len().to_string().into_bytes()));
    }
    let absurd = record.timestamp_ms > wall_ms.saturating_add(MAX_AHEAD_MS);
    if absurd {
        headers.push((HEADER_TIMESTAMP, record.timestamp_ms.to_string().into_bytes()));
    }
    if original.any() {
        // Without them the value means something else, so whoever sends it again needs them.
        let kept = READ_HEADERS.iter().filter_map(|name| Some((*name, original.header(name)?)));
        let kept = kept.filter(|(_, value)| value.len() <= MAX_HEADER_BYTES);
        headers.extend(kept.map(|(name, value)| (name, value.to_vec())));
    }
    OutRecord {
        to: TopicPartition { topic: settings.outputs.dead_letters, partition: record.at.partition },
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers,
        timestamp_ms: if absurd { wall_ms } else { record.timestamp_ms },
    }
}

/// About how many bytes a record takes in a transaction.
pub(super) fn size_of(record: &OutRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + headers
}
