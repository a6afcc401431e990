//! `send`: events from JSON-lines files to a running instance, or straight to the input topics of a
//! cluster. Interrupted or repeated runs are harmless: an event that arrives twice changes nothing.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use indicatif::ProgressBar;

use super::topics::connect;
use super::{Done, Exit, Failure, Global, print};
use crate::app::client::{Answer, Client, Target};
use crate::app::store::RunningLog;
use crate::clock;
use crate::config::LogKind;
use crate::engine::event::{Intake, PersonKey};
use crate::ingest::StoreError;
use crate::ingest::events::{Summary, accept_lines};

/// Most events in one request.
const BATCH_EVENTS_MAX: usize = 2_000;
/// A request is sent when it holds this many bytes; one event of the largest size still fits on top.
const BATCH_BYTES: usize = 512 * 1024;
/// First and longest pause between attempts.
const BACKOFF_FIRST: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// Line numbers listed per reason.
const LINES_LISTED_MAX: usize = 5;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  accountpulse send events.jsonl\n  zcat events/*.gz | accountpulse send -\n  \
                        accountpulse send --url http://127.0.0.1:9464 --retry-for 5m events.jsonl\n  \
                        accountpulse send -c kafka.yaml events.jsonl   # to the topics of the cluster, keyed by account\n\n\
                        Old history: an instance on the wall clock judges what it has, so while weeks of old events are\n\
                        still coming in it may tell risks that it ends again soon. Load them in time order into an\n\
                        instance with `clock: {mode: event}`, then restart it with `mode: wall`.\n\n\
                        Next: accountpulse tail risks --follow"
)]
pub struct Args {
    /// Files with one event per line; `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    target: TargetArgs,
    /// Keep trying that long while the instance is busy or away
    #[arg(long, env = "ACCOUNTPULSE_RETRY_FOR", default_value = "60s", value_parser = duration)]
    retry_for: Duration,
}

/// Which instance is meant.
#[derive(Clone, Debug, clap::Args)]
pub struct TargetArgs {
    /// Address of the instance; without it, the one that runs on the data directory
    #[arg(long, env = "ACCOUNTPULSE_URL", value_name = "URL")]
    pub url: Option<String>,
    /// Data directory, instead of the configured one
    #[arg(long, env = "ACCOUNTPULSE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
}

impl TargetArgs {
    /// The data directory that is meant.
    pub fn data_dir(&self, global: &Global) -> Result<PathBuf, Failure> {
        match &self.data {
            Some(dir) => Ok(dir.clone()),
            None => Ok(global.load()?.storage.data_dir),
        }
    }

    /// A client of the instance that is meant.
    pub fn client(&self, global: &Global) -> Result<Client, Failure> {
        let target = match &self.url {
            Some(url) => Target::Url(url.clone()),
            None => Target::DataDir(self.data_dir(global)?),
        };
        Ok(Client::new(target))
    }
}

/// A duration as in the configuration file: `60s`, `5m`.
pub fn duration(text: &str) -> Result<Duration, String> {
    crate::config::parse_duration(text)
        .ok_or_else(|| "write a number with its unit, such as 60s or 5m".to_owned())
}

/// Events on their way, with the line each came from.
#[derive(Default)]
struct Batch {
    body: Vec<u8>,
    lines: Vec<u64>,
}

/// What became of a file's events.
#[derive(Default)]
struct Report {
    accepted: u64,
    refused: u64,
    /// Per reason: how many, and where the first ones stand.
    reasons: BTreeMap<String, (u64, Vec<String>)>,
}

/// Where events go.
enum Way {
    /// To an instance.
    Instance(Client),
    /// To the input topics of a cluster; no instance has to run.
    Cluster { log: RunningLog, intake: Intake },
}

/// What became of an attempt.
enum Attempt {
    /// Everything has its answer.
    Answered(Summary),
    /// Try again, after this pause if one is said.
    Again(String, Option<Duration>),
}

impl Way {
    fn open(args: &Args, global: &Global) -> Result<Way, Failure> {
        let config = global.load()?;
        if config.storage.log == LogKind::Local || args.target.url.is_some() {
            return Ok(Way::Instance(args.target.client(global)?));
        }
        global.start_logs(&config)?;
        let link = connect(&config)?;
        // Judges only: what the cluster gets is the event as it came, with the person as it is.
        let person_key = PersonKey::new([0; 16]);
        let skew_ms = i64::try_from(config.clock.skew_limit.as_millis()).unwrap_or(i64::MAX);
        let intake = Intake { person_key, skew_ms, partitions: config.partitions() };
        Ok(Way::Cluster { log: RunningLog::Kafka(Arc::new(link)), intake })
    }

    fn attempt(&self, body: &[u8]) -> Result<Attempt, Failure> {
        let client = match self {
            Way::Instance(client) => client,
            Way::Cluster { log, intake } => {
                return Ok(match accept_lines(log, intake, body) {
                    Ok(summary) => Attempt::Answered(summary),
                    Err(error @ StoreError::Refused { .. }) => {
                        return Err(Failure::new(Exit::LogUnavailable, format!("error: {error}")));
                    }
                    Err(error) => Attempt::Again(error.to_string(), None),
                });
            }
        };
        match client.post("/v1/events", "application/x-ndjson", body) {
            Ok(answer) if matches!(answer.status, 200 | 207 | 422) => summary(&answer).map(Attempt::Answered),
            Ok(answer) if matches!(answer.status, 429 | 503) => {
                let wait = answer.retry_after_secs.map(Duration::from_secs);
                Ok(Attempt::Again(format!("the instance answers {}{}", answer.status, detail(&answer)), wait))
            }
            Ok(answer) => {
                let said = String::from_utf8_lossy(&answer.body).into_owned();
                let message = format!("error: the instance answers {}: {said}", answer.status);
                Err(Failure::new(Exit::Failed, message))
            }
            Err(error) => Ok(Attempt::Again(error.to_string(), None)),
        }
    }
}

/// What a problem document says, if the answer is one.
fn detail(answer: &Answer) -> String {
    #[derive(serde::Deserialize)]
    struct Problem {
        detail: String,
    }
    let problem = serde_json::from_slice::<Problem>(&answer.body);
    problem.map_or_else(|_| String::new(), |problem| format!(": {}", problem.detail))
}

fn summary(answer: &Answer) -> Result<Summary, Failure> {
    serde_json::from_slice(&answer.body).map_err(|error| {
        Failure::new(
            Exit::Failed,
            format!("error: the answer is not understood: {error}; do versions differ?"),
        )
    })
}

struct Sender {
    way: Way,
    retry_for: Duration,
    report: Report,
}

/// Sends all files, in order.
pub fn run(args: &Args, global: &Global) -> Done {
    let way = Way::open(args, global)?;
    let mut sender = Sender { way, retry_for: args.retry_for, report: Report::default() };
    let length = args.files.iter().filter_map(|path| path.metadata().ok()).map(|m| m.len()).sum();
    let bar = print::bar(global, length, "sending", true);
    for path in &args.files {
        let name = path.display().to_string();
        let mut reader: Box<dyn BufRead> = match name.as_str() {
            "-" => Box::new(io::stdin().lock()),
            _ => Box::new(BufReader::new(File::open(path).map_err(|e| unreadable(&name, &e))?)),
        };
        sender.file(&name, &mut reader, &bar)?;
    }
    bar.finish_and_clear();
    sender.report.print();
    Ok(if sender.report.refused == 0 { Exit::Ok } else { Exit::Findings })
}

fn unreadable(name: &str, error: &io::Error) -> Failure {
    Failure::new(Exit::Failed, format!("error: {name} cannot be read: {error}"))
}

impl Sender {
    fn file(&mut self, name: &str, reader: &mut dyn BufRead, bar: &ProgressBar) -> Result<(), Failure> {
        let mut batch = Batch::default();
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = reader.read_until(b'\n', &mut line).map_err(|e| unreadable(name, &e))?;
            if read == 0 {
                break;
            }
            bar.inc(read as u64);
            let text = line.trim_ascii();
            if text.is_empty() {
                continue;
            }
            batch.body.extend_from_slice(text);
            batch.body.push(b'\n');
            batch.lines.push(number);
            if batch.lines.len() >= BATCH_EVENTS_MAX || batch.body.len() >= BATCH_BYTES {
                self.send(name, std::mem::take(&mut batch))?;
            }
        }
        self.send(name, batch)
    }

    /// Sends a batch until it is answered for good.
    fn send(&mut self, name: &str, batch: Batch) -> Result<(), Failure> {
        if batch.lines.is_empty() {
            return Ok(());
        }
        let began = clock::monotonic();
        let mut pause = BACKOFF_FIRST;
        loop {
            let (why, wait) = match self.way.attempt(&batch.body)? {
                Attempt::Answered(summary) => {
                    self.report.add(name, &batch.lines, summary);
                    return Ok(());
                }
                Attempt::Again(why, wait) => (why, wait),
            };
            if clock::monotonic().duration_since(began) >= self.retry_for {
                let at = batch.lines.first().copied().unwrap_or(0);
                let message = format!(
                    "error: {why}\n  gave up after {:?} at {name}:{at}; everything before is durable. \
                     Send the file again when it is back: repeated events change nothing.",
                    self.retry_for
                );
                return Err(Failure::new(Exit::NotReady, message));
            }
            clock::pause(wait.unwrap_or(pause));
            pause = (pause * 2).min(BACKOFF_MAX);
        }
    }
}

impl Report {
    fn add(&mut self, name: &str, lines: &[u64], summary: Summary) {
        self.accepted += summary.accepted;
        self.refused += summary.refused;
        for refusal in summary.refusals {
            let (count, places) = self.reasons.entry(refusal.reason).or_default();
            *count += 1;
            if places.len() < LINES_LISTED_MAX {
                let line = lines.get(refusal.index as usize).copied().unwrap_or(0);
                places.push(format!("{name}:{line}: {}", refusal.message));
            }
        }
    }

    fn print(&self) {
        anstream::eprintln!("{} events accepted, {} refused", self.accepted, self.refused);
        for (reason, (count, places)) in &self.reasons {
            anstream::eprintln!("  {reason}: at least {count}");
            for place in places {
                anstream::eprintln!("    {place}");
            }
        }
    }
}
