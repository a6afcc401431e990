//! The benchmark workload, fixed so that figures can be compared: five kinds (login 70 %, usage
//! 10, ticket 10, invoice 8, survey 2), JSON of 235 bytes in the mean, 100,000 accounts of 2 to
//! 200 users each, chosen by Zipf's law with exponent 1, event time ascending over 60 days.

use std::io::{self, Write};

use super::calendar::{DAY_MS, HOUR_MS, push_time};
use super::random::Random;
use crate::engine::event::Kind;

/// Share of each kind, in percent.
const SHARES: [(Kind, u64); 5] =
    [(Kind::Login, 70), (Kind::Usage, 10), (Kind::Ticket, 10), (Kind::Invoice, 8), (Kind::Survey, 2)];
/// Fewest and most users of an account.
const USERS: (u64, u64) = (2, 200);
/// Features in use.
const FEATURES: [&str; 6] = ["dashboards", "reports", "search", "exports", "alerts", "automations"];

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadOptions {
    /// The same seed gives the same bytes.
    pub seed: u64,
    /// Number of events.
    pub events: u64,
    /// Number of accounts; 0 counts as 1.
    pub accounts: u32,
    /// Event time of the first event, UTC milliseconds.
    pub start_ms: i64,
    /// Event time the events spread over, in days.
    pub days: u32,
}

impl WorkloadOptions {
    /// The fixed workload with `events` events.
    pub fn new(seed: u64, events: u64) -> WorkloadOptions {
        // 2026-01-05T00:00:00Z, a Monday.
        WorkloadOptions { seed, events, accounts: 100_000, start_ms: 1_767_571_200_000, days: 60 }
    }
}

/// What is known of a generated event beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkloadEvent {
    /// When it happened, UTC milliseconds.
    pub at_ms: i64,
    /// Number of the account; its id is written by [`Workload::push_account_id`]. 0 is the busiest.
    pub account: u32,
    /// The kind.
    pub kind: Kind,
}

/// What was last said about the newest ticket or invoice of an account.
#[derive(Clone, Copy, Debug, Default)]
struct Latest {
    number: u32,
    opened_ms: i64,
    is_open: bool,
}

/// Generator of the workload.
#[derive(Debug)]
pub struct Workload {
    options: WorkloadOptions,
    random: Random,
    zipf: Zipf,
    tickets: Vec<Latest>,
    invoices: Vec<Latest>,
    made: u64,
}

impl Workload {
    /// A generator at its first event.
    pub fn new(options: WorkloadOptions) -> Workload {
        let accounts = options.accounts.max(1);
        Workload {
            options,
            random: Random::new(options.seed),
            zipf: Zipf::new(accounts),
            tickets: vec![Latest::default(); accounts as usize],
            invoices: vec![Latest::default(); accounts as usize],
            made: 0,
        }
    }

    /// Appends the id of an account: the record key.
    pub fn push_account_id(account: u32, buf: &mut Vec<u8>) {
        buf.extend_from_slice(b"account-");
        push_padded(buf, u64::from(account), 8);
    }

    /// Appends the next event as JSON, without a line end; `None` after the last.
    pub fn next_into(&mut self, buf: &mut Vec<u8>) -> Option<WorkloadEvent> {
        if self.made == self.options.events {
            return None;
        }
        let at_ms = self.time_of_next();
        self.made += 1;
        let account = self.zipf.draw(&mut self.random);
        let kind = self.draw_kind();
        buf.extend_from_slice(b"{\"v\":1,\"id\":\"");
        buf.extend_from_slice(kind.name().as_bytes());
        buf.push(b'-');
        push_uuid(buf, self.random.bits(), self.random.bits());
        buf.extend_from_slice(b"\",\"account_id\":\"");
        Workload::push_account_id(account, buf);
        time_field(buf, "\",\"occurred_at\":\"", at_ms);
        buf.extend_from_slice(b"\",\"");
        buf.extend_from_slice(kind.name().as_bytes());
        buf.extend_from_slice(b"\":{");
        match kind {
            Kind::Ticket => self.ticket(account, at_ms, buf),
            Kind::Invoice => self.invoice(account, at_ms, buf),
            Kind::Survey => self.survey(account, buf),
            Kind::Usage => self.usage(account, buf),
            _ => self.user(account, "\"user_id\":\"", buf),
        }
        buf.extend_from_slice(b"}}");
        Some(WorkloadEvent { at_ms, account, kind })
    }

