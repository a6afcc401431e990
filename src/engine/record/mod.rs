//! What is told to the world: score records and risk transitions, as values that serialise to
//! the documented JSON. Times are RFC 3339 in UTC, money is minor units, scores are integer
//! hundredths beside the whole number people read.
//!
//! The same records go out as protobuf (`proto/accountpulse/v1/`): `encode.rs` writes it,
//! `decode.rs` reads it back and gives the JSON twin, `id.rs` names each record.
//!
//! A record borrows what it says from the state it is made of; one that was decoded or kept owns
//! it. `json.rs` writes JSON, `words.rs` holds what is the same in the records of all scores.
//!
//! To add a field: here, in the schema, and a line in `encode.rs`, `decode.rs` and `json.rs`;
//! `tests/contract` holds them together and says which version question to answer first.

mod decode;
mod encode;
mod id;
mod json;
mod pb;
mod wire;
mod words;

pub use decode::{NotARecord, RecordKind, json_twin};
pub use id::{hexadecimal, score_id, transition_id};
pub use words::LineWords;

use super::account::{Band, Phase};
use super::risk::Transition;
use super::rule::{Evidence, Severity};
use super::score::CoverageClass;
use super::time::rfc3339;
use serde::{Serialize, Serializer};
use std::borrow::Cow;

/// Version of both record shapes.
pub const RECORD_VERSION: u8 = 1;

/// A word of ours, such as a rule key: borrowed from the program, owned when it was decoded.
pub type Word = Cow<'static, str>;

/// How records are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutputEncoding {
    /// One JSON object per record.
    #[default]
    Json,
    /// One `accountpulse.v1.ScoreRecord` or `accountpulse.v1.RiskTransition` per record, without
    /// framing.
    Protobuf,
}

fn instant<S: Serializer>(at_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at_ms))
}

/// The score of an account, with its exact explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreRecord<'a> {
    /// Version of this shape.
    pub v: u8,
    /// The account.
    pub account_id: Cow<'a, str>,
    /// Its display name, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<Cow<'a, str>>,
    /// Whole points, rounded half up; `None` = unknown.
    pub score: Option<u8>,
    /// The exact score.
    pub score_hundredths: Option<i16>,
    /// The band; `None` = unknown.
    pub band: Option<Band>,
    /// Share of weight backed by data, basis points.
    pub coverage_basis_points: u16,
    /// The class of that share.
    pub coverage: CoverageClass,
    /// The scorecard that was used.
    pub scorecard: Cow<'a, str>,
    /// Lines that sum to `score_hundredths`.
    pub contributions: Vec<Contribution<'a>>,
    /// Features of the card without a value.
    pub absent: Vec<Word>,
    /// What was published before; absent for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Lines that changed since then; they sum to the change of `score_hundredths`.
    pub changes: Vec<Change<'a>>,
    /// The events (and deadlines) behind the change, newest last, at most eight. After a restart
    /// they may begin at the restart.
    pub causes: Vec<String>,
    /// Pending and firing risks.
    pub risks: Vec<RiskSummary>,
    /// The clock of the account's shard: everything up to here is included.
    #[serde(serialize_with = "instant")]
    pub as_of: i64,
    /// The configuration that decided.
    pub config_version: Cow<'a, str>,
}

/// One line of the explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contribution<'a> {
    /// What it is called.
    pub words: Cow<'a, LineWords>,
    /// The feature's value; `None` for caps.
    pub value: Option<i64>,
    /// Points, hundredths, 0 to 10000.
    pub points_hundredths: Option<i16>,
    /// Effective weight, parts per million.
    pub weight_ppm: u32,
    /// Its share of the score, hundredths.
    pub contribution_hundredths: i16,
}

/// What was published before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Previous {
    /// The exact score then.
    pub score_hundredths: Option<i16>,
    /// The band then.
    pub band: Option<Band>,
}

/// One line that moved the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change<'a> {
    /// The line; `(removed)` for lines of another scorecard.
    pub line: Cow<'a, str>,
    /// By how much, hundredths.
    pub delta_hundredths: i16,
}

