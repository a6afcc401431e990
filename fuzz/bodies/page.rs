//! What recovery reads: pages, journal headers, and the sealed values of the checkpoint topic. Any
//! bytes are content or an error; content that was read is written and read again alike.

use std::sync::Arc;

use accountpulse::engine::event::{PersonKey, decode_json};
use accountpulse::engine::{EngineConfig, Input, PageId, Shard, ShardId};
use accountpulse::worker::format::{
    FORMAT_VERSION, Key, Marker, ShardRecord, decode, decode_page_part, encode, parse_number, unpack_page,
};
use xxhash_rust::xxh3::xxh3_64;

/// An account that journal records may name.
const KNOWN: &[u8] =
    br#"{"id":"e1","account_id":"acme","occurred_at":"2026-01-05T09:00:00Z","login":{"user_id":"ann"}}"#;

/// The first byte says what the rest is taken for.
pub fn stored(bytes: &[u8]) -> bool {
    let Some((&what, rest)) = bytes.split_first() else { return false };
    match what {
        b'P' => page(rest),
        b'J' => journal(rest),
        b'C' => copy(rest),
        b'S' => record::<ShardRecord>(rest),
        b'M' => record::<Marker>(rest),
        _ => unsealed(bytes),
    }
}

fn shard() -> Shard {
    Shard::new(Arc::new(EngineConfig::default()), ShardId { partition: 0, partitions: 1 })
}

/// A page number and a page.
fn page(bytes: &[u8]) -> bool {
    let Some((&number, content)) = bytes.split_first() else { return false };
    let page = PageId(number);
    let mut first = shard();
    if let Err(error) = first.load_page(page, content) {
        assert!(!error.to_string().is_empty());
        assert_eq!(first.accounts(), 0, "what was refused left something behind");
        return false;
    }
    let written = first.encode_page(page);
    let mut second = shard();
    if let Err(error) = second.load_page(page, &written) {
        panic!("a page we wrote is not read: {error}");
    }
    assert_eq!(second.encode_page(page), written, "written again it is another page");
    true
}

/// The decisions of an account, as a scores record carries them.
fn journal(bytes: &[u8]) -> bool {
    let mut shard = shard();
    match decode_json(KNOWN, &PersonKey::new([7; 16])).map(|event| shard.apply(Input(0), &event).is_ok()) {
        Ok(true) => {}
        other => panic!("the known account is not known: {other:?}"),
    }
    if shard.apply_journal("acme", Some(bytes)).is_err() {
        return false;
    }
    let page = Shard::page_of("acme", 1);
    let written = shard.encode_page(page);
    assert!(self::shard().load_page(page, &written).is_ok(), "decisions that were read are not a page");
    true
}

/// A payload with the seal it would have: nobody guesses a checksum.
fn sealed(payload: &[u8]) -> Vec<u8> {
    [&[FORMAT_VERSION][..], &xxh3_64(payload).to_le_bytes(), payload].concat()
}

/// A part of a page copy, all of it by its own account.
fn copy(payload: &[u8]) -> bool {
    let sealed = sealed(payload);
    let Ok((header, packed)) = decode_page_part(&sealed) else { return false };
    match unpack_page(packed, header.raw_bytes, header.digest) {
        Ok(content) => {
            assert_eq!((content.len(), xxh3_64(&content)), (header.raw_bytes as usize, header.digest))
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    true
}

/// A shard record or marker: what was read is written and read alike.
fn record<T>(payload: &[u8]) -> bool
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let Ok(value) = decode::<T>(&sealed(payload)) else { return false };
    match encode(&value).and_then(|written| decode::<T>(&written)) {
        Ok(again) => assert_eq!(again, value),
        Err(error) => panic!("a record we wrote is not read: {error}"),
    }
    true
}

/// Bytes as they may stand anywhere in the topic, and keys and metadata beside them.
fn unsealed(bytes: &[u8]) -> bool {
    let opened = decode::<ShardRecord>(bytes).is_ok() | decode::<Marker>(bytes).is_ok();
    let part = decode_page_part(bytes).is_ok();
    let key = Key::parse(bytes, 7);
    if let Some(key) = key {
        // A part numbered 0, or a number with zeros in front, is written shorter.
        assert_eq!(Key::parse(&key.bytes(7), 7), Some(key));
    }
    let number = std::str::from_utf8(bytes).ok().and_then(parse_number);
    opened || part || key.is_some() || number.is_some()
}
