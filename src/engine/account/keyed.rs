//! Entities by key where the last writer wins, bounded: tickets, invoices, surveys, contacts,
//! contracts, master-data fields.
//!
//! The last writer is the greatest (`version` if given, `occurred_at`, event id, content). Over
//! the limit the entity whose last write is smallest is forgotten, and a monotone mark keeps
//! anything at or below it from coming back: what is kept is a function of the set of writes.

use serde::{Deserialize, Serialize};

/// The order of writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// The producer's version; none is smaller than any.
    pub version: Option<u64>,
    /// When the write happened.
    pub at_ms: i64,
    /// The event that wrote it; also the evidence that is named later.
    pub event_id: Box<str>,
}

/// One entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry<K, T> {
    /// Its key.
    pub key: K,
    /// Its last write.
    pub stamp: Stamp,
    /// Its state.
    pub value: T,
}

/// Entities, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed<K, T> {
    entries: Vec<Entry<K, T>>,
    forgotten: Option<(Stamp, K)>,
}

impl<K, T> Default for Keyed<K, T> {
    fn default() -> Self {
        Keyed { entries: Vec::new(), forgotten: None }
    }
}

/// What a write did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// It is the last write now.
    Applied,
    /// The very same write was here already.
    Duplicate,
    /// A later write is known.
    Superseded,
    /// It was forgotten because of the limit.
    Limited,
}

impl<K: Ord + Clone, T: Serialize + PartialEq> Keyed<K, T> {
    /// Merges one write.
    pub fn merge<Q>(&mut self, key: &Q, stamp: Stamp, value: T, limit: usize) -> Merge
    where
        Q: Ord + ?Sized,
        K: std::borrow::Borrow<Q> + for<'q> From<&'q Q>,
    {
        match self.entries.binary_search_by(|entry| entry.key.borrow().cmp(key)) {
            Ok(index) => {
                let entry = &mut self.entries[index];
                match stamp.cmp(&entry.stamp) {
                    std::cmp::Ordering::Less => Merge::Superseded,
                    std::cmp::Ordering::Equal if value == entry.value => Merge::Duplicate,
                    std::cmp::Ordering::Equal if encoded(&value) < encoded(&entry.value) => Merge::Superseded,
                    _ => {
                        entry.stamp = stamp;
                        entry.value = value;
                        Merge::Applied
                    }
                }
            }
            Err(index) => {
                let refused = self
                    .forgotten
                    .as_ref()
                    .is_some_and(|(mark, mark_key)| (&stamp, key) <= (mark, mark_key.borrow()));
                if refused {
                    return Merge::Limited;
                }
                self.entries.insert(index, Entry { key: K::from(key), stamp, value });
                self.forget_above(limit);
                Merge::Applied
            }
        }
    }

    fn forget_above(&mut self, limit: usize) {
        while self.entries.len() > limit {
            let smallest = (0..self.entries.len())
                .min_by(|&a, &b| self.entries[a].order().cmp(&self.entries[b].order()));
            let Some(index) = smallest else { return };
            let gone = self.entries.remove(index);
            self.forgotten = Some((gone.stamp, gone.key));
        }
    }

    /// All entities, by key.
    pub fn iter(&self) -> std::slice::Iter<'_, Entry<K, T>> {
        self.entries.iter()
    }

    /// One entity.
    pub fn get<Q>(&self, key: &Q) -> Option<&Entry<K, T>>
    where
        Q: Ord + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let index = self.entries.binary_search_by(|entry| entry.key.borrow().cmp(key)).ok()?;
        self.entries.get(index)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether stored entries are sorted: bytes from disk are not trusted.
    pub fn is_sound(&self) -> bool {
        self.entries.is_sorted_by(|a, b| a.key < b.key)
    }
}

impl<K, T> Entry<K, T> {
    fn order(&self) -> (&Stamp, &K) {
        (&self.stamp, &self.key)
    }
}

/// The tie-break between two contents written by the same event id at the same time: by
/// contract that never happens, but the result must still not depend on order.
fn encoded<T: Serialize>(value: &T) -> Vec<u8> {
    postcard::to_stdvec(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stamp(at_ms: i64, id: u8) -> Stamp {
        Stamp { version: None, at_ms, event_id: id.to_string().into() }
    }

    #[test]
    fn the_last_writer_wins() {
        let mut entities: Keyed<Box<str>, u32> = Keyed::default();
        assert_eq!(entities.merge("t1", stamp(5, 1), 10, 9), Merge::Applied);
        assert_eq!(entities.merge("t1", stamp(4, 2), 20, 9), Merge::Superseded);
        assert_eq!(entities.merge("t1", stamp(5, 1), 10, 9), Merge::Duplicate);
        let versioned = Stamp { version: Some(1), ..stamp(1, 3) };
        assert_eq!(entities.merge("t1", versioned, 30, 9), Merge::Applied);
        assert_eq!(entities.get("t1").map(|entry| entry.value), Some(30));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        #[test]
        fn order_does_not_matter_past_the_limit(
            writes in proptest::collection::vec((0_u8..8, 0_i64..20, 0_u8..3, 0_u32..3), 1..50),
            limit in 1_usize..10,
        ) {
            let build = |list: &mut dyn Iterator<Item = &(u8, i64, u8, u32)>| {
                let mut entities: Keyed<Box<str>, u32> = Keyed::default();
                for (key, at, id, value) in list {
                    entities.merge(key.to_string().as_str(), stamp(*at, *id), *value, limit);
                }
                entities
            };
            prop_assert_eq!(build(&mut writes.iter()), build(&mut writes.iter().rev()));
        }
    }
}
