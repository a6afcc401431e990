//! Days that are passed over: what comes out is what a shard tells that looks at every account each
//! day, to the byte, and every feature goes on as its forecast says.

use super::history::{DAY_MS, DAYS, HOUR_MS, Line, START_MS, history, pages, seedlings, shard, tight};
use super::{Choices, cases};
use accountpulse::engine::account::{Decisions, Facts, Moment, day_turn_jitter_ms};
use accountpulse::engine::event::InvoiceStatus;
use accountpulse::engine::feature::{CATALOGUE, ScoreNow, Tally, View, promises};
use accountpulse::engine::rule::{Rules, Timing};
use accountpulse::engine::score::{Card, CardGroup, CardLine, Ramp, Scoring, default_scoring};
use accountpulse::engine::time::{Calendar, Day, DurationMs};
use accountpulse::engine::{Effects, EngineConfig, Input, Shard, ShardId};
use proptest::prelude::*;
use std::sync::Arc;

/// A card with every feature that may stand on one, so that each has a say in the score.
fn everything(choices: &mut Choices) -> Scoring {
    let defaults = default_scoring();
    let features = CATALOGUE.iter().filter(|def| def.group() != "score").map(|def| {
        let (first, width) = (choices.below(9) as i64 - 2, 1 + choices.below(40) as i64);
        let scale = if def.touched_by.0 % 2 == 0 { 1 } else { 1 + choices.below(300) as i64 };
        let ramp = [(first * scale, 0), ((first + width) * scale, 60), ((first + width + 9) * scale, 100)];
        CardLine { feature: def.id, weight: 1 + choices.below(9) as u16, ramp: Ramp(ramp.to_vec()) }
    });
    let groups = vec![CardGroup { name: "all".to_owned(), weight: 1, features: features.collect() }];
    let caps = defaults.scorecards[0].caps.clone();
    let card = Card { name: "all".to_owned(), when: Default::default(), groups, caps };
    Scoring { coverage_floor_percent: choices.below(60) as u8, scorecards: vec![card], ..defaults }
}

fn timing(choices: &mut Choices) -> Timing {
    let mut some = |days: usize| DurationMs::hours([0, 0, choices.below(days * 24) as i64][choices.below(3)]);
    Timing { hold: some(4), keep_firing: some(9), renotify: some(30) }
}

fn config(choices: &mut Choices) -> Arc<EngineConfig> {
    let mut config = EngineConfig { limits: tight(), ..EngineConfig::default() };
    if choices.below(2) == 0 {
        config.scoring = everything(choices);
    }
    if choices.below(2) == 0 {
        let Rules { usage_drop, inactivity, late_payment, ticket_backlog, sla_breach, low_nps, .. } =
            &mut config.rules;
        usage_drop.timing = timing(choices);
        inactivity.timing = timing(choices);
        late_payment.timing = timing(choices);
        ticket_backlog.timing = timing(choices);
        ticket_backlog.min_tickets = 1;
        sla_breach.timing = timing(choices);
        low_nps.timing = timing(choices);
        low_nps.min_answers = 1;
        let Rules { detractor, champion_departed, renewal_at_risk, score_drop, band_change, .. } =
            &mut config.rules;
        detractor.timing = timing(choices);
        champion_departed.timing = timing(choices);
        renewal_at_risk.timing = timing(choices);
        score_drop.timing = timing(choices);
        band_change.timing = timing(choices);
    }
    Arc::new(config)
}

/// Everything that goes out, as bytes.
fn bytes(effects: Effects) -> Vec<String> {
    let scores = effects
        .scores
        .iter()
        .map(|score| format!("{} {:?}", serde_json::to_string(&score.record).unwrap(), score.decisions));
    let risks = effects.risks.iter().map(|risk| serde_json::to_string(risk).unwrap());
    scores.chain(risks).collect()
}

/// Runs a shard as a worker does: the clock up to `most` days behind the events, commits now and
/// then, at most one score a second and account.
fn run(mut shard: Shard, lines: &[Line], most: i64, mut choices: Choices) -> (Vec<String>, Shard) {
    let mut told = Vec::new();
    for line in lines {
        let behind_ms = choices.below(most as usize * 24 + 1) as i64 * HOUR_MS;
        shard.advance(line.at_ms - 1 - behind_ms, usize::MAX);
        shard.apply(Input(line.input), &line.event()).unwrap();
        match choices.below(4) {
            0 => told.extend(bytes(shard.drain_all())),
            1 => told.extend(bytes(shard.drain(line.at_ms / 1000 * 1000))),
            2 => told.extend(shard.account(&line.account).map(|state| format!("{state:?}"))),
            _ => {}
        }
    }
    let mut to_ms = shard.clock_ms().unwrap();
    while to_ms < START_MS + (DAYS + 200) * DAY_MS {
        to_ms += (1 + choices.below(40 * 24) as i64) * HOUR_MS;
        let most = 1 + choices.below(3);
        while shard.advance(to_ms, most) < to_ms {
            told.extend(bytes(undated(shard.drain_all())));
        }
        told.extend(bytes(undated(shard.drain_all())));
    }
    (told, shard)
}

