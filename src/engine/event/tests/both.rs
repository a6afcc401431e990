//! The two encodings against each other: any valid message, written as JSON with its keys in any
//! order, decodes to the same event. And arbitrary bytes never panic.

use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};

use super::super::value::Choice;
use super::*;

/// Characters that need escaping, several bytes, or nothing special.
const TEXT: &str = "[a-zA-Z0-9 \"\\\\/é漢🦀_.:-]{1,30}";

fn time() -> impl Strategy<Value = i64> {
    MIN_TIME_MS..MAX_TIME_MS
}

/// Zero, or a time: protobuf's way to leave a time out.
fn maybe_time() -> impl Strategy<Value = i64> {
    prop_oneof![Just(0), time()]
}

fn maybe_text() -> impl Strategy<Value = String> {
    prop_oneof![Just(String::new()), TEXT]
}

fn money() -> impl Strategy<Value = Option<i64>> {
    (0..=MAX_AMOUNT_MINOR).prop_map(Some)
}

fn currency() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["EUR", "USD", "JPY", "KWD", "DEM"]).prop_map(str::to_owned)
}

fn ticket() -> impl Strategy<Value = pb::Ticket> {
    let times = (time(), maybe_time(), maybe_time(), maybe_time(), maybe_time());
    (TEXT, 0..=4_i32, 1..=5_i32, times, any::<bool>(), 0..=5_u32).prop_map(
        |(id, priority, status, (opened, responded, response_due, resolve_due, solved), escalated, csat)| {
            let solved = if matches!(status, 3 | 5) { solved.max(opened) } else { solved };
            let in_order = |at: i64| if at == 0 { 0 } else { at.max(opened) };
            pb::Ticket {
                id,
                priority,
                status,
                opened_at_ms: opened,
                first_response_at_ms: in_order(responded),
                first_response_due_at_ms: response_due,
                resolve_due_at_ms: resolve_due,
                solved_at_ms: in_order(solved),
                escalated,
                csat,
            }
        },
    )
}

fn invoice() -> impl Strategy<Value = pb::Invoice> {
    (TEXT, money(), currency(), time(), time(), maybe_time(), 0..=4_i32).prop_map(
        |(id, amount_minor, currency, issued_at_ms, due_at_ms, paid, status)| {
            let paid_at_ms = match status {
                1 => 0,
                2 => paid.max(MIN_TIME_MS),
                _ => paid,
            };
            pb::Invoice { id, amount_minor, currency, issued_at_ms, due_at_ms, paid_at_ms, status }
        },
    )
}

