//! Packed accounts: what a page says of one and what was derived from it, in one piece of memory.
//!
//! What was derived is part of it, so that an account that is opened knows until when its lines and rules
//! stay as they are. To add something derived: [`DerivedRef`], [`Derived`], and if it is a day, `days`;
//! the test here finds what is left out.

use crate::engine::account::Lengths;
use crate::engine::evaluate::{Account, Noted};
use crate::engine::page::encode_account;
use crate::engine::plain;
use crate::engine::quiet::Due;
use crate::engine::score::{Points, Score};
use crate::engine::time::Day;
use crate::engine::window::{RecentDays, bytes};
use lz4_flex::block::{CompressTable, compress_into_with_table, decompress_into, get_maximum_output_size};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// From this many bytes on it is worth the time to compress.
const COMPRESSED_FROM_BYTES: usize = 640;

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
    lengths: Lengths,
    points: &'a Points,
    score: Score,
    derived_for: Day,
    causes: &'a [Noted],
    told_wall_ms: i64,
    due: Due,
    recent: Option<RecentDays>,
}

#[derive(Deserialize)]
struct Derived {
    lengths: Lengths,
    points: Points,
    score: Score,
    derived_for: Day,
    causes: Vec<Noted>,
    told_wall_ms: i64,
    due: Due,
    recent: Option<RecentDays>,
}

/// Packs and opens, in room that is kept.
#[derive(Default)]
pub(super) struct Packer {
    whole: Vec<u8>,
    compressed: Vec<u8>,
    table: CompressTable,
}

impl std::fmt::Debug for Packer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Packer")
    }
}

impl Packer {
    pub(super) fn pack(&mut self, account: &Account) -> Packed {
        let Packer { whole, compressed, table } = self;
        whole.clear();
        let Account { id, facts, decisions, points, score, derived_for, causes, .. } = account;
        let Account { told_wall_ms, rules_until, due, .. } = account;
        let lengths = encode_account(whole, id, facts, decisions);
        let stored = whole.len() as u32;
        let (score, derived_for, told_wall_ms, due) = (*score, *derived_for, *told_wall_ms, *due);
        let recent = facts.known_recent();
        let derived = DerivedRef { lengths, points, score, derived_for, causes, told_wall_ms, due, recent };
        plain::append(whole, &derived);
        let days = points.days().chain(rules_until.iter().copied());
        days.for_each(|day| put_day(whole, derived_for, day));
        let rest = split_id(whole).1;
        let bytes = if whole.len() < COMPRESSED_FROM_BYTES {
            Box::from(&**whole)
        } else {
            compress(&whole[..whole.len() - rest.len()], rest, compressed, table)
        };
        Packed { bytes, stored, whole: whole.len() as u32 }
    }

    #[expect(clippy::expect_used, reason = "bytes of our own writing, which never left memory, decode")]
    pub(super) fn unpack(&mut self, packed: &Packed) -> Account {
        let (id, rest) = split_id(&packed.bytes);
        let before = packed.bytes.len() - rest.len();
        let rest = if packed.is_compressed() {
            self.whole.resize(packed.whole as usize - before, 0);
            decompress_into(rest, &mut self.whole).expect("packed accounts decompress");
            &*self.whole
        } else {
            rest
        };
        read(id, rest, packed.stored as usize - before).expect("packed accounts decode")
    }
}

/// An account of the bytes after its id, of which the first are what pages have.
fn read(id: &str, bytes: &[u8], stored: usize) -> Option<Account> {
    let (stored, derived) = bytes.split_at_checked(stored)?;
    let (derived, mut days) = postcard::take_from_bytes::<Derived>(derived).ok()?;
    let Derived { lengths, mut points, score, derived_for, causes, told_wall_ms, due, recent } = derived;
    let (facts, decisions) = crate::engine::account::Facts::from_parts(stored, &lengths)?;
    let decisions = postcard::from_bytes(decisions).ok()?;
    let account = Account::new(id.into());
    let mut rules_until = account.rules_until;
    for day in points.days_mut().chain(&mut rules_until) {
        *day = take_day(&mut days, derived_for)?;
    }
    let facts = facts.with_recent(recent);
    Some(Account {
        facts,
        decisions,
        points,
        score,
        derived_for,
        causes,
        told_wall_ms,
        rules_until,
        due,
        ..account
    })
}

