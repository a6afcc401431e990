//! The accounts of a shard in memory. The ones used lately lie open; the others are packed: what a
//! page says of them and what was derived from it, in one piece of memory, a fraction of the size.
//!
//! Packing changes where an account lies and nothing else, so nothing outside this file can tell.

use super::stats::{Counted, Counts};
use crate::engine::evaluate::{Account, Noted};
use crate::engine::page::{StoredAccount, StoredAccountRef, append, encode_account};
use crate::engine::partition::PageId;
use crate::engine::score::{Points, Score};
use crate::engine::time::Day;
use hashbrown::HashTable;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;
use xxhash_rust::xxh3::xxh3_64;

/// What the accounts of all shards together take before any is packed: an account costs two to four
/// times its packed size while it lies open, but opening and packing one costs some microseconds.
/// Shards do not know each other, so each has the share of its partition.
const UNPACKED_BYTES: usize = 512 << 20;
/// Where the packed ones alone take more than that, open ones may take this for each account there is.
const OPEN_BYTES_EACH: usize = 192;
/// An open account grows with its events; so often one that is opened is weighed again.
const WEIGHED_EVERY: u32 = 64;
/// From this many bytes on it is worth the time to compress.
const COMPRESSED_FROM_BYTES: usize = 640;

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
    /// Used since it was last passed over by the search for one to pack.
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

/// The id, then, compressed or not, the rest of what pages have, then what was derived from it.
#[derive(Debug)]
pub(super) struct Packed {
    bytes: Box<[u8]>,
    /// Length without compression, of what pages have and of all.
    stored: u32,
    whole: u32,
}

#[derive(Serialize)]
struct DerivedRef<'a> {
    points: &'a Points,
    score: Score,
    derived_for: Day,
    causes: &'a [Noted],
    told_wall_ms: i64,
}

#[derive(Deserialize)]
struct Derived {
    points: Points,
    score: Score,
    derived_for: Day,
    causes: Vec<Noted>,
    told_wall_ms: i64,
}

/// The accounts, by slot number, and where each is found by its id.
#[derive(Debug)]
pub(super) struct Accounts {
    pub(super) slots: Vec<Slot>,
    pub(super) index: HashTable<u32>,
    /// The open ones, the next to be packed first.
    open: VecDeque<u32>,
    /// What the open and the packed ones weigh.
    open_bytes: usize,
    packed_bytes: usize,
    /// What all may weigh before any is packed.
    unpacked_bytes: usize,
    /// Counts what was opened.
    opened: u32,
    buffer: Vec<u8>,
}

impl Accounts {
    /// Those of one of so many shards.
    pub(super) fn new(partitions: u32) -> Self {
        Accounts {
            slots: Vec::new(),
            index: HashTable::new(),
            open: VecDeque::new(),
            open_bytes: 0,
            packed_bytes: 0,
            unpacked_bytes: UNPACKED_BYTES / partitions.max(1) as usize,
            opened: 0,
            buffer: Vec::new(),
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
        self.index.find(hash, |&slot| is_it(&self.slots[slot as usize])).copied()
    }

    /// Adds an account that is not here.
    pub(super) fn insert(&mut self, account: Account, page: PageId) -> u32 {
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
            used: true,
            weight,
            counted: Counted::default(),
            form: Form::Open(Box::new(account)),
        });
        let slots = &self.slots;
        self.index.insert_unique(hash, slot, |&slot| slots[slot as usize].hash);
        self.open.push_back(slot);
        slot
    }

    /// An account, to work with.
    pub(super) fn open(&mut self, slot: u32) -> &mut Account {
        self.opened = self.opened.wrapping_add(1);
        if self.opened.is_multiple_of(WEIGHED_EVERY) {
            self.weigh(slot);
        }
        self.pack_some();
        self.unpack(slot);
        let place = &mut self.slots[slot as usize];
        place.used = true;
        match &mut place.form {
            Form::Open(account) => account,
            Form::Packed(_) => unreachable!("it was just unpacked"),
        }
    }

    fn unpack(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if let Form::Packed(packed) = &place.form {
            let account = Box::new(packed.unpack());
            self.packed_bytes -= place.weight as usize;
            place.weight = 0;
            place.form = Form::Open(account);
            self.weigh(slot);
            self.open.push_back(slot);
        }
    }

    /// Finds out what an open account weighs now.
    fn weigh(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
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
    /// packs them. One that was used since it was last seen here, or that waits to be told, is passed
    /// over.
    fn pack_some(&mut self) {
        // An account is seen twice before it is packed, so more than two for each that is opened.
        for _ in 0..4 {
            if !self.is_full() {
                return;
            }
            let Some(slot) = self.open.pop_front() else { return };
            let place = &mut self.slots[slot as usize];
            let Form::Open(account) = &place.form else { continue };
            if place.used || place.listed || account.changed {
                place.used = false;
                self.open.push_back(slot);
                self.weigh(slot);
                continue;
            }
            let packed = Packed::new(account, &mut self.buffer);
            self.open_bytes -= place.weight as usize;
            place.weight = packed.bytes.len() as u32;
            self.packed_bytes += packed.bytes.len();
            place.form = Form::Packed(packed);
        }
    }

    /// An account as pages have it.
    pub(super) fn stored(&self, slot: u32) -> Cow<'_, [u8]> {
        match &self.slots[slot as usize].form {
            Form::Open(account) => Cow::Owned(encode_account(Vec::new(), &stored_ref(account))),
            Form::Packed(packed) => match packed.whole_bytes() {
                Cow::Borrowed(bytes) => Cow::Borrowed(&bytes[..packed.stored as usize]),
                Cow::Owned(mut bytes) => {
                    bytes.truncate(packed.stored as usize);
                    Cow::Owned(bytes)
                }
            },
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
            Form::Packed(packed) => packed.id().0 == id,
        }
    }

    pub(super) fn id(&self) -> &str {
        match &self.form {
            Form::Open(account) => &account.id,
            Form::Packed(packed) => packed.id().0,
        }
    }
}

