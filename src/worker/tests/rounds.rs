//! The life of pages over commits, as the commit drives it.

use crate::engine::PageId;
use crate::worker::format::{Marker, Slot};
use crate::worker::planted::Planted;
use crate::worker::rounds::{Copies, CopyInfo, Rounds, WrittenPage};

const ROUND_MS: i64 = 30;

fn info(commit: u64, digest: u64) -> CopyInfo {
    CopyInfo { commit, digest, covered: None, parts: 1 }
}

/// A shard past its first commit.
fn begun() -> Rounds {
    let mut rounds = Rounds::fresh(0, 0, ROUND_MS, Planted::default());
    assert!(rounds.lacks_marker());
    let first = rounds.first_marker(vec![0], 0);
    assert_eq!(rounds.marker_slot(&first), Slot::Zero);
    rounds.committed(&[], Some(first));
    rounds
}

/// Writes the next page of the round in commit `number` with this content; a marker if it closes.
fn write(rounds: &mut Rounds, number: u64, digest: u64) -> (WrittenPage, Option<Marker>) {
    let (page, slot) = rounds.next_page(None).unwrap();
    let written = WrittenPage { page, slot, info: info(number, digest) };
    let marker = rounds.closing_marker(&[written]);
    rounds.committed(&[written], marker.clone());
    (written, marker)
}

#[test]
fn a_page_stays_due_until_both_copies_hold_its_last_change() {
    let mut rounds = begun();
    rounds.mark_due([PageId(4)]);
    assert!(!rounds.may_begin(ROUND_MS - 1, ROUND_MS, &[0]));
    assert!(rounds.may_begin(ROUND_MS, ROUND_MS, &[0]));
    rounds.begin(ROUND_MS, ROUND_MS, vec![5], 1);
    let (page, marker) = write(&mut rounds, 2, 77);
    assert_eq!((page.slot, marker.map(|m| m.round)), (Slot::Zero, Some(1)));

    assert!(rounds.may_begin(2 * ROUND_MS, ROUND_MS, &[5]), "the other copy lacks the change");
    rounds.begin(2 * ROUND_MS, ROUND_MS, vec![5], 1);
    let (page, marker) = write(&mut rounds, 3, 77);
    assert_eq!((page.slot, marker.map(|m| m.round)), (Slot::One, Some(2)));
    assert!(!rounds.may_begin(9 * ROUND_MS, ROUND_MS, &[5]), "nothing is due and nothing moved");
    assert!(rounds.may_begin(9 * ROUND_MS, ROUND_MS, &[6]), "a later start is worth a marker");
}

#[test]
fn a_wall_clock_that_is_set_back_does_not_postpone_the_next_round() {
    let mut rounds = begun();
    rounds.mark_due([PageId(4)]);
    rounds.begin(1_000_000, ROUND_MS, vec![5], 1);
    write(&mut rounds, 2, 77);
    assert!(!rounds.may_begin(1_000_000, ROUND_MS, &[6]), "the clock stood");
    assert!(rounds.may_begin(5, ROUND_MS, &[6]), "the clock was set back");
}

#[test]
fn a_marker_repeats_the_round_before() {
    let mut rounds = begun();
    rounds.mark_due([PageId(4)]);
    rounds.begin(0, ROUND_MS, vec![5], 1);
    let (_, first) = write(&mut rounds, 2, 77);
    rounds.mark_due([PageId(4)]);
    rounds.begin(0, ROUND_MS, vec![9], 3);
    let (_, second) = write(&mut rounds, 3, 78);
    let (first, second) = (first.unwrap(), second.unwrap());
    assert_eq!(second.previous, first.this);
    assert_eq!((second.this.positions, second.this.journal), (vec![9], 3));
    assert_eq!(second.this.pages.first().map(|l| (l.commit, l.digest)), Some((3, 78)));
}

#[test]
fn a_round_closes_only_when_every_page_due_at_its_start_is_written() {
    let mut rounds = begun();
    rounds.mark_due([PageId(1), PageId(2)]);
    rounds.begin(0, ROUND_MS, vec![5], 1);
    let (_, marker) = write(&mut rounds, 2, 70);
    assert!(marker.is_none());
    // Due since the round began: belongs to the next one.
    rounds.mark_due([PageId(9)]);
    let (page, marker) = write(&mut rounds, 3, 71);
    assert_eq!(page.page, PageId(2));
    assert!(marker.is_some());
    assert!(!rounds.is_writing());
    assert!(rounds.may_begin(ROUND_MS, ROUND_MS, &[5]));
}

#[test]
fn a_write_replaces_the_copy_that_is_not_the_best_readable() {
    let copies =
        |zero: Option<u64>, one: Option<u64>| Copies::new(zero.map(|n| info(n, n)), one.map(|n| info(n, n)));
    let check = |pair: Copies, expect: Slot| {
        let marker = begun().first_marker(vec![0], 0);
        let all = [(PageId(3), pair)].into_iter().collect();
        let mut rounds = Rounds::restored(marker, all, false, 0, Planted::default());
        rounds.begin(0, ROUND_MS, vec![0], 0);
        assert_eq!(rounds.next_page(None), Some((PageId(3), expect)));
    };
    check(copies(Some(5), Some(4)), Slot::One);
    check(copies(Some(4), Some(5)), Slot::Zero);
    check(copies(None, Some(5)), Slot::Zero);
    check(copies(Some(5), None), Slot::One);
    check(copies(None, None), Slot::Zero);
}

#[test]
fn after_a_fallback_the_older_entry_is_repeated_once() {
    let mut rounds = begun();
    let mut markers = Vec::new();
    for number in 2..5 {
        rounds.mark_due([PageId(4)]);
        rounds.begin(0, ROUND_MS, vec![number], number);
        markers.push(write(&mut rounds, number, number).1.unwrap());
    }
    let last = markers.pop().unwrap();
    let older = last.previous.clone();
    let all = [(PageId(4), Copies::new(Some(info(3, 3)), None))].into_iter().collect();
    let mut rounds = Rounds::restored(last.clone(), all, true, 0, Planted::default());
    rounds.mark_due([PageId(4)]);
    rounds.begin(0, ROUND_MS, vec![9], 9);
    let (_, marker) = write(&mut rounds, 5, 5);
    let marker = marker.unwrap();
    assert_eq!((marker.round, &marker.previous), (last.round + 1, &older));
    rounds.mark_due([PageId(4)]);
    rounds.begin(0, ROUND_MS, vec![9], 9);
    assert_eq!(write(&mut rounds, 6, 6).1.unwrap().previous, marker.this);
}

#[test]
fn a_round_takes_a_third_of_its_time_and_no_more() {
    const LONG_MS: i64 = 3_000;
    let mut rounds = begun();
    rounds.mark_due((0..100).map(PageId));
    rounds.begin(0, LONG_MS, vec![5], 1);
    let mut written = 0;
    for now_ms in (0..).step_by(50) {
        let pace = rounds.pace(now_ms);
        assert!((1..=6).contains(&pace), "{pace} pages at once");
        let closed = (0..pace).map(|_| write(&mut rounds, 2, 77).1).any(|marker| marker.is_some());
        written += pace;
        if closed {
            assert_eq!((written, now_ms), (100, 1_000));
            break;
        }
    }
    rounds.mark_due((0..100).map(PageId));
    rounds.begin(5_000, LONG_MS, vec![9], 2);
    assert_eq!(rounds.pace(6_000), 100, "whatever is left then is written");
    assert_eq!(rounds.pace(4_000), 100, "and when the clock was set back");
}
