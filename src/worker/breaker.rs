//! The breaker of one input partition: it tells a poison record from a topic turned bad.
//!
//! One bad record is put aside as a dead letter. When a deploy upstream makes *everything* bad,
//! dead-lettering it all would empty the topic into the bin; the breaker then asks to hold this
//! one partition with its position where it is. Pure counting; it must not act.

/// When a run of undecodable records is no longer an accident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerLimits {
    /// This many undecodable records in a row trip it.
    pub consecutive: u32,
    /// Records per window in which the share is judged.
    pub window: u32,
    /// This share of undecodable records in a full window trips it, in percent.
    pub bad_percent: u32,
}

impl Default for BreakerLimits {
    fn default() -> Self {
        BreakerLimits { consecutive: 100, window: 1_000, bad_percent: 50 }
    }
}

/// What to do with an undecodable record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnBad {
    /// Put it aside and go on.
    DeadLetter,
    /// Leave it where it is and stop reading this partition.
    Hold,
}

/// Counts of one input partition since it was assigned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    run: u32,
    seen: u32,
    bad: u32,
    over: bool,
    tripped: bool,
}

impl Breaker {
    /// Whether the partition is held.
    pub const fn is_tripped(&self) -> bool {
        self.tripped
    }

    /// A record decoded.
    pub fn good(&mut self, limits: &BreakerLimits) {
        self.run = 0;
        self.count(limits, false);
    }

    /// A record did not decode.
    pub fn bad(&mut self, limits: &BreakerLimits) -> OnBad {
        self.run = self.run.saturating_add(1);
        self.count(limits, true);
        if self.run >= limits.consecutive || self.over {
            self.tripped = true;
            return OnBad::Hold;
        }
        OnBad::DeadLetter
    }

    /// Counts one record; a window that closes with too large a share of bad ones is remembered
    /// until the next one closes, so that the next *bad* record is the one that is held.
    fn count(&mut self, limits: &BreakerLimits, bad: bool) {
        self.seen += 1;
        self.bad += u32::from(bad);
        if self.seen < limits.window {
            return;
        }
        self.over = u64::from(self.bad) * 100 >= u64::from(limits.bad_percent) * u64::from(self.seen);
        self.seen = 0;
        self.bad = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: BreakerLimits = BreakerLimits { consecutive: 3, window: 10, bad_percent: 50 };

    #[test]
    fn a_run_of_bad_records_trips_it_and_a_good_one_between_does_not() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.bad(&LIMITS), OnBad::DeadLetter);
        assert_eq!(breaker.bad(&LIMITS), OnBad::DeadLetter);
        breaker.good(&LIMITS);
        assert_eq!(breaker.bad(&LIMITS), OnBad::DeadLetter);
        assert_eq!(breaker.bad(&LIMITS), OnBad::DeadLetter);
        assert_eq!(breaker.bad(&LIMITS), OnBad::Hold);
        assert!(breaker.is_tripped());
    }

    #[test]
    fn a_share_of_bad_records_trips_it() {
        let mut breaker = Breaker::default();
        let mut held = None;
        for i in 0..40 {
            if i % 2 == 0 {
                breaker.good(&LIMITS);
            } else if breaker.bad(&LIMITS) == OnBad::Hold {
                held = Some(i);
                break;
            }
        }
        assert_eq!(held, Some(9));
    }

    #[test]
    fn rare_bad_records_never_trip_it() {
        let mut breaker = Breaker::default();
        for i in 0..1_000 {
            if i % 5 == 0 {
                assert_eq!(breaker.bad(&LIMITS), OnBad::DeadLetter);
            } else {
                breaker.good(&LIMITS);
            }
        }
    }
}
