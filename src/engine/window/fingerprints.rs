//! Fingerprints in buckets of time, eight bytes each. Those of all buckets lie one after the other in
//! one piece of memory, sorted within a bucket: few bytes, quickly searched, and written as they are.
//!
//! A sorted list of a hundred thousand is not moved for each that comes: where there are many, new
//! ones wait unsettled until they are about the root of all, and are settled together. Whether one is
//! settled makes no difference to anybody outside this file.

use super::spread;
use std::borrow::Cow;

/// Most buckets there can be at once.
pub(super) const MOST_BUCKETS: usize = 8;
/// Fewer than these are moved in no time.
const SETTLED_AT_ONCE: usize = 1024;
/// Room for unsettled ones at first: one more than the root of four times as many settled ones.
const UNSETTLED_AT_FIRST: usize = 65;

/// See above.
#[derive(Clone, Debug, Default)]
pub(super) struct Fingerprints {
    /// Number of the first bucket; the others follow without a gap, empty ones included.
    first: i64,
    /// Where the settled ones of each bucket end.
    ends: [u32; MOST_BUCKETS],
    settled: Vec<u64>,
    /// Place of the bucket, counted from the first, and fingerprint; in the order they came.
    unsettled: Vec<(u8, u64)>,
}

impl Fingerprints {
    /// Takes buckets from `first` on that were written, in order.
    pub(super) fn of_buckets(buckets: Vec<(i64, Vec<u64>)>) -> Result<Fingerprints, &'static str> {
        let first = buckets.first().map_or(0, |(number, _)| *number);
        let mut all = Fingerprints { first, ..Fingerprints::default() };
        let mut next = first;
        for (number, fingerprints) in buckets {
            let place =
                number.checked_sub(first).filter(|&place| number >= next && place < MOST_BUCKETS as i64);
            let place = place.ok_or("buckets of fingerprints out of order")? as usize;
            next = number.saturating_add(1);
            all.settled.extend(fingerprints);
            all.ends[place..].fill(all.settled.len() as u32);
        }
        Ok(all)
    }

    /// Adds one to a bucket (clamped to those there are); `false` if it is there already.
    pub(super) fn insert(&mut self, bucket: i64, fingerprint: u64) -> bool {
        let last = MOST_BUCKETS as i64 - 1;
        let place = bucket.saturating_sub(self.first).clamp(0, last) as usize;
        let new = (place as u8, fingerprint);
        let (from, to) = self.range(place);
        let here = &self.settled[from..to];
        let Err(index) = spread::find(here.len(), |index| here[index], fingerprint) else { return false };
        if self.unsettled.contains(&new) {
            return false;
        }
        if self.settled.len() < SETTLED_AT_ONCE {
            self.settled.insert(from + index, fingerprint);
            self.ends[place..].iter_mut().for_each(|end| *end += 1);
        } else {
            if self.unsettled.capacity() == 0 {
                self.unsettled.reserve(UNSETTLED_AT_FIRST);
            }
            self.unsettled.push(new);
            if self.unsettled.len() > self.settled.len().isqrt() {
                self.settle();
            }
        }
        true
    }

    fn settle(&mut self) {
        self.unsettled.sort_unstable();
        let (mut end, mut gap) = (self.settled.len(), self.unsettled.len());
        self.settled.resize(end + gap, 0);
        // From the last one on, so that everything moves once.
        for &(place, fingerprint) in self.unsettled.iter().rev() {
            let (from, to) = self.range(usize::from(place));
            let here = &self.settled[from..to.min(end)];
            let at = from + here.partition_point(|&other| other < fingerprint);
            self.settled.copy_within(at..end, at + gap);
            gap -= 1;
            self.settled[at + gap] = fingerprint;
            end = at;
        }
        for (place, _) in self.unsettled.drain(..) {
            self.ends[usize::from(place)..].iter_mut().for_each(|end| *end += 1);
        }
    }

    /// Moves the first bucket. What lies before it is forgotten.
    pub(super) fn begin_at(&mut self, first: i64) {
        if first == self.first {
            return;
        }
        self.settle();
        let places = |by: i64| by.min(MOST_BUCKETS as i64) as usize;
        if first > self.first {
            let gone = places(first.saturating_sub(self.first));
            let ended = self.ends[gone - 1];
            self.settled.drain(..ended as usize);
            self.ends.rotate_left(gone);
            self.ends.iter_mut().for_each(|end| *end = end.saturating_sub(ended));
            // Buckets that were rotated to the back have nothing in them yet.
            self.ends[MOST_BUCKETS - gone..].fill(self.settled.len() as u32);
        } else {
            let new = places(self.first.saturating_sub(first));
            self.ends.rotate_right(new);
            self.ends[..new].fill(0);
            self.ends[MOST_BUCKETS - 1] = self.settled.len() as u32;
        }
        self.first = first;
    }

    /// How many.
    pub(super) fn len(&self) -> usize {
        self.settled.len() + self.unsettled.len()
    }

    /// The number of the first bucket that something is in, if there is another such bucket.
    pub(super) fn oldest_of_several(&self) -> Option<i64> {
        let is_filled = |place: &usize| {
            let (from, to) = self.range(*place);
            from < to || self.unsettled.iter().any(|(other, _)| usize::from(*other) == *place)
        };
        let mut filled = (0..MOST_BUCKETS).filter(is_filled);
        let oldest = filled.next()?;
        filled.next().map(|_| self.first.saturating_add(oldest as i64))
    }

    /// Where the settled ones of a bucket lie.
    fn range(&self, place: usize) -> (usize, usize) {
        let from = place.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        (from, (self.ends[place] as usize).max(from))
    }

    /// The same, all settled.
    pub(super) fn settled(&self) -> Cow<'_, Fingerprints> {
        if self.unsettled.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut settled = self.clone();
        settled.settle();
        Cow::Owned(settled)
    }

    /// The buckets that something settled is in, ascending, with their numbers.
    pub(super) fn buckets(&self) -> impl Iterator<Item = (i64, &[u64])> {
        let bucket = |place: usize| {
            let (from, to) = self.range(place);
            (self.first.saturating_add(place as i64), &self.settled[from..to])
        };
        (0..MOST_BUCKETS).map(bucket).filter(|(_, fingerprints)| !fingerprints.is_empty())
    }

    /// Reads a little of what the next one is compared with.
    pub(super) fn glance(&self) -> u64 {
        let unsettled = self.unsettled.last().map_or(0, |(_, fingerprint)| *fingerprint);
        self.settled.last().map_or(0, |settled| settled ^ unsettled)
    }

    /// Bytes of memory it has taken beside its own.
    pub(super) fn bytes(&self) -> usize {
        self.settled.capacity() * size_of::<u64>() + self.unsettled.capacity() * size_of::<(u8, u64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn settled_or_not_they_are_the_sets_they_were_made_of(
            steps in proptest::collection::vec((any::<u64>(), 0_i64..100, 0_u8..3), 1..60),
        ) {
            let (mut all, mut naive) = (Fingerprints::default(), BTreeMap::<i64, Vec<u64>>::new());
            let mut first = 0;
            for (seed, bucket, kind) in steps {
                // Many of one bucket, a few of others, and now and then the first one moves.
                for n in 0..if kind == 0 { 400 } else { 3 } {
                    let bucket = first + bucket % MOST_BUCKETS as i64;
                    let fingerprint = (seed ^ (n / 2)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let known = naive.entry(bucket).or_default();
                    prop_assert_eq!(all.insert(bucket, fingerprint), !known.contains(&fingerprint));
                    if !known.contains(&fingerprint) {
                        known.push(fingerprint);
                    }
                }
                if kind == 2 && seed % 5 == 0 {
                    first += 1;
                    all.begin_at(first);
                    naive.retain(|bucket, _| *bucket >= first);
                }
            }
            naive.retain(|_, known| !known.is_empty());
            naive.values_mut().for_each(|known| known.sort_unstable());
            prop_assert_eq!(all.len(), naive.values().map(Vec::len).sum::<usize>());
            let several = naive.keys().next().filter(|_| naive.len() > 1);
            prop_assert_eq!(all.oldest_of_several(), several.copied());
            let settled = all.settled();
            let found: Vec<_> = settled.buckets().collect();
            let expected: Vec<_> = naive.iter().map(|(bucket, known)| (*bucket, &known[..])).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
