//! Sentiment and relationship: what people said, and whether the ones who matter are still there.

use super::View;
use crate::engine::account::{ContactFact, Entry, SurveyFact};
use crate::engine::event::{ContactRole, ContactStatus, SurveyType};
use crate::engine::time::Day;

/// Days an NPS answer counts towards the level.
const NPS_DAYS: i32 = 180;
/// Days a detractor's answer counts.
const DETRACTOR_DAYS: i32 = 90;

fn answers<'a>(
    view: &'a View<'_>,
    after: Day,
) -> impl Iterator<Item = (&'a Entry<Box<str>, SurveyFact>, u8)> {
    view.facts
        .surveys
        .iter()
        .filter(move |s| {
            s.value.survey == SurveyType::Nps
                && view.day_of(s.stamp.at_ms) > after
                && view.known(s.stamp.at_ms)
        })
        .filter_map(|s| s.value.score.map(|score| (s, score)))
}

/// The NPS answers of the last 180 days.
pub fn nps_answers<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a Entry<Box<str>, SurveyFact>, u8)> {
    answers(view, view.today().minus(NPS_DAYS))
}

/// Respondents whose newest answer of the last 90 days is 6 or less: (answer, score). Answers
/// without a respondent stand for themselves.
pub fn detractors<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a Entry<Box<str>, SurveyFact>, u8)> {
    let after = view.today().minus(DETRACTOR_DAYS);
    answers(view, after).filter(move |(answer, score)| {
        *score <= 6
            && !answers(view, after).any(|(other, _)| {
                answer.value.respondent.is_some()
                    && other.value.respondent == answer.value.respondent
                    && (other.stamp.at_ms, &other.key) > (answer.stamp.at_ms, &answer.key)
            })
    })
}

pub(super) fn nps_latest(view: &View<'_>) -> Option<i64> {
    nps_answers(view).max_by_key(|(s, _)| (s.stamp.at_ms, &s.key)).map(|(_, score)| score.into())
}

pub(super) fn nps(view: &View<'_>) -> Option<i64> {
    let (mut promoters, mut detractors, mut n) = (0_i64, 0_i64, 0_i64);
    for (_, score) in nps_answers(view) {
        n += 1;
        promoters += i64::from(score >= 9);
        detractors += i64::from(score <= 6);
    }
    (n > 0).then(|| (100 * (promoters - detractors)).div_euclid(n))
}

pub(super) fn nps_answer_count(view: &View<'_>) -> Option<i64> {
    view.facts.surveys.iter().find(|s| s.value.survey == SurveyType::Nps)?;
    Some(nps_answers(view).count() as i64)
}

pub(super) fn detractor_count(view: &View<'_>) -> Option<i64> {
    answers(view, view.today().minus(DETRACTOR_DAYS)).next()?;
    Some(detractors(view).count() as i64)
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
