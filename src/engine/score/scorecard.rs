//! Scorecards: which features count how much, for which accounts. The first card whose `when`
//! matches an account is used; the last one must match everybody.

use super::{PPM, Ramp, largest_remainder};
use crate::engine::account::{Facts, MasterField};
use crate::engine::feature::FeatureId;
use serde::{Deserialize, Serialize};

/// The scoring section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scoring {
    /// Percent of weight that must be backed by data, below which the score is unknown.
    pub coverage_floor_percent: u8,
    /// Bands of the score.
    pub bands: Bands,
    /// Cards, first match wins.
    pub scorecards: Vec<Card>,
}

/// Thresholds of the bands, in points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bands {
    /// Entered at or above `enter`, left below `leave`.
    pub healthy: BandThresholds,
    /// Entered below `enter`, left at or above `leave`.
    pub at_risk: BandThresholds,
}

/// Thresholds of one band, in points.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BandThresholds {
    /// Where it is entered.
    pub enter: u8,
    /// Where it is left.
    pub leave: u8,
}

/// Which accounts a card is for; an empty list matches everybody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScorecardWhen {
    /// Size segments.
    pub segment: Vec<String>,
    /// Lifecycle stages.
    pub lifecycle: Vec<String>,
}

/// One scorecard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Card {
    /// Its name, shown in explanations.
    pub name: String,
    /// Which accounts it is for.
    #[serde(default)]
    pub when: ScorecardWhen,
    /// Groups with their weights.
    pub groups: Vec<CardGroup>,
    /// Caps: conditions that hold the score down.
    #[serde(default)]
    pub caps: Vec<Cap>,
}

/// A group of features.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardGroup {
    /// Its name.
    pub name: String,
    /// Its weight among the groups.
    pub weight: u16,
    /// Its features.
    pub features: Vec<CardLine>,
}

/// A feature on a card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CardLine {
    /// The feature.
    pub feature: FeatureId,
    /// Its weight in the group.
    pub weight: u16,
    /// Its points.
    pub ramp: Ramp,
}

/// A cap: while `feature >= at_least`, the score is at most `max_score`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cap {
    /// Its name; `cap:` is put in front.
    #[serde(rename = "name", deserialize_with = "cap_name", serialize_with = "plain_cap_name")]
    pub name: String,
    /// The feature it watches.
    pub feature: FeatureId,
    /// From which value on it holds.
    pub at_least: i64,
    /// The highest score while it holds, in points.
    pub max_score: u8,
}

pub(super) const CAP_PREFIX: &str = "cap:";

fn cap_name<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Ok(format!("{CAP_PREFIX}{}", String::deserialize(deserializer)?))
}

fn plain_cap_name<S: serde::Serializer>(name: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name.strip_prefix(CAP_PREFIX).unwrap_or(name))
}

impl Serialize for FeatureId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.def().name)
    }
}

impl<'de> Deserialize<'de> for FeatureId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        FeatureId::by_name(&name).ok_or_else(|| {
            serde::de::Error::custom(format_args!(
                "`{name}` is not a feature; docs/features.md lists them all"
            ))
        })
    }
}

impl Cap {
    pub(super) fn limit_hundredths(&self) -> i16 {
        i16::from(self.max_score) * 100
    }

    /// After how many steps of `step` from a value the cap may begin or cease to hold.
    pub(super) fn steady_steps(&self, value: i64, step: i64) -> Option<i64> {
        let (holds, away) = (value >= self.at_least, value.saturating_sub(self.at_least).saturating_abs());
        ((step > 0 && !holds) || (step < 0 && holds)).then(|| (away / step.saturating_abs()).max(1))
    }
}

/// Most lines on one card: presence is a bit set.
pub(super) const MAX_LINES: usize = 32;

impl Scoring {
    pub(super) fn coverage_floor_bp(&self) -> u16 {
        u16::from(self.coverage_floor_percent) * 100
    }

    /// The number of the card for an account; checked configurations always have a match.
    pub(super) fn choose(&self, facts: &Facts) -> u8 {
        let fits = |wanted: &[String], field: MasterField| {
            wanted.is_empty() || facts.text(field).is_some_and(|value| wanted.iter().any(|w| w == value))
        };
        let place = self.scorecards.iter().position(|card| {
            fits(&card.when.segment, MasterField::Segment)
                && fits(&card.when.lifecycle, MasterField::Lifecycle)
        });
        place.unwrap_or(self.scorecards.len() - 1) as u8
    }

    /// What is wrong, each as (path below `scoring`, sentence).
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut note = |path: &str, sentence: &str| found.push((path.to_owned(), sentence.to_owned()));
        if self.coverage_floor_percent > 100 {
            note("coverage_floor_percent", "a percentage is at most 100");
        }
        let (healthy, at_risk) = (&self.bands.healthy, &self.bands.at_risk);
        if healthy.leave > healthy.enter || healthy.enter > 100 {
            note("bands.healthy", "`leave` must not be above `enter`, and `enter` at most 100");
        }
        if at_risk.leave < at_risk.enter || at_risk.leave > healthy.leave {
            note("bands.at_risk", "`leave` must lie between `enter` and the `leave` of healthy");
        }
        match self.scorecards.last() {
            None => note("scorecards", "at least one scorecard is needed"),
            Some(last) if last.when != ScorecardWhen::default() => {
                note("scorecards", "the last scorecard must match every account: leave its `when` out");
            }
            Some(_) if self.scorecards.len() > usize::from(u8::MAX) => {
                note("scorecards", "at most 255 scorecards");
            }
            Some(_) => {}
        }
        for (index, card) in self.scorecards.iter().enumerate() {
            card.problems(&format!("scorecards[{index}]"), &mut found);
        }
        found
    }
}

