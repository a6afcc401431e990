//! Support: tickets and their promised times.

use super::View;
use super::forecast::{Forecast, NEVER};
use crate::engine::account::{Entry, OpenTicket, TicketFact, TicketIndex};
use crate::engine::event::{Priority, TicketStatus};
use crate::engine::time::Day;

/// Whether a ticket is unsolved at the view's moment.
fn unsolved(view: &View<'_>, ticket: &TicketFact) -> bool {
    match ticket.status {
        TicketStatus::Deleted => false,
        TicketStatus::Solved => ticket.solved_at_ms.is_some_and(|solved| !view.known(solved)),
        TicketStatus::Open | TicketStatus::Pending => true,
    }
}

fn live<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a Entry<Box<str>, TicketFact>> {
    view.facts
        .tickets
        .iter()
        .filter(|t| t.value.status != TicketStatus::Deleted && view.known(t.value.opened_at_ms))
}

fn open<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a Entry<Box<str>, TicketFact>> {
    live(view).filter(|t| unsolved(view, &t.value))
}

/// When the first response and the solution of an unsolved ticket are due, as far as they were
/// promised and not kept yet. A ticket that waits for the customer has its solution clock paused.
pub fn promises(view: &View<'_>, ticket: &TicketFact) -> [Option<i64>; 2] {
    if !view.looks_back() {
        return ticket.promises();
    }
    if !unsolved(view, ticket) {
        return [None, None];
    }
    let unanswered = ticket.first_response_at_ms.is_none_or(|answered| !view.known(answered));
    [
        ticket.first_response_due_ms.filter(|_| unanswered),
        // Since when it waits is not known, so looking back the clock ran.
        ticket.resolve_due_ms,
    ]
}

/// The instant from which an unsolved ticket is in breach, if a time was promised.
pub fn breach_ms(view: &View<'_>, ticket: &TicketFact) -> Option<i64> {
    promises(view, ticket).into_iter().flatten().min()
}

/// Unsolved tickets in breach at the view's moment.
pub fn breached<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a Entry<Box<str>, TicketFact>> {
    open(view).filter(|t| breach_ms(view, &t.value).is_some_and(|breach| breach <= view.moment.at_ms))
}

/// The tickets in breach together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breach {
    /// How many.
    pub tickets: i64,
    /// Since when the first of them is.
    pub since_ms: i64,
    /// Their priorities, a bit each by number.
    priorities: u8,
}

impl Breach {
    /// The priorities among them.
    pub fn priorities(self) -> impl Iterator<Item = Priority> {
        let all = [Priority::Low, Priority::Normal, Priority::High, Priority::Urgent];
        all.into_iter().filter(move |&priority| self.priorities >> priority as u8 & 1 == 1)
    }
}

/// What one pass over the tickets counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct TicketTally {
    open: i64,
    urgent: i64,
    breach: Option<Breach>,
    /// The first promised time after the view's moment.
    next_promise_ms: Option<i64>,
    oldest_open_ms: Option<i64>,
    /// Opened in the last 30 days, and how many of them are unsolved.
    recent: i64,
    recent_unsolved: i64,
    /// Sum and number of the ratings of tickets opened in the last 90 days.
    csat: (i64, i64),
}

/// Days back to which a ticket counts as recent.
const RECENT_DAYS: i32 = 30;
/// Days back to which a rating counts.
const CSAT_DAYS: i32 = 90;

impl TicketTally {
    pub(super) fn next_promise_ms(&self) -> Option<i64> {
        self.next_promise_ms
    }

    /// Counts an unsolved ticket.
    fn note_open(&mut self, now_ms: i64, ticket: &OpenTicket) {
        self.open += 1;
        self.urgent += i64::from(ticket.priority >= Priority::High || ticket.escalated);
        let oldest_ms = self.oldest_open_ms.unwrap_or(i64::MAX).min(ticket.opened_at_ms);
        self.oldest_open_ms = Some(oldest_ms);
        let promised = ticket.promises.into_iter().flatten();
        if let Some(next_ms) = promised.clone().filter(|&at_ms| at_ms > now_ms).min() {
            self.next_promise_ms = Some(self.next_promise_ms.map_or(next_ms, |ms| ms.min(next_ms)));
        }
        if let Some(since_ms) = promised.min().filter(|&at_ms| at_ms <= now_ms) {
            let none = Breach { tickets: 0, since_ms, priorities: 0 };
            let Breach { tickets, since_ms: before_ms, priorities } = self.breach.unwrap_or(none);
            self.breach = Some(Breach {
                tickets: tickets + 1,
                since_ms: since_ms.min(before_ms),
                priorities: priorities | 1 << ticket.priority as u8,
            });
        }
    }

