//! Recovery of the shards of one assignment, as a machine that makes one log call per step.
//!
//! ```text
//!  numbers ──▶ shard after shard ──▶ numbers again ──▶ live
//!     ▲             │ refused?            │ moved?
//!     │             ▼                     │
//!     └── moved ── numbers again          │
//!     └───────────────────────────────────┘
//! ```
//!
//! # The steps
//!
//! 1. The log is initialised and has assigned partitions. When the assignment changes, the owner
//!    drops all of this: nothing here outlives it.
//! 2. Read the committed positions as *stable* ones; ask again while an outcome is pending. The
//!    numbers beside all positions of a shard must agree: that is its number *n*. A newly
//!    configured topic has none; one that the state knows must have one.
//! 3. Parked state whose number is *n* is taken up again; what it heard of silence is forgotten.
//! 4. Take the ends (read uncommitted) of checkpoint, scores and inputs, once per attempt.
//! 5. Read the checkpoint partition until the *position* has passed its end; keep the latest
//!    readable value per key.
//! 6. No positions and no checkpoint: a fresh shard. Its first commit writes marker 0.
//! 7. The shard record must carry *n*.
//! 8. Take the newer readable marker.
//! 9. Per page take the readable copy with the greatest number. It is complete if that number is
//!    at least the listed one, or its content is the listed content. A page in no list is empty.
//! 10. Any page incomplete: the marker's second entry for the whole shard, judged again.
//! 11. Every input must still hold what lies between start and committed position.
//! 12. Load facts and decisions from the pages.
//! 13. Replay the inputs from start to committed position: facts only, muted, without what a page
//!     includes. Every change makes its page due.
//! 14. Read the scores from the journal offset: the latest record of an account replaces its
//!     decisions. A difference makes its page due.
//! 15. Clock, newest event times and config epoch come from the shard record.
//! 16. Due are changed pages and those whose two copies differ or lack one. After a fallback the
//!     next marker repeats the older entry.
//! 17. Arm every account's deadline; note every score that differs from the last published one.
//! 18. In tests: evaluate every account; nothing may come out.
//! 19. Read the number again. If it is not *n*: from 2. Else the shard is live.
//! 20. Before refusing: read the number again; if it moved, from 2. Else stop this shard with the
//!     sentence that names the missing thing.
//!
//! Reading up to ends taken after the assignment proves that nothing is missing because every
//! record is acknowledged before positions are sent, and positions are fenced by generation.
//! Waits are bounded by the longest time a transaction may stay open. One that is open longer hangs;
//! a sweep ends it once if it was left by a predecessor of our own name (`sweep.rs`), and recovery
//! begins again. This room must not apply events with effects and must not write.

mod plan;
mod shard;
mod sweep;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use plan::RestoreRefusal;
use plan::Standing;
use shard::{ShardRestore, ShardStep};
use sweep::{Sweep, SweepStep};

use super::RebuildReason;
use super::counts::WorkerCounts;
use super::format::{StateIdentity, parse_number};
use super::owned::OwnedShard;
use super::planted::Break;
use super::settings::WorkerSettings;
use crate::engine::EngineConfig;
use crate::engine::event::Intake;
use crate::log::{Committed, CommittedPosition, Log, LogError, Offset, RecordBatch, TopicPartition};

/// Most times recovery starts over because a number moved; then somebody else owns the shards.
const MAX_RESTARTS: u32 = 50;

/// What recovery needs beside the log.
pub(super) struct RestoreContext<'c> {
    pub settings: &'c WorkerSettings,
    pub config: &'c Arc<EngineConfig>,
    pub config_version: &'c str,
    pub intake: &'c Intake,
    pub identity: &'c StateIdentity,
    /// Config epochs this process reached, by shard.
    pub known_epochs: &'c BTreeMap<u32, u64>,
    pub wall_ms: i64,
}

/// What recovery waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stall {
    /// A transaction with positions of the group has no outcome.
    Positions,
    /// An open transaction hides the end of this shard's checkpoint partition.
    Checkpoint(u32),
    /// An open transaction hides records below the committed position of an input.
    Input(u32),
    /// An open transaction hides the end of this shard's scores partition.
    Journal(u32),
    /// The log does not answer.
    Log,
}

