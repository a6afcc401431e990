//! Typical accounts: 25 users, 90 active days, 3 features, 5 tickets, 6 invoices, 4 contacts,
//! 1 contract, 3 surveys, a year of daily scores. Made event by event and day by day, as they would come
//! to be; then restored from pages, and the last days lived by all of them, so that what restoring, opening
//! and packing leave around them is measured too.

use std::borrow::Cow;
use std::ops::Range;

use accountpulse::engine::event::{
    AccountUpdate, BillingPeriod, Body, Contact, ContactRole, ContactStatus, Contract, ContractStatus,
    Currency, Event, Invoice, InvoiceStatus, Login, Patch, PersonId, Priority, Survey, SurveyType, Ticket,
    TicketStatus, Usage,
};
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::{PageId, Shard};
use accountpulse::simulate::Workload;

use crate::corpus::{advance, apply, drain, shard};

/// Shards of an instance, as its default number of partitions has it.
pub const SHARDS: u32 = 12;
const DAYS: i64 = 365;
const ACTIVE_DAYS: i64 = 90;
const USERS: i64 = 25;
const FEATURES: [&str; 3] = ["dashboards", "reports", "search"];
const DAY_MS: i64 = 86_400_000;
/// 2026-01-05T00:00:00Z
const START_MS: i64 = 1_767_571_200_000;
/// The first instant after the year.
pub const END_MS: i64 = START_MS + DAYS * DAY_MS;
/// Accounts between two drains, so that what waits to be told weighs nothing.
const DRAIN_EVERY: usize = 2_000;
/// Accounts that live most of their year together.
const AT_A_TIME: usize = 1_000;
/// Days at the end that all accounts of a shard live together, as an instance has them.
const DAYS_TOGETHER: i64 = 3;

/// Events of one account; asserted in [`make`].
const EVENTS: u64 = 1 + 1 + 4 + 6 + 5 + 3 + 3 * ACTIVE_DAYS as u64;

/// Makes the accounts `0..accounts` in all shards, two threads side by side.
pub fn make(accounts: u32, threads: usize) -> Vec<Shard> {
    let mut dealt: Vec<Vec<u32>> = vec![Vec::new(); SHARDS as usize];
    let mut id = Vec::new();
    for account in 0..accounts {
        id.clear();
        Workload::push_account_id(account, &mut id);
        dealt[partition_of(&id, SHARDS) as usize].push(account);
    }
    let mut made: Vec<(u32, Shard)> = std::thread::scope(|scope| {
        let part = |thread: usize| {
            let dealt = &dealt;
            move || {
                let mine = (0..SHARDS).filter(|number| *number as usize % threads == thread);
                mine.map(|number| (number, year(number, &dealt[number as usize]))).collect::<Vec<_>>()
            }
        };
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(part(thread))).collect();
        running.into_iter().flat_map(|thread| thread.join().expect("a shard is made")).collect()
    });
    made.sort_by_key(|(number, _)| *number);
    made.into_iter().map(|(_, shard)| shard).collect()
}

/// One shard's year: nearly all of it lived by a few accounts at a time, which the caches hold, and put
/// together as a restart does; the last days lived by all together.
fn year(number: u32, accounts: &[u32]) -> Shard {
    let ids: Vec<String> = accounts.iter().map(|account| id_of(*account)).collect();
    let (mut whole, mut events, apart) = (shard(number, SHARDS), 0, DAYS - DAYS_TOGETHER);
    for some in ids.chunks(AT_A_TIME) {
        let mut part = shard(number, SHARDS);
        events += days(&mut part, some, 0..apart);
        for page in (0..=u8::MAX).map(PageId) {
            whole.load_page(page, &part.encode_page(page)).expect("a page of its own");
        }
    }
    whole.finish_restore(Some(START_MS + apart * DAY_MS));
    events += days(&mut whole, &ids, apart..DAYS);
    assert_eq!(events, EVENTS * ids.len() as u64, "the accounts are not the typical ones");
    assert_eq!(whole.accounts(), ids.len());
    whole
}

