//! One commit: what goes into it, and the conversation with the log that carries it out.
//!
//! ```text
//! prepare  drain the shards' effects, choose pages, encode           (no log call)
//! begin    send*    drain until done    send_offsets    commit until it has an outcome
//! landed   the shards' numbers, positions, journal and page books move on
//! ```
//!
//! Every record is acknowledged before the positions are sent, and positions of every input of a
//! shard are sent in every commit of it, also when only deadlines passed: that is what fences an
//! owner who was replaced. Nothing here is retried after an unclear outcome, and nothing is
//! rolled back: the owner of the worker drops it. Between two steps nothing is applied.

use std::collections::BTreeMap;

use super::RebuildReason;
use super::counts::Told;
use super::dead_letter::size_of;
use super::format::{self, CopyStamp, FormatError, Key, Marker, ShardRecord, StateIdentity};
use super::output::OutputWriter;
use super::owned::OwnedShard;
use super::planted::Break;
use super::rounds::{CopyInfo, WrittenPage};
use super::settings::WorkerSettings;
use crate::engine::record::{RiskTransition, ScoreRecord};
use crate::log::{
    CommitOutcome, CommittedPosition, Drain, GroupMetadata, Log, LogError, Offset, OutRecord, RecordBatch,
    TopicPartition,
};

/// Why a commit could not be put together. All are defects of this program or a state beyond its
/// limits; the worker cannot go on without losing something.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A checkpoint value does not encode.
    #[error("the checkpoint of shard {partition} cannot be written: {source}")]
    Checkpoint {
        /// Which shard.
        partition: u32,
        /// Why.
        source: FormatError,
    },
}

/// A shard's share of the commit.
struct Share {
    partition: u32,
    number: u64,
    positions: Vec<(TopicPartition, Offset)>,
    clock: Option<i64>,
    pages: Vec<WrittenPage>,
    marker: Option<Marker>,
    /// Inputs that did not move.
    idle: Vec<TopicPartition>,
    journal: Option<Offset>,
}

/// What a landed commit held.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub scores: u64,
    pub transitions: u64,
    pub told: BTreeMap<Told, u64>,
    pub pages: u64,
    pub page_bytes: u64,
    pub markers: u64,
    pub effect_bytes: usize,
    /// Instants of transitions that are not history.
    pub transition_times_ms: Vec<i64>,
}

/// The next thing to say to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Begin,
    Send(usize),
    Drain,
    Offsets,
    Commit,
}

/// What a step of the cycle came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CycleStep {
    /// Call again at once.
    Again,
    /// The log did not answer; call again after a pause.
    Retry,
    /// It is committed.
    Landed,
}

/// A commit on its way.
pub(super) struct CommitCycle {
    stage: Stage,
    records: Vec<OutRecord>,
    shares: Vec<Share>,
    pub tally: Tally,
    pub began_ms: i64,
}

/// What preparing needs beside the shards.
pub(super) struct PrepareContext<'c> {
    pub settings: &'c WorkerSettings,
    pub identity: &'c StateIdentity,
    pub config_version: &'c str,
    pub wall_ms: i64,
    /// The shard that may write pages first.
    pub first: u32,
    /// Commit the moved clock too, however recent the last commit is.
    pub everything: bool,
}

/// Puts a commit together; `None` when no shard has anything to say. Drains the effects, so the
/// commit must be carried out or the shards dropped.
pub(super) fn prepare<B: RecordBatch>(
    shards: &mut BTreeMap<u32, OwnedShard<B>>,
    output: &mut OutputWriter,
    context: &PrepareContext<'_>,
) -> Result<Option<CommitCycle>, PrepareError> {
    let mut builder = Builder {
        context,
        scores: Vec::new(),
        risks: Vec::new(),
        letters: Vec::new(),
        checkpoint: Vec::new(),
        shares: Vec::new(),
        tally: Tally::default(),
        page_budget: context.settings.page_bytes_per_commit,
        output,
    };
    let first = context.first;
    let order: Vec<u32> = shards.range(first..).chain(shards.range(..first)).map(|(p, _)| *p).collect();
    for partition in order {
        if let Some(owned) = shards.get_mut(&partition) {
            builder.add(owned)?;
        }
    }
    if builder.shares.is_empty() {
        return Ok(None);
    }
    let Builder { scores: mut records, risks, letters, checkpoint, shares, tally, .. } = builder;
    records.extend(risks.into_iter().chain(letters).chain(checkpoint));
    let began_ms = context.wall_ms;
    Ok(Some(CommitCycle { stage: Stage::Begin, records, shares, tally, began_ms }))
}

