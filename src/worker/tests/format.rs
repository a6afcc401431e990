//! Round trips, and decoders that survive any bytes.

use crate::engine::{Covered, PageId};
use crate::worker::format::*;
use proptest::prelude::*;

fn stamp(commit: u64) -> CopyStamp {
    CopyStamp { partition: 2, page: PageId(9), commit, positions: vec![7, 8], covered: Some(Covered(20_000)) }
}

fn shard_record() -> ShardRecord {
    ShardRecord {
        partition: 2,
        commit: 11,
        clock_ms: Some(-5),
        config_epoch: 3,
        config_version: "abc".to_owned(),
        evaluated: true,
        newest_ms: vec![None, Some(4)],
        identity: StateIdentity {
            partitions: 4,
            inputs: vec!["in".to_owned()],
            person_key: 1,
            engine: "e".to_owned(),
        },
    }
}

#[test]
fn keys_round_trip_and_belong_to_one_shard() {
    let page = |slot, part| Key::Page { page: PageId(255), slot, part };
    let keys = [
        (Key::Shard, "shard/3"),
        (Key::Marker(Slot::One), "marker/3/1"),
        (page(Slot::Zero, 0), "page/3/255/0"),
        (page(Slot::One, 2), "page/3/255/1/2"),
    ];
    for (key, text) in keys {
        assert_eq!(key.bytes(3), text.as_bytes());
        assert_eq!(Key::parse(text.as_bytes(), 3), Some(key));
        assert_eq!(Key::parse(text.as_bytes(), 4), None);
    }
    for other in ["", "shard", "shard/3/1", "marker/3/2", "page/3/256/0", "page/3/1/0/1/2", "pages/3/1/0"] {
        assert_eq!(Key::parse(other.as_bytes(), 3), None, "{other}");
    }
}

#[test]
fn the_number_beside_a_position_round_trips_and_foreign_text_is_none() {
    assert_eq!(parse_number(&number_text(17)), Some(17));
    for foreign in ["", "17", "accountpulse/1 commit=", "accountpulse/1 commit=-1", "flink"] {
        assert_eq!(parse_number(foreign), None, "{foreign}");
    }
}

#[test]
fn records_round_trip_and_every_flipped_bit_is_noticed() {
    let record = shard_record();
    let bytes = encode(&record).unwrap();
    assert_eq!(decode::<ShardRecord>(&bytes).unwrap(), record);
    for index in 0..bytes.len() {
        for bit in 0..8 {
            let mut rotten = bytes.clone();
            rotten[index] ^= 1 << bit;
            assert!(decode::<ShardRecord>(&rotten).is_err(), "byte {index}, bit {bit}");
        }
    }
    for cut in 0..bytes.len() {
        assert!(decode::<ShardRecord>(&bytes[..cut]).is_err());
    }
}

#[test]
fn a_newer_version_is_named() {
    let mut bytes = encode(&shard_record()).unwrap();
    bytes[0] = FORMAT_VERSION + 1;
    assert_eq!(decode::<ShardRecord>(&bytes), Err(FormatError::Version { found: FORMAT_VERSION + 1 }));
}

#[test]
fn a_page_is_split_and_put_together() {
    let content: Vec<u8> = (0..9_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let parts = encode_page(&stamp(5), &content, 4_096).unwrap();
    assert!(parts.len() > 3);
    let mut packed = Vec::new();
    for (index, part) in parts.iter().enumerate() {
        let (header, body) = decode_page_part(part).unwrap();
        assert_eq!((usize::from(header.part), usize::from(header.parts)), (index, parts.len()));
        assert_eq!((header.commit, header.digest), (5, digest(&content)));
        packed.extend_from_slice(body);
    }
    let raw = u32::try_from(content.len()).unwrap();
    assert_eq!(unpack_page(&packed, raw, digest(&content)).unwrap(), content);
    assert!(unpack_page(&packed, raw - 1, digest(&content)).is_err());
    assert!(unpack_page(&packed, raw, digest(&content) ^ 1).is_err());
    assert!(unpack_page(&packed, MAX_PAGE_BYTES + 1, 0).is_err());
}

#[test]
fn a_length_that_no_content_has_costs_no_memory() {
    let content = vec![7; 1_000_000];
    let packed = lz4_flex::block::compress(&content);
    assert!(packed.len() * 250 < content.len(), "the most that lz4 packs: {} bytes", packed.len());
    assert_eq!(unpack_page(&packed, 1_000_000, digest(&content)).as_deref(), Ok(&content[..]));
    let refused = unpack_page(&packed, MAX_PAGE_BYTES, digest(&content));
    assert_eq!(refused, Err(FormatError::Parts { detail: "the page is larger than its content can be" }));
}

#[test]
fn an_empty_page_is_a_page() {
    let parts = encode_page(&stamp(5), &[], 4_096).unwrap();
    let (header, body) = decode_page_part(&parts[0]).unwrap();
    assert_eq!(unpack_page(body, header.raw_bytes, header.digest).unwrap(), Vec::<u8>::new());
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode::<ShardRecord>(&bytes);
        let _ = decode::<Marker>(&bytes);
        let _ = decode_page_part(&bytes);
        let _ = unpack_page(&bytes, 100, 0);
        let _ = Key::parse(&bytes, 0);
    }

    #[test]
    fn no_sealed_payload_makes_a_decoder_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        // Past the checksum, so that the payload decoders themselves are reached.
        let mut sealed = vec![FORMAT_VERSION];
        sealed.extend_from_slice(&digest(&bytes).to_le_bytes());
        sealed.extend_from_slice(&bytes);
        let _ = decode::<ShardRecord>(&sealed);
        let _ = decode::<Marker>(&sealed);
        if let Ok((header, body)) = decode_page_part(&sealed) {
            let _ = unpack_page(body, header.raw_bytes.min(10_000), header.digest);
        }
    }
}