    /// Writes all events that are left, one a line.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write_jsonl(&mut self, out: &mut dyn Write) -> io::Result<()> {
        const CHUNK_BYTES: usize = 1 << 20;
        let mut buf = Vec::with_capacity(CHUNK_BYTES + 1024);
        while self.next_into(&mut buf).is_some() {
            buf.push(b'\n');
            if buf.len() >= CHUNK_BYTES {
                out.write_all(&buf)?;
                buf.clear();
            }
        }
        out.write_all(&buf)
    }

    /// Events stand in equal steps, each somewhere within its step.
    fn time_of_next(&mut self) -> i64 {
        let span_ms = i128::from(self.options.days) * i128::from(DAY_MS);
        let events = i128::from(self.options.events.max(1));
        let edge = |step: u64| (span_ms * i128::from(step) / events) as i64;
        let (low, high) = (edge(self.made), edge(self.made + 1));
        self.options.start_ms + self.random.between(low, (high - 1).max(low))
    }

    fn draw_kind(&mut self) -> Kind {
        let mut lot = self.random.below(100);
        for (kind, share) in SHARES {
            if lot < share {
                return kind;
            }
            lot -= share;
        }
        Kind::Login
    }

    fn user(&mut self, account: u32, field: &str, buf: &mut Vec<u8>) {
        // The size of an account is a function of its number.
        let users = USERS.0 + Random::for_part(0, u64::from(account), 0).below(USERS.1 - USERS.0 + 1);
        let mut person = Random::for_part(1, u64::from(account), self.random.below(users));
        buf.extend_from_slice(field.as_bytes());
        buf.extend_from_slice(b"workspace_user_");
        push_uuid(buf, person.bits(), person.bits());
        buf.push(b'"');
    }

    fn usage(&mut self, account: u32, buf: &mut Vec<u8>) {
        self.user(account, "\"user_id\":\"", buf);
        buf.extend_from_slice(b",\"feature\":\"");
        buf.extend_from_slice(self.random.pick(&FEATURES).as_bytes());
        buf.extend_from_slice(b"\",\"count\":");
        push_padded(buf, self.random.between(1, 9).unsigned_abs(), 1);
    }

    /// Opens a ticket, or solves the one that is open.
    fn ticket(&mut self, account: u32, at_ms: i64, buf: &mut Vec<u8>) {
        // Accounts are drawn below the length of both tables.
        let latest = &mut self.tickets[account as usize];
        let solves = step(latest, at_ms);
        let Latest { number, opened_ms, .. } = *latest;
        buf.extend_from_slice(b"\"id\":\"ticket-");
        push_padded(buf, u64::from(account), 8);
        buf.push(b'-');
        push_padded(buf, u64::from(number), 6);
        buf.extend_from_slice(b"\",\"priority\":\"");
        // Fixed per ticket, so that its solution has the same.
        let priority =
            ["low", "normal", "normal", "high", "urgent"][(number.wrapping_add(account) % 5) as usize];
        buf.extend_from_slice(priority.as_bytes());
        buf.extend_from_slice(b"\",\"status\":\"");
        buf.extend_from_slice(if solves { b"solved" } else { b"open" });
        time_field(buf, "\",\"opened_at\":\"", opened_ms);
        time_field(buf, "\",\"first_response_due_at\":\"", opened_ms + 8 * HOUR_MS);
        time_field(buf, "\",\"resolve_due_at\":\"", opened_ms + 5 * DAY_MS);
        if solves {
            time_field(buf, "\",\"first_response_at\":\"", (opened_ms + HOUR_MS).min(at_ms));
            time_field(buf, "\",\"solved_at\":\"", at_ms);
        }
        buf.push(b'"');
    }

    /// Issues an invoice, or pays the one that is open.
    fn invoice(&mut self, account: u32, at_ms: i64, buf: &mut Vec<u8>) {
        // Accounts are drawn below the length of both tables.
        let latest = &mut self.invoices[account as usize];
        let pays = step(latest, at_ms);
        let Latest { number, opened_ms, .. } = *latest;
        buf.extend_from_slice(b"\"id\":\"invoice-");
        push_padded(buf, u64::from(account), 8);
        buf.push(b'-');
        push_padded(buf, u64::from(number), 6);
        buf.extend_from_slice(b"\",\"amount_minor\":");
        push_padded(buf, 100_000 + u64::from(account) * 7, 6);
        buf.extend_from_slice(b",\"currency\":\"USD");
        time_field(buf, "\",\"issued_at\":\"", opened_ms);
        time_field(buf, "\",\"due_at\":\"", opened_ms + 30 * DAY_MS);
        if pays {
            time_field(buf, "\",\"paid_at\":\"", at_ms);
        }
        buf.extend_from_slice(b"\",\"status\":\"");
        buf.extend_from_slice(if pays { b"paid\"" } else { b"open\"" });
    }

    fn survey(&mut self, account: u32, buf: &mut Vec<u8>) {
        buf.extend_from_slice(b"\"id\":\"response-");
        push_uuid(buf, self.random.bits(), self.random.bits());
        buf.extend_from_slice(b"\",\"type\":\"nps\",\"score\":");
        let score = [10, 9, 9, 8, 8, 7, 10, 9, 6, 3][self.random.below(10) as usize];
        push_padded(buf, score, 1);
        self.user(account, ",\"respondent\":\"", buf);
    }
}

/// Turns to the next entity, or closes the open one (returns true).
fn step(latest: &mut Latest, at_ms: i64) -> bool {
    let closes = latest.is_open;
    if !closes {
        *latest = Latest { number: latest.number + 1, opened_ms: at_ms, is_open: true };
    } else {
        latest.is_open = false;
    }
    closes
}

fn time_field(buf: &mut Vec<u8>, field: &str, at_ms: i64) {
    buf.extend_from_slice(field.as_bytes());
    push_time(buf, at_ms);
}

