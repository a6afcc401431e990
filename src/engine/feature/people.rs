//! Sentiment and relationship: what people said, and whether the ones who matter are still there.

use super::View;
use super::forecast::Forecast;
use crate::engine::account::{ContactFact, Entry, SurveyFact};
use crate::engine::event::{ContactRole, ContactStatus, SurveyType};
use crate::engine::time::Day;

/// Days an NPS answer counts towards the level.
const NPS_DAYS: i32 = 180;
/// Days a detractor's answer counts.
const DETRACTOR_DAYS: i32 = 90;

fn answers<'a>(view: &'a View<'_>, after: Day) -> impl Iterator<Item = Answer<'a>> {
    let from_ms = view.calendar.start_of(after.plus(1));
    let counts = move |s: &&Entry<Box<str>, SurveyFact>| is_answer(view, s, from_ms);
    view.facts.surveys.iter().filter(counts).filter_map(|s| s.value.score.map(|score| (s, score)))
}

fn is_answer(view: &View<'_>, s: &Entry<Box<str>, SurveyFact>, from_ms: i64) -> bool {
    s.value.survey == SurveyType::Nps && s.stamp.at_ms >= from_ms && view.known(s.stamp.at_ms)
}

/// The NPS answers of the last 180 days.
pub fn nps_answers<'a>(view: &'a View<'_>) -> impl Iterator<Item = Answer<'a>> {
    answers(view, view.today().minus(NPS_DAYS))
}

/// An NPS answer and its score.
type Answer<'a> = (&'a Entry<Box<str>, SurveyFact>, u8);

/// The order in which answers were given.
fn given<'a>((answer, _): Answer<'a>) -> (i64, &'a str) {
    (answer.stamp.at_ms, &answer.key)
}

/// Respondents whose newest answer of the last 90 days is 6 or less, with that answer, by its key.
/// Answers without a respondent stand for themselves.
pub fn detractors<'a>(view: &'a View<'_>) -> Vec<Answer<'a>> {
    let after = view.today().minus(DETRACTOR_DAYS);
    let low = answers(view, after).filter(|(_, score)| *score <= 6);
    let mut by_respondent: Vec<Answer<'a>> = low.collect();
    if by_respondent.is_empty() {
        return by_respondent;
    }
    by_respondent
        .sort_unstable_by(|a, b| (a.0.value.respondent, given(*a)).cmp(&(b.0.value.respondent, given(*b))));
    // The newest low answer of each respondent comes last among theirs.
    let mut found: Vec<Answer<'a>> = Vec::with_capacity(by_respondent.len());
    for answer in by_respondent {
        let respondent = answer.0.value.respondent;
        found.pop_if(|last| respondent.is_some() && last.0.value.respondent == respondent);
        found.push(answer);
    }
    // Each of the others may have been the newest.
    for other in answers(view, after).filter(|(_, score)| *score > 6) {
        let Some(respondent) = other.0.value.respondent else { continue };
        let place = found.binary_search_by_key(&Some(respondent), |(low, _)| low.value.respondent);
        if let Ok(place) = place
            && given(other) > given(found[place])
        {
            found.remove(place);
        }
    }
    found.sort_unstable_by(|a, b| a.0.key.cmp(&b.0.key));
    found
}

/// What one pass over the NPS answers of the last 180 days counts.
#[derive(Debug, Default)]
pub(super) struct NpsTally {
    answers: i64,
    promoters: i64,
    detractors: i64,
    latest: Option<u8>,
}

fn tally<'a>(view: &View<'a>) -> &'a NpsTally {
    view.tally.nps.get_or_init(|| {
        let mut tally = NpsTally::default();
        let mut newest = None;
        for (answer, score) in nps_answers(view) {
            tally.answers += 1;
            tally.promoters += i64::from(score >= 9);
            tally.detractors += i64::from(score <= 6);
            let order = Some((answer.stamp.at_ms, &answer.key));
            if order > newest {
                newest = order;
                tally.latest = Some(score);
            }
        }
        tally
    })
}

pub(super) fn nps_latest(view: &View<'_>) -> Option<i64> {
    tally(view).latest.map(i64::from)
}

pub(super) fn nps(view: &View<'_>) -> Option<i64> {
    let NpsTally { answers, promoters, detractors, .. } = tally(view);
    (*answers > 0).then(|| (100 * (promoters - detractors)).div_euclid(*answers))
}

