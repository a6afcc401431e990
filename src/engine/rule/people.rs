//! People: what they said, and whether the ones who matter are still there.

use super::{Condition, Evidence, Item, MAX_ITEMS, RuleDef, Rules, Severity, never, number};
use crate::engine::account::{Entry, SurveyFact};
use crate::engine::event::ContactStatus;
use crate::engine::feature::{FeatureId, Touch, View, answers_until, champion_gap, detractors, nps_answers};

pub(super) const LOW_NPS: RuleDef = RuleDef {
    key: "low_nps",
    title: "sentiment is low",
    definition: "the net promoter score of the last 180 days is below 0 with at least 5 answers",
    play: "read the answers, call three of the people, and answer them all with what will change",
    reads: Touch::SURVEYS.or(Touch::TIME),
    can_look_back: |_| true,
    settings: |rules| (rules.low_nps.enabled, rules.low_nps.timing),
    condition: nps_condition,
    quiet_until: |view, _, _| answers_until(view),
    evidence: nps_evidence,
};

fn nps_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.low_nps;
    let Some(nps) = FeatureId::Nps.value(view).filter(|&nps| nps < i64::from(settings.clear_at)) else {
        return Condition::Clear;
    };
    // Too few answers left: the evidence has expired.
    if nps_answers(view).count() < settings.min_answers as usize {
        return Condition::Clear;
    }
    match nps_answers(view).map(|(answer, _)| answer.stamp.at_ms).max() {
        Some(began_ms) if nps < i64::from(settings.below) => {
            Condition::Met { began_ms, severity: settings.severity }
        }
        _ => Condition::Between,
    }
}

fn answer_item((answer, score): &(&Entry<Box<str>, SurveyFact>, u8)) -> Item {
    Item {
        kind: "survey".into(),
        id: answer.key.to_string(),
        event_id: answer.stamp.event_id.to_string(),
        detail: format!("NPS answer {score}"),
    }
}

fn nps_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let mut low: Vec<_> = nps_answers(view).filter(|(_, score)| *score <= 6).collect();
    low.sort_by(|a, b| (b.0.stamp.at_ms, &b.0.key).cmp(&(a.0.stamp.at_ms, &a.0.key)));
    Evidence {
        what: format!(
            "net promoter score {} over {} answers of the last 180 days",
            FeatureId::Nps.value(view).unwrap_or(0),
            nps_answers(view).count()
        ),
        numbers: vec![number(view, FeatureId::Nps), number(view, FeatureId::NpsAnswers)],
        items: low.iter().take(MAX_ITEMS).map(answer_item).collect(),
    }
}

pub(super) const DETRACTOR: RuleDef = RuleDef {
    key: "detractor",
    title: "somebody is unhappy",
    definition: "the newest NPS answer of a respondent in the last 90 days is 6 or less; high at 3 or less",
    play: "call within two days, listen, and come back with one thing that is fixed",
    reads: Touch::SURVEYS.or(Touch::TIME),
    can_look_back: |_| true,
    settings: |rules| (rules.detractor.enabled, rules.detractor.timing),
    condition: detractor_condition,
    quiet_until: |view, _, _| answers_until(view),
    evidence: detractor_evidence,
};

fn detractor_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.detractor;
    let found = detractors(view).into_iter().map(|(answer, score)| (answer.stamp.at_ms, score));
    let earliest_and_lowest = |a: (i64, u8), b: (i64, u8)| (a.0.min(b.0), a.1.min(b.1));
    match found.reduce(earliest_and_lowest) {
        Some((began_ms, lowest)) => {
            let severity = if lowest <= settings.high_at { Severity::High } else { settings.severity };
            Condition::Met { began_ms, severity }
        }
        None => Condition::Clear,
    }
}

fn detractor_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let found = detractors(view);
    let lowest = found.iter().map(|(_, score)| *score).min().unwrap_or(0);
    let who = if found.len() == 1 { "respondent" } else { "respondents" };
    Evidence {
        what: format!("{} {who} answered 6 or less in the last 90 days, the lowest {lowest}", found.len()),
        numbers: vec![number(view, FeatureId::Detractors)],
        items: found.iter().take(MAX_ITEMS).map(answer_item).collect(),
    }
}

pub(super) const CHAMPION_DEPARTED: RuleDef = RuleDef {
    key: "champion_departed",
    title: "the champion is gone",
    definition: "a champion left or moved to another team, and no other active champion is known",
    play: "ask for an introduction to the successor, and start the relationship again within the week",
    reads: Touch::CONTACTS,
    can_look_back: |_| true,
    settings: |rules| (rules.champion_departed.enabled, rules.champion_departed.timing),
    condition: champion_condition,
    quiet_until: never,
    evidence: champion_evidence,
};

fn champion_condition(view: &View<'_>, rules: &Rules) -> Condition {
    match champion_gap(view) {
        Some(contact) => {
            Condition::Met { began_ms: contact.stamp.at_ms, severity: rules.champion_departed.severity }
        }
        None => Condition::Clear,
    }
}

fn champion_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let Some(contact) = champion_gap(view) else { return Evidence::default() };
    let went = match contact.value.status {
        ContactStatus::Moved => "moved to another team",
        ContactStatus::Left | ContactStatus::Active => "left the company",
    };
    Evidence {
        what: format!("the champion {went}, and no other active champion is known"),
        numbers: vec![number(view, FeatureId::Champions)],
        items: vec![Item {
            kind: "contact".into(),
            id: contact.key.to_string(),
            event_id: contact.stamp.event_id.to_string(),
            detail: went.to_owned(),
        }],
    }
}
