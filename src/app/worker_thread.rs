//! The thread that drives the worker: calls `step`, obeys its wake, beats the heart, reports, and
//! builds a new worker when the old one says so. It decides nothing else.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TryRecvError, bounded};

use super::report::Reporter;
use super::timed_log::TimedLog;
use crate::clock;
use crate::engine::EngineConfig;
use crate::engine::event::Intake;
use crate::log::local::{LocalLog, LocalStore};
use crate::telemetry::catalogue::REBUILDS;
use crate::worker::{
    Now, RebuildReason, SettingsError, ShardState, Wake, Worker, WorkerSettings, WorkerStatus,
};

/// First and longest pause before a worker is built again.
const REBUILD_PAUSE_FIRST: Duration = Duration::from_millis(50);
const REBUILD_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A worker that lived this long was well: the next pause is the first again.
const REBUILD_FORGIVEN_MS: i64 = 60_000;
/// Longest wait between two steps while the log does not change: how soon a stop or a deadline is
/// noticed.
const WAIT_MAX_MS: i64 = 20;
/// Time between two reports.
const REPORT_MS: i64 = 500;

/// What the worker is built from.
pub struct Parts {
    /// The log.
    pub store: Arc<LocalStore>,
    /// Topics and limits.
    pub settings: WorkerSettings,
    /// What decides.
    pub engine: Arc<EngineConfig>,
    /// Judges records.
    pub intake: Intake,
    /// Metrics and readiness.
    pub reporter: Reporter,
}

/// The running thread.
pub struct WorkerThread {
    /// Dropping it asks for the end.
    stop: Option<Sender<()>>,
    thread: JoinHandle<()>,
}

impl WorkerThread {
    /// Starts it. Settings that no worker can run with are an error here, not in the thread.
    pub fn start(parts: Parts) -> Result<WorkerThread, SettingsError> {
        let (stop, stopped) = bounded(0);
        drop(parts.build()?);
        let thread = std::thread::spawn(move || parts.run(&stopped));
        Ok(WorkerThread { stop: Some(stop), thread })
    }

    /// Whether it is still there; it ends by itself only through a fault of this program.
    pub fn is_running(&self) -> bool {
        !self.thread.is_finished()
    }

    /// A last commit, then the end.
    pub fn stop(mut self) {
        self.stop = None;
        if self.thread.join().is_err() {
            tracing::error!("the worker thread ended with a panic; everything committed is safe");
        }
    }
}

enum Ended {
    Stopped,
    Rebuild(Arc<RebuildReason>),
}

type LocalWorker = Worker<TimedLog<LocalLog>>;

impl Parts {
    fn build(&self) -> Result<LocalWorker, SettingsError> {
        let log = TimedLog::new(self.store.member());
        Worker::new(log, self.settings.clone(), Arc::clone(&self.engine), self.intake.clone())
    }

    fn run(mut self, stopped: &Receiver<()>) {
        let mut pause = REBUILD_PAUSE_FIRST;
        loop {
            // Checked when the thread was started, and nothing has changed since.
            let Ok(mut worker) = self.build() else { return };
            let began_ms = clock::wall_ms();
            let ended = self.drive(&mut worker, stopped);
            self.report(&mut worker);
            self.settings.known_epochs.clone_from(worker.config_epochs());
            let Ended::Rebuild(reason) = ended else { return };
            REBUILDS.add(&[], 1);
            if clock::wall_ms().saturating_sub(began_ms) > REBUILD_FORGIVEN_MS {
                pause = REBUILD_PAUSE_FIRST;
            }
            tracing::warn!(%reason, ?pause, "the worker starts again from its last commit");
            drop(worker);
            if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                return;
            }
            pause = (pause * 2).min(REBUILD_PAUSE_MAX);
        }
    }

    fn drive(&self, worker: &mut LocalWorker, stopped: &Receiver<()>) -> Ended {
        let mut report_at_ms = 0;
        let mut said = Said::default();
        loop {
            // Taken before the step: what comes while it runs ends the wait at once.
            let seen = self.store.changes();
            let wall_ms = clock::wall_ms();
            let wake = worker.step(Now { wall_ms });
            self.reporter.health.heartbeat_ms.store(wall_ms, Relaxed);
            if wall_ms >= report_at_ms {
                said.note(&self.report(worker));
                report_at_ms = wall_ms + REPORT_MS;
            }
            let wait_ms = match wake {
                Wake::Immediately => 0,
                // A log that says again and again that there is nothing would be asked for ever.
                Wake::Idle => WAIT_MAX_MS,
                Wake::At(at_ms) => at_ms.saturating_sub(clock::wall_ms()).clamp(0, WAIT_MAX_MS),
                Wake::Rebuild { reason } => return Ended::Rebuild(reason),
                Wake::Stopped => return Ended::Stopped,
            };
            if wait_ms > 0 {
                self.store.wait_for_change(seen, Duration::from_millis(wait_ms.unsigned_abs()));
            }
            // Nothing is ever sent: the channel ends when the end is asked for.
            if stopped.try_recv() == Err(TryRecvError::Disconnected) {
                worker.request_stop();
            }
        }
    }

    fn report(&self, worker: &mut LocalWorker) -> WorkerStatus {
        let counts = worker.take_counts();
        self.reporter.counts(&counts);
        let status = worker.status();
        self.reporter.status(&status, clock::wall_ms());
        status
    }
}

/// What was already written to the log about a worker, so that it is said once.
#[derive(Default)]
struct Said {
    phase: Option<String>,
    refused: Vec<u32>,
    held: Vec<(u32, u16)>,
}

impl Said {
    fn note(&mut self, status: &WorkerStatus) {
        let phase = format!("{:?}", status.phase);
        if self.phase.as_ref() != Some(&phase) {
            tracing::info!(phase, "worker");
            self.phase = Some(phase);
        }
        for shard in &status.shards {
            if let ShardState::Refused { sentence } = &shard.state
                && !self.refused.contains(&shard.partition)
            {
                tracing::error!(partition = shard.partition, "{sentence}");
                self.refused.push(shard.partition);
            }
            for held in &shard.held {
                if !self.held.contains(&(shard.partition, held.topic.0)) {
                    tracing::error!(
                        partition = shard.partition,
                        topic = held.topic.0,
                        offset = held.offset,
                        "nearly all of an input partition is refused: it is held; read the dead letters, \
                         repair the producer and restart"
                    );
                    self.held.push((shard.partition, held.topic.0));
                }
            }
        }
    }
}