pub(super) fn nps_answer_count(view: &View<'_>) -> Option<i64> {
    view.facts.surveys.iter().find(|s| s.value.survey == SurveyType::Nps)?;
    Some(tally(view).answers)
}

pub(super) fn detractor_count(view: &View<'_>) -> Option<i64> {
    answers(view, view.today().minus(DETRACTOR_DAYS)).next()?;
    Some(detractors(view).len() as i64)
}

fn champion_contacts<'a>(view: &'a View<'_>) -> impl Iterator<Item = &'a Entry<Box<str>, ContactFact>> {
    view.facts.contacts.iter().filter(|c| c.value.role == ContactRole::Champion)
}

pub(super) fn champions(view: &View<'_>) -> Option<i64> {
    champion_contacts(view).next()?;
    let active = champion_contacts(view).filter(|c| c.value.status == ContactStatus::Active);
    Some(active.count() as i64)
}

/// The champion whose departure left the account without one. In hindsight a state that was
/// written later says nothing about then, so such a departure still counts as one.
pub fn champion_gap<'a>(view: &'a View<'_>) -> Option<&'a Entry<Box<str>, ContactFact>> {
    let active = |c: &&Entry<Box<str>, ContactFact>| {
        c.value.status == ContactStatus::Active && view.known(c.stamp.at_ms)
    };
    if champion_contacts(view).any(|c| active(&c)) {
        return None;
    }
    let departed = |c: &&Entry<Box<str>, ContactFact>| {
        c.value.status != ContactStatus::Active || !view.known(c.stamp.at_ms)
    };
    champion_contacts(view).filter(departed).max_by_key(|c| (c.stamp.at_ms, &c.key))
}

/// The next day on which an NPS answer falls out of the days that count for a level or a detractor.
pub fn answers_until(view: &View<'_>) -> Day {
    answers_expire(view, NPS_DAYS).min(answers_expire(view, DETRACTOR_DAYS))
}

fn answers_expire(view: &View<'_>, days: i32) -> Day {
    let answers = view.facts.surveys.iter().filter(|s| s.value.survey == SurveyType::Nps);
    view.next_of(answers.map(|s| view.day_of(s.stamp.at_ms).plus(days)))
}

pub(super) fn nps_on(view: &View<'_>) -> Forecast {
    Forecast::until(answers_expire(view, NPS_DAYS))
}

pub(super) fn detractors_on(view: &View<'_>) -> Forecast {
    Forecast::until(answers_expire(view, DETRACTOR_DAYS))
}

#[cfg(test)]
mod tests {
    use super::super::{ScoreNow, Tally};
    use super::*;
    use crate::engine::account::{Decisions, Facts, Moment, Stamp};
    use crate::engine::time::{Calendar, DAY_MS};
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn detractors_are_those_whose_newest_answer_is_low(
            given in proptest::collection::vec((0_i64..120, 0_u64..6, proptest::option::of(0_u8..11)), 0..40),
        ) {
            let mut facts = Facts::default();
            for (n, (day, respondent, score)) in given.iter().enumerate() {
                let stamp = Stamp { version: None, at_ms: day * DAY_MS, event_id: "e".into() };
                let survey = if n % 7 == 0 { SurveyType::Csat } else { SurveyType::Nps };
                let value = SurveyFact { survey, score: *score, respondent: respondent.checked_sub(1) };
                facts.surveys.merge(format!("s{}", n * 31 % 40).as_str(), stamp, value, 100);
            }
            let (decisions, tally, calendar) = (Decisions::default(), Tally::default(), Calendar::default());
            let moment = Moment { at_ms: 110 * DAY_MS, today: Day(110), known_until_ms: Some(105 * DAY_MS) };
            let view = View {
                facts: &facts,
                decisions: &decisions,
                score: ScoreNow::default(),
                moment,
                calendar,
                jitter_ms: 0,
                tally: &tally,
            };
            let all: Vec<_> = answers(&view, Day(110 - DETRACTOR_DAYS)).collect();
            let is_newest = |(answer, _): &(&Entry<Box<str>, SurveyFact>, u8)| {
                let theirs = all.iter().filter(|(other, _)| other.value.respondent == answer.value.respondent);
                let newest = theirs.map(|(other, _)| (other.stamp.at_ms, &other.key)).max();
                answer.value.respondent.is_none() || newest == Some((answer.stamp.at_ms, &answer.key))
            };
            let expected: Vec<_> = all.iter().copied().filter(|a| a.1 <= 6 && is_newest(a)).collect();
            prop_assert_eq!(detractors(&view), expected);
        }
    }
}
