//! Money: late payment, and a renewal that is in danger.

use super::{Condition, Evidence, Item, MAX_ITEMS, RuleDef, Rules, Severity, number, words};
use crate::engine::account::currency;
use crate::engine::feature::{
    FeatureId, Touch, View, annual_minor, answers_until, contract_until, oldest_due_ms, overdue, renewal,
};
use crate::engine::time::{DAY_MS, Day, rfc3339};

pub(super) const LATE_PAYMENT: RuleDef = RuleDef {
    key: "late_payment",
    title: "payment is late",
    definition: "an invoice is unpaid 10 days after its due date; high from 30 days, critical from 60",
    play: "ask finance and the sponsor whether it is a dispute, a process or a decision",
    // Contracts decide the account's currency, and with it the amounts in the evidence.
    reads: Touch::INVOICES.or(Touch::CONTRACTS).or(Touch::TIME),
    can_look_back: |_| true,
    settings: |rules| (rules.late_payment.enabled, rules.late_payment.timing),
    condition: late_condition,
    quiet_until: late_quiet,
    evidence: late_evidence,
};

fn late_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.late_payment;
    let Some(oldest_due) = oldest_due_ms(view, settings.grace.0) else {
        return Condition::Clear;
    };
    let days = view.today().since(view.day_of(oldest_due));
    let severity = match u32::try_from(days).unwrap_or(0) {
        days if days >= settings.critical_after_days => Severity::Critical,
        days if days >= settings.high_after_days => Severity::High,
        _ => settings.severity,
    };
    Condition::Met { began_ms: oldest_due.saturating_add(settings.grace.0), severity }
}

fn late_quiet(view: &View<'_>, rules: &Rules, _: bool) -> Day {
    let settings = &rules.late_payment;
    let rises = [settings.high_after_days, settings.critical_after_days];
    let rises = rises.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
    let late = overdue(view, settings.grace.0).map(|entry| view.day_of(entry.value.due_at_ms));
    view.next_of(late.flat_map(|due| rises.map(|days| due.plus(days))))
}

fn late_evidence(view: &View<'_>, rules: &Rules) -> Evidence {
    let late: Vec<_> = overdue(view, rules.late_payment.grace.0).collect();
    // Elapsed days, not calendar days: the account's day may not have turned yet at this instant.
    let past_due_ms = late.iter().map(|i| view.moment.at_ms.saturating_sub(i.value.due_at_ms)).max();
    let days = past_due_ms.unwrap_or(0) / DAY_MS;
    let items = late.iter().take(MAX_ITEMS).map(|i| Item {
        kind: "invoice".into(),
        id: i.key.to_string(),
        event_id: words(view, || i.stamp.event_id.to_string()),
        detail: words(view, || {
            format!(
                "{} minor units {}, due {}",
                i.value.amount_minor,
                currency(i.value.currency).as_str(),
                rfc3339(i.value.due_at_ms)
            )
        }),
    });
    let invoices = if late.len() == 1 { "invoice is" } else { "invoices are" };
    Evidence {
        what: words(view, || {
            format!("{} {invoices} unpaid past the grace period, the oldest {days} days past due", late.len())
        }),
        items: items.collect(),
        numbers: vec![number(view, FeatureId::OverdueAmount), number(view, FeatureId::PaymentDelay)],
    }
}

pub(super) const RENEWAL_AT_RISK: RuleDef = RuleDef {
    key: "renewal_at_risk",
    title: "renewal is at risk",
    definition: "the contract ends within 90 days without a successor, and the score is below 50, another risk of \
                 severity high or more is firing, or the newest NPS answer is 6 or less; critical within 30 days",
    play: "agree a success plan with the sponsor before the commercial talk",
    reads: Touch::CONTRACTS.or(Touch::SURVEYS).or(Touch::SCORE).or(Touch::RISKS).or(Touch::TIME),
    can_look_back: |_| false,
    settings: |rules| (rules.renewal_at_risk.enabled, rules.renewal_at_risk.timing),
    condition: renewal_condition,
    quiet_until: renewal_quiet,
    evidence: renewal_evidence,
};

/// What speaks against the renewal, in words; empty = nothing.
fn doubts(view: &View<'_>, rules: &Rules, score_below: u8) -> Vec<String> {
    let settings = &rules.renewal_at_risk;
    let mut doubts = Vec::new();
    if let Some(score) = view.score.hundredths
        && score < i16::from(score_below) * 100
    {
        doubts.push(format!("the score is {}", super::super::score::whole_points(score)));
    }
    if let Some(severity) = view.decisions.worst_firing(RENEWAL_AT_RISK.id())
        && severity >= Severity::High
    {
        doubts.push(format!("another risk of severity {} is firing", severity.name()));
    }
    if let Some(nps) = FeatureId::NpsLatest.value(view)
        && nps <= i64::from(settings.nps_at_most)
    {
        doubts.push(format!("the newest NPS answer is {nps}"));
    }
    doubts
}

fn renewal_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.renewal_at_risk;
    let Some((_, end_ms)) = renewal(view) else { return Condition::Clear };
    let days = view.day_of(end_ms).since(view.today());
    if days > i32::try_from(settings.within_days).unwrap_or(i32::MAX) {
        return Condition::Clear;
    }
    if !doubts(view, rules, settings.score_below).is_empty() {
        let close = days <= i32::try_from(settings.critical_within_days).unwrap_or(i32::MAX);
        let severity = if close { Severity::Critical } else { settings.severity };
        return Condition::Met { began_ms: view.moment.at_ms, severity };
    }
    let still = !doubts(view, rules, settings.clear_score).is_empty();
    if still { Condition::Between } else { Condition::Clear }
}

fn renewal_quiet(view: &View<'_>, rules: &Rules, _: bool) -> Day {
    let settings = &rules.renewal_at_risk;
    let ends = view.facts.contracts.iter().filter_map(|entry| entry.value.end_ms);
    let near = [settings.within_days, settings.critical_within_days];
    let near = near.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
    let crossed = view.next_of(ends.flat_map(|end_ms| near.map(|days| view.day_of(end_ms).minus(days))));
    if view.facts.contracts.is_empty() {
        return crossed;
    }
    crossed.min(contract_until(view)).min(answers_until(view))
}

fn renewal_evidence(view: &View<'_>, rules: &Rules) -> Evidence {
    let Some((contract, end_ms)) = renewal(view) else { return Evidence::default() };
    let days = view.day_of(end_ms).since(view.today());
    let doubts = doubts(view, rules, rules.renewal_at_risk.score_below).join(", ");
    let worth = annual_minor(view).map_or_else(String::new, |(minor, currency_code)| {
        format!(", {minor} minor units {} a year", currency(currency_code).as_str())
    });
    Evidence {
        what: format!("the contract ends in {days} days without a successor, and {doubts}"),
        numbers: vec![
            number(view, FeatureId::DaysToRenewal),
            number(view, FeatureId::Score),
            number(view, FeatureId::NpsLatest),
        ],
        items: vec![Item {
            kind: "contract".into(),
            id: contract.key.to_string(),
            event_id: contract.stamp.event_id.to_string(),
            detail: format!("ends {}{worth}", rfc3339(end_ms)),
        }],
    }
}
