//! Rules: conditions over the state of an account. A rule says whether its condition holds, and
//! with what evidence; what that means for the risk (hold, hysteresis, sequence) is decided in
//! `engine::risk`.
//!
//! To add a rule: its settings in `settings.rs`, its functions (condition, evidence, until when
//! days pass it by; `tomorrow` is always right) in the file of its subject, a line in [`RULES`], a story that fires it and one that must not in
//! `tests/stories/`. `docs/rules.md` is generated.

mod commercial;
mod people;
mod score;
mod settings;
mod support;
mod usage;

pub use settings::{
    BandChange, ChampionDeparted, Detractor, Inactivity, LatePayment, LowNps, RenewalAtRisk, Rules,
    ScoreDrop, SlaBreach, TicketBacklog, Timing, UsageDrop,
};

use super::feature::{FeatureId, NEVER, Touch, View};
use super::record::Word;
use super::time::Day;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::sync::LazyLock;
use xxhash_rust::xxh3::xxh3_64;

/// Stable number of a rule, from its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RuleId(pub u32);

impl RuleId {
    /// The number of a rule key.
    pub fn of(key: &str) -> RuleId {
        RuleId(xxh3_64(key.as_bytes()) as u32)
    }
}

/// How bad a risk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Worth a look this week.
    Medium,
    /// Worth a call today.
    High,
    /// The customer is leaving.
    Critical,
}

impl Severity {
    /// All severities, mildest first.
    pub const ALL: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// The name in outputs and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }
}

/// What a rule says about an account at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It does not hold.
    Clear,
    /// Between the threshold to fire and the threshold to clear, or nothing to compare with:
    /// whatever was, stays.
    Between,
    /// It holds.
    Met {
        /// Since when, as far as the facts tell.
        began_ms: i64,
        /// How bad it is.
        severity: Severity,
    },
}

/// What a risk rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Evidence {
    /// What happened, in a sentence.
    #[serde(skip)]
    pub what: String,
    /// Numbers.
    pub numbers: Vec<Number>,
    /// The tickets, invoices, answers, contacts behind it.
    pub items: Vec<Item>,
}

/// A number in the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Number {
    /// What it is: a feature name, or the rule's own word.
    pub name: Word,
    /// Unit.
    pub unit: Word,
    /// Its value.
    pub now: Option<i64>,
    /// Its value in the window or at the time it is compared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<i64>,
}

/// An entity in the evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// `ticket`, `invoice`, `survey`, `contact`, `contract`.
    pub kind: Word,
    /// Its id.
    pub id: String,
    /// The event that wrote its present state.
    pub event_id: String,
    /// What about it.
    pub detail: String,
}

/// Most items named in one message; the sentence still counts all.
pub const MAX_ITEMS: usize = 10;

impl Evidence {
    /// A digest of the numbers and of which entities are named: it changes when late or
    /// corrected events change what the risk rests on.
    pub fn digest(&self) -> u64 {
        let mut material = String::new();
        for number in &self.numbers {
            // Writing to a string does not fail.
            let _ = write!(material, "{}={:?}/{:?};", number.name, number.now, number.before);
        }
        for item in &self.items {
            let _ = write!(material, "{}:{};", item.kind, item.id);
        }
        xxh3_64(material.as_bytes())
    }
}

