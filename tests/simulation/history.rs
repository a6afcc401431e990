//! A generated history: a few accounts, two input topics, events that make timers matter
//! (invoices nobody pays, tickets past their promise, accounts that go quiet), and dirt:
//! duplicates inside and beyond the horizon and in the other topic, disorder, records that are no
//! events.
//!
//! Calm accounts are for the wall clock: everything about them is known before their first
//! deadline, so that what their deadlines tell cannot depend on when anybody looked.

use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::{DAY_MS, HOUR_MS, rfc3339};
use accountpulse::log::sim::SimRecord;

use super::rng::Rng;

pub const PARTITIONS: u32 = 3;
pub const TOPICS: [&str; 2] = ["activity.v1", "business.v1"];
/// 2026-01-05T00:00:00Z, a Monday.
const START_MS: i64 = 1_767_571_200_000;
const DAYS: i64 = 24;
const ACCOUNTS: u64 = 7;

const CALM: u64 = 4;

pub struct History {
    /// By topic, then partition, in offset order.
    pub records: Vec<Vec<Vec<Placed>>>,
    /// Time begins here.
    pub start_ms: i64,
    /// Time passes up to here after the last event.
    pub until_ms: i64,
    pub accounts: Vec<String>,
    /// Those of them whose deadlines all come after their events.
    pub calm: Vec<String>,
    /// Records that stand behind a later one.
    pub out_of_order: u64,
}

/// A record, and the moment at which it is appended if time is what decides.
#[derive(Clone)]
pub struct Placed {
    pub place_ms: i64,
    pub record: SimRecord,
}

struct Draft {
    at_ms: i64,
    /// Place in its topic; differs from the event time for disorder and duplicates.
    place_ms: i64,
    topic: usize,
    account: String,
    value: String,
}

/// For the event clock: `calm` is `false`. With `calm`, some of the accounts are calm.
pub fn generate(seed: u64, calm: bool) -> History {
    let mut rng = Rng::new(seed ^ 0xacc0);
    let mut accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("acct-{seed}-{n}")).collect();
    let calm: Vec<String> = (0..CALM).filter(|_| calm).map(|n| format!("calm-{seed}-{n}")).collect();
    let mut drafts = Vec::new();
    for account in &accounts {
        activity(&mut rng, account, &mut drafts);
        invoices(&mut rng, account, &mut drafts);
        tickets(&mut rng, account, &mut drafts);
    }
    for draft in &mut drafts {
        if rng.below(6) == 0 {
            draft.place_ms += (rng.below(20) * HOUR_MS as u64) as i64;
        }
    }
    repeat_some(&mut rng, &mut drafts);
    calm.iter().for_each(|account| quiet_life(&mut rng, account, &mut drafts));
    drafts.sort_by(|a, b| (a.place_ms, &a.account, &a.value).cmp(&(b.place_ms, &b.account, &b.value)));
    let mut records: Vec<Vec<Vec<Placed>>> = vec![vec![Vec::new(); PARTITIONS as usize]; TOPICS.len()];
    let mut out_of_order = 0;
    for draft in drafts {
        let partition = partition_of(draft.account.as_bytes(), PARTITIONS) as usize;
        let place_ms = draft.place_ms;
        let placed = |value: &[u8]| Placed {
            place_ms,
            record: SimRecord::new(draft.at_ms, draft.account.as_bytes(), value),
        };
        let lane = &mut records[draft.topic][partition];
        out_of_order += u64::from(lane.last().is_some_and(|last| last.record.timestamp_ms > draft.at_ms));
        lane.push(placed(draft.value.as_bytes()));
        if rng.below(25) == 0 {
            lane.push(placed(b"{\"broken\": "));
        }
    }
    accounts.extend(calm.iter().cloned());
    // Noon: no day turns near the end.
    let until_ms = START_MS + (DAYS + 14) * DAY_MS + 12 * HOUR_MS;
    History { records, start_ms: START_MS, until_ms, accounts, calm, out_of_order }
}

