//! The duplicate filter of counted events: fingerprints per (account, kind, input) over a
//! horizon of that input's own event time.
//!
//! Per input, not per account: replay after a crash interleaves inputs differently from the
//! live run, and a filter over all inputs would then decide differently.

use super::fingerprints::{Fingerprints, MOST_BUCKETS};
use serde::{Deserialize, Serialize};

/// The horizon is cut into this many buckets; forgetting is by bucket.
const BUCKETS_PER_HORIZON: i64 = 4;
/// A horizon of few milliseconds is not cut evenly.
const _: () = assert!(MOST_BUCKETS as i64 >= 2 * BUCKETS_PER_HORIZON);

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

/// Fingerprints of recent events.
#[derive(Clone, Deserialize)]
#[serde(try_from = "Stored")]
pub struct Filter {
    newest_ms: i64,
    /// Everything before this instant is late, whatever the horizon says: its fingerprints were
    /// given up because of the limit.
    forgotten_before_ms: Option<i64>,
    fingerprints: Fingerprints,
}

impl Default for Filter {
    fn default() -> Self {
        Filter { newest_ms: i64::MIN, forgotten_before_ms: None, fingerprints: Fingerprints::default() }
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
        self.fingerprints.begin_at(self.newest_ms.saturating_sub(horizon_ms).div_euclid(width));
        // Neither late nor newer than the newest, so it has a bucket.
        if !self.fingerprints.insert(at_ms.div_euclid(width), fingerprint) {
            return Admission::Duplicate;
        }
        self.forget_above(limit, width);
        Admission::New
    }

    fn forget_above(&mut self, limit: usize, width: i64) {
        while self.fingerprints.len() > limit {
            let Some(oldest) = self.fingerprints.oldest_of_several() else { return };
            self.fingerprints.begin_at(oldest + 1);
            self.forgotten_before_ms = Some((oldest + 1).saturating_mul(width));
        }
    }

    /// Reads a little of what the next event is compared with.
    pub(in crate::engine) fn glance(&self) -> u64 {
        self.fingerprints.glance()
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.fingerprints.bytes()
    }

    /// Whether stored buckets are well-formed: bytes from disk are not trusted.
    pub fn is_sound(&self) -> bool {
        let settled = self.fingerprints.settled();
        settled.buckets().all(|(_, fingerprints)| fingerprints.is_sorted_by(|a, b| a < b))
    }
}

/// Equality is about fingerprints, not about how far back there are buckets for them.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        let (ours, theirs) = (self.fingerprints.settled(), other.fingerprints.settled());
        (self.newest_ms, self.forgotten_before_ms) == (other.newest_ms, other.forgotten_before_ms)
            && ours.buckets().eq(theirs.buckets())
    }
}

impl Eq for Filter {}

impl std::fmt::Debug for Filter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let settled = self.fingerprints.settled();
        let buckets: Vec<_> = settled.buckets().collect();
        write!(f, "Filter {:?}", (self.newest_ms, self.forgotten_before_ms, buckets))
    }
}

/// Written as the buckets that something is in, ascending by number.
impl Serialize for Filter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let settled = self.fingerprints.settled();
        let buckets: Vec<_> = settled.buckets().collect();
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
        let fingerprints = Fingerprints::of_buckets(buckets)?;
        Ok(Filter { newest_ms, forgotten_before_ms, fingerprints })
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