#[expect(clippy::expect_used, reason = "there is as much room as it can take")]
fn compress(id: &[u8], rest: &[u8], room: &mut Vec<u8>, table: &mut CompressTable) -> Box<[u8]> {
    let most = id.len() + get_maximum_output_size(rest.len());
    if room.len() < most {
        room.resize(most, 0);
    }
    room[..id.len()].copy_from_slice(id);
    let length = compress_into_with_table(rest, &mut room[id.len()..], table).expect("there is room");
    Box::from(&room[..id.len() + length])
}

impl Packed {
    pub(super) fn id(&self) -> &str {
        split_id(&self.bytes).0
    }

    /// How many bytes it takes beside its own.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    fn is_compressed(&self) -> bool {
        self.whole as usize >= COMPRESSED_FROM_BYTES
    }

    /// What pages have of it.
    pub(super) fn stored(&self) -> Cow<'_, [u8]> {
        let stored = self.stored as usize;
        if !self.is_compressed() {
            return Cow::Borrowed(&self.bytes[..stored]);
        }
        let compressed = split_id(&self.bytes).1;
        let id = &self.bytes[..self.bytes.len() - compressed.len()];
        let mut bytes = vec![0; self.whole as usize];
        bytes[..id.len()].copy_from_slice(id);
        if decompress_into(compressed, &mut bytes[id.len()..]).is_err() {
            // Bytes of our own writing decompress; no bytes would be refused as damaged.
            return Cow::default();
        }
        bytes.truncate(stored);
        Cow::Owned(bytes)
    }
}

/// The id in front of stored bytes, and the rest; bytes of our own writing decode.
fn split_id(bytes: &[u8]) -> (&str, &[u8]) {
    postcard::take_from_bytes(bytes).unwrap_or_default()
}

/// The first and the last of all days, which stand for "unforeseen" and "never", and how many numbers
/// are kept for them.
const FIRST_AND_LAST: [Day; 2] = [Day(i32::MIN), Day(i32::MAX)];

/// Appends a day, which is mostly near another one.
fn put_day(out: &mut Vec<u8>, near: Day, day: Day) {
    let number = match FIRST_AND_LAST.iter().position(|special| *special == day) {
        Some(place) => place as u64,
        None => {
            let ahead = i64::from(day.0) - i64::from(near.0);
            (ahead << 1 ^ ahead >> 63) as u64 + FIRST_AND_LAST.len() as u64
        }
    };
    bytes::put(out, number);
}

