//! Pseudonyms of persons: an 8-byte keyed hash (SipHash-2-4), so that state, outputs and logs
//! never hold a raw user id. The key lives in a secret file; without it nobody can link a
//! pseudonym back to a person by hashing candidate ids.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// The pseudonym of a person within this deployment.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PersonId(pub u64);

impl std::fmt::Debug for PersonId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "person:{:016x}", self.0)
    }
}

/// The secret key of the pseudonyms. Never printed.
#[derive(Clone)]
pub struct PersonKey {
    key: [u8; 16],
}

impl PersonKey {
    /// A key from 16 secret bytes.
    pub const fn new(key: [u8; 16]) -> Self {
        PersonKey { key }
    }

    /// The pseudonym of a raw user id.
    pub fn pseudonym(&self, raw: &str) -> PersonId {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(raw.as_bytes());
        PersonId(hasher.finish())
    }

    /// A short digest that tells two keys apart without revealing either; stored with the state
    /// so that a changed key is noticed instead of silently doubling every user.
    pub fn fingerprint(&self) -> u64 {
        self.pseudonym("accountpulse pseudonym key fingerprint").0
    }
}

impl std::fmt::Debug for PersonKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PersonKey(<secret>)")
    }
}
