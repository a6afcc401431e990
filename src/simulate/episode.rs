//! Small dramas for someone who watches: each starts a risk, and ends it about a minute later.

use super::account::{Account, CHAMPION_USER};
use super::calendar::{DAY_MS, HOUR_MS, SECOND_MS, add_months, day_of};
use super::fact::{Contract, Fact, Invoice, Ticket};
use super::timeline::{CHAMPION_CONTACT, CONTRACT};
use crate::engine::event::{
    ContactRole, ContactStatus, ContractStatus, InvoiceStatus, Priority, TicketStatus,
};

/// Grace of the late-payment rule as shipped: an invoice falls late this long after its due date.
const GRACE_MS: i64 = 10 * DAY_MS;

/// A drama.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Episode {
    /// The champion leaves; a new one is named.
    ChampionLeaves,
    /// The champion moves to another team; a new one is named.
    ChampionMoves,
    /// A very low answer; after a call the same person answers again, higher.
    Detractor,
    /// Nobody answers an urgent ticket: its deadline passes with no event at all.
    UrgentTicket,
    /// The grace of an unpaid invoice ends with no event at all; then it is paid.
    InvoiceFallsLate,
    /// An invoice that was overdue at the end of history is paid.
    OverduePaid,
    /// The doubtful contract is renewed.
    RenewalSigned,
}

impl Episode {
    /// The first minute: one of each sort, so that starts, deadlines and ends are all seen.
    pub(super) const OPENING: [Episode; 7] = [
        Episode::UrgentTicket,
        Episode::ChampionLeaves,
        Episode::OverduePaid,
        Episode::InvoiceFallsLate,
        Episode::Detractor,
        Episode::RenewalSigned,
        Episode::ChampionMoves,
    ];
}

/// Where and when a drama plays.
pub(super) struct Stage<'a> {
    pub(super) account: &'a Account,
    pub(super) at_ms: i64,
    /// Event time that passes in one second of the watcher.
    pub(super) second_ms: i64,
    /// An invoice left overdue by history, for [`Episode::OverduePaid`].
    pub(super) overdue: Option<Invoice>,
}

impl Stage<'_> {
    /// The facts of the drama and when they become known.
    pub(super) fn play(&self, episode: Episode) -> Vec<(i64, Fact)> {
        match episode {
            Episode::ChampionLeaves => self.champion(ContactStatus::Left),
            Episode::ChampionMoves => self.champion(ContactStatus::Moved),
            Episode::Detractor => self.detractor(),
            Episode::UrgentTicket => self.urgent_ticket(),
            Episode::InvoiceFallsLate => self.invoice_falls_late(),
            Episode::OverduePaid => self.overdue_paid(),
            Episode::RenewalSigned => self.renewal_signed(),
        }
    }

    fn after(&self, seconds: i64) -> i64 {
        self.at_ms + seconds * self.second_ms
    }

    /// Entities that begin live are numbered by their time: fresh after every restart.
    fn number(&self) -> u64 {
        self.at_ms.unsigned_abs()
    }

    fn champion(&self, status: ContactStatus) -> Vec<(i64, Fact)> {
        let role = ContactRole::Champion;
        let gone = Fact::Contact { number: CHAMPION_CONTACT, role, status, user: CHAMPION_USER };
        let new = Fact::Contact { number: self.number(), role, status: ContactStatus::Active, user: 1 };
        vec![(self.at_ms, gone), (self.after(45), new)]
    }

    fn detractor(&self) -> Vec<(i64, Fact)> {
        let answer = |number, score| Fact::Nps { number, score, user: 3 };
        vec![(self.at_ms, answer(self.number(), 2)), (self.after(50), answer(self.number() + 1, 9))]
    }

    fn urgent_ticket(&self) -> Vec<(i64, Fact)> {
        let response_due_ms = self.after(12);
        let opened_ms = response_due_ms - HOUR_MS.max(20 * self.second_ms);
        let opened = Ticket {
            number: self.number(),
            priority: Priority::Urgent,
            status: TicketStatus::Open,
            opened_ms,
            responded_ms: None,
            response_due_ms,
            resolve_due_ms: opened_ms + DAY_MS.max(200 * self.second_ms),
            solved_ms: None,
            csat: None,
        };
        let responded = Ticket { responded_ms: Some(self.after(40)), ..opened.clone() };
        let solved = Ticket {
            status: TicketStatus::Solved,
            solved_ms: Some(self.after(70)),
            csat: Some(4),
            ..responded.clone()
        };
        let steps = [(self.at_ms, opened), (self.after(40), responded), (self.after(70), solved)];
        steps.into_iter().map(|(at_ms, ticket)| (at_ms, Fact::Ticket(ticket))).collect()
    }

    fn invoice_falls_late(&self) -> Vec<(i64, Fact)> {
        let due_ms = self.after(15) - GRACE_MS;
        let open = Invoice {
            number: self.number(),
            issued_ms: due_ms - 30 * DAY_MS,
            due_ms,
            paid_ms: None,
            status: InvoiceStatus::Open,
        };
        vec![(self.at_ms, Fact::Invoice(open.clone())), (self.after(60), paid(&open, self.after(60)))]
    }

    fn overdue_paid(&self) -> Vec<(i64, Fact)> {
        self.overdue.iter().map(|invoice| (self.at_ms, paid(invoice, self.at_ms))).collect()
    }

    fn renewal_signed(&self) -> Vec<(i64, Fact)> {
        let start_day = add_months(self.account.contract_day, 12);
        let contract = Contract {
            number: CONTRACT + 1,
            start_ms: start_day * DAY_MS,
            end_ms: add_months(start_day, 12) * DAY_MS,
            status: ContractStatus::Active,
            renews: Some(CONTRACT),
        };
        debug_assert!(start_day > day_of(self.at_ms) - 3660);
        vec![(self.at_ms, Fact::Contract(contract))]
    }
}

fn paid(invoice: &Invoice, at_ms: i64) -> Fact {
    Fact::Invoice(Invoice { paid_ms: Some(at_ms), status: InvoiceStatus::Paid, ..invoice.clone() })
}

/// Seconds of the watcher between the dramas of the opening.
pub(super) const OPENING_STEP_SECONDS: i64 = 5;
/// Shortest and longest pause, in seconds of the watcher, between later dramas.
pub(super) const PAUSE_SECONDS: (i64, i64) = (15, 35);
/// One second, for the unit of [`Stage::second_ms`] at real time.
pub(super) const REAL_SECOND_MS: i64 = SECOND_MS;