/// Takes what [`put_day`] wrote.
fn take_day(bytes: &mut &[u8], near: Day) -> Option<Day> {
    let number = bytes::take(bytes)?;
    match number.checked_sub(FIRST_AND_LAST.len() as u64) {
        None => FIRST_AND_LAST.get(number as usize).copied(),
        Some(number) => {
            let ahead = (number >> 1) as i64 ^ -((number & 1) as i64);
            i32::try_from(i64::from(near.0) + ahead).ok().map(Day)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::event::{PersonKey, decode_json};
    use crate::engine::shard::accounts::Form;
    use crate::engine::{Input, Shard, ShardId};
    use proptest::prelude::*;

    const NOON_MS: i64 = 1_767_614_400_000;
    const DAY_MS: i64 = 86_400_000;

    /// An event of one of five kinds, about one of few users, tickets, features.
    fn event(account: usize, number: usize, at_ms: i64) -> String {
        let at = crate::engine::time::rfc3339(at_ms);
        let n = number % 7 + 1;
        let body = match number % 5 {
            0 => format!(r#""usage":{{"user_id":"u{n}","feature":"f{n}","count":{n}}}"#),
            1 => format!(r#""ticket":{{"id":"t{n}","status":"open","opened_at":"{at}"}}"#),
            2 => format!(r#""survey":{{"id":"s{number}","type":"nps","score":{n},"respondent":"u{n}"}}"#),
            3 => format!(r#""contact":{{"id":"c{n}","role":"champion","status":"active","user_id":"u{n}"}}"#),
            _ => format!(r#""login":{{"user_id":"u{n}"}}"#),
        };
        format!(r#"{{"id":"e{number}","account_id":"acme é{account}","occurred_at":"{at}",{body}}}"#)
    }

    /// A shard that has lived through events `(account, hours since the last event)`.
    fn lived(events: &[(usize, i64)]) -> Shard {
        let mut shard = Shard::new(Default::default(), ShardId { partition: 0, partitions: 1 });
        let mut at_ms = NOON_MS;
        for (number, (account, hours)) in events.iter().enumerate() {
            at_ms += hours * DAY_MS / 24;
            shard.advance(at_ms, usize::MAX);
            let json = event(*account, number, at_ms);
            shard.apply(Input(0), &decode_json(json.as_bytes(), &PersonKey::new([7; 16])).unwrap()).unwrap();
            if number % 3 == 0 {
                shard.drain(at_ms);
            }
        }
        shard
    }

    fn open(shard: &Shard) -> impl Iterator<Item = &Account> {
        shard.accounts.slots.iter().map(|slot| match &slot.form {
            Form::Open(account) => &**account,
            Form::Packed(_) => panic!("nothing is packed yet"),
        })
    }

    fn encoded(account: &Account) -> Vec<u8> {
        let mut bytes = Vec::new();
        encode_account(&mut bytes, &account.id, &account.facts, &account.decisions);
        bytes
    }

    /// Not whether it waits to be told: nothing is packed then. Not the values of features either, which
    /// are computed again when they are asked for.
    fn all_but_facts(account: &Account) -> String {
        let Account { id, id_start, jitter_ms, decisions, points, score, derived_for, causes, .. } = account;
        let Account { told_wall_ms, rules_until, due, changed: _, facts: _, .. } = account;
        let points = points.clone().without_values();
        let known = (id, id_start, jitter_ms, decisions, told_wall_ms);
        format!("{:?}", (known, points, score, derived_for, causes, rules_until, due))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]
        #[test]
        fn accounts_come_back_as_they_were_packed(
            events in proptest::collection::vec((0_usize..3, 0_i64..60), 1..120),
        ) {
            let shard = lived(&events);
            let mut packer = Packer::default();
            for account in open(&shard) {
                let packed = packer.pack(account);
                prop_assert_eq!(packed.id(), &*account.id);
                prop_assert_eq!(&*packed.stored(), &encoded(account)[..]);
                let again = packer.unpack(&packed);
                // What was not read is packed as it is.
                let twice = packer.pack(&again);
                prop_assert_eq!(&twice.bytes, &packed.bytes);
                prop_assert_eq!(encoded(&again), encoded(account));
                prop_assert_eq!(again.facts.known_recent(), account.facts.known_recent());
                prop_assert_eq!(&again.facts, &account.facts);
                prop_assert_eq!(all_but_facts(&again), all_but_facts(account));
            }
        }
    }

    #[test]
    fn both_small_and_large_accounts_are_packed_and_what_is_derived_is_known() {
        let events: Vec<_> = (0..200).map(|n| (usize::from(n % 50 == 1), 7)).collect();
        let shard = lived(&events);
        let mut packer = Packer::default();
        let compressed: Vec<bool> =
            open(&shard).map(|account| packer.pack(account).is_compressed()).collect();
        assert!(compressed.contains(&true) && compressed.contains(&false), "{compressed:?}");
        let foreseen = |account: &Account| account.points.days().any(|day| !FIRST_AND_LAST.contains(&day));
        assert!(open(&shard).any(foreseen), "nothing is foreseen: the test above shows nothing");
        assert!(open(&shard).any(|account| account.facts.known_recent().is_some()));
    }

    #[test]
    fn what_pages_have_of_facts_is_what_their_fields_say() {
        for account in open(&lived(&[(0, 5); 90])) {
            let mut bytes = Vec::new();
            account.facts.append_to(&mut bytes);
            assert_eq!(bytes, postcard::to_stdvec(&account.facts).unwrap());
        }
    }

    #[test]
    fn days_come_back() {
        for (near, day) in
            [(5, 5), (5, 4), (20_000, 20_400), (i32::MIN, i32::MAX - 1), (7, i32::MIN), (7, i32::MAX)]
        {
            let mut bytes = Vec::new();
            put_day(&mut bytes, Day(near), Day(day));
            assert_eq!(take_day(&mut &*bytes, Day(near)), Some(Day(day)));
        }
        assert_eq!(take_day(&mut &[][..], Day(0)), None);
    }
}
