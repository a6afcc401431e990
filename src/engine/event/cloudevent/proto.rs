//! Structured mode in protobuf: the message `io.cloudevents.v1.CloudEvent`, read by the same scan
//! as our own messages.
//!
//! ```text
//! 1 id   2 source   3 spec_version   4 type   5 attributes: map<string, value>
//! 6 binary_data   7 text_data   8 proto_data: google.protobuf.Any      (6 to 8: one of them)
//! value: 1 boolean   2 integer   3 string   4 bytes   5 uri   6 uri-reference   7 timestamp
//! ```

use std::borrow::Cow;

use super::super::framing::{self, Payload};
use super::super::headers::NoHeaders;
use super::super::intake::Encoding;
use super::super::wire::{self, Damage, FieldKey, Message, Reader};
use super::{Attributes, DataType, Event, Format, PersonKey, Raw, Refusal, format_of, malformed, no_data};

/// The data, as the one of three fields that came last.
#[derive(Clone, Copy)]
enum Data<'a> {
    Bytes(&'a [u8]),
    Text(&'a str),
    Any(AnyMessage<'a>),
}

#[derive(Default)]
struct CloudEvent<'a> {
    attributes: Attributes<'a>,
    content: Option<Raw<'a>>,
    data: Option<Data<'a>>,
}

fn text(text: &str) -> Option<Raw<'_>> {
    (!text.is_empty()).then_some(Raw::Text(Cow::Borrowed(text)))
}

impl<'a> Message<'a> for CloudEvent<'a> {
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        let known = &mut self.attributes;
        match key.number {
            1 => known.id = text(from.text(key)?),
            3 => known.specversion = text(from.text(key)?),
            4 => known.r#type = text(from.text(key)?),
            5 => {
                let mut entry = Entry::default();
                wire::merge(&mut entry, from.message(key)?)?;
                self.extension(entry);
            }
            6 => self.data = Some(Data::Bytes(from.blob(key)?)),
            7 => self.data = Some(Data::Text(from.text(key)?)),
            8 => {
                let mut any = match self.data {
                    Some(Data::Any(any)) => any,
                    _ => AnyMessage::default(),
                };
                wire::merge(&mut any, from.message(key)?)?;
                self.data = Some(Data::Any(any));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

impl<'a> CloudEvent<'a> {
    /// Takes an entry of the map; of two with one name the last counts.
    fn extension(&mut self, entry: Entry<'a>) {
        let known = &mut self.attributes;
        let slot = match entry.name {
            "subject" => &mut known.subject,
            "time" => &mut known.time,
            "partitionkey" => &mut known.partitionkey,
            "version" => &mut known.version,
            "datacontenttype" => &mut self.content,
            _ => return,
        };
        *slot = entry.value.0;
    }
}

/// An entry of the map of attributes.
#[derive(Default)]
struct Entry<'a> {
    name: &'a str,
    value: Value<'a>,
}

impl<'a> Message<'a> for Entry<'a> {
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        match key.number {
            1 => self.name = from.text(key)?,
            2 => drop(wire::merge(&mut self.value, from.message(key)?)?),
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// The value of an attribute.
#[derive(Default)]
struct Value<'a>(Option<Raw<'a>>);

impl<'a> Message<'a> for Value<'a> {
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        self.0 = Some(match key.number {
            1 => Raw::Bool(from.number(key)? != 0),
            // An int32 is cut to its width.
            2 => match from.number(key)? as i32 {
                n if n < 0 => Raw::Negative(n.into()),
                n => Raw::Unsigned(n.unsigned_abs().into()),
            },
            3 | 5 | 6 => Raw::Text(Cow::Borrowed(from.text(key)?)),
            4 => {
                from.blob(key)?;
                Raw::Object
            }
            7 => {
                let mut time = Timestamp::default();
                wire::merge(&mut time, from.message(key)?)?;
                Raw::Millis(
                    time.seconds.saturating_mul(1_000).saturating_add(i64::from(time.nanos) / 1_000_000),
                )
            }
            _ => return Ok(false),
        });
        Ok(true)
    }
}

/// `google.protobuf.Timestamp`.
#[derive(Default)]
struct Timestamp {
    seconds: i64,
    nanos: i32,
}

impl<'a> Message<'a> for Timestamp {
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        match key.number {
            1 => self.seconds = from.number(key)? as i64,
            2 => self.nanos = from.number(key)? as i32,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// `google.protobuf.Any`.
#[derive(Clone, Copy, Default)]
struct AnyMessage<'a> {
    url: &'a str,
    value: &'a [u8],
}

impl AnyMessage<'_> {
    /// Whether it says that it is the message of that type of data. Messages of two kinds may look
    /// alike, so one must not be read as the other.
    fn is(&self, data_type: DataType) -> bool {
        let name = self.url.rsplit('/').next().and_then(|name| name.strip_prefix("accountpulse.v1."));
        name.is_some_and(|name| match data_type {
            DataType::Event => name == "Event",
            // A message is called like its kind, with a capital.
            DataType::Body(kind) => name.eq_ignore_ascii_case(kind.name()),
        })
    }
}

impl<'a> Message<'a> for AnyMessage<'a> {
    fn field(&mut self, key: FieldKey, from: &mut Reader<'a>) -> Result<bool, Damage> {
        match key.number {
            1 => self.url = from.text(key)?,
            2 => self.value = from.blob(key)?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

pub(super) fn decode<'a>(value: &'a [u8], key: &PersonKey) -> Result<Event<'a>, Refusal> {
    let mut whole = CloudEvent::default();
    wire::merge(&mut whole, Reader::new(value)).map_err(|damage| {
        malformed(format_args!(
            "the value is not an io.cloudevents.v1.CloudEvent: {damage}; send one message of that schema"
        ))
    })?;
    // Before the data: another type of event has other data.
    let data_type = whole.attributes.data_type()?;
    let content = match &whole.content {
        Some(Raw::Text(content)) => Some(content.as_ref()),
        Some(_) => return Err(malformed("datacontenttype is not a string; send application/protobuf")),
        None => None,
    };
    let data = match whole.data.ok_or_else(no_data)? {
        Data::Any(any) if any.is(data_type) => Payload::Protobuf(any.value, None),
        Data::Any(_) => {
            return Err(malformed(
                "proto_data is a message of another schema or kind; send the one of accountpulse.v1 that the type names",
            ));
        }
        Data::Text(text) => Payload::Json(text.as_bytes()),
        Data::Bytes(bytes) => {
            let encoding = match format_of(content)? {
                Format::Json => Encoding::Json,
                Format::Protobuf => Encoding::Protobuf,
            };
            framing::strip(bytes, &NoHeaders, encoding)?
        }
    };
    whole.attributes.event(data, key)
}
