//! The newest days of all activity of an account together: asked for again and again, and spread over
//! a series for logins and one for each feature, each in memory of its own.
//!
//! Derived from these series, so it is neither stored nor compared. It is found when it is first
//! asked for and kept up from then on.

use crate::engine::time::Day;
use serde::{Deserialize, Serialize};
use std::cell::Cell;

/// Days that a mask covers.
const MASK_DAYS: i32 = 64;

/// The newest day counted, and which of the days up to it have a count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecentDays {
    /// The newest day ever counted.
    pub newest: Option<Day>,
    /// Bit `k` = the day `newest - k` has a count.
    pub mask: u64,
}

impl RecentDays {
    fn add(&mut self, day: Day, has_count: bool) {
        let ahead = self.newest.map_or(MASK_DAYS, |newest| day.since(newest));
        if ahead > 0 {
            self.mask = if ahead < MASK_DAYS { self.mask << ahead } else { 0 };
            self.newest = Some(day);
        }
        let behind = (-ahead).max(0);
        if behind < MASK_DAYS {
            self.mask |= u64::from(has_count) << behind;
        }
    }

    /// The newest day with a count that is not after `upto`; `None` when these days do not tell.
    pub fn last(self, upto: Day) -> Option<Day> {
        let newest = self.newest?;
        let behind = newest.since(upto).max(0);
        let mask = if behind < MASK_DAYS { self.mask >> behind } else { 0 };
        (mask != 0).then(|| newest.minus(behind + mask.trailing_zeros() as i32))
    }

    /// The days with a count in `after < d <= upto`: bit `k` is the day `upto - k`, for `k` up to 63.
    /// `None` when these days do not tell.
    pub fn between(self, after: Day, upto: Day) -> Option<u64> {
        let Some(newest) = self.newest else { return Some(0) };
        let ahead = upto.since(newest);
        if ahead < 0 && newest.since(after) > MASK_DAYS {
            return None;
        }
        let mask = match ahead {
            MASK_DAYS.. => 0,
            0.. => self.mask << ahead,
            _ if -ahead < MASK_DAYS => self.mask >> -ahead,
            _ => 0,
        };
        Some(match upto.since(after) {
            ..=0 => 0,
            days if days < MASK_DAYS => mask & ((1 << days) - 1),
            _ => mask,
        })
    }
}

/// [`RecentDays`], once they were asked for.
#[derive(Clone, Default)]
pub struct Recent(Cell<Option<RecentDays>>);

impl Recent {
    /// What is known already.
    pub fn new(known: Option<RecentDays>) -> Recent {
        Recent(Cell::new(known))
    }

    /// What is known.
    pub fn known(&self) -> Option<RecentDays> {
        self.0.get()
    }

    /// What is known, or found now.
    pub fn get(&self, find: impl FnOnce() -> RecentDays) -> RecentDays {
        self.0.get().unwrap_or_else(|| {
            let found = find();
            self.0.set(Some(found));
            found
        })
    }

    /// Something was counted on a day.
    pub fn add(&mut self, day: Day, has_count: bool) {
        if let Some(days) = self.0.get_mut() {
            days.add(day, has_count);
        }
    }

    /// A count was taken away: what is known may be wrong.
    pub fn forget(&mut self) {
        self.0.set(None);
    }
}

/// Whether it was asked for yet is no difference.
impl PartialEq for Recent {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Recent {}

impl std::fmt::Debug for Recent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recent")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::window::Series;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]
        #[test]
        fn what_is_kept_up_is_what_the_series_say(
            days in proptest::collection::vec((0_i32..200, 0_u32..3), 0..40),
            asked in proptest::collection::vec((-20_i32..260, 0_i32..90), 1..20),
        ) {
            let (mut series, mut recent) = (Series::default(), RecentDays::default());
            for (day, count) in days {
                series.add(Day(day), count);
                recent.add(Day(day), count > 0);
            }
            prop_assert_eq!(recent.newest, series.newest());
            for (upto, length) in asked {
                let (after, upto) = (Day(upto - length), Day(upto));
                if let Some(mask) = recent.between(after, upto) {
                    prop_assert_eq!(mask, series.active_mask(after, upto));
                }
                if let Some(last) = recent.last(upto) {
                    prop_assert_eq!(Some(last), series.last_active(upto));
                }
            }
        }
    }
}
