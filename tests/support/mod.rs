//! The binary as a process: started on a directory of its own, stopped or killed, asked over HTTP.
//! Nothing here sleeps: it waits for lines of output, for answers, for the end of processes.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

pub mod lines;
pub mod oracle;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use accountpulse::app::instance::Instance;
use accountpulse::clock;
use accountpulse::simulate::{Company, CompanyOptions, SimEvent};
use lines::Lines;

/// Far longer than anything that is waited for takes.
const LONGEST: Duration = Duration::from_secs(120);
/// Lines of an instance that a failure shows.
const SHOWN_LINES: usize = 30;

/// A command of ours, without what the surroundings may have set.
pub fn accountpulse(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_accountpulse"));
    for variable in ["ACCOUNTPULSE_CONFIG", "ACCOUNTPULSE_DATA", "ACCOUNTPULSE_URL", "ACCOUNTPULSE_LOG"] {
        command.env_remove(variable);
    }
    command.args(args);
    command
}

/// Runs a command to its end.
pub fn run(args: &[&str]) -> Output {
    accountpulse(args).output().unwrap()
}

/// Runs a command that must end with `code`; its standard output.
pub fn expect(code: i32, args: &[&str]) -> String {
    let output = run(args);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asks again and again, for a bounded time.
fn until(reached: impl Fn() -> bool, else_say: impl Fn() -> String) {
    let began = clock::monotonic();
    while !reached() {
        assert!(clock::monotonic().duration_since(began) < LONGEST, "{}", else_say());
    }
}

/// A running instance; killed when dropped.
pub struct Process {
    pub child: Child,
    pub data: PathBuf,
    pub url: String,
    /// What it said on standard error.
    pub lines: Arc<Lines>,
}

impl Process {
    /// Starts `run` and waits until it listens.
    pub fn start(data: &Path, more: &[&str]) -> Process {
        let mut child = accountpulse(&["run", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"])
            .args(more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Read to its end: a chatty process would stop at a full pipe.
        let lines = Lines::of(child.stderr.take().unwrap());
        // From here on it is killed if anything fails.
        let mut process = Process { child, data: data.to_owned(), url: String::new(), lines };
        process.lines.wait("accountpulse runs");
        process.url = Instance::read(data).unwrap().url;
        process
    }

    pub fn get(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("{}{path}", self.url)).call().unwrap();
        (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
    }

    /// Waits until it is ready and nothing waits.
    pub fn settle(&self) {
        let settled = || self.get("/readyz").0 == 200 && self.metric("accountpulse_records_waiting") == 0.0;
        until(settled, || format!("not ready: {}\n{}", self.get("/readyz?verbose").1, self.last_words()));
    }

    /// Waits until a metric is as wanted.
    pub fn wait_for(&self, name: &str, wanted: impl Fn(f64) -> bool) {
        let stays = || format!("{name} stays at {}\n{}", self.metric(name), self.last_words());
        until(|| wanted(self.metric(name)), stays);
    }

    /// The last lines it has written.
    fn last_words(&self) -> String {
        self.lines.last(SHOWN_LINES)
    }

    /// Sum of all series of a metric.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.get("/metrics").1;
        let of_metric = |line: &&str| {
            let rest = line.strip_prefix(name);
            rest.is_some_and(|rest| rest.starts_with(['{', ' ']))
        };
        let value = |line: &str| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap();
        text.lines().filter(of_metric).map(value).sum()
    }

    /// Sends a signal and waits for the end; the exit code.
    pub fn end(mut self, signal: &str) -> Option<i32> {
        let sent = Command::new("kill").args([signal, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already ended is fine.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A small made-up history that ends at a fixed instant.
pub fn history(accounts: usize, days: u32, max_events: usize, end_ms: i64) -> Vec<SimEvent> {
    let mut options = CompanyOptions::new(11, end_ms);
    options.accounts = accounts;
    options.history_days = days;
    options.max_events = max_events;
    Company::new(options).history().collect()
}

/// Writes events one per line.
pub fn write_lines<'e>(path: &Path, events: impl Iterator<Item = &'e SimEvent>) {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path).unwrap());
    for event in events {
        file.write_all(&event.json).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
}
