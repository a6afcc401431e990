//! Looking at accounts shortly before they are worked with. An account lies in a dozen pieces of memory,
//! most of them in no cache, and each piece is found through another. For one account after the other
//! that is a wait for each of them; read for a few accounts at once, step by step, the waits of one step
//! are one.
//!
//! It must not change anything, and what it reads means nothing.

use super::Shard;
use super::accounts::{Accounts, Form};
use crate::engine::evaluate::Account;
use std::hint::black_box;
use xxhash_rust::xxh3::xxh3_64;

impl Accounts {
    /// For accounts whose deadlines come next: what telling them reads, and the counts by day.
    pub(super) fn approach_for_deadlines(&self, slots: impl Iterator<Item = u32> + Clone) {
        self.approach_to_tell(slots.clone());
        let open = slots.filter_map(|slot| self.if_open(slot));
        black_box(open.fold(0, |seen, account| seen ^ account.facts.glance_at_series()));
    }

    /// For accounts that are told next.
    pub(super) fn approach_to_tell(&self, slots: impl Iterator<Item = u32> + Clone) {
        black_box(slots.clone().fold(0, |seen, slot| seen ^ self.slots[slot as usize].hash));
        let open = slots.filter_map(|slot| self.if_open(slot));
        black_box(open.clone().fold(0, |seen, account| seen ^ account.glance()));
        black_box(open.clone().fold(0, |seen, account| seen ^ account.points.steady_until(true).0));
        black_box(open.fold(0, |seen, account| seen ^ account.glance_at_decisions()));
    }

    /// For accounts of the next events, by id.
    pub(super) fn approach_for_events<'a>(&self, ids: impl Iterator<Item = &'a [u8]>) {
        let (mut slots, mut known) = ([0_u32; Shard::APPROACHED], 0);
        for (place, id) in slots.iter_mut().zip(ids) {
            let hash = xxh3_64(id);
            // Another account with a hash like it is looked at in vain.
            if let Some(found) = self.index.find(hash, |found| found.may_be(hash)) {
                *place = found.slot;
                known += 1;
            }
        }
        if known > 0 {
            black_box(slots.iter().fold(0, |seen, &slot| seen ^ self.slots[slot as usize].hash));
            let open = slots.iter().filter_map(|&slot| self.if_open(slot));
            black_box(open.clone().fold(0, |seen, account| seen ^ account.glance()));
            black_box(open.clone().fold(0, |seen, account| seen ^ account.points.steady_until(true).0));
            black_box(open.clone().fold(0, |seen, account| seen ^ account.facts.glance()));
            black_box(open.clone().fold(0, |seen, account| seen ^ account.facts.glance_further()));
            black_box(open.clone().fold(0, |seen, account| seen ^ account.facts.glance_at_series()));
            black_box(open.fold(0, |seen, account| seen ^ account.glance_at_decisions()));
        }
    }

    fn if_open(&self, slot: u32) -> Option<&Account> {
        match &self.slots.get(slot as usize)?.form {
            Form::Open(account) => Some(account),
            Form::Packed(_) => None,
        }
    }
}
