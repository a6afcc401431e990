//! The accounts of a shard in memory. The ones used lately lie open; the others are packed (`packed.rs`),
//! a fraction of the size.
//!
//! Packing changes where an account lies and nothing else, so nothing outside these files can tell.

use super::packed::{Packed, Packer};
use super::stats::{Counted, Counts};
use crate::engine::evaluate::Account;
use crate::engine::page::encode_account;
use crate::engine::partition::PageId;
use hashbrown::HashTable;
use std::borrow::Cow;
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64;

/// What the accounts of all shards together take before any is packed: an account costs two to four
/// times its packed size while it lies open, but opening and packing one costs some microseconds.
/// Shards do not know each other, so each has the share of its partition.
const UNPACKED_BYTES: usize = 512 << 20;
/// Where the packed ones alone take more than that, open ones may take this for each account there is.
const OPEN_BYTES_EACH: usize = 256;
/// An open account grows with its events; so often one that is used is weighed again.
const WEIGHED_EVERY: u32 = 16;
/// So many open accounts are looked at for each that is used, when they weigh too much. One that is
/// opened is seen once or twice before it is packed, so it is more than two.
const LOOKED_AT: usize = 8;
/// Of so many open accounts, one was opened lately and not used again.
const TRIED_SHARE: usize = 16;

/// One account and what is known of it without opening it.
#[derive(Debug)]
pub(super) struct Slot {
    /// Of the id.
    pub hash: u64,
    /// The deadline this account is armed for; `i64::MAX` = none.
    pub armed_ms: i64,
    /// Its page.
    pub page: PageId,
    /// In the shard's list of accounts to look at when committing.
    pub listed: bool,
    /// Among those that rest since they were told.
    pub resting: bool,
    /// Used again since it was opened, or last passed over by the search for one to pack.
    used: bool,
    /// About how many bytes it takes, when it was last weighed.
    weight: u32,
    /// What it adds to the shard's numbers.
    counted: Counted,
    pub(super) form: Form,
}

#[derive(Debug)]
pub(super) enum Form {
    Open(Box<Account>),
    Packed(Packed),
}

/// Where an account is found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// A part of the hash: who looks for an account need not go to the slots of others.
    tag: u32,
    pub(super) slot: u32,
}

impl Place {
    fn new(hash: u64, slot: u32) -> Place {
        Place { tag: Place::tag(hash), slot }
    }

    /// Not the bits that the table goes by.
    fn tag(hash: u64) -> u32 {
        (hash >> 24) as u32
    }

    /// Whether it may be the one with this hash.
    pub(super) fn may_be(self, hash: u64) -> bool {
        self.tag == Place::tag(hash)
    }
}

/// The accounts, by slot number, and where each is found by its id.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) slots: Vec<Slot>,
    pub(super) index: HashTable<Place>,
    /// The open ones, the next to be packed first: those opened lately, and those that were used again
    /// while they were among these.
    tried: VecDeque<u32>,
    kept: VecDeque<u32>,
    /// What the open and the packed ones weigh.
    open_bytes: usize,
    packed_bytes: usize,
    /// What all may weigh before any is packed.
    unpacked_bytes: usize,
    /// Counts uses.
    uses: u32,
    /// The one that is used now, which is open.
    in_use: u32,
    /// Whether it was opened for that.
    is_unweighed: bool,
    packer: Packer,
}

impl Accounts {
    /// Those of one of so many shards.
    pub(super) fn new(partitions: u32) -> Self {
        Accounts {
            slots: Vec::new(),
            index: HashTable::new(),
            tried: VecDeque::new(),
            kept: VecDeque::new(),
            open_bytes: 0,
            packed_bytes: 0,
            unpacked_bytes: UNPACKED_BYTES / partitions.max(1) as usize,
            uses: 0,
            in_use: u32::MAX,
            is_unweighed: false,
            packer: Packer::default(),
        }
    }

