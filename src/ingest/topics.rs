//! `GET /v1/topics/{topic}`: published records as NDJSON, one object a line, with a long poll.
//!
//! ```text
//! from=beginning | end | 0:17,1:3   where to start (default beginning); partitions that are not
//!                                   named start at their beginning
//! last=N                            instead of from: the last N of every partition
//! follow=SECONDS                    wait that long for the first record
//! exact=true                        key, value and headers as they are, in base64
//! ```
//!
//! The header `accountpulse-next` holds the `from` of the next request.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::problem::Problem;
use super::{OutputTopic, Outputs, Shared, Store, StoreError, Stored};
use crate::clock;
use crate::engine::record::{RecordKind, json_twin};

/// Longest wait for a first record.
pub const FOLLOW_MAX_SECS: u64 = 60;
/// About how much one answer holds per partition.
const PARTITION_BYTES_MAX: usize = 1024 * 1024;
/// A waiting request looks that often whether the instance is stopping.
const WAIT_SLICE: Duration = Duration::from_millis(500);
/// Where the next request starts.
pub const NEXT_HEADER: &str = "accountpulse-next";

/// The query.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ask {
    /// Where to start.
    pub from: Option<String>,
    /// How many of the last records of each partition.
    pub last: Option<u64>,
    /// How many seconds to wait for the first record.
    pub follow: Option<u64>,
    /// Lines of [`ExactLine`].
    pub exact: bool,
}

