//! `POST /v1/events`: one event or many, in any form of `form.rs`. Events are stored as they came,
//! with the headers that say how to read them.
//!
//! Every event is judged by the decoder before anything is written. Good ones are written in one
//! durable append and bad ones are reported, each with its index, its reason code and a sentence:
//! 200 when all were accepted, 207 when some were, 422 when none was. 429 means that nothing was
//! looked at: wait for `Retry-After` and send the same again.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header::CONTENT_LENGTH;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use super::form::Form;
use super::problem::{Problem, problem_json};
use super::{NewRecord, Shared, Store, StoreError};
use crate::clock;
use crate::engine::event::{Encoding, Intake, Kind, MAX_EVENT_BYTES, RawRecord, Refusal};
use crate::engine::partition::partition_of;
use crate::telemetry::catalogue::{INGEST_EVENTS, INGEST_REFUSED, INGEST_THROTTLED};

/// Refused events that are listed one by one; the rest is counted.
pub const REFUSED_LISTED_MAX: usize = 100;

/// Longest time for a body to arrive: a client that stalls must not keep its place in the queue.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// What became of a request's events.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// Events that are durable now.
    pub accepted: u64,
    /// Events that were refused and not written.
    pub refused: u64,
    /// The first [`REFUSED_LISTED_MAX`] of them.
    pub refusals: Vec<RefusedLine>,
}

/// One refused event.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusedLine {
    /// Its index in the request (line, message or entry), from 0; empty lines count.
    pub index: u64,
    /// The reason code, from a closed set.
    pub reason: String,
    /// What is wrong, in a sentence.
    pub message: String,
}

/// The handler.
pub async fn post_events(
    State(shared): State<Arc<Shared>>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = Form::of(&headers)?;
    // The permit is taken before the body is read: a full queue costs no memory.
    let Ok(permit) = Arc::clone(&shared.queue).try_acquire_owned() else {
        INGEST_THROTTLED.add(&[], 1);
        return Err(throttled());
    };
    let body = read_body(&shared, &headers, body).await?;
    let worked = tokio::task::spawn_blocking(move || {
        let outcome = accept(shared.store.as_ref(), &shared.intake, &form, &body);
        drop(permit);
        outcome
    });
    match worked.await {
        Ok(Ok(summary)) => Ok(answer(&summary)),
        Ok(Err(StoreError::Busy)) => {
            INGEST_THROTTLED.add(&[], 1);
            Err(throttled())
        }
        Ok(Err(error)) => Err(unavailable(&error)),
        Err(_) => Err(unavailable(&StoreError::Failed { detail: "the request was interrupted".to_owned() })),
    }
}

async fn read_body(shared: &Shared, headers: &HeaderMap, body: Body) -> Result<Bytes, Problem> {
    let limit = shared.request_bytes;
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "urn:accountpulse:problem:too-large",
            "Body too large",
            format!("a request may have {limit} bytes (http.request_bytes); send several smaller ones"),
        )
    };
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if announced.is_some_and(|bytes| bytes > limit) {
        return Err(too_large());
    }
    match tokio::time::timeout(BODY_WAIT, axum::body::to_bytes(body, limit)).await {
        // Besides the limit, only a client that went away makes this fail, and it hears no answer.
        Ok(read) => read.map_err(|_| too_large()),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "urn:accountpulse:problem:slow",
            "Body too slow",
            format!("the body did not arrive within {} seconds; send less at once", BODY_WAIT.as_secs()),
        )),
    }
}

/// Judges JSON events, one a line, and writes the good ones: what a request with such a body does,
/// for programs that write to the log themselves.
pub fn accept_lines(store: &dyn Store, intake: &Intake, body: &[u8]) -> Result<Summary, StoreError> {
    accept(store, intake, &Form::lines(), body)
}

