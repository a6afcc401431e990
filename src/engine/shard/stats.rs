//! Numbers about a shard for metrics, kept account by account as decisions change: asking for them
//! must not walk a million accounts.
//!
//! To add a number: in [`Counted`] what one account adds to it, and in [`Counts`] the sum.

use crate::engine::account::{Band, Decisions};
use crate::engine::risk::firing_severity;
use crate::engine::rule::{RULES, RuleId, Severity};
use std::collections::BTreeMap;

/// Numbers about a shard, for metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Accounts by band, worst first, as [`Band::ALL`].
    pub by_band: [u64; 3],
    /// Accounts whose score is unknown.
    pub unknown: u64,
    /// Firing risks by (rule key, severity).
    pub firing: Vec<(&'static str, Severity, u64)>,
}

/// What one account adds to the numbers.
#[derive(Debug, Default)]
pub(super) struct Counted {
    band: Option<Band>,
    firing: Box<[(RuleId, Severity)]>,
}

/// The sums.
#[derive(Debug, Default)]
pub(super) struct Counts {
    by_band: [u64; 3],
    unknown: u64,
    firing: BTreeMap<(RuleId, Severity), u64>,
}

impl Counts {
    /// An account is new: nothing is known of it yet.
    pub(super) fn admit(&mut self) {
        self.unknown += 1;
    }

    /// The decisions about an account may have changed.
    pub(super) fn recount(&mut self, counted: &mut Counted, decisions: &Decisions) {
        let firing = || decisions.risks.iter().filter_map(|risk| Some((risk.rule, firing_severity(risk)?)));
        if counted.band != decisions.band {
            *self.of_band(counted.band) -= 1;
            *self.of_band(decisions.band) += 1;
            counted.band = decisions.band;
        }
        if !counted.firing.iter().copied().eq(firing()) {
            // What is taken away was added when it was counted.
            counted.firing.iter().for_each(|risk| *self.firing.entry(*risk).or_default() -= 1);
            counted.firing = firing().collect();
            counted.firing.iter().for_each(|risk| *self.firing.entry(*risk).or_default() += 1);
        }
    }

    fn of_band(&mut self, band: Option<Band>) -> &mut u64 {
        band.map_or(&mut self.unknown, |band| &mut self.by_band[band as usize])
    }

    pub(super) fn stats(&self) -> ShardStats {
        let firing = RULES.iter().flat_map(|rule| {
            let id = rule.id();
            let count = move |severity| self.firing.get(&(id, severity)).copied().unwrap_or(0);
            Severity::ALL.into_iter().map(move |severity| (rule.key, severity, count(severity)))
        });
        ShardStats { by_band: self.by_band, unknown: self.unknown, firing: firing.collect() }
    }
}
