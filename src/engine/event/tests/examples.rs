//! Every field of every kind, written out in JSON and as a message, against the event by value.

use prost::Message;

use super::*;

/// The event in both encodings; `unknown` fields can only be counted in JSON.
#[track_caller]
fn check(body_json: &str, body_pb: pb::event::Body, expected: Body<'_>) {
    let expected = Event {
        id: "e1".into(),
        account: "acme".into(),
        occurred_at_ms: ms("2026-01-05T09:00:00Z"),
        version: Some(3),
        body: expected,
        unknown_fields: 0,
    };
    let json = event(&format!(r#""v":1,"version":3,{body_json}"#));
    assert_eq!(decode_json(json.as_bytes(), &KEY).as_ref(), Ok(&expected));
    let message = pb::Event {
        v: 1,
        id: "e1".into(),
        account_id: "acme".into(),
        occurred_at_ms: expected.occurred_at_ms,
        version: Some(3),
        body: Some(body_pb),
    };
    assert_eq!(decode_protobuf(&message.encode_to_vec(), &KEY), Ok(expected));
}

#[test]
fn login() {
    check(
        r#""login":{"user_id":"u1"}"#,
        pb::event::Body::Login(pb::Login { user_id: "u1".into() }),
        Body::Login(Login { user: KEY.pseudonym("u1") }),
    );
}

#[test]
fn usage() {
    check(
        r#""usage":{"user_id":"u1","feature":"export","count":7}"#,
        pb::event::Body::Usage(pb::Usage { user_id: "u1".into(), feature: "export".into(), count: 7 }),
        Body::Usage(Usage { user: Some(KEY.pseudonym("u1")), feature: "export".into(), count: 7 }),
    );
    check(
        r#""usage":{"feature":"api","user_id":null,"count":null}"#,
        pb::event::Body::Usage(pb::Usage { feature: "api".into(), ..Default::default() }),
        Body::Usage(Usage { user: None, feature: "api".into(), count: 1 }),
    );
}

#[test]
fn ticket() {
    let times = [
        "2026-01-01T10:00:00Z",
        "2026-01-02T10:00:00Z",
        "2026-01-03T10:00:00Z",
        "2026-01-04T10:00:00Z",
        "2026-01-05T10:00:00Z",
    ];
    let [opened, responded, response_due, resolve_due, solved] = times.map(ms);
    check(
        r#""ticket":{"id":"T-1","priority":"urgent","status":"closed",
            "opened_at":"2026-01-01T11:00:00+01:00","first_response_at":"2026-01-02T10:00:00.000Z",
            "first_response_due_at":"2026-01-03T10:00:00Z","resolve_due_at":"2026-01-04T10:00:00Z",
            "solved_at":"2026-01-05T10:00:00Z","escalated":true,"csat":4}"#,
        pb::event::Body::Ticket(pb::Ticket {
            id: "T-1".into(),
            priority: pb::Priority::Urgent.into(),
            status: pb::TicketStatus::Closed.into(),
            opened_at_ms: opened,
            first_response_at_ms: responded,
            first_response_due_at_ms: response_due,
            resolve_due_at_ms: resolve_due,
            solved_at_ms: solved,
            escalated: true,
            csat: 4,
        }),
        Body::Ticket(Ticket {
            id: "T-1".into(),
            priority: Priority::Urgent,
            status: TicketStatus::Solved,
            opened_at_ms: opened,
            first_response_at_ms: Some(responded),
            first_response_due_ms: Some(response_due),
            resolve_due_ms: Some(resolve_due),
            solved_at_ms: Some(solved),
            escalated: true,
            csat: Some(4),
        }),
    );
}

#[test]
fn ticket_defaults() {
    let opened = ms("2026-01-01T10:00:00Z");
    check(
        r#""ticket":{"id":"T-1","status":"open","opened_at":"2026-01-01T10:00:00Z"}"#,
        pb::event::Body::Ticket(pb::Ticket {
            id: "T-1".into(),
            status: pb::TicketStatus::Open.into(),
            opened_at_ms: opened,
            ..Default::default()
        }),
        Body::Ticket(Ticket {
            id: "T-1".into(),
            priority: Priority::Normal,
            status: TicketStatus::Open,
            opened_at_ms: opened,
            first_response_at_ms: None,
            first_response_due_ms: None,
            resolve_due_ms: None,
            solved_at_ms: None,
            escalated: false,
            csat: None,
        }),
    );
}

#[test]
fn invoice() {
    let [issued, due, paid] =
        ["2026-01-01T00:00:00Z", "2026-01-31T00:00:00Z", "2026-01-20T00:00:00Z"].map(ms);
    let mut message = pb::Invoice {
        id: "I-1".into(),
        amount_minor: Some(123_456),
        currency: "EUR".into(),
        issued_at_ms: issued,
        due_at_ms: due,
        paid_at_ms: paid,
        status: pb::InvoiceStatus::Disputed.into(),
    };
    let mut expected = Invoice {
        id: "I-1".into(),
        amount_minor: 123_456,
        currency: Currency(*b"EUR"),
        issued_at_ms: issued,
        due_at_ms: due,
        paid_at_ms: Some(paid),
        status: InvoiceStatus::Disputed,
    };
    let json = |amount: &str, rest: &str| {
        format!(
            r#""invoice":{{"id":"I-1","amount_minor":{amount},"currency":"EUR",
                "issued_at":"2026-01-01T00:00:00Z","due_at":"2026-01-31T00:00:00Z"{rest}}}"#
        )
    };
    let paid_json = r#","paid_at":"2026-01-20T00:00:00Z""#;
    check(
        &json(r#""123456""#, &format!(r#"{paid_json},"status":"disputed""#)),
        pb::event::Body::Invoice(message.clone()),
        Body::Invoice(expected.clone()),
    );
    // No status: paid, if it was paid; else open.
    message.status = 0;
    expected.status = InvoiceStatus::Paid;
    let body = pb::event::Body::Invoice(message.clone());
    check(&json("123456", paid_json), body, Body::Invoice(expected.clone()));
    message.paid_at_ms = 0;
    message.amount_minor = Some(0);
    expected.amount_minor = 0;
    expected.paid_at_ms = None;
    expected.status = InvoiceStatus::Open;
    check(&json("0", ""), pb::event::Body::Invoice(message), Body::Invoice(expected));
}

