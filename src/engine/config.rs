//! What the engine is configured with. Shape and checked value are one type here: every field
//! has a default, and [`EngineConfig::problems`] says what is wrong.

use super::limits::Limits;
use super::rule::Rules;
use super::score::{Scoring, default_scoring};
use super::time::{Calendar, DAY_MS, DurationMs};
use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

/// The engine's configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Added to UTC before the day is taken. Fixed with the state.
    pub day_offset: DurationMs,
    /// Named limits. Fixed with the state.
    pub limits: Limits,
    /// Scorecards and bands.
    pub scoring: Scoring,
    /// Thresholds of the rules.
    pub rules: Rules,
}

impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            day_offset: DurationMs(0),
            limits: Limits::default(),
            scoring: default_scoring(),
            rules: Rules::default(),
        }
    }
}

impl EngineConfig {
    /// Twelve hex digits that name what decides: scorecards and rules.
    pub fn version(&self) -> String {
        let text = serde_json::to_string(&(&self.scoring, &self.rules)).unwrap_or_default();
        format!("{:012x}", xxh3_64(text.as_bytes()) & 0xffff_ffff_ffff)
    }

    /// Twelve hex digits that name what stored bytes mean: day offset, limits. State written
    /// under another value is refused.
    pub fn state_version(&self) -> String {
        let text = serde_json::to_string(&(self.day_offset, &self.limits)).unwrap_or_default();
        format!("{:012x}", xxh3_64(text.as_bytes()) & 0xffff_ffff_ffff)
    }

    /// The deployment's calendar.
    pub fn calendar(&self) -> Calendar {
        Calendar { offset_ms: self.day_offset.0 }
    }

    /// Everything that is wrong, each as (path, sentence).
    pub fn problems(&self) -> Vec<(String, String)> {
        let under = |section: &str, found: Vec<(String, String)>| {
            found
                .into_iter()
                .map(move |(path, sentence)| (format!("{section}.{path}"), sentence))
                .collect::<Vec<_>>()
        };
        let mut found = under("scoring", self.scoring.problems());
        found.extend(under("rules", self.rules.problems()));
        if self.day_offset.0 >= DAY_MS {
            found.push(("day_offset".to_owned(), "an offset is less than a day".to_owned()));
        }
        if self.limits.duplicate_horizon.0 < 60_000 {
            let sentence = "at least one minute, or resent events would be counted twice";
            found.push(("limits.duplicate_horizon".to_owned(), sentence.to_owned()));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_sound_and_versions_follow_content() {
        let config = EngineConfig::default();
        assert_eq!(config.problems(), vec![]);
        let mut other = config.clone();
        other.rules.inactivity.after_days = 21;
        assert_ne!(config.version(), other.version());
        assert_eq!(config.state_version(), other.state_version());
    }
}
