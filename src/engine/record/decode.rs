//! Records read back: the JSON twin of a value, whichever encoding it was published in. What was
//! published as JSON is its own twin; protobuf is decoded into the very types that are published
//! and serialised as they would have been, so the twins are equal byte by byte.
//!
//! This reads what this program wrote. A newer version's enum numbers are refused with a sentence,
//! because a twin that leaves them out would say something else.

use std::borrow::Cow;

use prost::Message;
use serde::Serialize;

use super::{Change, Contribution, LineWords, Money, Previous, RiskSummary, RiskTransition, ScoreRecord, pb};
use crate::engine::account::{Band, Phase};
use crate::engine::risk::Transition;
use crate::engine::rule::{Evidence, Item, Number, Severity};
use crate::engine::score::CoverageClass;

/// Which record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// A value of the scores topic.
    Score,
    /// A value of the risks topic.
    Risk,
}

impl RecordKind {
    const fn message(self) -> &'static str {
        match self {
            RecordKind::Score => "accountpulse.v1.ScoreRecord",
            RecordKind::Risk => "accountpulse.v1.RiskTransition",
        }
    }
}

/// The value is no record that this version knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the value is no {message} of this version ({detail}); read it with the version that wrote it, or newer"
)]
pub struct NotARecord {
    message: &'static str,
    detail: String,
}

/// The JSON of a published value in either encoding.
///
/// # Errors
/// When the bytes are neither JSON nor that message, or a newer version's.
pub fn json_twin(kind: RecordKind, value: &[u8]) -> Result<Cow<'_, [u8]>, NotARecord> {
    // A message of ours never begins with this byte: it would open a group, which proto3 lacks.
    if value.first() == Some(&b'{') {
        return Ok(Cow::Borrowed(value));
    }
    let twin = match kind {
        RecordKind::Score => score(value).and_then(|record| json(&record)),
        RecordKind::Risk => risk(value).and_then(|record| json(&record)),
    };
    twin.map(Cow::Owned).map_err(|detail| NotARecord { message: kind.message(), detail })
}

fn json(record: &impl Serialize) -> Result<Vec<u8>, String> {
    serde_json::to_vec(record).map_err(|error| error.to_string())
}

type Decoded<T> = Result<T, String>;

fn score(bytes: &[u8]) -> Decoded<ScoreRecord<'static>> {
    let m = pb::ScoreRecord::decode(bytes).map_err(|error| error.to_string())?;
    Ok(ScoreRecord {
        v: whole("v", m.v)?,
        account_id: m.account_id.into(),
        account_name: m.account_name.map(Cow::Owned),
        score: maybe("score", m.score)?,
        score_hundredths: maybe("score_hundredths", m.score_hundredths)?,
        band: band(m.band)?,
        coverage_basis_points: whole("coverage_basis_points", m.coverage_basis_points)?,
        coverage: coverage(m.coverage)?,
        scorecard: m.scorecard.into(),
        contributions: m.contributions.into_iter().map(contribution).collect::<Decoded<_>>()?,
        absent: m.absent.into_iter().map(Cow::Owned).collect(),
        previous: m.previous.map(previous).transpose()?,
        changes: m.changes.into_iter().map(change).collect::<Decoded<_>>()?,
        causes: m.causes,
        risks: m.risks.into_iter().map(summary).collect::<Decoded<_>>()?,
        as_of: m.as_of_ms,
        config_version: m.config_version.into(),
    })
}

fn risk(bytes: &[u8]) -> Decoded<RiskTransition> {
    let m = pb::RiskTransition::decode(bytes).map_err(|error| error.to_string())?;
    let evidence = m.evidence.unwrap_or_default();
    Ok(RiskTransition {
        v: whole("v", m.v)?,
        id: m.id,
        account_id: m.account_id,
        account_name: m.account_name,
        rule: Cow::Owned(m.rule),
        title: Cow::Owned(m.title),
        transition: transition(m.transition)?,
        transition_seq: m.transition_seq,
        severity: severity(m.severity)?,
        began_at_ms: m.began_at_ms,
        fired_at_ms: m.fired_at_ms,
        at_ms: m.at_ms,
        backfill: m.backfill,
        what: m.what,
        evidence: Evidence {
            // Not serialised: the record has the sentence.
            what: String::new(),
            numbers: evidence.numbers.into_iter().map(number).collect(),
            items: evidence.items.into_iter().map(item).collect(),
        },
        caused_by: m.caused_by,
        score_hundredths: maybe("score_hundredths", m.score_hundredths)?,
        band: band(m.band)?,
        coverage_basis_points: whole("coverage_basis_points", m.coverage_basis_points)?,
        money_at_stake: m.money_at_stake.map(money),
        owner: m.owner,
        play: Cow::Owned(m.play),
        config_version: m.config_version,
    })
}

