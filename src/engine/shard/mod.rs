//! A shard: all state of one partition number, owned by exactly one worker.
//!
//! Events and time come in; what is to be told comes out of [`Shard::drain`]. Facts change at
//! once; decisions are made at the shard's clock, which only [`Shard::advance`] moves. There is
//! no way back: when a commit fails, the shard is dropped and restored.
//! What recovery needs (pages, journal) is in `checkpoint.rs`.

mod accounts;
mod approach;
mod checkpoint;
mod packed;
mod stats;
mod waiting;

pub use stats::ShardStats;

use crate::engine::account::{Band, Merged, Verdict};
use crate::engine::config::EngineConfig;
use crate::engine::evaluate::{Account, Cause, Evaluator};
use crate::engine::event::{Event, Reason, Refusal};
use crate::engine::feature::Touch;
use crate::engine::partition::PAGES;
use crate::engine::record::{RiskTransition, ScoreRecord};
use crate::engine::time::Day;
use crate::engine::timer::{Deadline, DeadlineQueue};
use accounts::Accounts;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use waiting::Waiting;

/// An account's score is published at most once in this long, unless a decision changed.
const PUBLISH_INTERVAL_MS: i64 = 1000;
/// A transition whose instant lies further back than this is loaded history, not news.
const BACKFILL_AFTER_MS: i64 = 3_600_000;

/// Which shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardId {
    /// Its partition number.
    pub partition: u32,
    /// Of how many.
    pub partitions: u32,
}

/// The number of an input topic. Duplicate filters are per input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Input(pub u16);

/// Up to which day the histories in an encoded page reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Covered(pub i32);

/// What a commit tells the world.
#[derive(Debug, Default)]
pub struct Effects {
    /// Scores, in the order their accounts were first touched.
    pub scores: Vec<ScoreOutput>,
    /// Risk transitions, in the order they happened.
    pub risks: Vec<RiskTransition>,
}

/// One scores record.
#[derive(Debug)]
pub struct ScoreOutput {
    /// Its key.
    pub account: String,
    /// Its value.
    pub record: ScoreRecord<'static>,
    /// Its journal header: the complete decision state.
    pub decisions: Vec<u8>,
}

/// One account, for explanations and tests.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountState {
    /// The exact score, hundredths.
    pub score_hundredths: Option<i16>,
    /// Coverage, basis points.
    pub coverage_bp: u16,
    /// The band.
    pub band: Option<Band>,
    /// What would be published now.
    pub record: ScoreRecord<'static>,
}

/// All state of one partition number.
#[derive(Debug)]
pub struct Shard {
    evaluator: Evaluator,
    id: ShardId,
    clock_ms: Option<i64>,
    accounts: Accounts,
    pages: Vec<Vec<u32>>,
    covered: Vec<Option<Day>>,
    dirty: [bool; PAGES as usize],
    counts: stats::Counts,
    queue: DeadlineQueue,
    told: Vec<RiskTransition>,
    /// Accounts to look at when committing.
    waiting: Waiting,
    /// Accounts that are still to be evaluated once at the clock, the next one last.
    unevaluated: Vec<u32>,
    /// Whether every account is looked at each day, whether or not anything can change.
    looks_daily: bool,
}

impl Shard {
    /// A fresh shard.
    pub fn new(config: Arc<EngineConfig>, id: ShardId) -> Self {
        Shard {
            evaluator: Evaluator::new(config),
            id,
            clock_ms: None,
            accounts: Accounts::new(id.partitions),
            pages: vec![Vec::new(); PAGES as usize],
            covered: vec![None; PAGES as usize],
            dirty: [false; PAGES as usize],
            counts: stats::Counts::default(),
            queue: DeadlineQueue::default(),
            told: Vec::new(),
            waiting: Waiting::default(),
            unevaluated: Vec::new(),
            looks_daily: false,
        }
    }

    /// The same shard, looking at every account each day: slower, with the same outcome. The laws
    /// hold the days that are passed over against it.
    #[must_use]
    pub fn looking_daily(self) -> Self {
        Shard { looks_daily: true, ..self }
    }

    /// The same shard, packing accounts as soon as they take this much memory; what comes out is the
    /// same.
    #[must_use]
    pub fn with_unpacked_bytes(self, bytes: usize) -> Self {
        Shard { accounts: self.accounts.with_unpacked_bytes(bytes), ..self }
    }

    /// The event-time frontier up to which every deadline has been handled; `None` before the
    /// first [`Shard::advance`].
    pub fn clock_ms(&self) -> Option<i64> {
        self.clock_ms
    }

    /// How many accounts.
    pub fn accounts(&self) -> usize {
        self.accounts.len()
    }

