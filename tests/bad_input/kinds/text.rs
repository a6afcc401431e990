//! Values that are no JSON object, most of them nearly one.

use accountpulse::engine::event::Reason::{self, MalformedJson, MissingField};

use super::{Near, Row};

/// In front of the end of a good login, inside of its one field.
fn inside(near: &Near, user: &str) -> String {
    near.event(&format!(r#""login":{{"user_id":"{user}"}}"#))
}

fn money(near: &Near, amount: &str) -> String {
    near.event(&format!(r#""invoice":{{"id":"i","amount_minor":{amount}}}"#))
}

pub const TEXTS: &[Row<String>] = &[
    ("white space", MalformedJson, |near| near.pick(&[" ", "\n", "\t\r\n "]).to_owned()),
    ("null", MalformedJson, |_| "null".to_owned()),
    ("a number", MalformedJson, |near| near.pick(&["17", "-1", "1.5e3"]).to_owned()),
    ("a string", MalformedJson, |_| r#""login""#.to_owned()),
    ("an array of events", MalformedJson, |near| format!("[{}]", near.login())),
    ("an opening brace", MalformedJson, |_| "{".to_owned()),
    ("cut off in JSON", MalformedJson, |near| {
        let whole = near.login();
        whole[..1 + (near.n * 7) % (whole.len() - 1)].to_owned()
    }),
    ("a comma too much", MalformedJson, |near| near.event("\"login\":{\"user_id\":\"u\"},")),
    ("two events", MalformedJson, |near| format!("{0}{0}", near.login())),
    ("bytes behind the event", MalformedJson, |near| {
        format!("{}{}", near.login(), near.pick(&["x", "}", "\0"]))
    }),
    ("a key without quotes", MalformedJson, |near| near.login().replace("\"id\"", "id")),
    ("single quotes", MalformedJson, |near| near.login().replace('"', "'")),
    ("a comment", MalformedJson, |near| near.event("/* who */\"login\":{\"user_id\":\"u\"}")),
    ("a byte order mark", MalformedJson, |near| format!("\u{feff}{}", near.login())),
    ("a raw control character", MalformedJson, |near| {
        inside(near, near.pick(&["a\u{0}b", "a\u{1f}b", "a\nb"]))
    }),
    ("an escape that does not exist", MalformedJson, |near| inside(near, r"a\qb")),
    ("half an escape", MalformedJson, |near| inside(near, r"\u00")),
    ("a lone high surrogate", MalformedJson, |near| inside(near, r"\ud83e")),
    ("a lone low surrogate", MalformedJson, |near| inside(near, r"\udd80")),
    ("surrogates the wrong way round", MalformedJson, |near| inside(near, r"\udd80\ud83e")),
    ("NaN", MalformedJson, |near| money(near, near.pick(&["NaN", "nan", "-NaN"]))),
    ("infinity", MalformedJson, |near| money(near, near.pick(&["Infinity", "-Infinity", "inf"]))),
    ("a number beyond every float", MalformedJson, |near| money(near, near.pick(&["1e999", "-1e999"]))),
    ("leading zeros", MalformedJson, |near| money(near, "007")),
    ("a hexadecimal number", MalformedJson, |near| money(near, "0x10")),
    ("a plus sign", MalformedJson, |near| money(near, "+5")),
    ("XML", MalformedJson, |near| format!("<event id=\"{}\"/>", near.n)),
    ("CSV", MalformedJson, |near| format!("id;account_id\r\n{};{}", near.n, near.account)),
    ("arrays without end", MalformedJson, |_| "[".repeat(200_000)),
    ("objects without end", MalformedJson, |_| r#"{"login":"#.repeat(50_000)),
    ("arrays without end in a field nobody knows", MalformedJson, |near| {
        format!("{{{},\"bomb\":{}", near.envelope(), "[".repeat(200_000))
    }),
];

pub const BYTES: &[Row<Vec<u8>>] = &[
    // No protobuf has no fields either: the first one that is missing is named.
    ("an empty value", MissingField as Reason, |_| Vec::new()),
    ("Latin-1", MalformedJson, |near| {
        inside(near, "M?ller").bytes().map(|byte| if byte == b'?' { 0xfc } else { byte }).collect()
    }),
    ("an overlong UTF-8 sequence", MalformedJson, |near| replaced(near, &[0xc0, 0xaf])),
    ("a surrogate in UTF-8", MalformedJson, |near| replaced(near, &[0xed, 0xa0, 0x80])),
    ("UTF-8 cut off in a character", MalformedJson, |near| replaced(near, &[0xf0, 0x9f, 0xa6])),
    ("bytes of UTF-8 that do not exist", MalformedJson, |near| replaced(near, &[0xfe, 0xff])),
];

/// A login by somebody whose id has these bytes in it.
fn replaced(near: &Near, bytes: &[u8]) -> Vec<u8> {
    let whole = inside(near, "?");
    let (before, after) = whole.split_once('?').unwrap();
    [before.as_bytes(), bytes, after.as_bytes()].concat()
}
