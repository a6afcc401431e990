//! Notices calls into the client library that never return. Some have no bound of their own: a
//! coordinator that goes away at the wrong moment can hold one for ever.
//!
//! It only notices and says so; what follows is the app's to decide.
//!
//! To watch one more call: hold the [`Guard`] of [`Watchdog::guard`] while it runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::clock;

/// How long any single call may take.
pub(super) const LONGEST_CALL: Duration = Duration::from_secs(60);

/// What to call with one sentence when a call does not return.
pub(super) type OnStuck = Box<dyn Fn(&str) + Send + Sync>;

/// The calls under way.
#[derive(Default)]
pub(super) struct Watchdog {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// By number: what runs, since when, and until when it may.
    calls: BTreeMap<u64, Call>,
    next: u64,
    /// When the thread looks again; `None` while it is awake, or not there.
    looks: Option<Instant>,
    watching: bool,
    closed: bool,
}

struct Call {
    what: String,
    deadline: Instant,
    allowed: Duration,
}

/// One watched call; it ends when this is dropped.
pub(super) struct Guard {
    watchdog: Arc<Watchdog>,
    number: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.watchdog.lock().calls.remove(&self.number);
    }
}

impl Watchdog {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Watches a call until the guard is dropped.
    pub(super) fn guard(self: &Arc<Self>, what: &str) -> Guard {
        self.guard_for(what, LONGEST_CALL)
    }

    /// The same with its own bound.
    pub(super) fn guard_for(self: &Arc<Self>, what: &str, allowed: Duration) -> Guard {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let deadline = clock::monotonic() + allowed;
        // Nearly every call may take as long as the thread sleeps at most: it is woken for others only.
        let too_late = state.looks.is_some_and(|looks| deadline < looks);
        state.calls.insert(number, Call { what: what.to_owned(), deadline, allowed });
        if too_late {
            self.changed.notify_one();
        }
        drop(state);
        Guard { watchdog: Arc::clone(self), number }
    }

    /// Starts the thread that watches. Once it runs a further call changes nothing; one that has
    /// failed may be repeated.
    pub(super) fn watch(self: &Arc<Self>, on_stuck: OnStuck) -> std::io::Result<()> {
        let mut state = self.lock();
        if state.watching {
            return Ok(());
        }
        let watchdog = Arc::clone(self);
        let thread = thread::Builder::new().name("kafka-watchdog".to_owned());
        thread.spawn(move || watchdog.run(&on_stuck))?;
        state.watching = true;
        Ok(())
    }

    /// Ends the thread.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn run(&self, on_stuck: &OnStuck) {
        let mut state = self.lock();
        while !state.closed {
            let now = clock::monotonic();
            let stuck = state.calls.iter().find(|(_, call)| call.deadline <= now).map(|(number, _)| *number);
            if let Some(call) = stuck.and_then(|number| state.calls.remove(&number)) {
                drop(state);
                on_stuck(&format!(
                    "a call to Kafka did not return within {} s ({}); the process must be started again",
                    call.allowed.as_secs_f32().ceil(),
                    call.what
                ));
                state = self.lock();
                continue;
            }
            let next = state.calls.values().map(|call| call.deadline).min();
            let wait = next.map_or(LONGEST_CALL, |deadline| deadline.saturating_duration_since(now));
            state.looks = Some(now + wait);
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            state.looks = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_call_that_does_not_return_is_named_once() {
        let watchdog = Arc::new(Watchdog::default());
        let (said, heard) = mpsc::channel();
        watchdog.watch(Box::new(move |sentence| said.send(sentence.to_owned()).unwrap())).unwrap();
        drop(watchdog.guard_for("a short call", Duration::from_millis(1)));
        let _long = watchdog.guard("a long call");
        let _stuck = watchdog.guard_for("a stuck call", Duration::from_millis(10));
        let sentence = heard.recv_timeout(Duration::from_secs(30)).unwrap();
        assert_eq!(
            sentence,
            "a call to Kafka did not return within 1 s (a stuck call); the process must be started again"
        );
        watchdog.close();
        // The thread has dropped the sender: nothing more was said.
        assert_eq!(heard.recv_timeout(Duration::from_secs(30)), Err(mpsc::RecvTimeoutError::Disconnected));
    }
}