impl fmt::Display for Stall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stall::Positions => f.write_str("committed positions that are not pending"),
            Stall::Checkpoint(p) => write!(f, "the end of partition {p} of the checkpoint topic"),
            Stall::Input(p) => write!(f, "the committed position of partition {p} of an input topic"),
            Stall::Journal(p) => write!(f, "the end of partition {p} of the scores topic"),
            Stall::Log => f.write_str("an answer of the log"),
        }
    }
}

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RestoreStep {
    /// Call again at once.
    Again,
    /// Nothing moves; call again after a pause.
    Wait,
    /// All shards are live or refused.
    Finished,
}

enum Stage {
    Numbers,
    Shard(Box<ShardRestore>),
    /// A refusal, before it is believed.
    Doubt(u32, Standing, RestoreRefusal),
    Recheck,
    /// Something hangs.
    Sweep(Box<Sweep>),
}

/// The recovery of one assignment.
pub(super) struct Restore<B> {
    partitions: Vec<u32>,
    stage: Stage,
    todo: BTreeMap<u32, Result<Standing, RestoreRefusal>>,
    unknown: BTreeSet<u32>,
    parked: BTreeMap<u32, OwnedShard<B>>,
    /// Recovered shards.
    pub done: BTreeMap<u32, OwnedShard<B>>,
    /// Refused shards.
    pub refused: BTreeMap<u32, RestoreRefusal>,
    /// What was counted.
    pub counts: WorkerCounts,
    restarts: u32,
    began_ms: i64,
    progress_ms: i64,
    /// Swept once: what still stands in the way is not ours.
    swept: bool,
    /// When the last step began, and whether it read input again.
    stepped: (i64, bool),
    tail_ms: i64,
}

impl<B: RecordBatch> Restore<B> {
    /// Begins the recovery of these partitions; `parked` is state of an earlier assignment.
    pub fn new(partitions: Vec<u32>, parked: BTreeMap<u32, OwnedShard<B>>, wall_ms: i64) -> Self {
        Restore {
            unknown: partitions.iter().copied().collect(),
            partitions,
            stage: Stage::Numbers,
            todo: BTreeMap::new(),
            parked,
            done: BTreeMap::new(),
            refused: BTreeMap::new(),
            counts: WorkerCounts::default(),
            restarts: 0,
            began_ms: wall_ms,
            progress_ms: wall_ms,
            swept: false,
            stepped: (wall_ms, false),
            tail_ms: 0,
        }
    }

