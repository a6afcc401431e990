//! The id of each record, for readers that have to tell one from another.
//!
//! A transition is named by its episode and number, so a transition that is told again, by a
//! replay or after a commit that failed, has the same id. A score has no number: which scores
//! are published on the way depends on where commits fall. Its id is a digest of everything the
//! record says, so equal ids mean equal records, whatever the encoding.

use super::RiskTransition;
use xxhash_rust::xxh3::xxh3_128;

/// The id of a score, from the protobuf bytes of its record: 32 hexadecimal digits.
pub fn score_id(protobuf: &[u8]) -> [u8; 32] {
    hexadecimal(xxh3_128(protobuf))
}

/// 32 hexadecimal digits.
pub fn hexadecimal(digest: u128) -> [u8; 32] {
    let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
    let mut digits = [0; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(digest.to_be_bytes()) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    digits
}

/// The id of a transition: its `id`, a slash, its `transition_seq`.
pub fn transition_id(risk: &RiskTransition) -> Vec<u8> {
    let mut id = Vec::with_capacity(risk.id.len() + 11);
    id.extend_from_slice(risk.id.as_bytes());
    id.push(b'/');
    push_decimal(&mut id, risk.transition_seq);
    id
}

fn push_decimal(out: &mut Vec<u8>, value: u32) {
    if value >= 10 {
        push_decimal(out, value / 10);
    }
    out.push(b'0' + (value % 10) as u8);
}