/// Appends a decimal number with at least `width` digits.
fn push_padded(buf: &mut Vec<u8>, mut value: u64, width: usize) {
    let start = buf.len();
    while value > 0 || buf.len() - start < width {
        buf.push(b'0' + (value % 10) as u8);
        value /= 10;
    }
    buf[start..].reverse();
}

/// Appends 128 bits in the shape of a UUID.
fn push_uuid(buf: &mut Vec<u8>, high: u64, low: u64) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    for nibble in 0..32u32 {
        if matches!(nibble, 8 | 12 | 16 | 20) {
            buf.push(b'-');
        }
        let half = if nibble < 16 { high } else { low };
        // Four bits index sixteen digits.
        buf.push(HEX[(half >> (60 - nibble % 16 * 4) & 15) as usize]);
    }
}

/// Zipf's law with exponent 1 over `0..n`, in constant time per draw: Vose's alias method. Each
/// slot belongs to one number up to `keep`, and to its alias above.
#[derive(Debug)]
struct Zipf {
    slots: Vec<(f64, u32)>,
}

impl Zipf {
    fn new(n: u32) -> Zipf {
        let total: f64 = (1..=n).map(|rank| 1.0 / f64::from(rank)).sum();
        let mut slots: Vec<(f64, u32)> =
            (0..n).map(|rank| (f64::from(n) / (f64::from(rank + 1) * total), rank)).collect();
        // Weights fall with rank, so all numbers with too much come first.
        let (mut poor, mut rich): (Vec<u32>, Vec<u32>) =
            (0..n).partition(|rank| slots[*rank as usize].0 < 1.0);
        while let (Some(needs), Some(gives)) = (poor.pop(), rich.last().copied()) {
            let missing = 1.0 - slots[needs as usize].0;
            slots[needs as usize].1 = gives;
            slots[gives as usize].0 -= missing;
            if slots[gives as usize].0 < 1.0 {
                rich.pop();
                poor.push(gives);
            }
        }
        Zipf { slots }
    }

    fn draw(&self, random: &mut Random) -> u32 {
        let slot = random.below(self.slots.len() as u64);
        // `slot` is below the length.
        let (keep, alias) = self.slots[slot as usize];
        if random.unit() < keep { slot as u32 } else { alias }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::engine::event::{PersonKey, decode_json};

    fn check_close(what: &str, got: f64, want: f64, tolerance: f64) {
        assert!((got - want).abs() <= tolerance, "{what}: got {got}, want {want} ± {tolerance}");
    }

    #[test]
    fn shares_sizes_and_skew_are_the_fixed_ones() {
        const EVENTS: u64 = 200_000;
        let options = WorkloadOptions::new(7, EVENTS);
        let mut workload = Workload::new(options);
        let (mut kinds, mut head, mut bytes, mut previous_ms) = (BTreeMap::new(), [0u32; 3], 0, 0);
        let mut buf = Vec::new();
        while let Some(event) = workload.next_into(&mut buf) {
            assert!(event.at_ms >= previous_ms);
            previous_ms = event.at_ms;
            *kinds.entry(event.kind).or_insert(0u32) += 1;
            if let Some(count) = head.get_mut(event.account as usize) {
                *count += 1;
            }
            bytes += buf.len();
            buf.clear();
        }
        let share = |count: u32| 100.0 * f64::from(count) / EVENTS as f64;
        for (kind, want) in SHARES {
            check_close(kind.name(), share(kinds[&kind]), want as f64, 0.4);
        }
        check_close("mean bytes", bytes as f64 / EVENTS as f64, 235.0, 3.0);
        // The harmonic number of 100,000 is 12.09.
        for (count, want) in head.into_iter().zip([8.27, 4.14, 2.76]) {
            check_close("head of Zipf", share(count), want, 0.25);
        }
        let span_days = (previous_ms - options.start_ms) as f64 / DAY_MS as f64;
        check_close("days", span_days, 60.0, 0.01);
    }

    #[test]
    fn every_line_decodes() {
        let mut workload = Workload::new(WorkloadOptions { accounts: 9, ..WorkloadOptions::new(3, 5000) });
        let mut lines = Vec::new();
        workload.write_jsonl(&mut lines).unwrap();
        let lines = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let mut count = 0;
        for line in lines {
            let event = decode_json(line, &PersonKey::new([7; 16])).unwrap();
            assert_eq!(event.unknown_fields, 0);
            count += 1;
        }
        assert_eq!(count, 5000);
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bytes = |seed| {
            let mut out = Vec::new();
            Workload::new(WorkloadOptions::new(seed, 500)).write_jsonl(&mut out).unwrap();
            out
        };
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn an_account_has_2_to_200_users() {
        let mut workload = Workload::new(WorkloadOptions { accounts: 1, ..WorkloadOptions::new(1, 0) });
        let mut users = std::collections::BTreeSet::new();
        for _ in 0..5000 {
            let mut buf = Vec::new();
            workload.user(0, "", &mut buf);
            users.insert(buf);
        }
        assert!((2..=200).contains(&users.len()), "{}", users.len());
    }
}
