//! JSON objects whose fields are missing, of another type, out of their range, or in contradiction.

use accountpulse::engine::event::Reason::{
    DuplicateField, InvalidField, MissingField, UnknownKind, UnsupportedVersion,
};

use super::{LOGIN, Near, Row};

/// Another id than the good one's.
fn id(near: &Near, id: &str) -> String {
    near.login().replacen(&format!("bad-{}", near.n), id, 1)
}

/// Another time than the good one's.
fn at(near: &Near, at: &str) -> String {
    near.login().replacen(&near.at(), at, 1)
}

/// One more field in the envelope.
fn with(near: &Near, field: &str) -> String {
    near.event(&format!("{field},{LOGIN}"))
}

fn without(near: &Near, field: &str) -> String {
    let whole = near.login();
    let from = whole.find(&format!("\"{field}\":")).unwrap();
    let to = from + whole[from..].find(',').unwrap() + 1;
    format!("{}{}", &whole[..from], &whole[to..])
}

pub const ENVELOPE: &[Row<String>] = &[
    ("an empty object", MissingField, |_| "{}".to_owned()),
    ("no id", MissingField, |near| without(near, "id")),
    ("no account_id", MissingField, |near| without(near, "account_id")),
    ("no occurred_at", MissingField, |near| without(near, "occurred_at")),
    ("an id that is null", MissingField, |near| without(near, "id").replacen('{', "{\"id\":null,", 1)),
    ("an id that is a number", InvalidField, |near| without(near, "id").replacen('{', "{\"id\":7,", 1)),
    ("an empty id", InvalidField, |near| id(near, "")),
    ("an id of 129 bytes", InvalidField, |near| id(near, &"x".repeat(129))),
    ("an id of 10 kB", InvalidField, |near| id(near, &"x".repeat(10_000))),
    ("an id of 65 letters of two bytes", InvalidField, |near| id(near, &"ü".repeat(65))),
    ("a control character in the id", InvalidField, |near| {
        id(near, near.pick(&[r"a\nb", r"a\u0000b", r"a\u007fb", "a\u{85}b", r"\u001b[2J"]))
    }),
    ("an account_id of 10 kB", InvalidField, |near| {
        near.login().replacen(&near.account, &"a".repeat(10_000), 1)
    }),
    ("an empty account_id", InvalidField, |near| near.login().replacen(&near.account, "", 1)),
    ("a time that is a number", InvalidField, |near| {
        near.login().replacen(&format!("\"{}\"", near.at()), &near.at_ms.to_string(), 1)
    }),
    ("a time without offset", InvalidField, |near| at(near, "2026-02-01T09:00:00")),
    ("a time of another shape", InvalidField, |near| {
        at(near, near.pick(&["", "soon", "2026-02-01", "20260201T090000Z", "2026-02-01T09:00:00,5Z"]))
    }),
    ("a time that does not exist", InvalidField, |near| {
        at(near, near.pick(&["2026-02-30T09:00:00Z", "2026-01-05T25:00:00Z", "2026-13-05T09:00:00Z"]))
    }),
    ("the year 1", InvalidField, |near| at(near, "0001-01-01T00:00:00Z")),
    ("the year 1970", InvalidField, |near| at(near, "1970-01-01T00:00:00Z")),
    ("the year 9999", InvalidField, |near| {
        at(near, near.pick(&["9999-12-31T23:59:59Z", "9999-01-01T00:00:00Z"]))
    }),
    ("a year of five digits", InvalidField, |near| at(near, "+12026-01-05T09:00:00Z")),
    ("a negative version", InvalidField, |near| with(near, r#""version":-1"#)),
    ("a version beyond 64 bits", InvalidField, |near| {
        with(near, near.pick(&[r#""version":"18446744073709551616""#, r#""version":18446744073709551616"#]))
    }),
    ("a version that is an object", InvalidField, |near| with(near, r#""version":{"major":1}"#)),
    ("a version nested 200,000 deep", InvalidField, |near| {
        with(near, &format!(r#""version":{}{}"#, "[".repeat(200_000), "]".repeat(200_000)))
    }),
    ("an envelope version that is a string", InvalidField, |near| with(near, r#""v":"1""#)),
    ("another envelope version", UnsupportedVersion, |near| {
        with(near, near.pick(&[r#""v":2"#, r#""v":0"#, r#""v":-1"#, r#""v":18446744073709551615"#]))
    }),
    ("another envelope version with another body", UnsupportedVersion, |near| {
        near.event(r#""v":2,"login":{"person":{"id":5}}"#)
    }),
    ("a kind nobody knows", UnknownKind, |near| near.event(r#""milestone":{"id":"m"}"#)),
    ("a kind in capitals", UnknownKind, |near| near.event(r#""Login":{"user_id":"u"}"#)),
    ("no body", UnknownKind, |near| format!("{{{}}}", near.envelope())),
    ("a body that is null", UnknownKind, |near| near.event(r#""login":null"#)),
    ("a body that is no object", InvalidField, |near| {
        near.event(near.pick(&[r#""login":"u""#, r#""login":["u"]"#, r#""login":5"#, r#""login":true"#]))
    }),
    ("two bodies", InvalidField, |near| near.event(r#""login":{"user_id":"u"},"usage":{"feature":"f"}"#)),
    ("a key twice", DuplicateField, |near| with(near, r#""id":"again""#)),
    ("a key twice, once escaped", DuplicateField, |near| with(near, r#""\u0069d":"again""#)),
    ("a key twice, once null", DuplicateField, |near| with(near, r#""version":null,"version":3"#)),
    ("a body twice", DuplicateField, |near| with(near, LOGIN)),
    ("a key twice in a body", DuplicateField, |near| near.event(r#""login":{"user_id":"a","user_id":"b"}"#)),
];

fn ticket(near: &Near, rest: &str) -> String {
    let at = near.at();
    near.event(&format!(r#""ticket":{{"id":"t-bad","status":"open","opened_at":"{at}"{rest}}}"#))
}

fn invoice(near: &Near, amount: &str, currency: &str, rest: &str) -> String {
    let at = near.at();
    near.event(&format!(
        r#""invoice":{{"id":"i-bad","amount_minor":{amount},"currency":{currency},"issued_at":"{at}","due_at":"{at}"{rest}}}"#
    ))
}

fn contract(near: &Near, rest: &str) -> String {
    let at = near.at();
    near.event(&format!(
        r#""contract":{{"id":"k-bad","start_at":"{at}","recurring_minor":5,"currency":"EUR"{rest}}}"#
    ))
}

fn features(count: usize) -> String {
    format!(r#""account":{{"entitled_features":[{}"f"]}}"#, r#""f","#.repeat(count - 1))
}

pub const BODIES: &[Row<String>] = &[
    ("a login by nobody", MissingField, |near| near.event(r#""login":{}"#)),
    ("an empty person", InvalidField, |near| near.event(r#""login":{"user_id":""}"#)),
    ("a person that is a number", InvalidField, |near| near.event(r#""login":{"user_id":42}"#)),
    ("a person of 10 kB", InvalidField, |near| {
        near.event(&format!(r#""login":{{"user_id":"{}"}}"#, "p".repeat(10_000)))
    }),
    ("a person nested deep", InvalidField, |near| {
        let (open, close) = (r#"{"id":"#.repeat(50_000), "}".repeat(50_000));
        near.event(&format!(r#""login":{{"user_id":{open}1{close}}}"#))
    }),
    ("use of no feature", MissingField, |near| near.event(r#""usage":{"user_id":"u"}"#)),
    ("use zero times", InvalidField, |near| near.event(r#""usage":{"feature":"f","count":0}"#)),
    ("use beyond 32 bits", InvalidField, |near| near.event(r#""usage":{"feature":"f","count":4294967296}"#)),
    ("use beyond 64 bits", InvalidField, |near| {
        near.event(r#""usage":{"feature":"f","count":99999999999999999999}"#)
    }),
    ("use with a fraction", InvalidField, |near| near.event(r#""usage":{"feature":"f","count":1.5}"#)),
    ("use in a string", InvalidField, |near| near.event(r#""usage":{"feature":"f","count":"3"}"#)),
    ("a feature of 257 bytes", InvalidField, |near| {
        near.event(&format!(r#""usage":{{"feature":"{}"}}"#, "f".repeat(257)))
    }),
    ("a ticket without status", MissingField, |near| {
        near.event(&format!(r#""ticket":{{"id":"t","opened_at":"{}"}}"#, near.at()))
    }),
    ("a ticket of another status", InvalidField, |near| ticket(near, "").replace("open\"", "reopened\"")),
    ("a ticket of another priority", InvalidField, |near| ticket(near, r#","priority":"p1""#)),
    ("a ticket solved at no time", MissingField, |near| {
        ticket(near, "").replace(r#""status":"open""#, r#""status":"solved""#)
    }),
    ("a ticket solved before it was opened", InvalidField, |near| {
        ticket(near, r#","solved_at":"2020-01-01T00:00:00Z""#)
    }),
    ("a ticket escalated by a word", InvalidField, |near| ticket(near, r#","escalated":"yes""#)),
    ("a ticket rated 6", InvalidField, |near| ticket(near, near.pick(&[r#","csat":6"#, r#","csat":0"#]))),
    ("a ticket promised for a flag", InvalidField, |near| ticket(near, r#","resolve_due_at":true"#)),
    ("negative money", InvalidField, |near| {
        invoice(near, near.pick(&["-5", "\"-5\"", "-9223372036854775808"]), "\"EUR\"", "")
    }),
    ("money with a fraction", InvalidField, |near| {
        invoice(near, near.pick(&["5.5", "5.0", "\"5.50\"", "1e3"]), "\"EUR\"", "")
    }),
    ("money that is NaN in a string", InvalidField, |near| {
        invoice(near, near.pick(&["\"NaN\"", "\"Infinity\"", "\"-Infinity\""]), "\"EUR\"", "")
    }),
    ("money beyond 64 bits", InvalidField, |near| {
        invoice(near, near.pick(&["99999999999999999999", "\"99999999999999999999\""]), "\"EUR\"", "")
    }),
    ("money beyond 128 bits", InvalidField, |near| {
        invoice(near, &format!("\"{}\"", "9".repeat(60)), "\"EUR\"", "")
    }),
    ("money above the limit", InvalidField, |near| invoice(near, "1000000000000001", "\"EUR\"", "")),
    ("no money", MissingField, |near| invoice(near, "null", "\"EUR\"", "")),
    ("a currency in small letters", InvalidField, |near| invoice(near, "5", "\"eur\"", "")),
    ("a currency of four letters", InvalidField, |near| {
        invoice(near, "5", near.pick(&["\"EURO\"", "\"EU\""]), "")
    }),
    ("a currency that does not exist", InvalidField, |near| {
        invoice(near, "5", near.pick(&["\"ZZZ\"", "\"EUX\"", "\"AAA\""]), "")
    }),
    ("a currency that is a sign", InvalidField, |near| invoice(near, "5", "\"€\"", "")),
    ("a currency that is a number", InvalidField, |near| invoice(near, "5", "978", "")),
    ("an invoice paid at no time", MissingField, |near| invoice(near, "5", "\"EUR\"", r#","status":"paid""#)),
    ("an open invoice that was paid", InvalidField, |near| {
        invoice(near, "5", "\"EUR\"", r#","status":"open","paid_at":"2026-02-01T00:00:00Z""#)
    }),
    ("a survey of another type", InvalidField, |near| near.event(r#""survey":{"id":"s","type":"NPS"}"#)),
    ("an answer above its scale", InvalidField, |near| {
        near.event(near.pick(&[
            r#""survey":{"id":"s","type":"nps","score":11}"#,
            r#""survey":{"id":"s","type":"csat","score":6}"#,
            r#""survey":{"id":"s","score":8,"type":"ces"}"#,
        ]))
    }),
    ("an answer below its scale", InvalidField, |near| {
        near.event(near.pick(&[
            r#""survey":{"id":"s","type":"nps","score":-1}"#,
            r#""survey":{"id":"s","type":"csat","score":0}"#,
        ]))
    }),
    ("a contact without role", MissingField, |near| near.event(r#""contact":{"id":"c","status":"left"}"#)),
    ("a contact of another role", InvalidField, |near| {
        near.event(r#""contact":{"id":"c","role":"boss","status":"left"}"#)
    }),
    ("a contract without beginning", MissingField, |near| {
        contract(near, "").replacen("start_at", "begins", 1)
    }),
    ("a contract that ends before it begins", InvalidField, |near| {
        contract(near, r#","end_at":"2020-01-01T00:00:00Z""#)
    }),
    ("a contract that renews itself", InvalidField, |near| contract(near, r#","renews":"k-bad""#)),
    ("a contract billed weekly", InvalidField, |near| contract(near, r#","billing":"weekly""#)),
    ("negative seats", InvalidField, |near| contract(near, r#","seats":-1"#)),
    ("an empty name", InvalidField, |near| near.event(r#""account":{"name":""}"#)),
    ("a name of 257 bytes", InvalidField, |near| {
        near.event(&format!(r#""account":{{"name":"{}"}}"#, "n".repeat(257)))
    }),
    ("a name with an escape sequence of terminals", InvalidField, |near| {
        near.event(r#""account":{"name":"\u001b[31mred"}"#)
    }),
    ("features in a string", InvalidField, |near| near.event(r#""account":{"entitled_features":"f"}"#)),
    ("features in arrays of arrays", InvalidField, |near| {
        near.event(r#""account":{"entitled_features":["f",["g"]]}"#)
    }),
    ("257 features", InvalidField, |near| near.event(&features(257))),
    ("100,000 features", InvalidField, |near| near.event(&features(100_000))),
];
