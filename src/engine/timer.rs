//! Deadlines of a shard, in order. Nothing here is persisted: the next deadline of an account is
//! a pure function of its state, so the queue is rebuilt after every restart and cannot drift.
//!
//! Entries are lazy: an account whose deadline moved later leaves its old entry behind, which is
//! recognised when it comes up because the account is armed for another instant.
//!
//! Nearly every account waits for its day to turn. One heap of them all would miss the cache at each
//! of its levels, so only the minute that comes next is sorted, and later ones are kept as they came.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Deadlines that are sorted together.
const SPAN_MS: i64 = 60_000;

/// One entry: when, whom (hash first, so that ties do not depend on arrival), and its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Deadline {
    pub at_ms: i64,
    pub account_hash: u64,
    pub slot: u32,
}

/// Deadlines, earliest first.
#[derive(Debug, Default)]
pub(super) struct DeadlineQueue {
    /// The span that comes next, the earliest last.
    near: Vec<Deadline>,
    /// What came for that span after it was sorted.
    late: BinaryHeap<Reverse<Deadline>>,
    /// Everything from this span on is in `far`, and there is nothing there unless there is something
    /// before.
    near_spans_end: i64,
    /// By span.
    far: BTreeMap<i64, Vec<Deadline>>,
}

impl DeadlineQueue {
    pub(super) fn push(&mut self, deadline: Deadline) {
        let span = deadline.at_ms.div_euclid(SPAN_MS);
        if self.near.is_empty() && self.late.is_empty() {
            // Then there are no others.
            self.near_spans_end = span + 1;
        }
        if span < self.near_spans_end {
            self.late.push(Reverse(deadline));
        } else {
            self.far.entry(span).or_default().push(deadline);
        }
    }

    /// The earliest entry, stale ones included.
    pub(super) fn peek(&self) -> Option<Deadline> {
        match (self.near.last().copied(), self.late.peek().map(|entry| entry.0)) {
            (Some(near), Some(late)) => Some(near.min(late)),
            (near, late) => near.or(late),
        }
    }

    /// Slots of about the next so many.
    pub(super) fn upcoming(&self, n: usize) -> impl Iterator<Item = u32> + Clone {
        self.near.iter().rev().take(n).map(|deadline| deadline.slot)
    }

    pub(super) fn pop_through(&mut self, to_ms: i64) -> Option<Deadline> {
        let earliest = self.peek().filter(|earliest| earliest.at_ms <= to_ms)?;
        if self.near.last() == Some(&earliest) {
            self.near.pop();
        } else {
            self.late.pop();
        }
        if self.near.is_empty()
            && self.late.is_empty()
            && let Some((span, entries)) = self.far.pop_first()
        {
            self.near_spans_end = span + 1;
            self.near = entries;
            self.near.sort_unstable_by(|a, b| b.cmp(a));
        }
        Some(earliest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_in_order_however_they_were_pushed() {
        let mut queue = DeadlineQueue::default();
        let mut known = BinaryHeap::new();
        let mut seed = 1_u64;
        let mut random = |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for step in 0..20_000_u32 {
            if random(3) > 0 {
                let at_ms = random(600_000) as i64 - 100_000;
                let deadline = Deadline { at_ms, account_hash: random(4), slot: step };
                queue.push(deadline);
                known.push(Reverse(deadline));
            } else {
                let to_ms = random(700_000) as i64 - 100_000;
                let wanted = known.peek().copied().filter(|next| next.0.at_ms <= to_ms);
                if wanted.is_some() {
                    known.pop();
                }
                assert_eq!(queue.pop_through(to_ms), wanted.map(|next| next.0));
            }
            assert_eq!(queue.peek(), known.peek().map(|next| next.0));
        }
        while let Some(Reverse(next)) = known.pop() {
            assert_eq!(queue.pop_through(i64::MAX), Some(next));
        }
        assert_eq!(queue.peek(), None);
    }
}