#[test]
fn survey() {
    check(
        r#""survey":{"id":"S-1","type":"nps","score":0,"respondent":"u9"}"#,
        pb::event::Body::Survey(pb::Survey {
            id: "S-1".into(),
            r#type: pb::SurveyType::Nps.into(),
            score: Some(0),
            respondent: "u9".into(),
        }),
        Body::Survey(Survey {
            id: "S-1".into(),
            survey: SurveyType::Nps,
            score: Some(0),
            respondent: Some(KEY.pseudonym("u9")),
        }),
    );
    check(
        r#""survey":{"id":"S-1","type":"ces"}"#,
        pb::event::Body::Survey(pb::Survey {
            id: "S-1".into(),
            r#type: pb::SurveyType::Ces.into(),
            ..Default::default()
        }),
        Body::Survey(Survey { id: "S-1".into(), survey: SurveyType::Ces, score: None, respondent: None }),
    );
}

#[test]
fn contact() {
    check(
        r#""contact":{"id":"C-1","role":"champion","status":"left","user_id":"u1"}"#,
        pb::event::Body::Contact(pb::Contact {
            id: "C-1".into(),
            role: pb::ContactRole::Champion.into(),
            status: pb::ContactStatus::Left.into(),
            user_id: "u1".into(),
        }),
        Body::Contact(Contact {
            id: "C-1".into(),
            role: ContactRole::Champion,
            status: ContactStatus::Left,
            user: Some(KEY.pseudonym("u1")),
        }),
    );
}

#[test]
fn contract() {
    let (start, end) = (ms("2026-01-01T00:00:00Z"), ms("2027-01-01T00:00:00Z"));
    check(
        r#""contract":{"id":"K-2","start_at":"2026-01-01T00:00:00Z","end_at":"2027-01-01T00:00:00Z",
            "recurring_minor":99000,"currency":"USD","billing":"monthly","seats":25,
            "status":"cancelled","renews":"K-1"}"#,
        pb::event::Body::Contract(pb::Contract {
            id: "K-2".into(),
            start_at_ms: start,
            end_at_ms: end,
            recurring_minor: Some(99_000),
            currency: "USD".into(),
            billing: pb::BillingPeriod::Monthly.into(),
            seats: Some(25),
            status: pb::ContractStatus::Cancelled.into(),
            renews: "K-1".into(),
        }),
        Body::Contract(Contract {
            id: "K-2".into(),
            start_ms: start,
            end_ms: Some(end),
            recurring_minor: 99_000,
            currency: Currency(*b"USD"),
            billing: BillingPeriod::Monthly,
            seats: Some(25),
            status: ContractStatus::Cancelled,
            renews: Some("K-1".into()),
        }),
    );
}

