//! What stands around an event: the encoding is told from the first bytes, and the framing of a
//! schema registry's serializers is taken off. The registry itself is never asked: the schema is
//! ours, so its id says nothing new.
//!
//! ```text
//! {…                                             JSON
//! 00 | schema id, 4 bytes | {…                   JSON, framed
//! 00 | schema id, 4 bytes | indexes | message    protobuf, framed; indexes: zigzag count and numbers,
//!                                                or one 00, which is short for [0]
//! anything else                                  protobuf
//! ```
//!
//! No event in protobuf starts like one of the others: 00 is no key, `{` is the key of a group the
//! schema does not have, and behind a key that reads as white space no valid time starts with `{`.
//! Newer serializers leave the value alone and put the schema's id into a header instead.
//!
//! To strip another framing: its first byte here, and a line in `docs/events.md`.

use super::headers::Headers;
use super::intake::Encoding;
use super::wire::Reader;
use super::{Reason, Refusal};

/// The header newer serializers put the schema's id into.
const SCHEMA_HEADER: &str = "__value_schema_id";
/// In front of a schema id of 4 bytes.
const MAGIC_ID: u8 = 0;
/// In front of a schema id of 16 bytes, in a header only.
const MAGIC_GUID: u8 = 1;

/// An event (or its body) without its framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Payload<'a> {
    /// JSON text.
    Json(&'a [u8]),
    /// A protobuf message, and which one of its schema's file, if the framing says so.
    Protobuf(&'a [u8], Option<u64>),
}

/// Takes the framing off a value.
pub(super) fn strip<'a>(
    value: &'a [u8],
    headers: &dyn Headers,
    encoding: Encoding,
) -> Result<Payload<'a>, Refusal> {
    if value.first() == Some(&MAGIC_ID) {
        let Some(payload) = value.get(5..) else {
            return Err(broken("the value starts with 0x00 but ends within the schema id"));
        };
        if is_json(payload, encoding) {
            return Ok(Payload::Json(payload));
        }
        let (message, rest) = message_index(payload)?;
        return Ok(Payload::Protobuf(rest, Some(message)));
    }
    let message = if headers.any() { index_in_header(headers)? } else { None };
    Ok(match is_json(value, encoding) {
        true => Payload::Json(value),
        false => Payload::Protobuf(value, message),
    })
}

/// Whether a payload is JSON by what the topic says, or else by its first byte.
#[inline]
fn is_json(payload: &[u8], encoding: Encoding) -> bool {
    let is_space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    match encoding {
        Encoding::Json => true,
        Encoding::Protobuf => false,
        Encoding::Auto => payload.iter().find(|byte| !is_space(byte)) == Some(&b'{'),
    }
}

/// Whether a value that is no protobuf was rather meant as text, so that its refusal says so.
pub(super) fn looks_like_text(value: &[u8]) -> bool {
    const ENOUGH: usize = 64;
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r');
    value.starts_with(b"\xef\xbb\xbf") || value.iter().take(ENOUGH).all(is_text)
}

/// Refuses a message that is not the one wanted, by its place in the schema's file.
pub(super) fn expect_message(found: Option<u64>, wanted: u64, name: &str) -> Result<(), Refusal> {
    match found {
        Some(found) if found != wanted => Err(broken(format_args!(
            "the framing names message {found} of its schema, {name} is number {wanted}; \
             register event.proto as it is and send that message"
        ))),
        _ => Ok(()),
    }
}

/// The message a schema header names, if there is one and it names one.
fn index_in_header(headers: &dyn Headers) -> Result<Option<u64>, Refusal> {
    let Some(header) = headers.header(SCHEMA_HEADER) else { return Ok(None) };
    let id_bytes = match header.first() {
        Some(&MAGIC_ID) => 4,
        Some(&MAGIC_GUID) => 16,
        _ => {
            return Err(broken(format_args!("the header {SCHEMA_HEADER} starts with neither 0x00 nor 0x01")));
        }
    };
    match header.get(1 + id_bytes..) {
        None => Err(broken(format_args!("the header {SCHEMA_HEADER} ends within the schema id"))),
        Some([]) => Ok(None),
        Some(indexes) => {
            let (message, rest) = message_index(indexes)?;
            match rest {
                [] => Ok(Some(message)),
                _ => Err(broken(format_args!(
                    "the header {SCHEMA_HEADER} has bytes after the message indexes"
                ))),
            }
        }
    }
}

/// The number of a message of the schema's file, and what follows.
fn message_index(bytes: &[u8]) -> Result<(u64, &[u8]), Refusal> {
    let mut from = Reader::new(bytes);
    let mut number = || from.varint().ok().and_then(unzigzag);
    let index = match number() {
        Some(0) => Some(0),
        Some(1) => number(),
        // Our messages are not nested in others.
        Some(_) => return Err(broken("the framing names a message inside another")),
        None => None,
    };
    index
        .map(|index| (index, from.rest()))
        .ok_or_else(|| broken("after the schema id stands neither JSON nor a protobuf message index"))
}

/// A zigzag number that is not negative.
fn unzigzag(raw: u64) -> Option<u64> {
    (raw & 1 == 0).then_some(raw >> 1)
}

#[cold]
fn broken(what: impl std::fmt::Display) -> Refusal {
    let sentence =
        format!("{what}; send JSON or accountpulse.v1.Event, plain or framed by a registry's serializer");
    Refusal::new(Reason::MalformedFraming, sentence)
}
