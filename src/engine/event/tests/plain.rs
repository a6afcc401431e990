//! The short way through JSON against the long one: whatever stands in a value, `decode_json` gives
//! what serde's way alone gives, the sentence of a refusal included. And what is usual does go the
//! short way, or all this would compare the long one with itself.

use proptest::prelude::*;
use proptest::strategy::ValueTree;

use super::super::json::decode_any;
use super::super::plain::{Parts, read as read_plain};
use super::both::{Style, encode_json, message};
use super::*;
use crate::simulate::{Workload, WorkloadOptions};

/// Decodes both ways: whether the short one read all of it.
#[track_caller]
fn same(bytes: &[u8]) -> bool {
    let decoded = decode_json(bytes, &KEY);
    // What is no text, or starts with a byte order mark, is refused before the ways part.
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    if text.starts_with('\u{feff}') {
        return false;
    }
    assert_eq!(decoded, decode_any(text, &KEY), "{text}");
    read_plain(text, &KEY, &mut Parts::default()).is_ok()
}

/// Bytes that mean something in JSON or UTF-8, or nearly do.
fn byte() -> impl Strategy<Value = u8> {
    let known = b"\"\\{}[]:,-+.eE0123456789tfnu \t\n\r\x00\x0b\x1f\x7f\x80\xbf\xc2\xe2\xff";
    prop_oneof![4 => prop::sample::select(known.to_vec()), 1 => any::<u8>()]
}

/// The text with white space between tokens, of the four kinds JSON has and of others.
fn spaced(text: &str, spaces: &[u8]) -> Vec<u8> {
    let mut spaces = spaces.iter().cycle();
    let (mut bytes, mut is_string, mut is_escape) = (Vec::new(), false, false);
    for byte in text.bytes() {
        let is_token = !is_string && b"{}[]:,\"".contains(&byte);
        let mut space = |bytes: &mut Vec<u8>| match spaces.next() {
            Some(&n) if is_token => {
                bytes.extend_from_slice([&b""[..], b" ", b"\n", b"\t\r\n "][usize::from(n) % 4])
            }
            _ => {}
        };
        space(&mut bytes);
        bytes.push(byte);
        is_string ^= byte == b'"' && !is_escape;
        is_escape = is_string && byte == b'\\' && !is_escape;
        if !is_string {
            space(&mut bytes);
        }
    }
    bytes
}

/// Values of every sort, and what is none.
const VALUES: &[&str] = &[
    "1",
    "0",
    "7",
    "12",
    "2",
    "-1",
    "-0",
    "00",
    "007",
    "1.0",
    "1e2",
    "1E999",
    "1e",
    "1.",
    ".5",
    "+1",
    "4294967295",
    "4294967296",
    "1000000000000000",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "184467440737095516150",
    "99999999999999999999999999",
    "1 2",
    "1x",
    "true",
    "false",
    "null",
    "tru",
    "nul",
    "nulll",
    "truefalse",
    "True",
    "NaN",
    "",
    "[]",
    "[1]",
    "{}",
    "{\"id\":1}",
    "[[[]]]",
    "[\"a\",\"b\"]",
    "{",
    "[",
    "\"",
    "\"\"",
    "\"e1\"",
    "\"acme\"",
    "\"ann\"",
    "\"5\"",
    "\"EUR\"",
    "\"ZZZ\"",
    "\"open\"",
    "\"solved\"",
    "\"paid\"",
    "\"nps\"",
    "\"high\"",
    "\"left\"",
    "\"user\"",
    "\"annual\"",
    "\"2026-01-05T09:00:00Z\"",
    "\"2026-01-05T10:00:00.250Z\"",
    "\"2026-01-05T09:00:00+01:00\"",
    "\"2026-02-30T09:00:00Z\"",
    "\"1989-12-31T23:59:59Z\"",
    "\"\\u0061nn\"",
    "\"\\n\"",
    "\"\\ud800\"",
    "\"\u{85}\"",
    "\"\u{7f}\"",
    "\"é漢🦀\"",
    "\"\u{1}\"",
    "\"a\nb\"",
    "'ann'",
];

