//! The score of an account at the end of each day, for 400 days, as points of change: a day
//! whose closing value equals the day before costs nothing and is not a decision.

use crate::engine::time::Day;
use serde::{Deserialize, Serialize};

/// Days the history reaches back.
pub const HISTORY_DAYS: i32 = 400;

/// The band of a score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Band {
    /// The customer is likely to leave.
    AtRisk,
    /// Somebody should look.
    Watch,
    /// All is well.
    Healthy,
}

impl Band {
    /// All bands, worst first.
    pub const ALL: [Band; 3] = [Band::AtRisk, Band::Watch, Band::Healthy];

    /// The name in outputs and labels.
    pub const fn name(self) -> &'static str {
        match self {
            Band::AtRisk => "at_risk",
            Band::Watch => "watch",
            Band::Healthy => "healthy",
        }
    }
}

/// The closing value of a day: whole points and band; `None` while the score was unknown.
pub type Close = Option<(u8, Band)>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Change {
    day: Day,
    close: Close,
}

/// Closing values by day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Ascending by day; each differs from the one before.
    changes: Vec<Change>,
}

impl History {
    /// Closes a day. Returns whether that is a new fact worth journalling.
    pub fn close(&mut self, day: Day, close: Close) -> bool {
        if self.changes.last().is_some_and(|last| last.day >= day) {
            return false;
        }
        if self.changes.last().and_then(|last| last.close) == close {
            return false;
        }
        self.changes.push(Change { day, close });
        // The oldest point is needed as long as its successor is inside the range.
        while self.changes.get(1).is_some_and(|second| second.day.0 <= day.0 - HISTORY_DAYS) {
            self.changes.remove(0);
        }
        true
    }

    /// The closing value of a day, `None` if unknown then or not closed by `last_closed`.
    pub fn on(&self, day: Day, last_closed: Day) -> Close {
        if day > last_closed {
            return None;
        }
        let after = self.changes.partition_point(|change| change.day <= day);
        self.changes[..after].last().and_then(|change| change.close)
    }

    /// The newest closing value.
    pub fn last_close(&self) -> Close {
        self.changes.last().and_then(|last| last.close)
    }

    /// The days on which the closing value changed, newest first, with the value from then on.
    pub fn changes(&self) -> impl Iterator<Item = (Day, Close)> + '_ {
        self.changes.iter().rev().map(|change| (change.day, change.close))
    }

    /// The points of change after a day, for the journal.
    #[must_use]
    pub fn after(&self, day: Option<Day>) -> History {
        let from = day.map_or(0, |day| self.changes.partition_point(|change| change.day <= day));
        History { changes: self.changes[from..].to_vec() }
    }

    /// Replaces everything after a day by what the journal says.
    pub fn splice(&mut self, after: Option<Day>, tail: &History) {
        let keep = after.map_or(0, |day| self.changes.partition_point(|change| change.day <= day));
        self.changes.truncate(keep);
        self.changes.extend(tail.changes.iter().copied());
        if let Some(last) = self.changes.last().map(|change| change.day) {
            while self.changes.get(1).is_some_and(|second| second.day.0 <= last.0 - HISTORY_DAYS) {
                self.changes.remove(0);
            }
        }
    }

    /// Whether a stored history is well-formed.
    pub fn is_sound(&self) -> bool {
        self.changes.is_sorted_by(|a, b| a.day < b.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unchanged_days_are_free_and_still_readable() {
        let mut history = History::default();
        assert!(!history.close(Day(1), None));
        assert!(history.close(Day(2), Some((80, Band::Healthy))));
        assert!(!history.close(Day(3), Some((80, Band::Healthy))));
        assert!(history.close(Day(5), Some((60, Band::Watch))));
        assert_eq!(history.on(Day(1), Day(5)), None);
        assert_eq!(history.on(Day(4), Day(5)), Some((80, Band::Healthy)));
        assert_eq!(history.on(Day(9), Day(9)), Some((60, Band::Watch)));
        assert_eq!(history.on(Day(9), Day(8)), None);
    }

    #[test]
    fn the_journal_tail_restores_the_whole() {
        let mut live = History::default();
        for day in 0..900 {
            live.close(Day(day), Some(((day % 50) as u8, Band::Watch)));
        }
        let mut page = History::default();
        for day in 0..850 {
            page.close(Day(day), Some(((day % 50) as u8, Band::Watch)));
        }
        page.splice(Some(Day(840)), &live.after(Some(Day(840))));
        assert_eq!(page, live);
    }
}