/// Some days of accounts; how many events there were.
fn days(shard: &mut Shard, ids: &[String], days: Range<i64>) -> u64 {
    let mut events = 0;
    for day in days {
        for (place, id) in ids.iter().enumerate() {
            events += one_day(shard, id, day);
            if place % DRAIN_EVERY == 0 {
                drain(shard, START_MS + day * DAY_MS);
            }
        }
        advance(shard, START_MS + (day + 1) * DAY_MS);
        shard.take_dirty();
    }
    events
}

pub fn id_of(account: u32) -> String {
    let mut id = Vec::new();
    Workload::push_account_id(account, &mut id);
    String::from_utf8(id).expect("digits")
}

/// The events of one account on one day of its year; how many there were.
fn one_day(shard: &mut Shard, account: &str, day: i64) -> u64 {
    // All of a day at one time, so that time never goes back between accounts.
    let at_ms = START_MS + day * DAY_MS + DAY_MS / 2;
    let mut count = 0;
    let mut tell = |number: i64, body: Body<'_>| {
        let event = Event {
            id: Cow::Owned(format!("{day}-{number}")),
            account: Cow::Borrowed(account),
            occurred_at_ms: at_ms,
            version: None,
            body,
            unknown_fields: 0,
        };
        apply(shard, &event);
        count += 1;
    };
    if day == 0 {
        first_day(&mut tell);
    }
    if day % 60 == 5 && day < 360 {
        tell(0, Body::Invoice(invoice(day, at_ms)));
    }
    if day % 73 == 7 {
        tell(0, Body::Ticket(ticket(day, at_ms)));
    }
    if day % 120 == 9 && day < 360 {
        tell(0, Body::Survey(survey(day)));
    }
    if day >= DAYS - ACTIVE_DAYS {
        tell(0, Body::Login(Login { user: user(day * 2) }));
        tell(1, Body::Login(Login { user: user(day * 2 + 1) }));
        let feature = FEATURES[(day % 3) as usize];
        tell(0, Body::Usage(Usage { user: Some(user(day)), feature: feature.into(), count: 4 }));
    }
    count
}

fn user(number: i64) -> PersonId {
    PersonId((number % USERS).unsigned_abs() + 1)
}

fn first_day(tell: &mut impl FnMut(i64, Body<'_>)) {
    let set = |text: &'static str| Patch::Set(Cow::Borrowed(text));
    tell(
        0,
        Body::Account(AccountUpdate {
            name: set("Typical"),
            segment: set("mid"),
            industry: set("retail"),
            owner: set("ana.silva"),
            ..AccountUpdate::default()
        }),
    );
    tell(
        0,
        Body::Contract(Contract {
            id: "k1".into(),
            start_ms: START_MS,
            end_ms: Some(START_MS + 400 * DAY_MS),
            recurring_minor: 2_400_000,
            currency: Currency(*b"EUR"),
            billing: BillingPeriod::Annual,
            seats: Some(30),
            status: ContractStatus::Active,
            renews: None,
        }),
    );
    let roles = [ContactRole::Champion, ContactRole::Sponsor, ContactRole::Admin, ContactRole::User];
    for (number, role) in (0..).zip(roles) {
        let contact = Contact {
            id: format!("c{number}").into(),
            role,
            status: ContactStatus::Active,
            user: Some(user(number)),
        };
        tell(number, Body::Contact(contact));
    }
}

fn invoice(day: i64, at_ms: i64) -> Invoice<'static> {
    Invoice {
        id: format!("i{day}").into(),
        amount_minor: 400_000,
        currency: Currency(*b"EUR"),
        issued_at_ms: at_ms - DAY_MS / 2,
        due_at_ms: at_ms + 30 * DAY_MS,
        paid_at_ms: Some(at_ms),
        status: InvoiceStatus::Paid,
    }
}

fn ticket(day: i64, at_ms: i64) -> Ticket<'static> {
    Ticket {
        id: format!("t{day}").into(),
        priority: Priority::Normal,
        status: TicketStatus::Solved,
        opened_at_ms: at_ms - DAY_MS / 2,
        first_response_at_ms: None,
        first_response_due_ms: None,
        resolve_due_ms: None,
        solved_at_ms: Some(at_ms),
        escalated: false,
        csat: None,
    }
}

fn survey(day: i64) -> Survey<'static> {
    Survey {
        id: format!("r{day}").into(),
        survey: SurveyType::Nps,
        score: Some(9),
        respondent: Some(user(day)),
    }
}
