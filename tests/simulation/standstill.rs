//! Inputs that say nothing: one that the log withholds is noticed, and whatever is silent for
//! another reason is left alone, however long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use accountpulse::engine::partition::partition_of;
use accountpulse::log::sim::{Call, Fault, SimLog};
use accountpulse::log::{Drain, Log, OutRecord, TopicPartition};
use accountpulse::worker::{BreakerLimits, ClockMode, RebuildReason, Wake};

use super::history::{PARTITIONS, TOPICS};
use super::live::{ACTIVITY, BUSINESS, Live, pair, partition};

/// Time between two steps.
const STEP_MS: i64 = 60;
/// Far longer than a standstill may last.
const LONG_MS: i64 = 20 * 60_000;

fn at(topic: accountpulse::log::TopicId) -> TopicPartition {
    TopicPartition { topic, partition: partition() }
}

/// Why the worker was given up within that time, if it was, and after how long.
fn given_up(live: &mut Live, within_ms: i64) -> Option<(Arc<RebuildReason>, i64)> {
    for passed in 0..within_ms / STEP_MS {
        live.wall_ms += STEP_MS;
        if let Wake::Rebuild { reason } = live.step() {
            return Some((reason, passed * STEP_MS));
        }
    }
    None
}

/// Counts reads of ranges, which a live worker makes only when it looks after something.
fn count_reads(live: &Live) -> Arc<AtomicU64> {
    let reads = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&reads);
    live.broker.set_hook(Box::new(move |site| {
        counted.fetch_add(u64::from(site.call == Call::ReadRange), Ordering::Relaxed);
        Fault::None
    }));
    reads
}

fn is_consumed(live: &Live) -> bool {
    let positions = live.broker.positions();
    positions.len() == TOPICS.len() * PARTITIONS as usize
        && positions.iter().all(|(at, committed)| {
            live.broker.watermarks(*at).is_ok_and(|marks| marks.end == committed.position)
        })
}

/// A record in every input partition.
fn tell_all(live: &Live) {
    for partition in 0..PARTITIONS {
        let mut names = (0..).map(|number| format!("told{number}"));
        let account = names.find(|name| partition_of(name.as_bytes(), PARTITIONS) == partition).unwrap();
        live.login(&account, live.wall_ms);
        live.append(BUSINESS, &account, live.wall_ms, b"{");
    }
}

#[test]
fn a_partition_that_is_withheld_is_read_by_a_new_worker() {
    let mut live = Live::new();
    live.start();
    live.settle();
    let done = AtomicBool::new(false);
    live.broker.set_hook(Box::new(move |site| {
        let first = site.call == Call::Poll && !done.swap(true, Ordering::Relaxed);
        if first { Fault::Withhold } else { Fault::None }
    }));
    live.step();
    tell_all(&live);
    let (reason, after_ms) = given_up(&mut live, LONG_MS).expect("nobody noticed");
    let RebuildReason::Standstill { topic, offset: 0, .. } = &*reason else { panic!("{reason}") };
    assert!(TOPICS.contains(&topic.as_str()) && reason.to_string().contains(topic.as_str()), "{reason}");
    assert_eq!(reason.cause(), "standstill");
    // Looked after once the time is up, given up when it is up again; hardly later.
    let limit_ms = live.settings.standstill_ms;
    assert!((2 * limit_ms..2 * limit_ms + 2_000).contains(&after_ms), "after {after_ms} ms");
    assert!(!is_consumed(&live));
    live.start();
    assert!(given_up(&mut live, LONG_MS).is_none());
    assert!(is_consumed(&live));
}

/// A producer of inputs that writes in transactions.
fn upstream(live: &Live) -> SimLog {
    let mut log = live.broker.member("upstream");
    while !log.init().unwrap() {}
    log
}

fn write(log: &mut SimLog, to: TopicPartition) {
    log.begin().unwrap();
    let value = Some(b"{".to_vec());
    log.send(&OutRecord { to, key: None, value, headers: Vec::new(), timestamp_ms: 1 }).unwrap();
    assert_eq!(log.drain().unwrap(), Drain::Done);
}