fn survey() -> impl Strategy<Value = pb::Survey> {
    (TEXT, 1..=3_i32, prop::option::of(1..=5_u32), maybe_text())
        .prop_map(|(id, r#type, score, respondent)| pb::Survey { id, r#type, score, respondent })
}

fn contract() -> impl Strategy<Value = pb::Contract> {
    let terms = (prop::option::of(any::<u32>()), 0..=2_i32, maybe_text(), 0..=3_i32);
    ("K[0-9]{1,5}", time(), any::<bool>(), money(), currency(), terms).prop_map(
        |(id, start, ends, recurring_minor, currency, (seats, status, renews, billing))| {
            let start_at_ms = start.min(MAX_TIME_MS - 2);
            let end_at_ms = if ends { start_at_ms + 1 } else { 0 };
            let renews = if renews == id { String::new() } else { renews };
            pb::Contract {
                id,
                start_at_ms,
                end_at_ms,
                recurring_minor,
                currency,
                billing,
                seats,
                status,
                renews,
            }
        },
    )
}

fn account() -> impl Strategy<Value = pb::Account> {
    let text = || prop::option::of(TEXT.prop_map(String::from));
    let number = || prop::option::of(any::<u32>());
    let texts = (text(), text(), text(), text(), text(), text(), text());
    (texts, prop::collection::vec(TEXT, 0..4), number(), number(), any::<[bool; 3]>()).prop_map(
        |(
            (name, segment, industry, owner, time_zone, lifecycle, parent),
            features,
            weekly,
            monthly,
            drop,
        )| {
            let unset = [
                ("owner", drop[0] && owner.is_none()),
                ("entitled_features", drop[1] && features.is_empty()),
                ("expected_weekly_users", drop[2] && weekly.is_none()),
            ];
            let clear = unset.into_iter().filter(|&(_, yes)| yes).map(|(name, _)| name.to_string()).collect();
            pb::Account {
                name,
                segment,
                industry,
                owner,
                time_zone,
                lifecycle,
                parent,
                entitled_features: features,
                expected_weekly_users: weekly,
                expected_monthly_users: monthly,
                clear,
            }
        },
    )
}

fn body() -> impl Strategy<Value = pb::event::Body> {
    use pb::event::Body;
    prop_oneof![
        TEXT.prop_map(|user_id| Body::Login(pb::Login { user_id })),
        (maybe_text(), TEXT, any::<u32>()).prop_map(|(user_id, feature, count)| Body::Usage(pb::Usage {
            user_id,
            feature,
            count
        })),
        ticket().prop_map(Body::Ticket),
        invoice().prop_map(Body::Invoice),
        survey().prop_map(Body::Survey),
        (TEXT, 1..=4_i32, 1..=3_i32, maybe_text())
            .prop_map(|(id, role, status, user_id)| Body::Contact(pb::Contact { id, role, status, user_id })),
        contract().prop_map(Body::Contract),
        account().prop_map(Body::Account),
    ]
}

pub(super) fn message() -> impl Strategy<Value = pb::Event> {
    (0..=1_u32, TEXT, TEXT, time(), prop::option::of(any::<u64>()), body()).prop_map(
        |(v, id, account_id, occurred_at_ms, version, body)| pb::Event {
            v,
            id,
            account_id,
            occurred_at_ms,
            version,
            body: Some(body),
        },
    )
}

/// How the encoder below writes what JSON leaves open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// By how much the keys are rotated.
    pub turn: usize,
    /// Whether 64-bit numbers are strings.
    pub quoted: bool,
    /// Whether absent fields are written as null.
    pub nulls: bool,
}

impl Style {
    fn wide(self, n: impl Into<i128>) -> Value {
        let n = n.into();
        match u64::try_from(n) {
            Ok(n) if !self.quoted => json!(n),
            _ => json!(n.to_string()),
        }
    }

    /// The object: absent values left out or null, keys rotated.
    fn object(self, mut fields: Vec<(&str, Value)>, nulls: bool) -> String {
        fields.retain(|(_, value)| nulls || !value.is_null());
        if !fields.is_empty() {
            let turn = self.turn % fields.len();
            fields.rotate_left(turn);
        }
        let entries: Vec<_> =
            fields.iter().map(|(key, value)| format!("{}:{value}", Value::from(*key))).collect();
        format!("{{{}}}", entries.join(", "))
    }
}

fn rfc3339(ms: i64) -> Value {
    if ms == 0 {
        return Value::Null;
    }
    json!(jiff::Timestamp::from_millisecond(ms).expect("in range").to_string())
}

fn present(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn positive(n: u32) -> Value {
    if n == 0 { Value::Null } else { json!(n) }
}

/// The JSON name of an enum value: its name in the schema without the prefix of its type.
fn enum_name(full: &str, prefix: &str) -> Value {
    match full.strip_prefix(prefix).expect("the prefix of its type") {
        "UNSPECIFIED" => Value::Null,
        name => json!(name.to_lowercase()),
    }
}

fn body_fields(body: &pb::event::Body, style: Style) -> (&'static str, Vec<(&str, Value)>) {
    use pb::event::Body;
    match body {
        Body::Login(m) => ("login", vec![("user_id", json!(m.user_id))]),
        Body::Usage(m) => (
            "usage",
            vec![
                ("user_id", present(&m.user_id)),
                ("feature", json!(m.feature)),
                ("count", positive(m.count)),
            ],
        ),
        Body::Ticket(m) => ("ticket", ticket_fields(m)),
        Body::Invoice(m) => (
            "invoice",
            vec![
                ("id", json!(m.id)),
                ("amount_minor", style.wide(m.amount_minor())),
                ("currency", json!(m.currency)),
                ("issued_at", rfc3339(m.issued_at_ms)),
                ("due_at", rfc3339(m.due_at_ms)),
                ("paid_at", rfc3339(m.paid_at_ms)),
                ("status", enum_name(m.status().as_str_name(), "INVOICE_STATUS_")),
            ],
        ),
        Body::Survey(m) => (
            "survey",
            vec![
                ("id", json!(m.id)),
                ("type", enum_name(m.r#type().as_str_name(), "SURVEY_TYPE_")),
                ("score", json!(m.score)),
                ("respondent", present(&m.respondent)),
            ],
        ),
        Body::Contact(m) => (
            "contact",
            vec![
                ("id", json!(m.id)),
                ("role", enum_name(m.role().as_str_name(), "CONTACT_ROLE_")),
                ("status", enum_name(m.status().as_str_name(), "CONTACT_STATUS_")),
                ("user_id", present(&m.user_id)),
            ],
        ),
        Body::Contract(m) => (
            "contract",
            vec![
                ("id", json!(m.id)),
                ("start_at", rfc3339(m.start_at_ms)),
                ("end_at", rfc3339(m.end_at_ms)),
                ("recurring_minor", style.wide(m.recurring_minor())),
                ("currency", json!(m.currency)),
                ("billing", enum_name(m.billing().as_str_name(), "BILLING_PERIOD_")),
                ("seats", json!(m.seats)),
                ("status", enum_name(m.status().as_str_name(), "CONTRACT_STATUS_")),
                ("renews", present(&m.renews)),
            ],
        ),
        Body::Account(m) => ("account", account_fields(m)),
    }
}

fn ticket_fields(m: &pb::Ticket) -> Vec<(&str, Value)> {
    vec![
        ("id", json!(m.id)),
        ("priority", enum_name(m.priority().as_str_name(), "PRIORITY_")),
        ("status", enum_name(m.status().as_str_name(), "TICKET_STATUS_")),
        ("opened_at", rfc3339(m.opened_at_ms)),
        ("first_response_at", rfc3339(m.first_response_at_ms)),
        ("first_response_due_at", rfc3339(m.first_response_due_at_ms)),
        ("resolve_due_at", rfc3339(m.resolve_due_at_ms)),
        ("solved_at", rfc3339(m.solved_at_ms)),
        ("escalated", json!(m.escalated)),
        ("csat", positive(m.csat)),
    ]
}

/// Only what is set or cleared: here null has a meaning of its own.
fn account_fields(m: &pb::Account) -> Vec<(&str, Value)> {
    let features = if m.entitled_features.is_empty() { Value::Null } else { json!(m.entitled_features) };
    let mut fields = vec![
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
    fields.retain(|(name, value)| !value.is_null() || m.clear.iter().any(|cleared| cleared == name));
    fields
}

pub(super) fn encode_json(m: &pb::Event, style: Style) -> String {
    let body = m.body.as_ref().expect("generated with a body");
    let (kind, fields) = body_fields(body, style);
    let body = style.object(fields, style.nulls || kind == "account");
    let body = serde_json::value::RawValue::from_string(body).expect("JSON");
    let envelope = style.object(
        vec![
            ("v", positive(m.v)),
            ("id", json!(m.id)),
            ("account_id", json!(m.account_id)),
            ("occurred_at", rfc3339(m.occurred_at_ms)),
            ("version", m.version.map_or(Value::Null, |version| style.wide(version))),
            // Replaced below, because a `Value` would sort the keys of the body.
            (kind, json!("BODY")),
        ],
        style.nulls,
    );
    envelope.replace("\"BODY\"", body.get())
}

proptest! {
    #[test]
    fn json_and_protobuf_decode_equal(m in message(), turn in 0..20_usize, quoted: bool, nulls: bool) {
        let text = encode_json(&m, Style { turn, quoted, nulls });
        let bytes = m.encode_to_vec();
        let from_json = decode_json(text.as_bytes(), &KEY);
        prop_assert!(from_json.is_ok(), "{text}: {from_json:?}");
        prop_assert_eq!(from_json, decode_protobuf(&bytes, &KEY), "{}", text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_json(&bytes, &KEY);
        let _ = decode_protobuf(&bytes, &KEY);
    }

    #[test]
    fn damaged_events_never_panic(m in message(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let style = Style { turn: 0, quoted: false, nulls: false };
        for mut bytes in [encode_json(&m, style).into_bytes(), m.encode_to_vec()] {
            let length = bytes.len();
            bytes[at.index(length)] = byte;
            let _ = decode_json(&bytes, &KEY);
            let _ = decode_protobuf(&bytes, &KEY);
            bytes.truncate(cut.index(length));
            let _ = decode_json(&bytes, &KEY);
            let _ = decode_protobuf(&bytes, &KEY);
        }
    }

    #[test]
    fn arbitrary_times_never_panic(text in "[0-9TtZz:+. -]{15,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}[.Z+-].{0,12}") {
        let json = event(r#""login":{"user_id":"u1"}"#);
        let time = Value::from(text).to_string();
        let _ = decode_json(json.replace("\"2026-01-05T09:00:00Z\"", &time).as_bytes(), &KEY);
    }
}

/// The decoder's table and the schema's enum have the same names at the same numbers.
fn same_names<T: Choice, E: TryFrom<i32>>(prefix: &str, name_of: impl Fn(E) -> &'static str) {
    for (number, (name, _)) in (1..).zip(T::TABLE) {
        let value = E::try_from(number).unwrap_or_else(|_| panic!("{prefix}: no number {number}"));
        assert_eq!(name_of(value), format!("{prefix}{}", name.to_uppercase()));
    }
    let next = i32::try_from(T::TABLE.len()).expect("small") + 1;
    assert!(E::try_from(next).is_err(), "{prefix}: number {next} is not in the decoder's table");
}

#[test]
fn enums_have_the_names_of_the_schema() {
    same_names::<Priority, pb::Priority>("PRIORITY_", |e| e.as_str_name());
    same_names::<TicketStatus, pb::TicketStatus>("TICKET_STATUS_", |e| e.as_str_name());
    same_names::<InvoiceStatus, pb::InvoiceStatus>("INVOICE_STATUS_", |e| e.as_str_name());
    same_names::<SurveyType, pb::SurveyType>("SURVEY_TYPE_", |e| e.as_str_name());
    same_names::<ContactRole, pb::ContactRole>("CONTACT_ROLE_", |e| e.as_str_name());
    same_names::<ContactStatus, pb::ContactStatus>("CONTACT_STATUS_", |e| e.as_str_name());
    same_names::<BillingPeriod, pb::BillingPeriod>("BILLING_PERIOD_", |e| e.as_str_name());
    same_names::<ContractStatus, pb::ContractStatus>("CONTRACT_STATUS_", |e| e.as_str_name());
}
