//! The life of a risk: inactive, pending (hold), firing, resolved or retracted. One pure
//! function moves it; what it tells is a value.
//!
//! An episode is one risk: its id is a hash of account, rule and the instant the condition
//! began, kept as a decision, so that recovery and a replay give the same id.

use super::account::{Phase, RiskState};
use super::record::hexadecimal;
use super::rule::{Condition, RuleDef, RuleId, Severity, Timing};
use super::time::DurationMs;
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_128;

/// What is told about a risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Transition {
    /// It fires.
    Started,
    /// Its severity rose.
    SeverityRaised,
    /// Late or corrected events changed what it rests on.
    Amended,
    /// It still fires, and it is time to say so again.
    Renotified,
    /// Its condition is over.
    Resolved,
    /// Late or corrected events show that its condition never held.
    Retracted,
}

impl Transition {
    /// All transitions.
    pub const ALL: [Transition; 6] = [
        Transition::Started,
        Transition::SeverityRaised,
        Transition::Amended,
        Transition::Renotified,
        Transition::Resolved,
        Transition::Retracted,
    ];

    /// The name in outputs and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Transition::Started => "started",
            Transition::SeverityRaised => "severity_raised",
            Transition::Amended => "amended",
            Transition::Renotified => "renotified",
            Transition::Resolved => "resolved",
            Transition::Retracted => "retracted",
        }
    }
}

/// An instant at which a risk moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instant {
    /// When it is said to happen: the time of the event that moves it, or of the deadline.
    pub at_ms: i64,
    /// The clock, by which windows and deadlines are judged.
    pub judged_ms: i64,
}

impl Instant {
    /// Whether a wait is over. Only the clock tells that time passed, never an event ahead of it;
    /// where there is nothing to wait for, an event need not wait for the clock either.
    fn is_over(self, since_ms: i64, wait: DurationMs) -> bool {
        let now_ms = if wait.0 > 0 { self.judged_ms } else { self.at_ms };
        since_ms.saturating_add(wait.0) <= now_ms
    }
}

/// What the facts say today about the instant a risk fired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hindsight {
    /// Whether the condition held then, or cannot be judged any more.
    pub held: bool,
    /// Digest of the evidence then; `None` when it cannot be judged any more.
    pub evidence: Option<u64>,
}

/// Where a risk goes from here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The state of the rule from now on; `None` = inactive, nothing to remember.
    pub state: Option<RiskState>,
    /// What is to be told, if anything.
    pub tell: Option<Transition>,
}