#[test]
fn account() {
    check(
        r#""account":{"name":"Acme GmbH","segment":"mid","industry":"retail","owner":"jo",
            "time_zone":"Europe/Berlin","lifecycle":"onboarding","parent":"holding",
            "entitled_features":["export","api"],"expected_weekly_users":5,"expected_monthly_users":9}"#,
        pb::event::Body::Account(pb::Account {
            name: Some("Acme GmbH".into()),
            segment: Some("mid".into()),
            industry: Some("retail".into()),
            owner: Some("jo".into()),
            time_zone: Some("Europe/Berlin".into()),
            lifecycle: Some("onboarding".into()),
            parent: Some("holding".into()),
            entitled_features: vec!["export".into(), "api".into()],
            expected_weekly_users: Some(5),
            expected_monthly_users: Some(9),
            clear: vec![],
        }),
        Body::Account(AccountUpdate {
            name: Patch::Set("Acme GmbH".into()),
            segment: Patch::Set("mid".into()),
            industry: Patch::Set("retail".into()),
            owner: Patch::Set("jo".into()),
            time_zone: Patch::Set("Europe/Berlin".into()),
            lifecycle: Patch::Set("onboarding".into()),
            parent: Patch::Set("holding".into()),
            entitled_features: Patch::Set(vec!["export".into(), "api".into()]),
            expected_weekly_users: Patch::Set(5),
            expected_monthly_users: Patch::Set(9),
        }),
    );
    check(
        r#""account":{"name":null,"entitled_features":[],"expected_weekly_users":0}"#,
        pb::event::Body::Account(pb::Account {
            clear: vec!["name".into(), "entitled_features".into()],
            expected_weekly_users: Some(0),
            ..Default::default()
        }),
        Body::Account(AccountUpdate {
            name: Patch::Cleared,
            entitled_features: Patch::Cleared,
            expected_weekly_users: Patch::Set(0),
            ..Default::default()
        }),
    );
}

#[test]
fn unknown_fields_are_ignored_and_counted() {
    let json = event(
        r#""trace":{"a":[1,{"b":null}]},"tags":["\u0041"],"usage":null,
           "login":{"user_id":"u1","device":"phone"}"#,
    );
    let decoded = decode_json(json.as_bytes(), &KEY).expect("an event");
    assert_eq!(decoded.unknown_fields, 3);
    assert_eq!(decoded.kind(), Kind::Login);
    let clear = vec!["mood".to_string()];
    let message = pb::Event {
        id: "e1".into(),
        account_id: "acme".into(),
        occurred_at_ms: ms("2026-01-05T09:00:00Z"),
        body: Some(pb::event::Body::Account(pb::Account { clear, ..Default::default() })),
        ..Default::default()
    };
    let bytes = message.encode_to_vec();
    assert_eq!(decode_protobuf(&bytes, &KEY).expect("an event").unknown_fields, 1);
}

#[test]
fn plain_strings_are_borrowed_and_escaped_ones_read_alike() {
    let plain = event(r#""usage":{"feature":"export"}"#);
    let escaped = plain.replace("export", r"\u0065xport").replace("feature", r"\u0066eature");
    let plain = decode_json(plain.as_bytes(), &KEY).expect("an event");
    assert_eq!(decode_json(escaped.as_bytes(), &KEY).as_ref(), Ok(&plain));
    assert!(matches!(plain.id, Cow::Borrowed(_)) && matches!(plain.account, Cow::Borrowed(_)));
    assert!(matches!(plain.body, Body::Usage(Usage { feature: Cow::Borrowed(_), .. })));
}

#[test]
fn times_are_read_to_the_millisecond() {
    let read = |at: &str| {
        let json = event(r#""login":{"user_id":"u1"}"#).replace("2026-01-05T09:00:00Z", at);
        decode_json(json.as_bytes(), &KEY).map(|event| event.occurred_at_ms)
    };
    let nine = ms("2026-01-05T09:00:00Z");
    for (at, offset) in [
        ("2026-01-05T09:00:00.5Z", 500),
        ("2026-01-05T09:00:00.123999999Z", 123),
        ("2026-01-05t09:00:00z", 0),
        ("2026-01-05 09:00:00Z", 0),
        ("2026-01-05T14:30:00+05:30", 0),
        ("2026-01-05T04:00:00.001-05:00", 1),
        ("2026-01-05T09:00:00+00:00", 0),
    ] {
        assert_eq!(read(at), Ok(nine + offset), "{at}");
    }
    assert_eq!((ms("1990-01-01T00:00:00Z"), ms("2200-01-01T00:00:00Z")), (MIN_TIME_MS, MAX_TIME_MS));
    assert_eq!(read("1990-01-01T00:00:00Z"), Ok(MIN_TIME_MS));
    assert_eq!(read("2199-12-31T23:59:59.999Z"), Ok(MAX_TIME_MS - 1));
}
