//! The only reader of time. Everything else is handed the time it needs: the engine and the
//! worker take it as an argument, so tests and replays decide what "now" is.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Wall time, UTC milliseconds since 1970. Times before 1970 read as 0.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the wall clock")]
pub fn wall_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// Monotonic time for measuring durations; its value means nothing by itself.
#[allow(clippy::disallowed_methods, reason = "this is the one place that reads the monotonic clock")]
pub fn monotonic() -> Instant {
    Instant::now()
}

/// Lets time pass before another attempt. Only for programs at the edge that have nothing else to
/// wait for; whatever can be told of a change waits for that.
#[allow(clippy::disallowed_methods, reason = "a client that backs off has nothing to wait for but time")]
pub fn pause(longest: std::time::Duration) {
    std::thread::sleep(longest);
}