/// The stable id of an episode.
pub fn risk_id(account: &str, rule_key: &str, began_ms: i64) -> String {
    let mut bytes = Vec::with_capacity(account.len() + rule_key.len() + 10);
    bytes.extend_from_slice(account.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(rule_key.as_bytes());
    bytes.push(0);
    bytes.extend_from_slice(&began_ms.to_be_bytes());
    String::from_utf8(hexadecimal(xxh3_128(&bytes)).to_vec()).unwrap_or_default()
}

/// Moves one risk. `hindsight` looks back at the instant it fired.
pub fn advance(
    rule: &RuleDef,
    state: Option<&RiskState>,
    condition: Condition,
    timing: Timing,
    now: Instant,
    hindsight: impl Fn(Instant) -> Hindsight,
) -> Moved {
    match state {
        Some(state) if state.phase == Phase::Firing => firing(state, condition, timing, now, hindsight),
        _ => not_firing(rule.id(), state, condition, timing, now, hindsight),
    }
}

fn not_firing(
    rule: RuleId,
    state: Option<&RiskState>,
    condition: Condition,
    timing: Timing,
    now: Instant,
    hindsight: impl Fn(Instant) -> Hindsight,
) -> Moved {
    let Condition::Met { began_ms, severity } = condition else {
        // A pending episode that was told before goes back to being over; any other is forgotten.
        let state = state.filter(|state| state.seq > 0);
        return Moved { state: state.map(|s| RiskState { phase: Phase::Resolved, ..s.clone() }), tell: None };
    };
    let pending = state.filter(|state| state.phase == Phase::Pending);
    let began_ms = pending.map_or(began_ms, |pending| pending.began_ms);
    // Counted per account and rule, not per episode: an episode that comes back after another one
    // must not repeat a number that was told for it.
    let seq = state.map_or(0, |state| state.seq);
    let now_ms = now.at_ms;
    let fires = now.is_over(began_ms, timing.hold);
    let fresh = RiskState {
        rule,
        phase: if fires { Phase::Firing } else { Phase::Pending },
        began_ms,
        fired_ms: if fires { now_ms } else { 0 },
        judged_ms: if fires { now.judged_ms } else { 0 },
        told_ms: if fires { now_ms } else { 0 },
        clear_since_ms: None,
        severity,
        seq: if fires { seq + 1 } else { seq },
        evidence: if fires { hindsight(now).evidence.unwrap_or(0) } else { 0 },
    };
    Moved { state: Some(fresh), tell: fires.then_some(Transition::Started) }
}

fn firing(
    state: &RiskState,
    condition: Condition,
    timing: Timing,
    now: Instant,
    hindsight: impl Fn(Instant) -> Hindsight,
) -> Moved {
    let now_ms = now.at_ms;
    let then = hindsight(Instant { at_ms: state.fired_ms, judged_ms: state.judged_ms });
    let mut next = state.clone();
    let mut tell = None;
    match condition {
        Condition::Clear if !then.held => {
            next.phase = Phase::Resolved;
            tell = Some(Transition::Retracted);
        }
        Condition::Clear => {
            let since = state.clear_since_ms.unwrap_or(now_ms);
            next.clear_since_ms = Some(since);
            if now.is_over(since, timing.keep_firing) {
                next.phase = Phase::Resolved;
                next.clear_since_ms = None;
                tell = Some(Transition::Resolved);
            }
        }
        Condition::Met { severity, .. } if severity > state.severity => {
            next.clear_since_ms = None;
            next.severity = severity;
            tell = Some(Transition::SeverityRaised);
        }
        Condition::Met { .. } | Condition::Between => next.clear_since_ms = None,
    }
    let amended = then.evidence.is_some_and(|evidence| evidence != state.evidence);
    if amended {
        next.evidence = then.evidence.unwrap_or(state.evidence);
        tell = tell.or(Some(Transition::Amended));
    }
    let renotify_due = timing.renotify.0 > 0 && now.is_over(state.told_ms, timing.renotify);
    if renotify_due {
        tell = tell.or(Some(Transition::Renotified));
    }
    if tell.is_some() {
        next.seq += 1;
        next.told_ms = now_ms;
    }
    Moved { state: Some(next), tell }
}

/// The next instant, strictly after `after_ms`, at which time alone moves this risk.
pub fn next_deadline(state: &RiskState, timing: Timing, after_ms: i64) -> Option<i64> {
    let candidates = match state.phase {
        Phase::Pending => [Some(state.began_ms.saturating_add(timing.hold.0)), None],
        Phase::Firing => [
            state.clear_since_ms.map(|since| since.saturating_add(timing.keep_firing.0)),
            (timing.renotify.0 > 0).then(|| state.told_ms.saturating_add(timing.renotify.0)),
        ],
        Phase::Resolved => [None, None],
    };
    candidates.into_iter().flatten().filter(|&at| at > after_ms).min()
}

/// The severity a state stands for, for counting.
pub fn firing_severity(state: &RiskState) -> Option<Severity> {
    (state.phase == Phase::Firing).then_some(state.severity)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::rule::RULES;

    fn met(began_ms: i64) -> Condition {
        Condition::Met { began_ms, severity: Severity::Medium }
    }

    /// Walks one rule through (now, condition, hindsight held, evidence) and lists what is told.
    fn walk(timing: Timing, steps: &[(i64, Condition, bool, u64)]) -> Vec<(i64, Transition, u32)> {
        let mut state: Option<RiskState> = None;
        let mut told = Vec::new();
        for &(now, condition, held, evidence) in steps {
            let back = |_| Hindsight { held, evidence: Some(evidence) };
            let now_at = Instant { at_ms: now, judged_ms: now };
            let moved = advance(&RULES[0], state.as_ref(), condition, timing, now_at, back);
            state = moved.state;
            if let (Some(tell), Some(state)) = (moved.tell, &state) {
                told.push((now, tell, state.seq));
            }
        }
        told
    }

    #[test]
    fn a_risk_is_held_then_told_then_resolved() {
        let timing = Timing { hold: DurationMs(10), keep_firing: DurationMs(5), ..Timing::default() };
        let steps = [
            (0, met(0), true, 1),
            (5, Condition::Clear, true, 1),
            (20, met(20), true, 1),
            (29, met(29), true, 1),
            (30, met(30), true, 1),
            (40, Condition::Clear, true, 1),
            (45, Condition::Clear, true, 1),
        ];
        assert_eq!(walk(timing, &steps), [(30, Transition::Started, 1), (45, Transition::Resolved, 2)]);
    }

    #[test]
    fn between_the_thresholds_nothing_changes() {
        let steps =
            [(0, Condition::Between, true, 1), (1, met(1), true, 1), (2, Condition::Between, true, 1)];
        assert_eq!(walk(Timing::default(), &steps), [(1, Transition::Started, 1)]);
    }

    #[test]
    fn corrections_amend_or_retract() {
        let steps = [(0, met(0), true, 1), (1, met(0), true, 2), (2, Condition::Clear, false, 3)];
        let told = [(0, Transition::Started, 1), (1, Transition::Amended, 2), (2, Transition::Retracted, 3)];
        assert_eq!(walk(Timing::default(), &steps), told);
    }

    #[test]
    fn the_same_episode_goes_on_with_its_sequence() {
        let steps = [
            (0, met(0), true, 1),
            (1, Condition::Clear, true, 1),
            (2, met(0), true, 1),
            (9, met(0), true, 1),
        ];
        let told = [(0, Transition::Started, 1), (1, Transition::Resolved, 2), (2, Transition::Started, 3)];
        assert_eq!(walk(Timing::default(), &steps), told);
    }

    #[test]
    fn severity_only_rises_and_reminders_come_on_time() {
        let timing = Timing { renotify: DurationMs(100), ..Timing::default() };
        let high = Condition::Met { began_ms: 0, severity: Severity::High };
        let steps =
            [(0, met(0), true, 1), (10, high, true, 1), (20, met(0), true, 1), (110, met(0), true, 1)];
        let told = [
            (0, Transition::Started, 1),
            (10, Transition::SeverityRaised, 2),
            (110, Transition::Renotified, 3),
        ];
        assert_eq!(walk(timing, &steps), told);
    }

    #[test]
    fn ids_are_stable_and_distinct() {
        assert_eq!(risk_id("acme", "usage_drop", 5), risk_id("acme", "usage_drop", 5));
        assert_ne!(risk_id("acme", "usage_drop", 5), risk_id("acme", "usage_drop", 6));
        assert_ne!(risk_id("ab", "c", 5), risk_id("a", "bc", 5));
    }
}
