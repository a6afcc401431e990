//! Structured mode in JSON: one object with the attributes, and the data as a JSON value in
//! `data` or as any bytes in `data_base64`. Attributes we do not read are extensions: ignored.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, DeserializeSeed, Deserializer};
use serde_json::value::RawValue;

use super::super::framing::{self, Payload};
use super::super::headers::NoHeaders;
use super::super::intake::Encoding;
use super::super::json::{RawSeed, utf8};
use super::{Attributes, Event, Format, PersonKey, Raw, Refusal, format_of, malformed, no_data};

/// An attribute, of whatever type it is.
struct Any<'a>(Raw<'a>);

impl<'de: 'a, 'a> Deserialize<'de> for Any<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        RawSeed { inside_list: false }.deserialize(input).map(Any)
    }
}

#[derive(serde::Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    specversion: Option<Any<'a>>,
    #[serde(borrow)]
    r#type: Option<Any<'a>>,
    #[serde(borrow)]
    id: Option<Any<'a>>,
    #[serde(borrow)]
    subject: Option<Any<'a>>,
    #[serde(borrow)]
    time: Option<Any<'a>>,
    #[serde(borrow)]
    partitionkey: Option<Any<'a>>,
    #[serde(borrow)]
    version: Option<Any<'a>>,
    #[serde(borrow)]
    datacontenttype: Option<Any<'a>>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    data_base64: Option<Any<'a>>,
}

pub(super) fn decode<'a>(value: &'a [u8], key: &PersonKey) -> Result<Event<'a>, Refusal> {
    let text = utf8(value)?;
    // Derived code would take the members from an array too, by their place.
    if text.trim_start().starts_with('[') {
        return Err(malformed("the value is an array; send one CloudEvent as a JSON object"));
    }
    let whole: Structured<'a> = serde_json::from_str(text).map_err(|error| {
        // serde's sentences about data repeat the payload.
        let at = format_args!("line {}, column {}", error.line(), error.column());
        malformed(match error.is_data() {
            true => {
                format!("the value is not one object with each attribute once, at {at}; send a CloudEvent")
            }
            false => format!("the value is not JSON, at {at}; send one CloudEvent as a JSON object"),
        })
    })?;
    let attributes = Attributes {
        specversion: whole.specversion.map(|any| any.0),
        r#type: whole.r#type.map(|any| any.0),
        id: whole.id.map(|any| any.0),
        subject: whole.subject.map(|any| any.0),
        time: whole.time.map(|any| any.0),
        partitionkey: whole.partitionkey.map(|any| any.0),
        version: whole.version.map(|any| any.0),
    };
    // Before the data: another type of event has other data.
    attributes.data_type()?;
    let format = match whole.datacontenttype {
        Some(Any(Raw::Text(content))) => format_of(Some(&content))?,
        Some(_) => return Err(malformed("datacontenttype is not a string; send application/json")),
        None => Format::Json,
    };
    match (whole.data, whole.data_base64, format) {
        (Some(data), None, Format::Json) => attributes.event(Payload::Json(data.get().as_bytes()), key),
        (Some(_), None, Format::Protobuf) => {
            Err(malformed("protobuf cannot stand in data; send it in data_base64"))
        }
        (None, Some(Any(Raw::Text(text))), format) => {
            let bytes = STANDARD
                .decode(text.as_bytes())
                .map_err(|_| malformed("data_base64 is not base64; encode it by RFC 4648, with padding"))?;
            let encoding = match format {
                Format::Json => Encoding::Json,
                Format::Protobuf => Encoding::Protobuf,
            };
            // Of other lifetimes than the bytes just decoded, so both end here.
            own(attributes, framing::strip(&bytes, &NoHeaders, encoding)?, key)
        }
        (None, Some(_), _) => Err(malformed("data_base64 is not a string; encode the data by RFC 4648")),
        (Some(_), Some(_), _) => Err(malformed("data and data_base64 are both given; send one of them")),
        (None, None, _) => Err(no_data()),
    }
}

/// The event with text of its own.
fn own<'b>(
    attributes: Attributes<'b>,
    data: Payload<'b>,
    key: &PersonKey,
) -> Result<Event<'static>, Refusal> {
    attributes.event(data, key).map(Event::into_owned)
}
