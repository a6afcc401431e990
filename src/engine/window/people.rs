//! Who was active when: exact distinct users over any window of up to 64 days, without sketches.
//!
//! Per person the newest active day and a bitmap of the 64 days up to it. Over the limit the
//! person whose newest activity is oldest is forgotten, and everything at or before that
//! (day, person) is masked for everybody: the people kept are then a function of the set of
//! activities, not of their order.

use super::spread;
use crate::engine::event::PersonId;
use crate::engine::time::Day;
use serde::{Deserialize, Serialize};

/// Days one bitmap covers.
const BITMAP_DAYS: i32 = 64;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Person {
    id: u64,
    last: Day,
    /// Bit `k` = active on `last - k`; bit 0 is always set.
    days: u64,
}

/// The people of one account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// Sorted by id.
    #[serde(with = "packed")]
    people: Vec<Person>,
    /// Activities at or before this (day, id) are forgotten for ever.
    forgotten: Option<(Day, u64)>,
}

impl People {
    /// Records an activity. Returns whether that is news: not when the person was active on that day
    /// already, nor when it is forgotten because of the limit.
    pub fn record(&mut self, person: PersonId, day: Day, limit: usize) -> bool {
        if self.forgotten.is_some_and(|mark| (day, person.0) <= mark) {
            return false;
        }
        match self.find(person.0) {
            Ok(index) => {
                let p = &mut self.people[index];
                let before = (p.last, p.days);
                let ahead = day.since(p.last);
                if ahead > 0 {
                    p.days = if ahead < BITMAP_DAYS { p.days << ahead } else { 0 } | 1;
                    p.last = day;
                } else if -ahead < BITMAP_DAYS {
                    p.days |= 1 << -ahead;
                }
                (p.last, p.days) != before
            }
            Err(index) => {
                self.people.insert(index, Person { id: person.0, last: day, days: 1 });
                self.forget_above(limit);
                true
            }
        }
    }

    fn forget_above(&mut self, limit: usize) {
        while self.people.len() > limit {
            let Some(mark) = self.people.iter().map(|p| (p.last, p.id)).min() else { return };
            self.people.retain(|p| p.id != mark.1);
            self.forgotten = Some(mark);
            for p in &mut self.people {
                // Days before the mark, and the mark's own day for ids at or below it.
                let oldest_kept = if p.id <= mark.1 { mark.0.plus(1) } else { mark.0 };
                let keep = p.last.since(oldest_kept) + 1;
                if keep < BITMAP_DAYS {
                    p.days &= (1_u64 << keep.max(0)) - 1;
                }
            }
        }
    }

    /// How many persons were active on a day in `after < d <= upto`; `None` when somebody's
    /// bitmap has moved past the beginning of that.
    pub fn active(&self, after: Day, upto: Day) -> Option<u32> {
        let kept = |p: &Person| p.last.since(after) <= BITMAP_DAYS;
        self.people.iter().try_fold(0, |sum, p| kept(p).then(|| sum + u32::from(p.active(after, upto))))
    }

    /// The first day after `today` on which the persons active on the last `days` days, that day
    /// included, may be others than today, if nobody comes.
    pub fn steady_until(&self, today: Day, days: i32) -> Day {
        let changes = |p: &Person| match p.last {
            last if last > today => today.plus(1),
            last if last.since(today) > -days => last.plus(days),
            _ => Day(i32::MAX),
        };
        self.people.iter().map(changes).min().unwrap_or(Day(i32::MAX))
    }

    /// The newest active day of one person.
    pub fn last_active(&self, person: PersonId) -> Option<Day> {
        self.find(person.0).ok().map(|index| self.people[index].last)
    }

    /// The place of a person, or where it belongs. Ids are pseudonyms, spread evenly.
    fn find(&self, id: u64) -> Result<usize, usize> {
        spread::find(self.people.len(), |index| self.people[index].id, id)
    }

    /// Reads a little of some of them.
    pub(in crate::engine) fn glance(&self) -> u64 {
        [self.people.first(), self.people.last()].into_iter().flatten().fold(0, |seen, p| seen ^ p.days)
    }

    /// Bytes of memory it has taken beside its own.
    pub fn bytes(&self) -> usize {
        self.people.capacity() * size_of::<Person>()
    }