/// A rule.
pub struct RuleDef {
    /// Its key, in outputs, labels and configuration.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// When it fires, for people; thresholds are defaults.
    pub definition: &'static str,
    /// What to do about it.
    pub play: &'static str,
    /// What can change its condition.
    pub reads: Touch,
    /// Whether the facts can still tell what held at the moment a view looks back at. Never when
    /// the rule rests on decisions (score, history, other risks), whose past cannot be recomputed,
    /// nor when the days it rests on are no longer kept: such a risk ends resolved, not retracted.
    pub can_look_back: fn(&View<'_>) -> bool,
    /// Whether it is enabled, and when its risk is told.
    pub settings: fn(&Rules) -> (bool, Timing),
    /// The condition.
    pub condition: fn(&View<'_>, &Rules) -> Condition,
    /// The first day on which time alone may change what the condition does to a risk, while score
    /// and band stay: for a `live` one (pending or firing) any other condition does, else only one
    /// that is met. Instants of their own (due dates, promised times) are deadlines, not days.
    /// Too early costs an evaluation, too late is a risk missed.
    pub quiet_until: fn(&View<'_>, &Rules, bool) -> Day,
    /// The evidence, asked for only when a transition is told.
    pub evidence: fn(&View<'_>, &Rules) -> Evidence,
}

impl std::fmt::Debug for RuleDef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "rule {}", self.key)
    }
}

impl RuleDef {
    /// Its number.
    pub fn id(&self) -> RuleId {
        RuleId::of(self.key)
    }
}

/// How many rules there are.
pub const RULE_COUNT: usize = 11;

/// All rules. Rules that read other risks stand last: they see what the others concluded.
pub static RULES: &[RuleDef; RULE_COUNT] = &[
    usage::USAGE_DROP,
    usage::INACTIVITY,
    commercial::LATE_PAYMENT,
    support::TICKET_BACKLOG,
    support::SLA_BREACH,
    people::LOW_NPS,
    people::DETRACTOR,
    people::CHAMPION_DEPARTED,
    score::SCORE_DROP,
    score::BAND_CHANGE,
    commercial::RENEWAL_AT_RISK,
];

/// Their numbers, in the same order: a key is hashed once.
static NUMBERS: LazyLock<Vec<RuleId>> = LazyLock::new(|| RULES.iter().map(RuleDef::id).collect());

/// All rules with their numbers.
pub fn numbered() -> impl Iterator<Item = (&'static RuleDef, RuleId)> {
    RULES.iter().zip(NUMBERS.iter().copied())
}

/// The rule of that number.
pub fn by_id(id: RuleId) -> Option<&'static RuleDef> {
    numbered().find(|(_, known)| *known == id).map(|(rule, _)| rule)
}

/// The rule of that key.
pub fn by_key(key: &str) -> Option<&'static RuleDef> {
    RULES.iter().find(|rule| rule.key == key)
}

/// For rules that no passing day can move.
fn never(_: &View<'_>, _: &Rules, _: bool) -> Day {
    NEVER
}

/// A feature as evidence.
fn number(view: &View<'_>, feature: FeatureId) -> Number {
    let def = feature.def();
    Number { name: def.name.into(), unit: def.unit.name().into(), now: feature.value(view), before: None }
}

/// Words of the evidence. Looking back, only its digest is asked for, which words are no part of.
fn words(view: &View<'_>, words: impl FnOnce() -> String) -> String {
    if view.looks_back() { String::new() } else { words() }
}

/// Basis points as a percentage for sentences.
fn percent(basis_points: i64) -> String {
    format!("{} %", (basis_points + 50).div_euclid(100))
}

/// `docs/rules.md`, generated.
pub fn document() -> String {
    let mut out = String::from(
        "# Rules\n\nGenerated from `src/engine/rule/`; refresh with `ACCOUNTPULSE_BLESS=1 cargo test --test docs`.\n\n\
         A rule whose condition holds for its `hold` starts a *risk*: one episode with a stable id, told when it \
         starts, rises in severity, is amended, is repeated, and ends. It ends `resolved` when the condition is over and \
         `retracted` when late or corrected events show that it never held. Thresholds are the defaults; all are in \
         the `rules` section of the configuration.\n\n| rule | fires when | suggested play |\n| --- | --- | --- |\n",
    );
    for rule in RULES {
        out.push_str(&format!("| `{}` {} | {} | {} |\n", rule.key, rule.title, rule.definition, rule.play));
    }
    out
}
