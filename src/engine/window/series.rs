//! One counted quantity of an account over time: per day for the newest 91 days, per week
//! before that, back to the same quarter last year.

use super::SlotCounts;
use crate::engine::time::Day;
use serde::{Deserialize, Serialize};

/// How many days are kept by day: thirteen weeks.
pub const DAILY_DAYS: i32 = 91;
/// How many weeks are kept by week, counted from the newest day.
const WEEKLY_WEEKS: i32 = 66;

/// Counts by day, rolled up into weeks by event time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Series {
    newest: Option<Day>,
    days: SlotCounts,
    weeks: SlotCounts,
}

impl Series {
    /// Adds a count to a day. Days older than the weekly range are forgotten; since the range
    /// only moves forward with the newest day, that does not depend on order.
    pub fn add(&mut self, day: Day, n: u32) {
        let newest = self.newest.map_or(day, |newest| newest.max(day));
        if self.newest != Some(newest) {
            self.newest = Some(newest);
            for (old, count) in self.days.take_through(newest.0 - DAILY_DAYS) {
                self.weeks.add(Day(old).week(), count);
            }
            self.weeks.take_through(newest.week() - WEEKLY_WEEKS);
        }
        if day.0 > newest.0 - DAILY_DAYS {
            self.days.add(day.0, n);
        } else if day.week() > newest.week() - WEEKLY_WEEKS {
            self.weeks.add(day.week(), n);
        }
    }

    /// Sum over the days `after < d <= upto`, as far as days are kept.
    pub fn sum(&self, after: Day, upto: Day) -> u64 {
        self.days.sum(after.0, upto.0)
    }

    /// Days with a count in `after < d <= upto`: bit `k` is the day `upto - k`, for `k` up to 63.
    pub fn active_mask(&self, after: Day, upto: Day) -> u64 {
        self.days.nonzero_mask(after.0, upto.0)
    }

    /// The count of one day.
    pub fn on(&self, day: Day) -> u32 {
        self.days.get(day.0)
    }

    /// The newest day with a count, not after `upto`.
    pub fn last_active(&self, upto: Day) -> Option<Day> {
        self.days.last_nonzero(upto.0).map(Day)
    }

    /// Whether a day is still kept by day, so that what is said about it is true: a count so much
    /// newer may have rolled it up.
    pub fn keeps(&self, day: Day) -> bool {
        self.newest.is_none_or(|newest| day.0 > newest.0 - DAILY_DAYS)
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.days.bytes() + self.weeks.bytes()
    }

    /// The newest day ever counted.
    pub fn newest(&self) -> Option<Day> {
        self.newest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_days_become_weeks_whatever_the_order() {
        let mut forward = Series::default();
        let mut backward = Series::default();
        for d in 0..500 {
            forward.add(Day(d), 1);
            backward.add(Day(499 - d), 1);
        }
        assert_eq!(forward, backward);
        assert_eq!(forward.sum(Day(499 - 28), Day(499)), 28);
        assert_eq!(forward.sum(Day(0), Day(499 - DAILY_DAYS)), 0);
        assert!(forward.weeks.iter().count() as i32 <= WEEKLY_WEEKS);
    }
}
