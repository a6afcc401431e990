//! What is told to the world: score records and risk transitions, as values that serialise to
//! the documented JSON. Times are RFC 3339 in UTC, money is minor units, scores are integer
//! hundredths beside the whole number people read.

use super::account::{Band, Phase};
use super::risk::Transition;
use super::rule::{Evidence, Severity};
use super::time::rfc3339;
use serde::{Serialize, Serializer};

/// Version of both record shapes.
pub const RECORD_VERSION: u8 = 1;

fn instant<S: Serializer>(at_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*at_ms))
}

/// The score of an account, with its exact explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreRecord {
    /// Version of this shape.
    pub v: u8,
    /// The account.
    pub account_id: String,
    /// Its display name, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_name: Option<String>,
    /// Whole points, rounded half up; `None` = unknown.
    pub score: Option<u8>,
    /// The exact score.
    pub score_hundredths: Option<i16>,
    /// The band; `None` = unknown.
    pub band: Option<Band>,
    /// Share of weight backed by data, basis points.
    pub coverage_basis_points: u16,
    /// `full`, `partial` or `unknown`.
    pub coverage: &'static str,
    /// The scorecard that was used.
    pub scorecard: String,
    /// Lines that sum to `score_hundredths`.
    pub contributions: Vec<Contribution>,
    /// Features of the card without a value.
    pub absent: Vec<&'static str>,
    /// What was published before; absent for the first time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
    /// Lines that changed since then; they sum to the change of `score_hundredths`.
    pub changes: Vec<Change>,
    /// The events (and deadlines) behind the change, newest last, at most eight. After a restart
    /// they may begin at the restart.
    pub causes: Vec<String>,
    /// Pending and firing risks.
    pub risks: Vec<RiskSummary>,
    /// The clock of the account's shard: everything up to here is included.
    #[serde(serialize_with = "instant")]
    pub as_of: i64,
    /// The configuration that decided.
    pub config_version: String,
}

/// One line of the explanation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Contribution {
    /// Feature name, or `cap:` and the cap's name.
    pub line: String,
    /// Its group.
    pub group: String,
    /// The feature's value; `None` for caps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// The value's unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unit: Option<&'static str>,
    /// Points, hundredths, 0 to 10000.
    #[serde(skip_serializing_if = "Option::is_none")]
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
pub struct Change {
    /// The line; `(removed)` for lines of another scorecard.
    pub line: String,
    /// By how much, hundredths.
    pub delta_hundredths: i16,
}

/// A risk in a score record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RiskSummary {
    /// Its id.
    pub id: String,
    /// Its rule.
    pub rule: String,
    /// Pending or firing.
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
    pub rule: &'static str,
    /// The rule's name for people.
    pub title: &'static str,
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
    pub play: &'static str,
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
