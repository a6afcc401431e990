//! The score itself: a fall within a week, and a band worse than at the start of the quarter.

use super::{Condition, Evidence, Number, RuleDef, Rules, Severity, number};
use crate::engine::account::Band;
use crate::engine::feature::{FeatureId, NEVER, Touch, View};
use crate::engine::score::whole_points;
use crate::engine::time::Day;

pub(super) const SCORE_DROP: RuleDef = RuleDef {
    key: "score_drop",
    title: "the score fell",
    definition: "the score is 10 points or more below its value 7 days ago, for 24 hours",
    play: "read what moved it, and take the largest part first",
    reads: Touch::SCORE.or(Touch::TIME),
    can_look_back: |_| false,
    settings: |rules| (rules.score_drop.enabled, rules.score_drop.timing),
    condition: drop_condition,
    quiet_until: drop_quiet,
    evidence: drop_evidence,
};

fn drop_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.score_drop;
    let Some(change) = FeatureId::ScoreChange7d.value(view) else { return Condition::Between };
    if change <= -i64::from(settings.points) * 100 {
        return Condition::Met { began_ms: view.moment.at_ms, severity: settings.severity };
    }
    if change > -i64::from(settings.clear_points) * 100 { Condition::Clear } else { Condition::Between }
}

fn drop_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let before = view.close_of(view.today().minus(7)).map(|(points, _)| points);
    let now = view.score.hundredths.map(whole_points);
    Evidence {
        what: format!(
            "the score is {}, it was {} seven days ago",
            now.map_or_else(|| "unknown".to_owned(), |points| points.to_string()),
            before.map_or_else(|| "unknown".to_owned(), |points| points.to_string()),
        ),
        numbers: vec![Number {
            before: before.map(|points| i64::from(points) * 100),
            ..number(view, FeatureId::Score)
        }],
        items: Vec::new(),
    }
}

/// The value a week ago is another one a week after it changed. Without a risk that only matters
/// if the score lies far enough below one of these values.
fn drop_quiet(view: &View<'_>, rules: &Rules, live: bool) -> Day {
    let Some(now) = view.score.hundredths.map(i64::from) else { return NEVER };
    let far = i64::from(rules.score_drop.points) * 100;
    let a_week_ago = view.today().minus(7);
    let recent = view.decisions.history.changes().take_while(|&(day, _)| day > a_week_ago);
    let falls =
        |value: Option<(u8, Band)>| value.is_some_and(|(points, _)| now - i64::from(points) * 100 <= -far);
    let telling = recent.filter(|&(_, value)| live || falls(value));
    view.next_of(telling.map(|(day, _)| day.plus(7)))
}

pub(super) const BAND_CHANGE: RuleDef = RuleDef {
    key: "band_change",
    title: "worse than at the start of the quarter",
    definition: "the band is worse than at the end of the first day of the calendar quarter, for 24 hours; two bands \
                 worse is high",
    play: "review the quarter with the account team before the customer does",
    reads: Touch::SCORE.or(Touch::TIME),
    can_look_back: |_| false,
    settings: |rules| (rules.band_change.enabled, rules.band_change.timing),
    condition: band_condition,
    quiet_until: band_quiet,
    evidence: band_evidence,
};

fn bands(view: &View<'_>) -> Option<(Band, Band)> {
    let (_, then) = view.close_of(view.today().quarter_start())?;
    Some((then, view.score.band?))
}

fn band_condition(view: &View<'_>, rules: &Rules) -> Condition {
    match bands(view) {
        None => Condition::Between,
        Some((then, now)) if now >= then => Condition::Clear,
        Some((Band::Healthy, Band::AtRisk)) => {
            Condition::Met { began_ms: view.moment.at_ms, severity: Severity::High }
        }
        Some(_) => Condition::Met { began_ms: view.moment.at_ms, severity: rules.band_change.severity },
    }
}

/// While the band stays, a new quarter begins with the band as it is: that can end a risk, not
/// start one. It begins with a day on which there is nothing to compare with.
fn band_quiet(view: &View<'_>, _: &Rules, live: bool) -> Day {
    let (today, start) = (view.today(), view.today().quarter_start());
    match live {
        false => NEVER,
        true if today == start => view.tomorrow(),
        // No quarter has more days than 92.
        true => start.plus(92).quarter_start(),
    }
}

fn band_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let Some((then, now)) = bands(view) else { return Evidence::default() };
    let before = view.close_of(view.today().quarter_start()).map(|(points, _)| i64::from(points) * 100);
    Evidence {
        what: format!(
            "the account was {} at the start of the quarter and is {} now",
            then.name(),
            now.name()
        ),
        numbers: vec![Number { before, ..number(view, FeatureId::Score) }],
        items: Vec::new(),
    }
}