fn event(account: &str, id: &str, at_ms: i64, body: &str) -> String {
    format!(r#"{{"v":1,"id":"{id}","account_id":"{account}","occurred_at":"{}",{body}}}"#, rfc3339(at_ms))
}

fn draft(topic: usize, account: &str, id: &str, at_ms: i64, body: &str) -> Draft {
    let value = event(account, id, at_ms, body);
    Draft { at_ms, place_ms: at_ms, topic, account: account.to_owned(), value }
}

fn activity(rng: &mut Rng, account: &str, out: &mut Vec<Draft>) {
    let quits = 7 + rng.below(14) as i64;
    let returns = quits + 8 + rng.below(8) as i64;
    for day in 0..DAYS {
        if day >= quits && day < returns || rng.below(10) < 4 {
            continue;
        }
        let at = START_MS + day * DAY_MS + (rng.below(24 * 60) * 60_000) as i64;
        let user = rng.below(3);
        // Some sign-ins are only ever told through the other topic.
        let topic = usize::from(rng.below(4) == 0);
        out.push(draft(
            topic,
            account,
            &format!("l{day}"),
            at,
            &format!(r#""login":{{"user_id":"u{user}"}}"#),
        ));
        if rng.below(3) == 0 {
            let body = format!(r#""usage":{{"user_id":"u{user}","feature":"export","count":{}}}"#, 1 + day);
            out.push(draft(0, account, &format!("u{day}"), at + 60_000, &body));
        }
    }
}

fn invoices(rng: &mut Rng, account: &str, out: &mut Vec<Draft>) {
    for number in 0..1 + rng.below(2) {
        let issued = START_MS + rng.below(12) as i64 * DAY_MS + (rng.below(20) * HOUR_MS as u64) as i64;
        let due = issued + (1 + rng.below(4) as i64) * DAY_MS;
        let shape = |status: &str, paid: &str| {
            format!(
                r#""invoice":{{"id":"i{number}","amount_minor":{},"currency":"EUR","issued_at":"{}","due_at":"{}"{paid},"status":"{status}"}}"#,
                1000 * (number + 1),
                rfc3339(issued),
                rfc3339(due)
            )
        };
        out.push(draft(1, account, &format!("i{number}a"), issued, &shape("open", "")));
        if rng.below(3) != 0 {
            let paid = due + (rng.below(14) as i64) * DAY_MS + 7 * HOUR_MS;
            let body = shape("paid", &format!(r#","paid_at":"{}""#, rfc3339(paid)));
            out.push(draft(1, account, &format!("i{number}b"), paid, &body));
        }
    }
}

fn tickets(rng: &mut Rng, account: &str, out: &mut Vec<Draft>) {
    for number in 0..1 + rng.below(3) {
        let opened = START_MS + rng.below(18) as i64 * DAY_MS + (rng.below(23) * HOUR_MS as u64) as i64;
        let due = opened + (4 + rng.below(40) as i64) * HOUR_MS;
        let priority = *rng.pick(&["normal", "high", "urgent"]);
        let shape = |status: &str, solved: &str| {
            format!(
                r#""ticket":{{"id":"t{number}","priority":"{priority}","status":"{status}","opened_at":"{}","resolve_due_at":"{}"{solved}}}"#,
                rfc3339(opened),
                rfc3339(due)
            )
        };
        out.push(draft(1, account, &format!("t{number}a"), opened, &shape("open", "")));
        if rng.below(4) != 0 {
            let solved = opened + (1 + rng.below(90) as i64) * HOUR_MS;
            let body = shape("solved", &format!(r#","solved_at":"{}""#, rfc3339(solved)));
            out.push(draft(1, account, &format!("t{number}b"), solved, &body));
        }
    }
}

/// Four days of use, an invoice nobody pays, a ticket nobody solves; then silence. The first
/// deadline that tells anything comes a day after the last event.
fn quiet_life(rng: &mut Rng, account: &str, out: &mut Vec<Draft>) {
    for day in 0..4 {
        let at = START_MS + day * DAY_MS + (8 * 60 + rng.below(240) as i64) * 60_000;
        out.push(draft(0, account, &format!("l{day}"), at, r#""login":{"user_id":"u0"}"#));
    }
    let issued = START_MS + DAY_MS + (8 + rng.below(8) as i64) * HOUR_MS;
    let due = issued + (2 + rng.below(3) as i64) * DAY_MS;
    let invoice = format!(
        r#""invoice":{{"id":"i0","amount_minor":5000,"currency":"EUR","issued_at":"{}","due_at":"{}","status":"open"}}"#,
        rfc3339(issued),
        rfc3339(due)
    );
    out.push(draft(1, account, "i0a", issued, &invoice));
    let opened = START_MS + 2 * DAY_MS + (8 + rng.below(8) as i64) * HOUR_MS;
    let due = opened + (60 + rng.below(100) as i64) * HOUR_MS;
    let ticket = format!(
        r#""ticket":{{"id":"t0","priority":"high","status":"open","opened_at":"{}","resolve_due_at":"{}"}}"#,
        rfc3339(opened),
        rfc3339(due)
    );
    out.push(draft(1, account, "t0a", opened, &ticket));
}

/// Sends some events again: soon (a duplicate), or days later (late, if it is a count); some of
/// them through the other topic.
fn repeat_some(rng: &mut Rng, drafts: &mut Vec<Draft>) {
    let mut again = Vec::new();
    for draft in drafts.iter() {
        let delay = match rng.below(12) {
            0 => (1 + rng.below(10) as i64) * HOUR_MS,
            1 => (3 + rng.below(4) as i64) * DAY_MS,
            _ => continue,
        };
        again.push(Draft {
            at_ms: draft.at_ms,
            place_ms: draft.place_ms + delay,
            topic: if rng.below(3) == 0 { 1 - draft.topic } else { draft.topic },
            account: draft.account.clone(),
            value: draft.value.clone(),
        });
    }
    drafts.append(&mut again);
}
