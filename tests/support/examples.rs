//! One valid event of each kind with every field given, as the generated messages hold it: what is
//! damaged in tests, and what the corpora of the fuzz targets begin with.

#![allow(dead_code, reason = "each test binary uses its part")]

use accountpulse::engine::event::pb;
use accountpulse::engine::event::pb::event::Body;

/// The name of each kind, in the order of [`events`].
pub const NAMES: [&str; 8] =
    ["login", "usage", "ticket", "invoice", "survey", "contact", "contract", "account"];

/// An event of each kind about `account` at `at_ms`, in the order of the kinds.
pub fn events(account: &str, at_ms: i64) -> Vec<pb::Event> {
    let event = |(number, body)| pb::Event {
        v: 1,
        id: format!("example-{number}"),
        account_id: account.to_owned(),
        occurred_at_ms: at_ms,
        version: Some(7),
        body: Some(body),
    };
    bodies(at_ms).into_iter().enumerate().map(event).collect()
}

fn bodies(at_ms: i64) -> [Body; 8] {
    let person = || "u-1842".to_owned();
    [
        Body::Login(pb::Login { user_id: person() }),
        Body::Usage(pb::Usage { user_id: person(), feature: "export".into(), count: 12 }),
        Body::Ticket(pb::Ticket {
            id: "T-1042".into(),
            priority: pb::Priority::Urgent.into(),
            status: pb::TicketStatus::Solved.into(),
            opened_at_ms: at_ms - 9_000_000,
            first_response_at_ms: at_ms - 8_000_000,
            first_response_due_at_ms: at_ms - 7_000_000,
            resolve_due_at_ms: at_ms + 1_000_000,
            solved_at_ms: at_ms,
            escalated: true,
            csat: 4,
        }),
        Body::Invoice(pb::Invoice {
            id: "INV-7".into(),
            amount_minor: Some(1_250_000),
            currency: "EUR".into(),
            issued_at_ms: at_ms - 9_000_000,
            due_at_ms: at_ms + 9_000_000,
            paid_at_ms: at_ms,
            status: pb::InvoiceStatus::Paid.into(),
        }),
        Body::Survey(pb::Survey {
            id: "resp-881".into(),
            r#type: pb::SurveyType::Nps.into(),
            score: Some(3),
            respondent: person(),
        }),
        Body::Contact(pb::Contact {
            id: "crm-0031".into(),
            role: pb::ContactRole::Champion.into(),
            status: pb::ContactStatus::Left.into(),
            user_id: person(),
        }),
        Body::Contract(pb::Contract {
            id: "K-2026".into(),
            start_at_ms: at_ms,
            end_at_ms: at_ms + 31_536_000_000,
            recurring_minor: Some(4_800_000),
            currency: "EUR".into(),
            billing: pb::BillingPeriod::Annual.into(),
            seats: Some(120),
            status: pb::ContractStatus::Active.into(),
            renews: "K-2025".into(),
        }),
        Body::Account(account()),
    ]
}

fn account() -> pb::Account {
    let text = |text: &str| Some(text.to_owned());
    pb::Account {
        name: text("Acme GmbH \u{e9}"),
        segment: text("mid"),
        industry: text("retail"),
        owner: text("j.doe"),
        time_zone: text("Europe/Berlin"),
        lifecycle: text("established"),
        parent: None,
        entitled_features: vec!["export".into(), "api".into()],
        expected_weekly_users: Some(20),
        expected_monthly_users: None,
        clear: vec!["parent".into(), "expected_monthly_users".into()],
    }
}

/// The message under the name of the event's kind, on its own.
pub fn body_bytes(event: &pb::Event) -> Vec<u8> {
    use prost::Message;
    match event.body.as_ref().unwrap() {
        Body::Login(m) => m.encode_to_vec(),
        Body::Usage(m) => m.encode_to_vec(),
        Body::Ticket(m) => m.encode_to_vec(),
        Body::Invoice(m) => m.encode_to_vec(),
        Body::Survey(m) => m.encode_to_vec(),
        Body::Contact(m) => m.encode_to_vec(),
        Body::Contract(m) => m.encode_to_vec(),
        Body::Account(m) => m.encode_to_vec(),
    }
}
