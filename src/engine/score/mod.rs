//! The score: features become points by ramps, points become contributions by weights,
//! contributions sum to the score — exactly, in integer hundredths.
//!
//! Absent features give their weight to the rest of their group, empty groups theirs to the
//! other groups. Coverage is the share of weight that was backed by data; under a floor the
//! score is unknown rather than a guess. A cap is a line of its own.
//!
//! Rounding (so that anyone can recompute it): effective weights are parts per million that sum
//! to exactly 1,000,000 (largest remainder, ties in line order); a contribution is
//! weight * points; the score is their sum rounded half up to hundredths; contributions are
//! rounded to hundredths by largest remainder, ties in line order, so that they sum to the score.

mod defaults;
mod points;
mod ramp;
mod scorecard;

pub use defaults::default_scoring;
pub use points::Points;
pub(super) use points::UNFORESEEN;
pub use ramp::Ramp;
use scorecard::MAX_LINES;
pub use scorecard::{BandThresholds, Bands, Cap, Card, CardGroup, CardLine, ScorecardWhen, Scoring};

use super::account::Band;
use super::feature::FeatureId;
use super::record::LineWords;
use super::time::Day;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// Parts per million.
const PPM: u32 = 1_000_000;

/// An evaluated score.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Score {
    /// Hundredths of a point, 0 to 10000; `None` = unknown.
    pub hundredths: Option<i16>,
    /// Share of weight backed by data, basis points.
    pub coverage_bp: u16,
}

/// How much of a score is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CoverageClass {
    /// Below the floor: the score is unknown.
    Unknown,
    /// Part of the weight is backed by data.
    Partial,
    /// At least 80 %.
    Full,
}

/// One line of an explanation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// What it is called.
    pub name: &'a LineName,
    /// The feature, unless it is a cap.
    pub feature: Option<FeatureId>,
    /// Points, hundredths; `None` for caps.
    pub points: Option<i16>,
    /// The value of the feature, unless it has to be computed again.
    pub value: Option<i64>,
    /// Effective weight, parts per million.
    pub weight_ppm: u32,
    /// Contribution, hundredths.
    pub contribution: i16,
}

/// The words of a line and its number, made once for all explanations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineName {
    /// See [`line_number`].
    pub number: u32,
    /// Feature name, or `cap:` and the cap's name; group (`cap` for caps); unit.
    pub words: LineWords,
}

impl LineName {
    fn new(line: &str, group: &str, unit: Option<&str>) -> LineName {
        LineName { number: line_number(line), words: LineWords::new(line, group, unit) }
    }
}

/// The stable number of a line, for stored explanations.
pub fn line_number(name: &str) -> u32 {
    xxh3_64(name.as_bytes()) as u32
}

/// Computes scores for one configuration; remembers effective weights by which features are
/// present, since those combinations are few.
#[derive(Debug)]
pub struct Scorer {
    scoring: Scoring,
    cards: Vec<points::Touched>,
    /// The names of each card's lines, then those of its caps.
    names: Vec<Vec<LineName>>,
    weights: HashMap<(u8, u32), Weights, FixedState>,
}

/// What follows from which features are present.
#[derive(Debug)]
struct Weights {
    coverage_bp: u16,
    /// Parts per million by line; empty below the coverage floor.
    ppm: Box<[u32]>,
}

impl Scorer {
    /// A scorer for a checked configuration.
    pub fn new(scoring: Scoring) -> Self {
        let cards = scoring.scorecards.iter().map(points::Touched::new).collect();
        let names = |card: &Card| {
            let lines = card.grouped_lines().map(|(group, line)| {
                let def = line.feature.def();
                LineName::new(def.name, group, Some(def.unit.name()))
            });
            lines.chain(card.caps.iter().map(|cap| LineName::new(&cap.name, "cap", None))).collect()
        };
        let names = scoring.scorecards.iter().map(names).collect();
        Scorer { cards, names, scoring, weights: HashMap::default() }
    }

    /// The configuration.
    pub fn scoring(&self) -> &Scoring {
        &self.scoring
    }

    /// The score of refreshed points.
    pub fn score(&mut self, points: &Points) -> Score {
        let (total, coverage_bp) = self.uncapped(points);
        let hundredths = total.map(|total| match self.cap(points) {
            Some(cap) => total.min(cap.limit_hundredths()),
            None => total,
        });
        Score { hundredths, coverage_bp }
    }

    fn cap(&self, points: &Points) -> Option<&Cap> {
        let card = &self.scoring.scorecards[usize::from(points.card)];
        card.caps.get(usize::from(points.cap()?))
    }

    fn weights(&mut self, card_index: u8, mask: u32) -> &Weights {
        let scoring = &self.scoring;
        self.weights.entry((card_index, mask)).or_insert_with(|| {
            let card = &scoring.scorecards[usize::from(card_index)];
            let coverage_bp = card.coverage_bp(mask);
            let known = mask != 0 && coverage_bp >= scoring.coverage_floor_bp();
            let ppm = if known { card.effective_weights(mask) } else { Box::default() };
            Weights { coverage_bp, ppm }
        })
    }

    /// (sum of contributions before a cap, coverage).
    fn uncapped(&mut self, points: &Points) -> (Option<i16>, u16) {
        let Weights { coverage_bp, ppm } = self.weights(points.card, points.mask());
        if ppm.is_empty() {
            return (None, *coverage_bp);
        }
        let sum: u64 = products(ppm, points).sum();
        (Some(((sum + u64::from(PPM / 2)) / u64::from(PPM)) as i16), *coverage_bp)
    }

