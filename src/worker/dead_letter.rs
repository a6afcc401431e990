//! Refused input as a record of the dead-letter topic: the original bytes, where they stood and
//! why they were refused, in words a person can act on. Nothing is dropped in silence.
//!
//! The record's own headers are kept as they were, in order, up to a cap. Names of ours follow Kafka
//! Streams (KIP-1034), so existing tools find them; they stand in front, and a record's own header
//! with such a name is left out, so that the last header of a name is always the true one.

use super::settings::{InputTopic, WorkerSettings};
use crate::engine::event::{Headers, READ_HEADERS, Refusal};
use crate::log::{HeaderName, HeaderValue, OutRecord, RecordRef, TopicPartition};

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
/// The record's own time, milliseconds: the topic may give letters a time of its own, and a time so far
/// ahead that no log takes it stands nowhere else.
pub const HEADER_TIMESTAMP: &str = "accountpulse.error.timestamp_ms";
/// Present when some of the record's own headers are left out: how many; fetch them likewise.
pub const HEADER_LEFT_OUT: &str = "accountpulse.error.headers_left_out";

/// Names that begin like this are ours.
const OUR_PREFIXES: [&str; 2] = ["__streams.errors.", "accountpulse.error."];

/// Whether a header of a dead letter is one of ours, and not the refused record's own.
pub fn is_letter_header(name: &str) -> bool {
    OUR_PREFIXES.iter().any(|ours| name.starts_with(ours))
}

/// Longest key that a dead letter carries. Together with the value's limit and the headers it must
/// stay below what brokers take by default (1,000,000 bytes): a letter that cannot be written would
/// stop its shard for good.
const MAX_KEY_BYTES: usize = 64 * 1024;
/// Longest header that is kept of those the decoder reads: they have their place in any case.
const MAX_READ_HEADER_BYTES: usize = 8 * 1024;
/// What all other headers that are kept may take together, their frames included.
const MAX_OTHER_HEADERS_BYTES: usize = 32 * 1024;
/// The most that the frame of a header takes: two lengths of up to five bytes.
const HEADER_FRAME_BYTES: usize = 10;
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
    let text = |text: String| HeaderValue::Owned(text.into_bytes());
    let mut headers: Vec<(HeaderName, HeaderValue)> = vec![
        (HEADER_TOPIC.into(), text(input.name.clone())),
        (HEADER_PARTITION.into(), text(record.at.partition.to_string())),
        (HEADER_OFFSET.into(), text(record.offset.to_string())),
        (HEADER_EXCEPTION.into(), b"Refusal".into()),
        (HEADER_MESSAGE.into(), text(refusal.message.clone())),
        (HEADER_STAGE.into(), stage.name().as_bytes().into()),
        (HEADER_CODE.into(), refusal.reason.code().as_bytes().into()),
        (HEADER_TIMESTAMP.into(), text(record.timestamp_ms.to_string())),
    ];
    let cap = settings.max_dead_letter_bytes;
    let value = record.value.filter(|value| value.len() <= cap);
    if let (Some(original), None) = (record.value, value) {
        headers.push((HEADER_BY_REFERENCE.into(), text(original.len().to_string())));
    }
    let key = record.key.filter(|key| key.len() <= MAX_KEY_BYTES);
    if let (Some(original), None) = (record.key, key) {
        headers.push((HEADER_KEY_BY_REFERENCE.into(), text(original.len().to_string())));
    }
    let absurd = record.timestamp_ms > wall_ms.saturating_add(MAX_AHEAD_MS);
    if original.any() {
        keep_headers(original, &mut headers);
    }
    OutRecord {
        to: TopicPartition { topic: settings.outputs.dead_letters, partition: record.at.partition },
        key: key.map(<[u8]>::to_vec),
        value: value.map(<[u8]>::to_vec),
        headers,
        timestamp_ms: if absurd { wall_ms } else { record.timestamp_ms },
    }
}

