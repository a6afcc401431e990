//! What happens to one customer apart from daily use: contracts, contacts, invoices, tickets and
//! surveys, from the first day of history to [`TAIL_DAYS`] after its last. History shows the part
//! before its end, live events the rest, so tickets that are open at the seam are solved.

use super::account::{Account, CHAMPION_USER, Segment, Setting, billing_months};
use super::calendar::{DAY_MS, HOUR_MS, SECOND_MS, add_months, day_of};
use super::cause::{Cause, Planted, Twin};
use super::fact::{Contract, Dated, Fact, Invoice, Ticket};
use super::random::Random;
use crate::engine::event::{
    ContactRole, ContactStatus, ContractStatus, InvoiceStatus, Priority, TicketStatus,
};

/// How far past the end of history things are already known.
pub(super) const TAIL_DAYS: i64 = 30;
/// Contact of the champion.
pub(super) const CHAMPION_CONTACT: u64 = 0;
/// Contact of a champion's successor who was planted.
const SUCCESSOR_CONTACT: u64 = 3;
/// The contract that runs at the end of history. The one before is 0, its renewal 2.
pub(super) const CONTRACT: u64 = 1;
/// Days from issue to due.
const TERMS_DAYS: i64 = 30;
/// How late, in days, the first invoices of a slipping payer are paid; later ones are not.
const SLIPS_DAYS: [i64; 3] = [6, 14, 27];
/// Minutes between the events of an account's first hour.
const MINUTE_MS: i64 = 60 * SECOND_MS;

/// Hours until the first response and until the solution are due.
const fn sla_hours(priority: Priority) -> (i64, i64) {
    match priority {
        Priority::Urgent => (1, 24),
        Priority::High => (4, 72),
        Priority::Normal => (8, 120),
        Priority::Low => (24, 240),
    }
}

/// All facts of one account, in no particular order.
pub(super) fn facts(account: &Account, index: usize, setting: &Setting) -> Vec<Dated> {
    let mut timeline = Timeline {
        account,
        index: index as u32,
        end_ms: setting.end_ms,
        random: Random::for_part(setting.seed, index as u64, 2),
        out: Vec::new(),
    };
    timeline.add(account.since_ms, Fact::Account);
    timeline.contracts();
    timeline.contacts();
    timeline.invoices();
    timeline.tickets();
    timeline.surveys();
    timeline.out
}

struct Timeline<'a> {
    account: &'a Account,
    index: u32,
    end_ms: i64,
    random: Random,
    out: Vec<Dated>,
}