/// The fields of a [`Contribution`] as they are told.
#[derive(Serialize)]
struct ToldContribution<'a> {
    line: &'a str,
    group: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    points_hundredths: Option<i16>,
    weight_ppm: u32,
    contribution_hundredths: i16,
}

impl Serialize for Contribution<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Contribution { words, value, points_hundredths, weight_ppm, contribution_hundredths } = self;
        ToldContribution {
            line: words.line(),
            group: words.group(),
            value: *value,
            unit: words.unit(),
            points_hundredths: *points_hundredths,
            weight_ppm: *weight_ppm,
            contribution_hundredths: *contribution_hundredths,
        }
        .serialize(serializer)
    }
}

fn owned<T: ToOwned + ?Sized + 'static>(value: Cow<'_, T>) -> Cow<'static, T> {
    Cow::Owned(value.into_owned())
}

impl ScoreRecord<'_> {
    /// The same record, which borrows nothing.
    pub fn into_owned(self) -> ScoreRecord<'static> {
        ScoreRecord {
            v: self.v,
            account_id: owned(self.account_id),
            account_name: self.account_name.map(owned),
            score: self.score,
            score_hundredths: self.score_hundredths,
            band: self.band,
            coverage_basis_points: self.coverage_basis_points,
            coverage: self.coverage,
            scorecard: owned(self.scorecard),
            contributions: self.contributions.into_iter().map(Contribution::into_owned).collect(),
            absent: self.absent,
            previous: self.previous,
            changes: self.changes.into_iter().map(Change::into_owned).collect(),
            causes: self.causes,
            risks: self.risks,
            as_of: self.as_of,
            config_version: owned(self.config_version),
        }
    }
}

impl Contribution<'_> {
    fn into_owned(self) -> Contribution<'static> {
        Contribution {
            words: owned(self.words),
            value: self.value,
            points_hundredths: self.points_hundredths,
            weight_ppm: self.weight_ppm,
            contribution_hundredths: self.contribution_hundredths,
        }
    }
}

impl Change<'_> {
    fn into_owned(self) -> Change<'static> {
        Change { line: owned(self.line), delta_hundredths: self.delta_hundredths }
    }
}

/// A risk in a score record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskSummary {
    /// Its id.
    pub id: String,
    /// Its rule.
    pub rule: Word,
    /// Pending or firing; never resolved.
    pub phase: Phase,
    /// Its severity.
    pub severity: Severity,
    /// When the condition began.
    #[serde(serialize_with = "instant")]
    pub began_at: i64,
}

/// One transition of one risk.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskTransition {
    /// Version of this shape.
    pub v: u8,
    /// Stable id of the episode.
    pub id: String,
    /// The account.
    pub account_id: String,
    /// Its display name, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// The rule.
    pub rule: Word,
    /// The rule's name for people.
    pub title: Word,
    /// What happened to the risk.
    pub transition: Transition,
    /// Counts the transitions of this rule on this account; with the id it names this one.
    pub transition_seq: u32,
    /// How bad.
    pub severity: Severity,
    /// When the condition began.
    #[serde(serialize_with = "instant", rename = "began_at")]
    pub began_at_ms: i64,
    /// When it was first told, in event time.
    #[serde(serialize_with = "instant", rename = "fired_at")]
    pub fired_at_ms: i64,
    /// When this transition happened, in event time.
    #[serde(serialize_with = "instant", rename = "at")]
    pub at_ms: i64,
    /// Whether this is history that was loaded, not news.
    pub backfill: bool,
    /// What happened, in a sentence.
    pub what: String,
    /// What it rests on.
    pub evidence: Evidence,
    /// The event that was applied when it moved; absent when time alone moved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub caused_by: Option<String>,
    /// The score at that moment.
    pub score_hundredths: Option<i16>,
    /// The band at that moment.
    pub band: Option<Band>,
    /// Share of weight backed by data, basis points.
    pub coverage_basis_points: u16,
    /// Recurring revenue per year at stake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub money_at_stake: Option<Money>,
    /// The customer success manager in charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// What to do.
    pub play: Word,
    /// The configuration that decided.
    pub config_version: String,
}

/// An amount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Money {
    /// Minor units per year.
    pub annual_minor: i64,
    /// Currency.
    pub currency: String,
}
