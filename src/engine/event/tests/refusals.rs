//! Malformed input, with the reason by value and the place its sentence names.

use super::Reason::{
    DuplicateField, InvalidField, MalformedJson, MalformedProtobuf, MissingField, UnknownKind,
    UnsupportedVersion,
};
use super::*;
use prost::Message;

const LOGIN: &str = r#""login":{"user_id":"u1"}"#;
const TICKET: &str = r#""id":"T-1","status":"open","opened_at":"2026-01-01T10:00:00Z""#;
const INVOICE: &str = r#""id":"I-1","amount_minor":5,"currency":"EUR","issued_at":"2026-01-01T00:00:00Z","due_at":"2026-01-31T00:00:00Z""#;
const CONTRACT: &str = r#""id":"K-1","start_at":"2026-01-01T00:00:00Z","recurring_minor":5,"currency":"EUR""#;

/// The JSON is refused for `reason`, with a sentence that starts with `place`.
#[track_caller]
fn check(json: &str, reason: Reason, place: &str) {
    let refusal = decode_json(json.as_bytes(), &KEY).expect_err(json);
    assert_eq!(refusal.reason, reason, "{json}: {refusal}");
    assert!(refusal.message.starts_with(place), "{json}: {refusal}");
    assert!(!refusal.message.contains("secret"), "{json}: {refusal}");
}