#[test]
fn what_was_aborted_or_is_not_decided_upstream_is_nothing_to_deliver() {
    let mut live = Live::new();
    live.start();
    live.settle();
    let (mut one, mut two) = (upstream(&live), live.broker.member("upstream-two"));
    while !two.init().unwrap() {}
    // Aborted records and a mark, then a transaction that stays open, then a record behind it.
    write(&mut one, at(ACTIVITY));
    one.abort().unwrap();
    write(&mut two, at(ACTIVITY));
    live.broker.append(at(ACTIVITY), accountpulse::log::sim::SimRecord::new(1, b"k", b"{")).unwrap();
    let reads = count_reads(&live);
    let refused = given_up(&mut live, LONG_MS);
    assert!(refused.is_none(), "{refused:?}");
    assert!(reads.load(Ordering::Relaxed) > 0, "it was never looked after");
    two.commit().unwrap();
    live.broker.clear_hook();
    assert!(given_up(&mut live, LONG_MS).is_none());
    let read = live.broker.positions().into_iter().find(|(read, _)| *read == at(ACTIVITY)).unwrap();
    assert_eq!(read.1.position, 4, "both records, and not the mark behind them");
}

#[test]
fn an_input_that_is_held_is_not_looked_after() {
    let [account, _] = pair();
    let mut live = Live::new();
    live.settings.breaker = BreakerLimits { consecutive: 2, ..BreakerLimits::default() };
    live.start();
    live.settle();
    for _ in 0..6 {
        live.append(BUSINESS, &account, live.wall_ms, b"<xml/>");
    }
    let reads = count_reads(&live);
    assert!(given_up(&mut live, LONG_MS).is_none());
    assert_eq!((live.counts.held, reads.load(Ordering::Relaxed)), (1, 0));
}

#[test]
fn a_log_that_does_not_answer_is_waited_for() {
    for whole in [true, false] {
        let mut live = Live::new();
        live.start();
        live.settle();
        let there = |live: &Live, there: bool| match whole {
            true => live.broker.set_available(there),
            false => live.broker.set_leader(at(ACTIVITY), there).unwrap(),
        };
        there(&live, false);
        tell_all(&live);
        assert!(given_up(&mut live, LONG_MS).is_none());
        there(&live, true);
        assert!(given_up(&mut live, LONG_MS).is_none());
        assert!(is_consumed(&live));
    }
}

#[test]
fn a_worker_that_takes_nothing_looks_after_nothing() {
    // A commit that does not get on.
    let mut live = Live::new();
    live.start();
    live.settle();
    tell_all(&live);
    live.broker.set_hook(Box::new(|site| match site.call {
        Call::Drain => Fault::Slow(u32::MAX),
        Call::ReadRange => panic!("something was looked after"),
        _ => Fault::None,
    }));
    assert!(given_up(&mut live, LONG_MS).is_none());
    assert!(!is_consumed(&live));

    // A merge that waits for one input: the other has enough and rests.
    let [account, _] = pair();
    let mut live = Live::new();
    live.settings.clock = ClockMode::Event { lateness_ms: 0 };
    live.settings.max_buffered_bytes = 4_000;
    live.start();
    live.settle();
    for minute in 0..40 {
        live.login(&account, live.wall_ms + minute * 60_000);
    }
    let reads = count_reads(&live);
    assert!(given_up(&mut live, LONG_MS).is_none());
    let shards = live.worker.as_ref().unwrap().status().shards;
    assert!(shards.iter().any(|shard| shard.resting > 0), "nothing rests: {shards:?}");
    assert_eq!(reads.load(Ordering::Relaxed), 0);
}

#[test]
fn a_clock_that_is_set_forward_makes_nothing_old() {
    let mut live = Live::new();
    live.start();
    live.settle();
    live.broker.set_leader(at(ACTIVITY), false).unwrap();
    tell_all(&live);
    let looks = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&looks);
    live.broker.set_hook(Box::new(move |site| {
        counted.fetch_add(u64::from(site.call == Call::Watermarks), Ordering::Relaxed);
        Fault::None
    }));
    for _ in 0..5 {
        live.wall_ms += 86_400_000;
        live.step();
    }
    assert_eq!(looks.load(Ordering::Relaxed), 0);
}
