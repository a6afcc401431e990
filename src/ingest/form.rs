//! What a request's headers say about its body: how it is cut into events, how each is encoded,
//! and which headers are stored with each record, so that the worker reads it as it was meant.
//!
//! | content type | one record for | headers of the record |
//! | --- | --- | --- |
//! | `application/json`, `application/x-protobuf` | the body | none |
//! | `application/x-ndjson` | each line | none |
//! | `application/x-protobuf; encoding=delimited` | each message | none |
//! | `application/cloudevents+json`, `+protobuf` | the body | `content-type` |
//! | `application/cloudevents-batch+json` | each entry of the array | `content-type` |
//! | any, with `ce-specversion` | the body | `content-type`, `ce_*` |
//!
//! Nothing is judged here. To accept another form: a row here and in `docs/http.md`, an arm in
//! [`Form::of`], and how it is cut in [`Form::cut`].

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use serde_json::value::RawValue;

use super::problem::Problem;
use crate::engine::event::{Encoding, Headers, Reason, Refusal, split_delimited};

/// Most bytes of `ce-*` headers in one request.
const MAX_ATTRIBUTE_BYTES: usize = 16 * 1024;
/// The header that says how a record is to be read.
const STORED_CONTENT_TYPE: &str = "content-type";

/// How a body becomes records.
#[derive(Debug)]
pub(super) struct Form {
    cut: Cut,
    /// What the sender says each piece is; a record is read again without this knowledge.
    pub encoding: Encoding,
    /// What is stored beside each piece.
    pub headers: StoredHeaders,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    Whole,
    Lines,
    Delimited,
    Array,
}

/// Headers as they will stand in the record.
#[derive(Debug, Default)]
pub(super) struct StoredHeaders(pub Vec<(String, Vec<u8>)>);

impl Headers for StoredHeaders {
    fn any(&self) -> bool {
        !self.0.is_empty()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_slice())
    }
}

/// One event's bytes with its index in the request, or why the body could not be cut there.
pub(super) type Piece<'b> = (u64, Result<&'b [u8], Refusal>);

impl Form {
    /// JSON, one event a line.
    pub fn lines() -> Form {
        Form { cut: Cut::Lines, encoding: Encoding::Json, headers: StoredHeaders::default() }
    }

    /// The form a request's headers announce.
    pub fn of(headers: &HeaderMap) -> Result<Form, Problem> {
        let content = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut parts = content.split(';').map(|part| part.trim().to_ascii_lowercase());
        let media = parts.next().unwrap_or_default();
        let delimited = parts.any(|parameter| parameter == "encoding=delimited");
        let plain = |cut, encoding| Form { cut, encoding, headers: StoredHeaders::default() };
        let cloud = |cut, content: &str| {
            let headers = StoredHeaders(vec![(STORED_CONTENT_TYPE.to_owned(), content.into())]);
            Form { cut, encoding: Encoding::Auto, headers }
        };
        Ok(match media.as_str() {
            "application/cloudevents+json" => cloud(Cut::Whole, &media),
            "application/cloudevents+protobuf" => cloud(Cut::Whole, &media),
            "application/cloudevents-batch+json" => cloud(Cut::Array, "application/cloudevents+json"),
            _ if headers.contains_key("ce-specversion") => binary(headers, content)?,
            "application/json" => plain(Cut::Whole, Encoding::Json),
            "application/x-ndjson" | "application/jsonl" => Form::lines(),
            "application/x-protobuf" | "application/protobuf" | "application/vnd.google.protobuf" => {
                plain(if delimited { Cut::Delimited } else { Cut::Whole }, Encoding::Protobuf)
            }
            _ => return Err(unknown()),
        })
    }