    /// Accounts that it is worth to approach at once.
    pub const APPROACHED: usize = 16;

    /// Looks at the accounts of the next few events, before the first of them is applied: most of them
    /// lie in memory that is far away, which is fetched side by side then, not one after the other.
    /// Nothing changes but how long applying them takes.
    pub fn approach<'a>(&self, ids: impl Iterator<Item = &'a [u8]>) {
        self.accounts.approach_for_events(ids);
    }

    fn find_or_create(&mut self, account: &str, most: usize) -> Option<u32> {
        match self.accounts.find(account) {
            Some(slot) => Some(slot),
            None if self.accounts.len() >= most => None,
            None => Some(self.insert(Account::new(account.into()))),
        }
    }

    fn insert(&mut self, account: Account) -> u32 {
        let page = Self::page_of(&account.id, self.id.partitions);
        let slot = self.accounts.insert(account, page);
        self.pages[usize::from(page.0)].push(slot);
        self.counts.admit();
        self.recount(slot);
        slot
    }

    /// Merges an event into the facts and evaluates its account at the shard's clock.
    ///
    /// # Errors
    /// [`Reason::AccountLimit`] when the account is new and the shard is full.
    pub fn apply(&mut self, input: Input, event: &Event<'_>) -> Result<Verdict, Refusal> {
        let (slot, Merged { verdict, repeats }) = self.merge(input, event)?;
        let changed = matches!(verdict, Verdict::Applied | Verdict::Limited);
        if let (true, Some(clock_ms)) = (changed, self.clock_ms) {
            let armed_ms = self.accounts.slot(slot).armed_ms;
            let fresh = armed_ms == i64::MAX;
            let account = self.accounts.open(slot);
            let touch = account.touch_of(event, repeats, self.evaluator.calendar, clock_ms);
            let touch = if fresh { Touch::ALL } else { touch };
            let decided = self.evaluate(
                slot,
                clock_ms,
                touch,
                Some(Cause { id: &event.id, at_ms: event.occurred_at_ms }),
            );
            // Only these bring instants of their own; any event can bring a change of the next day.
            let account = self.accounts.open(slot);
            let at_ms = if fresh || decided || touch.meets(Touch::TICKETS.or(Touch::INVOICES)) {
                self.evaluator.next_deadline(account, clock_ms)
            } else {
                armed_ms.min(self.evaluator.next_turn(account, clock_ms))
            };
            self.arm(slot, at_ms);
        }
        Ok(verdict)
    }

    /// Merges an event into the facts and nothing else: the muted replay of recovery. It admits
    /// accounts beyond the limit: which ones were admitted live depended on how the inputs
    /// interleaved, and the journal must find every one of them.
    ///
    /// # Errors
    /// None: the only refusal of [`Shard::apply`] is the limit, which does not hold here.
    pub fn replay_fact(&mut self, input: Input, event: &Event<'_>) -> Result<Verdict, Refusal> {
        self.merge_up_to(usize::MAX, input, event).map(|(_, merged)| merged.verdict)
    }

    fn merge(&mut self, input: Input, event: &Event<'_>) -> Result<(u32, Merged), Refusal> {
        self.merge_up_to(self.evaluator.config.limits.accounts_per_shard, input, event)
    }

    fn merge_up_to(
        &mut self,
        most: usize,
        input: Input,
        event: &Event<'_>,
    ) -> Result<(u32, Merged), Refusal> {
        let Some(slot) = self.find_or_create(&event.account, most) else {
            let limit = self.evaluator.config.limits.accounts_per_shard;
            return Err(Refusal::new(
                Reason::AccountLimit,
                format!(
                    "account_id: this shard holds its {limit} accounts already; raise limits.accounts_per_shard or add partitions"
                ),
            ));
        };
        let (calendar, limits) = (self.evaluator.calendar, &self.evaluator.config.limits);
        let account = self.accounts.open(slot);
        let merged = account.facts.merge(input.0, event, calendar, limits);
        account.due.merged(&event.body);
        if !matches!(merged.verdict, Verdict::Late | Verdict::Duplicate) {
            self.mark_dirty(slot);
        }
        Ok((slot, merged))
    }

    fn mark_dirty(&mut self, slot: u32) {
        self.dirty[usize::from(self.accounts.slot(slot).page.0)] = true;
    }

    /// Evaluates one account; returns whether a decision changed.
    fn evaluate(&mut self, slot: u32, at_ms: i64, touch: Touch, cause: Option<Cause<'_>>) -> bool {
        let account = self.accounts.open(slot);
        let done = self.evaluator.evaluate(account, at_ms, touch, cause);
        account.changed |= done.decided;
        if done.due {
            self.list_score(slot);
        }
        if done.decided {
            self.list(slot);
            self.mark_dirty(slot);
            self.recount(slot);
        }
        self.told.extend(done.told);
        done.decided
    }

    /// Arms an account that was just evaluated for the next instant at which anything can change.
    fn arm_evaluated(&mut self, slot: u32, at_ms: i64) {
        let account = self.accounts.open(slot);
        let at_ms = if self.looks_daily {
            self.evaluator.next_deadline(account, at_ms)
        } else {
            self.evaluator.next_change(account, at_ms)
        };
        self.arm(slot, at_ms);
    }

    fn arm(&mut self, slot: u32, at_ms: i64) {
        let place = self.accounts.slot_mut(slot);
        if at_ms != place.armed_ms {
            place.armed_ms = at_ms;
            let account_hash = place.hash;
            self.queue.push(Deadline { at_ms, account_hash, slot });
        }
    }

    /// Handles the deadlines up to and including `to_ms`, each at its own instant and in order,
    /// until done or `max_effects` effects wait; deadlines of one instant are never split.
    /// Returns the clock: every deadline up to it is handled. It never goes back.
    pub fn advance(&mut self, to_ms: i64, max_effects: usize) -> i64 {
        let Some(clock_ms) = self.clock_ms else {
            // The first clock: whatever was known before is looked at now, once.
            self.clock_ms = Some(to_ms);
            self.begin_evaluation();
            self.evaluate_some(max_effects);
            return to_ms;
        };
        if !self.evaluate_some(max_effects) || to_ms <= clock_ms {
            return clock_ms;
        }
        let mut handled_ms = clock_ms;
        let mut approached = 0_usize;
        while let Some(next) = self.queue.peek().filter(|next| next.at_ms <= to_ms) {
            if next.at_ms > handled_ms && self.pending_effects() >= max_effects {
                self.clock_ms = Some(handled_ms);
                return handled_ms;
            }
            if approached == 0 {
                self.accounts.approach_for_deadlines(self.queue.upcoming(Self::APPROACHED));
                approached = Self::APPROACHED;
            }
            approached -= 1;
            self.queue.pop_through(to_ms);
            if self.accounts.slot(next.slot).armed_ms == next.at_ms {
                handled_ms = next.at_ms;
                self.clock_ms = Some(handled_ms);
                self.handle_deadline(next);
            }
        }
        self.clock_ms = Some(to_ms);
        to_ms
    }

    fn handle_deadline(&mut self, deadline: Deadline) {
        let Deadline { at_ms, slot, .. } = deadline;
        self.accounts.slot_mut(slot).armed_ms = i64::MAX;
        let account = self.accounts.open(slot);
        // The state may have changed since it was armed: then there is nothing to do yet.
        let next_ms = self.evaluator.next_deadline(account, at_ms - 1);
        if next_ms != at_ms {
            self.arm(slot, next_ms);
        } else {
            let closed = self.evaluator.close_day(account, at_ms);
            account.changed |= closed;
            let touch = if self.looks_daily { Touch::ALL } else { account.due.touch_at(at_ms) };
            if closed {
                self.list(slot);
                self.mark_dirty(slot);
            }
            self.evaluate(slot, at_ms, touch, None);
            self.arm_evaluated(slot, at_ms);
        }
    }

    /// Asks for every account to be evaluated once at the clock: the first clock, a changed
    /// configuration. [`Shard::evaluate_some`] does it, as much at a time as a commit can take.
    pub fn begin_evaluation(&mut self) {
        self.unevaluated = self.accounts.by_id();
        self.unevaluated.reverse();
    }

    /// Whether accounts are still to be evaluated once. Until then the clock does not move.
    pub fn is_evaluating(&self) -> bool {
        !self.unevaluated.is_empty()
    }

    /// Goes on with [`Shard::begin_evaluation`] until done or `max_effects` effects wait; whether
    /// it is done.
    pub fn evaluate_some(&mut self, max_effects: usize) -> bool {
        let Some(clock_ms) = self.clock_ms else { return true };
        while self.is_evaluating() && self.pending_effects() < max_effects {
            let Some(slot) = self.unevaluated.pop() else { break };
            self.evaluate(slot, clock_ms, Touch::ALL, None);
            self.arm_evaluated(slot, clock_ms);
        }
        !self.is_evaluating()
    }

    /// Evaluates every account at the clock and returns what came out: after a recovery under
    /// the same configuration, nothing.
    pub fn audit(&mut self) -> Vec<RiskTransition> {
        self.begin_evaluation();
        self.evaluate_some(usize::MAX);
        std::mem::take(&mut self.told)
    }

    /// A lower bound of the next deadline.
    pub fn next_deadline(&self) -> Option<i64> {
        self.queue.peek().map(|deadline| deadline.at_ms)
    }

    /// An upper bound of what [`Shard::drain`] would return, but for scores that rested until then.
    pub fn pending_effects(&self) -> usize {
        self.told.len() + self.waiting.len()
    }

    /// Decides what this commit publishes: every transition, every account whose decisions
    /// changed, and scores that differ from the last published ones, at most one a second each.
    pub fn drain(&mut self, wall_ms: i64) -> Effects {
        self.drain_whole(Some(wall_ms))
    }

    /// As [`Shard::drain`], without a wall clock: everything is published at once.
    pub fn drain_all(&mut self) -> Effects {
        self.drain_whole(None)
    }

    fn drain_whole(&mut self, wall_ms: Option<i64>) -> Effects {
        let mut scores = Vec::new();
        let risks = self.drain_each(wall_ms, |record, decisions| {
            let (account, decisions) = (record.account_id.clone().into_owned(), decisions.to_vec());
            scores.push(ScoreOutput { account, record: record.into_owned(), decisions });
        });
        Effects { scores, risks }
    }

    /// As [`Shard::drain`], or [`Shard::drain_all`] without a wall clock, but each score is handed over
    /// when it is made, with its journal header: all of them at once would be more than the caches hold,
    /// and would have to own what they can borrow.
    pub fn drain_each(
        &mut self,
        wall_ms: Option<i64>,
        take: impl FnMut(ScoreRecord<'_>, &[u8]),
    ) -> Vec<RiskTransition> {
        let mut risks = std::mem::take(&mut self.told);
        let Some(wall_ms) = wall_ms else {
            self.publish(|_| true, i64::MIN, usize::MAX, take);
            return risks;
        };
        risks
            .iter_mut()
            .for_each(|risk| risk.backfill = risk.at_ms < wall_ms.saturating_sub(BACKFILL_AFTER_MS));
        // A wall clock that was set back must not silence a score until it has caught up.
        let rested = |told_ms: i64| !(0..PUBLISH_INTERVAL_MS).contains(&wall_ms.saturating_sub(told_ms));
        self.publish(rested, wall_ms, self.woken_at_once(), take);
        risks
    }

    fn publish(
        &mut self,
        rested: impl Fn(i64) -> bool,
        wall_ms: i64,
        most: usize,
        mut take: impl FnMut(ScoreRecord<'_>, &[u8]),
    ) {
        let Some(clock_ms) = self.clock_ms else { return };
        let slots = self.waiting.take(&rested, most, &mut self.accounts.slots);
        for (nth, &slot) in slots.iter().enumerate() {
            if nth.is_multiple_of(Self::APPROACHED) {
                self.accounts.approach_to_tell(slots[nth..].iter().copied().take(Self::APPROACHED));
            }
            let place = self.accounts.slot_mut(slot);
            place.listed = false;
            let page = usize::from(place.page.0);
            let account = self.accounts.open(slot);
            if !account.changed && !self.evaluator.is_due(account) {
                continue;
            }
            let told_wall_ms = account.told_wall_ms;
            if !account.changed && !rested(told_wall_ms) {
                self.rest(slot, told_wall_ms);
                continue;
            }
            account.changed = false;
            account.told_wall_ms = wall_ms;
            self.evaluator.catch_up(account, clock_ms);
            let (record, decisions) = self.evaluator.publish(account, clock_ms, self.covered[page]);
            take(record, decisions);
            self.dirty[page] = true;
        }
    }

    /// One account as it stands, or `None` if nothing is known of it.
    pub fn account(&mut self, account: &str) -> Option<AccountState> {
        let (slot, clock_ms) = (self.accounts.find(account)?, self.clock_ms?);
        let account = self.accounts.open(slot);
        self.evaluator.catch_up(account, clock_ms);
        let (decisions, causes) = (account.decisions.clone(), account.causes.clone());
        let record = self.evaluator.publish(account, clock_ms, None).0.into_owned();
        account.decisions = decisions;
        account.causes = causes;
        Some(AccountState {
            score_hundredths: account.score.hundredths,
            coverage_bp: account.score.coverage_bp,
            band: account.decisions.band,
            record,
        })
    }

    /// Ids of all accounts, ascending.
    pub fn account_ids(&self) -> Vec<String> {
        self.accounts.by_id().into_iter().map(|slot| self.accounts.slot(slot).id().to_owned()).collect()
    }

    /// Numbers about the shard.
    pub fn stats(&self) -> ShardStats {
        self.counts.stats()
    }

    /// The decisions about an account may have changed.
    fn recount(&mut self, slot: u32) {
        self.accounts.recount(slot, &mut self.counts);
    }
}
