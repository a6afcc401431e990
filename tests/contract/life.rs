//! The life of a risk as the document draws it, followed by a reader that knows nothing else: over
//! the stories, and over generated histories with late events and corrections.

use std::collections::{BTreeMap, BTreeSet};

use accountpulse::engine::record::RiskTransition;
use accountpulse::engine::risk::Transition;
use accountpulse::engine::rule::Severity;
use accountpulse::engine::{Effects, Shard};
use proptest::prelude::*;

use super::history::{DAY_MS, DAYS, START_MS, apply, history, seedlings, shard};
use super::records::{stories, told};

/// What a reader keeps of one rule on one account.
#[derive(Debug)]
struct Kept {
    last: RiskTransition,
}

impl Kept {
    fn is_open(&self) -> bool {
        !matches!(self.last.transition, Transition::Resolved | Transition::Retracted)
    }
}

#[derive(Debug, Default)]
struct Reader {
    kept: BTreeMap<(String, String), Kept>,
    /// Which episode an id names.
    episodes: BTreeMap<String, (String, String, i64)>,
    seen: BTreeSet<&'static str>,
}

impl Reader {
    fn take(&mut self, risk: RiskTransition) {
        let key = (risk.account_id.clone(), risk.rule.to_string());
        let episode = (key.0.clone(), key.1.clone(), risk.began_at_ms);
        let known = self.episodes.entry(risk.id.clone()).or_insert_with(|| episode.clone());
        assert_eq!(*known, episode, "an id names account, rule and beginning");
        let before = self.kept.get(&key);
        let number = before.map_or(0, |kept| kept.last.transition_seq) + 1;
        assert_eq!(risk.transition_seq, number, "numbers have no gap: {risk:?}");
        match before.filter(|kept| kept.is_open()) {
            None => {
                assert_eq!(risk.transition, Transition::Started, "{risk:?}");
                assert_eq!(risk.fired_at_ms, risk.at_ms);
            }
            Some(Kept { last }) => {
                assert_ne!(risk.transition, Transition::Started, "{risk:?}");
                assert_eq!((&risk.id, risk.fired_at_ms), (&last.id, last.fired_at_ms));
                assert!(risk.at_ms >= last.at_ms, "{risk:?}");
                let rose = risk.severity > last.severity;
                assert_eq!(rose, risk.transition == Transition::SeverityRaised, "{risk:?}");
                assert!(risk.severity >= last.severity);
            }
        }
        self.seen.insert(risk.transition.name());
        self.kept.insert(key, Kept { last: risk });
    }

    /// The risks of an account that fire now, as the transitions tell.
    fn firing(&self, account: &str) -> BTreeSet<(String, Severity)> {
        let own = self.kept.iter().filter(|((of, _), kept)| of == account && kept.is_open());
        own.map(|(_, kept)| (kept.last.id.clone(), kept.last.severity)).collect()
    }

    /// One commit: transitions and scores that become visible together.
    fn commit(&mut self, effects: Effects) {
        let told: BTreeSet<String> = effects.risks.iter().map(|risk| risk.account_id.clone()).collect();
        effects.risks.into_iter().for_each(|risk| self.take(risk));
        for score in &effects.scores {
            let risks = serde_json::to_value(&score.record.risks).unwrap();
            let firing = score.record.risks.iter().zip(risks.as_array().unwrap());
            let firing = firing.filter(|(_, json)| json["phase"] == "firing");
            let firing = firing.map(|(risk, _)| (risk.id.clone(), risk.severity)).collect::<BTreeSet<_>>();
            assert_eq!(firing, self.firing(&score.account), "score and transitions agree");
        }
        let with_score: BTreeSet<String> = effects.scores.into_iter().map(|score| score.account).collect();
        assert!(told.is_subset(&with_score), "a transition comes with a score record of its account");
    }
}

/// After the longest history, so that time can pass for everybody.
const END_MS: i64 = START_MS + (DAYS + 100) * DAY_MS;

fn follow(shard: &mut Shard, seeds: &[super::history::Seedling]) -> Reader {
    let mut reader = Reader::default();
    for line in history(seeds) {
        apply(shard, &line);
        reader.commit(shard.drain_all());
    }
    shard.advance(END_MS, usize::MAX);
    reader.commit(shard.drain_all());
    reader
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_risk_lives_as_the_document_draws_it(seeds in seedlings(40)) {
        follow(&mut shard(), &seeds);
    }
}

#[test]
fn the_stories_show_every_transition_but_amended() {
    let mut reader = Reader::default();
    for story in stories().iter().filter(|story| *story != super::topics::REPEATED) {
        told(story).risks.into_iter().for_each(|risk| reader.take(risk));
    }
    let shown = ["renotified", "resolved", "retracted", "severity_raised", "started"];
    assert_eq!(reader.seen, BTreeSet::from(shown));
}
