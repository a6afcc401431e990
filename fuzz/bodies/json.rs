//! An event in JSON, from the message that says the same in protobuf: an encoder that shares no
//! code with the decoders.

use accountpulse::engine::event::pb;
use serde_json::{Map, Value, json};

/// Fields in order; what is null is left out.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    let given = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect())
}

/// A time; 0 is absent. Only for times that decode.
fn time(ms: i64) -> Value {
    match jiff::Timestamp::from_millisecond(ms) {
        Ok(at) if ms != 0 => json!(at.to_string()),
        _ => Value::Null,
    }
}

/// Text; empty is absent.
fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

/// A number; 0 is absent.
fn number(number: u32) -> Value {
    if number == 0 { Value::Null } else { json!(number) }
}

/// The name of an enum value without the prefix of its type; unspecified is absent.
fn name(full: &str, prefix: &str) -> Value {
    match full.strip_prefix(prefix) {
        None | Some("UNSPECIFIED") => Value::Null,
        Some(name) => json!(name.to_lowercase()),
    }
}

/// The event as one JSON object.
pub fn event(m: &pb::Event) -> Value {
    let mut event = object([
        ("v", number(m.v)),
        ("id", text(&m.id)),
        ("account_id", text(&m.account_id)),
        ("occurred_at", time(m.occurred_at_ms)),
        ("version", json!(m.version)),
    ]);
    if let (Some(body), Value::Object(fields)) = (&m.body, &mut event) {
        let (kind, body) = self::body(body);
        fields.insert(kind.to_owned(), body);
    }
    event
}

/// The kind of a body and its fields.
pub fn body(body: &pb::event::Body) -> (&'static str, Value) {
    use pb::event::Body;
    match body {
        Body::Login(m) => ("login", object([("user_id", text(&m.user_id))])),
        Body::Usage(m) => {
            let fields =
                [("user_id", text(&m.user_id)), ("feature", text(&m.feature)), ("count", number(m.count))];
            ("usage", object(fields))
        }
        Body::Ticket(m) => ("ticket", ticket(m)),
        Body::Invoice(m) => ("invoice", invoice(m)),
        Body::Survey(m) => {
            let fields = [
                ("id", text(&m.id)),
                ("type", name(m.r#type().as_str_name(), "SURVEY_TYPE_")),
                ("score", json!(m.score)),
                ("respondent", text(&m.respondent)),
            ];
            ("survey", object(fields))
        }
        Body::Contact(m) => {
            let fields = [
                ("id", text(&m.id)),
                ("role", name(m.role().as_str_name(), "CONTACT_ROLE_")),
                ("status", name(m.status().as_str_name(), "CONTACT_STATUS_")),
                ("user_id", text(&m.user_id)),
            ];
            ("contact", object(fields))
        }
        Body::Contract(m) => ("contract", contract(m)),
        Body::Account(m) => ("account", account(m)),
    }
}

fn ticket(m: &pb::Ticket) -> Value {
    object([
        ("id", text(&m.id)),
        ("priority", name(m.priority().as_str_name(), "PRIORITY_")),
        ("status", name(m.status().as_str_name(), "TICKET_STATUS_")),
        ("opened_at", time(m.opened_at_ms)),
        ("first_response_at", time(m.first_response_at_ms)),
        ("first_response_due_at", time(m.first_response_due_at_ms)),
        ("resolve_due_at", time(m.resolve_due_at_ms)),
        ("solved_at", time(m.solved_at_ms)),
        ("escalated", json!(m.escalated)),
        ("csat", number(m.csat)),
    ])
}

fn invoice(m: &pb::Invoice) -> Value {
    object([
        ("id", text(&m.id)),
        ("amount_minor", json!(m.amount_minor)),
        ("currency", text(&m.currency)),
        ("issued_at", time(m.issued_at_ms)),
        ("due_at", time(m.due_at_ms)),
        ("paid_at", time(m.paid_at_ms)),
        ("status", name(m.status().as_str_name(), "INVOICE_STATUS_")),
    ])
}

fn contract(m: &pb::Contract) -> Value {
    object([
        ("id", text(&m.id)),
        ("start_at", time(m.start_at_ms)),
        ("end_at", time(m.end_at_ms)),
        ("recurring_minor", json!(m.recurring_minor)),
        ("currency", text(&m.currency)),
        ("billing", name(m.billing().as_str_name(), "BILLING_PERIOD_")),
        ("seats", json!(m.seats)),
        ("status", name(m.status().as_str_name(), "CONTRACT_STATUS_")),
        ("renews", text(&m.renews)),
    ])
}

/// Here null is a value of its own: it clears. Names nobody knows clear nothing.
fn account(m: &pb::Account) -> Value {
    let features = if m.entitled_features.is_empty() { Value::Null } else { json!(m.entitled_features) };
    let fields = [
        ("name", json!(m.name)),
        ("segment", json!(m.segment)),
        ("industry", json!(m.industry)),
        ("owner", json!(m.owner)),
        ("time_zone", json!(m.time_zone)),
        ("lifecycle", json!(m.lifecycle)),
        ("parent", json!(m.parent)),
        ("entitled_features", features),
        ("expected_weekly_users", json!(m.expected_weekly_users)),
        ("expected_monthly_users", json!(m.expected_monthly_users)),
    ];
    let cleared = |name: &str| m.clear.iter().any(|other| other == name);
    let given = fields.into_iter().filter(|(name, value)| !value.is_null() || cleared(name));
    Value::Object(given.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
