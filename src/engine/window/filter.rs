//! The duplicate filter of counted events: fingerprints per (account, kind, input) over a
//! horizon of that input's own event time.
//!
//! Per input, not per account: replay after a crash interleaves inputs differently from the
//! live run, and a filter over all inputs would then decide differently.

use serde::{Deserialize, Serialize};

/// The horizon is cut into this many buckets; forgetting is by bucket.
const BUCKETS_PER_HORIZON: i64 = 4;

/// What the filter says about one event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Never seen: count it.
    New,
    /// Seen: changes nothing.
    Duplicate,
    /// Older than the horizon: nobody can know whether it was seen, so it is put aside.
    Late,
}

/// Most buckets there can be at once: a horizon of few milliseconds is not cut evenly.
const MOST_BUCKETS: usize = 2 * BUCKETS_PER_HORIZON as usize;

/// Fingerprints of recent events.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Filter {
    newest_ms: i64,
    /// Everything before this instant is late, whatever the horizon says: its fingerprints were
    /// given up because of the limit.
    forgotten_before_ms: Option<i64>,
    /// Number of the first bucket; the others follow without a gap, empty ones included.
    first: i64,
    /// Where the fingerprints of each bucket end.
    ends: [u32; MOST_BUCKETS],
    /// Of all buckets one after the other, in one piece of memory; sorted within a bucket.
    fingerprints: Vec<u64>,
}

impl Default for Filter {
    fn default() -> Self {
        let (first, ends) = (0, [0; MOST_BUCKETS]);
        Filter { newest_ms: i64::MIN, forgotten_before_ms: None, first, ends, fingerprints: Vec::new() }
    }
}

impl Filter {
    /// Decides about an event and remembers it. `fingerprint` must cover id and time.
    pub fn admit(&mut self, fingerprint: u64, at_ms: i64, horizon_ms: i64, limit: usize) -> Admission {
        let forgotten = self.forgotten_before_ms.is_some_and(|before_ms| at_ms < before_ms);
        if at_ms < self.newest_ms.saturating_sub(horizon_ms) || forgotten {
            return Admission::Late;
        }
        let width = (horizon_ms / BUCKETS_PER_HORIZON).max(1);
        self.newest_ms = self.newest_ms.max(at_ms);
        self.begin_at(self.newest_ms.saturating_sub(horizon_ms).div_euclid(width));
        // Neither late nor newer than the newest, so it has a bucket.
        let last = MOST_BUCKETS as i64 - 1;
        let bucket = at_ms.div_euclid(width).saturating_sub(self.first).clamp(0, last) as usize;
        let (from, to) = self.range(bucket);
        match self.fingerprints[from..to].binary_search(&fingerprint) {
            Ok(_) => Admission::Duplicate,
            Err(place) => {
                self.fingerprints.insert(from + place, fingerprint);
                self.ends[bucket..].iter_mut().for_each(|end| *end += 1);
                self.forget_above(limit, width);
                Admission::New
            }
        }
    }

    /// Moves the first bucket. What lies before it is forgotten.
    fn begin_at(&mut self, first: i64) {
        let places = |by: i64| by.min(MOST_BUCKETS as i64) as usize;
        if first > self.first {
            let gone = places(first.saturating_sub(self.first));
            let ended = self.ends[gone - 1];
            self.fingerprints.drain(..ended as usize);
            self.ends.rotate_left(gone);
            self.ends.iter_mut().for_each(|end| *end = end.saturating_sub(ended));
            // Buckets that were rotated to the back have nothing in them yet.
            self.ends[MOST_BUCKETS - gone..].fill(self.fingerprints.len() as u32);
        } else if first < self.first {
            let new = places(self.first.saturating_sub(first));
            self.ends.rotate_right(new);
            self.ends[..new].fill(0);
            self.ends[MOST_BUCKETS - 1] = self.fingerprints.len() as u32;
        }
        self.first = first;
    }

    fn forget_above(&mut self, limit: usize, width: i64) {
        while self.fingerprints.len() > limit {
            let mut filled = self.buckets().map(|bucket| bucket.number);
            let (Some(oldest), Some(_)) = (filled.next(), filled.next()) else { return };
            drop(filled);
            self.begin_at(oldest + 1);
            self.forgotten_before_ms = Some((oldest + 1).saturating_mul(width));
        }
    }

