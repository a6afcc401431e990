//! What is asked of tickets and invoices at nearly every evaluation, kept up as they change: an account
//! can have hundreds of them, and few are open.
//!
//! Derived from them, so it is neither stored nor compared, and found when it is first asked for. It
//! speaks of the present only, where everything known counts; whoever looks back looks at them all.
//! To add something: keep it up in `add` and `remove`, which must undo each other.

use super::entity::{InvoiceFact, TicketFact};
use super::keyed::{Moved, Stamp};
use super::{Facts, Verdict};
use crate::engine::event::{Invoice, InvoiceStatus, Priority, Ticket, TicketStatus};
use crate::engine::limits::Limits;
use crate::engine::time::{Calendar, Day};
use std::cell::OnceCell;

/// So few are looked at one by one as quickly, and need no memory for it. Where assertions are checked
/// it is nearly always an index, so that the laws are about it.
const INDEXED_ABOVE: usize = if cfg!(debug_assertions) { 2 } else { 16 };

impl Facts {
    /// Merges a write of a ticket.
    pub(super) fn merge_ticket(
        &mut self,
        stamp: Stamp,
        t: &Ticket<'_>,
        calendar: Calendar,
        limits: &Limits,
    ) -> Verdict {
        let value = TicketFact {
            priority: t.priority,
            status: t.status,
            opened_at_ms: t.opened_at_ms,
            first_response_at_ms: t.first_response_at_ms,
            first_response_due_ms: t.first_response_due_ms,
            resolve_due_ms: t.resolve_due_ms,
            solved_at_ms: t.solved_at_ms,
            escalated: t.escalated,
            csat: t.csat,
        };
        let index = &mut self.ticket_index;
        let mut tell = |moved: Moved<'_, TicketFact>| match (index.known_mut(), moved) {
            (Some(index), Moved::Came(ticket)) => index.add(ticket, calendar),
            (Some(index), Moved::Gone(ticket)) => index.remove(ticket, calendar),
            (None, _) => {}
        };
        self.tickets.merge_telling(&*t.id, stamp, value, limits.tickets, &mut tell).into()
    }

    /// Merges a write of an invoice.
    pub(super) fn merge_invoice(&mut self, stamp: Stamp, i: &Invoice<'_>, limits: &Limits) -> Verdict {
        let value = InvoiceFact {
            amount_minor: i.amount_minor,
            currency: i.currency.0,
            issued_at_ms: i.issued_at_ms,
            due_at_ms: i.due_at_ms,
            paid_at_ms: i.paid_at_ms,
            status: i.status,
        };
        let index = &mut self.invoice_index;
        let mut tell = |moved: Moved<'_, InvoiceFact>| match (index.known_mut(), moved) {
            (Some(index), Moved::Came(invoice)) => index.add(invoice),
            (Some(index), Moved::Gone(invoice)) => index.remove(invoice),
            (None, _) => {}
        };
        self.invoices.merge_telling(&*i.id, stamp, value, limits.invoices, &mut tell).into()
    }

    /// The tickets of the present in short, if they are so many that looking at all takes longer.
    pub fn ticket_index(&self, calendar: Calendar) -> Option<&TicketIndex> {
        let find = || TicketIndex::of(self.tickets.iter().map(|entry| &entry.value), calendar);
        (self.tickets.len() > INDEXED_ABOVE).then(|| self.ticket_index.get(find))
    }

    /// The same of the invoices.
    pub fn invoice_index(&self) -> Option<&InvoiceIndex> {
        let find = || InvoiceIndex::of(self.invoices.iter().map(|entry| &entry.value));
        (self.invoices.len() > INDEXED_ABOVE).then(|| self.invoice_index.get(find))
    }
}

/// Something that follows from the rest, once it was asked for.
pub struct Derived<T>(OnceCell<T>);

impl<T> Derived<T> {
    /// What is known, or found now.
    pub fn get(&self, find: impl FnOnce() -> T) -> &T {
        self.0.get_or_init(find)
    }

    /// What is known, to be kept up.
    pub fn known_mut(&mut self) -> Option<&mut T> {
        self.0.get_mut()
    }

    /// What is known.
    pub fn known(&self) -> Option<&T> {
        self.0.get()
    }
}

impl<T> Default for Derived<T> {
    fn default() -> Self {
        Derived(OnceCell::new())
    }
}

impl<T> Clone for Derived<T> {
    fn clone(&self) -> Self {
        Derived::default()
    }
}

/// Whether it was asked for yet is no difference.
impl<T> PartialEq for Derived<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<T> Eq for Derived<T> {}