    pub(super) fn with_unpacked_bytes(self, unpacked_bytes: usize) -> Self {
        Accounts { unpacked_bytes, ..self }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize]
    }

    pub(super) fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    pub(super) fn find(&self, account: &str) -> Option<u32> {
        let hash = xxh3_64(account.as_bytes());
        let is_it = |slot: &Slot| slot.hash == hash && slot.is_called(account);
        let found = self.index.find(hash, |place| place.may_be(hash) && is_it(self.slot(place.slot)));
        found.map(|place| place.slot)
    }

    /// Adds an account that is not here.
    pub(super) fn insert(&mut self, account: Account, page: PageId) -> u32 {
        self.end_use();
        self.pack_some();
        let slot = self.slots.len() as u32;
        let hash = xxh3_64(account.id.as_bytes());
        let weight = account.bytes() as u32;
        self.open_bytes += weight as usize;
        self.slots.push(Slot {
            hash,
            armed_ms: i64::MAX,
            page,
            listed: false,
            resting: false,
            used: false,
            weight,
            counted: Counted::default(),
            form: Form::Open(Box::new(account)),
        });
        let slots = &self.slots;
        self.index.insert_unique(hash, Place::new(hash, slot), |place| slots[place.slot as usize].hash);
        self.tried.push_back(slot);
        self.in_use = slot;
        // It is made for an event, and weighs little before.
        self.is_unweighed = true;
        slot
    }

    /// An account, to work with.
    pub(super) fn open(&mut self, slot: u32) -> &mut Account {
        // Whoever works with one asks for it several times.
        if slot != self.in_use {
            self.begin_use(slot);
        }
        match &mut self.slots[slot as usize].form {
            Form::Open(account) => account,
            Form::Packed(_) => unreachable!("what is in use was unpacked"),
        }
    }

    fn begin_use(&mut self, slot: u32) {
        self.end_use();
        self.in_use = slot;
        // Being opened is no reason to keep it open longer than others, being used again is.
        let place = &mut self.slots[slot as usize];
        place.used = matches!(place.form, Form::Open(_));
        self.pack_some();
        self.unpack(slot);
    }

    /// What was opened is weighed when it was used: it has read then what it will read.
    fn end_use(&mut self) {
        self.uses = self.uses.wrapping_add(1);
        if std::mem::take(&mut self.is_unweighed) || self.uses.is_multiple_of(WEIGHED_EVERY) {
            self.weigh(self.in_use);
        }
    }

    fn unpack(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if let Form::Packed(packed) = &place.form {
            let account = Box::new(self.packer.unpack(packed));
            self.packed_bytes -= place.weight as usize;
            place.weight = 0;
            place.form = Form::Open(account);
            self.is_unweighed = true;
            self.tried.push_back(slot);
        }
    }

    /// Finds out what an open account weighs now.
    fn weigh(&mut self, slot: u32) {
        let Some(place) = self.slots.get_mut(slot as usize) else { return };
        if let Form::Open(account) = &place.form {
            let weight = account.bytes() as u32;
            // What is taken away was added when it was weighed before.
            self.open_bytes = self.open_bytes - place.weight as usize + weight as usize;
            place.weight = weight;
        }
    }

    fn is_full(&self) -> bool {
        let unpacked = self.unpacked_bytes.saturating_sub(self.packed_bytes);
        self.open_bytes > unpacked.max(self.slots.len() * OPEN_BYTES_EACH)
    }

    /// Looks at a few accounts that were opened longest ago when the open ones weigh too much, and
    /// packs them. One that was used since it was last seen here, or that waits to be told, is kept.
    fn pack_some(&mut self) {
        for _ in 0..LOOKED_AT {
            if !self.is_full() {
                return;
            }
            let Some(slot) = self.next_to_pack() else { return };
            let place = &mut self.slots[slot as usize];
            let Form::Open(account) = &place.form else { continue };
            if place.used || place.listed || account.changed {
                place.used = false;
                self.kept.push_back(slot);
                self.weigh(slot);
                continue;
            }
            account.glance_far();
            let packed = self.packer.pack(account);
            self.open_bytes -= place.weight as usize;
            place.weight = packed.bytes() as u32;
            self.packed_bytes += packed.bytes();
            place.form = Form::Packed(packed);
        }
    }

    /// Takes the next one to look at. Most accounts are opened for one event, or to turn their day, and are
    /// not heard of for long: they only wait among few, and do not drive out what is used often.
    fn next_to_pack(&mut self) -> Option<u32> {
        let open = self.tried.len() + self.kept.len();
        let (first, second) = if self.tried.len() * TRIED_SHARE >= open {
            (&mut self.tried, &mut self.kept)
        } else {
            (&mut self.kept, &mut self.tried)
        };
        first.pop_front().or_else(|| second.pop_front())
    }

    /// An account as pages have it.
    pub(super) fn stored(&self, slot: u32) -> Cow<'_, [u8]> {
        match &self.slots[slot as usize].form {
            Form::Open(account) => {
                let mut bytes = Vec::new();
                encode_account(&mut bytes, &account.id, &account.facts, &account.decisions);
                Cow::Owned(bytes)
            }
            Form::Packed(packed) => packed.stored(),
        }
    }

    /// All slots, by the ids of their accounts.
    pub(super) fn by_id(&self) -> Vec<u32> {
        let mut slots: Vec<u32> = (0..self.slots.len() as u32).collect();
        slots.sort_by(|&a, &b| self.slot(a).id().cmp(self.slot(b).id()));
        slots
    }

    /// The decisions about an account may have changed: counts it anew.
    pub(super) fn recount(&mut self, slot: u32, counts: &mut Counts) {
        let Slot { counted, form, .. } = self.slot_mut(slot);
        // Nothing is decided about an account that is packed.
        if let Form::Open(account) = form {
            counts.recount(counted, &account.decisions);
        }
    }
}

