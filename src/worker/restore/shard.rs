//! One shard's way from the log into memory, one log call per step. Steps 4 to 18 of recovery.
//!
//! ```text
//! ends -> checkpoint to its end -> plan -> pages -> inputs, muted -> journal -> finish
//! ```
//!
//! Ends are taken once per attempt, after the assignment and after the committed number was
//! read: a reader that has *passed* them (its position, not its last record) has seen everything
//! that can belong to that number. This room must not decide about numbers (`mod.rs`).

use std::sync::Arc;

use super::plan::{Ends, Load, Plan, RestoreRefusal, Standing, plan};
use super::view::CheckpointView;
use super::{RestoreContext, Stall};
use crate::engine::partition::{PageId, bucket_of};
use crate::engine::{Input, Shard, ShardId};
use crate::log::{Log, LogError, Offset, RecordBatch, TopicPartition, Watermarks};
use crate::worker::apply::{decode, input_of};
use crate::worker::counts::WorkerCounts;
use crate::worker::dead_letter::{Stage as RefusedAt, dead_letter};
use crate::worker::format::{Slot, unpack_page};
use crate::worker::output::HEADER_DECISIONS;
use crate::worker::owned::{Lane, OwnedShard};
use crate::worker::planted::Break;
use crate::worker::queued::HeadersAt;
use crate::worker::rounds::Rounds;

/// What a step came to.
pub(super) enum ShardStep<B> {
    /// Something was read; call again.
    Progress,
    /// Nothing new yet; an open transaction may stand in the way.
    Waiting(Stall),
    /// The shard stands as the committed number says.
    Done(Box<OwnedShard<B>>),
    /// It cannot be taken up.
    Refused(RestoreRefusal),
}

enum Stage {
    Ends(Vec<Watermarks>),
    Checkpoint(Offset),
    Pages(Vec<(PageId, Slot)>),
    Replay { input: usize, position: Offset },
    Journal(Offset),
    Finish,
}

/// The attempt to recover one shard.
pub(super) struct ShardRestore {
    partition: u32,
    standing: Standing,
    stage: Stage,
    ends: Option<Ends>,
    view: CheckpointView,
    load: Option<Box<Load>>,
    /// Copies that are readable and do not load.
    unusable: Vec<(PageId, Slot)>,
    shard: Shard,
    letters: Vec<crate::log::OutRecord>,
    counts: WorkerCounts,
}

impl ShardRestore {
    /// Begins an attempt for the commit that `standing` names.
    pub fn new(partition: u32, standing: Standing, context: &RestoreContext<'_>) -> Self {
        ShardRestore {
            partition,
            standing,
            stage: Stage::Ends(Vec::new()),
            ends: None,
            view: CheckpointView::new(context.settings.planted),
            load: None,
            unusable: Vec::new(),
            shard: new_shard(partition, context),
            letters: Vec::new(),
            counts: WorkerCounts::default(),
        }
    }

    /// Which shard.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The number and positions this attempt recovers.
    pub fn standing(&self) -> &Standing {
        &self.standing
    }

    /// Whether input is being read again.
    pub fn is_replaying(&self) -> bool {
        matches!(self.stage, Stage::Replay { .. })
    }

    /// What was counted so far.
    pub fn take_counts(&mut self) -> WorkerCounts {
        std::mem::take(&mut self.counts)
    }

