//! What the writer publishes after each durable group, and the bell that wakes waiting readers.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::LocalError;
use super::tables::Mirror;

/// Published facts. Nothing appears here before it is durable.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) mirror: Mirror,
    /// Moves with every change of any topic.
    pub(super) changes: u64,
    /// Moves with every append to an input topic.
    pub(super) input_changes: u64,
    /// The first failure of the disk; set for good.
    pub(super) failed: Option<LocalError>,
}

/// The published facts and their bell.
#[derive(Debug)]
pub(super) struct Shared {
    published: Mutex<Published>,
    bell: Condvar,
}

impl Shared {
    pub(super) fn new(mirror: Mirror) -> Self {
        let published = Published { mirror, changes: 0, input_changes: 0, failed: None };
        Self { published: Mutex::new(published), bell: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Published> {
        // Every change is a single assignment or a completed map insert: no torn state to fear.
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The facts, unless the disk failed before.
    pub(super) fn usable(&self) -> Result<MutexGuard<'_, Published>, LocalError> {
        let published = self.lock();
        match &published.failed {
            Some(error) => Err(error.clone()),
            None => Ok(published),
        }
    }

    /// Changes the facts and wakes everybody.
    pub(super) fn publish(&self, change: impl FnOnce(&mut Published)) {
        change(&mut self.lock());
        self.bell.notify_all();
    }

    /// Waits until `counter` differs from `seen`, the store fails, or `timeout` has passed.
    /// Answers the counter.
    pub(super) fn wait(&self, seen: u64, timeout: Duration, counter: impl Fn(&Published) -> u64) -> u64 {
        let same = |published: &mut Published| counter(published) == seen && published.failed.is_none();
        let waited = self.bell.wait_timeout_while(self.lock(), timeout, same);
        let (published, _) = waited.unwrap_or_else(PoisonError::into_inner);
        counter(&published)
    }
}
