//! What a reader may rely on whatever the program looked at when: the life of a risk as
//! `docs/contract.md` draws it, and scores that agree with the transitions told.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::process::oracle::Told;
use crate::readers::{Risk, Seen};

const SEVERITIES: [&str; 4] = ["low", "medium", "high", "critical"];
/// Scores (hundredths) from which a band is entered, and below which it is left.
const HEALTHY: (i64, i64) = (7500, 7000);
/// Scores below which a band is entered, and from which it is left.
const AT_RISK: (i64, i64) = (4500, 5000);

/// An account and a rule.
type Subject = (String, String);

fn subject(risk: &Risk) -> Subject {
    (risk.text("account_id").to_owned(), risk.text("rule").to_owned())
}

fn ms(text: &str) -> i64 {
    text.parse::<jiff::Timestamp>().unwrap().as_millisecond()
}

fn is_open(risk: &Risk) -> bool {
    !["resolved", "retracted"].contains(&risk.text("transition"))
}

fn severity(risk: &Risk) -> usize {
    SEVERITIES.iter().position(|name| *name == risk.text("severity")).unwrap()
}

/// Every rule on every account lives as it is drawn there, and no deadline is told before it is over.
pub fn assert_lives(seen: &Seen) {
    let mut last: BTreeMap<Subject, &Risk> = BTreeMap::new();
    let mut episodes: BTreeMap<&str, (Subject, &str)> = BTreeMap::new();
    for risk in &seen.risks {
        let episode = (subject(risk), risk.text("began_at"));
        let known = episodes.entry(risk.text("id")).or_insert_with(|| episode.clone());
        assert_eq!(*known, episode, "an id names account, rule and beginning");
        if risk.value["caused_by"].is_null() {
            assert!(ms(risk.text("at")) <= risk.timestamp_ms, "told before it was over: {risk:?}");
        }
        let before = last.insert(subject(risk), risk);
        let number = before.map_or(0, |before| before.value["transition_seq"].as_u64().unwrap()) + 1;
        assert_eq!(risk.value["transition_seq"], number, "numbers have no gap: {risk:?}");
        let started = risk.text("transition") == "started";
        let Some(open) = before.filter(|before| is_open(before)) else {
            assert!(started, "what is over begins with a start: {risk:?}");
            assert_eq!(risk.text("fired_at"), risk.text("at"));
            continue;
        };
        assert!(!started, "it fires already: {risk:?} after {open:?}");
        assert_eq!((risk.text("id"), risk.text("fired_at")), (open.text("id"), open.text("fired_at")));
        assert!(ms(risk.text("at")) >= ms(open.text("at")), "{risk:?} after {open:?}");
        let rose = severity(risk) > severity(open);
        assert_eq!(rose, risk.text("transition") == "severity_raised", "{risk:?} after {open:?}");
        assert!(severity(risk) >= severity(open), "{risk:?} after {open:?}");
    }
}

/// What fires according to the last scores is what the transitions left open, and every band fits
/// its score.
pub fn assert_scores_agree(seen: &Seen) {
    let mut open: BTreeMap<&str, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut last: BTreeMap<Subject, &Risk> = BTreeMap::new();
    for risk in &seen.risks {
        last.insert(subject(risk), risk);
    }
    for risk in last.into_values().filter(|risk| is_open(risk)) {
        let fires = (risk.text("id").to_owned(), risk.text("severity").to_owned());
        open.entry(risk.text("account_id")).or_default().insert(fires);
    }
    for (account, score) in &seen.scores {
        let text = |risk: &Value, field: &str| risk[field].as_str().unwrap().to_owned();
        let risks = score["risks"].as_array().unwrap().iter();
        let firing = risks.filter(|risk| risk["phase"] == "firing");
        let firing = firing.map(|risk| (text(risk, "id"), text(risk, "severity"))).collect();
        assert_eq!(open.remove(account.as_str()).unwrap_or_default(), firing, "{account}");
        let bands: &[&str] = match score["score_hundredths"].as_i64() {
            None => &[],
            Some(score) if score >= HEALTHY.0 => &["healthy"],
            Some(score) if score >= HEALTHY.1 => &["healthy", "watch"],
            Some(score) if score >= AT_RISK.1 => &["watch"],
            Some(score) if score >= AT_RISK.0 => &["watch", "at_risk"],
            Some(_) => &["at_risk"],
        };
        match score["band"].as_str() {
            None => assert!(bands.is_empty(), "{account}: {score}"),
            Some(band) => assert!(bands.contains(&band), "{account}: {score}"),
        }
    }
    assert!(open.is_empty(), "risks of accounts without a score record: {open:?}");
}

/// Accounts and rules with a risk that fires, of rules that do not depend on what was decided before.
pub fn firing(told: &Told, rules: &[&str]) -> BTreeSet<Subject> {
    let mut last: BTreeMap<Subject, bool> = BTreeMap::new();
    for (account, identities) in &told.order {
        for identity in identities {
            let risk = &told.risks[identity];
            let rule = risk["rule"].as_str().unwrap();
            let over = ["resolved", "retracted"].contains(&risk["transition"].as_str().unwrap());
            last.insert((account.clone(), rule.to_owned()), !over);
        }
    }
    let chosen = last.into_iter().filter(|((_, rule), open)| *open && rules.contains(&rule.as_str()));
    chosen.map(|(subject, _)| subject).collect()
}
