//! Accounts of which one knows exactly what must be told, by the wall's clock too: of deadlines
//! whose facts stood in the log before they were over, and of events that move a risk by themselves.

use std::collections::{BTreeMap, BTreeSet};

use accountpulse::engine::event::Kind;
use accountpulse::engine::partition::partition_of;
use accountpulse::engine::time::{DAY_MS, rfc3339};
use accountpulse::simulate::{Random, SimEvent};

use crate::readers::{Risk, Seen};
use crate::world::PARTITIONS;

/// Deadlines while things happen.
const DEADLINES: usize = 90;
/// When the first and the last of them are, after the beginning.
const FIRST_MS: i64 = 10_000;
const LAST_MS: i64 = 80_000;
/// Time between an event and its payment being late.
const GRACE_MS: i64 = 10 * DAY_MS;
/// How long a champion must be gone; longer than [`LAST_MS`], so that it went before the beginning.
pub const HOLD_S: i64 = 120;
const MINUTE_MS: i64 = 60_000;

/// What must be told of an account.
#[derive(Debug, Default)]
struct Expected {
    rule: &'static str,
    /// Of a deadline: when it is.
    due_ms: Option<i64>,
    /// The events that move it, in their order.
    causes: Vec<String>,
    /// What would end it.
    end: Option<&'static str>,
}

/// See the module.
pub struct Probes {
    accounts: BTreeMap<String, Expected>,
    live: usize,
}