fn contribution(m: pb::Contribution) -> Decoded<Contribution<'static>> {
    Ok(Contribution {
        words: Cow::Owned(LineWords::new(&m.line, &m.group, m.unit.as_deref())),
        value: m.value,
        points_hundredths: maybe("points_hundredths", m.points_hundredths)?,
        weight_ppm: m.weight_ppm,
        contribution_hundredths: whole("contribution_hundredths", m.contribution_hundredths)?,
    })
}

fn previous(m: pb::PreviousScore) -> Decoded<Previous> {
    Ok(Previous { score_hundredths: maybe("score_hundredths", m.score_hundredths)?, band: band(m.band)? })
}

fn change(m: pb::ScoreChange) -> Decoded<Change<'static>> {
    Ok(Change { line: Cow::Owned(m.line), delta_hundredths: whole("delta_hundredths", m.delta_hundredths)? })
}

fn summary(m: pb::RiskSummary) -> Decoded<RiskSummary> {
    Ok(RiskSummary {
        id: m.id,
        rule: Cow::Owned(m.rule),
        phase: phase(m.phase)?,
        severity: severity(m.severity)?,
        began_at: m.began_at_ms,
    })
}

fn number(m: pb::EvidenceNumber) -> Number {
    Number { name: Cow::Owned(m.name), unit: Cow::Owned(m.unit), now: m.now, before: m.before }
}

fn item(m: pb::EvidenceItem) -> Item {
    Item { kind: Cow::Owned(m.kind), id: m.id, event_id: m.event_id, detail: m.detail }
}

fn money(m: pb::AnnualMoney) -> Money {
    Money { annual_minor: m.annual_minor, currency: m.currency }
}

/// A number that has to fit the narrower type of the record.
fn whole<T: TryFrom<N>, N: Copy + std::fmt::Display>(field: &str, value: N) -> Decoded<T> {
    T::try_from(value).map_err(|_| format!("{field} is {value}"))
}

fn maybe<T: TryFrom<N>, N: Copy + std::fmt::Display>(field: &str, value: Option<N>) -> Decoded<Option<T>> {
    value.map(|value| whole(field, value)).transpose()
}

fn band(number: i32) -> Decoded<Option<Band>> {
    Ok(match pb::Band::try_from(number) {
        Ok(pb::Band::Unspecified) => None,
        Ok(pb::Band::AtRisk) => Some(Band::AtRisk),
        Ok(pb::Band::Watch) => Some(Band::Watch),
        Ok(pb::Band::Healthy) => Some(Band::Healthy),
        Err(_) => return Err(format!("band is {number}")),
    })
}

fn coverage(number: i32) -> Decoded<CoverageClass> {
    match pb::Coverage::try_from(number) {
        Ok(pb::Coverage::Unknown) => Ok(CoverageClass::Unknown),
        Ok(pb::Coverage::Partial) => Ok(CoverageClass::Partial),
        Ok(pb::Coverage::Full) => Ok(CoverageClass::Full),
        Ok(pb::Coverage::Unspecified) | Err(_) => Err(format!("coverage is {number}")),
    }
}

fn phase(number: i32) -> Decoded<Phase> {
    match pb::RiskPhase::try_from(number) {
        Ok(pb::RiskPhase::Pending) => Ok(Phase::Pending),
        Ok(pb::RiskPhase::Firing) => Ok(Phase::Firing),
        Ok(pb::RiskPhase::Unspecified) | Err(_) => Err(format!("phase is {number}")),
    }
}

fn severity(number: i32) -> Decoded<Severity> {
    match pb::Severity::try_from(number) {
        Ok(pb::Severity::Low) => Ok(Severity::Low),
        Ok(pb::Severity::Medium) => Ok(Severity::Medium),
        Ok(pb::Severity::High) => Ok(Severity::High),
        Ok(pb::Severity::Critical) => Ok(Severity::Critical),
        Ok(pb::Severity::Unspecified) | Err(_) => Err(format!("severity is {number}")),
    }
}

fn transition(number: i32) -> Decoded<Transition> {
    match pb::Transition::try_from(number) {
        Ok(pb::Transition::Started) => Ok(Transition::Started),
        Ok(pb::Transition::SeverityRaised) => Ok(Transition::SeverityRaised),
        Ok(pb::Transition::Amended) => Ok(Transition::Amended),
        Ok(pb::Transition::Renotified) => Ok(Transition::Renotified),
        Ok(pb::Transition::Resolved) => Ok(Transition::Resolved),
        Ok(pb::Transition::Retracted) => Ok(Transition::Retracted),
        Ok(pb::Transition::Unspecified) | Err(_) => Err(format!("transition is {number}")),
    }
}
