//! Deadlines of a shard, in order. Nothing here is persisted: the next deadline of an account is
//! a pure function of its state, so the queue is rebuilt after every restart and cannot drift.
//!
//! Entries are lazy: an account whose deadline moved later leaves its old entry behind, which is
//! recognised when it comes up because the account is armed for another instant.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

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
    heap: BinaryHeap<Reverse<Deadline>>,
}

impl DeadlineQueue {
    pub(super) fn push(&mut self, deadline: Deadline) {
        self.heap.push(Reverse(deadline));
    }

    /// The earliest entry, stale ones included.
    pub(super) fn peek(&self) -> Option<Deadline> {
        self.heap.peek().map(|entry| entry.0)
    }

    pub(super) fn pop_through(&mut self, to_ms: i64) -> Option<Deadline> {
        if self.peek()?.at_ms > to_ms {
            return None;
        }
        self.heap.pop().map(|entry| entry.0)
    }
}