struct Builder<'c> {
    context: &'c PrepareContext<'c>,
    scores: Vec<OutRecord>,
    risks: Vec<OutRecord>,
    letters: Vec<OutRecord>,
    checkpoint: Vec<OutRecord>,
    shares: Vec<Share>,
    tally: Tally,
    page_budget: usize,
    output: &'c mut OutputWriter,
}

impl Builder<'_> {
    fn add<B: RecordBatch>(&mut self, owned: &mut OwnedShard<B>) -> Result<(), PrepareError> {
        let PrepareContext { settings, wall_ms, everything, .. } = *self.context;
        // In event mode nothing that goes out may depend on the wall.
        let event_mode = settings.clock.is_event();
        let clean = settings.breaks(Break::DecisionsAreClean).then(|| owned.shard.take_dirty());
        let stamp_ms = if event_mode { owned.shard.clock_ms().unwrap_or(0) } else { wall_ms };
        let (partition, scores) = (owned.partition, self.tally.scores);
        let told = owned.shard.drain_each((!event_mode).then_some(wall_ms), |record, decisions| {
            self.score(partition, &record, decisions, stamp_ms);
        });
        let mut dirty = owned.shard.take_dirty();
        dirty = clean.unwrap_or(dirty);
        dirty.sort_unstable();
        owned.rounds.mark_due(dirty);
        // A wall clock that was set back must not postpone it by as much.
        let since_ms = wall_ms.saturating_sub(owned.last_commit_ms);
        let beat = since_ms >= settings.heartbeat_ms || since_ms < 0;
        let wanted = self.tally.scores > scores
            || !told.is_empty()
            || owned.is_pressing()
            || owned.rounds.is_writing()
            || owned.rounds.may_begin(wall_ms, settings.round_ms, &owned.committed)
            || (owned.clock_moved() && (beat || everything));
        if !wanted {
            return Ok(());
        }
        let mut risks = std::mem::take(&mut owned.owed);
        if settings.breaks(Break::EffectsNextCommit) {
            owned.owed = told;
        } else {
            if settings.breaks(Break::TimerTwice) {
                let timers = told.iter().filter(|risk| risk.caused_by.is_none());
                owned.owed.extend(timers.cloned());
            }
            risks.extend(told);
        }
        for risk in &risks {
            self.risk(partition, risk, stamp_ms);
        }
        self.letters.append(&mut owned.dead_letters);
        owned.dead_letter_bytes = 0;
        self.checkpoint(owned)
            .map_err(|source| PrepareError::Checkpoint { partition: owned.partition, source })
    }

    fn score(&mut self, partition: u32, record: &ScoreRecord<'_>, decisions: &[u8], stamp_ms: i64) {
        let WorkerSettings { outputs, output_encoding, .. } = self.context.settings;
        let to = TopicPartition { topic: outputs.scores, partition };
        let record = self.output.score(to, record, decisions, *output_encoding, stamp_ms);
        self.tally.effect_bytes += size_of(&record);
        self.tally.scores += 1;
        self.scores.push(record);
    }

    fn risk(&mut self, partition: u32, risk: &RiskTransition, stamp_ms: i64) {
        let WorkerSettings { outputs, output_encoding, .. } = self.context.settings;
        let to = TopicPartition { topic: outputs.risks, partition };
        let record = self.output.risk(to, risk, *output_encoding, stamp_ms);
        self.tally.effect_bytes += size_of(&record);
        self.tally.transitions += 1;
        let which = (risk.rule.clone(), risk.severity.name(), risk.transition.name());
        *self.tally.told.entry(which).or_default() += 1;
        if !risk.backfill {
            self.tally.transition_times_ms.push(risk.at_ms);
        }
        self.risks.push(record);
    }

    fn checkpoint<B: RecordBatch>(&mut self, owned: &mut OwnedShard<B>) -> Result<(), FormatError> {
        let PrepareContext { settings, wall_ms, .. } = *self.context;
        let number = owned.commit + 1;
        let mut marker = None;
        let mut pages = Vec::new();
        if owned.rounds.lacks_marker() {
            // The first commit says where the shard began, so that input deleted meanwhile is noticed.
            marker = Some(owned.rounds.first_marker(owned.committed.clone(), owned.journal));
        } else {
            if owned.rounds.may_begin(wall_ms, settings.round_ms, &owned.committed) {
                let (positions, journal) = (owned.committed.clone(), owned.journal);
                owned.rounds.begin(wall_ms, settings.round_ms, positions, journal);
            }
            pages = self.pages(owned, number)?;
            marker = owned.rounds.closing_marker(&pages).or(marker);
            if let (true, Some(marker)) = (settings.breaks(Break::MarkerAtEnd), &mut marker) {
                marker.this.positions = owned.positions();
            }
        }
        let clock = owned.recorded_clock.max(owned.shard.clock_ms());
        let record = ShardRecord {
            partition: owned.partition,
            commit: number,
            clock_ms: clock,
            config_epoch: owned.config_epoch,
            config_version: self.context.config_version.to_owned(),
            evaluated: !owned.shard.is_evaluating(),
            newest_ms: owned.lanes.iter().map(|lane| lane.newest_ms).collect(),
            identity: self.context.identity.clone(),
        };
        self.push(owned.partition, Key::Shard, Some(format::encode(&record)?));
        if let Some(marker) = &marker {
            let slot = owned.rounds.marker_slot(marker);
            self.push(owned.partition, Key::Marker(slot), Some(format::encode(marker)?));
            self.tally.markers += 1;
        }
        self.shares.push(Share {
            partition: owned.partition,
            number,
            positions: owned.lanes.iter().map(|lane| (lane.at, lane.applied)).collect(),
            clock: owned.shard.clock_ms(),
            pages,
            marker,
            // Only the breaks that leave positions out look at it.
            idle: if settings.breaks(Break::PositionsOnlyWhenMoved)
                || settings.breaks(Break::IdlePositionLeftOut)
            {
                owned.idle()
            } else {
                Vec::new()
            },
            journal: None,
        });
        Ok(())
    }

    /// Writes the next pages of the open round, while there is room; the first page always has some.
    fn pages<B: RecordBatch>(
        &mut self,
        owned: &OwnedShard<B>,
        number: u64,
    ) -> Result<Vec<WrittenPage>, FormatError> {
        let mut written: Vec<WrittenPage> = Vec::new();
        let pages = owned.rounds.pace(self.context.wall_ms);
        while self.page_budget > 0 && written.len() < pages {
            let Some((page, slot)) = owned.rounds.next_page(written.last().map(|w| w.page)) else { break };
            let content = owned.shard.encode_page(page);
            let stamp = CopyStamp {
                partition: owned.partition,
                page,
                commit: number,
                positions: owned.positions(),
                covered: owned.shard.covered_now(),
            };
            let sealed = format::encode_page(&stamp, &content, self.context.settings.page_split_bytes)?;
            let parts = u16::try_from(sealed.len()).unwrap_or(u16::MAX);
            for (part, value) in (0..parts).zip(sealed) {
                self.page_budget = self.page_budget.saturating_sub(value.len());
                self.tally.page_bytes += value.len() as u64;
                self.push(owned.partition, Key::Page { page, slot, part }, Some(value));
            }
            for part in parts..owned.rounds.parts_in(page, slot) {
                self.push(owned.partition, Key::Page { page, slot, part }, None);
            }
            self.tally.pages += 1;
            let info =
                CopyInfo { commit: number, digest: format::digest(&content), covered: stamp.covered, parts };
            written.push(WrittenPage { page, slot, info });
        }
        Ok(written)
    }

    fn push(&mut self, partition: u32, key: Key, value: Option<Vec<u8>>) {
        self.checkpoint.push(OutRecord {
            to: TopicPartition { topic: self.context.settings.outputs.checkpoints, partition },
            key: Some(key.bytes(partition)),
            value,
            headers: Vec::new(),
            timestamp_ms: self.context.wall_ms,
        });
    }
}

