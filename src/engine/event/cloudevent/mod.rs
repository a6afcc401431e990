//! CloudEvents 1.0: the same events with their envelope in the attributes of a standard. In
//! binary mode the attributes are headers (`ce_id`, …) and the value is the data; in structured
//! mode the value is the whole CloudEvent, as JSON or as protobuf. The content type decides.
//!
//! ```text
//! id → id     subject → account_id     time → occurred_at     version → version (our extension)
//! type → the kind: [reverse.dns.]accountpulse.<kind>.v1       data → the body of that kind
//!        or accountpulse.event.v1: data is a whole event with its own envelope
//! ```
//!
//! This room reads attributes; what a value must look like is decided in `value.rs`, and a body
//! by the decoders of its encoding. To read another attribute: a field of [`Attributes`], its
//! line in each mode, and a row in `docs/events.md`.

mod binary;
mod json;
mod proto;

use std::borrow::Cow;

use super::framing::{Payload, expect_message};
use super::headers::Headers;
use super::intake::{RawRecord, decode_payload};
use super::json::{decode_json_body, utf8};
use super::proto::decode_protobuf_body;
use super::value::{self, Field, Raw, refusal};
use super::{Event, Kind, PersonKey, Reason, Refusal};

/// The version of CloudEvents this decoder reads.
const SPECVERSION: &str = "1.0";
/// The header that names the format of the value.
const CONTENT_TYPE: &str = "content-type";
/// What stands in front of an attribute in a sentence.
const ROOM: &str = "cloudevent";

/// How a CloudEvent stands in its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Attributes in headers.
    Binary,
    /// All in the value, as JSON.
    Json,
    /// All in the value, as protobuf.
    Protobuf,
    /// A batch, or a format we do not read.
    Unknown,
}

/// Whether a record is a CloudEvent. The content type decides; then the header every CloudEvent
/// in binary mode has.
pub(super) fn mode(headers: &dyn Headers) -> Option<Mode> {
    const STRUCTURED: &str = "application/cloudevents";
    let content = headers.header(CONTENT_TYPE).and_then(|value| std::str::from_utf8(value).ok());
    let content = content.map(media_of);
    if let Some(content) = content
        && let Some((start, format)) = content.split_at_checked(STRUCTURED.len())
        && start.eq_ignore_ascii_case(STRUCTURED)
    {
        return Some(match format {
            f if f.eq_ignore_ascii_case("+json") || f.is_empty() => Mode::Json,
            f if f.eq_ignore_ascii_case("+protobuf") => Mode::Protobuf,
            _ => Mode::Unknown,
        });
    }
    headers.header("ce_specversion").map(|_| Mode::Binary)
}

/// A content type without its parameters.
fn media_of(content: &str) -> &str {
    content.split(';').next().unwrap_or_default().trim()
}

/// The event in a CloudEvent.
pub(super) fn decode<'a>(mode: Mode, r: &RawRecord<'a>, key: &PersonKey) -> Result<Event<'a>, Refusal> {
    let value = r.value.ok_or_else(no_data)?;
    match mode {
        Mode::Binary => binary::decode(value, r.headers, key),
        Mode::Json => json::decode(value, key),
        Mode::Protobuf => proto::decode(value, key),
        Mode::Unknown => Err(malformed(
            "content-type names a batch or a format that is not read; \
             send application/cloudevents+json or +protobuf, one event per record",
        )),
    }
}

#[cold]
fn malformed(sentence: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::MalformedCloudEvent, sentence.to_string())
}

#[cold]
fn no_data() -> Refusal {
    refusal(Reason::MissingField, ROOM, "data", "is required; send the body of the event")
}

/// The attributes we read, before anybody has judged them.
#[derive(Debug, Default)]
struct Attributes<'a> {
    specversion: Option<Raw<'a>>,
    r#type: Option<Raw<'a>>,
    id: Option<Raw<'a>>,
    subject: Option<Raw<'a>>,
    time: Option<Raw<'a>>,
    partitionkey: Option<Raw<'a>>,
    version: Option<Raw<'a>>,
}

/// The format of data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Json,
    Protobuf,
}

/// The format a `datacontenttype` names; JSON if there is none, as the standard has it.
fn format_of(content: Option<&str>) -> Result<Format, Refusal> {
    let Some(content) = content else { return Ok(Format::Json) };
    let media = media_of(content).to_ascii_lowercase();
    match media.as_str() {
        "application/json" | "text/json" => Ok(Format::Json),
        "application/protobuf" | "application/x-protobuf" | "application/vnd.google.protobuf" => {
            Ok(Format::Protobuf)
        }
        media if media.ends_with("+json") => Ok(Format::Json),
        media if media.ends_with("+protobuf") => Ok(Format::Protobuf),
        _ => Err(malformed(
            "the data has a content type that is not read; send application/json or application/protobuf",
        )),
    }
}

/// What the type of a CloudEvent says about its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DataType {
    /// The body of a kind.
    Body(Kind),
    /// A whole event.
    Event,
}

