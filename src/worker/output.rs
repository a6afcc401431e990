//! Scores and transitions as records of the log: key, value in the encoding that was asked for,
//! and headers in the binary mode of CloudEvents, so that a reader knows what a record is before
//! it looks inside. `docs/contract.md` is written for those readers; `tests/contract/` holds the
//! bytes.
//!
//! This file must not decide what is told. A header costs bytes in every record, and the client of
//! a cluster some work for each: to add one, say what a reader does with it.

use crate::engine::record::{OutputEncoding, RiskTransition, ScoreRecord, score_id, transition_id};
use crate::engine::time::push_rfc3339;
use crate::log::{OutRecord, TopicId, TopicPartition};

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

/// Most records of scores whose room is kept for the next commit.
const SPARE_MAX: usize = 4_096;

/// Writes records, in the room of those that were written before: commits are many and alike, and
/// memory that is given back between them has to be asked for and cleared again.
#[derive(Debug, Default)]
pub struct OutputWriter {
    scratch: Vec<u8>,
    spare: Vec<OutRecord>,
}

impl OutputWriter {
    /// The record of a score, with the journal header that belongs to it.
    pub fn score(
        &mut self,
        to: TopicPartition,
        record: &ScoreRecord<'_>,
        decisions: &[u8],
        encoding: OutputEncoding,
        timestamp_ms: i64,
    ) -> OutRecord {
        self.scratch.clear();
        record.write_protobuf(&mut self.scratch);
        let id = score_id(&self.scratch);
        if encoding == OutputEncoding::Json {
            self.scratch.clear();
            record.write_json(&mut self.scratch);
        }
        let mut out = self.spare.pop().unwrap_or_else(|| blank(SCORE_TYPE, true));
        (out.to, out.timestamp_ms) = (to, timestamp_ms);
        let account = record.account_id.as_bytes();
        fill(&mut out, &self.scratch, account, encoding, &id, record.as_of);
        if let Some((_, place)) = out.headers.last_mut() {
            again(place.to_mut(), decisions);
        }
        out
    }

    /// The record of a risk transition.
    pub fn risk(
        &mut self,
        to: TopicPartition,
        risk: &RiskTransition,
        encoding: OutputEncoding,
        timestamp_ms: i64,
    ) -> OutRecord {
        self.scratch.clear();
        match encoding {
            OutputEncoding::Json => risk.write_json(&mut self.scratch),
            OutputEncoding::Protobuf => risk.write_protobuf(&mut self.scratch),
        }
        let mut out = blank(RISK_TYPE, false);
        (out.to, out.timestamp_ms) = (to, timestamp_ms);
        let account = risk.account_id.as_bytes();
        fill(&mut out, &self.scratch, account, encoding, &transition_id(risk), risk.at_ms);
        out
    }

    /// Takes records of scores back that nobody needs any more, for their room.
    pub fn give_back(&mut self, scores: impl Iterator<Item = OutRecord>) {
        let room = SPARE_MAX.saturating_sub(self.spare.len());
        self.spare.extend(scores.take(room));
    }
}

/// A record that says nothing yet, with the headers that are the same in all of its kind.
fn blank(ce_type: &'static [u8], has_decisions: bool) -> OutRecord {
    const OPEN: &[u8] = &[];
    let same: [(&'static str, &'static [u8]); 8] = [
        (HEADER_CONTENT_TYPE, OPEN),
        (HEADER_CE_SPECVERSION, SPECVERSION),
        (HEADER_CE_ID, OPEN),
        (HEADER_CE_SOURCE, SOURCE),
        (HEADER_CE_TYPE, ce_type),
        (HEADER_CE_TIME, OPEN),
        (HEADER_CE_SUBJECT, OPEN),
        (HEADER_DECISIONS, OPEN),
    ];
    let headers = same.into_iter().take(if has_decisions { 8 } else { 7 });
    OutRecord {
        to: TopicPartition { topic: TopicId(0), partition: 0 },
        key: None,
        value: None,
        headers: headers.map(|(name, value)| (name.into(), value.into())).collect(),
        timestamp_ms: 0,
    }
}

/// Puts in what differs from record to record, but for the decisions.
fn fill(
    out: &mut OutRecord,
    value: &[u8],
    account: &[u8],
    encoding: OutputEncoding,
    id: &[u8],
    time_ms: i64,
) {
    again(out.key.get_or_insert_default(), account);
    again(out.value.get_or_insert_default(), value);
    // The order is that of `blank`.
    if let [content_type, _, ce_id, _, _, time, subject, ..] = out.headers.as_mut_slice() {
        content_type.1 = match encoding {
            OutputEncoding::Json => b"application/json".into(),
            OutputEncoding::Protobuf => b"application/x-protobuf".into(),
        };
        again(ce_id.1.to_mut(), id);
        time.1.to_mut().clear();
        push_rfc3339(time.1.to_mut(), time_ms);
        again(subject.1.to_mut(), account);
    }
}

/// Puts bytes in the room of others.
fn again(place: &mut Vec<u8>, bytes: &[u8]) {
    place.clear();
    place.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::score::CoverageClass;

    const TO: TopicPartition = TopicPartition { topic: TopicId(3), partition: 2 };

    fn record(account: &str, as_of: i64) -> ScoreRecord<'_> {
        ScoreRecord {
            v: 1,
            account_id: account.into(),
            account_name: None,
            score: None,
            score_hundredths: None,
            band: None,
            coverage_basis_points: 0,
            coverage: CoverageClass::Unknown,
            scorecard: "default".into(),
            contributions: Vec::new(),
            absent: Vec::new(),
            previous: None,
            changes: Vec::new(),
            causes: Vec::new(),
            risks: Vec::new(),
            as_of,
            config_version: "".into(),
        }
    }

    #[test]
    fn nothing_is_left_of_the_record_before() {
        let mut used = OutputWriter::default();
        let long = record("a-long-name-of-an-account", 1_750_000_000_123);
        let other = used.score(TO, &long, b"many decisions", OutputEncoding::Protobuf, 9);
        used.give_back([other].into_iter());
        for encoding in [OutputEncoding::Json, OutputEncoding::Protobuf] {
            let short = record("b", 1_750_000_000_000);
            let again = used.score(TO, &short, b"few", encoding, 7);
            assert_eq!(again, OutputWriter::default().score(TO, &short, b"few", encoding, 7));
            used.give_back([again].into_iter());
        }
        assert_eq!(used.spare.len(), 1);
    }
}
