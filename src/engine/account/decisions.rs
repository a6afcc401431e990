//! Decisions: what was concluded about an account and perhaps told to the world. They depend on
//! when we looked, so recovery reads them back and never recomputes them.

use super::history::{Band, History, HistoryRef};
use crate::engine::rule::{RuleId, Severity};
use crate::engine::time::Day;
use serde::{Deserialize, Serialize};

/// Where an episode of a risk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The condition holds, but not yet for as long as the rule asks.
    Pending,
    /// Told to the world.
    Firing,
    /// Over. Kept so that the same episode, should it come back, goes on with its sequence.
    Resolved,
}

/// One rule on one account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RiskState {
    /// Which rule.
    pub rule: RuleId,
    /// Where the episode stands.
    pub phase: Phase,
    /// The instant the condition began; part of the risk's id.
    pub began_ms: i64,
    /// When it was first told (firing and resolved only).
    pub fired_ms: i64,
    /// The clock by which it was judged then: behind `fired_ms` when an event moved it.
    pub judged_ms: i64,
    /// When the last transition was told.
    pub told_ms: i64,
    /// Since when the condition no longer holds, while firing is kept up.
    pub clear_since_ms: Option<i64>,
    /// Severity told last.
    pub severity: Severity,
    /// Sequence number of the last transition of this rule on this account.
    pub seq: u32,
    /// Digest of the evidence as of `fired_ms`; a difference means late or corrected events.
    pub evidence: u64,
}

/// One line of an explained score: which feature (or cap) and its share, in hundredths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedLine {
    /// Stable number of the line (a hash of its name).
    pub line: u32,
    /// Hundredths of a point; caps are negative.
    pub contribution: i16,
}

/// What was published last about the score.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Hundredths; `None` = unknown.
    pub score_hundredths: Option<i16>,
    /// Band told.
    pub band: Option<Band>,
    /// Coverage, hundredths of a percent.
    pub coverage_bp: u16,
    /// The explanation told.
    pub lines: Vec<PublishedLine>,
}

/// The decisions about one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decisions {
    /// Sorted by rule.
    pub risks: Vec<RiskState>,
    /// The band, with its own enter and leave thresholds.
    pub band: Option<Band>,
    /// What was published last.
    pub published: Option<Published>,
    /// Closing values of past days.
    pub history: History,
}

impl Decisions {
    /// The state of a rule.
    pub fn risk(&self, rule: RuleId) -> Option<&RiskState> {
        self.risks.binary_search_by_key(&rule, |risk| risk.rule).ok().and_then(|index| self.risks.get(index))
    }

    /// Sets the state of a rule.
    pub fn set_risk(&mut self, state: RiskState) {
        match self.risks.binary_search_by_key(&state.rule, |risk| risk.rule) {
            Ok(index) => self.risks[index] = state,
            Err(index) => self.risks.insert(index, state),
        }
    }

    /// Forgets a rule (a pending episode that never was told).
    pub fn remove_risk(&mut self, rule: RuleId) {
        self.risks.retain(|risk| risk.rule != rule);
    }

    /// The severest firing risk, leaving one rule out.
    pub fn worst_firing(&self, except: RuleId) -> Option<Severity> {
        self.risks
            .iter()
            .filter(|risk| risk.phase == Phase::Firing && risk.rule != except)
            .map(|risk| risk.severity)
            .max()
    }

    /// Whether stored decisions are well-formed.
    pub fn is_sound(&self) -> bool {
        self.risks.is_sorted_by(|a, b| a.rule < b.rule) && self.history.is_sound()
    }
}

/// Version byte of the decision header.
const HEADER_VERSION: u8 = 1;
/// Room for a usual header.
const USUAL_BYTES: usize = 1024;

/// The complete decision state as the journal carries it: the history only as far as the older
/// copy of the account's page lacks it.
#[derive(Serialize, Deserialize)]
struct Header {
    history_after: Option<Day>,
    decisions: Decisions,
}

/// [`Header`] without a copy of the decisions: the same fields in the same order.
#[derive(Serialize)]
struct HeaderRef<'a> {
    history_after: Option<Day>,
    risks: &'a [RiskState],
    band: Option<Band>,
    published: &'a Option<Published>,
    history: HistoryRef<'a>,
}

/// Encodes decisions for the journal in a buffer that grows as needed; days up to `covered` are
/// known to be in both page copies.
pub fn encode_header<'b>(decisions: &Decisions, covered: Option<Day>, room: &'b mut Vec<u8>) -> &'b [u8] {
    let Decisions { risks, band, published, history } = decisions;
    let history = history.after(covered);
    let header = HeaderRef { history_after: covered, risks, band: *band, published, history };
    let header = (HEADER_VERSION, header);
    let length = loop {
        match postcard::to_slice(&header, room) {
            Ok(written) => break written.len(),
            Err(postcard::Error::SerializeBufferFull) => room.resize((room.len() * 2).max(USUAL_BYTES), 0),
            // Plain data has nothing else that could fail; an empty header would be refused on read.
            Err(_) => break 0,
        }
    };
    room.get(..length).unwrap_or_default()
}

/// Replaces `decisions` by what a journal header says.
///
/// # Errors
/// A sentence, when the bytes are not a header of a version we read.
pub fn apply_header(decisions: &mut Decisions, bytes: &[u8]) -> Result<(), String> {
    let (&version, body) = bytes.split_first().ok_or("the decision header is empty")?;
    if version != HEADER_VERSION {
        return Err(format!(
            "the decision header has version {version}, this program reads {HEADER_VERSION}; use the program version that wrote it, or newer"
        ));
    }
    let header: Header =
        postcard::from_bytes(body).map_err(|error| format!("the decision header is damaged: {error}"))?;
    if !header.decisions.is_sound() || !header.decisions.history.begins_after(header.history_after) {
        return Err("the decision header is damaged: entries out of order".to_owned());
    }
    let mut history = std::mem::take(&mut decisions.history);
    history.splice(&header.decisions.history);
    *decisions = Decisions { history, ..header.decisions };
    Ok(())
}
