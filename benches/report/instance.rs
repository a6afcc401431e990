//! The program as a child process on the bench's cluster, watched from outside.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use accountpulse::app::instance::Instance;
use accountpulse::clock;

use crate::cluster::{Cluster, Job, Observer, PARTITIONS};
use crate::measure::cpu_seconds;
use crate::process::{Process, accountpulse};

/// Between two looks at a run.
const LOOK: Duration = Duration::from_millis(20);
/// A run that gets no further for so long is given up.
const STUCK: Duration = Duration::from_secs(120);
/// How far the clock of an instance may be behind the present that has nothing to catch up with.
const LIVE_SECONDS: f64 = 10.0;

/// An instance and what it says.
pub struct Watched {
    pub process: Process,
    pub pid: u32,
    pub started: Instant,
    /// Lines of its log, each with the time it was said.
    pub said: Receiver<(Instant, String)>,
}

impl Watched {
    /// Starts an instance and waits until it listens.
    pub fn start(data: &Path, config: &str) -> Watched {
        let started = clock::monotonic();
        let folder = data.to_str().expect("a path in UTF-8");
        let mut child = accountpulse(&["run", "--data", folder, "--listen", "127.0.0.1:0", "-c", config])
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let (say, said) = channel();
        let (run, runs) = channel();
        // The pipe must be read, or a chatty process would stop at a full one.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.contains("accountpulse runs") {
                    let _ = run.send(());
                }
                if line.contains(" WARN ") || line.contains(" ERROR ") {
                    eprintln!("# {line}");
                }
                // Nobody may be interested any more.
                let _ = say.send((clock::monotonic(), line));
            }
        });
        runs.recv().expect("the instance runs");
        let url = Instance::read(data).expect("a running instance leaves a note").url;
        let pid = child.id();
        // Its lines go to whoever has `said`, with their times.
        let process = Process { child, data: data.to_owned(), url, lines: Arc::default() };
        Watched { process, pid, started, said }
    }

    pub fn metric(&self, name: &str) -> f64 {
        metric_at(&self.process.url, name)
    }

    /// Scores and transitions so far.
    pub fn told(&self) -> f64 {
        self.metric("accountpulse_scores_published_total") + self.metric("accountpulse_risks_published_total")
    }

    /// Until nothing waits and its clocks have come to the present: days that turn late are another
    /// load than a live one.
    pub fn wait_until_live(&self) {
        let delay = || self.metric("accountpulse_clock_delay_seconds") / f64::from(PARTITIONS);
        let begun = clock::monotonic();
        while self.process.get("/readyz").0 != 200 || delay() > LIVE_SECONDS {
            assert!(begun.elapsed() < 3 * STUCK, "not live: {}", self.process.get("/readyz?verbose").1);
            clock::pause(Duration::from_millis(250));
        }
    }
}

/// Sum of all series of a metric, asked of an instance by its address.
pub fn metric_at(url: &str, name: &str) -> f64 {
    series_at(url, name).into_iter().sum()
}

/// Every series of a metric.
pub fn series_at(url: &str, name: &str) -> Vec<f64> {
    let Ok(mut answer) = ureq::get(format!("{url}/metrics")).call() else { return Vec::new() };
    let text = answer.body_mut().read_to_string().unwrap_or_default();
    let of_metric = |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    let value = |line: &str| line.rsplit(' ').next()?.parse::<f64>().ok();
    text.lines().filter(of_metric).filter_map(value).collect()
}

/// What a run took.
#[derive(Clone, Debug)]
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
    /// Records handled, by seconds since the first look.
    pub progress: Vec<(f64, u64)>,
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

    /// Mean time between two commits of a worker.
    pub fn commit_interval_ms(&self, workers: u32) -> f64 {
        self.seconds * 1e3 * f64::from(workers) / self.commits
    }

    /// When so many records were handled.
    pub fn second_of(&self, records: u64) -> f64 {
        let after = self.progress.iter().position(|(_, done)| *done >= records);
        let after = after.unwrap_or(self.progress.len() - 1);
        let (high_at, high) = self.progress[after];
        let (low_at, low) = self.progress[after.saturating_sub(1)];
        if high == low {
            return high_at;
        }
        low_at + (high_at - low_at) * (records.saturating_sub(low)) as f64 / (high - low) as f64
    }

    /// How many records were handled by then.
    pub fn records_at(&self, second: f64) -> u64 {
        let after = self.progress.iter().position(|(at, _)| *at >= second).unwrap_or(self.progress.len() - 1);
        self.progress[after].1
    }
}

/// Runs an instance over all of its inputs; `watch` is told of it at its first commit, and what it
/// returns is dropped with the last.
pub fn run<W>(cluster: &Cluster, job: Job<'_>, total: u64, watch: impl FnOnce(&Watched) -> W) -> Run {
    let config = cluster.create(job);
    let observer = Observer::new(cluster, job.name, job.inputs);
    let instance = Watched::start(&cluster.folder().join(job.name), &config);
    let first = wait_for(&observer, 1, |_| ());
    let (start, start_cpu) = (clock::monotonic(), cpu_seconds(instance.pid));
    let watched = watch(&instance);
    let mut progress = vec![(0.0, first)];
    wait_for(&observer, total, |done| progress.push((start.elapsed().as_secs_f64(), done)));
    let seconds = start.elapsed().as_secs_f64();
    let cpu_seconds = cpu_seconds(instance.pid) - start_cpu;
    drop(watched);
    instance.process.wait_for("accountpulse_events_consumed_total", |consumed| consumed >= total as f64);
    let metric = |name| instance.metric(name);
    let commits = metric("accountpulse_commits_total");
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
        progress,
    }
}

/// Waits until so many records are handled; how many are. `look` is told at each look.
pub fn wait_for(observer: &Observer, records: u64, mut look: impl FnMut(u64)) -> u64 {
    let (mut newest, mut moved) = (0, clock::monotonic());
    loop {
        let committed = observer.committed();
        look(committed);
        if committed >= records {
            return committed;
        }
        if committed > newest {
            (newest, moved) = (committed, clock::monotonic());
        }
        assert!(moved.elapsed() < STUCK, "it stays at {committed} of {records} records");
        clock::pause(LOOK);
    }
}