    /// Makes one log call.
    pub fn step<L: Log<Batch = B>>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
    ) -> Result<RestoreStep, RebuildReason> {
        if self.restarts > MAX_RESTARTS {
            return Err(RebuildReason::RestoreRestarts { restarts: self.restarts });
        }
        self.note_tail(context.wall_ms);
        let stall = match self.call(log, context) {
            Ok(Moved::Progress) => {
                self.progress_ms = context.wall_ms;
                return Ok(RestoreStep::Again);
            }
            Ok(Moved::Finished) => {
                self.counts.recoveries += 1;
                self.counts.restore_ms += context.wall_ms.saturating_sub(self.began_ms).max(0);
                self.counts.tail_ms += self.tail_ms;
                return Ok(RestoreStep::Finished);
            }
            Ok(Moved::Not(stall)) => stall,
            Err(LogError::Unavailable { .. }) => Stall::Log,
            Err(error) => return Err(RebuildReason::Log(error)),
        };
        // A wall clock that was set back must not lengthen the wait by as much.
        self.progress_ms = self.progress_ms.min(context.wall_ms);
        let waited_ms = context.wall_ms.saturating_sub(self.progress_ms);
        if waited_ms > context.settings.sweep_after_ms && stall != Stall::Log && !self.swept {
            self.swept = true;
            let sweep = Sweep::new(self.partitions.clone(), stall == Stall::Positions);
            self.stage = Stage::Sweep(Box::new(sweep));
            return Ok(RestoreStep::Again);
        }
        if waited_ms > context.settings.restore_stall_ms {
            return Err(RebuildReason::RestoreStalled { stall, waited_ms });
        }
        Ok(RestoreStep::Wait)
    }

    /// A step takes until the next one begins.
    fn note_tail(&mut self, wall_ms: i64) {
        let (began_ms, replayed) = self.stepped;
        if replayed {
            self.tail_ms += wall_ms.saturating_sub(began_ms).max(0);
        }
        let replays = matches!(&self.stage, Stage::Shard(restore) if restore.is_replaying());
        self.stepped = (wall_ms, replays);
    }

    fn call<L: Log<Batch = B>>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
    ) -> Result<Moved, LogError> {
        match &mut self.stage {
            Stage::Numbers => self.read_numbers(log, context),
            Stage::Shard(restore) => {
                let step = restore.step(log, context);
                self.counts.add(restore.take_counts());
                self.after_shard(step?, context)
            }
            Stage::Doubt(..) => self.doubt(log, context),
            Stage::Recheck => self.recheck(log, context),
            Stage::Sweep(sweep) => match sweep.step(log, context)? {
                SweepStep::Again => Ok(Moved::Progress),
                SweepStep::Wait => Ok(Moved::Not(Stall::Positions)),
                SweepStep::Done(ended) => {
                    self.counts.swept += u64::from(ended);
                    self.begin_again();
                    Ok(Moved::Progress)
                }
            },
        }
    }

    /// Reads every number anew that was not believed yet.
    fn begin_again(&mut self) {
        self.todo.clear();
        let missing = |p: &&u32| !self.done.contains_key(*p) && !self.refused.contains_key(*p);
        self.unknown = self.partitions.iter().filter(missing).copied().collect();
        self.stage = Stage::Numbers;
    }

    /// Steps 2 and 3.
    fn read_numbers<L: Log>(&mut self, log: &mut L, context: &RestoreContext<'_>) -> Result<Moved, LogError> {
        let wanted: Vec<u32> = self.unknown.iter().copied().collect();
        let Some(standings) = standings(log, context.settings, &wanted)? else {
            return Ok(Moved::Not(Stall::Positions));
        };
        for (partition, standing) in standings {
            self.unknown.remove(&partition);
            let parked = self.parked.remove(&partition);
            match (parked, &standing) {
                (Some(mut owned), Ok(standing)) if same_state(&owned, standing, context.settings) => {
                    owned.lanes.iter_mut().for_each(super::owned::Lane::rewind);
                    self.counts.reused += 1;
                    self.done.insert(partition, owned);
                }
                _ => {
                    self.todo.insert(partition, standing);
                }
            }
        }
        self.next_shard(context);
        Ok(Moved::Progress)
    }

    fn next_shard(&mut self, context: &RestoreContext<'_>) {
        self.stage = match self.todo.pop_first() {
            Some((partition, Ok(standing))) => {
                Stage::Shard(Box::new(ShardRestore::new(partition, standing, context)))
            }
            Some((partition, Err(refusal))) => {
                let standing = Standing { number: None, positions: Vec::new() };
                Stage::Doubt(partition, standing, refusal)
            }
            None if self.unknown.is_empty() => Stage::Recheck,
            None => Stage::Numbers,
        };
    }

    fn after_shard(&mut self, step: ShardStep<B>, context: &RestoreContext<'_>) -> Result<Moved, LogError> {
        match step {
            ShardStep::Progress => {}
            ShardStep::Waiting(stall) => return Ok(Moved::Not(stall)),
            ShardStep::Done(owned) => {
                self.counts.restores += 1;
                self.done.insert(owned.partition, *owned);
                self.next_shard(context);
            }
            ShardStep::Refused(refusal) => {
                if let Stage::Shard(restore) = &self.stage {
                    let (partition, standing) = (restore.partition(), restore.standing().clone());
                    self.stage = Stage::Doubt(partition, standing, refusal);
                }
            }
        }
        Ok(Moved::Progress)
    }

    /// Step 20: a refusal is believed only if the number did not move meanwhile. A restorer that
    /// was overtaken would otherwise refuse for ever what compaction removed behind it.
    fn doubt<L: Log>(&mut self, log: &mut L, context: &RestoreContext<'_>) -> Result<Moved, LogError> {
        let Stage::Doubt(partition, standing, refusal) = &self.stage else { return Ok(Moved::Progress) };
        let (partition, refusal) = (*partition, refusal.clone());
        let Some(now) = standings(log, context.settings, &[partition])? else {
            return Ok(Moved::Not(Stall::Positions));
        };
        let at_once = context.settings.breaks(Break::RefuseAtOnce);
        let same = now.get(&partition).is_none_or(|now| match now {
            _ if at_once => true,
            Ok(now) => now.number == standing.number,
            Err(again) => *again == refusal,
        });
        if same {
            self.counts.refused += 1;
            self.refused.insert(partition, refusal);
        } else {
            self.restart(partition);
        }
        self.next_shard(context);
        Ok(Moved::Progress)
    }

    fn restart(&mut self, partition: u32) {
        self.restarts += 1;
        self.counts.restarts += 1;
        self.unknown.insert(partition);
    }

    /// Step 19.
    fn recheck<L: Log>(&mut self, log: &mut L, context: &RestoreContext<'_>) -> Result<Moved, LogError> {
        let wanted: Vec<u32> = self.done.keys().copied().collect();
        let Some(now) = standings(log, context.settings, &wanted)? else {
            return Ok(Moved::Not(Stall::Positions));
        };
        for (partition, standing) in now {
            let number = self.done.get(&partition).map(|owned| owned.commit);
            let trusted = context.settings.breaks(Break::ParkedByPosition);
            if !trusted && standing.ok().map(|standing| standing.number.unwrap_or(0)) != number {
                self.done.remove(&partition);
                self.restart(partition);
            }
        }
        if self.unknown.is_empty() {
            return Ok(Moved::Finished);
        }
        self.stage = Stage::Numbers;
        Ok(Moved::Progress)
    }

    /// How many of its shards stand.
    pub fn progress(&self) -> (usize, usize) {
        (self.done.len() + self.refused.len(), self.partitions.len())
    }
}