    /// Where the fingerprints of a bucket lie.
    fn range(&self, bucket: usize) -> (usize, usize) {
        let from = bucket.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        (from, (self.ends[bucket] as usize).max(from))
    }

    /// The buckets that something is in, ascending.
    fn buckets(&self) -> impl Iterator<Item = Bucket<'_>> {
        let bucket = |place: usize| {
            let (from, to) = self.range(place);
            Bucket { number: self.first + place as i64, fingerprints: &self.fingerprints[from..to] }
        };
        (0..MOST_BUCKETS).map(bucket).filter(|bucket| !bucket.fingerprints.is_empty())
    }

    /// Reads a little of what the next event is compared with.
    pub(in crate::engine) fn glance(&self) -> u64 {
        self.fingerprints.last().copied().unwrap_or_default()
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.fingerprints.capacity() * size_of::<u64>()
    }

    /// Whether stored buckets are well-formed: bytes from disk are not trusted.
    pub fn is_sound(&self) -> bool {
        self.buckets().all(|bucket| bucket.fingerprints.is_sorted_by(|a, b| a < b))
    }
}

/// A bucket as it is stored.
#[derive(Debug, PartialEq, Serialize)]
struct Bucket<'a> {
    number: i64,
    fingerprints: &'a [u64],
}

/// Equality is about fingerprints, not about how far back there are buckets for them.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        (self.newest_ms, self.forgotten_before_ms) == (other.newest_ms, other.forgotten_before_ms)
            && self.buckets().eq(other.buckets())
    }
}

impl Eq for Filter {}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let buckets: Vec<Bucket<'_>> = self.buckets().collect();
        write!(f, "Filter {:?}", (self.newest_ms, self.forgotten_before_ms, buckets))
    }
}

/// Written as the buckets that something is in, ascending by number.
impl Serialize for Filter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let buckets: Vec<Bucket<'_>> = self.buckets().collect();
        (self.newest_ms, self.forgotten_before_ms, buckets).serialize(serializer)
    }
}

#[derive(Deserialize)]
struct Stored {
    newest_ms: i64,
    forgotten_before_ms: Option<i64>,
    buckets: Vec<(i64, Vec<u64>)>,
}

impl TryFrom<Stored> for Filter {
    type Error = &'static str;

    fn try_from(stored: Stored) -> Result<Filter, Self::Error> {
        let Stored { newest_ms, forgotten_before_ms, buckets } = stored;
        let first = buckets.first().map_or(0, |(number, _)| *number);
        let mut filter = Filter { newest_ms, forgotten_before_ms, first, ..Filter::default() };
        let mut next = first;
        for (number, fingerprints) in buckets {
            let place =
                number.checked_sub(first).filter(|&place| number >= next && place < MOST_BUCKETS as i64);
            let place = place.ok_or("buckets of fingerprints out of order")? as usize;
            next = number.saturating_add(1);
            filter.fingerprints.extend(fingerprints);
            filter.ends[place..].fill(filter.fingerprints.len() as u32);
        }
        Ok(filter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_late_events_are_told_apart() {
        let mut filter = Filter::default();
        assert_eq!(filter.admit(1, 1000, 400, 100), Admission::New);
        assert_eq!(filter.admit(1, 1000, 400, 100), Admission::Duplicate);
        assert_eq!(filter.admit(2, 1300, 400, 100), Admission::New);
        assert_eq!(filter.admit(1, 1000, 400, 100), Admission::Duplicate);
        assert_eq!(filter.admit(3, 899, 400, 100), Admission::Late);
        assert_eq!(filter.admit(4, 900, 400, 100), Admission::New);
    }

    #[test]
    fn past_the_limit_the_horizon_shrinks_instead_of_guessing() {
        let mut filter = Filter::default();
        for n in 0..10 {
            assert_eq!(filter.admit(n, 1000 + n as i64 * 30, 400, 4), Admission::New);
        }
        assert_eq!(filter.admit(0, 1000, 400, 4), Admission::Late);
        assert_eq!(filter.admit(9, 1270, 400, 4), Admission::Duplicate);
    }
}
