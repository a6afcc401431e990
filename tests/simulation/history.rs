//! A generated history: a few accounts, two input topics, events that make timers matter
//! (invoices nobody pays, tickets past their promise, accounts that go quiet), and dirt:
//! duplicates inside and beyond the horizon, disorder, records that are no events.

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

pub struct History {
    /// By topic, then partition, in offset order.
    pub records: Vec<Vec<Vec<SimRecord>>>,
    /// Time passes up to here after the last event.
    pub until_ms: i64,
    pub accounts: Vec<String>,
}

struct Draft {
    at_ms: i64,
    /// Place in its topic; differs from the event time for disorder and duplicates.
    place_ms: i64,
    topic: usize,
    account: String,
    value: String,
}

pub fn generate(seed: u64) -> History {
    let mut rng = Rng::new(seed ^ 0xacc0);
    let accounts: Vec<String> = (0..ACCOUNTS).map(|n| format!("acct-{seed}-{n}")).collect();
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
    drafts.sort_by(|a, b| (a.place_ms, &a.account, &a.value).cmp(&(b.place_ms, &b.account, &b.value)));
    let mut records = vec![vec![Vec::new(); PARTITIONS as usize]; TOPICS.len()];
    for draft in drafts {
        let partition = partition_of(draft.account.as_bytes(), PARTITIONS) as usize;
        let record = SimRecord::new(draft.at_ms, draft.account.as_bytes(), draft.value.as_bytes());
        let lane = &mut records[draft.topic][partition];
        lane.push(record);
        if rng.below(25) == 0 {
            lane.push(SimRecord::new(draft.at_ms, draft.account.as_bytes(), b"{\"broken\": "));
        }
    }
    History { records, until_ms: START_MS + (DAYS + 14) * DAY_MS, accounts }
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
        out.push(draft(0, account, &format!("l{day}"), at, &format!(r#""login":{{"user_id":"u{user}"}}"#)));
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

/// Sends some events again: soon (a duplicate), or days later (late, if it is a count).
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
            topic: draft.topic,
            account: draft.account.clone(),
            value: draft.value.clone(),
        });
    }
    drafts.append(&mut again);
}