/// Keeps the record's own headers, in order: without them the value may mean something else, and
/// whoever sends it again needs them. Those the decoder reads come first when there is no room for
/// all; of two with one name it reads the last.
fn keep_headers(original: &dyn Headers, kept: &mut Vec<(HeaderName, HeaderValue)>) {
    let read = |name: &str| READ_HEADERS.iter().position(|known| *known == name);
    let mut last = [usize::MAX; READ_HEADERS.len()];
    let mut count = 0_usize;
    original.each(&mut |name, _| {
        // The position is one of an array of that length.
        if let Some(index) = read(name) {
            last[index] = count;
        }
        count += 1;
    });
    let (mut at, mut room, mut left_out) = (0_usize, MAX_OTHER_HEADERS_BYTES, 0_usize);
    let mut own: Vec<(HeaderName, HeaderValue)> = Vec::new();
    original.each(&mut |name, value| {
        let is_read = last.contains(&at) && value.len() <= MAX_READ_HEADER_BYTES;
        at += 1;
        let bytes = name.len() + value.len() + HEADER_FRAME_BYTES;
        let is_ours = is_letter_header(name);
        match is_read || (bytes <= room && !is_ours) {
            true => {
                room -= if is_read { 0 } else { bytes };
                own.push((name.to_owned().into(), value.to_vec().into()));
            }
            false => left_out += 1,
        }
    });
    if left_out > 0 {
        kept.push((HEADER_LEFT_OUT.into(), left_out.to_string().into_bytes().into()));
    }
    kept.append(&mut own);
}

/// About how many bytes a record takes in a transaction.
pub(super) fn size_of(record: &OutRecord) -> usize {
    let headers: usize = record.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    record.key.as_ref().map_or(0, Vec::len) + record.value.as_ref().map_or(0, Vec::len) + headers
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Given(Vec<(String, Vec<u8>)>);

    impl Headers for Given {
        fn header(&self, name: &str) -> Option<&[u8]> {
            self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
        }

        fn each<'h>(&'h self, see: &mut dyn FnMut(&'h str, &'h [u8])) {
            self.0.iter().for_each(|(name, value)| see(name, value));
        }
    }

    fn kept(given: &[(&str, usize)]) -> Vec<(String, usize)> {
        let given = given.iter().map(|(name, length)| ((*name).to_owned(), vec![b'x'; *length]));
        let mut kept = Vec::new();
        keep_headers(&Given(given.collect()), &mut kept);
        kept.into_iter().map(|(name, value)| (name.into_owned(), value.len())).collect()
    }

    fn named(pairs: &[(&str, usize)]) -> Vec<(String, usize)> {
        pairs.iter().map(|(name, length)| ((*name).to_owned(), *length)).collect()
    }

    #[test]
    fn headers_stay_as_they_were_in_their_order() {
        let given = [("traceparent", 55), ("ce_id", 3), ("", 0), ("traceparent", 55), ("x", 9_000)];
        assert_eq!(kept(&given), named(&given));
        assert_eq!(kept(&[]), []);
    }

    #[test]
    fn what_would_be_taken_for_ours_is_left_out() {
        let given = [(HEADER_CODE, 4), ("__streams.errors.offset", 1), ("accountpulse.resubmitted.from", 9)];
        let expected = [(HEADER_LEFT_OUT, 1), ("accountpulse.resubmitted.from", 9)];
        assert_eq!(kept(&given), named(&expected));
    }

    #[test]
    fn without_room_for_all_the_decoder_keeps_what_it_reads() {
        let given = [("big", 30_000), ("ce_id", 4_000), ("also", 30_000), ("ce_id", 8_000), ("t", 1)];
        // The first `ce_id` is not the one that is read, and there is no room for it beside `big`.
        let expected = [(HEADER_LEFT_OUT, 1), ("big", 30_000), ("ce_id", 8_000), ("t", 1)];
        assert_eq!(kept(&given), named(&expected));
    }

    #[test]
    fn a_letter_stays_below_what_brokers_take() {
        let mut given: Vec<(&str, usize)> =
            READ_HEADERS.iter().map(|name| (*name, MAX_READ_HEADER_BYTES)).collect();
        given.extend(std::iter::repeat_n(("", 0), 1_000_000));
        let bytes: usize = kept(&given).iter().map(|(name, len)| name.len() + len + HEADER_FRAME_BYTES).sum();
        let ours = 4 * 1024;
        assert!(
            bytes + ours + MAX_KEY_BYTES + crate::worker::DEFAULT_MAX_DEAD_LETTER_BYTES < 1_000_000,
            "{bytes}"
        );
    }
}
