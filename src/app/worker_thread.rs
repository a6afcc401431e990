//! The thread that drives a worker: calls `step`, obeys its wake, beats the heart, reports, and
//! builds a new worker when the old one says so. It decides nothing else.

use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, TryRecvError};

use super::members::Members;
use super::report::Reporter;
use super::timed_log::TimedLog;
use crate::clock;
use crate::engine::EngineConfig;
use crate::engine::event::Intake;
use crate::log::LogError;
use crate::telemetry::catalogue::REBUILDS;
use crate::worker::{Now, RebuildReason, ShardState, Wake, Worker, WorkerSettings, WorkerStatus};

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

/// What a worker is built from.
pub struct Parts<M> {
    /// Its log handles.
    pub members: M,
    /// Topics and limits.
    pub settings: WorkerSettings,
    /// What decides.
    pub engine: Arc<EngineConfig>,
    /// Judges records.
    pub intake: Intake,
    /// Metrics and readiness.
    pub reporter: Reporter,
}

/// How a worker's thread ended.
pub enum Ended {
    /// As it was asked to.
    Stopped,
    /// It cannot go on, and neither can another worker in its place.
    Failed(String),
}

/// How one worker ended.
enum Run {
    Stopped,
    Failed(String),
    Rebuild(Arc<RebuildReason>),
}

type Driven<M> = Worker<TimedLog<<M as Members>::Log>>;

impl<M: Members> Parts<M> {
    /// Drives one worker after the other until told to end.
    pub fn run(mut self, stopped: &Receiver<()>) -> Ended {
        let mut pause = REBUILD_PAUSE_FIRST;
        // From here on this worker must show that it lives, also in its first step.
        self.reporter.beat(clock::wall_ms());
        loop {
            let began_ms = clock::wall_ms();
            let mut worker = match self.build() {
                Ok(worker) => worker,
                Err(sentence) => return Ended::Failed(sentence),
            };
            let ended = self.drive(&mut worker, stopped);
            self.report(&mut worker);
            self.settings.known_epochs.clone_from(worker.config_epochs());
            let reason = match ended {
                Run::Stopped => return Ended::Stopped,
                Run::Failed(sentence) => return Ended::Failed(sentence),
                Run::Rebuild(reason) => reason,
            };
            if let RebuildReason::Log(error @ (LogError::InstanceTaken { .. } | LogError::Denied { .. })) =
                &*reason
            {
                return Ended::Failed(error.to_string());
            }
            REBUILDS.add(&[reason.cause()], 1);
            if clock::wall_ms().saturating_sub(began_ms) > REBUILD_FORGIVEN_MS {
                pause = REBUILD_PAUSE_FIRST;
            }
            tracing::warn!(%reason, ?pause, "the worker starts again from its last commit");
            drop(worker);
            if !matches!(stopped.recv_timeout(pause), Err(RecvTimeoutError::Timeout)) {
                return Ended::Stopped;
            }
            pause = (pause * 2).min(REBUILD_PAUSE_MAX);
        }
    }

    fn build(&self) -> Result<Driven<M>, String> {
        let log = TimedLog::new(self.members.member().map_err(|error| error.to_string())?);
        Worker::new(log, self.settings.clone(), Arc::clone(&self.engine), self.intake.clone())
            .map_err(|error| error.to_string())
    }

    fn drive(&self, worker: &mut Driven<M>, stopped: &Receiver<()>) -> Run {
        let mut report_at_ms = 0;
        let mut said = Said::default();
        loop {
            // Without a last commit: what it would rest on is not what is there.
            if let Some(sentence) = self.members.must_end() {
                return Run::Failed(sentence);
            }
            // Taken before the step: what comes while it runs ends the wait at once.
            let seen = self.members.changes();
            let wall_ms = clock::wall_ms();
            let wake = worker.step(Now { wall_ms });
            self.reporter.beat(wall_ms);
            if wall_ms >= report_at_ms {
                said.note(&self.report(worker));
                report_at_ms = wall_ms + REPORT_MS;
            }
            let polled = matches!(wake, Wake::Idle);
            let wait_ms = match wake {
                Wake::Immediately => 0,
                // A log that says again and again that there is nothing would be asked for ever.
                Wake::Idle => WAIT_MAX_MS,
                Wake::At(at_ms) => at_ms.saturating_sub(clock::wall_ms()).clamp(0, WAIT_MAX_MS),
                Wake::Rebuild { reason } => return Run::Rebuild(reason),
                Wake::Stopped => return Run::Stopped,
            };
            if wait_ms > 0 {
                self.members.wait(seen, Duration::from_millis(wait_ms.unsigned_abs()), polled);
            }
            // Nothing is ever sent: the channel ends when the end is asked for.
            if stopped.try_recv() == Err(TryRecvError::Disconnected) {
                worker.request_stop();
            }
        }
    }

    fn report(&self, worker: &mut Driven<M>) -> WorkerStatus {
        let counts = worker.take_counts();
        self.reporter.counts(&counts);
        let status = worker.status();
        // Once, when all of its shards stand.
        if counts.recoveries > 0 {
            let shards: Vec<String> = status.shards.iter().map(|shard| shard.partition.to_string()).collect();
            let (ms, tail_ms) = (counts.restore_ms, counts.tail_ms);
            tracing::info!(shards = shards.join(" "), ms, tail_ms, "restored");
        }
        self.reporter.status(&status, clock::wall_ms(), &|at| self.members.end(at));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::catalogue::REBUILD_CAUSES;
    use crate::worker::format::FormatError;
    use crate::worker::{PrepareError, Stall};

    #[test]
    fn every_cause_of_a_rebuild_has_a_series_of_its_own() {
        let prepared = PrepareError::Checkpoint { partition: 0, source: FormatError::Short { bytes: 0 } };
        let reasons = [
            RebuildReason::Log(LogError::BufferFull),
            RebuildReason::Unclear,
            RebuildReason::Fenced,
            RebuildReason::CommitTimeout { timeout_ms: 1 },
            RebuildReason::RestoreStalled { stall: Stall::Log, waited_ms: 1 },
            RebuildReason::RestoreRestarts { restarts: 1 },
            RebuildReason::Prepare(prepared),
            RebuildReason::Standstill { topic: String::new(), partition: 0, offset: 0, waited_ms: 1 },
        ];
        assert_eq!(reasons.each_ref().map(RebuildReason::cause), REBUILD_CAUSES);
    }
}