fn stored_ref(account: &Account) -> StoredAccountRef<'_> {
    let Account { id, facts, decisions, .. } = account;
    StoredAccountRef { id, facts, decisions }
}

impl Packed {
    fn new(account: &Account, buffer: &mut Vec<u8>) -> Packed {
        let Account { points, score, derived_for, causes, told_wall_ms, .. } = account;
        buffer.clear();
        let bytes = encode_account(std::mem::take(buffer), &stored_ref(account));
        let stored = bytes.len() as u32;
        let (score, derived_for, told_wall_ms) = (*score, *derived_for, *told_wall_ms);
        let derived = DerivedRef { points, score, derived_for, causes, told_wall_ms };
        let bytes = append(bytes, &derived);
        let whole = bytes.len() as u32;
        let kept = if bytes.len() < COMPRESSED_FROM_BYTES {
            Box::from(&*bytes)
        } else {
            let rest = split_id(&bytes).1;
            [&bytes[..bytes.len() - rest.len()], &lz4_flex::compress(rest)].concat().into_boxed_slice()
        };
        *buffer = bytes;
        Packed { bytes: kept, stored, whole }
    }

    fn id(&self) -> (&str, &[u8]) {
        split_id(&self.bytes)
    }

    fn whole_bytes(&self) -> Cow<'_, [u8]> {
        if (self.whole as usize) < COMPRESSED_FROM_BYTES {
            return Cow::Borrowed(&self.bytes);
        }
        let compressed = self.id().1;
        let id = &self.bytes[..self.bytes.len() - compressed.len()];
        let rest = lz4_flex::decompress(compressed, self.whole as usize - id.len()).unwrap_or_default();
        Cow::Owned([id, &rest].concat())
    }

    #[expect(clippy::expect_used, reason = "bytes of our own writing, which never left memory, decode")]
    fn unpack(&self) -> Account {
        let bytes = self.whole_bytes();
        let (stored, derived) =
            postcard::take_from_bytes::<StoredAccount>(&bytes).expect("packed accounts decode");
        let Derived { points, score, derived_for, causes, told_wall_ms } =
            postcard::from_bytes(derived).expect("packed accounts decode");
        let StoredAccount { id, facts, decisions } = stored;
        Account { facts, decisions, points, score, derived_for, causes, told_wall_ms, ..Account::new(id) }
    }
}

/// The id in front of stored bytes, and the rest; bytes of our own writing decode.
fn split_id(bytes: &[u8]) -> (&str, &[u8]) {
    postcard::take_from_bytes(bytes).unwrap_or_default()
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
        account.causes = vec![Noted::Event("e1".into()), Noted::Deadline(5)];
        account
    }

    #[test]
    fn accounts_come_back_as_they_were_packed() {
        for (events, is_compressed) in [(0, false), (3, false), (90, true)] {
            let account = account("acme é", events);
            let packed = Packed::new(&account, &mut Vec::new());
            assert_eq!(packed.whole as usize >= COMPRESSED_FROM_BYTES, is_compressed);
            assert_eq!(packed.id().0, "acme é");
            assert_eq!(format!("{:?}", packed.unpack()), format!("{account:?}"));
            let whole = packed.whole_bytes();
            assert_eq!(whole[..packed.stored as usize], encode_account(Vec::new(), &stored_ref(&account)));
        }
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
        assert!(accounts.open.len() <= 3, "{:?}", accounts.open);
        assert!(matches!(accounts.slot(4).form, Form::Open(_)));
        assert_eq!(accounts.find("a7"), Some(7));
        assert_eq!(accounts.by_id(), (0..9).collect::<Vec<_>>());
    }
}
