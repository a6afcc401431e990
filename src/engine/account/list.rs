//! Entities that lie as they are stored until somebody asks for them: an account that was packed is
//! opened for one event, and most events need none of its lists. What is never read is never written anew
//! either.
//!
//! Only for bytes of our own writing, which never left memory; those of pages are read at once.

use super::keyed::Keyed;
use crate::engine::plain::{self, Plain};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cell::OnceCell;
use std::fmt;
use std::ops::{Deref, DerefMut, Range};
use std::sync::Arc;

/// Entities, perhaps not read yet.
#[derive(Clone)]
pub struct List<K, T> {
    known: OnceCell<Keyed<K, T>>,
    /// As they are stored, until one is written.
    stored: Option<Piece>,
}

/// No entities, and none forgotten.
const EMPTY: [u8; 2] = [0, 0];

/// A piece of stored bytes.
#[derive(Clone)]
struct Piece {
    /// Of all lists of an account.
    bytes: Arc<[u8]>,
    from: u32,
    to: u32,
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        &self.bytes[self.from as usize..self.to as usize]
    }

    #[expect(clippy::expect_used, reason = "bytes of our own writing, which never left memory, decode")]
    fn read<T: Plain>(&self) -> T {
        postcard::from_bytes(self.bytes()).expect("packed lists decode")
    }

    /// The number it begins with, which is how many entities there are.
    fn first(&self) -> usize {
        postcard::take_from_bytes::<u32>(self.bytes()).map_or(0, |(number, _)| number as usize)
    }
}

/// Lists of whatever entities.
pub(super) trait Stored {
    /// Appends what is stored of them.
    fn append_to(&self, bytes: &mut Vec<u8>);
}

impl<K: Plain, T: Plain> Stored for List<K, T> {
    fn append_to(&self, bytes: &mut Vec<u8>) {
        match &self.stored {
            Some(stored) => bytes.extend_from_slice(stored.bytes()),
            None => plain::append(bytes, self.known()),
        }
    }
}

impl<K, T> List<K, T> {
    /// What [`Stored::append_to`] wrote, in a part of these bytes.
    pub(super) fn stored(bytes: &Arc<[u8]>, range: Range<usize>) -> Self {
        if bytes.get(range.clone()) == Some(&EMPTY) {
            // Its piece would keep those of the others in memory.
            return List::default();
        }
        let piece = Piece { bytes: Arc::clone(bytes), from: range.start as u32, to: range.end as u32 };
        List { known: OnceCell::new(), stored: Some(piece) }
    }
}

impl<K: Plain, T: Plain> List<K, T> {
    fn known(&self) -> &Keyed<K, T> {
        self.known.get_or_init(|| self.stored.as_ref().map(Piece::read).unwrap_or_default())
    }
}

impl<K: Ord + Clone + Plain, T: PartialEq + Plain> List<K, T> {
    /// How many.
    pub fn len(&self) -> usize {
        match (self.known.get(), &self.stored) {
            (Some(known), _) => known.len(),
            (None, Some(stored)) => stored.first(),
            (None, None) => 0,
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// About how many bytes of memory it has taken beside its own, ids included, but for stored ones.
    pub fn bytes(&self) -> usize {
        self.known.get().map_or(0, Keyed::bytes)
    }

    /// Bytes of memory of which its stored ones are a piece: all lists of an account have the same.
    pub fn stored_bytes(&self) -> usize {
        self.stored.as_ref().map_or(0, |piece| piece.bytes.len())
    }
}

impl<K: Plain, T: Plain> Deref for List<K, T> {
    type Target = Keyed<K, T>;

    fn deref(&self) -> &Keyed<K, T> {
        self.known()
    }
}

impl<K: Plain, T: Plain> DerefMut for List<K, T> {
    fn deref_mut(&mut self) -> &mut Keyed<K, T> {
        self.known();
        // It will no longer be true.
        self.stored = None;
        match self.known.get_mut() {
            Some(known) => known,
            None => unreachable!("they were just read"),
        }
    }
}

impl<K, T> Default for List<K, T> {
    fn default() -> Self {
        List { known: OnceCell::new(), stored: None }
    }
}

/// Whether they were read yet is no difference.
impl<K: PartialEq + Plain, T: PartialEq + Plain> PartialEq for List<K, T> {
    fn eq(&self, other: &Self) -> bool {
        self.known() == other.known()
    }
}

impl<K: Eq + Plain, T: Eq + Plain> Eq for List<K, T> {}

impl<K: fmt::Debug + Plain, T: fmt::Debug + Plain> fmt::Debug for List<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.known().fmt(f)
    }
}

impl<K: Plain, T: Plain> Serialize for List<K, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.known().serialize(serializer)
    }
}

impl<'de, K: Deserialize<'de>, T: Deserialize<'de>> Deserialize<'de> for List<K, T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Keyed::deserialize(deserializer).map(|known| List { known: OnceCell::from(known), stored: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::account::Stamp;

    fn list(entities: u32) -> List<Box<str>, u32> {
        let mut list = List::default();
        for n in 0..entities {
            let stamp = Stamp { version: None, at_ms: n.into(), event_id: n.to_string().into() };
            list.merge(&*format!("t{n:03}"), stamp, n, 1000);
        }
        list
    }

    #[test]
    fn a_list_that_was_not_read_is_the_same_list() {
        for entities in [0, 1, 200] {
            let list = list(entities);
            let mut bytes = b"before".to_vec();
            list.append_to(&mut bytes);
            assert_eq!(bytes[6..], postcard::to_stdvec(&list).unwrap());
            let to = bytes.len();
            bytes.push(0xff);
            let mut again = List::stored(&bytes.into(), 6..to);
            assert_eq!((again.len(), again.is_empty()), (entities as usize, entities == 0));
            let mut written = Vec::new();
            again.append_to(&mut written);
            assert!(entities == 0 || again.known.get().is_none(), "nothing of this reads it");
            assert_eq!(again.stored_bytes() > 0, entities > 0, "an empty one keeps nothing in memory");
            assert_eq!(written, postcard::to_stdvec(&list).unwrap());
            assert_eq!(again, list);
            let stamp = Stamp { version: None, at_ms: 1000, event_id: "new".into() };
            again.merge("t", stamp, 7, 1000);
            let mut written = Vec::new();
            again.append_to(&mut written);
            assert_eq!(written, postcard::to_stdvec(&again).unwrap());
            assert_eq!(again.len(), list.len() + 1);
        }
    }
}
