//! The made-up company through the engine: what was planted is noticed by the rule made for it,
//! and what only looks alike is not. A simulation without a relation between behaviour and risks,
//! or rules that cry wolf, would show here.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use accountpulse::engine::event::PersonKey;
use accountpulse::engine::replay::{Refused, Replay, ReplayCounts, ReplayOptions, ReplaySink};
use accountpulse::engine::risk::Transition;
use accountpulse::engine::{Effects, EngineConfig};
use accountpulse::simulate::{Cause, Company, CompanyOptions, Twin};

/// 2026-11-22T12:00:00Z
const END_MS: i64 = 1_795_348_800_000;

/// Which rules ever fired for which account, and the band each account had last.
#[derive(Default)]
struct Seen {
    fired: BTreeSet<(String, String)>,
    bands: BTreeMap<String, String>,
}

impl ReplaySink for Seen {
    fn effects(&mut self, effects: Effects) {
        for risk in effects.risks.into_iter().filter(|risk| risk.transition == Transition::Started) {
            self.fired.insert((risk.account_id, risk.rule.into_owned()));
        }
        for score in effects.scores {
            let record = serde_json::to_value(&score.record).unwrap_or_default();
            self.bands.insert(score.account, record["band"].as_str().unwrap_or("unknown").to_owned());
        }
    }

    fn refused(&mut self, refused: Refused) {
        panic!("line {}: {}", refused.line, refused.refusal);
    }
}

fn run(company: &Company) -> (Seen, ReplayCounts) {
    let options = ReplayOptions {
        config: Arc::new(EngineConfig::default()),
        person_key: PersonKey::new([7; 16]),
        partitions: 1,
        lateness_ms: 0,
        until_ms: Some(END_MS),
    };
    let mut seen = Seen::default();
    let counts = Replay::new(options, vec![company.history().map(|event| event.json)]).run(&mut seen);
    (seen, counts)
}

const fn rule_of_cause(cause: Cause) -> &'static str {
    match cause {
        Cause::UsageDecline => "usage_drop",
        Cause::ChampionLeft | Cause::ChampionMoved => "champion_departed",
        Cause::PaymentsSlip => "late_payment",
        Cause::TicketSurge => "ticket_backlog",
        Cause::Detractor => "detractor",
        Cause::RenewalDoubt => "renewal_at_risk",
    }
}

const fn rule_of_twin(twin: Twin) -> &'static str {
    match twin {
        Twin::QuietWeek => "usage_drop",
        Twin::PaysInGrace | Twin::InvoiceCorrected => "late_payment",
        Twin::TicketsSolved => "ticket_backlog",
        Twin::Promoter => "detractor",
        Twin::ChampionSucceeded => "champion_departed",
    }
}

#[test]
fn causes_are_noticed_twins_are_not_and_bands_differ() {
    let options = CompanyOptions { accounts: 300, max_events: 300_000, ..CompanyOptions::new(11, END_MS) };
    let company = Company::new(options);
    let (seen, counts) = run(&company);
    assert_eq!(counts.applied, counts.read, "{counts:?}");
    let mut missed = Vec::new();
    for record in company.causes() {
        if !seen.fired.contains(&(record.account.to_string(), rule_of_cause(record.cause).to_owned())) {
            missed.push(record);
        }
    }
    // A drop in a handful of people may be too likely by chance to be called one.
    let (drops, others): (Vec<_>, Vec<_>) =
        missed.into_iter().partition(|record| record.cause == Cause::UsageDecline);
    assert!(others.is_empty(), "not noticed: {others:?}");
    let declines = company.causes().iter().filter(|record| record.cause == Cause::UsageDecline).count();
    assert!(drops.len() * 2 < declines, "not noticed: {drops:?}");
    for record in company.twins() {
        let alarm = (record.account.to_string(), rule_of_twin(record.twin).to_owned());
        assert!(!seen.fired.contains(&alarm), "false alarm: {record:?}");
    }
    let declining: BTreeSet<&str> = company
        .causes()
        .iter()
        .filter(|record| record.cause == Cause::UsageDecline)
        .map(|record| &*record.account)
        .collect();
    let is_false =
        |(account, rule): &&(String, String)| *rule == "usage_drop" && !declining.contains(account.as_str());
    let false_drops = seen.fired.iter().filter(is_false).count();
    assert!(false_drops * 50 <= seen.bands.len(), "{false_drops} accounts dropped without any decline");
    let bands: BTreeSet<&String> = seen.bands.values().collect();
    assert!(bands.len() >= 2, "{bands:?}");
}
