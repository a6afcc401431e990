//! The laws of the engine, as properties over generated 500-day histories, past limits and
//! horizons. Each runs at least a thousand cases; `PROPTEST_CASES` raises that.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

#[path = "laws/history.rs"]
mod history;
#[path = "laws/lag.rs"]
mod lag;
#[path = "laws/quiet.rs"]
mod quiet;

use accountpulse::engine::account::{Facts, Phase};
use accountpulse::engine::record::RiskTransition;
use accountpulse::engine::replay::{Refused, Replay, ReplayOptions, ReplaySink};
use accountpulse::engine::rule::Severity;
use accountpulse::engine::score::CoverageClass;
use accountpulse::engine::time::Calendar;
use accountpulse::engine::{Effects, Input, Shard, ShardStats, Verdict};
use history::{
    DAY_MS, DAYS, HOUR_MS, KEY, Line, START_MS, apply, config, history, pages, seedlings, shard, tight,
};
use proptest::prelude::*;
use std::collections::BTreeMap;

const CASES: u32 = 1000;
/// After the longest burst, so that time can pass for everybody.
const END_MS: i64 = START_MS + (DAYS + 100) * DAY_MS;

fn cases() -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(0).max(CASES),
        max_shrink_iters: 2000,
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

/// A small deterministic source of choices for shuffles.
struct Choices(u64);

