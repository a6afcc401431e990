//! Accounts that wait to be told: *listed* for the next commit, or *resting* because they were told
//! less than a second ago and only their score moved since.
//!
//! One that rests is neither looked at by a commit nor counted as something that fills it. Under
//! full load there are thousands of them, and commits that they fill would carry little else. Those
//! that have rested join a commit beside what fills it, a bounded number of them.
//! It must not decide what is told: `Shard::publish` looks at each account again.

use super::Shard;
use super::accounts::Slot;

/// At most so many cease to rest in one commit of each of all shards together, so that the size of a
/// commit stays bounded: at 2 KB each, half as much again as may fill one. Where more have rested, those
/// that rest longest come first, and the others in the commits that follow.
const WOKEN_AT_ONCE: usize = 2048;
/// Of one shard, however many there are.
const WOKEN_AT_LEAST: usize = 32;

/// See above.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// To be looked at by the next commit, in the order they came.
    listed: Vec<u32>,
    /// Wall time when each was told last, and its slot.
    resting: Vec<(i64, u32)>,
}

impl Waiting {
    /// How many accounts are listed.
    pub(super) fn len(&self) -> usize {
        self.listed.len()
    }

    /// Takes those that the next commit looks at. `has_rested` says whether one that was told then may
    /// be told again; at most so many of these are taken.
    pub(super) fn take(
        &mut self,
        has_rested: impl Fn(i64) -> bool,
        most: usize,
        slots: &mut [Slot],
    ) -> Vec<u32> {
        let mut woken = 0;
        let Waiting { listed, resting } = self;
        resting.retain(|&(told_wall_ms, slot)| {
            let wakes = woken < most && has_rested(told_wall_ms);
            if wakes {
                woken += 1;
                let place = &mut slots[slot as usize];
                place.resting = false;
                if !std::mem::replace(&mut place.listed, true) {
                    listed.push(slot);
                }
            }
            !wakes
        });
        std::mem::take(listed)
    }
}

impl Shard {
    /// Most accounts that cease to rest in one commit by the wall clock.
    pub(super) fn woken_at_once(&self) -> usize {
        (WOKEN_AT_ONCE / self.id.partitions.max(1) as usize).max(WOKEN_AT_LEAST)
    }

    /// Notes an account to be looked at when committing: its decisions changed.
    pub(super) fn list(&mut self, slot: u32) {
        if !std::mem::replace(&mut self.accounts.slot_mut(slot).listed, true) {
            self.waiting.listed.push(slot);
        }
    }

    /// The same where only the score moved: that can wait while it rests.
    pub(super) fn list_score(&mut self, slot: u32) {
        if !self.accounts.slot(slot).resting {
            self.list(slot);
        }
    }

    /// Lets an account rest that was told just now.
    pub(super) fn rest(&mut self, slot: u32, told_wall_ms: i64) {
        if !std::mem::replace(&mut self.accounts.slot_mut(slot).resting, true) {
            self.waiting.resting.push((told_wall_ms, slot));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::engine::event::{PersonKey, decode_json};
    use crate::engine::{EngineConfig, Input, Shard, ShardId};
    use std::sync::Arc;

    const NOON_MS: i64 = 1_767_614_400_000;

    fn shard() -> Shard {
        let mut config = EngineConfig::default();
        // Surveys alone are enough for a score.
        config.scoring.coverage_floor_percent = 1;
        let mut shard = Shard::new(Arc::new(config), ShardId { partition: 0, partitions: 1 });
        shard.advance(NOON_MS, usize::MAX);
        shard
    }

    /// An answer to a survey that moves the score and, being in the middle, no risk.
    fn answer(shard: &mut Shard, account: usize, n: usize, score: u8) {
        let json = format!(
            r#"{{"id":"e{n}","account_id":"a{account}","occurred_at":"2026-01-05T11:00:{n:02}Z","survey":{{"id":"s{n}","type":"nps","respondent_id":"r","score":{score}}}}}"#
        );
        let event = decode_json(json.as_bytes(), &PersonKey::new([7; 16])).unwrap();
        shard.apply(Input(0), &event).unwrap();
    }

    #[test]
    fn a_score_that_was_told_just_now_rests_for_a_second_and_fills_no_commit() {
        let mut shard = shard();
        let most = shard.woken_at_once();
        let accounts = 2 * most;
        (0..accounts).for_each(|account| answer(&mut shard, account, 1, 7));
        let told = shard.drain(0).scores.len();
        assert_eq!(told, accounts, "each is told once");
        (0..accounts).for_each(|account| answer(&mut shard, account, 2, 8));
        assert_eq!(shard.drain(500).scores.len(), 0);
        (0..accounts).for_each(|account| answer(&mut shard, account, 3, 7));
        (0..accounts).for_each(|account| answer(&mut shard, account, 4, 8));
        assert_eq!(shard.pending_effects(), 0, "they fill nothing");
        assert_eq!(shard.drain(1000).scores.len(), most);
        assert_eq!(shard.drain(1001).scores.len(), most);
        assert_eq!(shard.drain(9000).scores.len(), 0);
    }

    #[test]
    fn without_a_wall_clock_nothing_rests() {
        let mut shard = shard();
        let accounts = 2 * shard.woken_at_once();
        (0..accounts).for_each(|account| answer(&mut shard, account, 1, 7));
        shard.drain(0);
        (0..accounts).for_each(|account| answer(&mut shard, account, 2, 8));
        shard.drain(1);
        assert_eq!(shard.drain_all().scores.len(), accounts);
    }

    #[test]
    fn a_decision_does_not_rest() {
        let mut shard = shard();
        answer(&mut shard, 1, 1, 9);
        assert_eq!(shard.drain(0).scores.len(), 1);
        answer(&mut shard, 1, 2, 8);
        assert_eq!(shard.drain(1).scores.len(), 0);
        // A detractor is a risk.
        answer(&mut shard, 1, 3, 2);
        let effects = shard.drain(2);
        assert_eq!((effects.scores.len(), effects.risks.len()), (1, 1));
        assert_eq!(shard.drain(1002).scores.len(), 0, "nothing is left to say");
    }
}
