//! Judging one account: the score lines, the band and the risks that an event or a passing instant can
//! move, and no others. Time moves a line or a rule on the day it foresaw, or at an instant that is
//! its own; `quiet.rs` says which day and which instant that is.
//!
//! It must not skip what it cannot show to stay as it is: `tests/laws/quiet.rs` compares with a shard
//! that looks at everything each day.

use super::account::{Phase, RiskState};
use super::evaluate::{Account, Cause, Evaluated, Evaluator, note_cause};
use super::feature::{Tally, Touch};
use super::risk::{self, Hindsight, Instant};
use super::rule::{Condition, RuleDef, RuleId, Rules, Timing};
use super::score::{UNFORESEEN, next_band};

/// A rule under the configuration.
#[derive(Debug)]
pub(super) struct Ruling {
    pub rule: &'static RuleDef,
    pub id: RuleId,
    /// What it reads, and what changes how that goes on.
    reads: Touch,
    foreseen: Touch,
    pub enabled: bool,
    pub timing: Timing,
}

impl Ruling {
    pub(super) fn new((rule, id): (&'static RuleDef, RuleId), rules: &Rules) -> Ruling {
        let (enabled, timing) = (rule.settings)(rules);
        let (reads, foreseen) = (rule.reads, rule.reads.foreseen());
        Ruling { rule, id, reads, foreseen, enabled, timing }
    }

    /// Whether an instant that its risk waits for has come.
    fn is_waited_for(&self, state: Option<&RiskState>, at_ms: i64) -> bool {
        let next = state.and_then(|state| risk::next_deadline(state, self.timing, i64::MIN));
        next.is_some_and(|next_ms| next_ms <= at_ms)
    }
}

/// From where one evaluation looks at an account.
#[derive(Clone, Copy, Debug)]
struct Look<'a> {
    at_ms: i64,
    cause: Option<Cause<'a>>,
    tally: &'a Tally,
    /// Only time passed since the risks were judged last.
    only_time: bool,
}

impl Evaluator {
    /// Evaluates what `touch` can have changed, at an instant. `cause` names the event.
    pub(super) fn evaluate(
        &mut self,
        account: &mut Account,
        at_ms: i64,
        touch: Touch,
        cause: Option<Cause<'_>>,
    ) -> Evaluated {
        let before = account.score;
        let tally = &Tally::default();
        self.refresh_with(account, at_ms, touch, tally);
        let only_time = cause.is_none() && !touch.meets(Touch::MASTER);
        let look = Look { at_ms, cause, tally, only_time };
        let band = next_band(&self.config.scoring.bands, account.decisions.band, account.score.hundredths);
        let mut touch = touch;
        let mut done = Evaluated { decided: band != account.decisions.band, ..Evaluated::default() };
        account.decisions.band = band;
        if done.decided || before != account.score {
            touch = touch.or(Touch::SCORE);
            note_cause(account, cause.map(|c| c.id), at_ms);
        }
        let (today, passed) = (account.today(self.calendar, at_ms), touch.meets(Touch::TIME));
        for (place, ruling) in self.rulings.iter().enumerate() {
            let others = touch.without(Touch::TIME);
            let is_due = || {
                // An array of one entry for each rule.
                account.rules_until[place] <= today
                    || ruling.is_waited_for(account.decisions.risk(ruling.id), at_ms)
            };
            let is_judged = ruling.reads.meets(others) || (passed && is_due());
            if is_judged || ruling.foreseen.meets(others) {
                account.rules_until[place] = UNFORESEEN;
            }
            if is_judged && self.move_risk(account, ruling, look, &mut done) {
                touch = touch.or(Touch::RISKS);
            }
        }
        if let Some(next_ms) = tally.next_promise() {
            account.due.promised(next_ms);
        }
        done.due = self.is_due(account);
        done
    }

    /// Something that rules read has changed by itself: they are judged when the day turns.
    pub(super) fn reconsider(&self, account: &mut Account, touch: Touch) {
        let rules = account.rules_until.iter_mut().zip(&self.rulings);
        rules.filter(|(_, ruling)| ruling.reads.meets(touch)).for_each(|(until, _)| *until = UNFORESEEN);
    }

    /// Moves one risk; returns whether its state changed.
    fn move_risk(
        &self,
        account: &mut Account,
        ruling: &Ruling,
        look: Look<'_>,
        done: &mut Evaluated,
    ) -> bool {
        let Look { at_ms, cause, tally, only_time } = look;
        let &Ruling { rule, id, enabled, timing, .. } = ruling;
        let rules = &self.config.rules;
        let state = account.decisions.risk(id);
        let view = account.view(self.calendar, at_ms, tally);
        if !enabled && state.is_none_or(|state| state.phase == Phase::Resolved) {
            return false;
        }
        let condition = if enabled { (rule.condition)(&view, rules) } else { Condition::Clear };
        if state.is_none() && !matches!(condition, Condition::Met { .. }) {
            return false;
        }
        let is_firing = state.is_some_and(|state| state.phase == Phase::Firing);
        let hindsight = |fired: Instant| {
            // What held then is a matter of facts. They are asked again when they have changed, or when
            // it matters how the risk ends.
            if only_time && is_firing && condition != Condition::Clear {
                return Hindsight { held: true, evidence: None };
            }
            let tally_then = Tally::default();
            let then = view.back_at(fired.judged_ms, fired.at_ms, &tally_then);
            if !enabled || !(rule.can_look_back)(&then) {
                return Hindsight { held: true, evidence: None };
            }
            let held = !matches!((rule.condition)(&then, rules), Condition::Clear);
            let evidence = (!only_time || !is_firing).then(|| (rule.evidence)(&then, rules).digest());
            Hindsight { held, evidence }
        };
        let told_ms = state.map_or(i64::MIN, |state| state.told_ms);
        let now_ms = cause.map_or(at_ms, |cause| cause.at_ms.max(at_ms)).max(told_ms);
        let now = Instant { at_ms: now_ms, judged_ms: at_ms };
        let moved = risk::advance(rule, state, condition, timing, now, hindsight);
        if moved.state.as_ref() == state {
            return false;
        }
        match moved.state {
            Some(state) => account.decisions.set_risk(state),
            None => account.decisions.remove_risk(id),
        }
        done.decided = true;
        if let Some(transition) = moved.tell {
            done.told.extend(self.tell(account, rule, transition, now, cause.map(|c| c.id)));
        }
        true
    }
}
