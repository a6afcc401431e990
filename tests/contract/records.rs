//! Records to try things on: everything the stories lead to, and generated ones with every field
//! at its extremes.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use accountpulse::engine::account::{Band, Phase};
use accountpulse::engine::event::PersonKey;
use accountpulse::engine::record::{
    Change, Contribution, LineWords, Money, Previous, RiskSummary, RiskTransition, ScoreRecord,
};
use accountpulse::engine::replay::{Refused, Replay, ReplayOptions, ReplaySink};
use accountpulse::engine::risk::Transition;
use accountpulse::engine::rule::{Evidence, Item, Number, Severity};
use accountpulse::engine::score::CoverageClass;
use accountpulse::engine::{Effects, EngineConfig, ScoreOutput};
use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/stories")
}

/// Names of all stories, ascending.
pub fn stories() -> Vec<String> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name());
    let names = entries.filter_map(|file| Some(file.to_str()?.strip_suffix(".jsonl")?.to_owned()));
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert!(names.len() > 15, "{names:?}");
    names
}

/// The events of a story, one JSON object each.
pub fn events(story: &str) -> Vec<Vec<u8>> {
    let text = fs::read_to_string(folder().join(format!("{story}.jsonl"))).unwrap();
    text.lines().map(|line| line.as_bytes().to_vec()).collect()
}

/// Where the clock of a story ends.
pub fn until_ms(story: &str) -> i64 {
    let text = fs::read_to_string(folder().join(format!("{story}.expected.yaml"))).unwrap();
    let until = text.lines().find_map(|line| line.strip_prefix("until: ")).unwrap();
    until.parse::<Timestamp>().unwrap().as_millisecond()
}

/// What was told, in order.
#[derive(Default)]
pub struct Told {
    pub scores: Vec<ScoreOutput>,
    pub risks: Vec<RiskTransition>,
}

impl ReplaySink for Told {
    fn effects(&mut self, effects: Effects) {
        self.scores.extend(effects.scores);
        self.risks.extend(effects.risks);
    }
    fn refused(&mut self, _: Refused) {}
}

/// What a story leads to.
pub fn told(story: &str) -> Told {
    replay(events(story), until_ms(story), 1)
}

/// Runs events as `accountpulse replay` does.
pub fn replay(events: Vec<Vec<u8>>, until_ms: i64, partitions: u32) -> Told {
    let options = ReplayOptions {
        config: Arc::new(EngineConfig::default()),
        person_key: PersonKey::new([7; 16]),
        partitions,
        lateness_ms: 0,
        until_ms: Some(until_ms),
    };
    let mut told = Told::default();
    Replay::new(options, vec![events.into_iter()]).run(&mut told);
    told
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "[a-z_.]{1,12}",
        "\\PC{0,20}",
        "[\\x00-\\x7f]{0,8}",
        "[가-힣\"\\\\]{1,9}"
    ]
}

/// Instants that RFC 3339 can write, with and without a fraction.
fn instant() -> impl Strategy<Value = i64> {
    let seconds = (1_700_000_000_i64..1_800_000_000).prop_map(|seconds| seconds * 1000);
    prop_oneof![Just(0), -62_135_596_800_000_i64..253_402_300_799_999, seconds]
}

fn hundredths() -> impl Strategy<Value = i16> {
    0_i16..=10_000
}

fn band() -> impl Strategy<Value = Band> {
    prop::sample::select(&Band::ALL[..])
}

fn severity() -> impl Strategy<Value = Severity> {
    prop::sample::select(&Severity::ALL[..])
}

prop_compose! {
    fn contribution()(
        line in text(), group in text(), value in of(any::<i64>()), unit in of(text()),
        points_hundredths in of(hundredths()), weight_ppm in any::<u32>(), share in any::<i16>(),
    ) -> Contribution<'static> {
        let words = Cow::Owned(LineWords::new(&line, &group, unit.as_deref()));
        Contribution { words, value, points_hundredths, weight_ppm, contribution_hundredths: share }
    }
}

prop_compose! {
    fn summary()(
        id in text(), rule in text(), phase in prop::sample::select(vec![Phase::Pending, Phase::Firing]),
        severity in severity(), began_at in instant(),
    ) -> RiskSummary {
        RiskSummary { id, rule: rule.into(), phase, severity, began_at }
    }
}

prop_compose! {
    /// Any score record.
    pub fn score()(
        (account_id, account_name, scorecard, config_version) in (text(), of(text()), text(), text()),
        (v, score, score_hundredths, band_now) in (any::<u8>(), of(any::<u8>()), of(hundredths()), of(band())),
        coverage in prop::sample::select(
            vec![CoverageClass::Unknown, CoverageClass::Partial, CoverageClass::Full]),
        coverage_basis_points in any::<u16>(),
        contributions in vec(contribution(), 0..4),
        absent in vec(text(), 0..3),
        previous in of((of(hundredths()), of(band()))),
        changes in vec((text(), any::<i16>()), 0..3),
        causes in vec(text(), 0..3),
        risks in vec(summary(), 0..3),
        as_of in instant(),
    ) -> ScoreRecord<'static> {
        let previous = previous.map(|(score_hundredths, band)| Previous { score_hundredths, band });
        let change = |(line, delta_hundredths): (String, i16)| Change { line: line.into(), delta_hundredths };
        ScoreRecord {
            v, account_id: account_id.into(), account_name: account_name.map(Into::into), score,
            score_hundredths, band: band_now, coverage_basis_points, coverage,
            scorecard: scorecard.into(), contributions, absent: absent.into_iter().map(Into::into).collect(),
            previous, changes: changes.into_iter().map(change).collect(), causes, risks, as_of,
            config_version: config_version.into(),
        }
    }
}

prop_compose! {
    fn evidence()(
        numbers in vec((text(), text(), of(any::<i64>()), of(any::<i64>())), 0..3),
        items in vec((text(), text(), text(), text()), 0..3),
    ) -> Evidence {
        let number = |(name, unit, now, before): (String, String, _, _)| {
            Number { name: name.into(), unit: unit.into(), now, before }
        };
        let item = |(kind, id, event_id, detail): (String, String, String, String)| {
            Item { kind: kind.into(), id, event_id, detail }
        };
        Evidence {
            what: String::new(),
            numbers: numbers.into_iter().map(number).collect(),
            items: items.into_iter().map(item).collect(),
        }
    }
}

prop_compose! {
    /// Any risk transition.
    pub fn risk()(
        (id, account_id, account_name, config_version) in (text(), text(), of(text()), text()),
        (rule, title, what, play) in (text(), text(), text(), text()),
        transition in prop::sample::select(&Transition::ALL[..]),
        (v, transition_seq, severity, backfill) in (any::<u8>(), any::<u32>(), severity(), any::<bool>()),
        (began_at_ms, fired_at_ms, at_ms) in (instant(), instant(), instant()),
        evidence in evidence(),
        (caused_by, owner) in (of(text()), of(text())),
        (score_hundredths, band, coverage_basis_points) in (of(hundredths()), of(band()), any::<u16>()),
        money in of((any::<i64>(), text())),
    ) -> RiskTransition {
        RiskTransition {
            v, id, account_id, account_name, rule: rule.into(), title: title.into(), transition,
            transition_seq, severity, began_at_ms, fired_at_ms, at_ms, backfill, what, evidence, caused_by,
            score_hundredths, band, coverage_basis_points,
            money_at_stake: money.map(|(annual_minor, currency)| Money { annual_minor, currency }),
            owner, play: play.into(), config_version,
        }
    }
}
