//! One run of the program as a child process over topics that were loaded before, from its first
//! commit until nothing is left, watched from outside.

use std::time::{Duration, Instant};

use accountpulse::clock;

use crate::cluster::{Cluster, Observer};
use crate::process::Process;

/// Between two looks at the run.
const LOOK: Duration = Duration::from_millis(20);
/// A run that is not through by then is given up.
const LONGEST: Duration = Duration::from_secs(1800);

/// What a run took.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Events between the first look that saw a commit and the last.
    pub events: u64,
    pub seconds: f64,
    /// Of the whole process.
    pub cpu_seconds: f64,
    /// Events of the whole run and what was told about them.
    pub all: f64,
    pub scores: f64,
    pub risks: f64,
    /// Refused or late: they are written too, and none are expected.
    pub dead_letters: f64,
    pub commits: f64,
    /// Mean duration of a commit.
    pub commit_seconds: f64,
    pub page_bytes: f64,
}

impl Run {
    pub fn rate(&self) -> f64 {
        self.events as f64 / self.seconds
    }

    pub fn cpu_per_million(&self) -> f64 {
        self.cpu_seconds / (self.events as f64 / 1e6)
    }

    pub fn outputs_per_event(&self) -> f64 {
        (self.scores + self.risks + self.dead_letters) / self.all
    }
}

/// Runs an instance over all of `inputs`; `watch` is told its pid at its first commit, and what it
/// returns is dropped with the last.
pub fn run<W>(cluster: &Cluster, name: &str, inputs: &str, total: u64, watch: impl FnOnce(u32) -> W) -> Run {
    let config = cluster.create(name, inputs);
    let observer = Observer::new(cluster, name, inputs);
    let process = Process::start(&cluster.folder().join(name), &["-c", &config]);
    let pid = process.child.id();
    let begun = clock::monotonic();
    let first = wait_for(&observer, 1, begun);
    let (start, start_cpu) = (clock::monotonic(), cpu_seconds(pid));
    let watched = watch(pid);
    wait_for(&observer, total, begun);
    let seconds = clock::monotonic().duration_since(start).as_secs_f64();
    let cpu_seconds = cpu_seconds(pid) - start_cpu;
    drop(watched);
    process.wait_for("accountpulse_events_consumed_total", |consumed| consumed >= total as f64);
    let commits = process.metric("accountpulse_commits_total");
    let metric = |name| process.metric(name);
    Run {
        events: total - first,
        seconds,
        cpu_seconds,
        all: metric("accountpulse_events_consumed_total"),
        scores: metric("accountpulse_scores_published_total"),
        risks: metric("accountpulse_risks_published_total"),
        dead_letters: metric("accountpulse_events_rejected_total") + metric("accountpulse_events_late_total"),
        commits,
        commit_seconds: metric("accountpulse_commit_seconds_sum") / commits,
        page_bytes: metric("accountpulse_checkpoint_bytes_total"),
    }
}

/// Waits until so many records are handled; how many are.
pub fn wait_for(observer: &Observer, records: u64, begun: Instant) -> u64 {
    loop {
        let committed = observer.committed();
        if committed >= records {
            return committed;
        }
        assert!(begun.elapsed() < LONGEST, "only {committed} of {records} records are handled");
        clock::pause(LOOK);
    }
}

/// User and system time of a process so far, all threads, from Linux' `/proc`; its tick is 10 ms.
pub fn cpu_seconds(pid: u32) -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The second field is a name in brackets and may hold spaces; utime and stime are 14 and 15.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>() as f64 / TICKS_PER_SECOND
}
