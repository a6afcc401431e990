//! Events of the benchmark workload in protobuf: the JSON the generator writes, as the message a
//! producer with the schema would send. It knows the five kinds of that workload only.

use accountpulse::engine::event::pb;
use serde_json::Value;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn ms(value: &Value) -> i64 {
    value.as_str().and_then(|at| at.parse::<jiff::Timestamp>().ok()).map_or(0, |at| at.as_millisecond())
}

fn small(value: &Value) -> u32 {
    value.as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or(0)
}

/// The number of an enum value of that name.
fn code(value: &Value, prefix: &str, of: fn(&str) -> Option<i32>) -> i32 {
    value.as_str().and_then(|name| of(&format!("{prefix}{}", name.to_uppercase()))).unwrap_or(0)
}

/// The event of a JSON line as a message.
pub fn to_message(event: &Value) -> pb::Event {
    let body = if let Some(m) = event.get("login") {
        pb::event::Body::Login(pb::Login { user_id: text(&m["user_id"]) })
    } else if let Some(m) = event.get("usage") {
        let (user_id, feature) = (text(&m["user_id"]), text(&m["feature"]));
        pb::event::Body::Usage(pb::Usage { user_id, feature, count: small(&m["count"]) })
    } else if let Some(m) = event.get("ticket") {
        pb::event::Body::Ticket(ticket(m))
    } else if let Some(m) = event.get("invoice") {
        pb::event::Body::Invoice(pb::Invoice {
            id: text(&m["id"]),
            amount_minor: m["amount_minor"].as_i64(),
            currency: text(&m["currency"]),
            issued_at_ms: ms(&m["issued_at"]),
            due_at_ms: ms(&m["due_at"]),
            paid_at_ms: ms(&m["paid_at"]),
            status: code(&m["status"], "INVOICE_STATUS_", |name| {
                pb::InvoiceStatus::from_str_name(name).map(i32::from)
            }),
        })
    } else {
        let m = &event["survey"];
        pb::event::Body::Survey(pb::Survey {
            id: text(&m["id"]),
            r#type: code(&m["type"], "SURVEY_TYPE_", |name| {
                pb::SurveyType::from_str_name(name).map(i32::from)
            }),
            score: m["score"].as_u64().map(|_| small(&m["score"])),
            respondent: text(&m["respondent"]),
        })
    };
    pb::Event {
        v: small(&event["v"]),
        id: text(&event["id"]),
        account_id: text(&event["account_id"]),
        occurred_at_ms: ms(&event["occurred_at"]),
        version: event["version"].as_u64(),
        body: Some(body),
    }
}

fn ticket(m: &Value) -> pb::Ticket {
    pb::Ticket {
        id: text(&m["id"]),
        priority: code(&m["priority"], "PRIORITY_", |name| pb::Priority::from_str_name(name).map(i32::from)),
        status: code(&m["status"], "TICKET_STATUS_", |name| {
            pb::TicketStatus::from_str_name(name).map(i32::from)
        }),
        opened_at_ms: ms(&m["opened_at"]),
        first_response_at_ms: ms(&m["first_response_at"]),
        first_response_due_at_ms: ms(&m["first_response_due_at"]),
        resolve_due_at_ms: ms(&m["resolve_due_at"]),
        solved_at_ms: ms(&m["solved_at"]),
        escalated: m["escalated"].as_bool().unwrap_or(false),
        csat: small(&m["csat"]),
    }
}
