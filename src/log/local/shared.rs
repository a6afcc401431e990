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
    /// Why the disk failed; until the file was opened anew.
    pub(super) failed: Option<LocalError>,
}

/// Hears of each failure, and of its end.
pub(super) type Watcher = Box<dyn Fn(Option<&LocalError>) + Send + Sync>;

/// The published facts and their bell.
pub(super) struct Shared {
    published: Mutex<Published>,
    bell: Condvar,
    watcher: Mutex<Option<Watcher>>,
}

impl Shared {
    pub(super) fn new(mirror: Mirror) -> Self {
        let published = Published { mirror, changes: 0, input_changes: 0, failed: None };
        Self { published: Mutex::new(published), bell: Condvar::new(), watcher: Mutex::new(None) }
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

    /// From now on `watcher` hears of failures.
    pub(super) fn watch(&self, watcher: Watcher) {
        *self.watcher.lock().unwrap_or_else(PoisonError::into_inner) = Some(watcher);
    }

    /// The disk failed: everybody hears why from here on.
    pub(super) fn fail(&self, error: &LocalError) {
        self.publish(|published| published.failed = Some(error.clone()));
        self.tell(Some(error));
    }

    /// The file was opened anew and holds this.
    pub(super) fn recover(&self, mirror: Mirror) {
        self.publish(|published| {
            published.mirror = mirror;
            published.failed = None;
            published.changes += 1;
            published.input_changes += 1;
        });
        self.tell(None);
    }

    fn tell(&self, trouble: Option<&LocalError>) {
        if let Some(watcher) = &*self.watcher.lock().unwrap_or_else(PoisonError::into_inner) {
            watcher(trouble);
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
