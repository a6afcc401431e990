//! The `rules` section of the configuration: thresholds per rule, all with named defaults.

use super::Severity;
use crate::engine::time::DurationMs;
use serde::{Deserialize, Serialize};

/// When a risk is told; the same four questions for every rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// How long the condition must hold before the risk is told.
    pub hold: DurationMs,
    /// How long a risk goes on firing after its condition is over.
    pub keep_firing: DurationMs,
    /// A firing risk is told again after this long; `0s` = never.
    pub renotify: DurationMs,
}

/// All rules.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Rules {
    /// See `docs/rules.md`.
    pub usage_drop: UsageDrop,
    /// See `docs/rules.md`.
    pub inactivity: Inactivity,
    /// See `docs/rules.md`.
    pub late_payment: LatePayment,
    /// See `docs/rules.md`.
    pub ticket_backlog: TicketBacklog,
    /// See `docs/rules.md`.
    pub sla_breach: SlaBreach,
    /// See `docs/rules.md`.
    pub low_nps: LowNps,
    /// See `docs/rules.md`.
    pub detractor: Detractor,
    /// See `docs/rules.md`.
    pub champion_departed: ChampionDeparted,
    /// See `docs/rules.md`.
    pub renewal_at_risk: RenewalAtRisk,
    /// See `docs/rules.md`.
    pub score_drop: ScoreDrop,
    /// See `docs/rules.md`.
    pub band_change: BandChange,
}

/// Thresholds of `usage_drop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UsageDrop {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Fires at this drop or more, in percent.
    pub min_drop_percent: u8,
    /// Clears below this drop.
    pub clear_drop_percent: u8,
    /// Fires only if so little use would be rarer than this by chance.
    pub max_p_value: f64,
    /// Fewest logins and uses in the earlier 28 days.
    pub min_baseline: u64,
    /// Fewest active days in the earlier 28 days.
    pub min_baseline_days: u32,
    /// Severity.
    pub severity: Severity,
}

impl Default for UsageDrop {
    fn default() -> Self {
        UsageDrop {
            enabled: true,
            timing: Timing { renotify: DurationMs::days(28), ..Timing::default() },
            min_drop_percent: 40,
            clear_drop_percent: 25,
            max_p_value: 0.001,
            min_baseline: 40,
            min_baseline_days: 8,
            severity: Severity::High,
        }
    }
}

/// Thresholds of `inactivity`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Inactivity {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Days without a login or a use.
    pub after_days: u32,
    /// Fewest active days in the 28 days up to the last one.
    pub min_active_days: u32,
    /// Severity.
    pub severity: Severity,
}

impl Default for Inactivity {
    fn default() -> Self {
        Inactivity {
            enabled: true,
            timing: Timing::default(),
            after_days: 14,
            min_active_days: 5,
            severity: Severity::High,
        }
    }
}

/// Thresholds of `late_payment`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LatePayment {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Time after the due date during which nothing is said.
    pub grace: DurationMs,
    /// Days past due from which it is high.
    pub high_after_days: u32,
    /// Days past due from which it is critical.
    pub critical_after_days: u32,
    /// Severity before that.
    pub severity: Severity,
}

impl Default for LatePayment {
    fn default() -> Self {
        LatePayment {
            enabled: true,
            timing: Timing { renotify: DurationMs::days(30), ..Timing::default() },
            grace: DurationMs::days(10),
            high_after_days: 30,
            critical_after_days: 60,
            severity: Severity::Medium,
        }
    }
}

/// Thresholds of `ticket_backlog`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TicketBacklog {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Fires at this many unsolved tickets of priority high or urgent.
    pub urgent_open: u32,
    /// Clears at this many or fewer.
    pub clear_urgent_open: u32,
    /// Fires when this share of the tickets opened in the last 30 days is unsolved.
    pub unresolved_percent: u8,
    /// Clears below this share.
    pub clear_unresolved_percent: u8,
    /// Fewest tickets opened in the last 30 days for the share to mean anything.
    pub min_tickets: u32,
    /// Severity.
    pub severity: Severity,
}

impl Default for TicketBacklog {
    fn default() -> Self {
        TicketBacklog {
            enabled: true,
            timing: Timing::default(),
            urgent_open: 3,
            clear_urgent_open: 1,
            unresolved_percent: 60,
            clear_unresolved_percent: 40,
            min_tickets: 5,
            severity: Severity::High,
        }
    }
}

/// Thresholds of `sla_breach`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlaBreach {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Severity; a breached ticket of priority high makes it high, one of priority urgent critical.
    pub severity: Severity,
}

impl Default for SlaBreach {
    fn default() -> Self {
        SlaBreach { enabled: true, timing: Timing::default(), severity: Severity::Medium }
    }
}

/// Thresholds of `low_nps`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LowNps {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Fires below this net promoter score.
    pub below: i32,
    /// Clears at this score.
    pub clear_at: i32,
    /// Fewest answers in 180 days.
    pub min_answers: u32,
    /// Severity.
    pub severity: Severity,
}