fn event(account: &str, kind: Kind, id: &str, at_ms: i64, body: &str) -> SimEvent {
    let at = rfc3339(at_ms);
    let json = format!(r#"{{"id":"{id}","account_id":"{account}","occurred_at":"{at}",{body}}}"#);
    SimEvent { at_ms, account: account.into(), kind, json: json.into_bytes() }
}

fn ticket(account: &str, id: &str, at_ms: i64, due_ms: i64, solved: bool) -> SimEvent {
    let (opened, due) = (rfc3339(due_ms - 60 * MINUTE_MS), rfc3339(due_ms));
    let state = match solved {
        false => r#""status":"open""#.to_owned(),
        true => format!(r#""status":"solved","solved_at":"{}""#, rfc3339(at_ms)),
    };
    let body =
        format!(r#""ticket":{{"id":"t","opened_at":"{opened}","first_response_due_at":"{due}",{state}}}"#);
    event(account, Kind::Ticket, id, at_ms, &body)
}

fn invoice(account: &str, id: &str, at_ms: i64, due_ms: i64, paid: bool) -> SimEvent {
    let (issued, due) = (rfc3339(due_ms - GRACE_MS - 20 * DAY_MS), rfc3339(due_ms - GRACE_MS));
    let state = if paid { format!(r#","paid_at":"{}""#, rfc3339(at_ms)) } else { String::new() };
    let body = format!(
        r#""invoice":{{"id":"i","amount_minor":100,"currency":"EUR","issued_at":"{issued}","due_at":"{due}"{state}}}"#
    );
    event(account, Kind::Invoice, id, at_ms, &body)
}

fn champion(account: &str, id: &str, at_ms: i64, status: &str) -> SimEvent {
    let body = format!(r#""contact":{{"id":"c","role":"champion","status":"{status}"}}"#);
    event(account, Kind::Contact, id, at_ms, &body)
}

impl Probes {
    /// The probes with deadlines, and their facts, in order of time.
    pub fn new(start_ms: i64, random: &mut Random) -> (Probes, Vec<SimEvent>) {
        let mut probes = Probes { accounts: BTreeMap::new(), live: 0 };
        let mut facts = Vec::new();
        for number in 0..DEADLINES {
            let account = format!("deadline-{number}");
            let due_ms = start_ms + random.between(FIRST_MS, LAST_MS);
            let at_ms = start_ms - MINUTE_MS;
            let (rule, end) = match number % 3 {
                0 => {
                    facts.push(ticket(&account, "open", at_ms, due_ms, false));
                    ("sla_breach", Some("solved"))
                }
                1 => {
                    facts.push(invoice(&account, "open", at_ms, due_ms, false));
                    ("late_payment", Some("paid"))
                }
                _ => {
                    facts.push(champion(&account, "came", start_ms - DAY_MS, "active"));
                    facts.push(champion(&account, "went", due_ms - HOLD_S * 1000, "left"));
                    ("champion_departed", None)
                }
            };
            // Half of them are left as they are.
            let end = end.filter(|_| random.percent(50));
            probes.accounts.insert(account, Expected { rule, due_ms: Some(due_ms), causes: Vec::new(), end });
        }
        facts.sort_by_key(|event| event.at_ms);
        (probes, facts)
    }

    /// An event of now that starts a risk by itself.
    pub fn live(&mut self, now_ms: i64) -> SimEvent {
        let account = format!("live-{}", self.live);
        self.live += 1;
        let id = format!("{account}-unhappy");
        let body = r#""survey":{"id":"r","type":"nps","score":2,"respondent":"u"}"#;
        let told = event(&account, Kind::Survey, &id, now_ms, body);
        let expected = Expected { rule: "detractor", causes: vec![id], ..Expected::default() };
        self.accounts.insert(account, expected);
        told
    }

    /// What ends risks that were told, as people who read of them would.
    pub fn ends(&mut self, seen: &Seen, now_ms: i64) -> Vec<SimEvent> {
        let told: BTreeSet<&str> = seen.risks.iter().map(|risk| risk.text("account_id")).collect();
        let mut events = Vec::new();
        for (account, expected) in &mut self.accounts {
            let Some(due_ms) = expected.due_ms.filter(|_| told.contains(account.as_str())) else { continue };
            let Some(id) = expected.end.take() else { continue };
            events.push(match id {
                "solved" => ticket(account, id, now_ms, due_ms, true),
                _ => invoice(account, id, now_ms, due_ms, true),
            });
            expected.causes.push(id.to_owned());
        }
        events
    }

    /// How many transitions there must be.
    pub fn expected(&self) -> u64 {
        let of_account = |expected: &Expected| expected.causes.len() + usize::from(expected.due_ms.is_some());
        self.accounts.values().map(|expected| of_account(expected) as u64).sum()
    }

    /// How many of them were seen.
    pub fn told(&self, seen: &Seen) -> u64 {
        seen.risks.iter().filter(|risk| self.accounts.contains_key(risk.text("account_id"))).count() as u64
    }

    /// That exactly what must be told was told.
    pub fn assert_told(&self, seen: &Seen) {
        let mut told: BTreeMap<&str, Vec<&Risk>> = BTreeMap::new();
        for risk in &seen.risks {
            told.entry(risk.text("account_id")).or_default().push(risk);
        }
        for (account, expected) in &self.accounts {
            let found = told.remove(account.as_str()).unwrap_or_default();
            let started = expected.due_ms.map(|due_ms| (rfc3339(due_ms), String::new()));
            let caused = expected.causes.iter().map(|cause| (String::new(), cause.clone()));
            let wanted: Vec<(String, String)> = started.into_iter().chain(caused).collect();
            // Of a deadline the instant is known, of what an event moved the event.
            let shown = |risk: &&Risk| match risk.text("caused_by") {
                "" => (risk.text("at").to_owned(), String::new()),
                cause => (String::new(), cause.to_owned()),
            };
            assert_eq!(found.iter().map(shown).collect::<Vec<_>>(), wanted, "{account}: {found:#?}");
            let transitions = found.iter().map(|risk| (risk.text("rule"), risk.text("transition")));
            let lives = ["started", "resolved"].map(|transition| (expected.rule, transition));
            assert!(transitions.eq(lives.into_iter().take(wanted.len())), "{account}: {found:#?}");
        }
    }
}

/// One deadline in each partition at the same instant: told of, it shows how far all clocks are.
pub fn closing(now_ms: i64, due_ms: i64) -> Vec<SimEvent> {
    let of_partition = |partition| {
        let accounts = (0..).map(|number| format!("last-{number}"));
        accounts.into_iter().find(|id| partition_of(id.as_bytes(), PARTITIONS) == partition).unwrap()
    };
    (0..PARTITIONS).map(|partition| ticket(&of_partition(partition), "open", now_ms, due_ms, false)).collect()
}
