//! The score of an account at the end of each day, for 400 days, as points of change: a day
//! whose closing value equals the day before costs nothing and is not a decision.

use crate::engine::time::Day;
use serde::{Deserialize, Serialize, Serializer};

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
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "Stored")]
pub struct History {
    /// Ascending by day; each differs from the one before.
    changes: Vec<Change>,
    /// How the open day will close if nothing more is told in it.
    expected: Option<Change>,
}

/// A history as it is stored: what is expected stands last, its day moved out of all days there are.
#[derive(Deserialize)]
struct Stored {
    changes: Vec<Change>,
}

const EXPECTED: i32 = 1 << 24;

impl From<Stored> for History {
    fn from(Stored { mut changes }: Stored) -> History {
        let expected = changes.pop_if(|last| last.day.0 >= EXPECTED);
        let expected = expected.map(|last| Change { day: Day(last.day.0 - EXPECTED), ..last });
        History { changes, expected }
    }
}

/// A part of a [`History`]; it serialises as one.
#[derive(Clone, Copy, Debug)]
pub struct HistoryRef<'a> {
    changes: &'a [Change],
    expected: Option<Change>,
}

impl Serialize for HistoryRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let expected = self.expected.map(|last| Change { day: Day(last.day.0 + EXPECTED), ..last });
        // As a structure of one field: no bytes in our format.
        serializer.collect_seq(self.changes.iter().copied().chain(expected))
    }
}

impl Serialize for History {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.after(None).serialize(serializer)
    }
}

impl History {
    /// Closes a day. Returns whether that is news worth journalling: not when the day closes as it was
    /// [expected](History::expect) to, or as the day before.
    pub fn close(&mut self, day: Day, close: Close) -> bool {
        if self.changes.last().is_some_and(|last| last.day >= day) {
            return false;
        }
        let expected = self.expected.take().filter(|expected| expected.day == day);
        if self.changes.last().and_then(|last| last.close) == close {
            return expected.is_some();
        }
        self.changes.push(Change { day, close });
        // The oldest point is needed as long as its successor is inside the range.
        while self.changes.get(1).is_some_and(|second| second.day.0 <= day.0 - HISTORY_DAYS) {
            self.changes.remove(0);
        }
        expected.is_none_or(|expected| expected.close != close)
    }

    /// Says how an open day will close if nothing more happens in it. What is journalled now then says
    /// it already, and nothing need be told when the day turns.
    pub fn expect(&mut self, day: Day, close: Close) {
        let differs = self.changes.last().and_then(|last| last.close) != close;
        self.expected = differs.then_some(Change { day, close });
    }

    /// Whether the open day was [expected](History::expect) to close with another value than the last.
    pub fn is_expecting(&self) -> bool {
        self.expected.is_some()
    }

    /// What was restored is of `today`: a day that was open then and has turned closed as expected, or the
    /// journal would say otherwise.
    pub fn settle(&mut self, today: Day) {
        if let Some(expected) = self.expected.take_if(|expected| expected.day < today) {
            self.close(expected.day, expected.close);
        }
    }

    /// The closing value of a day, `None` if unknown then or not closed by `last_closed`.
    pub fn on(&self, day: Day, last_closed: Day) -> Close {
        if day > last_closed {
            return None;
        }
        let after = self.changes.partition_point(|change| change.day <= day);
        self.changes[..after].last().and_then(|change| change.close)
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.changes.capacity() * size_of::<Change>()
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
    pub fn after(&self, day: Option<Day>) -> HistoryRef<'_> {
        let from = day.map_or(0, |day| self.changes.partition_point(|change| change.day <= day));
        HistoryRef { changes: &self.changes[from..], expected: self.expected }
    }

