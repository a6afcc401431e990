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

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Bucket {
    number: i64,
    /// Sorted.
    fingerprints: Vec<u64>,
}

/// Fingerprints of recent events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    newest_ms: i64,
    /// Everything before this instant is late, whatever the horizon says: its fingerprints were
    /// given up because of the limit.
    forgotten_before_ms: Option<i64>,
    /// Ascending by number.
    buckets: Vec<Bucket>,
}

impl Default for Filter {
    fn default() -> Self {
        Filter { newest_ms: i64::MIN, forgotten_before_ms: None, buckets: Vec::new() }
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
        if at_ms > self.newest_ms {
            self.newest_ms = at_ms;
            let oldest = at_ms.saturating_sub(horizon_ms).div_euclid(width);
            self.buckets.retain(|bucket| bucket.number >= oldest);
        }
        let number = at_ms.div_euclid(width);
        let index = match self.buckets.binary_search_by_key(&number, |bucket| bucket.number) {
            Ok(index) => index,
            Err(index) => {
                self.buckets.insert(index, Bucket { number, fingerprints: Vec::new() });
                index
            }
        };
        let fingerprints = &mut self.buckets[index].fingerprints;
        match fingerprints.binary_search(&fingerprint) {
            Ok(_) => Admission::Duplicate,
            Err(place) => {
                fingerprints.insert(place, fingerprint);
                self.forget_above(limit, width);
                Admission::New
            }
        }
    }

    fn forget_above(&mut self, limit: usize, width: i64) {
        while self.buckets.len() > 1
            && self.buckets.iter().map(|bucket| bucket.fingerprints.len()).sum::<usize>() > limit
        {
            let oldest = self.buckets.remove(0);
            self.forgotten_before_ms = Some((oldest.number + 1).saturating_mul(width));
        }
    }

    /// Whether stored buckets are well-formed: bytes from disk are not trusted.
    pub fn is_sound(&self) -> bool {
        self.buckets.is_sorted_by(|a, b| a.number < b.number)
            && self.buckets.iter().all(|bucket| bucket.fingerprints.is_sorted_by(|a, b| a < b))
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
