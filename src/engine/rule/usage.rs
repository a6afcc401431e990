//! Usage: a drop that is both large and unlikely to be chance, and silence.

use super::{Condition, Evidence, Number, RuleDef, Rules, number, percent};
use crate::engine::feature::{
    FeatureId, NEVER, Touch, View, baseline_until, compares_fewer_days, comparison, last_seen,
};
use crate::engine::time::Day;

pub(super) const USAGE_DROP: RuleDef = RuleDef {
    key: "usage_drop",
    title: "usage dropped",
    definition: "logins and uses of the last 28 complete days are 40 % or more below the 28 days before, that is rarer \
                 than 1 in 1000 by chance given how much the weeks vary, and there were at least 40 of them on 8 days",
    play: "ask what changed in the team, and show the workflow they no longer use",
    reads: Touch::ACTIVITY_PAST.or(Touch::COUNTS_PAST).or(Touch::TIME),
    can_look_back: |then| comparison(then).is_some(),
    settings: |rules| (rules.usage_drop.enabled, rules.usage_drop.timing),
    condition: drop_condition,
    quiet_until: drop_quiet,
    evidence: drop_evidence,
};

fn drop_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.usage_drop;
    // Without a baseline no risk begins, and without a risk nothing else matters.
    if compares_fewer_days(view, settings.min_baseline_days) && view.decisions.risk(USAGE_DROP.id()).is_none()
    {
        return Condition::Between;
    }
    // Days that are gone prove neither a drop nor a recovery, and neither does nothing beside nothing.
    let Some(comparison) = comparison(view).filter(|found| found.now > 0 || found.before > 0) else {
        return Condition::Between;
    };
    let drop_bp = comparison.drop_bp();
    if drop_bp < i64::from(settings.clear_drop_percent) * 100 {
        return Condition::Clear;
    }
    let baseline = comparison.has_baseline(settings.min_baseline, settings.min_baseline_days);
    let large = drop_bp >= i64::from(settings.min_drop_percent) * 100;
    if baseline && large && comparison.p_value(view) < settings.max_p_value {
        return Condition::Met { began_ms: view.turn_of(view.today()), severity: settings.severity };
    }
    Condition::Between
}

fn drop_quiet(view: &View<'_>, rules: &Rules, live: bool) -> Day {
    let settings = &rules.usage_drop;
    if live {
        view.tomorrow()
    } else {
        baseline_until(view, settings.min_baseline, settings.min_baseline_days)
    }
}

fn drop_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let Some(comparison) = comparison(view) else { return nothing_to_compare() };
    let p_value = comparison.p_value(view);
    let chance = match p_value {
        p if p < 1e-9 => "less than 1 in a billion".to_owned(),
        p => format!("about 1 in {:.0}", 1.0 / p.max(f64::MIN_POSITIVE)),
    };
    Evidence {
        what: format!(
            "{} logins and uses in the last 28 complete days, {} in the 28 days before: {} less; by chance {}",
            comparison.now,
            comparison.before,
            percent(comparison.drop_bp()),
            chance,
        ),
        numbers: vec![Number {
            name: "usage.activity_28d".into(),
            unit: "count".into(),
            now: i64::try_from(comparison.now).ok(),
            before: i64::try_from(comparison.before).ok(),
        }],
        items: Vec::new(),
    }
}

/// The clock is so far behind the newest events that the days it compares are rolled up.
fn nothing_to_compare() -> Evidence {
    let number = Number { name: "usage.activity_28d".into(), unit: "count".into(), now: None, before: None };
    Evidence {
        what: "use had dropped; it cannot be compared now, because much newer events are known already"
            .to_owned(),
        numbers: vec![number],
        items: Vec::new(),
    }
}

pub(super) const INACTIVITY: RuleDef = RuleDef {
    key: "inactivity",
    title: "nobody comes any more",
    definition: "no login and no use for 14 days, after at least 5 active days in the 28 days before",
    play: "call the champion: find out whether they stopped, or moved to something else",
    reads: Touch::ACTIVITY.or(Touch::TIME),
    can_look_back: silence_is_kept,
    settings: |rules| (rules.inactivity.enabled, rules.inactivity.timing),
    condition: inactivity_condition,
    quiet_until: inactivity_quiet,
    evidence: inactivity_evidence,
};

fn quiet(view: &View<'_>) -> Option<(Day, i64)> {
    let last = last_seen(view)?;
    Some((last, i64::from(view.today().since(last))))
}

/// Whether the last active day before a moment, and the 28 up to it, are still kept by day.
fn silence_is_kept(then: &View<'_>) -> bool {
    match last_seen(then) {
        Some(last) => then.facts.keeps(last.minus(27)),
        None => !then.facts.reaches_back(then.today().minus(1)),
    }
}

fn inactivity_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.inactivity;
    let Some((last, days)) = quiet(view) else { return Condition::Clear };
    let after = i64::from(settings.after_days);
    if days < after || view.facts.active_days(last.minus(28), last) < settings.min_active_days {
        return Condition::Clear;
    }
    let began = last.plus(i32::try_from(after).unwrap_or(i32::MAX));
    Condition::Met { began_ms: view.turn_of(began), severity: settings.severity }
}

fn inactivity_quiet(view: &View<'_>, rules: &Rules, _: bool) -> Day {
    let settings = &rules.inactivity;
    let Some(last) = last_seen(view) else { return NEVER };
    if view.facts.active_days(last.minus(28), last) < settings.min_active_days {
        return NEVER;
    }
    view.next_of(std::iter::once(last.plus(i32::try_from(settings.after_days).unwrap_or(i32::MAX))))
}

fn inactivity_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let Some((last, days)) = quiet(view) else { return Evidence::default() };
    let active = view.facts.active_days(last.minus(28), last);
    Evidence {
        what: format!(
            "no login and no use for {days} days, after {active} active days in the 28 days before"
        ),
        numbers: vec![
            Number {
                name: "usage.last_active_day".into(),
                unit: "day_number".into(),
                now: Some(last.0.into()),
                before: None,
            },
            Number { now: Some(active.into()), ..number(view, FeatureId::ActiveDays28d) },
        ],
        items: Vec::new(),
    }
}
