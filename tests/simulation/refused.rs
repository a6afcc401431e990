//! What is refused, and the sentence that names what is missing.

use std::sync::Arc;

use accountpulse::app::report::Board;
use accountpulse::engine::EngineConfig;
use accountpulse::engine::PageId;
use accountpulse::engine::partition::bucket_of;
use accountpulse::engine::time::DAY_MS;
use accountpulse::ingest::health::Health;
use accountpulse::log::TopicPartition;
use accountpulse::worker::format::{Key, Slot};

use super::history::{PARTITIONS, TOPICS};
use super::live::{ACTIVITY, Live, pair, partition};
use super::setup::CHECKPOINTS;

fn checkpoint() -> TopicPartition {
    TopicPartition { topic: CHECKPOINTS, partition: partition() }
}

/// Three days with checkpoints, then a crash; older values are compacted away.
fn with_checkpoints() -> (Live, PageId) {
    let [account, _] = pair();
    let mut live = Live::new();
    live.start();
    live.daily(&[&account], 0..3);
    live.worker = None;
    live.broker.compact(CHECKPOINTS, true);
    (live, bucket_of(account.as_bytes(), PARTITIONS))
}

fn refusal_after_restart(live: &mut Live) -> Option<String> {
    live.start();
    live.settle();
    live.refusal()
}

#[test]
fn one_damaged_copy_is_harmless_and_two_are_refused_by_name() {
    let damage = |which: &[Slot], how: fn(&Live, &[u8]) -> bool| {
        let (mut live, page) = with_checkpoints();
        for slot in which {
            assert!(how(&live, &Key::Page { page, slot: *slot, part: 0 }.bytes(partition())));
        }
        (refusal_after_restart(&mut live), page)
    };
    let rot = |live: &Live, key: &[u8]| live.broker.rot(checkpoint(), key);
    let tear = |live: &Live, key: &[u8]| live.broker.tear(checkpoint(), key);
    let lose = |live: &Live, key: &[u8]| live.broker.lose(checkpoint(), key);
    for how in [rot, tear, lose] {
        assert_eq!(damage(&[Slot::Zero], how).0, None);
        assert_eq!(damage(&[Slot::One], how).0, None);
        let (sentence, page) = damage(&Slot::BOTH, how);
        let sentence = sentence.unwrap_or_default();
        let missing = format!("page {} is missing from the checkpoint topic", page.0);
        assert!(sentence.contains(&missing), "{sentence}");
    }
}

#[test]
fn one_damaged_marker_is_harmless_and_two_are_refused_by_name() {
    for which in [&[Slot::Zero][..], &[Slot::One], &Slot::BOTH] {
        let (mut live, _) = with_checkpoints();
        for slot in which {
            assert!(live.broker.rot(checkpoint(), &Key::Marker(*slot).bytes(partition())));
        }
        let sentence = refusal_after_restart(&mut live);
        if which.len() == 1 {
            assert_eq!(sentence, None);
            continue;
        }
        let sentence = sentence.unwrap_or_default();
        assert!(sentence.contains("neither marker/1/0 nor marker/1/1 is readable"), "{sentence}");
    }
}

#[test]
fn a_partition_that_some_topic_lacks_is_refused_by_name_and_the_others_are_served() {
    let (mut live, _) = with_checkpoints();
    live.broker.set_complete(partition(), false);
    let sentence = refusal_after_restart(&mut live).unwrap_or_default();
    assert!(sentence.contains("shard 1: not every input topic has partition 1"), "{sentence}");
    let status = live.worker.as_ref().unwrap().status();
    assert!(!status.ready);
    assert_eq!(status.shards.len(), PARTITIONS as usize, "the others are there");
    live.broker.set_complete(partition(), true);
    live.settle();
    assert_eq!(live.refusal(), None);
    assert!(live.worker.as_ref().unwrap().status().ready, "it is served as soon as all topics have it");
}

#[test]
fn an_instance_with_such_a_partition_is_not_ready_and_says_why() {
    let (mut live, _) = with_checkpoints();
    live.broker.set_complete(partition(), false);
    live.start();
    live.settle();
    let health = Arc::new(Health::default());
    let board = Board::new(TOPICS.map(str::to_owned).to_vec(), PARTITIONS, 1, Arc::clone(&health));
    let reporter = board.reporter(0);
    let missing = |live: &Live| {
        reporter.status(&live.worker.as_ref().unwrap().status(), live.wall_ms, &|_| None);
        let checks = health.ready_checks().into_iter();
        checks
            .filter(|(_, holds, _)| !holds)
            .map(|(name, _, why)| format!("{name}: {why}"))
            .collect::<Vec<_>>()
    };
    let said = missing(&live);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].starts_with("restored: shard 1: not every input topic has partition 1"), "{said:?}");
    assert!(!health.is_ready());
    live.broker.set_complete(partition(), true);
    live.settle();
    assert_eq!(missing(&live), [""; 0]);
    assert!(health.is_ready());
}

#[test]
fn what_is_missing_is_named() {
    let [account, _] = pair();
    let prepare = || {
        let mut live = Live::new();
        live.start();
        live.daily(&[&account], 0..2);
        live
    };
    let check = |live: &mut Live, expect: &str| {
        live.start();
        live.settle();
        let sentence = live.refusal().unwrap_or_default();
        assert!(sentence.contains(expect), "{sentence}");
    };
    let mut live = prepare();
    live.worker = None;
    live.broker.compact(CHECKPOINTS, true);
    assert!(live.broker.rot(checkpoint(), &Key::Shard.bytes(partition())));
    check(&mut live, "no readable record shard/1");

    let mut live = prepare();
    live.worker = None;
    live.settings.inputs.pop();
    check(&mut live, "written with 2 input topics, 1 are configured");

    let mut live = prepare();
    live.worker = None;
    live.settings.inputs[0].name = "renamed".to_owned();
    check(&mut live, "where the configuration now has renamed");

    let mut live = prepare();
    live.worker = None;
    let mut config = EngineConfig::clone(&live.config);
    config.limits.people += 1;
    live.config = Arc::new(config);
    check(&mut live, "another day offset or other limits");

    // One topic of two was deleted and made anew: it must not be taken for a new one.
    let mut live = prepare();
    live.worker = None;
    live.broker.forget_positions(ACTIVITY);
    check(&mut live, "and the group has none: the topic was deleted and created anew");

    let mut live = Live::new();
    live.settings.round_ms = 400 * DAY_MS;
    live.start();
    live.daily(&[&account], 0..2);
    live.worker = None;
    live.broker.delete_before(TopicPartition { topic: ACTIVITY, partition: partition() }, 1).unwrap();
    check(&mut live, "begins at offset 1, recovery needs offset 0");

    // Nothing is to be replayed, but what was never read is gone.
    let mut live = prepare();
    live.pass(2 * DAY_MS);
    live.worker = None;
    let at = TopicPartition { topic: ACTIVITY, partition: partition() };
    for hour in 0..3 {
        live.login(&account, live.wall_ms + hour);
    }
    live.broker.delete_before(at, 4).unwrap();
    check(&mut live, "begins at offset 4, recovery needs offset 2");
}