    /// Cuts a body into its events. After a piece that cannot be cut nothing follows.
    pub fn cut<'b>(&self, body: &'b [u8]) -> Vec<Piece<'b>> {
        match self.cut {
            Cut::Whole => vec![(0, Ok(body))],
            Cut::Lines => {
                let line = |line: &'b [u8]| Ok(line.strip_suffix(b"\r").unwrap_or(line));
                let pieces = (0..).zip(body.split(|byte| *byte == b'\n').map(line));
                pieces.filter(|(_, piece): &Piece<'b>| !is_blank(piece)).collect()
            }
            Cut::Delimited => (0..).zip(split_delimited(body)).collect(),
            Cut::Array => match serde_json::from_slice::<Vec<&RawValue>>(body) {
                Ok(entries) => {
                    (0..).zip(entries.into_iter().map(|entry| Ok(entry.get().as_bytes()))).collect()
                }
                // serde's sentence about data repeats the payload.
                Err(error) => vec![(0, Err(no_array(error.line(), error.column())))],
            },
        }
    }
}

fn is_blank(piece: &Result<&[u8], Refusal>) -> bool {
    piece.as_ref().is_ok_and(|line| line.iter().all(u8::is_ascii_whitespace))
}

fn no_array(line: usize, column: usize) -> Refusal {
    let sentence =
        format!("the body is not a JSON array (line {line}, column {column}); send one of CloudEvents");
    Refusal::new(Reason::MalformedJson, sentence)
}

/// CloudEvents in binary mode: as HTTP has it becomes as Kafka has it.
fn binary(headers: &HeaderMap, content: &str) -> Result<Form, Problem> {
    let mut stored = Vec::new();
    let mut bytes = 0;
    for (name, value) in headers {
        let Some(attribute) = name.as_str().strip_prefix("ce-") else { continue };
        let value = attribute_value(value.as_bytes());
        bytes += attribute.len() + value.len();
        stored.push((format!("ce_{attribute}"), value));
    }
    if bytes > MAX_ATTRIBUTE_BYTES {
        return Err(Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "urn:accountpulse:problem:attributes",
            "Attributes too large",
            format!("ce-* headers may have {MAX_ATTRIBUTE_BYTES} bytes together; send fewer extensions"),
        ));
    }
    if !content.is_empty() {
        stored.push((STORED_CONTENT_TYPE.to_owned(), content.into()));
    }
    Ok(Form { cut: Cut::Whole, encoding: Encoding::Auto, headers: StoredHeaders(stored) })
}

/// The value of an attribute, out of the quotes and percent signs of its header.
fn attribute_value(raw: &[u8]) -> Vec<u8> {
    let quoted = raw.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
    let mut rest = quoted.unwrap_or(raw);
    let mut value = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        let (byte, after) = match (byte, after) {
            (b'\\', [escaped, after @ ..]) if quoted.is_some() => (*escaped, after),
            (b'%', [high, low, after @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => (high << 4 | low, after),
                _ => (byte, &rest[1..]),
            },
            _ => (byte, after),
        };
        value.push(byte);
        rest = after;
    }
    value
}

fn hex(digit: u8) -> Option<u8> {
    // A hexadecimal digit fits a byte.
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn unknown() -> Problem {
    Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "urn:accountpulse:problem:media-type",
        "Unknown Content-Type",
        "send application/json or application/x-protobuf (one event), application/x-ndjson (one event a line), \
         application/x-protobuf; encoding=delimited, application/cloudevents+json, \
         application/cloudevents-batch+json, or ce-* headers",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_come_out_of_their_headers() {
        let cases: [(&str, &str); 8] = [
            ("plain", "plain"),
            ("Euro%20%E2%82%AC", "Euro €"),
            ("a%2fb", "a/b"),
            ("100%", "100%"),
            ("%zz%4", "%zz%4"),
            (r#""a \"b\" %20c""#, r#"a "b"  c"#),
            (r"a\b", r"a\b"),
            ("", ""),
        ];
        for (raw, expected) in cases {
            assert_eq!(String::from_utf8_lossy(&attribute_value(raw.as_bytes())), expected, "{raw}");
        }
    }
}
