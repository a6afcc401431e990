//! Scores and transitions as records of the log: key, value in the encoding that was asked for,
//! and headers in the binary mode of CloudEvents, so that a reader knows what a record is before
//! it looks inside. `docs/contract.md` is written for those readers; `tests/contract/` holds the
//! bytes.
//!
//! This file must not decide what is told. A header costs bytes in every record and,
//! unless it is always the same, an allocation: to add one, say what a reader does with it.

use crate::engine::record::{OutputEncoding, RiskTransition, ScoreRecord, score_id, transition_id};
use crate::engine::time::rfc3339;
use crate::log::{HeaderName, HeaderValue, OutRecord, TopicPartition};

/// The complete decision state of the account; on scores, opaque and ours.
pub const HEADER_DECISIONS: &str = "accountpulse.decisions";
/// Media type of the value.
pub const HEADER_CONTENT_TYPE: &str = "content-type";
/// Version of CloudEvents.
pub const HEADER_CE_SPECVERSION: &str = "ce_specversion";
/// Id of the record.
pub const HEADER_CE_ID: &str = "ce_id";
/// Who says it.
pub const HEADER_CE_SOURCE: &str = "ce_source";
/// What kind of record, with its major version.
pub const HEADER_CE_TYPE: &str = "ce_type";
/// The instant it speaks of, RFC 3339.
pub const HEADER_CE_TIME: &str = "ce_time";
/// The account.
pub const HEADER_CE_SUBJECT: &str = "ce_subject";

const SPECVERSION: &[u8] = b"1.0";
const SOURCE: &[u8] = b"/accountpulse";
const SCORE_TYPE: &[u8] = b"accountpulse.score.v1";
const RISK_TYPE: &[u8] = b"accountpulse.risk.v1";

/// An output does not serialise: a defect of this program.
#[derive(Debug, thiserror::Error)]
#[error("an output of account {account} cannot be written as JSON: {detail}")]
pub struct OutputError {
    account: String,
    detail: String,
}

/// The record of a score, with the journal header that belongs to it. What `scratch` holds is lost;
/// with one buffer for all records only their values are allocated, in the length they have.
pub fn score_record(
    scratch: &mut Vec<u8>,
    to: TopicPartition,
    record: &ScoreRecord<'_>,
    decisions: &[u8],
    encoding: OutputEncoding,
    timestamp_ms: i64,
) -> OutRecord {
    scratch.clear();
    record.write_protobuf(scratch);
    let id = score_id(scratch);
    if encoding == OutputEncoding::Json {
        scratch.clear();
        record.write_json(scratch);
    }
    let value = scratch.as_slice().to_vec();
    let key = record.account_id.as_bytes().to_vec();
    let mut headers = headers(encoding, SCORE_TYPE, id, record.as_of, &key);
    headers.push((HEADER_DECISIONS.into(), decisions.to_vec().into()));
    OutRecord { to, key: Some(key), value: Some(value), headers, timestamp_ms }
}

/// The record of a risk transition; `scratch` as above.
///
/// # Errors
/// [`OutputError`]
pub fn risk_record(
    scratch: &mut Vec<u8>,
    to: TopicPartition,
    risk: &RiskTransition,
    encoding: OutputEncoding,
    timestamp_ms: i64,
) -> Result<OutRecord, OutputError> {
    scratch.clear();
    match encoding {
        OutputEncoding::Json => json(scratch, &risk.account_id, risk)?,
        OutputEncoding::Protobuf => risk.write_protobuf(scratch),
    }
    let value = scratch.as_slice().to_vec();
    let key = risk.account_id.clone().into_bytes();
    let headers = headers(encoding, RISK_TYPE, transition_id(risk), risk.at_ms, &key);
    Ok(OutRecord { to, key: Some(key), value: Some(value), headers, timestamp_ms })
}

fn json(out: &mut Vec<u8>, account: &str, record: &impl serde::Serialize) -> Result<(), OutputError> {
    out.clear();
    serde_json::to_writer(out, record)
        .map_err(|error| OutputError { account: account.to_owned(), detail: error.to_string() })
}

fn headers(
    encoding: OutputEncoding,
    ce_type: &'static [u8],
    id: Vec<u8>,
    time_ms: i64,
    account: &[u8],
) -> Vec<(HeaderName, HeaderValue)> {
    let content_type: &[u8] = match encoding {
        OutputEncoding::Json => b"application/json",
        OutputEncoding::Protobuf => b"application/x-protobuf",
    };
    // One more than these, for the decisions of a score.
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::with_capacity(8);
    headers.push((HEADER_CONTENT_TYPE.into(), content_type.into()));
    headers.push((HEADER_CE_SPECVERSION.into(), SPECVERSION.into()));
    headers.push((HEADER_CE_ID.into(), id.into()));
    headers.push((HEADER_CE_SOURCE.into(), SOURCE.into()));
    headers.push((HEADER_CE_TYPE.into(), ce_type.into()));
    headers.push((HEADER_CE_TIME.into(), rfc3339(time_ms).into_bytes().into()));
    headers.push((HEADER_CE_SUBJECT.into(), account.to_vec().into()));
    headers
}
