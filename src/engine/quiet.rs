//! When an account has to be looked at again if nothing is heard of it: at the next instant at which
//! time alone can change anything that is decided or told. Most midnights are not such an instant.
//!
//! The rule that keeps this exact: a midnight that is passed over would have found the score, the
//! band, the closing value and every risk as they are. So nothing has to be made up for later but
//! what is derived ([`Evaluator::catch_up`]); `tests/laws/quiet.rs` compares with a shard that
//! looks every day.

use super::account::{Phase, RiskState};
use super::evaluate::{Account, Evaluator, closing_value};
use super::event::{Body, InvoiceStatus};
use super::feature::{NEVER, Tally, Touch, next_promise_ms};
use super::risk;
use super::time::Day;
use serde::{Deserialize, Serialize};

/// An account is looked at after this many days even if nothing is foreseen.
const LONGEST_QUIET_DAYS: i32 = 64;

/// When something is due at an instant of its own, kept until the clock gets there or what it rests
/// on changes: an account can have hundreds of tickets and invoices.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Due {
    /// The next promised time of a ticket.
    tickets_ms: i64,
    /// The next due date of an invoice, or the end of its grace.
    invoices_ms: i64,
}

/// For a time that has to be found when it is asked for: none is ahead of any clock.
const UNKNOWN_MS: i64 = i64::MIN;
/// For none.
const NONE_MS: i64 = i64::MAX;

impl Default for Due {
    fn default() -> Self {
        Due { tickets_ms: UNKNOWN_MS, invoices_ms: UNKNOWN_MS }
    }
}

impl Due {
    /// An event was merged.
    pub(super) fn merged(&mut self, body: &Body<'_>) {
        match body {
            Body::Ticket(_) => self.tickets_ms = UNKNOWN_MS,
            Body::Invoice(_) => self.invoices_ms = UNKNOWN_MS,
            _ => {}
        }
    }

    /// The next promised time was found.
    pub(super) fn promised(&mut self, next_ms: Option<i64>) {
        self.tickets_ms = next_ms.unwrap_or(NONE_MS);
    }

    /// What a deadline touches.
    pub(super) fn touch_at(self, at_ms: i64) -> Touch {
        let tickets = if self.tickets_ms == at_ms { Touch::TICKETS } else { Touch::default() };
        let invoices = if self.invoices_ms == at_ms { Touch::INVOICES } else { Touch::default() };
        Touch::TIME.or(tickets).or(invoices)
    }
}

impl Evaluator {
    /// The first instant strictly after `after_ms` at which time alone can change anything decided
    /// or told. The account was evaluated at `after_ms`.
    pub(super) fn next_change(&self, account: &mut Account, after_ms: i64) -> i64 {
        let day = self.quiet_until(account, after_ms);
        self.next_instant(account, after_ms).min(self.calendar.start_of(day) + account.jitter_ms)
    }

    /// The next turn of the account's day, or an instant before it at which something is due.
    pub(super) fn next_deadline(&self, account: &mut Account, after_ms: i64) -> i64 {
        self.next_instant(account, after_ms).min(self.next_turn(account, after_ms))
    }

    /// The next turn of the account's day alone.
    pub(super) fn next_turn(&self, account: &Account, after_ms: i64) -> i64 {
        self.calendar.start_of(account.today(self.calendar, after_ms).plus(1)) + account.jitter_ms
    }

    /// The first day on which time alone can change anything decided or told, if no event comes.
    fn quiet_until(&self, account: &mut Account, after_ms: i64) -> Day {
        let tally = Tally::default();
        let mut points = std::mem::take(&mut account.points);
        let mut rules_until = account.rules_until;
        let view = account.view(self.calendar, after_ms, &tally);
        let (today, tomorrow) = (view.today(), view.tomorrow());
        self.scorer.foresee(&mut points, &view);
        for (until, ruling) in rules_until.iter_mut().zip(&self.rulings) {
            if *until <= today {
                let live = || account.decisions.risk(ruling.id).is_some_and(|s| s.phase != Phase::Resolved);
                let quiet_until = ruling.rule.quiet_until;
                *until = if ruling.enabled { quiet_until(&view, &self.config.rules, live()) } else { NEVER };
            }
        }
        let steady = points.steady_until(account.score.hundredths.is_some());
        let quiet = rules_until.iter().copied().min().unwrap_or(NEVER);
        (account.points, account.rules_until) = (points, rules_until);
        let history = &account.decisions.history;
        // The turn of a day that is expected to close with news says whether it did.
        if history.is_expecting() || history.last_close() != closing_value(account) {
            return tomorrow;
        }
        today.plus(LONGEST_QUIET_DAYS).min(steady).min(quiet).max(tomorrow)
    }

    /// The next instant of its own after another one: a promised time, a due date, the end of a hold,
    /// a reminder.
    fn next_instant(&self, account: &mut Account, after_ms: i64) -> i64 {
        if account.due.tickets_ms <= after_ms {
            let tally = Tally::default();
            let next_ms = next_promise_ms(&account.view(self.calendar, after_ms, &tally));
            account.due.promised(next_ms);
        }
        if account.due.invoices_ms <= after_ms {
            account.due.invoices_ms = self.next_due_ms(account, after_ms);
        }
        let deadline = |state: &RiskState| {
            let ruling = self.rulings.iter().find(|ruling| ruling.id == state.rule)?;
            risk::next_deadline(state, ruling.timing, after_ms)
        };
        let risks = account.decisions.risks.iter().filter_map(deadline).min().unwrap_or(NONE_MS);
        account.due.tickets_ms.min(account.due.invoices_ms).min(risks)
    }

    fn next_due_ms(&self, account: &Account, after_ms: i64) -> i64 {
        let grace_ms = self.config.rules.late_payment.grace.0;
        let instants = |due_ms: i64| [due_ms, due_ms.saturating_add(grace_ms)];
        let next = |dues: &mut dyn Iterator<Item = i64>| {
            dues.flat_map(instants).filter(|&at_ms| at_ms > after_ms).min().unwrap_or(NONE_MS)
        };
        let of_all = || {
            let invoices = account.facts.invoices.iter().map(|entry| &entry.value);
            let open = invoices.filter(|i| i.paid_at_ms.is_none() && i.status == InvoiceStatus::Open);
            next(&mut open.map(|invoice| invoice.due_at_ms))
        };
        let Some(index) = account.facts.invoice_index() else { return of_all() };
        let next_ms = next(&mut index.unpaid.iter().filter(|i| i.is_open).map(|i| i.due_at_ms));
        debug_assert_eq!(next_ms, of_all());
        next_ms
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
        let mut account = Account::new("acme".into());
        let turn_ms = evaluator.next_turn(&account, NOON_MS);
        assert!(evaluator.next_change(&mut account, NOON_MS) > turn_ms, "nothing is known of it");
        // It was told so, and time alone took it back: only the turn can say that it did not happen.
        let today = account.today(evaluator.calendar, NOON_MS);
        account.decisions.history.expect(today, Some((60, Band::Watch)));
        assert_eq!(evaluator.next_change(&mut account, NOON_MS), turn_ms);
    }
}