/// A full commit stops the clock before the next deadline, so how far scores are up to date depends
/// on which deadlines there are.
fn undated(mut effects: Effects) -> Effects {
    for score in &mut effects.scores {
        score.record.as_of = 0;
        score.record.contributions.iter_mut().for_each(|line| line.value = None);
    }
    effects
}

/// Asserts equality, and shows the first difference only.
fn same(quiet: (Vec<String>, Shard), daily: (Vec<String>, Shard)) -> Result<(), TestCaseError> {
    for (told, told_daily) in quiet.0.iter().zip(&daily.0) {
        prop_assert_eq!(told, told_daily);
    }
    prop_assert_eq!(quiet.0.len(), daily.0.len());
    prop_assert!(pages(&quiet.1) == pages(&daily.1), "pages differ");
    Ok(())
}

fn view_at<'a>(today: Day, facts: &'a Facts, decisions: &'a Decisions, tally: &'a Tally) -> View<'a> {
    let (calendar, jitter_ms) = (Calendar::default(), day_turn_jitter_ms("a"));
    let at_ms = calendar.start_of(today) + jitter_ms;
    let (score, moment) = (ScoreNow::default(), Moment { at_ms, today, known_until_ms: None });
    View { facts, decisions, score, moment, calendar, jitter_ms, tally }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn days_passed_over_change_nothing(seeds in seedlings(24), most in 0_i64..80, choice in any::<u64>()) {
        let lines = history(&seeds);
        let config = config(&mut Choices(choice));
        let one = || Shard::new(config.clone(), ShardId { partition: 0, partitions: 1 });
        let run = |shard| run(shard, &lines, most / 8, Choices(choice));
        same(run(one()), run(one().looking_daily()))?;
    }

    /// Where accounts lie in memory changes nothing.
    #[test]
    fn packing_changes_nothing(seeds in seedlings(24), most in 0_i64..20, choice in any::<u64>()) {
        let lines = history(&seeds);
        let config = config(&mut Choices(choice));
        let one = || Shard::new(config.clone(), ShardId { partition: 0, partitions: 1 });
        let run = |shard| run(shard, &lines, most, Choices(choice));
        let packing = run(one().with_unpacked_bytes(1));
        let open = run(one());
        prop_assert_eq!(packing.1.stats(), open.1.stats());
        same(packing, open)?;
    }

    /// Recovery arms accounts anew, at any moment of a quiet time.
    #[test]
    fn a_restored_shard_passes_over_the_same_days(seeds in seedlings(24), hours in 0_i64..2000) {
        let lines = history(&seeds);
        let mut live = shard().looking_daily();
        for line in &lines {
            super::history::apply(&mut live, line);
            live.drain_all();
        }
        live.advance(live.clock_ms().unwrap() + hours * HOUR_MS, usize::MAX);
        live.drain_all();
        let restored = |mut shard: Shard| {
            for (number, bytes) in pages(&live).iter().enumerate() {
                shard.load_page(accountpulse::engine::PageId(number as u8), bytes).unwrap();
            }
            shard.finish_restore(live.clock_ms());
            run(shard, &[], 0, Choices(hours as u64))
        };
        same(restored(shard()), restored(shard().looking_daily()))?;
    }

    #[test]
    fn features_go_on_as_forecast(seeds in seedlings(40), day in 0..DAYS + 100, ahead in 0_i64..90) {
        let mut facts = Facts::default();
        let at_ms = START_MS + day * DAY_MS;
        // Some of what is known may lie ahead of the day.
        let known = history(&seeds).into_iter().filter(|line| line.at_ms < at_ms + ahead / 30 * 9 * DAY_MS);
        for line in known.filter(|line| line.account != "acct-2") {
            facts.merge(line.input, &line.event(), Calendar::default(), &tight());
        }
        let (calendar, tally, decisions) = (Calendar::default(), Tally::default(), Decisions::default());
        let today = calendar.day_of(at_ms);
        let now = view_at(today, &facts, &decisions, &tally);
        // Instants of their own end a forecast.
        let due = facts.invoices.iter().filter(|i| i.value.status == InvoiceStatus::Open);
        let instants = facts.tickets.iter().flat_map(|t| promises(&now, &t.value)).flatten();
        let instants = instants.chain(due.map(|i| i.value.due_at_ms)).filter(|&ms| ms > now.moment.at_ms);
        let end = instants.map(|ms| calendar.day_of(ms)).min().unwrap_or(today.plus(500)).min(today.plus(500));
        for def in CATALOGUE {
            let (value, forecast) = (def.id.value(&now), def.id.forecast(&now));
            prop_assert!(forecast.until > today && forecast.present_until >= forecast.until, "{}", def.name);
            for day in (today.0 + 1..end.0).map(Day) {
                let tally = Tally::default();
                let then = def.id.value(&view_at(day, &facts, &decisions, &tally));
                if day < forecast.until {
                    let expected = value.map(|value| value + forecast.step * i64::from(day.since(today)));
                    prop_assert_eq!(then, expected, "{} on {:?}, today {:?}", def.name, day, today);
                }
                if day < forecast.present_until {
                    prop_assert_eq!(then.is_some(), value.is_some(), "{} on {:?}", def.name, day);
                }
            }
        }
    }
}
