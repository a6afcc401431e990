//! Protobuf: bytes that are no message, and messages with values that no event has.

use accountpulse::engine::event::Reason::{
    DuplicateField, InvalidField, MalformedProtobuf, MissingField, UnknownKind, UnsupportedVersion,
};
use accountpulse::engine::event::pb::{self, event::Body};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};

use super::{Near, Row};

/// A field and its value, by hand.
pub fn field(number: u32, wire: WireType, value: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_key(number, wire, &mut bytes);
    if wire == WireType::LengthDelimited {
        encode_varint(value.len() as u64, &mut bytes);
    }
    bytes.extend_from_slice(value);
    bytes
}

fn number(at: u32, value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_varint(value, &mut bytes);
    field(at, WireType::Varint, &bytes)
}

/// An envelope with that body.
pub fn message(near: &Near, body: Option<Body>) -> pb::Event {
    pb::Event {
        v: 0,
        id: format!("bad-{}", near.n),
        account_id: near.account.clone(),
        occurred_at_ms: near.at_ms,
        version: None,
        body,
    }
}

fn with(near: &Near, body: Body) -> Vec<u8> {
    message(near, Some(body)).encode_to_vec()
}

/// A good login.
pub fn login(near: &Near) -> Vec<u8> {
    with(near, Body::Login(pb::Login { user_id: "u-bad".into() }))
}

/// A good login with changes to its envelope.
fn changed(near: &Near, change: impl FnOnce(&mut pb::Event)) -> Vec<u8> {
    let mut message = message(near, Some(Body::Login(pb::Login { user_id: "u-bad".into() })));
    change(&mut message);
    message.encode_to_vec()
}

/// A good login with more bytes behind it.
fn then(near: &Near, rest: &[u8]) -> Vec<u8> {
    [login(near), rest.to_vec()].concat()
}

/// An envelope with these bytes as its login.
fn body(near: &Near, bytes: &[u8]) -> Vec<u8> {
    [message(near, None).encode_to_vec(), field(10, WireType::LengthDelimited, bytes)].concat()
}

fn groups(depth: usize, inside: &[u8]) -> Vec<u8> {
    let start = field(99, WireType::StartGroup, &[]).repeat(depth);
    let end = field(99, WireType::EndGroup, &[]).repeat(depth);
    [start, inside.to_vec(), end].concat()
}

