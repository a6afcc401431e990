//! Support: tickets and their promised times.

use super::View;
use crate::engine::account::{Entry, TicketFact};
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

fn pressing(ticket: &TicketFact) -> bool {
    ticket.priority >= Priority::High || ticket.escalated
}

/// The instant from which an unsolved ticket is in breach, if one was promised. A ticket that
/// waits for the customer has its solution clock paused.
pub fn breach_ms(view: &View<'_>, ticket: &TicketFact) -> Option<i64> {
    if !unsolved(view, ticket) {
        return None;
    }
    let unanswered = ticket.first_response_at_ms.is_none_or(|answered| !view.known(answered));
    let first = ticket.first_response_due_ms.filter(|_| unanswered);
    let resolve = ticket.resolve_due_ms.filter(|_| ticket.status != TicketStatus::Pending);
    match (first, resolve) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

/// Unsolved tickets in breach at the view's moment.
pub fn breached<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a Entry<Box<str>, TicketFact>> {
    open(view).filter(|t| breach_ms(view, &t.value).is_some_and(|breach| breach <= view.moment.at_ms))
}

fn some_ticket(view: &View<'_>) -> Option<()> {
    (!view.facts.tickets.is_empty()).then_some(())
}

fn opened_after<'a>(view: &'a View<'_>, day: Day) -> impl Iterator<Item = &'a Entry<Box<str>, TicketFact>> {
    live(view).filter(move |t| view.day_of(t.value.opened_at_ms) > day)
}

/// (unsolved, all) among the tickets opened in the last 30 days.
pub fn unresolved_recent(view: &View<'_>) -> (i64, i64) {
    let recent = || opened_after(view, view.today().minus(30));
    (recent().filter(|t| unsolved(view, &t.value)).count() as i64, recent().count() as i64)
}

pub(super) fn open_tickets(view: &View<'_>) -> Option<i64> {
    some_ticket(view)?;
    Some(open(view).count() as i64)
}

pub(super) fn urgent_tickets(view: &View<'_>) -> Option<i64> {
    some_ticket(view)?;
    Some(open(view).filter(|t| pressing(&t.value)).count() as i64)
}

pub(super) fn unresolved_share(view: &View<'_>) -> Option<i64> {
    let (unsolved, all) = unresolved_recent(view);
    (all > 0).then(|| unsolved * 10_000 / all)
}

pub(super) fn oldest_ticket_days(view: &View<'_>) -> Option<i64> {
    let oldest = open(view).map(|t| t.value.opened_at_ms).min()?;
    Some(view.today().since(view.day_of(oldest)).max(0).into())
}

pub(super) fn breached_tickets(view: &View<'_>) -> Option<i64> {
    some_ticket(view)?;
    Some(breached(view).count() as i64)
}

pub(super) fn ticket_csat(view: &View<'_>) -> Option<i64> {
    let rated = opened_after(view, view.today().minus(90)).filter_map(|t| t.value.csat.map(i64::from));
    let (sum, n) = rated.fold((0, 0), |(sum, n), csat| (sum + csat, n + 1));
    (n > 0).then(|| sum * 100 / n)
}
