//! Whether the instance lives and whether it is ready, from what the worker's thread reports.
//!
//! Live = the worker finished a step lately; it does not depend on the log answering. Ready =
//! configured, the cluster (if there is one) answers, the disk (of the embedded log) does, assigned, state restored, caught up, not
//! stopping.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Shared;
use crate::clock;

/// A worker that finished no step for this long counts as stuck.
pub const HEARTBEAT_MAX_MS: i64 = 30_000;

/// What is known about the worker. Written by its thread, read by requests.
#[derive(Debug, Default)]
pub struct Health {
    /// When the worker last finished a step, UTC milliseconds; 0 before the first.
    pub heartbeat_ms: AtomicI64,
    /// Whether partitions are assigned.
    pub assigned: AtomicBool,
    /// Whether their state is restored.
    pub restored: AtomicBool,
    /// Records that wait for the worker.
    pub waiting: AtomicU64,
    /// How many may wait in a ready instance.
    pub waiting_max: AtomicU64,
    /// Whether the instance is shutting down.
    pub stopping: AtomicBool,
    /// Why the cluster does not answer; `None` while it does, and always without a cluster.
    cluster: Mutex<Option<String>>,
    /// Why the disk of the embedded log refuses; `None` while it does not.
    disk: Mutex<Option<String>>,
    /// Why shards that are ours are not served; `None` while all are.
    refused: Mutex<Option<String>>,
}

/// One condition with its name and, when it does not hold, the reason.
type Check = (&'static str, bool, String);

impl Health {
    /// The cluster answered just now, or did not and this is why.
    pub fn note_cluster(&self, trouble: Option<String>) {
        *self.cluster.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// The disk of the embedded log refuses from now on, and this is why; or it is well again.
    pub fn note_disk(&self, trouble: Option<String>) {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    /// Shards that are ours are not served, and this is why; or all are.
    pub fn note_refused(&self, why: Option<String>) {
        *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = why;
    }

    /// Conditions of being ready.
    pub fn ready_checks(&self) -> [Check; 6] {
        let disk = self.disk.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let trouble = self.cluster.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let unrestored = refused.unwrap_or_else(|| "state is being restored".to_owned());
        let waiting = self.waiting.load(Ordering::Relaxed);
        let max = self.waiting_max.load(Ordering::Relaxed);
        [
            ("cluster", trouble.is_none(), trouble.unwrap_or_default()),
            ("disk", disk.is_none(), disk.unwrap_or_default()),
            ("assigned", self.assigned.load(Ordering::Relaxed), "no partitions are assigned yet".to_owned()),
            ("restored", self.restored.load(Ordering::Relaxed), unrestored),
            ("caught-up", waiting <= max, format!("{waiting} records wait, at most {max} may")),
            ("running", !self.stopping.load(Ordering::Relaxed), "the instance is stopping".to_owned()),
        ]
    }

    /// Conditions of being alive.
    pub fn live_checks(&self, now_ms: i64) -> [Check; 1] {
        let heartbeat_ms = self.heartbeat_ms.load(Ordering::Relaxed);
        let silence_ms = now_ms.saturating_sub(heartbeat_ms);
        let beats = heartbeat_ms == 0 || silence_ms <= HEARTBEAT_MAX_MS;
        [("worker", beats, format!("the worker finished no step for {silence_ms} ms"))]
    }

    /// Whether every condition of being ready holds.
    pub fn is_ready(&self) -> bool {
        self.ready_checks().iter().all(|(_, holds, _)| *holds)
    }
}

/// `/livez`, `/-/healthy`
pub async fn live(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(&shared.health.live_checks(clock::wall_ms()), query.as_deref())
}

/// `/readyz`, `/-/ready`
pub async fn ready(State(shared): State<Arc<Shared>>, RawQuery(query): RawQuery) -> Response {
    answer(&shared.health.ready_checks(), query.as_deref())
}

/// `ok`, or what is missing; one line per condition with `?verbose`.
fn answer(checks: &[Check], query: Option<&str>) -> Response {
    let verbose = query.is_some_and(|query| query.split('&').any(|part| part.starts_with("verbose")));
    let all = checks.iter().all(|(_, holds, _)| *holds);
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let mut text = String::new();
    for (name, holds, reason) in checks {
        match holds {
            true if verbose => text.push_str(&format!("[+] {name}: ok\n")),
            true => {}
            false => text.push_str(&format!("[-] {name}: {reason}\n")),
        }
    }
    if all {
        text.push_str("ok\n");
    }
    (status, text).into_response()
}
