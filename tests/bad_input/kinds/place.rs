//! What stands around a value: frames of schema registries, keys, partitions, times, sizes.

use accountpulse::engine::event::MAX_EVENT_BYTES;
use accountpulse::engine::event::Reason::{
    Future, KeyMismatch, Late, MalformedFraming, MalformedJson, MalformedProtobuf, MissingKey, TooLarge,
    WrongPartition,
};

use super::{Draft, Near, Row, wire};

/// A value behind the schema id of a registry.
fn framed(near: &Near, indexes: &[u8], payload: &[u8]) -> Draft {
    near.draft(&[&[0, 0, 0, 1, 7], indexes, payload].concat())
}

/// A good login with a schema header.
fn header(near: &Near, value: &[u8]) -> Draft {
    near.draft(near.login().as_bytes()).with("__value_schema_id", value)
}

pub const FRAMES: &[Row<Draft>] = &[
    ("a frame cut off in its schema id", MalformedFraming, |near| {
        near.draft(&[0, 0, 0, 1][..1 + near.n % 4])
    }),
    ("a frame around nothing", MalformedFraming, |near| framed(near, &[], &[])),
    ("a frame cut off in its message index", MalformedFraming, |near| {
        framed(near, near.pick(&[&[0x80][..], &[0x02], &[0xff; 12]]), &[])
    }),
    ("a frame with a negative message index", MalformedFraming, |near| {
        framed(near, &[0x01], &wire::login(near))
    }),
    ("a frame of another message", MalformedFraming, |near| framed(near, &[0x02, 0x02], &wire::login(near))),
    ("a frame of a message in a message", MalformedFraming, |near| {
        framed(near, &[4, 0, 2], &wire::login(near))
    }),
    ("Avro in a frame", MalformedFraming, |near| framed(near, &[0x0c], b"acct-1")),
    ("a frame around broken JSON", MalformedJson, |near| framed(near, &[], b"{\"id\":")),
    ("a frame around broken protobuf", MalformedProtobuf, |near| framed(near, &[0], &[0x52, 0x7f])),
    ("an empty schema header", MalformedFraming, |near| header(near, b"")),
    ("a schema header of another kind", MalformedFraming, |near| header(near, b"\x02abcd")),
    ("a schema header cut off", MalformedFraming, |near| {
        header(near, near.pick(&[&[1, 2, 3][..], &[0, 0, 0]]))
    }),
    ("a schema header that goes on", MalformedFraming, |near| header(near, &[0, 0, 0, 0, 7, 0, 9])),
];

fn good(near: &Near) -> Draft {
    near.draft(near.login().as_bytes())
}

/// A good login with white space up to that size.
fn padded(near: &Near, bytes: usize) -> Draft {
    let mut value = near.login().into_bytes();
    value.resize(bytes, b' ');
    near.draft(&value)
}

/// A good login at another time.
fn at(near: &Near, ms: i64) -> Draft {
    let moved = Near { at_ms: ms, ..near.clone() };
    Draft { timestamp_ms: near.at_ms, ..moved.draft(moved.login().as_bytes()) }
}

const HOUR_MS: i64 = 3_600_000;

pub const PLACES: &[Row<Draft>] = &[
    ("no key", MissingKey, |near| Draft { key: None, ..good(near) }),
    ("an empty key", MissingKey, |near| Draft { key: Some(Vec::new()), ..good(near) }),
    ("the key of another account", KeyMismatch, |near| {
        good(near).keyed(near.other().as_bytes(), near.partitions)
    }),
    ("a key in quotes", KeyMismatch, |near| {
        good(near).keyed(format!("\"{}\"", near.account).as_bytes(), near.partitions)
    }),
    ("a key in a frame", KeyMismatch, |near| {
        good(near).keyed(&[&[0, 0, 0, 0, 9], near.account.as_bytes()].concat(), near.partitions)
    }),
    ("a key that is not UTF-8", KeyMismatch, |near| good(near).keyed(b"\xff\xfe", near.partitions)),
    ("a key of 10 kB", KeyMismatch, |near| good(near).keyed(&[b'k'; 10_000], near.partitions)),
    ("a key of 100 kB", KeyMismatch, |near| good(near).keyed(&[b'k'; 100_000], near.partitions)),
    ("the wrong partition", WrongPartition, |near| {
        let right = good(near);
        let by = 1 + near.n as u32 % (near.partitions - 1);
        Draft { partition: (right.partition + by) % near.partitions, ..right }
    }),
    ("a tombstone", MalformedJson, |near| Draft { value: None, ..good(near) }),
    ("a value one byte too large", TooLarge, |near| padded(near, MAX_EVENT_BYTES + 1)),
    ("a value of 1.5 MB that is nothing", TooLarge, |near| near.draft(&vec![0xff; 1_500_000])),
    ("an hour ahead", Future, |near| at(near, near.at_ms + HOUR_MS)),
    ("the year 2199", Future, |near| at(near, 7_258_118_399_000)),
    ("a record from before all time", Future, |near| Draft { timestamp_ms: i64::MIN, ..good(near) }),
    ("a record from 1969", Future, |near| Draft { timestamp_ms: -1 - near.n as i64, ..good(near) }),
    ("a broken record from after all time", MalformedJson, |near| Draft {
        value: Some(b"{".to_vec()),
        timestamp_ms: i64::MAX,
        ..good(near)
    }),
    ("a login of two months before", Late, |near| at(near, near.at_ms - 60 * 24 * HOUR_MS)),
];
