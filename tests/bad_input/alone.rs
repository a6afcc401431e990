//! Each kind by itself in front of the worker, and values, keys and headers far larger than any
//! limit, with what the worker takes in memory for it.

use std::collections::BTreeMap;

use accountpulse::engine::event::MAX_EVENT_BYTES;

use super::bench::{Bench, INPUT_NAME, PARTITIONS, START_MS};
use super::kinds::{self, Draft, Kind, Near};
use super::letters::{MAX_VALUE_BYTES, check_all};
use super::memory::taken;

/// What the worker may take beside copies of what a letter carries.
const ROOM_BYTES: isize = 1 << 20;
/// What may stay beside the letter itself in the log, which is memory here: its headers, the shard
/// record of its commit, now and then a page.
const KEPT_BYTES: isize = 32 * 1024;
/// Copies of a value that may exist at one time: the letter, and the log's own.
const COPIES: isize = 4;

fn near(n: usize) -> Near {
    Near { account: "acme".to_owned(), at_ms: START_MS, n, partitions: PARTITIONS }
}

/// A good login, so that there is an account and a newest login.
fn good(n: usize) -> Draft {
    let at = accountpulse::engine::time::rfc3339(START_MS);
    let value = format!(
        r#"{{"id":"good-{n}","account_id":"acme","occurred_at":"{at}","login":{{"user_id":"u-1"}}}}"#
    );
    let empty = Draft { key: None, value: None, headers: Vec::new(), timestamp_ms: START_MS, partition: 0 };
    Draft { value: Some(value.into_bytes()), ..empty }.keyed(b"acme", PARTITIONS)
}

#[test]
fn each_kind_is_one_letter_and_no_memory_stays() {
    let mut bench = Bench::new();
    let mut expected = BTreeMap::new();
    let mut consumed = 0;
    let mut consume = |bench: &mut Bench, draft: &Draft| {
        let offset = bench.append(draft);
        consumed += 1;
        let (_, taken) = taken(|| bench.consume(consumed));
        (offset, taken)
    };
    consume(&mut bench, &good(0));
    let rounds = 3;
    for n in 0..rounds {
        for kind in kinds::all() {
            let draft = kind.draft(&near(n));
            let (offset, taken) = consume(&mut bench, &draft);
            let carried = carried(&draft);
            assert!(taken.most <= COPIES * carried + ROOM_BYTES, "{}: {taken:?} for {carried}", kind.name);
            assert!(taken.kept <= carried + KEPT_BYTES, "{}: {taken:?} for {carried}", kind.name);
            let place = (INPUT_NAME.to_owned(), draft.partition, offset);
            assert!(expected.insert(place, (kind, draft)).is_none());
        }
        consume(&mut bench, &good(1 + n));
    }
    assert_eq!(bench.counts.applied as usize, 1 + rounds, "a bad record was applied");
    check_all(bench.letters(), &expected);
}

/// What a letter carries of a record.
fn carried(draft: &Draft) -> isize {
    let value = draft.value.as_ref().map_or(0, Vec::len);
    let headers: usize = draft.headers.iter().map(|(_, value)| value.len()).sum();
    let value = if value > MAX_VALUE_BYTES { 0 } else { value };
    (value + draft.key.as_ref().map_or(0, Vec::len) + headers) as isize
}

#[test]
fn what_is_far_too_large_is_never_copied() {
    const HUGE: usize = 20_000_000;
    let kind = |name: &str| kinds::all().into_iter().find(|kind| kind.name == name).unwrap();
    let sized = |bytes: usize, with: u8| {
        let mut value = good(9).value.unwrap();
        value.resize(bytes, with);
        value
    };
    let too_large = kind("a value one byte too large");
    let cases: [(&str, Kind, Draft); 7] = [
        ("a login and spaces", too_large, Draft { value: Some(sized(HUGE, b' ')), ..good(9) }),
        ("zeros", too_large, Draft { value: Some(vec![0; HUGE]), ..good(9) }),
        ("brackets", too_large, Draft { value: Some(vec![b'['; HUGE]), ..good(9) }),
        ("groups", too_large, Draft { value: Some([0x9b, 0x06].repeat(HUGE / 2)), ..good(9) }),
        ("a key", kind("a key of 100 kB"), good(9).keyed(&vec![b'k'; HUGE], PARTITIONS)),
        ("as large as may be", kind("cut off in JSON"), {
            Draft { value: Some(sized(MAX_EVENT_BYTES, b'[')), ..good(9) }
        }),
        ("a header", kind("a CloudEvent with an id of 10 kB"), {
            let id = vec![b'x'; HUGE];
            let near = near(0);
            let whole = kind("a CloudEvent with an id of 10 kB").draft(&near);
            let headers = whole.headers.iter().map(|(name, value)| match name.as_str() {
                "ce_id" => (name.clone(), id.clone()),
                _ => (name.clone(), value.clone()),
            });
            Draft { headers: headers.collect(), ..whole }
        }),
    ];
    let mut bench = Bench::new();
    let mut expected = BTreeMap::new();
    for (consumed, (name, kind, draft)) in (1..).zip(cases) {
        let offset = bench.append(&draft);
        let (_, taken) = taken(|| bench.consume(consumed));
        println!("{name}: {taken:?}");
        assert!(taken.most <= ROOM_BYTES, "{name}: {taken:?}");
        let place = (INPUT_NAME.to_owned(), draft.partition, offset);
        expected.insert(place, (kind, draft));
    }
    check_all(bench.letters(), &expected);
}