pub const DAMAGED: &[Row<Vec<u8>>] = &[
    ("cut off in the body", MalformedProtobuf, |near| {
        let (whole, body) = (login(near), 2 + 2 + "u-bad".len());
        whole[..whole.len() - 1 - near.n % (body - 1)].to_vec()
    }),
    ("cut off in the envelope", MalformedProtobuf, |near| login(near)[..3 + near.n % 3].to_vec()),
    ("cut off before the body", UnknownKind, |near| message(near, None).encode_to_vec()),
    ("text that is not UTF-8", MalformedProtobuf, |near| {
        body(near, &field(1, WireType::LengthDelimited, near.pick(&[b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0"])))
    }),
    ("an id that is a varint", MalformedProtobuf, |near| then(near, &number(2, 5))),
    ("a time that is text", MalformedProtobuf, |near| {
        then(near, &field(4, WireType::LengthDelimited, b"2026-02-01T09:00:00Z"))
    }),
    ("a time of a fixed width", MalformedProtobuf, |near| {
        then(near, &field(4, WireType::SixtyFourBit, &near.at_ms.to_le_bytes()))
    }),
    ("a body that is a varint", MalformedProtobuf, |near| then(near, &number(10, 1))),
    ("a body that is a group", MalformedProtobuf, |near| {
        let (open, close) = (field(10, WireType::StartGroup, &[]), field(10, WireType::EndGroup, &[]));
        then(near, &[open, close].concat())
    }),
    ("a group without end", MalformedProtobuf, |near| then(near, &field(99, WireType::StartGroup, &[]))),
    ("a group that did not begin", MalformedProtobuf, |near| then(near, &field(99, WireType::EndGroup, &[]))),
    ("a group closed by another", MalformedProtobuf, |near| {
        let (open, close) = (field(98, WireType::StartGroup, &[]), field(99, WireType::EndGroup, &[]));
        then(near, &[open, close].concat())
    }),
    ("33 groups in one another", MalformedProtobuf, |near| then(near, &groups(33, &[]))),
    ("100,000 groups in one another", MalformedProtobuf, |near| then(near, &groups(100_000, &[]))),
    ("groups without end", MalformedProtobuf, |near| {
        then(near, &field(99, WireType::StartGroup, &[]).repeat(200_000))
    }),
    ("a varint of eleven bytes", MalformedProtobuf, |near| {
        then(near, &[&[0x28][..], &[0x80; 10], &[0x01]].concat())
    }),
    ("a varint beyond 64 bits", MalformedProtobuf, |near| {
        then(near, &[&[0x28][..], &[0xff; 9], &[0x02]].concat())
    }),
    ("a varint without end", MalformedProtobuf, |near| then(near, &[0x28, 0xff, 0xff])),
    ("a length beyond the end", MalformedProtobuf, |near| then(near, &[0x52, 0x7f, 0x0a])),
    ("a length of 2^64 - 1", MalformedProtobuf, |near| {
        then(near, &[&[0x52][..], &[0xff; 9], &[0x01]].concat())
    }),
    ("a length beyond its message", MalformedProtobuf, |near| {
        [body(near, &[0x0a, 0x05, b'u']), number(5, 1), number(5, 2)].concat()
    }),
    ("field number 0", MalformedProtobuf, |near| then(near, &[0x00, 0x00])),
    ("a wire type that does not exist", MalformedProtobuf, |near| {
        then(near, &[near.pick(&[0x2e, 0x2f]), 0x00])
    }),
    ("a field number beyond 29 bits", MalformedProtobuf, |near| {
        then(near, &[0x80, 0x80, 0x80, 0x80, 0x10, 0x00])
    }),
    ("257 names to clear", MalformedProtobuf, |near| {
        let clear = vec!["nobody".to_owned(); 257];
        with(near, Body::Account(pb::Account { clear, ..Default::default() }))
    }),
    ("a message of another schema", MalformedProtobuf, |near| {
        [field(1, WireType::LengthDelimited, near.account.as_bytes()), number(2, 7)].concat()
    }),
    ("bytes by chance", MalformedProtobuf, |near| vec![0xff - (near.n % 8) as u8 * 8; 40]),
    ("gzip", MalformedProtobuf, |_| [&[0x1f, 0x8b, 0x08, 0x00][..], &[0; 64]].concat()),
    ("gzip of ten million zeros", MalformedProtobuf, |_| bomb()),
    ("zstd", MalformedProtobuf, |_| [&[0x28, 0xb5, 0x2f, 0xfd][..], &[0x7b; 64]].concat()),
    ("a serialised Java object", MalformedProtobuf, |_| b"\xac\xed\x00\x05sr\x00\x05Login".to_vec()),
];

/// What `head -c 10000000 /dev/zero | gzip` writes, as stored bytes: a header that says deflate,
/// and blocks of repeats.
fn bomb() -> Vec<u8> {
    let header = [0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x03];
    let repeats = [0xed, 0xc1, 0x01, 0x01, 0x00, 0x00, 0x00, 0x80, 0x90, 0xfe, 0xaf, 0xee, 0x08, 0x0a];
    [&header[..], &repeats.repeat(700)].concat()
}

fn invoice(near: &Near, change: impl FnOnce(&mut pb::Invoice)) -> Vec<u8> {
    let mut invoice = pb::Invoice {
        id: "i-bad".into(),
        amount_minor: Some(5),
        currency: "EUR".into(),
        issued_at_ms: near.at_ms,
        due_at_ms: near.at_ms,
        paid_at_ms: 0,
        status: 0,
    };
    change(&mut invoice);
    with(near, Body::Invoice(invoice))
}

fn ticket(near: &Near, status: i32) -> Vec<u8> {
    with(
        near,
        Body::Ticket(pb::Ticket {
            id: "t-bad".into(),
            status,
            opened_at_ms: near.at_ms,
            ..Default::default()
        }),
    )
}

pub const VALUES: &[Row<Vec<u8>>] = &[
    ("no id, in protobuf", MissingField, |near| changed(near, |m| m.id.clear())),
    ("no account_id, in protobuf", MissingField, |near| changed(near, |m| m.account_id.clear())),
    ("no time, in protobuf", MissingField, |near| changed(near, |m| m.occurred_at_ms = 0)),
    ("an id of 10 kB, in protobuf", InvalidField, |near| changed(near, |m| m.id = "x".repeat(10_000))),
    ("a control character, in protobuf", InvalidField, |near| {
        changed(near, |m| m.id = near.pick(&["a\nb", "a\0b", "a\u{7f}", "\u{85}"]).to_owned())
    }),
    ("seconds for milliseconds", InvalidField, |near| changed(near, |m| m.occurred_at_ms /= 1_000)),
    ("microseconds for milliseconds", InvalidField, |near| changed(near, |m| m.occurred_at_ms *= 1_000)),
    ("the smallest time there is", InvalidField, |near| changed(near, |m| m.occurred_at_ms = i64::MIN)),
    ("the largest time there is", InvalidField, |near| changed(near, |m| m.occurred_at_ms = i64::MAX)),
    ("the year 9999, in protobuf", InvalidField, |near| {
        changed(near, |m| m.occurred_at_ms = 253_402_300_799_999)
    }),
    ("another envelope version, in protobuf", UnsupportedVersion, |near| {
        changed(near, |m| m.v = near.pick(&[2, 3, u32::MAX]))
    }),
    ("another envelope version, and damaged", UnsupportedVersion, |near| {
        [changed(near, |m| m.v = 2), number(10, 1)].concat()
    }),
    ("an enum value nobody knows", InvalidField, |near| {
        ticket(near, near.pick(&[6, 99, i32::MAX, -1, i32::MIN]))
    }),
    ("an enum value left unspecified", MissingField, |near| ticket(near, 0)),
    ("a login by nobody, in protobuf", MissingField, |near| with(near, Body::Login(pb::Login::default()))),
    ("a feature of 257 bytes, in protobuf", InvalidField, |near| {
        with(near, Body::Usage(pb::Usage { feature: "f".repeat(257), ..Default::default() }))
    }),
    ("no money, in protobuf", MissingField, |near| invoice(near, |i| i.amount_minor = None)),
    ("negative money, in protobuf", InvalidField, |near| {
        invoice(near, |i| i.amount_minor = Some(near.pick(&[-1, -5, i64::MIN])))
    }),
    ("money above the limit, in protobuf", InvalidField, |near| {
        invoice(near, |i| i.amount_minor = Some(i64::MAX))
    }),
    ("no currency, in protobuf", MissingField, |near| invoice(near, |i| i.currency.clear())),
    ("a currency that does not exist, in protobuf", InvalidField, |near| {
        invoice(near, |i| i.currency = near.pick(&["ZZZ", "EUX", "eur", "EURO"]).to_owned())
    }),
    ("an invoice issued at the smallest time", InvalidField, |near| {
        invoice(near, |i| i.issued_at_ms = i64::MIN)
    }),
    ("an answer above its scale, in protobuf", InvalidField, |near| {
        let (id, score) = ("s".to_owned(), Some(near.pick(&[11, u32::MAX])));
        with(near, Body::Survey(pb::Survey { id, r#type: 1, score, respondent: String::new() }))
    }),
    ("a name given and cleared", DuplicateField, |near| {
        let (name, clear) = (Some("Acme".to_owned()), vec!["name".to_owned()]);
        with(near, Body::Account(pb::Account { name, clear, ..Default::default() }))
    }),
    ("an empty name, in protobuf", InvalidField, |near| {
        with(near, Body::Account(pb::Account { name: Some(String::new()), ..Default::default() }))
    }),
    ("257 features, in protobuf", InvalidField, |near| {
        let entitled_features = vec!["f".to_owned(); 257];
        with(near, Body::Account(pb::Account { entitled_features, ..Default::default() }))
    }),
];
