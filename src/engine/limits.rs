//! Every limit of the engine, by name. Limits decide what stored bytes mean, so they are fixed
//! with the state; changing one needs a migration.

use super::time::DurationMs;
use serde::{Deserialize, Serialize};

/// Limits per account and per shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Persons remembered per account; the one quiet for longest is forgotten first.
    pub people: usize,
    /// Features counted per account.
    pub features: usize,
    /// Tickets remembered per account; the one written longest ago is forgotten first.
    pub tickets: usize,
    /// Invoices remembered per account.
    pub invoices: usize,
    /// Survey responses remembered per account.
    pub surveys: usize,
    /// Contacts remembered per account.
    pub contacts: usize,
    /// Contracts remembered per account.
    pub contracts: usize,
    /// Fingerprints of counted events per account, kind and input topic; beyond it the
    /// duplicate horizon shrinks.
    pub fingerprints: usize,
    /// Accounts per shard; events of further accounts are refused, existing ones are unaffected.
    pub accounts_per_shard: usize,
    /// How long a resent login or usage event is recognised, in the event time of its own topic.
    /// Older ones are put aside as late.
    pub duplicate_horizon: DurationMs,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            people: 20_000,
            features: 64,
            tickets: 250,
            invoices: 200,
            surveys: 250,
            contacts: 200,
            contracts: 100,
            fingerprints: 100_000,
            accounts_per_shard: 1_000_000,
            duplicate_horizon: DurationMs::hours(24),
        }
    }
}