#[test]
fn malformed_json() {
    for json in [
        "",
        " ",
        "null",
        "1",
        "\"secret\"",
        "[]",
        "{",
        "{]",
        "{\"id\"}",
        "{\"id\":}",
        "{id:\"e1\"}",
        "{'id':'e1'}",
        "\u{feff}{}",
        &event(&format!("{LOGIN},")),
        &format!("{}x", event(LOGIN)),
        &format!("{0}{0}", event(LOGIN)),
        &event("\"login\":{\"user_id\":\"secret\u{1}\"}"),
        &event(r#""login":{"user_id":"secret\q"}"#),
        &event(r#""login":{"user_id":"\ud800"}"#),
        &event(r#""invoice":{"amount_minor":NaN}"#),
        &event(r#""invoice":{"amount_minor":1e999}"#),
        &event(r#""invoice":{"amount_minor":007}"#),
    ] {
        check(json, MalformedJson, "the value");
    }
    let latin1 = event(LOGIN).replace("acme", "?").into_bytes();
    let latin1: Vec<u8> = latin1.into_iter().map(|b| if b == b'?' { 0xfc } else { b }).collect();
    assert_eq!(decode_json(&latin1, &KEY).expect_err("not UTF-8").reason, MalformedJson);
}

#[test]
fn envelope() {
    let whole = event(LOGIN);
    let without = |part: &str| whole.replacen(part, "", 1);
    for (json, reason, place) in [
        ("{}".to_string(), MissingField, "id:"),
        (without(r#""id":"e1","#), MissingField, "id:"),
        (without(r#""account_id":"acme","#), MissingField, "account_id:"),
        (without(r#""occurred_at":"2026-01-05T09:00:00Z","#), MissingField, "occurred_at:"),
        (whole.replace(r#""e1""#, "null"), MissingField, "id:"),
        (whole.replace(r#""e1""#, "7"), InvalidField, "id:"),
        (whole.replace("e1", ""), InvalidField, "id:"),
        (whole.replace("e1", &"x".repeat(129)), InvalidField, "id:"),
        (whole.replace("e1", r"secret\n"), InvalidField, "id:"),
        (whole.replace("e1", r"secret\u0000"), InvalidField, "id:"),
        (whole.replace("e1", r"secret\u007f"), InvalidField, "id:"),
        (whole.replace("acme", "secret\u{85}"), InvalidField, "account_id:"),
        (whole.replace("acme", &"ü".repeat(65)), InvalidField, "account_id:"),
        (event(&format!(r#""version":-1,{LOGIN}"#)), InvalidField, "version:"),
        (event(&format!(r#""version":1.5,{LOGIN}"#)), InvalidField, "version:"),
        (event(&format!(r#""version":"+5",{LOGIN}"#)), InvalidField, "version:"),
        (event(&format!(r#""version":"18446744073709551616",{LOGIN}"#)), InvalidField, "version:"),
        (event(&format!(r#""version":{{"secret":1}},{LOGIN}"#)), InvalidField, "version:"),
        (event(&format!(r#""v":"1",{LOGIN}"#)), InvalidField, "v:"),
        (event(&format!(r#""v":2,{LOGIN}"#)), UnsupportedVersion, "v:"),
        (event(&format!(r#""v":0,{LOGIN}"#)), UnsupportedVersion, "v:"),
        (event(r#""login":{"person":"u1"},"v":2"#), UnsupportedVersion, "v:"),
        (event(r#""login":5,"v":3"#), UnsupportedVersion, "v:"),
        (event(&format!(r#"{LOGIN},"id":"e1""#)), DuplicateField, "id:"),
        (event(&format!(r#"{LOGIN},"\u0069d":null"#)), DuplicateField, "id:"),
        (event(&format!(r#""version":null,{LOGIN},"version":1"#)), DuplicateField, "version:"),
        (event(&format!("{LOGIN},{LOGIN}")), DuplicateField, "login:"),
        (event(&format!(r#""login":null,{LOGIN}"#)), DuplicateField, "login:"),
        (event(&format!(r#"{LOGIN},"usage":{{"feature":"x"}}"#)), InvalidField, "usage:"),
        (event(r#""milestone":{"id":"m1"}"#), UnknownKind, "the event has no body"),
        (event(r#""Login":{"user_id":"secret"}"#), UnknownKind, "the event has no body"),
        (event(r#""login":null"#), UnknownKind, "the event has no body"),
        (event(r#""login":"secret""#), InvalidField, "login:"),
        (event(r#""login":["secret"]"#), InvalidField, "login:"),
        (event(r#""login":true"#), InvalidField, "login:"),
        (event(r#""login":-1"#), InvalidField, "login:"),
        (event(r#""login":1.5"#), InvalidField, "login:"),
    ] {
        check(&json, reason, place);
    }
}

#[test]
fn times() {
    for at in [
        "",
        "2026-01-05",
        "2026-01-05T09:00:00",
        "2026-01-05T09:00Z",
        "20260105T090000Z",
        "2026-01-05T09:00:00+01",
        "2026-01-05T09:00:00+0100",
        "2026-01-05T09:00:00+01:00:00",
        "2026-01-05T09:00:00[Europe/Berlin]",
        "2026-01-05T10:00:00+01:00[Europe/Berlin]",
        "2026-01-05T09:00:00,5Z",
        "2026-02-30T09:00:00Z",
        "2026-01-05T25:00:00Z",
        "2026-13-05T09:00:00Z",
        "2026-01-05T09:00:00+99:00",
        "secret, which is text and no time",
        "1989-12-31T23:59:59.999Z",
        "2200-01-01T00:00:00Z",
        "-002026-01-05T09:00:00Z",
        "２０26-01-05T09:00:00Z",
    ] {
        check(&event(LOGIN).replace("2026-01-05T09:00:00Z", at), InvalidField, "occurred_at:");
    }
    let number = event(LOGIN).replace(r#""2026-01-05T09:00:00Z""#, "1767603600000");
    check(&number, InvalidField, "occurred_at: expected a time in RFC 3339 as a string, found");
}

#[test]
fn login_usage_survey_contact() {
    for (body, reason, place) in [
        (r#""login":{}"#, MissingField, "login.user_id:"),
        (r#""login":{"user_id":null}"#, MissingField, "login.user_id:"),
        (r#""login":{"user_id":""}"#, InvalidField, "login.user_id:"),
        (r#""login":{"user_id":"secret\t"}"#, InvalidField, "login.user_id:"),
        (r#""login":{"user_id":["secret"]}"#, InvalidField, "login.user_id:"),
        (r#""login":{"user_id":"a","user_id":"b"}"#, DuplicateField, "login.user_id:"),
        (r#""usage":{"user_id":"u1"}"#, MissingField, "usage.feature:"),
        (r#""usage":{"feature":""}"#, InvalidField, "usage.feature:"),
        (r#""usage":{"feature":"x","count":0}"#, InvalidField, "usage.count:"),
        (r#""usage":{"feature":"x","count":"2"}"#, InvalidField, "usage.count:"),
        (r#""usage":{"feature":"x","count":4294967296}"#, InvalidField, "usage.count:"),
        (r#""survey":{"type":"nps"}"#, MissingField, "survey.id:"),
        (r#""survey":{"id":"s"}"#, MissingField, "survey.type:"),
        (r#""survey":{"id":"s","type":"NPS"}"#, InvalidField, "survey.type: expected one of nps, csat, ces"),
        (r#""survey":{"id":"s","type":"nps","score":11}"#, InvalidField, "survey.score:"),
        (r#""survey":{"id":"s","type":"nps","score":-1}"#, InvalidField, "survey.score:"),
        (r#""survey":{"id":"s","type":"nps","score":9.5}"#, InvalidField, "survey.score:"),
        (r#""survey":{"score":0,"id":"s","type":"csat"}"#, InvalidField, "survey.score: expected 1 to 5"),
        (r#""survey":{"score":6,"id":"s","type":"csat"}"#, InvalidField, "survey.score: expected 1 to 5"),
        (r#""survey":{"id":"s","type":"ces","score":8}"#, InvalidField, "survey.score: expected 1 to 7"),
        (r#""survey":{"id":"s","type":"nps","respondent":"secret\n"}"#, InvalidField, "survey.respondent:"),
        (r#""contact":{"id":"c","role":"champion"}"#, MissingField, "contact.status:"),
        (r#""contact":{"id":"c","status":"left"}"#, MissingField, "contact.role:"),
        (r#""contact":{"id":"c","role":"secret","status":"left"}"#, InvalidField, "contact.role:"),
        (r#""contact":{"id":"c","role":1,"status":"left"}"#, InvalidField, "contact.role:"),
    ] {
        check(&event(body), reason, place);
    }
}

#[test]
fn ticket_invoice_contract_account() {
    let ticket = |rest: &str| event(&format!(r#""ticket":{{{TICKET}{rest}}}"#));
    let invoice = |rest: &str| event(&format!(r#""invoice":{{{INVOICE}{rest}}}"#));
    let contract = |rest: &str| event(&format!(r#""contract":{{{CONTRACT}{rest}}}"#));
    let account = |rest: &str| event(&format!(r#""account":{{{rest}}}"#));
    let solved = ticket("").replace(r#""open""#, r#""solved""#);
    let closed = ticket("").replace(r#""open""#, r#""closed""#);
    let many = format!(r#""entitled_features":[{}"f"]"#, r#""f","#.repeat(MAX_ENTITLED_FEATURES));
    for (json, reason, place) in [
        (solved, MissingField, "ticket.solved_at:"),
        (closed, MissingField, "ticket.solved_at:"),
        (ticket(r#","solved_at":"2026-01-01T09:59:59Z""#), InvalidField, "ticket.solved_at:"),
        (ticket(r#","first_response_at":"2025-01-01T09:00:00Z""#), InvalidField, "ticket.first_response_at:"),
        (ticket(r#","resolve_due_at":"soon""#), InvalidField, "ticket.resolve_due_at:"),
        (ticket(r#","priority":"p1""#), InvalidField, "ticket.priority:"),
        (ticket(r#","csat":0"#), InvalidField, "ticket.csat:"),
        (ticket(r#","csat":6"#), InvalidField, "ticket.csat:"),
        (ticket(r#","escalated":"yes""#), InvalidField, "ticket.escalated:"),
        (ticket(r#","escalated":1"#), InvalidField, "ticket.escalated:"),
        (invoice(r#","status":"paid""#), MissingField, "invoice.paid_at:"),
        (invoice(r#","status":"open","paid_at":"2026-01-02T00:00:00Z""#), InvalidField, "invoice.status:"),
        (invoice("").replace(":5", ":-5"), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", ":5.0"), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", ":1e3"), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", ":1000000000000001"), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", ":99999999999999999999999"), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", r#":"-5""#), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", r#":"NaN""#), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", r#":"5.00""#), InvalidField, "invoice.amount_minor:"),
        (invoice("").replace(":5", ":null"), MissingField, "invoice.amount_minor:"),
        (invoice("").replace("EUR", "eur"), InvalidField, "invoice.currency:"),
        (invoice("").replace("EUR", "EURO"), InvalidField, "invoice.currency:"),
        (invoice("").replace("EUR", "€"), InvalidField, "invoice.currency:"),
        (invoice("").replace("EUR", "EUX"), InvalidField, "invoice.currency:"),
        (contract("").replace("EUR", "ZZZ"), InvalidField, "contract.currency:"),
        (contract(r#","end_at":"2026-01-01T00:00:00Z""#), InvalidField, "contract.end_at:"),
        (contract(r#","renews":"K-1""#), InvalidField, "contract.renews:"),
        (contract(r#","billing":"weekly""#), InvalidField, "contract.billing:"),
        (contract(r#","seats":-1"#), InvalidField, "contract.seats:"),
        (contract("").replace(":5", ":-1"), InvalidField, "contract.recurring_minor:"),
        (account(r#""name":"""#), InvalidField, "account.name:"),
        (account(r#""name":"a\u001bsecret""#), InvalidField, "account.name:"),
        (account(&format!(r#""name":"{}""#, "x".repeat(257))), InvalidField, "account.name:"),
        (account(r#""name":null,"name":"secret""#), DuplicateField, "account.name:"),
        (account(r#""entitled_features":"secret""#), InvalidField, "account.entitled_features:"),
        (account(r#""entitled_features":["x",7]"#), InvalidField, "account.entitled_features:"),
        (account(r#""entitled_features":["x",["secret"]]"#), InvalidField, "account.entitled_features:"),
        (account(&many), InvalidField, "account.entitled_features:"),
        (account(r#""expected_weekly_users":"5""#), InvalidField, "account.expected_weekly_users:"),
    ] {
        check(&json, reason, place);
    }
}

#[test]
fn nesting_bombs_cost_no_stack() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let objects = format!("{}1{}", r#"{"id":"#.repeat(100_000), "}".repeat(100_000));
    for bomb in [&deep, &objects] {
        check(&event(&format!(r#""version":{bomb},{LOGIN}"#)), InvalidField, "version:");
        check(&event(&format!(r#""login":{{"user_id":{bomb}}}"#)), InvalidField, "login.user_id:");
    }
    check(&"[".repeat(200_000), MalformedJson, "the value");
    check(&r#"{"login":"#.repeat(100_000), MalformedJson, "the value");
    let json = event(&format!(r#"{LOGIN},"bomb":{deep}"#));
    assert_eq!(decode_json(json.as_bytes(), &KEY).expect("an event").unknown_fields, 1);
}

fn login() -> pb::Event {
    pb::Event {
        id: "e1".into(),
        account_id: "acme".into(),
        occurred_at_ms: ms("2026-01-05T09:00:00Z"),
        body: Some(pb::event::Body::Login(pb::Login { user_id: "u1".into() })),
        ..Default::default()
    }
}

#[test]
fn protobuf() {
    let account = |account| Some(pb::event::Body::Account(account));
    let ticket = |ticket| Some(pb::event::Body::Ticket(ticket));
    let name = |name: &str| Some(name.to_string());
    let cases: [(pb::Event, Reason, &str); 12] = [
        (pb::Event { v: 2, body: None, id: String::new(), ..login() }, UnsupportedVersion, "v:"),
        (pb::Event { id: String::new(), ..login() }, MissingField, "id:"),
        (pb::Event { id: "x".repeat(129), ..login() }, InvalidField, "id:"),
        (pb::Event { account_id: "a\n".into(), ..login() }, InvalidField, "account_id:"),
        (pb::Event { occurred_at_ms: 0, ..login() }, MissingField, "occurred_at:"),
        (pb::Event { occurred_at_ms: 1_767_603_600, ..login() }, InvalidField, "occurred_at:"),
        (pb::Event { occurred_at_ms: i64::MIN, ..login() }, InvalidField, "occurred_at:"),
        (pb::Event { body: None, ..login() }, UnknownKind, "the event has no body"),
        (
            pb::Event { body: ticket(pb::Ticket { status: 6, ..Default::default() }), ..login() },
            InvalidField,
            "ticket.status:",
        ),
        (
            pb::Event { body: ticket(pb::Ticket { status: -1, ..Default::default() }), ..login() },
            InvalidField,
            "ticket.status:",
        ),
        (
            pb::Event {
                body: account(pb::Account {
                    name: name("x"),
                    clear: vec!["name".into()],
                    ..Default::default()
                }),
                ..login()
            },
            DuplicateField,
            "account.name:",
        ),
        (
            pb::Event { body: account(pb::Account { name: name(""), ..Default::default() }), ..login() },
            InvalidField,
            "account.name:",
        ),
    ];
    for (message, reason, place) in cases {
        let refusal = decode_protobuf(&message.encode_to_vec(), &KEY).expect_err(place);
        assert_eq!(refusal.reason, reason, "{refusal}");
        assert!(refusal.message.starts_with(place), "{refusal}");
    }
    for bytes in [&b"{}"[..], b"\x00", b"\x12\x02\xff\xff", b"\x12\x7f"] {
        assert_eq!(decode_protobuf(bytes, &KEY).expect_err("not a message").reason, MalformedProtobuf);
    }
}

#[test]
fn truncated_anywhere_never_decodes() {
    let json =
        event(&format!(r#""v":1,"extra":{{"x":[1,2]}},"ticket":{{{TICKET},"csat":3,"escalated":true}}"#));
    assert!(decode_json(json.as_bytes(), &KEY).is_ok());
    for end in 0..json.len() {
        let refusal = decode_json(&json.as_bytes()[..end], &KEY).expect_err("truncated");
        assert_eq!(refusal.reason, MalformedJson, "{end}");
    }
    // Protobuf has no end mark: a cut between two fields is a message with fewer fields, so the
    // body must come last, as encoders write it, for a cut to be always noticed.
    let bytes = login().encode_to_vec();
    for end in 0..bytes.len() {
        assert!(decode_protobuf(&bytes[..end], &KEY).is_err(), "{end}");
    }
}