impl<T> std::fmt::Debug for Derived<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Derived")
    }
}

/// An unsolved ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTicket {
    /// When it was opened.
    pub opened_at_ms: i64,
    /// See [`TicketFact::promises`].
    pub promises: [Option<i64>; 2],
    /// Its priority.
    pub priority: Priority,
    /// Escalated, whatever its priority.
    pub escalated: bool,
}

/// The tickets that were opened on one day and not deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedOn {
    /// The day.
    pub day: Day,
    /// How many.
    pub all: u32,
    /// How many of them are unsolved.
    pub unsolved: u32,
    /// How many of them were rated, and the sum of the ratings.
    pub rated: (u32, u32),
}

/// Tickets, as far as features ask for all of them.
#[derive(Debug, Default)]
pub struct TicketIndex {
    /// Those that are unsolved, in no order.
    pub open: Vec<OpenTicket>,
    /// By day, ascending; no day without tickets.
    pub days: Vec<OpenedOn>,
}

impl TicketIndex {
    /// That of these tickets.
    fn of<'t>(tickets: impl Iterator<Item = &'t TicketFact>, calendar: Calendar) -> TicketIndex {
        let mut index = TicketIndex::default();
        tickets.for_each(|ticket| index.add(ticket, calendar));
        index
    }

    /// A ticket came.
    fn add(&mut self, ticket: &TicketFact, calendar: Calendar) {
        let Some((open, day)) = entry(ticket, calendar) else { return };
        let place = self.days.binary_search_by_key(&day.day, |known| known.day).unwrap_or_else(|place| {
            self.days.insert(place, OpenedOn { all: 0, unsolved: 0, rated: (0, 0), ..day });
            place
        });
        let known = &mut self.days[place];
        known.all += day.all;
        known.unsolved += day.unsolved;
        known.rated = (known.rated.0 + day.rated.0, known.rated.1 + day.rated.1);
        self.open.extend(open);
    }

    /// A ticket that came has gone, or is replaced by another.
    fn remove(&mut self, ticket: &TicketFact, calendar: Calendar) {
        let Some((open, day)) = entry(ticket, calendar) else { return };
        if let Ok(place) = self.days.binary_search_by_key(&day.day, |known| known.day) {
            let known = &mut self.days[place];
            known.all -= day.all;
            known.unsolved -= day.unsolved;
            known.rated = (known.rated.0 - day.rated.0, known.rated.1 - day.rated.1);
            if known.all == 0 {
                self.days.remove(place);
            }
        }
        // Those that are equal in all that is asked are as good as each other.
        let place = open.and_then(|open| self.open.iter().position(|known| *known == open));
        place.map(|place| self.open.swap_remove(place));
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.open.capacity() * size_of::<OpenTicket>() + self.days.capacity() * size_of::<OpenedOn>()
    }
}

/// What one ticket adds; nothing if it is deleted.
fn entry(ticket: &TicketFact, calendar: Calendar) -> Option<(Option<OpenTicket>, OpenedOn)> {
    if ticket.status == TicketStatus::Deleted {
        return None;
    }
    let &TicketFact { opened_at_ms, priority, escalated, .. } = ticket;
    let is_open = ticket.status != TicketStatus::Solved;
    let promises = ticket.promises();
    let open = is_open.then_some(OpenTicket { opened_at_ms, promises, priority, escalated });
    let day = OpenedOn {
        day: calendar.day_of(opened_at_ms),
        all: 1,
        unsolved: u32::from(is_open),
        rated: ticket.csat.map_or((0, 0), |csat| (1, u32::from(csat))),
    };
    Some((open, day))
}

/// An invoice that nobody has paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnpaidInvoice {
    /// When it is due.
    pub due_at_ms: i64,
    /// Open, and not said to be paid without a time.
    pub is_open: bool,
}

/// Invoices, as far as features ask for all of them.
#[derive(Debug, Default)]
pub struct InvoiceIndex {
    /// Those that are unpaid, in no order.
    pub unpaid: Vec<UnpaidInvoice>,
}

impl InvoiceIndex {
    /// That of these invoices.
    fn of<'i>(invoices: impl Iterator<Item = &'i InvoiceFact>) -> InvoiceIndex {
        InvoiceIndex { unpaid: invoices.filter_map(unpaid).collect() }
    }

    /// An invoice came.
    fn add(&mut self, invoice: &InvoiceFact) {
        self.unpaid.extend(unpaid(invoice));
    }

    /// An invoice that came has gone, or is replaced by another.
    fn remove(&mut self, invoice: &InvoiceFact) {
        let place = unpaid(invoice).and_then(|gone| self.unpaid.iter().position(|known| *known == gone));
        place.map(|place| self.unpaid.swap_remove(place));
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.unpaid.capacity() * size_of::<UnpaidInvoice>()
    }
}