/// The handler.
pub async fn get_topic(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    query: Result<Query<Ask>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, Problem> {
    let Some(topic) = OutputTopic::from_name(&name) else {
        return Err(bad(StatusCode::NOT_FOUND, "the topics are scores, risks and dead-letters"));
    };
    let Ok(Query(ask)) = query else {
        return Err(bad(StatusCode::BAD_REQUEST, "the parameters are from, last, follow and exact"));
    };
    let store = Arc::clone(&shared.store);
    let health = Arc::clone(&shared.health);
    let stopping = move || health.stopping.load(std::sync::atomic::Ordering::Relaxed);
    let worked = tokio::task::spawn_blocking(move || collect(store.as_ref(), topic, &ask, &stopping));
    match worked.await {
        Ok(Ok(page)) => Ok(answer(page)),
        Ok(Err(Failure::Asked(sentence))) => Err(bad(StatusCode::BAD_REQUEST, sentence)),
        Ok(Err(Failure::Store(error))) => Err(bad(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        Err(_) => Err(bad(StatusCode::SERVICE_UNAVAILABLE, "the request was interrupted")),
    }
}

fn bad(status: StatusCode, detail: impl Into<String>) -> Problem {
    Problem::new(status, "urn:accountpulse:problem:topic", "The topic cannot be read like this", detail)
}

fn answer(page: Page) -> Response {
    let next = page.next_from();
    let mut response = Body::from(page.lines).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    // Digits, colons and commas are always a header value.
    if let Ok(value) = HeaderValue::from_str(&next) {
        headers.insert(HeaderName::from_static(NEXT_HEADER), value);
    }
    response
}

/// Why there is no page of a topic.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for makes no sense.
    #[error("{0}")]
    Asked(&'static str),
    /// The log failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// One page of a topic: lines, and where the next page starts.
pub struct Page {
    /// NDJSON.
    pub lines: Vec<u8>,
    /// Next offset per partition.
    pub next: Vec<u64>,
}

impl Page {
    /// The `from` of the next page.
    pub fn next_from(&self) -> String {
        let pairs = self.next.iter().enumerate().map(|(partition, offset)| format!("{partition}:{offset}"));
        pairs.collect::<Vec<_>>().join(",")
    }
}

/// Reads once, without waiting.
pub fn read_page(outputs: &(impl Outputs + ?Sized), topic: OutputTopic, ask: &Ask) -> Result<Page, Failure> {
    let bounds = outputs.bounds(topic)?;
    let mut lines = Vec::new();
    if let Some(count) = ask.last {
        let mut next = Vec::new();
        for (partition, bounds) in (0u32..).zip(bounds) {
            let mut write = |record: &Stored| write_line(&mut lines, (topic, partition), record, ask.exact);
            next.push(last(outputs, (topic, partition), bounds, count, &mut write)?);
        }
        return Ok(Page { lines, next });
    }
    let mut next = start(&bounds, ask)?;
    for ((partition, position), bounds) in (0u32..).zip(&mut next).zip(bounds) {
        let (records, after) = outputs.read(topic, partition, bounds, *position, PARTITION_BYTES_MAX)?;
        *position = after;
        for record in &records {
            write_line(&mut lines, (topic, partition), record, ask.exact);
        }
    }
    Ok(Page { lines, next })
}

/// Writes the last `count` records of a partition; where the next read starts. Offsets have gaps
/// (compaction, markers of transactions), so it looks back until it has found that many.
fn last(
    outputs: &(impl Outputs + ?Sized),
    (topic, partition): (OutputTopic, u32),
    (first, end): (u64, u64),
    count: u64,
    write: &mut dyn FnMut(&Stored),
) -> Result<u64, Failure> {
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    let mut back = count.max(1);
    loop {
        let from = end.saturating_sub(back).max(first);
        let (mut found, mut position) = (VecDeque::new(), from);
        while position < end {
            let bounds = (first, end);
            let (records, after) = outputs.read(topic, partition, bounds, position, PARTITION_BYTES_MAX)?;
            for record in records {
                if found.len() == wanted {
                    found.pop_front();
                }
                found.push_back(record);
            }
            if after == position {
                break; // retention took the rest away meanwhile
            }
            position = after;
        }
        if found.len() >= wanted || from == first {
            found.iter().take(wanted).for_each(write);
            return Ok(position);
        }
        back = back.saturating_mul(4);
    }
}

/// Reads once, and again after every change until there is something or the wait is over.
pub fn collect(
    store: &dyn Store,
    topic: OutputTopic,
    ask: &Ask,
    stopping: &dyn Fn() -> bool,
) -> Result<Page, Failure> {
    let wait = Duration::from_secs(ask.follow.unwrap_or(0).min(FOLLOW_MAX_SECS));
    let began = clock::monotonic();
    // `from=end` means the end as of the request, not as of the last look.
    let mut ask = Ask { from: ask.from.clone(), last: ask.last, follow: None, exact: ask.exact };
    loop {
        // Taken before reading: a change in between ends the wait at once.
        let seen = store.changes();
        let page = read_page(store, topic, &ask)?;
        let left = wait.saturating_sub(clock::monotonic().duration_since(began));
        if !page.lines.is_empty() || left.is_zero() || stopping() {
            return Ok(page);
        }
        ask = Ask { from: Some(page.next_from()), last: None, follow: None, exact: ask.exact };
        store.wait(seen, left.min(WAIT_SLICE));
    }
}

/// The position to start from, per partition.
fn start(bounds: &[(u64, u64)], ask: &Ask) -> Result<Vec<u64>, Failure> {
    let mut positions: Vec<u64> = bounds.iter().map(|(first, _)| *first).collect();
    match ask.from.as_deref() {
        None | Some("beginning") => {}
        Some("end") => positions = bounds.iter().map(|(_, end)| *end).collect(),
        Some(list) => {
            let sentence = "`from` is beginning, end, or partition:offset pairs such as 0:17,1:3";
            for pair in list.split(',') {
                let pair = pair.split_once(':').ok_or(Failure::Asked(sentence))?;
                let partition: usize = pair.0.parse().map_err(|_| Failure::Asked(sentence))?;
                let offset: u64 = pair.1.parse().map_err(|_| Failure::Asked(sentence))?;
                let slot = positions.get_mut(partition).ok_or(Failure::Asked("no such partition"))?;
                *slot = offset.max(*slot);
            }
        }
    }
    Ok(positions)
}

/// One line of the answer.
#[derive(Serialize)]
struct Line<'a> {
    partition: u32,
    offset: u64,
    timestamp_ms: i64,
    key: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<&'a str, Cow<'a, str>>,
    value: Option<Value<'a>>,
}

/// One line of an answer with `exact=true`: base64 (standard, padded), and headers in order.
#[derive(Serialize, Deserialize)]
pub struct ExactLine {
    /// Partition.
    pub partition: u32,
    /// Offset.
    pub offset: u64,
    /// Time.
    pub timestamp_ms: i64,
    /// Key.
    pub key: Option<String>,
    /// Name as text, value in base64.
    pub headers: Vec<(String, String)>,
    /// Value.
    pub value: Option<String>,
}

impl ExactLine {
    fn of(partition: u32, record: &Stored) -> ExactLine {
        let text = |bytes: &Vec<u8>| BASE64_STANDARD.encode(bytes);
        ExactLine {
            partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.as_ref().map(text),
            headers: record.headers.iter().map(|(name, value)| (name.clone(), text(value))).collect(),
            value: record.value.as_ref().map(text),
        }
    }

    /// The record; `None` if a part is no base64.
    pub fn stored(self) -> Option<Stored> {
        let bytes = |text: String| BASE64_STANDARD.decode(text).ok();
        let part = |text: Option<String>| text.map_or(Some(None), |text| bytes(text).map(Some));
        let headers = self.headers.into_iter().map(|(name, value)| Some((name, bytes(value)?)));
        Some(Stored {
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: part(self.key)?,
            value: part(self.value)?,
            headers: headers.collect::<Option<_>>()?,
        })
    }
}

/// A value that is JSON stands as it is, with the digits it was written with; a record of ours in
/// protobuf as its JSON twin; others as text.
#[derive(Serialize)]
#[serde(untagged)]
enum Value<'a> {
    Json(&'a RawValue),
    Text(Cow<'a, str>),
}

fn write_line(out: &mut Vec<u8>, (topic, partition): (OutputTopic, u32), record: &Stored, exact: bool) {
    if exact {
        // Text and numbers always serialise, and a Vec takes every byte.
        if serde_json::to_writer(&mut *out, &ExactLine::of(partition, record)).is_ok() {
            out.push(b'\n');
        }
        return;
    }
    let value = record.value.as_deref().map(|bytes| readable(topic, bytes));
    let value = value.as_deref().map(|bytes| match serde_json::from_slice::<&RawValue>(bytes) {
        Ok(raw) if !raw.get().contains('\n') => Value::Json(raw),
        _ => Value::Text(String::from_utf8_lossy(bytes)),
    });
    let headers = record.headers.iter();
    let line = Line {
        partition,
        offset: record.offset,
        timestamp_ms: record.timestamp_ms,
        key: record.key.as_deref().map(String::from_utf8_lossy),
        headers: headers.map(|(name, value)| (name.as_str(), String::from_utf8_lossy(value))).collect(),
        value,
    };
    // Text and numbers always serialise, and a Vec takes every byte.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    }
}

/// The JSON twin of our own records; what others wrote, and what is no record, as it is.
fn readable(topic: OutputTopic, bytes: &[u8]) -> Cow<'_, [u8]> {
    let kind = match topic {
        OutputTopic::Scores => RecordKind::Score,
        OutputTopic::Risks => RecordKind::Risk,
        OutputTopic::DeadLetters => return Cow::Borrowed(bytes),
    };
    json_twin(kind, bytes).unwrap_or(Cow::Borrowed(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_line_loses_nothing() {
        let record = Stored {
            offset: 3,
            timestamp_ms: -1,
            key: Some(vec![0xff, 0]),
            value: Some(Vec::new()),
            headers: vec![("h".to_owned(), vec![0xfe]), ("h".to_owned(), Vec::new())],
        };
        let mut line = Vec::new();
        write_line(&mut line, (OutputTopic::DeadLetters, 5), &record, true);
        let read: ExactLine = serde_json::from_slice(&line).unwrap();
        assert_eq!((read.partition, read.stored()), (5, Some(record)));
    }

    #[test]
    fn our_records_are_shown_as_json_and_refused_input_as_it_came() {
        let json = include_str!("../../tests/contract/golden/score_capped.json").trim_end();
        let hex = include_str!("../../tests/contract/golden/score_capped.hex").replace('\n', "");
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        let protobuf: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
        for value in [json.as_bytes(), &protobuf] {
            assert_eq!(readable(OutputTopic::Scores, value), json.as_bytes());
            assert_eq!(readable(OutputTopic::DeadLetters, value), value);
        }
        assert_eq!(readable(OutputTopic::Risks, b"\xff"), &b"\xff"[..]);
    }
}
