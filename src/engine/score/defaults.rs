//! The scorecards that are used when the configuration names none.

use super::scorecard::CAP_PREFIX;
use super::{BandThresholds, Bands, Cap, Card, CardGroup, CardLine, Ramp, ScorecardWhen, Scoring};
use crate::engine::feature::FeatureId as F;

/// The shipped scoring: one card for customers that are being set up, one for everybody else.
pub fn default_scoring() -> Scoring {
    Scoring {
        coverage_floor_percent: 40,
        bands: Bands {
            healthy: BandThresholds { enter: 75, leave: 70 },
            at_risk: BandThresholds { enter: 45, leave: 50 },
        },
        // A customer that is still being set up has no trend yet; adoption counts for more.
        scorecards: vec![
            card("onboarding", &["onboarding"], [30, 30, 15, 10, 5, 10], None),
            card("default", &[], [35, 15, 15, 15, 10, 10], Some(40)),
        ],
    }
}

/// A card with the shipped groups, in this order of weights: usage, adoption, support, billing,
/// sentiment, relationship.
fn card(name: &str, lifecycle: &[&str], weights: [u16; 6], trend: Option<u16>) -> Card {
    let contents = [
        ("usage", usage(trend)),
        ("adoption", adoption()),
        ("support", support()),
        ("billing", billing()),
        ("sentiment", sentiment()),
        ("relationship", vec![line(F::Champions, 100, &[(0, 0), (1, 100)])]),
    ];
    let group =
        |((name, features), weight): ((&str, _), u16)| CardGroup { name: name.to_owned(), weight, features };
    Card {
        name: name.to_owned(),
        when: ScorecardWhen {
            segment: Vec::new(),
            lifecycle: lifecycle.iter().map(|&stage| stage.to_owned()).collect(),
        },
        groups: contents.into_iter().zip(weights).map(group).collect(),
        caps: vec![Cap {
            name: format!("{CAP_PREFIX}overdue_60_days"),
            feature: F::OverdueDays,
            at_least: 60,
            max_score: 40,
        }],
    }
}

fn line(feature: F, weight: u16, ramp: &[(i64, u8)]) -> CardLine {
    CardLine { feature, weight, ramp: Ramp(ramp.to_vec()) }
}

fn usage(trend: Option<u16>) -> Vec<CardLine> {
    let mut lines = vec![
        line(F::DaysSinceActive, 30, &[(2, 100), (21, 0)]),
        line(F::ActiveDays28d, 30, &[(2, 0), (16, 100)]),
    ];
    lines.extend(trend.map(|weight| line(F::UsageTrend28d, weight, &[(4_000, 0), (9_000, 100)])));
    lines
}

fn adoption() -> Vec<CardLine> {
    vec![
        line(F::SeatUtilisation, 60, &[(1_000, 0), (7_000, 100)]),
        line(F::FeatureBreadth, 40, &[(1_000, 0), (6_000, 100)]),
    ]
}

fn support() -> Vec<CardLine> {
    vec![
        line(F::UrgentTickets, 40, &[(0, 100), (3, 0)]),
        line(F::BreachedTickets, 30, &[(0, 100), (2, 0)]),
        line(F::UnresolvedShare, 30, &[(2_000, 100), (8_000, 0)]),
    ]
}

fn billing() -> Vec<CardLine> {
    vec![
        // Nothing is lost within the grace of the late-payment rule.
        line(F::OverdueDays, 70, &[(10, 100), (60, 0)]),
        line(F::PaymentDelay, 30, &[(0, 100), (30, 0)]),
    ]
}

fn sentiment() -> Vec<CardLine> {
    vec![line(F::Nps, 60, &[(-50, 0), (50, 100)]), line(F::NpsLatest, 40, &[(3, 0), (9, 100)])]
}