/// Reads `[reverse.dns.]accountpulse.<kind>.v1`.
fn data_type(name: &str) -> Result<DataType, Refusal> {
    let unknown = || {
        let known = Kind::ALL.map(Kind::name).join(", ");
        let rest = format_args!("expected accountpulse.<kind>.v1 with one of {known}, or event");
        refusal(Reason::UnknownKind, ROOM, "type", rest)
    };
    let mut parts = name.rsplit('.');
    let (version, kind, ours) = (parts.next(), parts.next(), parts.next());
    if ours != Some("accountpulse") {
        return Err(unknown());
    }
    let major = version.and_then(|version| version.strip_prefix('v')?.parse::<u64>().ok());
    match major.ok_or_else(unknown)? {
        super::ENVELOPE_VERSION => {}
        _ => {
            return Err(refusal(
                Reason::UnsupportedVersion,
                ROOM,
                "type",
                "this build reads v1 only; send v1",
            ));
        }
    }
    match kind {
        Some("event") => Ok(DataType::Event),
        Some(kind) => Kind::from_name(kind).map(DataType::Body).ok_or_else(unknown),
        None => Err(unknown()),
    }
}

impl<'a> Attributes<'a> {
    /// What the data is, if version and type are ours.
    fn data_type(&self) -> Result<DataType, Refusal> {
        match &self.specversion {
            Some(Raw::Text(version)) if version == SPECVERSION => {}
            Some(_) => {
                let rest = format_args!("this build reads CloudEvents {SPECVERSION} only; send that");
                return Err(refusal(Reason::UnsupportedSpecversion, ROOM, "specversion", rest));
            }
            None => return Err(missing("specversion")),
        }
        match &self.r#type {
            Some(Raw::Text(name)) => data_type(name),
            Some(_) => Err(refusal(Reason::InvalidField, ROOM, "type", "expected a string")),
            None => Err(missing("type")),
        }
    }

    /// The event of these attributes and that data.
    fn event(self, data: Payload<'a>, key: &PersonKey) -> Result<Event<'a>, Refusal> {
        match self.data_type()? {
            DataType::Event => {
                let account = self.account(key)?;
                let event = decode_payload(data, key)?;
                if account.is_some_and(|account| account != event.account) {
                    return Err(disagree("subject", "the account_id of the event in data"));
                }
                Ok(event)
            }
            DataType::Body(kind) => self.body(kind, data, key),
        }
    }

    fn body(mut self, kind: Kind, data: Payload<'a>, key: &PersonKey) -> Result<Event<'a>, Refusal> {
        let id = required("id", self.id.take(), key, value::id)?;
        let account = self.account(key)?.ok_or_else(|| missing("subject"))?;
        let occurred_at_ms = required("time", self.time.take(), key, value::time)?;
        let version = optional("version", self.version.take(), key, value::entity_version)?;
        let (body, unknown_fields) = match data {
            Payload::Json(text) => decode_json_body(kind, utf8(text)?, key)?.ok_or_else(no_data)?,
            Payload::Protobuf(bytes, message) => {
                // The bodies stand in the schema's file in the order of the kinds, after the event.
                expect_message(message, kind as u64 + 1, kind.name())?;
                decode_protobuf_body(kind, bytes, key)?
            }
        };
        Ok(Event { id, account, occurred_at_ms, version, body, unknown_fields })
    }

    /// The account, on which subject and partition key must agree.
    fn account(&self, key: &PersonKey) -> Result<Option<Cow<'a, str>>, Refusal> {
        let text = |raw: &Option<Raw<'a>>| match raw {
            Some(Raw::Text(text)) => Some(Raw::Text(text.clone())),
            Some(_) => Some(Raw::Object),
            None => None,
        };
        let subject = optional("subject", text(&self.subject), key, value::id)?;
        let partition_key = optional("partitionkey", text(&self.partitionkey), key, value::id)?;
        match (&subject, partition_key) {
            (Some(subject), Some(partition_key)) if *subject != partition_key => {
                Err(disagree("partitionkey", "subject"))
            }
            _ => Ok(subject),
        }
    }
}

#[cold]
fn disagree(name: &str, other: &str) -> Refusal {
    let rest = format_args!("differs from {other}; both name the account");
    refusal(Reason::KeyMismatch, ROOM, name, rest)
}

#[cold]
fn missing(name: &str) -> Refusal {
    refusal(Reason::MissingField, ROOM, name, "is required; send it")
}

fn optional<'a, T>(
    name: &'static str,
    raw: Option<Raw<'a>>,
    key: &PersonKey,
    check: impl Fn(Field<'_>, Raw<'a>) -> Result<T, Refusal>,
) -> Result<Option<T>, Refusal> {
    raw.map(|raw| check(Field { room: ROOM, name, key }, raw)).transpose()
}

fn required<'a, T>(
    name: &'static str,
    raw: Option<Raw<'a>>,
    key: &PersonKey,
    check: impl Fn(Field<'_>, Raw<'a>) -> Result<T, Refusal>,
) -> Result<T, Refusal> {
    optional(name, raw, key, check)?.ok_or_else(|| missing(name))
}