impl CommitCycle {
    /// Says the next thing to the log.
    pub fn step<L: Log>(
        &mut self,
        log: &mut L,
        group: &GroupMetadata,
        settings: &WorkerSettings,
        wall_ms: i64,
    ) -> Result<CycleStep, RebuildReason> {
        // A wall clock that was set back must not give a commit more time by as much.
        self.began_ms = self.began_ms.min(wall_ms);
        if wall_ms.saturating_sub(self.began_ms) > settings.commit_timeout_ms {
            return Err(RebuildReason::CommitTimeout { timeout_ms: settings.commit_timeout_ms });
        }
        let error = match self.call(log, group, settings) {
            Ok(Said::Next) => return Ok(CycleStep::Again),
            Ok(Said::Outcome(CommitOutcome::Committed)) => return Ok(CycleStep::Landed),
            Ok(Said::Outcome(CommitOutcome::Pending)) => return Ok(CycleStep::Again),
            Ok(Said::Outcome(CommitOutcome::Indefinite)) if settings.breaks(Break::UnclearIsCommitted) => {
                return Ok(CycleStep::Landed);
            }
            Ok(Said::Outcome(CommitOutcome::Indefinite)) if settings.breaks(Break::UnclearIsRepeated) => {
                self.stage = Stage::Begin;
                return Ok(CycleStep::Again);
            }
            Ok(Said::Outcome(CommitOutcome::Indefinite)) => return Err(RebuildReason::Unclear),
            Ok(Said::Outcome(CommitOutcome::Fenced)) => return Err(RebuildReason::Fenced),
            Err(LogError::Unavailable { .. }) => return Ok(CycleStep::Retry),
            Err(error) => error,
        };
        if matches!(error, LogError::AbortRequired { .. }) {
            // Best effort: whoever comes next ends the transaction in any case.
            drop(log.abort());
        }
        Err(RebuildReason::Log(error))
    }