    /// From all tickets.
    fn of_all(view: &View<'_>) -> TicketTally {
        let mut tally = TicketTally::default();
        let opened_after = |days| view.calendar.start_of(view.today().minus(days).plus(1));
        let (recent_ms, csat_ms) = (opened_after(RECENT_DAYS), opened_after(CSAT_DAYS));
        for ticket in live(view).map(|entry| &entry.value) {
            let &TicketFact { opened_at_ms, priority, escalated, .. } = ticket;
            let recent = i64::from(opened_at_ms >= recent_ms);
            tally.recent += recent;
            if let Some(csat) = ticket.csat.filter(|_| opened_at_ms >= csat_ms) {
                tally.csat = (tally.csat.0 + i64::from(csat), tally.csat.1 + 1);
            }
            if unsolved(view, ticket) {
                tally.recent_unsolved += recent;
                let promises = promises(view, ticket);
                let open = OpenTicket { opened_at_ms, promises, priority, escalated };
                tally.note_open(view.moment.at_ms, &open);
            }
        }
        tally
    }

    /// The same, of the present, from what is kept up.
    fn of_index(view: &View<'_>, index: &TicketIndex) -> TicketTally {
        let mut tally = TicketTally::default();
        let (recent, rated) = (view.today().minus(RECENT_DAYS), view.today().minus(CSAT_DAYS));
        for opened in index.days.iter().rev().take_while(|opened| opened.day > rated) {
            if opened.day > recent {
                tally.recent += i64::from(opened.all);
                tally.recent_unsolved += i64::from(opened.unsolved);
            }
            let (n, sum) = opened.rated;
            tally.csat = (tally.csat.0 + i64::from(sum), tally.csat.1 + i64::from(n));
        }
        index.open.iter().for_each(|ticket| tally.note_open(view.moment.at_ms, ticket));
        tally
    }
}

/// What is kept up of the tickets, if the view is of the present and they are many.
fn index<'a>(view: &View<'a>) -> Option<&'a TicketIndex> {
    if view.looks_back() { None } else { view.facts.ticket_index(view.calendar) }
}

fn tally<'a>(view: &View<'a>) -> Option<&'a TicketTally> {
    let count = || match index(view) {
        Some(index) => {
            let tally = TicketTally::of_index(view, index);
            debug_assert_eq!(tally, TicketTally::of_all(view));
            tally
        }
        None => TicketTally::of_all(view),
    };
    (!view.facts.tickets.is_empty()).then(|| view.tally.tickets.get_or_init(count))
}

/// The tickets in breach at the view's moment together, if any is.
pub fn breach(view: &View<'_>) -> Option<Breach> {
    tally(view)?.breach
}

/// The first promised time after the view's moment.
pub fn next_promise_ms(view: &View<'_>) -> Option<i64> {
    tally(view)?.next_promise_ms()
}

/// (unsolved, all) among the tickets opened in the last 30 days.
pub fn unresolved_recent(view: &View<'_>) -> (i64, i64) {
    tally(view).map_or((0, 0), |tally| (tally.recent_unsolved, tally.recent))
}

pub(super) fn open_tickets(view: &View<'_>) -> Option<i64> {
    tally(view).map(|tally| tally.open)
}

pub(super) fn urgent_tickets(view: &View<'_>) -> Option<i64> {
    tally(view).map(|tally| tally.urgent)
}

pub(super) fn unresolved_share(view: &View<'_>) -> Option<i64> {
    let (unsolved, all) = unresolved_recent(view);
    (all > 0).then(|| unsolved * 10_000 / all)
}

pub(super) fn oldest_ticket_days(view: &View<'_>) -> Option<i64> {
    let oldest_ms = tally(view)?.oldest_open_ms?;
    Some(view.today().since(view.day_of(oldest_ms)).max(0).into())
}

pub(super) fn breached_tickets(view: &View<'_>) -> Option<i64> {
    tally(view).map(|tally| tally.breach.map_or(0, |breach| breach.tickets))
}

pub(super) fn ticket_csat(view: &View<'_>) -> Option<i64> {
    let (sum, n) = tally(view)?.csat;
    (n > 0).then(|| sum * 100 / n)
}

fn opened_expire(view: &View<'_>, days: i32) -> Day {
    let of_all = || view.next_of(live(view).map(|t| view.day_of(t.value.opened_at_ms).plus(days)));
    let Some(index) = index(view) else { return of_all() };
    let next = index.days.partition_point(|opened| opened.day.plus(days) <= view.today());
    let next = index.days.get(next).map_or(NEVER, |opened| opened.day.plus(days));
    debug_assert_eq!(next, of_all());
    next
}

/// The next day on which a ticket is no longer among those opened in the last 30 days.
pub fn recent_until(view: &View<'_>) -> Day {
    opened_expire(view, RECENT_DAYS)
}

pub(super) fn recent_on(view: &View<'_>) -> Forecast {
    Forecast::until(recent_until(view))
}

pub(super) fn csat_on(view: &View<'_>) -> Forecast {
    Forecast::until(opened_expire(view, CSAT_DAYS))
}

pub(super) fn oldest_on(view: &View<'_>) -> Forecast {
    let oldest = tally(view).and_then(|tally| tally.oldest_open_ms).map(|at_ms| view.day_of(at_ms));
    match oldest {
        None => Forecast::moving(0),
        Some(oldest) if oldest > view.today() => Forecast::until(oldest.plus(1)).always_present(),
        Some(_) => Forecast::moving(1),
    }
}
