//! When an account has to be looked at again if nothing is heard of it: at the next instant at which
//! time alone can change anything that is decided or told. Most midnights are not such an instant.
//!
//! The rule that keeps this exact: a midnight that is passed over would have found the score, the
//! band, the closing value and every risk as they are. So nothing has to be made up for later but
//! what is derived ([`Evaluator::catch_up`]); `tests/laws/quiet.rs` compares with a shard that
//! looks every day.

use super::account::Phase;
use super::evaluate::{Account, Evaluator, closing_value};
use super::event::InvoiceStatus;
use super::feature::{Tally, View, promises};
use super::risk;
use super::rule::{by_id, numbered};
use super::time::Day;

/// An account is looked at after this many days even if nothing is foreseen.
const LONGEST_QUIET_DAYS: i32 = 64;

impl Evaluator {
    /// The first instant strictly after `after_ms` at which time alone can change anything decided
    /// or told. The account was evaluated at `after_ms`.
    pub(super) fn next_change(&self, account: &Account, after_ms: i64) -> i64 {
        let tally = Tally::default();
        let view = account.view(self.calendar, after_ms, &tally);
        let day = self.quiet_until(account, &view);
        self.next_instant(account, &view).unwrap_or(i64::MAX).min(view.turn_of(day))
    }

    /// The next turn of the account's day, or an instant before it at which something is due.
    pub(super) fn next_deadline(&self, account: &Account, after_ms: i64) -> i64 {
        let tally = Tally::default();
        let view = account.view(self.calendar, after_ms, &tally);
        self.next_instant(account, &view).unwrap_or(i64::MAX).min(view.turn_of(view.tomorrow()))
    }

    /// The next turn of the account's day alone.
    pub(super) fn next_turn(&self, account: &Account, after_ms: i64) -> i64 {
        self.calendar.start_of(account.today(self.calendar, after_ms).plus(1)) + account.jitter_ms
    }

    /// The first day on which time alone can change anything decided or told, if no event comes.
    fn quiet_until(&self, account: &Account, view: &View<'_>) -> Day {
        let tomorrow = view.tomorrow();
        let history = &account.decisions.history;
        // The turn of a day that is expected to close with news says whether it did.
        if history.is_expecting() || history.last_close() != closing_value(account) {
            return tomorrow;
        }
        let is_known = account.score.hundredths.is_some();
        let mut until = view.today().plus(LONGEST_QUIET_DAYS);
        until = until.min(self.scorer.steady_until(&account.points, is_known, view));
        for (rule, id) in numbered() {
            if until <= tomorrow {
                return tomorrow;
            }
            let rules = &self.config.rules;
            let live = account.decisions.risk(id).is_some_and(|state| state.phase != Phase::Resolved);
            if (rule.settings)(rules).0 {
                until = until.min((rule.quiet_until)(view, rules, live));
            }
        }
        until.max(tomorrow)
    }

    /// The next instant of its own after the view's moment: a promised time, a due date, the end of
    /// a hold, a reminder.
    fn next_instant(&self, account: &Account, view: &View<'_>) -> Option<i64> {
        let after_ms = view.moment.at_ms;
        let mut next: Option<i64> = None;
        let mut consider = |at_ms: Option<i64>| {
            if let Some(at_ms) = at_ms.filter(|&at_ms| at_ms > after_ms) {
                next = Some(next.map_or(at_ms, |next| next.min(at_ms)));
            }
        };
        for ticket in account.facts.tickets.iter() {
            promises(view, &ticket.value).into_iter().for_each(&mut consider);
        }
        let grace_ms = self.config.rules.late_payment.grace.0;
        for invoice in account.facts.invoices.iter().map(|entry| &entry.value) {
            if invoice.paid_at_ms.is_none() && invoice.status == InvoiceStatus::Open {
                consider(Some(invoice.due_at_ms));
                consider(Some(invoice.due_at_ms.saturating_add(grace_ms)));
            }
        }
        for state in &account.decisions.risks {
            let timing = by_id(state.rule).map(|rule| (rule.settings)(&self.config.rules).1);
            consider(timing.and_then(|timing| risk::next_deadline(state, timing, after_ms)));
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::account::Band;
    use crate::engine::config::EngineConfig;
    use std::sync::Arc;

    const NOON_MS: i64 = 1_767_614_400_000;

    #[test]
    fn a_day_that_was_expected_to_close_with_news_is_looked_at_when_it_turns() {
        let evaluator = Evaluator::new(Arc::new(EngineConfig::default()));
        let mut account = Account::new("acme");
        let turn_ms = evaluator.next_turn(&account, NOON_MS);
        assert!(evaluator.next_change(&account, NOON_MS) > turn_ms, "nothing is known of it");
        // It was told so, and time alone took it back: only the turn can say that it did not happen.
        let today = account.today(evaluator.calendar, NOON_MS);
        account.decisions.history.expect(today, Some((60, Band::Watch)));
        assert_eq!(evaluator.next_change(&account, NOON_MS), turn_ms);
    }
}
