//! How features go on while nothing happens: what a passing day can change, so that an account
//! about which nothing is heard need not be looked at every midnight.
//!
//! A forecast speaks of days only. What changes at an instant of its own (a promised time, a due
//! date) is a deadline of the account and is looked at then in any case. A forecast may be too
//! early, which costs an evaluation; one that is too late would be a wrong score, so
//! `tests/laws/quiet.rs` holds every feature to its own.

use super::View;
use crate::engine::time::Day;

/// No day: only an event can change it.
pub const NEVER: Day = Day(i32::MAX);

/// How a value goes on from the view's day on, if no event comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forecast {
    /// Added to the value with every day before `until`.
    pub step: i64,
    /// The first day on which the value may be another one than that.
    pub until: Day,
    /// The first day on which the value may appear or go; never before `until`.
    pub present_until: Day,
}

impl Forecast {
    pub(super) fn until(day: Day) -> Forecast {
        Forecast { step: 0, until: day, present_until: day }
    }

    /// Moves by `step` a day for ever.
    pub(super) fn moving(step: i64) -> Forecast {
        Forecast { step, until: NEVER, present_until: NEVER }
    }

    /// The same for the value, while its presence lasts.
    pub(super) fn always_present(self) -> Forecast {
        Forecast { present_until: NEVER, ..self }
    }
}

pub(super) fn steady(_: &View<'_>) -> Forecast {
    Forecast::until(NEVER)
}

pub(super) fn tomorrow(view: &View<'_>) -> Forecast {
    Forecast::until(view.tomorrow())
}

impl View<'_> {
    /// The day after the account's day.
    pub fn tomorrow(&self) -> Day {
        self.today().plus(1)
    }

    /// The earliest of some days that is still to come.
    pub fn next_of(&self, days: impl Iterator<Item = Day>) -> Day {
        days.filter(|&day| day > self.today()).min().unwrap_or(NEVER)
    }

    /// A day on or before the first turn of the account's day that is not before an instant.
    pub fn turn_reaching(&self, at_ms: i64) -> Day {
        self.day_of(at_ms).max(self.tomorrow())
    }
}