    /// Makes one log call, or one page's worth of work.
    pub fn step<L: Log>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
    ) -> Result<ShardStep<L::Batch>, LogError> {
        let step = match std::mem::replace(&mut self.stage, Stage::Finish) {
            Stage::Ends(taken) => self.take_ends(log, context, taken),
            Stage::Checkpoint(position) => self.read_checkpoint(log, context, position),
            Stage::Pages(left) => Ok(self.load_page(context, left)),
            Stage::Replay { input, position } => self.replay(log, context, input, position),
            Stage::Journal(position) => self.read_journal(log, context, position),
            Stage::Finish => Ok(self.finish(context)),
        };
        match step {
            Err(LogError::OutOfRange { .. }) => {
                let detail = step.err().map(|e| e.to_string()).unwrap_or_default();
                Ok(ShardStep::Refused(RestoreRefusal::RangeGone { partition: self.partition, detail }))
            }
            step => step,
        }
    }

    fn take_ends<L: Log>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
        mut taken: Vec<Watermarks>,
    ) -> Result<ShardStep<L::Batch>, LogError> {
        let outputs = context.settings.outputs;
        let topics = [outputs.checkpoints, outputs.scores].into_iter();
        let topics: Vec<_> = topics.chain(context.settings.inputs.iter().map(|input| input.topic)).collect();
        if let Some(topic) = topics.get(taken.len()) {
            let marks = log.watermarks(TopicPartition { topic: *topic, partition: self.partition });
            if let Ok(marks) = &marks {
                taken.push(*marks);
            }
            self.stage = Stage::Ends(taken);
            return marks.map(|_| ShardStep::Progress);
        }
        let mut marks = taken.into_iter();
        if let (Some(checkpoint), Some(scores)) = (marks.next(), marks.next()) {
            self.ends = Some(Ends { checkpoint, scores, inputs: marks.collect() });
            self.stage = Stage::Checkpoint(checkpoint.start);
        }
        Ok(ShardStep::Progress)
    }

    fn read_checkpoint<L: Log>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
        position: Offset,
    ) -> Result<ShardStep<L::Batch>, LogError> {
        self.stage = Stage::Checkpoint(position);
        let end = self.ends.as_ref().map_or(0, |ends| ends.checkpoint.end);
        if position >= end {
            self.view.seal();
            for (page, slot) in &self.unusable {
                self.view.discard(*page, *slot);
            }
            return Ok(self.decide(context));
        }
        let at = TopicPartition { topic: context.settings.outputs.checkpoints, partition: self.partition };
        let read = log.read_range(at, position, context.settings.read_bytes)?;
        for index in 0..read.batch.len() {
            let record = read.batch.get(index);
            if let Some(key) = record.key {
                self.view.push(self.partition, key, record.value);
            }
        }
        if read.position == position && context.settings.breaks(Break::CheckpointAtStable) {
            self.stage = Stage::Checkpoint(end);
            return Ok(ShardStep::Progress);
        }
        self.stage = Stage::Checkpoint(read.position);
        Ok(self.progress(position, read.position, Stall::Checkpoint))
    }

    fn progress<B>(&self, before: Offset, after: Offset, what: fn(u32) -> Stall) -> ShardStep<B> {
        if after > before { ShardStep::Progress } else { ShardStep::Waiting(what(self.partition)) }
    }

    fn decide<B: RecordBatch>(&mut self, context: &RestoreContext<'_>) -> ShardStep<B> {
        let Some(ends) = &self.ends else { return ShardStep::Progress };
        let plan = plan(self.partition, &self.standing, &self.view, ends, context.identity, context.settings);
        match plan {
            Err(refusal) => return ShardStep::Refused(refusal),
            Ok(Plan::Fresh) => self.stage = Stage::Finish,
            Ok(Plan::Load(load)) => {
                if let Some(refusal) = self.superseded(&load, context) {
                    return ShardStep::Refused(refusal);
                }
                self.counts.fallbacks += u64::from(load.fell_back);
                let mut left: Vec<_> = load.chosen.iter().map(|(page, slot)| (*page, *slot)).collect();
                left.reverse();
                self.load = Some(load);
                self.stage = Stage::Pages(left);
            }
        }
        ShardStep::Progress
    }

    /// A config that this process had already replaced came back with a later epoch: the newer
    /// config lives elsewhere, and two must not take turns.
    fn superseded(&self, load: &Load, context: &RestoreContext<'_>) -> Option<RestoreRefusal> {
        let known = *context.known_epochs.get(&self.partition)?;
        let recorded = load.record.config_epoch;
        (load.record.config_version != context.config_version && recorded > known)
            .then_some(RestoreRefusal::Superseded { partition: self.partition, recorded, known })
    }

    /// Loads the next page. A copy that cannot be used is as good as unreadable: the checkpoint is
    /// read again (to the same end) and judged without it.
    fn load_page<B: RecordBatch>(
        &mut self,
        context: &RestoreContext<'_>,
        mut left: Vec<(PageId, Slot)>,
    ) -> ShardStep<B> {
        let Some((page, slot)) = left.pop() else {
            self.stage = self.replay_from(0);
            return ShardStep::Progress;
        };
        self.stage = Stage::Pages(left);
        let Some((_, copy)) = self.view.best(page) else { return ShardStep::Progress };
        let loaded = unpack_page(&copy.packed, copy.raw_bytes, copy.digest)
            .map_err(|e| e.to_string())
            .and_then(|content| self.shard.load_page(page, &content).map_err(|e| e.to_string()));
        if let Err(detail) = loaded {
            self.view.discard(page, slot);
            if self.view.best(page).is_none() {
                let (partition, page) = (self.partition, page.0);
                return ShardStep::Refused(RestoreRefusal::PageUnusable { partition, page, detail });
            }
            self.unusable.push((page, slot));
            self.view = CheckpointView::new(context.settings.planted);
            self.shard = new_shard(self.partition, context);
            self.stage = Stage::Checkpoint(self.ends.as_ref().map_or(0, |ends| ends.checkpoint.start));
            return ShardStep::Progress;
        }
        self.view.unload(page);
        ShardStep::Progress
    }

    fn replay_from(&self, input: usize) -> Stage {
        let start = self.load.as_ref().and_then(|load| load.starts.get(input));
        start.map_or_else(
            || Stage::Journal(self.load.as_ref().map_or(0, |load| load.journal)),
            |start| Stage::Replay { input, position: *start },
        )
    }

    fn replay<L: Log>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
        input: usize,
        position: Offset,
    ) -> Result<ShardStep<L::Batch>, LogError> {
        self.stage = Stage::Replay { input, position };
        let committed = self.load.as_ref().and_then(|load| load.committed.get(input)).copied().unwrap_or(0);
        let topic = context.settings.inputs.get(input).map(|input| input.topic);
        let Some(topic) = topic.filter(|_| position < committed) else {
            self.stage = self.replay_from(input + 1);
            return Ok(ShardStep::Progress);
        };
        let at = TopicPartition { topic, partition: self.partition };
        let read = log.read_range(at, position, context.settings.read_bytes)?;
        for index in 0..read.batch.len() {
            if read.batch.get(index).offset < committed {
                self.replay_one(&read.batch, index, input, context);
            }
        }
        self.stage = Stage::Replay { input, position: read.position };
        Ok(self.progress(position, read.position, Stall::Input))
    }

    /// Facts only: no effects, no dead letters, no fate counted twice.
    fn replay_one<B: RecordBatch>(
        &mut self,
        batch: &B,
        index: usize,
        input: usize,
        context: &RestoreContext<'_>,
    ) {
        let record = batch.get(index);
        let page = bucket_of(record.key.unwrap_or_default(), context.settings.partitions);
        let included = self.view.best(page).and_then(|(_, copy)| copy.positions.get(input)).copied();
        if record.offset < included.unwrap_or(0) {
            return;
        }
        self.counts.replayed += 1;
        let headers = HeadersAt { batch, index };
        match decode(context.intake, context.settings, input, &record, &headers) {
            // What the engine refused then (a limit), it refuses again; its letter is written.
            Ok(event) => {
                let forgets = context.settings.breaks(Break::FilterForgotten);
                let number = if forgets { Input(u16::MAX) } else { input_of(context.settings, input) };
                drop(self.shard.replay_fact(number, &event));
            }
            Err(refusal) if context.settings.breaks(Break::DeadLettersInReplay) => {
                let topic = &context.settings.inputs[input];
                let stage = RefusedAt::Decode;
                self.letters.push(dead_letter(
                    context.settings,
                    topic,
                    &record,
                    &headers,
                    (stage, &refusal),
                    context.wall_ms,
                ));
            }
            Err(_) => {}
        }
    }

    fn read_journal<L: Log>(
        &mut self,
        log: &mut L,
        context: &RestoreContext<'_>,
        position: Offset,
    ) -> Result<ShardStep<L::Batch>, LogError> {
        self.stage = Stage::Journal(position);
        let end = self.ends.as_ref().map_or(0, |ends| ends.scores.end);
        let unread = [Break::NoJournal, Break::DecisionsRecomputed];
        if position >= end || unread.into_iter().any(|which| context.settings.breaks(which)) {
            self.stage = Stage::Finish;
            return Ok(ShardStep::Progress);
        }
        let at = TopicPartition { topic: context.settings.outputs.scores, partition: self.partition };
        let read = log.read_range(at, position, context.settings.read_bytes)?;
        for index in 0..read.batch.len() {
            if let Err((offset, detail)) = self.journal_one(&read.batch, index) {
                let partition = self.partition;
                return Ok(ShardStep::Refused(RestoreRefusal::JournalUnreadable {
                    partition,
                    offset,
                    detail,
                }));
            }
        }
        if read.position == position && context.settings.breaks(Break::JournalAtStable) {
            self.stage = Stage::Finish;
            return Ok(ShardStep::Progress);
        }
        self.stage = Stage::Journal(read.position);
        Ok(self.progress(position, read.position, Stall::Journal))
    }

    fn journal_one<B: RecordBatch>(&mut self, batch: &B, index: usize) -> Result<(), (Offset, String)> {
        let record = batch.get(index);
        let refuse = |detail: String| (record.offset, detail);
        let account = std::str::from_utf8(record.key.unwrap_or_default());
        let account = account.map_err(|_| refuse("its key is not an account id".to_owned()))?;
        let decisions = batch.header(index, HEADER_DECISIONS);
        if record.value.is_some() && decisions.is_none() {
            return Err(refuse(format!("it has no header {HEADER_DECISIONS}")));
        }
        self.counts.journal_records += 1;
        let applied = self.shard.apply_journal(account, record.value.and(decisions));
        applied.map(drop).map_err(|e| refuse(e.to_string()))
    }

    fn finish<B: RecordBatch>(&mut self, context: &RestoreContext<'_>) -> ShardStep<B> {
        let Some(ends) = self.ends.take() else { return ShardStep::Progress };
        let shard = std::mem::replace(&mut self.shard, new_shard(self.partition, context));
        let letters = std::mem::take(&mut self.letters);
        match self.load.take() {
            None => ShardStep::Done(Box::new(fresh(self.partition, shard, &self.standing, &ends, context))),
            Some(load) => {
                let journal = ends.scores.end;
                match restored(shard, *load, &self.view, journal, context) {
                    Ok(mut owned) => {
                        owned.dead_letters = letters;
                        ShardStep::Done(Box::new(owned))
                    }
                    Err(refusal) => ShardStep::Refused(refusal),
                }
            }
        }
    }
}

