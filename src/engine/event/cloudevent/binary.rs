//! Binary mode: attributes in headers whose names start with `ce_`, as plain UTF-8; the value is
//! the data, in the format of `content-type`.

use std::borrow::Cow;

use super::super::framing::{self, Payload};
use super::super::intake::Encoding;
use super::{
    Attributes, CONTENT_TYPE, Event, Format, Headers, PersonKey, Raw, Refusal, format_of, malformed,
};

pub(super) fn decode<'a>(
    value: &'a [u8],
    headers: &'a dyn Headers,
    key: &PersonKey,
) -> Result<Event<'a>, Refusal> {
    let attributes = Attributes {
        specversion: text(headers, "ce_specversion")?,
        r#type: text(headers, "ce_type")?,
        id: text(headers, "ce_id")?,
        subject: text(headers, "ce_subject")?,
        time: text(headers, "ce_time")?,
        partitionkey: text(headers, "ce_partitionkey")?,
        version: text(headers, "ce_version")?,
    };
    // Before the data: another type of event has other data.
    attributes.data_type()?;
    attributes.event(data(value, headers)?, key)
}

fn data<'a>(value: &'a [u8], headers: &'a dyn Headers) -> Result<Payload<'a>, Refusal> {
    let content = match headers.header(CONTENT_TYPE) {
        Some(content) => Some(utf8(content, CONTENT_TYPE)?),
        None => None,
    };
    let encoding = match format_of(content)? {
        Format::Json => Encoding::Json,
        Format::Protobuf => Encoding::Protobuf,
    };
    framing::strip(value, headers, encoding)
}

fn text<'a>(headers: &'a dyn Headers, name: &str) -> Result<Option<Raw<'a>>, Refusal> {
    headers.header(name).map(|value| Ok(Raw::Text(Cow::Borrowed(utf8(value, name)?)))).transpose()
}

fn utf8<'a>(value: &'a [u8], name: &str) -> Result<&'a str, Refusal> {
    let not_utf8 = || malformed(format_args!("the header {name} is not UTF-8; encode it as UTF-8"));
    std::str::from_utf8(value).map_err(|_| not_utf8())
}