impl Choices {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

type Facet = BTreeMap<String, Facts>;

fn merge(facts: &mut Facet, line: &Line) -> Verdict {
    let event = line.event();
    let facts = facts.entry(line.account.clone()).or_default();
    facts.merge(line.input, &event, Calendar::default(), &tight()).verdict
}

/// Another order of the same lines in which no count is late: among counts of one account, kind
/// and input a line may only be taken while nothing older than the horizon is left behind.
fn reorder(lines: &[Line], choices: &mut Choices) -> Vec<Line> {
    let horizon_ms = tight().duplicate_horizon.0;
    let group = |line: &Line| {
        let event = line.event();
        (event.kind() as u8 <= 1).then(|| (line.account.clone(), event.kind() as u8, line.input))
    };
    let mut left: Vec<(Line, _)> = lines.iter().map(|line| (line.clone(), group(line))).collect();
    let mut out = Vec::new();
    while !left.is_empty() {
        let mut index = choices.below(left.len());
        loop {
            let (line, key) = &left[index];
            let behind = left.iter().enumerate().filter(|(_, (other, other_key))| {
                key.is_some() && other_key == key && other.at_ms < line.at_ms - horizon_ms
            });
            match behind.map(|(i, _)| i).next() {
                Some(older) => index = older,
                None => break,
            }
        }
        out.push(left.remove(index).0);
    }
    out
}

/// Everything a shard told, readable and comparable.
#[derive(Debug, Default, PartialEq)]
struct Told {
    risks: Vec<String>,
    scores: Vec<(String, Option<i16>)>,
}

impl Told {
    fn take(&mut self, effects: Effects) {
        self.risks.extend(effects.risks.iter().map(brief));
        self.scores
            .extend(effects.scores.into_iter().map(|score| (score.account, score.record.score_hundredths)));
    }
}

fn brief(risk: &RiskTransition) -> String {
    let RiskTransition { account_id, rule, transition, transition_seq, severity, at_ms, id, .. } = risk;
    let at = accountpulse::engine::time::rfc3339(*at_ms);
    format!("{account_id} {rule} {} #{transition_seq} {} {at} {id}", transition.name(), severity.name())
}

fn run(shard: &mut Shard, lines: &[Line]) -> Told {
    let mut told = Told::default();
    for line in lines {
        apply(shard, line);
        told.take(shard.drain_all());
    }
    shard.advance(END_MS, usize::MAX);
    told.take(shard.drain_all());
    told
}

proptest! {
    #![proptest_config(cases())]

    /// Facts are a function of the set of events, for every order in which none is late;
    /// duplicates, however old, change nothing.
    #[test]
    fn order_and_duplicates_change_nothing(seeds in seedlings(40), choice in any::<u64>()) {
        let lines = history(&seeds);
        let mut choices = Choices(choice);
        let mut straight = Facet::new();
        for line in &lines {
            prop_assert_ne!(merge(&mut straight, line), Verdict::Late);
        }
        let mut shuffled = Facet::new();
        let mut seen: Vec<Line> = Vec::new();
        for line in reorder(&lines, &mut choices) {
            prop_assert_ne!(merge(&mut shuffled, &line), Verdict::Late);
            seen.push(line);
            let before = shuffled.clone();
            let again = &seen[choices.below(seen.len())];
            let verdict = merge(&mut shuffled, again);
            prop_assert_ne!(verdict, Verdict::Applied, "{}", again.json);
            prop_assert_eq!(&shuffled, &before, "{}", again.json);
        }
        prop_assert_eq!(&shuffled, &straight);
    }

    /// Evaluating only what an event can have changed gives what evaluating everything gives.
    #[test]
    fn incremental_equals_full(seeds in seedlings(24)) {
        let lines = history(&seeds);
        let (mut incremental, mut full) = (shard(), shard());
        let (mut told, mut told_full) = (Told::default(), Told::default());
        for line in &lines {
            apply(&mut incremental, line);
            told.take(incremental.drain_all());
            full.advance(line.at_ms - 1, usize::MAX);
            full.apply(Input(line.input), &line.event()).unwrap();
            let risks = full.audit();
            told_full.take(Effects { risks, ..Effects::default() });
            told_full.take(full.drain_all());
        }
        prop_assert_eq!(told, told_full);
        prop_assert_eq!(pages(&incremental), pages(&full));
    }

    /// Pages of an earlier commit, the muted replay of what came since and the journal give the
    /// live shard, and both go on alike.
    #[test]
    fn restored_equals_live(seeds in seedlings(24), choice in any::<u64>()) {
        let lines = history(&seeds);
        let mut choices = Choices(choice);
        let paged = choices.below(lines.len());
        let crashed = paged + choices.below(lines.len() - paged + 1);
        let mut live = shard();
        run_until(&mut live, &lines[..paged]);
        let saved = pages(&live);
        let covered = live.covered_now();
        for page in live.take_dirty() {
            live.page_covered(page, covered);
        }
        let mut journal = Vec::new();
        for line in &lines[paged..crashed] {
            apply(&mut live, line);
            journal.extend(live.drain_all().scores);
        }
        let mut restored = shard();
        for (number, bytes) in saved.iter().enumerate() {
            restored.load_page(accountpulse::engine::PageId(number as u8), bytes).unwrap();
        }
        for line in &lines[paged..crashed] {
            restored.replay_fact(Input(line.input), &line.event()).unwrap();
        }
        for score in &journal {
            restored.apply_journal(&score.account, Some(&score.decisions)).unwrap();
        }
        restored.finish_restore(live.clock_ms());
        prop_assert_eq!(pages(&restored), pages(&live));
        prop_assert_eq!(live.stats(), counted(&mut live));
        prop_assert_eq!(restored.stats(), counted(&mut restored));
        prop_assert_eq!(restored.audit().iter().map(brief).collect::<Vec<_>>(), Vec::<String>::new());
        let (went_on, went_on_live) = (run(&mut restored, &lines[crashed..]), run(&mut live, &lines[crashed..]));
        prop_assert_eq!(went_on.risks, went_on_live.risks);
        prop_assert_eq!(pages(&restored), pages(&live));
    }

    /// Contributions sum to the score, and changes of contributions to the change of the score.
    #[test]
    fn contributions_sum_to_the_score(seeds in seedlings(40)) {
        let mut shard = shard();
        for line in &history(&seeds) {
            apply(&mut shard, line);
            for score in shard.drain_all().scores {
                let record = score.record;
                let sum: i32 = record.contributions.iter().map(|c| i32::from(c.contribution_hundredths)).sum();
                let now = i32::from(record.score_hundredths.unwrap_or(0));
                prop_assert_eq!(sum, now);
                let before = record.previous.as_ref().and_then(|p| p.score_hundredths).unwrap_or(0);
                let moved: i32 = record.changes.iter().map(|c| i32::from(c.delta_hundredths)).sum();
                prop_assert_eq!(moved, now - i32::from(before));
                prop_assert!((0..=10_000).contains(&now));
                prop_assert_eq!(record.score_hundredths.is_none(), record.coverage == CoverageClass::Unknown);
            }
        }
    }

    /// Letting time pass in one step or in many tells the same, at the same instants.
    #[test]
    fn advance_in_one_step_equals_many(seeds in seedlings(24), hours in 1_i64..700, most in 1_usize..4) {
        let lines = history(&seeds);
        let (mut one, mut many) = (shard(), shard());
        run_until(&mut one, &lines);
        run_until(&mut many, &lines);
        let from = lines.last().map_or(START_MS, |line| line.at_ms);
        let (mut told, mut told_many) = (Told::default(), Told::default());
        one.advance(END_MS, usize::MAX);
        told.take(one.drain_all());
        let mut at_ms = from;
        while many.clock_ms() != Some(END_MS) {
            at_ms = (at_ms + hours * HOUR_MS).min(END_MS);
            // A full commit stops before the next deadline; the clock says how far it came.
            while many.advance(at_ms, most) < at_ms {
                told_many.take(many.drain_all());
            }
            told_many.take(many.drain_all());
        }
        prop_assert_eq!(sorted(told.risks), sorted(told_many.risks));
        prop_assert_eq!(strip_published(&mut one), strip_published(&mut many));
    }

    /// One account's input never changes another account.
    #[test]
    fn accounts_are_isolated(seeds in seedlings(24)) {
        let lines = history(&seeds);
        let alone: Vec<Line> = lines.iter().filter(|line| line.account == "acct-0").cloned().collect();
        prop_assume!(!alone.is_empty());
        let (mut together, mut apart) = (shard(), shard());
        // The clock is the shard's, so both see the same time pass.
        let mut told = Told::default();
        let mut told_apart = Told::default();
        for line in &lines {
            apply(&mut together, line);
            told.take(together.drain_all());
            apart.advance(line.at_ms - 1, usize::MAX);
            if line.account == "acct-0" {
                apart.apply(Input(line.input), &line.event()).unwrap();
            }
            told_apart.take(apart.drain_all());
        }
        told.risks.retain(|risk| risk.starts_with("acct-0 "));
        told.scores.retain(|(account, _)| account == "acct-0");
        prop_assert_eq!(told, told_apart);
        prop_assert_eq!(together.account("acct-0"), apart.account("acct-0"));
    }

    /// The same files twice give the same bytes, and how they are cut into files does not matter
    /// as long as each event stays in its topic.
    #[test]
    fn replay_twice_gives_the_same_bytes(seeds in seedlings(24), partitions in 1_u32..5) {
        let lines = history(&seeds);
        prop_assert_eq!(replay_bytes(&lines, partitions), replay_bytes(&lines, partitions));
    }

    /// Any bytes make a page or an error, never a panic, and a damaged page changes nothing.
    #[test]
    fn damaged_pages_are_refused(seeds in seedlings(16), cut in any::<usize>(), flip in any::<usize>(), bit in 0_u8..8) {
        let mut live = shard();
        run_until(&mut live, &history(&seeds));
        for (number, bytes) in pages(&live).iter().enumerate().filter(|(_, bytes)| bytes.len() > 2) {
            let page = accountpulse::engine::PageId(number as u8);
            prop_assert!(shard().load_page(page, &bytes[..cut % bytes.len()]).is_err());
            let mut flipped = bytes.clone();
            flipped[flip % bytes.len()] ^= 1 << bit;
            let mut target = shard();
            if target.load_page(page, &flipped).is_err() {
                prop_assert_eq!(target.accounts(), 0);
            }
        }
    }
}

/// The numbers of a shard, by looking at every account.
fn counted(shard: &mut Shard) -> ShardStats {
    let mut stats = shard.stats();
    (stats.by_band, stats.unknown) = ([0; 3], 0);
    stats.firing.iter_mut().for_each(|(_, _, count)| *count = 0);
    for id in shard.account_ids() {
        let state = shard.account(&id).expect("listed accounts exist");
        *state.band.map_or(&mut stats.unknown, |band| &mut stats.by_band[band as usize]) += 1;
        for risk in state.record.risks.iter().filter(|risk| risk.phase == Phase::Firing) {
            let known = |(rule, severity, _): &&mut (&str, Severity, u64)| {
                *rule == risk.rule && *severity == risk.severity
            };
            stats.firing.iter_mut().find(known).expect("every rule is listed").2 += 1;
        }
    }
    stats
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// What remains of the accounts when it does not matter which scores were published on the way.
fn strip_published(shard: &mut Shard) -> Vec<String> {
    let ids = shard.account_ids();
    ids.iter()
        .map(|id| {
            let state = shard.account(id).expect("listed accounts exist");
            format!(
                "{id} {:?} {} {:?} {:?}",
                state.score_hundredths, state.coverage_bp, state.band, state.record.risks
            )
        })
        .collect()
}

fn run_until(shard: &mut Shard, lines: &[Line]) {
    for line in lines {
        apply(shard, line);
        shard.drain_all();
    }
}

#[derive(Default)]
struct Bytes(Vec<u8>);

impl ReplaySink for Bytes {
    fn effects(&mut self, effects: Effects) {
        for score in effects.scores {
            serde_json::to_writer(&mut self.0, &score.record).unwrap();
        }
        for risk in effects.risks {
            serde_json::to_writer(&mut self.0, &risk).unwrap();
        }
    }

    fn refused(&mut self, refused: Refused) {
        self.0.extend(format!("{refused:?}").bytes());
    }
}

fn replay_bytes(lines: &[Line], partitions: u32) -> Vec<u8> {
    let mut topics: BTreeMap<u16, Vec<Vec<u8>>> = BTreeMap::new();
    for line in lines {
        topics.entry(line.input).or_default().push(line.json.clone().into_bytes());
    }
    let sources: Vec<_> = topics.into_values().map(Vec::into_iter).collect();
    let options = ReplayOptions {
        config: config(),
        person_key: KEY,
        partitions,
        lateness_ms: 0,
        until_ms: Some(END_MS),
    };
    let mut bytes = Bytes::default();
    let counts = Replay::new(options, sources).run(&mut bytes);
    assert_eq!(counts.read, lines.len() as u64);
    assert_eq!(counts.refused, 0);
    bytes.0
}