    /// How many people are remembered.
    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is remembered.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    /// Whether stored people are well-formed (sorted, bit 0 set): bytes from disk are not trusted.
    pub fn is_sound(&self) -> bool {
        self.people.is_sorted_by(|a, b| a.id < b.id) && self.people.iter().all(|p| p.days & 1 == 1)
    }
}

/// Stored as bytes: the newest day of all, then of each the id, how many days earlier the last day
/// lies, and the days.
mod packed {
    use super::super::bytes;
    use super::Person;
    use crate::engine::time::Day;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub fn serialize<S: Serializer>(people: &[Person], serializer: S) -> Result<S::Ok, S::Error> {
        let newest = people.iter().map(|p| p.last).max();
        let mut out = Vec::with_capacity(people.len() * 18 + 4);
        if let Some(newest) = newest {
            bytes::put_signed(&mut out, newest.0);
            for p in people {
                out.extend_from_slice(&p.id.to_le_bytes());
                bytes::put(&mut out, u64::from(newest.0.wrapping_sub(p.last.0) as u32));
                bytes::put(&mut out, p.days);
            }
        }
        serializer.serialize_bytes(&out)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Person>, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        from_bytes(bytes).ok_or_else(|| de::Error::custom("people are damaged"))
    }

    fn from_bytes(mut bytes: &[u8]) -> Option<Vec<Person>> {
        if bytes.is_empty() {
            return Some(Vec::new());
        }
        let newest = bytes::take_signed(&mut bytes)?;
        // An entry has at least ten bytes, and seldom more than eighteen.
        let mut people = Vec::with_capacity(bytes.len() / 16 + 1);
        while !bytes.is_empty() {
            let (id, rest) = bytes.split_first_chunk::<8>()?;
            bytes = rest;
            let earlier = u32::try_from(bytes::take(&mut bytes)?).ok()?;
            let last = Day(newest.wrapping_sub(earlier as i32));
            people.push(Person { id: u64::from_le_bytes(*id), last, days: bytes::take(&mut bytes)? });
        }
        Some(people)
    }
}

impl Person {
    fn active(&self, after: Day, upto: Day) -> bool {
        let newest = self.last.since(upto).max(0);
        let oldest = self.last.since(after) - 1;
        if oldest < newest || newest >= BITMAP_DAYS {
            return false;
        }
        let upto_oldest = if oldest >= BITMAP_DAYS - 1 { u64::MAX } else { (1 << (oldest + 1)) - 1 };
        (self.days & upto_oldest) >> newest != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn windows_count_distinct_people() {
        let mut people = People::default();
        for (id, day) in [(1, 10), (1, 12), (2, 5), (3, 12)] {
            assert!(people.record(PersonId(id), Day(day), 10));
        }
        assert_eq!(people.active(Day(5), Day(12)), Some(2));
        assert_eq!(people.active(Day(4), Day(12)), Some(3));
        assert_eq!(people.active(Day(10), Day(11)), Some(0));
        assert_eq!(people.active(Day(9), Day(10)), Some(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]
        /// Past the limit too, people are a function of the set of activities, and windows
        /// agree with a naive set when the limit is not reached.
        #[test]
        fn order_does_not_matter(
            mut activities in proptest::collection::vec((0_u64..12, 0_i32..90), 1..60),
            limit in 1_usize..14,
            shuffle in any::<u64>(),
        ) {
            let build = |list: &[(u64, i32)]| {
                let mut people = People::default();
                for &(id, day) in list { people.record(PersonId(id), Day(day), limit); }
                people
            };
            let first = build(&activities);
            let n = activities.len();
            for i in 0..n {
                let j = (shuffle.wrapping_mul(6364136223846793005).wrapping_add(i as u64 * 7919) >> 7) as usize % n;
                activities.swap(i, j);
            }
            prop_assert_eq!(&first, &build(&activities));
            prop_assert!(first.is_sound());
            if limit >= 12 {
                let naive = |after: i32, upto: i32| {
                    let mut ids: Vec<u64> = activities.iter().filter(|(_, d)| *d > after && *d <= upto).map(|(i, _)| *i).collect();
                    ids.sort_unstable();
                    ids.dedup();
                    ids.len() as u32
                };
                // Only days inside every bitmap can be asked for: 64 days up to the newest.
                prop_assert_eq!(first.active(Day(60), Day(89)), Some(naive(60, 89)));
                prop_assert_eq!(first.active(Day(62), Day(75)), Some(naive(62, 75)));
            }
        }
    }
}