    /// Adds what a record of the journal says, which may be older than this. A closed day stays what it
    /// is, so only later ones are news; what is expected is what the last record expects.
    pub fn splice(&mut self, tail: &History) {
        let known = self.changes.last().map(|last| last.day);
        self.changes.extend(tail.changes.iter().filter(|change| Some(change.day) > known));
        self.expected = tail.expected;
        if let Some(last) = self.changes.last().map(|change| change.day) {
            while self.changes.get(1).is_some_and(|second| second.day.0 <= last.0 - HISTORY_DAYS) {
                self.changes.remove(0);
            }
        }
    }

    /// Whether nothing in it is of that day or an earlier one.
    pub fn begins_after(&self, day: Option<Day>) -> bool {
        self.changes.first().is_none_or(|first| Some(first.day) > day)
    }

    /// Whether a stored history is well-formed.
    pub fn is_sound(&self) -> bool {
        let last = self.changes.last().map(|last| last.day);
        self.changes.is_sorted_by(|a, b| a.day < b.day)
            && last.is_none_or(|last| last.0 < EXPECTED)
            && self.expected.is_none_or(|expected| last < Some(expected.day) && expected.day.0 < EXPECTED)
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

    fn stored(history: &History) -> History {
        postcard::from_bytes(&postcard::to_stdvec(history).unwrap()).unwrap()
    }

    #[test]
    fn a_day_that_closes_as_expected_is_no_news() {
        let mut history = History::default();
        assert!(history.close(Day(1), Some((80, Band::Healthy))));
        history.expect(Day(2), Some((60, Band::Watch)));
        assert_eq!(stored(&history), history);
        assert_eq!(history.on(Day(2), Day(2)), Some((80, Band::Healthy)), "it is still open");
        assert!(!history.close(Day(2), Some((60, Band::Watch))));
        assert_eq!(history.on(Day(2), Day(2)), Some((60, Band::Watch)));
        history.expect(Day(3), Some((50, Band::Watch)));
        let mut restored = stored(&history);
        restored.settle(Day(3));
        assert_eq!(restored, history, "still open");
        restored.settle(Day(4));
        assert!(!history.clone().close(Day(3), Some((50, Band::Watch))));
        assert_eq!(restored.on(Day(3), Day(3)), Some((50, Band::Watch)));
        history.expect(Day(3), Some((40, Band::AtRisk)));
        assert!(history.close(Day(3), Some((60, Band::Watch))), "as the day before, and not as expected");
        assert_eq!(history.on(Day(3), Day(3)), Some((60, Band::Watch)));
        history.expect(Day(4), Some((60, Band::Watch)));
        assert!(!history.close(Day(4), Some((60, Band::Watch))));
        history.expect(Day(5), Some((50, Band::Watch)));
        assert!(history.close(Day(5), None), "otherwise than expected");
        assert!(history.is_sound());
        assert_eq!(stored(&history), history);
    }

    #[test]
    fn what_was_expected_survives_older_and_newer_records_of_the_journal() {
        let record = |history: &History, covered| {
            let stored = postcard::to_stdvec(&history.after(covered)).unwrap();
            postcard::from_bytes::<History>(&stored).unwrap()
        };
        let mut live = History::default();
        live.close(Day(1), Some((80, Band::Healthy)));
        live.expect(Day(2), Some((60, Band::Watch)));
        let first = record(&live, Some(Day(1)));
        assert!(!live.close(Day(2), Some((60, Band::Watch))), "nothing is told");
        let page = stored(&live);
        live.expect(Day(4), Some((50, Band::Watch)));
        let second = record(&live, Some(Day(2)));
        // Whatever part of the journal is still there.
        for records in [&[&first, &second][..], &[&second]] {
            let mut restored = page.clone();
            records.iter().for_each(|tail| restored.splice(tail));
            assert_eq!(restored, live);
        }
        let mut restored = page.clone();
        restored.splice(&first);
        restored.settle(Day(3));
        assert_eq!(restored, page, "it was expected then and has happened");
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
        let tail = History { changes: live.after(Some(Day(840))).changes.to_vec(), expected: None };
        page.splice(&tail);
        assert_eq!(page, live);
    }
}