/// Judges every event and writes the good ones.
fn accept(store: &dyn Store, intake: &Intake, form: &Form, body: &[u8]) -> Result<Summary, StoreError> {
    let now_ms = clock::wall_ms();
    let mut batch = Batch::default();
    for (index, piece) in form.cut(body) {
        batch.take(index, piece.and_then(|value| admit(intake, form, value, now_ms)));
    }
    let mut by_kind = [0u64; Kind::ALL.len()];
    for record in &batch.records {
        by_kind[record.kind as usize] += 1; // the discriminants are 0..ALL.len()
    }
    batch.summary.accepted = batch.records.len() as u64;
    if !batch.records.is_empty() {
        store.append(batch.records)?;
    }
    for (kind, count) in Kind::ALL.into_iter().zip(by_kind).filter(|(_, count)| *count > 0) {
        INGEST_EVENTS.add(&[kind.name()], count);
    }
    Ok(batch.summary)
}

/// A request's events while they are judged.
#[derive(Default)]
struct Batch {
    records: Vec<NewRecord>,
    summary: Summary,
}

impl Batch {
    fn take(&mut self, index: u64, admitted: Result<NewRecord, Refusal>) {
        match admitted {
            Ok(record) => self.records.push(record),
            Err(refusal) => {
                INGEST_REFUSED.add(&[refusal.reason.code()], 1);
                self.summary.refused += 1;
                if self.summary.refusals.len() < REFUSED_LISTED_MAX {
                    self.summary.refusals.push(RefusedLine {
                        index,
                        reason: refusal.reason.code().to_owned(),
                        message: refusal.message,
                    });
                }
            }
        }
    }
}

/// The record of an event that the worker will accept too: once the key is known, exactly the
/// worker's own judgement is asked for.
fn admit(intake: &Intake, form: &Form, value: &[u8], now_ms: i64) -> Result<NewRecord, Refusal> {
    let raw = RawRecord {
        key: None,
        value: Some(value),
        timestamp_ms: now_ms,
        partition: 0,
        encoding: form.encoding,
        headers: &form.headers,
    };
    if value.len() > MAX_EVENT_BYTES {
        intake.decode(raw)?;
    }
    let event = intake.decode_value(&raw)?;
    let key = event.account.as_bytes();
    let partition = partition_of(key, intake.partitions);
    intake.decode(RawRecord { key: Some(key), partition, encoding: Encoding::Auto, ..raw })?;
    Ok(NewRecord {
        kind: event.kind(),
        partition,
        key: key.to_vec(),
        value: value.to_vec(),
        headers: form.headers.0.clone(),
    })
}

fn answer(summary: &Summary) -> Response {
    if summary.refused == 0 {
        return (StatusCode::OK, axum::Json(summary)).into_response();
    }
    if summary.accepted > 0 {
        return (StatusCode::MULTI_STATUS, axum::Json(summary)).into_response();
    }
    #[derive(Serialize)]
    struct AllRefused<'a> {
        #[serde(flatten)]
        problem: Problem,
        #[serde(flatten)]
        summary: &'a Summary,
    }
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let problem = Problem::new(
        status,
        "urn:accountpulse:problem:refused",
        "Refused",
        "no event was accepted; see `refusals` for the reason of each",
    );
    problem_json(status, &AllRefused { problem, summary })
}

pub(super) fn throttled() -> Problem {
    Problem::new(
        StatusCode::TOO_MANY_REQUESTS,
        "urn:accountpulse:problem:busy",
        "Too many requests wait",
        "nothing of this request was written; send the same again after Retry-After seconds",
    )
}

pub(super) fn unavailable(error: &StoreError) -> Problem {
    const AGAIN: &str =
        "the events may or may not have been written; send the same again, a repeated event changes nothing";
    let status = StatusCode::SERVICE_UNAVAILABLE;
    if let StoreError::Disk { sentence } = error {
        // The log room has said so once; a client that tries again and again must not fill the log.
        let detail = format!("{sentence}; {AGAIN}");
        return Problem::new(status, "urn:accountpulse:problem:disk", "The disk of the log refuses", detail);
    }
    tracing::error!(%error, "events could not be written");
    Problem::new(status, "urn:accountpulse:problem:log", "The log does not answer", AGAIN)
}