impl Card {
    /// Features in line order.
    pub fn lines(&self) -> impl Iterator<Item = &CardLine> {
        self.groups.iter().flat_map(|group| &group.features)
    }

    pub(super) fn grouped_lines(&self) -> impl Iterator<Item = (&str, &CardLine)> {
        self.groups.iter().flat_map(|group| group.features.iter().map(|line| (&*group.name, line)))
    }

    fn problems(&self, path: &str, found: &mut Vec<(String, String)>) {
        let mut note = |path: String, sentence: &str| found.push((path, sentence.to_owned()));
        if self.lines().count() == 0 || self.lines().count() > MAX_LINES {
            note(format!("{path}.groups"), "a scorecard has 1 to 32 features");
        }
        if self.groups.iter().map(|group| u32::from(group.weight)).sum::<u32>() == 0 {
            note(format!("{path}.groups"), "the weights of the groups sum to zero");
        }
        let mut seen = Vec::new();
        for (g, group) in self.groups.iter().enumerate() {
            for (f, line) in group.features.iter().enumerate() {
                let place = format!("{path}.groups[{g}].features[{f}]");
                if let Some(problem) = line.ramp.problem() {
                    note(format!("{place}.ramp"), &problem);
                }
                if line.weight == 0 {
                    note(format!("{place}.weight"), "a weight is at least 1; leave the feature out instead");
                }
                if line.feature.def().group() == "score" {
                    note(format!("{place}.feature"), "the score cannot depend on the score");
                }
                if seen.contains(&line.feature) {
                    note(format!("{place}.feature"), "the feature stands on this card twice");
                }
                seen.push(line.feature);
            }
        }
        for (c, cap) in self.caps.iter().enumerate() {
            if cap.max_score > 100 {
                note(format!("{path}.caps[{c}].max_score"), "a score is at most 100");
            }
        }
    }

    /// Share of weight whose features are present, basis points.
    pub(super) fn coverage_bp(&self, mask: u32) -> u16 {
        let (mut present, mut total, mut bit) = (0_u64, 0_u64, 0);
        for group in &self.groups {
            let sum: u64 = group.features.iter().map(|line| u64::from(line.weight)).sum();
            let mut here = 0;
            for line in &group.features {
                here += if mask >> bit & 1 == 1 { u64::from(line.weight) } else { 0 };
                bit += 1;
            }
            // Weights inside a group are shares of the group's weight.
            let scale = u64::from(group.weight) * 1_000_000;
            present += (scale * here).checked_div(sum).unwrap_or(0);
            total += if group.features.is_empty() { 0 } else { scale };
        }
        (present * 10_000).checked_div(total).unwrap_or(0) as u16
    }

    /// Effective weights in parts per million, summing to exactly one million, for the features
    /// in `mask`.
    pub(super) fn effective_weights(&self, mask: u32) -> Box<[u32]> {
        let mut shares: Vec<(u64, u64)> = Vec::new();
        let mut bit = 0;
        for group in &self.groups {
            let first = shares.len();
            let mut sum = 0;
            for line in &group.features {
                let weight = if mask >> bit & 1 == 1 { u64::from(line.weight) } else { 0 };
                bit += 1;
                sum += weight;
                shares.push((u64::from(group.weight) * weight, 0));
            }
            shares[first..].iter_mut().for_each(|share| share.1 = sum);
        }
        // Shares of a group with data, on a common scale of 2^32 per unit of group weight.
        let scaled: Vec<u128> = shares
            .iter()
            .map(|&(weight, sum)| if sum == 0 { 0 } else { (u128::from(weight) << 32) / u128::from(sum) })
            .collect();
        let total: u128 = scaled.iter().sum();
        if total == 0 {
            return vec![0; scaled.len()].into();
        }
        let numerators = scaled.iter().map(|&share| (share * u128::from(PPM) * 1024 / total) as u64);
        largest_remainder::<1024>(numerators, PPM.into()).into_iter().map(|weight| weight as u32).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::default_scoring;
    use super::*;

    #[test]
    fn the_defaults_are_sound() {
        assert_eq!(default_scoring().problems(), vec![]);
    }

    #[test]
    fn effective_weights_always_sum_to_a_million() {
        let scoring = default_scoring();
        for card in &scoring.scorecards {
            let lines = card.lines().count();
            for mask in 1..(1_u32 << lines) {
                assert_eq!(card.effective_weights(mask).iter().sum::<u32>(), PPM, "{mask:b}");
            }
            assert_eq!(card.coverage_bp((1 << lines) - 1), 10_000);
            assert_eq!(card.coverage_bp(0), 0);
        }
    }

    #[test]
    fn an_absent_feature_gives_its_weight_to_its_group_and_an_empty_group_to_the_others() {
        let scoring = default_scoring();
        let card = scoring.scorecards.last().unwrap();
        let all = (1_u32 << card.lines().count()) - 1;
        // Without the trend (line 2), usage keeps 35 % in total.
        let weights = card.effective_weights(all & !0b100);
        assert_eq!(weights[0] + weights[1], 350_000);
        // Without relationship (the last line), the others share its 10 %.
        let last = card.lines().count() - 1;
        let weights = card.effective_weights(all & !(1 << last));
        assert_eq!(weights[0] + weights[1] + weights[2], 388_889);
    }
}