    fn call<L: Log>(
        &mut self,
        log: &mut L,
        group: &GroupMetadata,
        settings: &WorkerSettings,
    ) -> Result<Said, LogError> {
        match self.stage {
            Stage::Begin => {
                if settings.breaks(Break::OffsetsBeforeState) {
                    log.begin()?;
                    log.send_offsets(&self.positions(settings), group)?;
                    if log.commit()? != CommitOutcome::Committed {
                        return Ok(Said::Outcome(CommitOutcome::Indefinite));
                    }
                }
                log.begin()?;
                self.stage = Stage::Send(0);
            }
            Stage::Send(next) => self.send(log, next)?,
            Stage::Drain => {
                if log.drain()? == Drain::Done {
                    self.note_journal(log, settings);
                    self.stage = Stage::Offsets;
                }
            }
            Stage::Offsets => {
                if !settings.breaks(Break::OffsetsBeforeState) {
                    log.send_offsets(&self.positions(settings), group)?;
                }
                self.stage = Stage::Commit;
            }
            Stage::Commit => return log.commit().map(Said::Outcome),
        }
        Ok(Said::Next)
    }

    /// Sends until the log's buffer is full or everything is sent; a record the log did not take
    /// is sent again by the next step.
    fn send<L: Log>(&mut self, log: &mut L, mut next: usize) -> Result<(), LogError> {
        while let Some(record) = self.records.get(next) {
            match log.send(record) {
                Ok(()) => next += 1,
                Err(error) => {
                    self.stage = Stage::Send(next);
                    return match error {
                        LogError::BufferFull => log.drain().map(|_| ()),
                        error => Err(error),
                    };
                }
            }
        }
        self.stage = Stage::Drain;
        Ok(())
    }

    /// Remembers where the journal of this commit ends; known once everything is acknowledged.
    fn note_journal<L: Log>(&mut self, log: &L, settings: &WorkerSettings) {
        for share in &mut self.shares {
            let scores = TopicPartition { topic: settings.outputs.scores, partition: share.partition };
            share.journal = log.last_sent(scores).map(|offset| offset + 1);
        }
    }

    fn positions(&self, settings: &WorkerSettings) -> Vec<(TopicPartition, CommittedPosition)> {
        let mut all = Vec::new();
        for share in &self.shares {
            if share.idle.len() == share.positions.len() && settings.breaks(Break::PositionsOnlyWhenMoved) {
                continue;
            }
            let left_out = |at| settings.breaks(Break::IdlePositionLeftOut) && share.idle.contains(at);
            let metadata = format::number_text(share.number);
            let positions = share.positions.iter().filter(|(at, _)| !left_out(at));
            all.extend(positions.map(|(at, position)| {
                (*at, CommittedPosition { position: *position, metadata: metadata.clone() })
            }));
        }
        all
    }

    /// The commit has landed: the books of its shards move on.
    pub fn landed<B: RecordBatch>(
        self,
        shards: &mut BTreeMap<u32, OwnedShard<B>>,
        output: &mut OutputWriter,
        wall_ms: i64,
    ) -> Tally {
        // Scores stand in front.
        let scores = usize::try_from(self.tally.scores).unwrap_or(usize::MAX);
        output.give_back(self.records.into_iter().take(scores));
        for share in self.shares {
            let Some(owned) = shards.get_mut(&share.partition) else { continue };
            owned.commit = share.number;
            owned.committed = share.positions.iter().map(|(_, position)| *position).collect();
            owned.committed_clock = share.clock;
            owned.recorded_clock = None;
            owned.journal = share.journal.unwrap_or(owned.journal);
            owned.epoch_raised = false;
            owned.last_commit_ms = wall_ms;
            if share.marker.is_some() {
                owned.checkpointed_ms = wall_ms;
            }
            owned.rounds.committed(&share.pages, share.marker);
            for written in &share.pages {
                owned.shard.page_covered(written.page, owned.rounds.covered(written.page));
            }
        }
        self.tally
    }
}

/// What the log answered.
enum Said {
    /// The next thing may be said.
    Next,
    /// The commit has this outcome.
    Outcome(CommitOutcome),
}
