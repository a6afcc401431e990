//! The view of one account from one moment: what feature functions and rules look at.

use super::activity::Comparison;
use super::people::NpsTally;
use super::support::TicketTally;
use crate::engine::account::{Band, Close, ContractFact, Decisions, Entry, Facts, Moment};
use crate::engine::time::{Calendar, Day};
use std::cell::OnceCell;

/// The score as it stands, for rules and score features.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScoreNow {
    /// Hundredths; `None` = unknown.
    pub hundredths: Option<i16>,
    /// The band.
    pub band: Option<Band>,
}

/// What several features and rules need from the same entities at the same moment, computed at
/// most once per evaluation: an account can have hundreds of tickets.
#[derive(Debug, Default)]
pub struct Tally {
    pub(super) tickets: OnceCell<TicketTally>,
    pub(super) nps: OnceCell<NpsTally>,
    /// When the first of the unpaid invoices was or is due.
    pub(super) oldest_due_ms: OnceCell<Option<i64>>,
    pub(super) comparison: OnceCell<Option<Comparison>>,
    /// Logins and uses that are to pass through the earlier window of a comparison.
    pub(super) to_compare: OnceCell<u64>,
    /// Index of the contract in force.
    contract: OnceCell<Option<usize>>,
}

impl Tally {
    /// The first promised time after the moment, `None` for none, if tickets were counted.
    pub fn next_promise(&self) -> Option<Option<i64>> {
        self.tickets.get().map(TicketTally::next_promise_ms)
    }
}

/// One account from one moment.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What happened.
    pub facts: &'a Facts,
    /// What was concluded.
    pub decisions: &'a Decisions,
    /// The score at that moment.
    pub score: ScoreNow,
    /// The moment.
    pub moment: Moment,
    /// The deployment's calendar.
    pub calendar: Calendar,
    /// How long after midnight the account's day turns.
    pub jitter_ms: i64,
    /// What was counted already at this moment.
    pub tally: &'a Tally,
}

impl<'a> View<'a> {
    /// The account's day.
    pub fn today(&self) -> Day {
        self.moment.today
    }

    /// The day of an instant.
    pub fn day_of(&self, at_ms: i64) -> Day {
        self.calendar.day_of(at_ms)
    }

    /// The instant at which the account's day turned to `day`.
    pub fn turn_of(&self, day: Day) -> i64 {
        self.calendar.start_of(day) + self.jitter_ms
    }

    /// Whether something that happened at `at_ms` counts: in the present everything known does.
    pub fn known(&self, at_ms: i64) -> bool {
        self.moment.known_until_ms.is_none_or(|until_ms| at_ms <= until_ms)
    }

    /// Whether this is not the present.
    pub fn looks_back(&self) -> bool {
        self.moment.known_until_ms.is_some()
    }

    /// The same account, looked back at as it was judged at `at_ms`, knowing what had happened
    /// until `known_until_ms`, with a tally of its own.
    #[must_use]
    pub fn back_at<'b>(&self, at_ms: i64, known_until_ms: i64, tally: &'b Tally) -> View<'b>
    where
        'a: 'b,
    {
        let today = self.calendar.day_of(at_ms - self.jitter_ms);
        let moment = Moment { at_ms, today, known_until_ms: Some(known_until_ms) };
        View { moment, tally, ..*self }
    }

    /// The contract in force on the account's day.
    pub fn contract(&self) -> Option<&'a Entry<Box<str>, ContractFact>> {
        if self.facts.contracts.is_empty() {
            return None;
        }
        let find = || self.facts.contract_on(self.today(), self.calendar);
        let index = *self.tally.contract.get_or_init(find);
        self.facts.contracts.iter().nth(index?)
    }

    /// The closing value of a day.
    pub fn close_of(&self, day: Day) -> Close {
        self.decisions.history.on(day, self.today().minus(1))
    }
}

pub(super) fn score_now(view: &View<'_>) -> Option<i64> {
    view.score.hundredths.map(i64::from)
}

fn change_since(view: &View<'_>, day: Day) -> Option<i64> {
    let then = i64::from(view.close_of(day)?.0) * 100;
    Some(score_now(view)? - then)
}

pub(super) fn score_change_7d(view: &View<'_>) -> Option<i64> {
    change_since(view, view.today().minus(7))
}

pub(super) fn score_change_quarter(view: &View<'_>) -> Option<i64> {
    change_since(view, view.today().quarter_start())
}
