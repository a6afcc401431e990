//! Support: tickets that pile up, and promises that were broken.

use super::{Condition, Evidence, Item, MAX_ITEMS, RuleDef, Rules, Severity, never, number, percent, words};
use crate::engine::account::TicketFact;
use crate::engine::event::Priority;
use crate::engine::feature::{
    FeatureId, Touch, View, breach, breach_ms, breached, recent_until, unresolved_recent,
};
use crate::engine::time::rfc3339;

pub(super) const TICKET_BACKLOG: RuleDef = RuleDef {
    key: "ticket_backlog",
    title: "tickets pile up",
    definition: "3 or more tickets of priority high or urgent (or escalated) are unsolved, or 60 % of at least 5 tickets \
                 opened in the last 30 days are",
    play: "bring support and product to one table, and tell the customer what is solved when",
    reads: Touch::TICKETS.or(Touch::TIME),
    // Priority and escalation are only known as they are now.
    can_look_back: |_| false,
    settings: |rules| (rules.ticket_backlog.enabled, rules.ticket_backlog.timing),
    condition: backlog_condition,
    quiet_until: |view, _, _| recent_until(view),
    evidence: backlog_evidence,
};

fn urgent(view: &View<'_>) -> i64 {
    FeatureId::UrgentTickets.value(view).unwrap_or(0)
}

fn backlog_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let settings = &rules.ticket_backlog;
    let urgent = urgent(view);
    let (unsolved, all) = unresolved_recent(view);
    let enough = all >= i64::from(settings.min_tickets);
    let share_at_least = |limit: u8| enough && unsolved * 100 >= all * i64::from(limit);
    if urgent >= i64::from(settings.urgent_open) || share_at_least(settings.unresolved_percent) {
        return Condition::Met { began_ms: view.moment.at_ms, severity: settings.severity };
    }
    if urgent <= i64::from(settings.clear_urgent_open) && !share_at_least(settings.clear_unresolved_percent) {
        return Condition::Clear;
    }
    Condition::Between
}

fn backlog_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let (unsolved, all) = unresolved_recent(view);
    let share = if all == 0 { 0 } else { unsolved * 10_000 / all };
    Evidence {
        what: format!(
            "{} urgent tickets are unsolved; of {all} tickets opened in the last 30 days {unsolved} are ({})",
            urgent(view),
            percent(share)
        ),
        numbers: vec![
            number(view, FeatureId::UrgentTickets),
            number(view, FeatureId::UnresolvedShare),
            number(view, FeatureId::OpenTickets),
        ],
        items: Vec::new(),
    }
}

pub(super) const SLA_BREACH: RuleDef = RuleDef {
    key: "sla_breach",
    title: "a promised time was missed",
    definition: "the first response or the solution of an unsolved ticket is past due; fires at that instant, high if the \
                 ticket is, critical if it is urgent",
    play: "answer the ticket now, and say when it will be solved",
    reads: Touch::TICKETS.or(Touch::TIME),
    can_look_back: |_| true,
    settings: |rules| (rules.sla_breach.enabled, rules.sla_breach.timing),
    condition: breach_condition,
    quiet_until: never,
    evidence: breach_evidence,
};

fn breach_condition(view: &View<'_>, rules: &Rules) -> Condition {
    let severity = |priority: Priority| match priority {
        Priority::Urgent => Severity::Critical,
        Priority::High => Severity::High,
        Priority::Normal | Priority::Low => rules.sla_breach.severity,
    };
    let Some(breach) = breach(view) else { return Condition::Clear };
    let severity = breach.priorities().map(severity).max().unwrap_or(rules.sla_breach.severity);
    Condition::Met { began_ms: breach.since_ms, severity }
}

fn breach_evidence(view: &View<'_>, _: &Rules) -> Evidence {
    let tickets: Vec<_> = breached(view).collect();
    let priority = |ticket: &TicketFact| match ticket.priority {
        Priority::Urgent => "urgent",
        Priority::High => "high",
        Priority::Normal => "normal",
        Priority::Low => "low",
    };
    let items = tickets.iter().take(MAX_ITEMS).map(|t| Item {
        kind: "ticket".into(),
        id: t.key.to_string(),
        event_id: words(view, || t.stamp.event_id.to_string()),
        detail: words(view, || {
            let promised = breach_ms(view, &t.value).map_or_else(String::new, rfc3339);
            format!("priority {}, promised for {promised}", priority(&t.value))
        }),
    });
    let noun = if tickets.len() == 1 { "ticket is" } else { "tickets are" };
    Evidence {
        what: words(view, || format!("{} unsolved {noun} past the promised time", tickets.len())),
        items: items.collect(),
        numbers: vec![number(view, FeatureId::BreachedTickets)],
    }
}
