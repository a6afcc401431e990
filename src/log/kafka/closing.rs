//! A client of the library whose end is watched. Leaving the group, flushing and destroying wait, and
//! not all of that has a bound: the library joins its own threads, and one of them may be asking
//! for an address. It happens on whatever thread drops the last owner.
//!
//! This file must not end anything itself: the client does that when it is dropped.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::watchdog::{Guard, LONGEST_CALL, Watchdog};

/// The client: consumer, producer or administration. Fields are dropped in this order: the guard
/// lasts until the client is gone.
pub(super) struct Closing<T> {
    client: T,
    /// Held from the beginning of the end.
    guard: Option<Guard>,
    /// How long the end may take.
    allowed: Duration,
    watchdog: Arc<Watchdog>,
}

impl<T> Closing<T> {
    pub fn new(client: T, watchdog: &Arc<Watchdog>) -> Closing<T> {
        Closing { client, guard: None, allowed: LONGEST_CALL, watchdog: Arc::clone(watchdog) }
    }

    /// Watches one call until the guard is dropped.
    pub fn guard(&self, what: &str) -> Guard {
        self.watchdog.guard(what)
    }
}

impl<T> Deref for Closing<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.client
    }
}

impl<T> Drop for Closing<T> {
    fn drop(&mut self) {
        self.guard = Some(self.watchdog.guard_for("closing a client", self.allowed));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{self, Receiver, RecvTimeoutError};

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    /// Its end waits until it is let go.
    struct Endless(Receiver<()>);

    impl Drop for Endless {
        fn drop(&mut self) {
            let _ = self.0.recv();
        }
    }

    #[test]
    fn a_client_whose_end_does_not_come_is_named() {
        let watchdog = Arc::new(Watchdog::default());
        let (said, heard) = mpsc::channel();
        watchdog.watch(Box::new(move |sentence| said.send(sentence.to_owned()).unwrap())).unwrap();
        let (hold, held) = mpsc::channel::<()>();
        let allowed = Duration::from_millis(10);
        let mut client = Closing::new(Endless(held), &watchdog);
        client.allowed = allowed;
        let closing = std::thread::spawn(move || drop(client));
        let sentence = heard.recv_timeout(LONG).unwrap();
        assert!(sentence.contains("did not return within 1 s (closing a client)"), "{sentence}");
        drop(hold);
        closing.join().unwrap();
        watchdog.close();
        assert_eq!(heard.recv_timeout(LONG), Err(RecvTimeoutError::Disconnected));
    }
}