fn new_shard(partition: u32, context: &RestoreContext<'_>) -> Shard {
    let id = ShardId { partition, partitions: context.settings.partitions };
    Shard::new(Arc::clone(context.config), id)
}

fn lanes<B: RecordBatch>(
    partition: u32,
    positions: &[Offset],
    newest: &[Option<i64>],
    context: &RestoreContext<'_>,
) -> Vec<Lane<B>> {
    let inputs = context.settings.inputs.iter().zip(positions).enumerate();
    let lanes = inputs.map(|(index, (input, position))| {
        let at = TopicPartition { topic: input.topic, partition };
        Lane::new(at, *position, newest.get(index).copied().flatten())
    });
    lanes.collect()
}

/// A shard that begins with this commit.
fn fresh<B: RecordBatch>(
    partition: u32,
    shard: Shard,
    standing: &Standing,
    ends: &Ends,
    context: &RestoreContext<'_>,
) -> OwnedShard<B> {
    let starts = ends.inputs.iter().zip(&standing.positions);
    let positions: Vec<Offset> = starts.map(|(marks, position)| position.unwrap_or(marks.start)).collect();
    let settings = context.settings;
    OwnedShard {
        partition,
        shard,
        commit: 0,
        lanes: lanes(partition, &positions, &[], context),
        committed: positions,
        committed_clock: None,
        journal: ends.scores.end,
        rounds: Rounds::fresh(partition, context.wall_ms, settings.round_ms, settings.planted),
        dead_letters: Vec::new(),
        dead_letter_bytes: 0,
        owed: Vec::new(),
        recorded_clock: None,
        config_epoch: 1,
        epoch_raised: false,
        last_commit_ms: context.wall_ms,
        checkpointed_ms: context.wall_ms,
    }
}

