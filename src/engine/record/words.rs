//! The words of a line of an explanation, with the bytes as which both encodings write them: the
//! same in every record of a configuration, so they are put together once.
//!
//! This file must not know values: those differ from record to record. To add a word: a field
//! here, and its place in what is rendered.

use super::json;
use super::wire;

/// What a line is called.
#[derive(Clone, PartialEq, Eq)]
pub struct LineWords(Box<Rendered>);

#[derive(Clone, PartialEq, Eq)]
struct Rendered {
    line: String,
    group: String,
    unit: Option<String>,
    /// The beginning of the object, up to the value.
    json: Vec<u8>,
    /// What stands between the value and the points; empty without a unit.
    json_unit: Vec<u8>,
    /// The fields in front of the value.
    protobuf: Vec<u8>,
    /// The field behind the value; empty without a unit.
    protobuf_unit: Vec<u8>,
}

impl LineWords {
    /// Renders them.
    pub fn new(line: &str, group: &str, unit: Option<&str>) -> LineWords {
        let (mut json, mut json_unit) = (Vec::new(), Vec::new());
        json.extend_from_slice(br#"{"line":"#);
        json::text(&mut json, line);
        json.extend_from_slice(br#","group":"#);
        json::text(&mut json, group);
        if let Some(unit) = unit {
            json_unit.extend_from_slice(br#","unit":"#);
            json::text(&mut json_unit, unit);
        }
        let (mut protobuf, mut protobuf_unit) = (Vec::new(), Vec::new());
        wire::text(&mut protobuf, 1, line);
        wire::text(&mut protobuf, 2, group);
        wire::text_given(&mut protobuf_unit, 4, unit);
        let (line, group, unit) = (line.to_owned(), group.to_owned(), unit.map(str::to_owned));
        LineWords(Box::new(Rendered { line, group, unit, json, json_unit, protobuf, protobuf_unit }))
    }

    /// Feature name, or `cap:` and the cap's name.
    pub fn line(&self) -> &str {
        &self.0.line
    }

    /// Its group.
    pub fn group(&self) -> &str {
        &self.0.group
    }

    /// The value's unit.
    pub fn unit(&self) -> Option<&str> {
        self.0.unit.as_deref()
    }

    /// JSON before and behind the value.
    pub(super) fn json(&self) -> (&[u8], &[u8]) {
        (&self.0.json, &self.0.json_unit)
    }

    /// Protobuf before and behind the value.
    pub(super) fn protobuf(&self) -> (&[u8], &[u8]) {
        (&self.0.protobuf, &self.0.protobuf_unit)
    }
}

impl std::fmt::Debug for LineWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LineWords").field(&self.line()).field(&self.group()).field(&self.unit()).finish()
    }
}
