//! A million typical accounts in the memory of one process: what each of them weighs, all
//! included, and how much slower events become than with ten thousand of them.

use accountpulse::engine::Shard;
use accountpulse::engine::partition::partition_of;
use accountpulse::simulate::WorkloadOptions;

use crate::corpus::{self, Corpus, apply, decode, drain};
use crate::figures::{Wanted, beside, tell};
use crate::measure::{Cost, Meter, peak_bytes, resident_bytes};
use crate::sizes::Sizes;
use crate::typical::{self, SHARDS};
use crate::workload::Encoding;

const HOUR_MS: i64 = 3_600_000;
/// The days of all accounts turn within half an hour after midnight.
const AFTER_MIDNIGHT_MS: i64 = 40 * 60_000;
/// Turns that the two sizes take at being measured.
const TURNS: usize = 4;
/// Events of a turn between two drains.
const BATCH_EVENTS: usize = 5_000;

/// `bytes_per_account`, `accounts_ratio`.
pub fn run(sizes: &Sizes, wanted: &Wanted) {
    let me = std::process::id();
    let before = resident_bytes(me);
    let (accounts, threads) = (sizes.typical_accounts, sizes.threads);
    eprintln!("# a year of {accounts} typical accounts on {threads} threads");
    let mut many = typical::make(accounts, threads);
    let held = resident_bytes(me).saturating_sub(before) as f64;
    if wanted.has("bytes_per_account") {
        let each = |bytes: f64| bytes / f64::from(accounts);
        tell("bytes_per_account", each(held));
        beside("bytes_per_account/accounts", f64::from(accounts), "accounts");
        let peak = peak_bytes(me).saturating_sub(before) as f64;
        beside("bytes_per_account/at_the_peak", each(peak), "bytes");
        let pages = (0..=u8::MAX).map(accountpulse::engine::PageId);
        let stored: usize = pages.map(|page| many[0].encode_page(page).len()).sum();
        beside("bytes_per_account/in_pages", stored as f64 / many[0].accounts() as f64, "bytes");
    }
    if wanted.has("accounts_ratio") {
        let few = accounts / 100;
        let mut few = Measured::new(typical::make(few, threads), few, sizes.ratio_events);
        let mut many = Measured::new(std::mem::take(&mut many), accounts, sizes.ratio_events);
        for turn in 0..TURNS {
            few.turn(turn);
            many.turn(turn);
        }
        tell("accounts_ratio", few.cost.cpu_seconds / many.cost.cpu_seconds);
        for (what, measured) in [("few", &few), ("many", &many)] {
            let beside =
                |name: &str, value, unit| beside(&format!("accounts_ratio/{what}{name}"), value, unit);
            beside("", f64::from(measured.accounts), "accounts");
            beside("_event", measured.cost.ns_per(measured.applied), "ns/event");
            beside("_outputs_per_event", measured.outputs as f64 / measured.applied as f64, "records");
        }
    }
}

/// Accounts, and events for them within one day, after the midnight at which their days turned.
struct Measured {
    accounts: u32,
    shards: Vec<Shard>,
    corpus: Corpus,
    cost: Cost,
    applied: u64,
    outputs: u64,
}

impl Measured {
    fn new(mut shards: Vec<Shard>, accounts: u32, events: u64) -> Measured {
        let mut options = WorkloadOptions::new(7, events);
        (options.accounts, options.days, options.start_ms) =
            (accounts, 1, typical::END_MS + AFTER_MIDNIGHT_MS);
        let corpus = Corpus::new(options, Encoding::Json);
        // The last day turns, outside the measurement.
        for shard in &mut shards {
            corpus::advance(shard, options.start_ms);
        }
        Measured { accounts, shards, corpus, cost: Cost::default(), applied: 0, outputs: 0 }
    }

    /// The next part of the events, on this thread alone.
    fn turn(&mut self, turn: usize) {
        let key = corpus::key();
        let part = self.corpus.len() as usize / TURNS;
        // Before the next midnight.
        let end_ms = typical::END_MS + 24 * HOUR_MS;
        let mut records = self.corpus.records().skip(turn * part).take(part).peekable();
        let meter = Meter::start();
        while records.peek().is_some() {
            let mut newest_ms = i64::MIN;
            for record in records.by_ref().take(BATCH_EVENTS) {
                let event = decode(record, Encoding::Json, &key);
                if event.occurred_at_ms >= end_ms {
                    continue;
                }
                newest_ms = event.occurred_at_ms;
                let shard = partition_of(event.account.as_bytes(), SHARDS);
                apply(&mut self.shards[shard as usize], &event);
                self.applied += 1;
            }
            for shard in &mut self.shards {
                self.outputs += if newest_ms > i64::MIN { corpus::advance(shard, newest_ms) } else { 0 };
                self.outputs += drain(shard, newest_ms);
            }
        }
        self.cost.add(meter.stop());
    }
}
