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

fn answers<'a>(
    view: &'a View<'_>,
    after: Day,
) -> impl Iterator<Item = (&'a Entry<Box<str>, SurveyFact>, u8)> {
    let from_ms = view.calendar.start_of(after.plus(1));
    let counts = move |s: &&Entry<Box<str>, SurveyFact>| is_answer(view, s, from_ms);
    view.facts.surveys.iter().filter(counts).filter_map(|s| s.value.score.map(|score| (s, score)))
}

fn is_answer(view: &View<'_>, s: &Entry<Box<str>, SurveyFact>, from_ms: i64) -> bool {
    s.value.survey == SurveyType::Nps && s.stamp.at_ms >= from_ms && view.known(s.stamp.at_ms)
}

/// The NPS answers of the last 180 days.
pub fn nps_answers<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a Entry<Box<str>, SurveyFact>, u8)> {
    answers(view, view.today().minus(NPS_DAYS))
}

/// Respondents whose newest answer of the last 90 days is 6 or less: (answer, score). Answers
/// without a respondent stand for themselves.
pub fn detractors<'a>(view: &'a View<'_>) -> impl Iterator<Item = (&'a Entry<Box<str>, SurveyFact>, u8)> {
    let after = view.today().minus(DETRACTOR_DAYS);
    let from_ms = view.calendar.start_of(after.plus(1));
    // Asked for every pair of answers, so first what most of them are not.
    let is_replaced = move |answer: &Entry<Box<str>, SurveyFact>| {
        answer.value.respondent.is_some()
            && view.facts.surveys.iter().any(|other| {
                other.value.respondent == answer.value.respondent
                    && (other.stamp.at_ms, &other.key) > (answer.stamp.at_ms, &answer.key)
                    && other.value.score.is_some()
                    && is_answer(view, other, from_ms)
            })
    };
    answers(view, after).filter(move |(answer, score)| *score <= 6 && !is_replaced(answer))
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