/// Steps 15 to 18: clock, deadlines, due pages; a changed config evaluates every account once.
fn restored<B: RecordBatch>(
    mut shard: Shard,
    load: Load,
    view: &CheckpointView,
    journal: Offset,
    context: &RestoreContext<'_>,
) -> Result<OwnedShard<B>, RestoreRefusal> {
    let partition = load.record.partition;
    let copies = view.copies();
    for (page, pair) in &copies {
        shard.page_covered(*page, pair.covered());
    }
    shard.finish_restore(load.record.clock_ms);
    if context.settings.breaks(Break::DecisionsRecomputed) {
        drop(shard.audit());
    }
    if context.settings.breaks(Break::DueForgotten) {
        drop(shard.drain_all());
    }
    let changed = load.record.config_version != context.config_version;
    if changed || !load.record.evaluated {
        // Once, under the new epoch; what comes out goes with the next commits, as much as each can
        // take. One that was interrupted begins again: what it had told is not told twice.
        shard.begin_evaluation();
    } else if context.settings.audit_restores {
        let out = shard.audit();
        if let Some(first) = out.first() {
            let what = format!("{} of {}, {} in all", first.rule, first.account_id, out.len());
            return Err(RestoreRefusal::AuditFailed { partition, what });
        }
    }
    let planted = context.settings.planted;
    let mut rounds = Rounds::restored(load.marker, copies, load.fell_back, context.wall_ms, planted);
    let dirty = shard.take_dirty();
    if !context.settings.breaks(Break::RestoreIsClean) {
        rounds.mark_due(dirty);
    }
    Ok(OwnedShard {
        partition,
        shard,
        commit: load.record.commit,
        lanes: lanes(partition, &load.committed, &load.record.newest_ms, context),
        committed: load.committed,
        committed_clock: load.record.clock_ms,
        journal,
        rounds,
        dead_letters: Vec::new(),
        dead_letter_bytes: 0,
        owed: Vec::new(),
        recorded_clock: None,
        config_epoch: load.record.config_epoch + u64::from(changed),
        epoch_raised: changed,
        last_commit_ms: context.wall_ms,
        checkpointed_ms: context.wall_ms,
    })
}
