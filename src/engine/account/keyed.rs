//! Entities by key where the last writer wins, bounded: tickets, invoices, surveys, contacts,
//! contracts, master-data fields.
//!
//! The last writer is the greatest (`version` if given, `occurred_at`, event id, content). Over
//! the limit the entity that was not written for longest is forgotten — by time, whatever the
//! versions say — and a monotone mark keeps every write at or before it from coming back. Where
//! versions and times disagree, the newer writes that lost by version are kept beside the winner,
//! because the mark may pass the winner and not them. So what is kept is a function of the set
//! of writes.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{VecDeque, vec_deque};

/// About what the key of an entity and the id of the event that wrote it take.
const BYTES_OF_IDS: usize = 80;

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
    /// Writes that lost by version but happened later, in order of time. Nearly always empty.
    newer: Vec<(Stamp, T)>,
}

/// Entities, sorted by key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyed<K, T> {
    /// A double-ended queue, because past the limit the oldest goes when a new one comes: mostly the first
    /// when the last.
    entries: VecDeque<Entry<K, T>>,
    /// Writes at or before this (time, key) are forgotten for ever.
    forgotten: Option<(i64, K)>,
}

impl<K, T> Default for Keyed<K, T> {
    fn default() -> Self {
        Keyed { entries: VecDeque::new(), forgotten: None }
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

/// What a write changed among the values that count.
#[derive(Debug)]
pub enum Moved<'a, T> {
    /// This one counts from now on.
    Came(&'a T),
    /// This one counts no longer.
    Gone(&'a T),
}

impl<K: Ord + Clone, T: Serialize + PartialEq> Keyed<K, T> {
    /// Merges one write.
    pub fn merge<Q>(&mut self, key: &Q, stamp: Stamp, value: T, limit: usize) -> Merge
    where
        Q: Ord + ?Sized,
        K: std::borrow::Borrow<Q> + for<'q> From<&'q Q>,
    {
        self.merge_telling(key, stamp, value, limit, &mut |_| {})
    }

    /// The same, telling each value that comes or goes by it.
    pub fn merge_telling<Q>(
        &mut self,
        key: &Q,
        stamp: Stamp,
        value: T,
        limit: usize,
        tell: &mut impl FnMut(Moved<'_, T>),
    ) -> Merge
    where
        Q: Ord + ?Sized,
        K: std::borrow::Borrow<Q> + for<'q> From<&'q Q>,
    {
        let place = self.place(key);
        let mark = self.forgotten.as_ref().map(|(mark_ms, mark_key)| (*mark_ms, mark_key.borrow()));
        if mark.is_some_and(|mark| (stamp.at_ms, key) <= mark) {
            // The entity may be here through a newer write; then this one merely came too late.
            return if place.is_ok() { Merge::Superseded } else { Merge::Limited };
        }
        match place {
            Ok(index) => self.entries[index].write(stamp, value, tell),
            Err(index) => {
                tell(Moved::Came(&value));
                self.entries.insert(index, Entry { key: K::from(key), stamp, value, newer: Vec::new() });
                self.forget_above(limit, tell);
                Merge::Applied
            }
        }
    }

    /// The place of an entity, or where it belongs. Most writes are of the newest entity, and ids
    /// mostly rise: the last one is looked at first, since each look at another is far away.
    fn place<Q>(&self, key: &Q) -> Result<usize, usize>
    where
        Q: Ord + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        let Some(last) = self.entries.back() else { return Err(0) };
        match key.cmp(last.key.borrow()) {
            Ordering::Greater => Err(self.entries.len()),
            Ordering::Equal => Ok(self.entries.len() - 1),
            Ordering::Less => self.entries.binary_search_by(|entry| entry.key.borrow().cmp(key)),
        }
    }

    fn forget_above(&mut self, limit: usize, tell: &mut impl FnMut(Moved<'_, T>)) {
        while self.entries.len() > limit {
            let written = self.entries.iter().map(Entry::last_written).enumerate();
            let Some((index, _)) = written.min_by(|a, b| a.1.cmp(&b.1)) else { return };
            let Some(gone) = self.entries.remove(index) else { return };
            tell(Moved::Gone(&gone.value));
            let mark_ms = gone.last_written().0;
            for entry in self.entries.iter_mut().filter(|entry| !entry.newer.is_empty()) {
                entry.forget_through(mark_ms, &gone.key, tell);
            }
            self.forgotten = Some((mark_ms, gone.key));
        }
    }

    /// All entities, by key.
    pub fn iter(&self) -> vec_deque::Iter<'_, Entry<K, T>> {
        self.entries.iter()
    }

    /// One entity.
    pub fn get<Q>(&self, key: &Q) -> Option<&Entry<K, T>>
    where
        Q: Ord + ?Sized,
        K: std::borrow::Borrow<Q>,
    {
        self.entries.get(self.place(key).ok()?)
    }

    /// About how many bytes of memory it has taken beside its own, ids included.
    pub fn bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<K, T>>() + self.entries.len() * BYTES_OF_IDS
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
        self.entries.iter().is_sorted_by(|a, b| a.key < b.key)
    }
}

impl<K: Ord, T: Serialize + PartialEq> Entry<K, T> {
    fn write(&mut self, stamp: Stamp, value: T, tell: &mut impl FnMut(Moved<'_, T>)) -> Merge {
        match wins((&stamp, &value), (&self.stamp, &self.value)) {
            Some(true) => {
                tell(Moved::Gone(&self.value));
                tell(Moved::Came(&value));
                let (stamp_before, before) =
                    (std::mem::replace(&mut self.stamp, stamp), std::mem::replace(&mut self.value, value));
                self.keep_newer(stamp_before, before);
                self.prune();
                Merge::Applied
            }
            Some(false) => {
                self.keep_newer(stamp, value);
                Merge::Superseded
            }
            None => Merge::Duplicate,
        }
    }

    /// Keeps a write that lost, if it happened after every write that beats it.
    fn keep_newer(&mut self, stamp: Stamp, value: T) {
        if stamp.at_ms <= self.stamp.at_ms {
            return;
        }
        let beaten = |other: &(Stamp, T)| {
            other.0.at_ms >= stamp.at_ms && wins((&stamp, &value), (&other.0, &other.1)) != Some(true)
        };
        if self.newer.iter().any(beaten) {
            return;
        }
        self.newer.retain(|other| {
            other.0.at_ms > stamp.at_ms || wins((&other.0, &other.1), (&stamp, &value)) == Some(true)
        });
        let place = self.newer.partition_point(|other| other.0.at_ms < stamp.at_ms);
        self.newer.insert(place, (stamp, value));
    }

    /// Drops what the winner itself is newer than.
    fn prune(&mut self) {
        let at_ms = self.stamp.at_ms;
        self.newer.retain(|other| other.0.at_ms > at_ms);
    }

    /// The (time, key) of the newest write.
    fn last_written(&self) -> (i64, &K) {
        (self.newer.last().map_or(self.stamp.at_ms, |(stamp, _)| stamp.at_ms), &self.key)
    }

    /// Forgets writes at or before a (time, key); the newest one is after it.
    fn forget_through(&mut self, mark_ms: i64, mark_key: &K, tell: &mut impl FnMut(Moved<'_, T>)) {
        while (self.stamp.at_ms, &self.key) <= (mark_ms, mark_key) && !self.newer.is_empty() {
            tell(Moved::Gone(&self.value));
            (self.stamp, self.value) = self.newer.remove(0);
            tell(Moved::Came(&self.value));
        }
    }
}

/// Whether the first write beats the second; `None` when they are the same write.
fn wins<T: Serialize + PartialEq>(a: (&Stamp, &T), b: (&Stamp, &T)) -> Option<bool> {
    match a.0.cmp(b.0) {
        Ordering::Equal if a.1 == b.1 => None,
        Ordering::Equal => Some(encoded(a.1) > encoded(b.1)),
        order => Some(order == Ordering::Greater),
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

    #[test]
    fn versions_do_not_decide_who_is_forgotten() {
        let mut entities: Keyed<Box<str>, u32> = Keyed::default();
        for n in 0..4 {
            let stamp = Stamp { version: Some(9), ..stamp(n, 0) };
            assert_eq!(entities.merge(&*format!("old{n}"), stamp, 0, 4), Merge::Applied);
        }
        assert_eq!(entities.merge("new", stamp(10, 0), 0, 4), Merge::Applied);
        assert!(entities.get("new").is_some());
        assert!(entities.get("old0").is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn order_does_not_matter_past_the_limit(
            // Versions that agree with time, disagree with it, or are missing.
            writes in proptest::collection::vec((0_u8..8, 0_i64..20, 0_u8..3, 0_u32..3, 0_u64..4), 1..50),
            limit in 1_usize..10,
        ) {
            let build = |list: &mut dyn Iterator<Item = &(u8, i64, u8, u32, u64)>| {
                let mut entities: Keyed<Box<str>, u32> = Keyed::default();
                for (key, at, id, value, version) in list {
                    let stamp = Stamp { version: version.checked_sub(1), ..stamp(*at, *id) };
                    entities.merge(key.to_string().as_str(), stamp, *value, limit);
                }
                entities
            };
            prop_assert_eq!(build(&mut writes.iter()), build(&mut writes.iter().rev()));
        }
    }
}