fn unpaid(invoice: &InvoiceFact) -> Option<UnpaidInvoice> {
    let is_open = invoice.status == InvoiceStatus::Open;
    let counts = is_open || invoice.status == InvoiceStatus::Paid;
    let unpaid = UnpaidInvoice { due_at_ms: invoice.due_at_ms, is_open };
    (counts && invoice.paid_at_ms.is_none()).then_some(unpaid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{PersonKey, decode_json};
    use crate::engine::time::{DAY_MS, rfc3339};
    use proptest::prelude::*;

    const NOON_MS: i64 = 1_767_614_400_000;

    /// A ticket or an invoice in one of its states, at a time of its own and perhaps of a version.
    fn event(n: usize, (id, state, day, version): (u8, u8, i64, u8)) -> String {
        let at = |days: i64| rfc3339(NOON_MS + days * DAY_MS);
        let (now, later) = (at(day), at(day + 3));
        let body = match (id % 2, state) {
            (0, 0) => format!(r#""status":"open","opened_at":"{now}","first_response_due_at":"{later}""#),
            (0, 1) => format!(r#""status":"pending","opened_at":"{now}","resolve_due_at":"{later}""#),
            (0, 2) => format!(r#""status":"solved","opened_at":"{now}","solved_at":"{later}","csat":4"#),
            (0, 3) => format!(
                r#""status":"open","opened_at":"{now}","resolve_due_at":"{later}","priority":"urgent""#
            ),
            (0, _) => format!(r#""status":"deleted","opened_at":"{now}""#),
            (_, 0) => r#""status":"open""#.to_owned(),
            (_, 1) => format!(r#""status":"paid","paid_at":"{later}""#),
            (_, 2) => r#""status":"void""#.to_owned(),
            _ => r#""status":"disputed""#.to_owned(),
        };
        let body = match id % 2 {
            0 => format!(r#""ticket":{{"id":"t{id}",{body}}}"#),
            _ => format!(
                r#""invoice":{{"id":"i{id}","amount_minor":100,"currency":"EUR","issued_at":"{now}","due_at":"{later}",{body}}}"#
            ),
        };
        let version = if version == 0 { String::new() } else { format!(r#""version":{version},"#) };
        format!(r#"{{"id":"e{n}",{version}"account_id":"a","occurred_at":"{now}",{body}}}"#)
    }

    fn is_same(facts: &Facts, calendar: Calendar) -> Result<(), TestCaseError> {
        if let Some(index) = facts.ticket_index(calendar) {
            let whole = TicketIndex::of(facts.tickets.iter().map(|entry| &entry.value), calendar);
            let sorted = |open: &[OpenTicket]| {
                let mut open: Vec<String> = open.iter().map(|ticket| format!("{ticket:?}")).collect();
                open.sort();
                open
            };
            prop_assert_eq!(sorted(&index.open), sorted(&whole.open));
            prop_assert_eq!(&index.days, &whole.days);
        }
        if let Some(index) = facts.invoice_index() {
            let whole = InvoiceIndex::of(facts.invoices.iter().map(|entry| &entry.value));
            let sorted = |unpaid: &[UnpaidInvoice]| {
                let mut unpaid: Vec<_> = unpaid.iter().map(|i| (i.due_at_ms, i.is_open)).collect();
                unpaid.sort_unstable();
                unpaid
            };
            prop_assert_eq!(sorted(&index.unpaid), sorted(&whole.unpaid));
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn an_index_that_was_kept_up_is_that_of_what_is_there(
            // Few days and versions that disagree with them, so that older writes come back.
            writes in proptest::collection::vec((0_u8..24, 0_u8..5, 0_i64..12, 0_u8..3), 1..120),
            limit in 3_usize..8,
        ) {
            let (mut facts, calendar) = (Facts::default(), Calendar::default());
            let limits = Limits { tickets: limit, invoices: limit, ..Limits::default() };
            for (n, write) in writes.into_iter().enumerate() {
                let json = event(n, write);
                let event = decode_json(json.as_bytes(), &PersonKey::new([7; 16]))
                    .unwrap_or_else(|refusal| panic!("{json}: {refusal}"));
                facts.merge(0, &event, calendar, &limits);
                is_same(&facts, calendar)?;
            }
        }
    }
}