impl Default for LowNps {
    fn default() -> Self {
        LowNps {
            enabled: true,
            timing: Timing::default(),
            below: 0,
            clear_at: 10,
            min_answers: 5,
            severity: Severity::Medium,
        }
    }
}

/// Thresholds of `detractor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Detractor {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// An answer this low or lower makes it high.
    pub high_at: u8,
    /// Severity before that.
    pub severity: Severity,
}

impl Default for Detractor {
    fn default() -> Self {
        Detractor { enabled: true, timing: Timing::default(), high_at: 3, severity: Severity::Medium }
    }
}

/// Settings of `champion_departed`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ChampionDeparted {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Severity.
    pub severity: Severity,
}

impl Default for ChampionDeparted {
    fn default() -> Self {
        ChampionDeparted { enabled: true, timing: Timing::default(), severity: Severity::High }
    }
}

/// Thresholds of `renewal_at_risk`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RenewalAtRisk {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Days before the end of the contract.
    pub within_days: u32,
    /// A score below this counts against the renewal.
    pub score_below: u8,
    /// The score no longer counts against it from here.
    pub clear_score: u8,
    /// A newest NPS answer this low counts against it.
    pub nps_at_most: u8,
    /// Critical from this many days before the end.
    pub critical_within_days: u32,
    /// Severity before that.
    pub severity: Severity,
}

impl Default for RenewalAtRisk {
    fn default() -> Self {
        RenewalAtRisk {
            enabled: true,
            timing: Timing { renotify: DurationMs::days(30), ..Timing::default() },
            within_days: 90,
            score_below: 50,
            clear_score: 55,
            nps_at_most: 6,
            critical_within_days: 30,
            severity: Severity::High,
        }
    }
}

/// Thresholds of `score_drop`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScoreDrop {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Fires when the score is this many points below its value 7 days ago.
    pub points: u8,
    /// Clears when it is less than this below.
    pub clear_points: u8,
    /// Severity.
    pub severity: Severity,
}

impl Default for ScoreDrop {
    fn default() -> Self {
        ScoreDrop {
            enabled: true,
            timing: Timing { hold: DurationMs::hours(24), ..Timing::default() },
            points: 10,
            clear_points: 5,
            severity: Severity::Medium,
        }
    }
}

/// Settings of `band_change`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BandChange {
    /// Whether the rule is evaluated at all.
    pub enabled: bool,
    /// When its risk is told.
    pub timing: Timing,
    /// Severity when the band is one worse than at the start of the quarter; two worse is high.
    pub severity: Severity,
}

impl Default for BandChange {
    fn default() -> Self {
        BandChange {
            enabled: true,
            timing: Timing { hold: DurationMs::hours(24), ..Timing::default() },
            severity: Severity::Medium,
        }
    }
}

impl Rules {
    /// What is wrong, each as (path below `rules`, sentence).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut check = |ok: bool, path: &str, sentence: &str| {
            if !ok {
                found.push((path.to_owned(), sentence.to_owned()));
            }
        };
        let drop = &self.usage_drop;
        check(drop.min_drop_percent <= 100, "usage_drop.min_drop_percent", "a percentage is at most 100");
        check(
            drop.clear_drop_percent <= drop.min_drop_percent,
            "usage_drop.clear_drop_percent",
            "must not be above `min_drop_percent`",
        );
        check(
            drop.max_p_value > 0.0 && drop.max_p_value < 1.0,
            "usage_drop.max_p_value",
            "a probability lies between 0 and 1, both excluded",
        );
        check(self.inactivity.after_days >= 1, "inactivity.after_days", "at least one day");
        let late = &self.late_payment;
        check(
            late.high_after_days <= late.critical_after_days,
            "late_payment.critical_after_days",
            "must not be below `high_after_days`",
        );
        let backlog = &self.ticket_backlog;
        check(
            backlog.clear_urgent_open < backlog.urgent_open,
            "ticket_backlog.clear_urgent_open",
            "must be below `urgent_open`",
        );
        check(
            backlog.clear_unresolved_percent <= backlog.unresolved_percent
                && backlog.unresolved_percent <= 100,
            "ticket_backlog.clear_unresolved_percent",
            "must not be above `unresolved_percent`, and that at most 100",
        );
        check(self.low_nps.below <= self.low_nps.clear_at, "low_nps.clear_at", "must not be below `below`");
        let renewal = &self.renewal_at_risk;
        check(
            renewal.score_below <= renewal.clear_score && renewal.clear_score <= 100,
            "renewal_at_risk.clear_score",
            "must not be below `score_below`, and at most 100",
        );
        let score = &self.score_drop;
        check(score.clear_points <= score.points, "score_drop.clear_points", "must not be above `points`");
        found
    }
}