    /// The features of the card that have no value, also when the score is unknown for that.
    pub fn absent(&self, points: &Points) -> impl Iterator<Item = &'static str> {
        let card = &self.scoring.scorecards[usize::from(points.card)];
        let lines = card.lines().zip(points.lines()).filter(|(_, points)| points.is_none());
        lines.map(|(line, _)| line.feature.def().name)
    }

    /// The lines of the explanation on a day that have a value, and the cap that holds; contributions
    /// sum to the score. Empty when it is unknown.
    pub fn explain(&mut self, points: &Points, today: Day) -> Vec<Line<'_>> {
        let (Some(total), _) = self.uncapped(points) else { return Vec::new() };
        // A known total means the weights are remembered.
        let Some(weights) = self.weights.get(&(points.card, points.mask())).map(|weights| &weights.ppm)
        else {
            return Vec::new();
        };
        let card = &self.scoring.scorecards[usize::from(points.card)];
        let names = &self.names[usize::from(points.card)];
        let shares = largest_remainder::<{ PPM as u64 }>(products(weights, points), total as u64);
        let mut lines = Vec::with_capacity(shares.len() + 1);
        let numbers = points.lines().zip(points.values(today)).zip(weights.iter().zip(shares));
        for ((line, name), ((points, value), (&weight_ppm, share))) in card.lines().zip(names).zip(numbers) {
            if points.is_some() {
                let (feature, contribution) = (Some(line.feature), share as i16);
                lines.push(Line { name, feature, points, value, weight_ppm, contribution });
            }
        }
        let first_cap = names.len() - card.caps.len();
        let cap =
            points.cap().map(usize::from).and_then(|cap| card.caps.get(cap).zip(names.get(first_cap + cap)));
        if let Some((cap, name)) = cap {
            let contribution = cap.limit_hundredths().min(total) - total;
            let (feature, points, value) = (None, None, None);
            lines.push(Line { name, feature, points, value, weight_ppm: 0, contribution });
        }
        lines
    }
}

/// Weight times points, line by line; absent lines weigh nothing.
fn products(ppm: &[u32], points: &Points) -> impl Iterator<Item = u64> {
    ppm.iter().zip(points.lines()).map(|(&weight, points)| u64::from(weight) * points.unwrap_or(0) as u64)
}

/// Rounds each of `numerators / DENOMINATOR` to integers that sum to `total`: floors first, then one
/// more for the largest remainders, ties by position.
fn largest_remainder<const DENOMINATOR: u64>(numerators: impl Iterator<Item = u64>, total: u64) -> Vec<u64> {
    let (mut shares, mut remainders) = (Vec::with_capacity(MAX_LINES), [TAKEN; MAX_LINES]);
    // A card has no more lines than that.
    for (remainder, numerator) in remainders.iter_mut().zip(numerators) {
        shares.push(numerator / DENOMINATOR);
        *remainder = (numerator % DENOMINATOR) as i64;
    }
    let remainders = &mut remainders[..shares.len()];
    for _ in shares.iter().sum::<u64>()..total {
        // Of equal ones the last is found, so the first.
        let largest = remainders.iter().enumerate().rev().max_by_key(|(_, remainder)| **remainder);
        let Some((index, 0..)) = largest else { break };
        shares[index] += 1;
        remainders[index] = TAKEN;
    }
    shares
}

/// Below every remainder.
const TAKEN: i64 = -1;

/// Whole points, rounded half up.
pub fn whole_points(hundredths: i16) -> u8 {
    ((hundredths + 50) / 100) as u8
}

/// The next band, given the one before: each band has its own threshold to enter and to leave.
pub fn next_band(bands: &Bands, before: Option<Band>, score: Option<i16>) -> Option<Band> {
    let score = i32::from(score?);
    let (healthy, at_risk) = (&bands.healthy, &bands.at_risk);
    let at_least = |points: u8| score >= i32::from(points) * 100;
    let band = match before {
        Some(Band::Healthy) if at_least(healthy.leave) => Band::Healthy,
        Some(Band::AtRisk) if !at_least(at_risk.leave) => Band::AtRisk,
        _ if at_least(healthy.enter) => Band::Healthy,
        _ if !at_least(at_risk.enter) => Band::AtRisk,
        _ => Band::Watch,
    };
    Some(band)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bands_have_hysteresis() {
        let bands = default_scoring().bands;
        let walk = |scores: &[i16]| {
            let mut band = None;
            scores.iter().for_each(|&score| band = next_band(&bands, band, Some(score)));
            band
        };
        assert_eq!(walk(&[8000]), Some(Band::Healthy));
        assert_eq!(walk(&[8000, 7100]), Some(Band::Healthy));
        assert_eq!(walk(&[8000, 6900, 7100]), Some(Band::Watch));
        assert_eq!(walk(&[4000, 4700]), Some(Band::AtRisk));
        assert_eq!(walk(&[4000, 5100, 4700]), Some(Band::Watch));
        assert_eq!(next_band(&bands, Some(Band::Healthy), None), None);
    }

    #[test]
    fn shares_sum_to_the_total_and_ties_go_by_position() {
        assert_eq!(largest_remainder::<10>([15, 15, 10].into_iter(), 4), vec![2, 1, 1]);
        assert_eq!(largest_remainder::<10>([3, 3, 4].into_iter(), 1), vec![0, 0, 1]);
        assert_eq!(largest_remainder::<10>([20, 0, 7].into_iter(), 4), vec![3, 0, 1]);
        assert_eq!(largest_remainder::<10>([20, 7].into_iter(), 9), vec![3, 1]);
    }

    #[test]
    fn whole_points_round_half_up() {
        assert_eq!([0, 49, 50, 6342, 10_000].map(whole_points), [0, 0, 1, 63, 100]);
    }
}