/// A value of any sort, right for some fields and wrong for most.
fn value() -> impl Strategy<Value = String> {
    let long = (120..140_usize, "[a-zé\"]").prop_map(|(length, part)| format!("\"{}\"", part.repeat(length)));
    prop_oneof![8 => prop::sample::select(VALUES.to_vec()).prop_map(str::to_owned), 1 => long]
}

/// Fields under names that some object knows, in any order and number.
fn fields(names: &'static [&'static str], most: usize) -> impl Strategy<Value = Vec<String>> {
    let name = prop::sample::select(names.to_vec());
    let field = (name, value()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
    prop::collection::vec(field, 0..most)
}

/// A body of a kind: what it needs, and fields that it may know.
fn body() -> impl Strategy<Value = String> {
    const NEEDED: &[(&str, &str)] = &[
        ("login", r#""user_id":"ann""#),
        ("usage", r#""feature":"x","count":3"#),
        ("ticket", r#""id":"T","status":"open","opened_at":"2026-01-05T09:00:00Z""#),
        (
            "invoice",
            r#""id":"I","amount_minor":5,"currency":"EUR","issued_at":"2026-01-05T09:00:00Z","due_at":"2026-01-06T09:00:00Z""#,
        ),
        ("survey", r#""id":"S","type":"nps","score":9"#),
        ("contact", r#""id":"C","role":"user","status":"left""#),
        ("contract", r#""id":"K","start_at":"2026-01-05T09:00:00Z","recurring_minor":5,"currency":"EUR""#),
        ("account", r#""name":"Acme","owner":null,"entitled_features":["x"]"#),
        ("account", r#""name":"Acme","owner":null"#),
        ("milestone", r#""id":"M""#),
        ("Login", r#""user_id":"ann""#),
    ];
    const NAMES: &[&str] = &[
        "id",
        "user_id",
        "feature",
        "count",
        "priority",
        "status",
        "opened_at",
        "solved_at",
        "escalated",
        "csat",
        "amount_minor",
        "due_at",
        "paid_at",
        "type",
        "score",
        "respondent",
        "role",
        "seats",
        "end_at",
        "renews",
        "billing",
        "parent",
        "entitled_features",
        "expected_weekly_users",
        "",
        "new",
        "é",
        "\\u0069d",
        "a\nb",
    ];
    (prop::sample::select(NEEDED.to_vec()), fields(NAMES, 3), any::<bool>(), value()).prop_map(
        |((kind, needed), mut fields, first, other)| {
            match first {
                true => fields.insert(0, needed.to_owned()),
                false => fields.push(needed.to_owned()),
            }
            let body = if other == "null" { other } else { format!("{{{}}}", fields.join(",")) };
            format!("\"{kind}\":{body}")
        },
    )
}

/// An envelope around none, one or two bodies, with fields that it may know.
fn envelope() -> impl Strategy<Value = String> {
    const NAMES: &[&str] =
        &["v", "id", "account_id", "occurred_at", "version", "login", "", "new", "v\\u0020", "ID"];
    let needed =
        ["\"v\":1", "\"id\":\"e1\"", "\"account_id\":\"acme\"", "\"occurred_at\":\"2026-01-05T09:00:00Z\""];
    let needed = prop::sample::subsequence(needed.map(str::to_owned).to_vec(), 3..=4);
    let bodies = prop_oneof![8 => prop::collection::vec(body(), 1), 1 => prop::collection::vec(body(), 0..3)];
    let parts = (needed, bodies, fields(NAMES, 3)).prop_map(|(a, b, c)| [a, b, c].concat());
    parts.prop_shuffle().prop_map(|fields| format!("{{{}}}", fields.join(",")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn events_read_the_same(
        m in message(), turn in 0..20_usize, quoted: bool, nulls: bool, spaces in prop::collection::vec(0..12_u8, 1..40),
    ) {
        let text = encode_json(&m, Style { turn, quoted, nulls });
        let is_plain = same(text.as_bytes());
        // What is left to the long way: escapes, and lists, which only accounts have.
        prop_assert_eq!(is_plain, !text.contains(['\\', '[']), "{}", text);
        prop_assert_eq!(same(&spaced(&text, &spaces)), is_plain, "{}", text);
    }

    #[test]
    fn damaged_events_read_the_same(
        m in message(), spaces in prop::collection::vec(0..12_u8, 1..40), at: prop::sample::Index,
        parts in prop::collection::vec(byte(), 1..4), until in 0..4_usize,
    ) {
        let whole = spaced(&encode_json(&m, Style { turn: 0, quoted: false, nulls: false }), &spaces);
        for cut in 0..whole.len() {
            same(&whole[..cut]);
        }
        let at = at.index(whole.len());
        let mut changed = whole.clone();
        changed.splice(at..(at + until).min(whole.len()), parts.iter().copied());
        same(&changed);
        same(&[&whole[..], &parts].concat());
        same(&[&parts, &whole[..]].concat());
    }

    #[test]
    fn arbitrary_fields_read_the_same(text in envelope(), spaces in prop::collection::vec(0..12_u8, 1..40)) {
        same(text.as_bytes());
        same(&spaced(&text, &spaces));
    }

    #[test]
    fn arbitrary_tokens_read_the_same(bytes in prop::collection::vec(byte(), 0..60)) {
        same(&bytes);
        same(&[b"{\"v\":1,\"id\":", &bytes[..]].concat());
    }
}

#[test]
fn arbitrary_fields_are_often_right() {
    let mut runner = prop::test_runner::TestRunner::deterministic();
    let (mut accepted, mut plain) = (0, 0);
    for _ in 0..1000 {
        let text = envelope().new_tree(&mut runner).expect("a strategy without filters").current();
        accepted += u32::from(decode_json(text.as_bytes(), &KEY).is_ok());
        plain += u32::from(same(text.as_bytes()));
    }
    assert!(
        (100..900).contains(&accepted) && (100..900).contains(&plain),
        "{accepted} accepted, {plain} plain"
    );
}

/// Every byte at every place of a string, around the words of eight in which strings are read.
#[test]
fn every_character_at_every_place_reads_the_same() {
    let mut plain = 0;
    for (length, at) in (1..20).flat_map(|length| (0..length).map(move |at| (length, at))) {
        for character in (0..0x100).filter_map(char::from_u32) {
            let mut text = "x".repeat(length);
            text.replace_range(at..=at, character.encode_utf8(&mut [0; 4]));
            plain += u32::from(same(event(&format!(r#""login":{{"user_id":"{text}"}}"#)).as_bytes()));
            // The end of the value, where no eight bytes are left.
            same(format!(r#"{{"id":"{text}"#).as_bytes());
            same(format!("{{\"id\":\"{text}\"").as_bytes());
        }
    }
    // All but control characters, quotes and backslashes.
    assert_eq!(plain, 190 * (0x100 - 0x20 - 0x21 - 2));
}

/// What chance hardly makes: a comma too many, and white space that is none of JSON's.
#[test]
fn what_is_nearly_plain_reads_the_same() {
    let whole = event(r#""login":{"user_id":"ann"}"#);
    for at in whole.match_indices(['{', '}', ',', ':', '"']).map(|(at, _)| at) {
        for part in [",", ":", "\u{b}", "\u{c}", "\0", "\u{a0}", "\u{feff}"] {
            for place in [at, at + 1] {
                same([&whole[..place], part, &whole[place..]].concat().as_bytes());
            }
        }
    }
}

#[test]
fn the_workload_goes_the_short_way() {
    let mut workload = Workload::new(WorkloadOptions { accounts: 9, ..WorkloadOptions::new(3, 2000) });
    let mut bytes = Vec::new();
    while workload.next_into(&mut bytes).is_some() {
        assert!(same(&bytes), "{}", String::from_utf8_lossy(&bytes));
        bytes.clear();
    }
}