impl Timeline<'_> {
    fn add(&mut self, at_ms: i64, fact: Fact) {
        if at_ms >= self.account.since_ms && at_ms < self.end_ms + TAIL_DAYS * DAY_MS {
            self.out.push(Dated { at_ms, account: self.index, fact });
        }
    }

    fn contracts(&mut self) {
        let account = self.account;
        let (start_day, since_day) = (account.contract_day, day_of(account.since_ms));
        let contract = |number, start_day: i64| {
            Fact::Contract(Contract {
                number,
                start_ms: start_day * DAY_MS,
                end_ms: add_months(start_day, 12) * DAY_MS,
                status: ContractStatus::Active,
                renews: (number > 0 && !account.is_new).then(|| number - 1),
            })
        };
        let first_ms = account.since_ms + MINUTE_MS;
        if start_day > since_day {
            self.add(first_ms, contract(0, add_months(start_day, -12)));
            let signed_ms = (start_day - self.random.between(20, 60)) * DAY_MS + 14 * HOUR_MS;
            self.add(signed_ms.max(first_ms + MINUTE_MS), contract(CONTRACT, start_day));
        } else {
            self.add(first_ms, contract(CONTRACT, start_day));
        }
        if account.planted.cause_at(Cause::RenewalDoubt).is_none() {
            let next_day = add_months(start_day, 12);
            let signed_ms = (next_day - self.random.between(10, 85)) * DAY_MS + 15 * HOUR_MS;
            self.add(signed_ms, contract(CONTRACT + 1, next_day));
        }
    }

    fn contacts(&mut self) {
        let account = self.account;
        let first_ms = account.since_ms + 5 * MINUTE_MS;
        let contact = |number, role, status, user| Fact::Contact { number, role, status, user };
        let (champion, active) = (ContactRole::Champion, ContactStatus::Active);
        self.add(first_ms, contact(CHAMPION_CONTACT, champion, active, CHAMPION_USER));
        if account.segment != Segment::Smb {
            self.add(first_ms, contact(1, ContactRole::Sponsor, active, 1));
        }
        self.add(first_ms, contact(2, ContactRole::Admin, active, 2));
        let gone = |status| contact(CHAMPION_CONTACT, champion, status, CHAMPION_USER);
        if let Some(at_ms) = account.planted.cause_at(Cause::ChampionLeft) {
            self.add(at_ms, gone(ContactStatus::Left));
        }
        if let Some(at_ms) = account.planted.cause_at(Cause::ChampionMoved) {
            self.add(at_ms, gone(ContactStatus::Moved));
        }
        if let Some(at_ms) = account.planted.twin_at(Twin::ChampionSucceeded) {
            self.add(at_ms - 7 * DAY_MS, contact(SUCCESSOR_CONTACT, champion, active, 3));
            self.add(at_ms, gone(ContactStatus::Left));
        }
    }

    fn invoices(&mut self) {
        let account = self.account;
        let months = billing_months(account.billing);
        let since_day = day_of(account.since_ms);
        // The multiple of the billing period at or before the first day of history.
        let back = (account.contract_day - since_day).max(0) / (28 * months) + 1;
        let mut slips = SLIPS_DAYS.iter();
        for period in 0.. {
            let issued_day = add_months(account.contract_day, (period - back) * months);
            let issued_ms = issued_day * DAY_MS + 8 * HOUR_MS;
            if issued_ms >= self.end_ms + TAIL_DAYS * DAY_MS {
                break;
            }
            let due_ms = (issued_day + TERMS_DAYS) * DAY_MS;
            let usual = (self.random.normal() * 3.0 - 4.0).clamp(-20.0, 6.0) as i64;
            let late_days = if account.planted.has_begun(Cause::PaymentsSlip, due_ms) {
                slips.next().copied()
            } else if account.planted.twin_at(Twin::PaysInGrace).is_some() {
                Some(self.random.between(4, 8))
            } else {
                Some(usual)
            };
            if issued_ms >= account.since_ms {
                self.invoice(period as u64, issued_ms, due_ms, late_days);
            }
        }
        if let Some(at_ms) = account.planted.twin_at(Twin::InvoiceCorrected) {
            self.corrected_invoice(at_ms);
        }
    }

    fn invoice(&mut self, number: u64, issued_ms: i64, due_ms: i64, late_days: Option<i64>) {
        let open = Invoice { number, issued_ms, due_ms, paid_ms: None, status: InvoiceStatus::Open };
        self.add(issued_ms, Fact::Invoice(open.clone()));
        if let Some(days) = late_days {
            let paid_ms = due_ms + days * DAY_MS + self.random.between(9, 17) * HOUR_MS;
            let paid = Invoice { paid_ms: Some(paid_ms), status: InvoiceStatus::Paid, ..open };
            self.add(paid_ms, Fact::Invoice(paid));
        }
    }

    /// Ten days to pay instead of thirty, noticed before the grace was over.
    fn corrected_invoice(&mut self, at_ms: i64) {
        const NUMBER: u64 = 100_000;
        let issued_ms = at_ms - 12 * DAY_MS;
        let wrong = Invoice {
            number: NUMBER,
            issued_ms,
            due_ms: issued_ms + 10 * DAY_MS,
            paid_ms: None,
            status: InvoiceStatus::Open,
        };
        let right = Invoice { due_ms: issued_ms + TERMS_DAYS * DAY_MS, ..wrong.clone() };
        let paid_ms = right.due_ms - 2 * DAY_MS;
        let paid = Invoice { paid_ms: Some(paid_ms), status: InvoiceStatus::Paid, ..right.clone() };
        self.add(issued_ms, Fact::Invoice(wrong));
        self.add(at_ms + 3 * DAY_MS, Fact::Invoice(right));
        self.add(paid_ms, Fact::Invoice(paid));
    }

    fn tickets(&mut self) {
        let account = self.account;
        let span_ms = self.end_ms + TAIL_DAYS * DAY_MS - account.since_ms;
        let per_month = (0.4 + f64::from(account.users) / 40.0).min(4.0);
        let count = self.random.poisson(per_month * span_ms as f64 / (30 * DAY_MS) as f64);
        for number in 0..count {
            let opened_ms = account.since_ms + self.random.between(HOUR_MS, span_ms);
            let priority = match self.random.below(100) {
                0..25 => Priority::Low,
                25..78 => Priority::Normal,
                78..95 => Priority::High,
                _ => Priority::Urgent,
            };
            let share = match self.random.below(1000) {
                0..15 if account.planted == Planted::Nothing => 1.1,
                _ => 0.08 + 0.6 * self.random.unit(),
            };
            self.ticket(number, opened_ms, priority, Some(share));
        }
        if let Some(at_ms) = account.planted.cause_at(Cause::TicketSurge) {
            for extra in 0..8 {
                let opened_ms = at_ms + extra as i64 * 15 * HOUR_MS + self.random.between(0, HOUR_MS);
                let priority = if extra % 2 == 0 { Priority::High } else { Priority::Normal };
                self.ticket(count + extra, opened_ms, priority, None);
            }
        }
        if let Some(at_ms) = account.planted.twin_at(Twin::TicketsSolved) {
            for extra in 0..5 {
                self.ticket(count + extra, at_ms + extra as i64 * DAY_MS, Priority::Normal, Some(0.15));
            }
        }
    }

    /// A ticket that is solved after `share` of the time its solution is due in, if ever.
    fn ticket(&mut self, number: u64, opened_ms: i64, priority: Priority, share: Option<f64>) {
        let (response_hours, resolve_hours) = sla_hours(priority);
        let resolve_ms = resolve_hours * HOUR_MS;
        let opened = Ticket {
            number,
            priority,
            status: TicketStatus::Open,
            opened_ms,
            responded_ms: None,
            response_due_ms: opened_ms + response_hours * HOUR_MS,
            resolve_due_ms: opened_ms + resolve_ms,
            solved_ms: None,
            csat: None,
        };
        let response = 0.1 + 0.7 * self.random.unit();
        let responded_ms = opened_ms + ((response_hours * HOUR_MS) as f64 * response) as i64;
        let responded = Ticket { responded_ms: Some(responded_ms), ..opened.clone() };
        self.add(opened_ms, Fact::Ticket(opened));
        self.add(responded_ms, Fact::Ticket(responded.clone()));
        if let Some(share) = share {
            let solved_ms = (opened_ms + (resolve_ms as f64 * share) as i64).max(responded_ms + MINUTE_MS);
            let csat = self
                .random
                .percent(40)
                .then(|| if share > 1.0 { 2 } else { self.random.between(4, 5) as u8 });
            let solved =
                Ticket { status: TicketStatus::Solved, solved_ms: Some(solved_ms), csat, ..responded };
            self.add(solved_ms, Fact::Ticket(solved));
        }
    }

    fn surveys(&mut self) {
        let account = self.account;
        let span_ms = self.end_ms + TAIL_DAYS * DAY_MS - account.since_ms;
        // Nothing takes back what a planted answer said.
        let quiet_from_ms = [Cause::Detractor, Cause::RenewalDoubt]
            .into_iter()
            .find_map(|cause| account.planted.cause_at(cause))
            .unwrap_or(i64::MAX);
        for number in 0..self.random.poisson(span_ms as f64 / (45 * DAY_MS) as f64) {
            let at_ms = account.since_ms + self.random.between(DAY_MS, span_ms);
            let user = self.random.below(u64::from(account.users.min(6))) as u16;
            let score = match self.random.below(100) {
                0..65 => self.random.between(9, 10) as u8,
                65..85 => 8,
                98.. if account.planted == Planted::Nothing => 6,
                _ => 7,
            };
            if at_ms < quiet_from_ms {
                self.add(at_ms, Fact::Nps { number, score, user });
            }
        }
        if let Some(at_ms) = account.planted.cause_at(Cause::Detractor) {
            let score = self.random.between(1, 4) as u8;
            self.planted_answer(at_ms, score, CHAMPION_USER);
        }
        if let Some(at_ms) = account.planted.cause_at(Cause::RenewalDoubt) {
            let score = self.random.between(3, 5) as u8;
            self.planted_answer(at_ms, score, 1);
        }
        if let Some(at_ms) = account.planted.twin_at(Twin::Promoter) {
            self.planted_answer(at_ms, 10, 1);
        }
    }

    /// Numbered by its time, which no counted answer is.
    fn planted_answer(&mut self, at_ms: i64, score: u8, user: u16) {
        self.add(at_ms, Fact::Nps { number: at_ms.unsigned_abs(), score, user });
    }
}