impl Slot {
    fn is_called(&self, id: &str) -> bool {
        match &self.form {
            Form::Open(account) => account.is_called(id),
            Form::Packed(packed) => packed.id() == id,
        }
    }

    pub(super) fn id(&self) -> &str {
        match &self.form {
            Form::Open(account) => &account.id,
            Form::Packed(packed) => packed.id(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{PersonKey, decode_json};
    use crate::engine::limits::Limits;
    use crate::engine::time::Calendar;

    fn account(id: &str, events: usize) -> Account {
        let mut account = Account::new(id.into());
        for n in 0..events {
            let json = format!(
                r#"{{"id":"e{n}","account_id":"{id}","occurred_at":"2026-01-05T10:00:00Z","login":{{"user_id":"u{n}"}}}}"#
            );
            let event = decode_json(json.as_bytes(), &PersonKey::new([7; 16])).unwrap();
            account.facts.merge(0, &event, Calendar::default(), &Limits::default());
        }
        account
    }

    #[test]
    fn no_more_than_asked_for_lie_open_but_those_that_wait_to_be_told() {
        let mut accounts = Accounts::new(1).with_unpacked_bytes(1);
        for n in 0..9 {
            accounts.insert(account(&format!("a{n}"), n), PageId(0));
        }
        accounts.slot_mut(4).listed = true;
        for slot in (0..9).cycle().take(90) {
            accounts.open(slot);
        }
        assert!(accounts.tried.len() + accounts.kept.len() <= 3, "{accounts:?}");
        assert!(matches!(accounts.slot(4).form, Form::Open(_)));
        assert_eq!(accounts.find("a7"), Some(7));
        assert_eq!(accounts.by_id(), (0..9).collect::<Vec<_>>());
    }

    #[test]
    fn accounts_used_once_do_not_drive_out_what_is_used_often() {
        let mut accounts = Accounts::new(1);
        for n in 0..400 {
            accounts.insert(account(&format!("a{n}"), 1), PageId(0));
        }
        accounts.unpacked_bytes = accounts.open_bytes / 4;
        let often = 0..20;
        for turn in 0..60_u32 {
            // All others come once in this many turns.
            for slot in often.clone().chain((0..20).map(|n| 20 + (turn * 20 + n) % 380)) {
                accounts.open(slot);
            }
            let open = |slot: &u32| matches!(accounts.slot(*slot).form, Form::Open(_));
            assert!(turn < 20 || often.clone().filter(open).count() == 20, "turn {turn}");
        }
        assert!(!accounts.is_full());
        let packed = accounts.slots.iter().filter(|slot| matches!(slot.form, Form::Packed(_))).count();
        assert!(packed > 200, "{packed}");
    }
}