enum Moved {
    Progress,
    Not(Stall),
    Finished,
}

/// Parked state is the state of the last commit if nobody has committed since. Positions would
/// not do: a commit that only deadlines caused does not move them.
fn same_state<B: RecordBatch>(owned: &OwnedShard<B>, standing: &Standing, settings: &WorkerSettings) -> bool {
    if settings.breaks(Break::ParkedByPosition) {
        let ours = owned.committed.iter().map(|position| Some(*position));
        return ours.eq(standing.positions.iter().copied());
    }
    owned.commit == standing.number.unwrap_or(0)
}

type Standings = BTreeMap<u32, Result<Standing, RestoreRefusal>>;

/// Stable positions of these partitions; `None` while an outcome is pending.
fn standings<L: Log>(
    log: &mut L,
    settings: &WorkerSettings,
    partitions: &[u32],
) -> Result<Option<Standings>, LogError> {
    standings_of(log, settings, partitions, L::committed)
}

/// What `ask` answers about these partitions; `None` while it has no answer.
fn standings_of<L: Log>(
    log: &mut L,
    settings: &WorkerSettings,
    partitions: &[u32],
    ask: fn(&mut L, &[TopicPartition]) -> Result<Committed, LogError>,
) -> Result<Option<Standings>, LogError> {
    let inputs = settings.inputs.len();
    let wanted: Vec<TopicPartition> = partitions
        .iter()
        .flat_map(|p| settings.inputs.iter().map(|i| TopicPartition { topic: i.topic, partition: *p }))
        .collect();
    let Committed::Positions(found) = ask(log, &wanted)? else { return Ok(None) };
    let chunks = partitions.iter().zip(found.chunks(inputs.max(1)));
    Ok(Some(chunks.map(|(partition, found)| (*partition, standing(*partition, found))).collect()))
}

/// One shard's number and positions, if they make sense together.
fn standing(partition: u32, found: &[Option<CommittedPosition>]) -> Result<Standing, RestoreRefusal> {
    let mut number: Option<u64> = None;
    let mut positions: Vec<Option<Offset>> = Vec::new();
    for (input, position) in found.iter().enumerate() {
        positions.push(position.as_ref().map(|p| p.position));
        let Some(position) = position else { continue };
        let parsed = parse_number(&position.metadata).ok_or_else(|| RestoreRefusal::ForeignPosition {
            partition,
            input,
            metadata: position.metadata.chars().take(40).collect(),
        })?;
        if *number.get_or_insert(parsed) != parsed {
            let numbers = found.iter().flatten().map(|p| p.metadata.as_str()).collect::<Vec<_>>().join(", ");
            return Err(RestoreRefusal::NumbersDisagree { partition, numbers });
        }
    }
    Ok(Standing { number, positions })
}
