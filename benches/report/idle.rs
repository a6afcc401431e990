//! What an instance takes that has accounts and nothing to do.

use accountpulse::clock;

use crate::cluster::{Cluster, Job, Observer};
use crate::figures::{beside, tell};
use crate::instance::{Watched, wait_for};
use crate::measure::{cpu_seconds, resident_bytes};
use crate::sizes::Sizes;
use crate::workload::{self, Encoding, load};

use std::time::Duration;

/// Events per account beside its first.
const MORE: u64 = 2;
/// Pages are written for so long at most before it is quiet.
const LONGEST: Duration = Duration::from_secs(240);
/// It is quiet when no page was written for so long.
const QUIET: Duration = Duration::from_secs(8);
/// The shortest time between two rounds, so that the last pages come soon.
const MORE_SETTINGS: &str = "checkpoint_round: 5s\n";

/// `idle_cpu`.
pub fn run(cluster: &Cluster, sizes: &Sizes) {
    let mut options = workload::until_now(u64::from(sizes.idle_accounts) * MORE);
    (options.accounts, options.days) = (sizes.idle_accounts, 7);
    let loaded = load(cluster, "idle", Encoding::Json, workload::ending_now(options), true);
    let job = Job { name: "idle-run", inputs: "idle", more: MORE_SETTINGS };
    let config = cluster.create(job);
    let instance = Watched::start(&cluster.folder().join(job.name), &config);
    wait_for(&Observer::new(cluster, job.name, job.inputs), loaded.events, |_| ());
    instance.wait_until_live();
    wait_until_quiet(&instance);
    assert_eq!(
        instance.metric("accountpulse_accounts"),
        f64::from(options.accounts),
        "not all accounts are there"
    );
    let (begun, cpu) = (clock::monotonic(), cpu_seconds(instance.pid));
    let commits = instance.metric("accountpulse_commits_total");
    clock::pause(sizes.idle);
    let seconds = begun.elapsed().as_secs_f64();
    tell("idle_cpu", (cpu_seconds(instance.pid) - cpu) / seconds);
    beside("idle_cpu/accounts", f64::from(options.accounts), "accounts");
    let commits = instance.metric("accountpulse_commits_total") - commits;
    beside("idle_cpu/commits", commits / seconds, "per_s");
    beside("idle_cpu/resident", resident_bytes(instance.pid) as f64 / 1e6, "MB");
}

/// Until no page is left to write.
fn wait_until_quiet(instance: &Watched) {
    let begun = clock::monotonic();
    let (mut written, mut since) = (f64::NAN, clock::monotonic());
    while since.elapsed() < QUIET {
        assert!(begun.elapsed() < LONGEST, "pages are written for ever");
        let now = instance.metric("accountpulse_checkpoint_bytes_total");
        if now != written {
            (written, since) = (now, clock::monotonic());
        }
        clock::pause(Duration::from_millis(500));
    }
}
