//! The laws while the clock is far behind the newest events, as when one topic of a loaded
//! history is read ahead of the others.

use super::history::{DAY_MS, DAYS, Line, START_MS, Seedling, history, pages, seedlings, shard};
use super::{Told, cases};
use accountpulse::engine::record::{RiskTransition, ScoreRecord};
use accountpulse::engine::risk::Transition;
use accountpulse::engine::score::default_scoring;
use accountpulse::engine::time::rfc3339;
use accountpulse::engine::{Effects, Input, Shard};
use proptest::prelude::*;

/// How many days the clock is behind the event that is read: it grows, and is made up for.
fn lag(n: usize, most: i64) -> i64 {
    let phase = (n as i64 * 3) % (2 * most + 1);
    phase.min(2 * most - phase) * DAY_MS
}

fn follow(shard: &mut Shard, lines: &[Line], most: i64, mut each: impl FnMut(Effects)) {
    for (n, line) in lines.iter().enumerate() {
        shard.advance(line.at_ms - 1 - lag(n, most), usize::MAX);
        shard.apply(Input(line.input), &line.event()).unwrap();
        each(shard.drain_all());
    }
    shard.advance(START_MS + (DAYS + 100) * DAY_MS, usize::MAX);
    each(shard.drain_all());
}

/// What a reader does who recomputes a record: value to points by the ramp of the card.
fn recompute(record: &ScoreRecord<'_>) -> Result<(), TestCaseError> {
    let scoring = default_scoring();
    let card = scoring.scorecards.iter().find(|card| card.name == record.scorecard).unwrap();
    for line in card.lines() {
        let name = line.feature.def().name;
        let Some(told) = record.contributions.iter().find(|told| told.words.line() == name) else { continue };
        prop_assert!(told.value.is_some(), "{name} has points and no value: {told:?}");
        prop_assert_eq!(told.value.map(|value| line.ramp.points(value)), told.points_hundredths, "{}", name);
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn incremental_equals_full_behind_the_events(seeds in seedlings(24), most in 1_i64..150) {
        let lines = history(&seeds);
        let (mut incremental, mut full) = (shard(), shard());
        let (mut told, mut told_full) = (Told::default(), Told::default());
        for (n, line) in lines.iter().enumerate() {
            let clock_ms = line.at_ms - 1 - lag(n, most);
            for shard in [&mut incremental, &mut full] {
                shard.advance(clock_ms, usize::MAX);
                shard.apply(Input(line.input), &line.event()).unwrap();
            }
            let risks = full.audit();
            told_full.take(Effects { risks, ..Effects::default() });
            told_full.take(full.drain_all());
            told.take(incremental.drain_all());
        }
        prop_assert_eq!(told, told_full);
        prop_assert_eq!(pages(&incremental), pages(&full));
    }

    #[test]
    fn every_record_says_what_its_score_was_made_of(seeds in seedlings(24), most in 0_i64..150) {
        let mut records = Vec::new();
        let take = |effects: Effects| records.extend(effects.scores.into_iter().map(|score| score.record));
        follow(&mut shard(), &history(&seeds), most, take);
        records.iter().try_for_each(recompute)?;
    }

    /// Counts that come in order were never wrong, so what rests on them is not taken back.
    #[test]
    fn nothing_late_means_nothing_to_amend(seeds in seedlings(24), most in 0_i64..150) {
        let mut told = Vec::new();
        // A feature over the limit takes its past along, and with it what rested on that.
        let within: Vec<_> = seeds.into_iter().map(|seed| Seedling { b: seed.b % 4, ..seed }).collect();
        follow(&mut shard(), &history(&within), most, |effects| told.extend(effects.risks));
        let counted = told.iter().filter(|risk| ["usage_drop", "inactivity"].contains(&&*risk.rule));
        let amended = counted.filter(|risk| matches!(risk.transition, Transition::Amended | Transition::Retracted));
        prop_assert_eq!(amended.collect::<Vec<_>>(), Vec::<&RiskTransition>::new());
    }
}

/// A use per day from one day to before another, as lines.
fn uses(id: &str, from: i64, upto: i64, count: u8) -> Vec<Line> {
    let day = |day: i64| Seedling { account: 0, hour: day * 24 + 12, kind: 3, a: 1, b: 0, c: count - 1 };
    let lines = (from..upto).flat_map(|d| history(&[day(d)]).into_iter().map(move |line| (d, line)));
    // Every history numbers its events from 0.
    lines
        .map(|(d, line)| Line { json: line.json.replace(r#""e0""#, &format!(r#""{id}{d}""#)), ..line })
        .collect()
}

fn apply_all(shard: &mut Shard, lines: &[Line]) {
    for line in lines {
        shard.apply(Input(line.input), &line.event()).unwrap();
    }
}

fn at(day: i64) -> i64 {
    START_MS + day * DAY_MS
}

fn drops(effects: Effects) -> Vec<(Transition, String)> {
    let risks = effects.risks.into_iter().filter(|risk| risk.rule == "usage_drop");
    risks.map(|risk| (risk.transition, risk.what)).collect()
}

/// Use falls from 84 to 28 in 28 days, and the clock stands there while ten more weeks are read:
/// the days behind the risk are then no longer kept one by one.
#[test]
fn a_drop_whose_days_are_gone_is_neither_amended_nor_refuted() {
    let mut shard = shard();
    shard.advance(at(1), usize::MAX);
    apply_all(&mut shard, &[uses("a", 0, 28, 3), uses("b", 28, 57, 1)].concat());
    shard.advance(at(57), usize::MAX);
    let told = drops(shard.drain_all());
    assert_eq!(told.iter().map(|(t, _)| *t).collect::<Vec<_>>(), [Transition::Started], "{told:?}");
    apply_all(&mut shard, &uses("c", 57, 130, 1));
    shard.advance(at(60), usize::MAX);
    assert_eq!(drops(shard.drain_all()), []);
    // Time for a reminder, still without the days to compare.
    shard.advance(at(95), usize::MAX);
    let told = drops(shard.drain_all());
    let [(Transition::Renotified, what)] = &told[..] else { panic!("{told:?}") };
    assert!(what.contains("cannot be compared now"), "{what}");
    // When the clock has caught up, 28 uses stand beside 28: it is over, though neither is enough
    // to prove a drop.
    shard.advance(at(131), usize::MAX);
    let told = drops(shard.drain_all());
    assert_eq!(told, [(Transition::Resolved, "no longer: usage dropped".to_owned())]);
}

/// An event far ahead of the clock moves a risk at its own time, by what holds at the clock's.
#[test]
fn what_an_event_ahead_of_the_clock_moves_is_judged_by_the_clock() {
    let ticket = |id: &str, due: i64| {
        let [opened, due, now] = [at(50), at(due), at(80)].map(rfc3339);
        let ticket = format!(
            r#"{{"id":"{id}","priority":"low","status":"open","opened_at":"{opened}","resolve_due_at":"{due}"}}"#
        );
        let json = format!(r#"{{"id":"{id}","account_id":"a","occurred_at":"{now}","ticket":{ticket}}}"#);
        Line { at_ms: at(80), input: 0, account: "a".to_owned(), json }
    };
    let mut shard = shard();
    shard.advance(at(57), usize::MAX);
    apply_all(&mut shard, &[ticket("later", 60), ticket("sooner", 55)]);
    let told = shard.drain_all().risks;
    let [risk] = &told[..] else { panic!("{told:?}") };
    assert_eq!((risk.transition, risk.at_ms, risk.began_at_ms), (Transition::Started, at(80), at(55)));
    assert_eq!(risk.what, "1 unsolved ticket is past the promised time");
    shard.advance(at(62), usize::MAX);
    assert_eq!(shard.drain_all().risks, []);
}
