//! Generated histories: 500 days of three accounts, past every limit, with late events and old
//! duplicates, as JSON lines so that the laws hold for the decoder too.

use accountpulse::engine::event::{Event, PersonKey, decode_json};
use accountpulse::engine::limits::Limits;
use accountpulse::engine::{EngineConfig, Input, Shard, ShardId};
use proptest::prelude::*;
use std::sync::Arc;

pub const DAY_MS: i64 = 86_400_000;
pub const HOUR_MS: i64 = 3_600_000;
/// 2025-01-01T00:00:00Z.
pub const START_MS: i64 = 1_735_689_600_000;
pub const DAYS: i64 = 500;
pub const KEY: PersonKey = PersonKey::new([7; 16]);

/// One line of history.
#[derive(Clone, Debug)]
pub struct Line {
    pub at_ms: i64,
    pub input: u16,
    pub account: String,
    pub json: String,
}

impl Line {
    pub fn event(&self) -> Event<'_> {
        decode_json(self.json.as_bytes(), &KEY).expect("generated events are valid")
    }
}

#[derive(Clone, Debug)]
pub struct Seedling {
    pub account: u8,
    pub hour: i64,
    pub kind: u8,
    pub a: u8,
    pub b: u8,
    pub c: u8,
}

pub fn seedlings(most: usize) -> impl Strategy<Value = Vec<Seedling>> {
    let one = (0_u8..3, 0..DAYS * 24, 0_u8..18, any::<u8>(), any::<u8>(), any::<u8>());
    let one = one.prop_map(|(account, hour, kind, a, b, c)| Seedling { account, hour, kind, a, b, c });
    proptest::collection::vec(one, 4..most)
}

fn time(at_ms: i64) -> String {
    accountpulse::engine::time::rfc3339(at_ms)
}

/// The body of one event.
fn body(s: &Seedling, at_ms: i64) -> String {
    let Seedling { a, b, c, .. } = *s;
    let days = |n: u8| i64::from(n) * DAY_MS;
    match s.kind {
        0..=2 => format!(r#""login":{{"user_id":"u{}"}}"#, a % 7),
        3..=4 => format!(
            r#""usage":{{"user_id":"u{}","feature":"f{}","count":{}}}"#,
            a % 7,
            b % 6,
            1 + u32::from(c)
        ),
        5..=7 => {
            let opened = at_ms - i64::from(b) * HOUR_MS;
            let solved =
                if c % 4 == 3 { format!(r#","solved_at":"{}""#, time(at_ms)) } else { String::new() };
            format!(
                r#""ticket":{{"id":"t{}","priority":"{}","status":"{}","opened_at":"{}","resolve_due_at":"{}","first_response_due_at":"{}"{solved}}}"#,
                a % 7,
                ["low", "normal", "high", "urgent"][usize::from(b % 4)],
                ["open", "pending", "deleted", "solved"][usize::from(c % 4)],
                time(opened),
                time(opened + days(1 + a % 5)),
                time(opened + HOUR_MS * (1 + i64::from(b % 30))),
            )
        }
        8..=10 => {
            let due = at_ms + days(b % 40) - days(20);
            let paid = if c % 4 == 1 { format!(r#","paid_at":"{}""#, time(at_ms)) } else { String::new() };
            format!(
                r#""invoice":{{"id":"i{}","amount_minor":{},"currency":"{}","issued_at":"{}","due_at":"{}","status":"{}"{paid}}}"#,
                a % 7,
                u32::from(b) * 1000,
                ["EUR", "EUR", "USD"][usize::from(a % 3)],
                time(due - days(14)),
                time(due),
                ["open", "paid", "open", if c % 8 == 3 { "void" } else { "disputed" }][usize::from(c % 4)],
            )
        }
        11..=12 => format!(
            r#""survey":{{"id":"s{}","type":"nps","score":{},"respondent":"u{}"}}"#,
            a % 9,
            b % 11,
            c % 3
        ),
        13 => format!(
            r#""contact":{{"id":"c{}","role":"{}","status":"{}"}}"#,
            a % 6,
            ["champion", "champion", "sponsor"][usize::from(b % 3)],
            ["active", "moved", "left"][usize::from(c % 3)]
        ),
        14 => format!(
            r#""contract":{{"id":"k{}","start_at":"{}","end_at":"{}","recurring_minor":{},"currency":"EUR","seats":{}}}"#,
            a % 4,
            time(at_ms - days(b)),
            time(at_ms + days(c.max(1))),
            u32::from(b) * 10_000,
            1 + a % 12,
        ),
        _ => format!(
            r#""account":{{"name":"n{}","segment":{},"lifecycle":"{}","entitled_features":["f0","f{}"]}}"#,
            a % 4,
            if b % 3 == 0 { "null".to_owned() } else { format!("\"s{}\"", b % 3) },
            ["onboarding", "established"][usize::from(c % 2)],
            a % 6,
        ),
    }
}

fn line(s: &Seedling, id: &str, at_ms: i64) -> Line {
    let account = format!("acct-{}", s.account);
    let version = if s.a.is_multiple_of(11) { format!(r#""version":{},"#, s.b % 3) } else { String::new() };
    let json = format!(
        r#"{{"id":"{id}",{version}"account_id":"{account}","occurred_at":"{}",{}}}"#,
        time(at_ms),
        body(s, at_ms)
    );
    // Logins may come through two topics; the others have one each.
    let input = if s.kind <= 2 { u16::from(s.c % 2) } else { 2 + u16::from(s.kind) };
    Line { at_ms, input, account, json }
}

/// The history of some seedlings, in time order. Kinds 16 and 17 become weeks of daily use, so
/// that drops and silence happen.
pub fn history(seedlings: &[Seedling]) -> Vec<Line> {
    let mut lines = Vec::new();
    for (n, s) in seedlings.iter().enumerate() {
        let at_ms = START_MS + s.hour * HOUR_MS;
        if s.kind < 16 {
            lines.push(line(s, &format!("e{n}"), at_ms));
            continue;
        }
        for day in 0..i64::from(s.a % 80) {
            let daily = Seedling { kind: 3, c: 4 + s.c % 8, a: s.a.wrapping_add(day as u8), ..s.clone() };
            lines.push(line(&daily, &format!("e{n}-{day}"), at_ms + day * DAY_MS));
        }
    }
    lines.sort_by_key(|line| line.at_ms);
    lines
}

/// Limits small enough that every history runs past them.
pub fn tight() -> Limits {
    Limits {
        people: 4,
        features: 4,
        tickets: 4,
        invoices: 4,
        surveys: 5,
        contacts: 4,
        contracts: 3,
        ..Limits::default()
    }
}

pub fn config() -> Arc<EngineConfig> {
    Arc::new(EngineConfig { limits: tight(), ..EngineConfig::default() })
}

pub fn shard() -> Shard {
    Shard::new(config(), ShardId { partition: 0, partitions: 1 })
}

/// Applies a line as a worker in event time does: deadlines before it first.
pub fn apply(shard: &mut Shard, line: &Line) {
    shard.advance(line.at_ms - 1, usize::MAX);
    shard.apply(Input(line.input), &line.event()).expect("three accounts fit");
}

/// All pages of a shard, in order.
pub fn pages(shard: &Shard) -> Vec<Vec<u8>> {
    (0..=255).map(|page| shard.encode_page(accountpulse::engine::PageId(page))).collect()
}
