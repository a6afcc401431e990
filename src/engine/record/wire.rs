//! Writing protobuf by hand: the few wire forms our records need, appended to a buffer. The
//! generated messages would want every text as a `String` of their own first.
//!
//! The bytes are those every protobuf library writes for the same message (a test compares them
//! with prost's): fields in the order of their numbers, plain fields only when they are not zero.

const VARINT: u32 = 0;
const LENGTH_DELIMITED: u32 = 2;

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn key(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint(out, u64::from(number << 3 | wire_type));
}

const fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

/// An unsigned number, an enum or a flag; zero is left out.
pub(super) fn unsigned(out: &mut Vec<u8>, number: u32, value: u64) {
    if value != 0 {
        unsigned_given(out, number, Some(value));
    }
}

/// An unsigned number with presence.
pub(super) fn unsigned_given(out: &mut Vec<u8>, number: u32, value: Option<u64>) {
    if let Some(value) = value {
        key(out, number, VARINT);
        varint(out, value);
    }
}

/// An `int64`; zero is left out.
pub(super) fn int64(out: &mut Vec<u8>, number: u32, value: i64) {
    unsigned(out, number, value as u64);
}

/// An `sint32`; zero is left out.
pub(super) fn sint32(out: &mut Vec<u8>, number: u32, value: i32) {
    unsigned(out, number, zigzag(i64::from(value)));
}

/// An `sint64` with presence.
pub(super) fn sint64_given(out: &mut Vec<u8>, number: u32, value: Option<i64>) {
    unsigned_given(out, number, value.map(zigzag));
}

/// A text; an empty one is left out.
pub(super) fn text(out: &mut Vec<u8>, number: u32, value: &str) {
    if !value.is_empty() {
        text_given(out, number, Some(value));
    }
}

/// A text with presence, or an element of a list.
pub(super) fn text_given(out: &mut Vec<u8>, number: u32, value: Option<&str>) {
    if let Some(value) = value {
        key(out, number, LENGTH_DELIMITED);
        varint(out, value.len() as u64);
        out.extend_from_slice(value.as_bytes());
    }
}

/// A message, present even when it is empty.
pub(super) fn message(out: &mut Vec<u8>, number: u32, fields: impl FnOnce(&mut Vec<u8>)) {
    key(out, number, LENGTH_DELIMITED);
    // The length stands in front and is known only afterwards; mostly it takes one byte.
    let place = out.len();
    out.push(0);
    fields(out);
    let length = out.len() - place - 1;
    if length < 0x80 {
        out[place] = length as u8;
        return;
    }
    let mut prefix = Vec::new();
    varint(&mut prefix, length as u64);
    drop(out.splice(place..=place, prefix));
}
