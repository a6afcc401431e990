//! `explain`: why an account stands where it stands, from a running instance, a data directory at
//! rest, or history files.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::send::TargetArgs;
use super::tail::unreadable;
use super::{Done, Exit, Failure, Global, Output, print, replay};
use crate::app::source::{Source, SourceError};
use crate::engine::Effects;
use crate::engine::partition::partition_of;
use crate::engine::replay::{Refused, ReplaySink};
use crate::ingest::OutputTopic;
use crate::ingest::topics::Ask;

/// Past transitions that are shown.
const TRANSITIONS_SHOWN: usize = 5;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse explain acme --data accountpulse-demo\n  \
                        accountpulse explain acme -o json | jq .score.contributions\n  \
                        accountpulse explain acme --replay history.jsonl --until 2026-06-30T00:00:00Z")]
pub struct Args {
    /// Account id
    account: String,
    #[command(flatten)]
    target: TargetArgs,
    /// From these history files instead
    #[arg(long, value_name = "FILE", num_args = 1..)]
    replay: Vec<PathBuf>,
    /// With --replay: as of this instant
    #[arg(long, value_name = "RFC3339", value_parser = replay::instant, requires = "replay")]
    until: Option<i64>,
    /// As text or JSON
    #[arg(short, long, default_value = "text")]
    output: Output,
}

/// What is known about the account: its newest score record and its newest risk transitions.
struct Known {
    score: Value,
    transitions: Vec<Value>,
}

/// Prints the explanation.
pub fn run(args: &Args, global: &Global) -> Done {
    let known = match args.replay.is_empty() {
        true => published(args, global)?,
        false => replayed(args, global)?,
    };
    let Some(known) = known else {
        let message = format!(
            "error: nothing is known about account `{}`; ids are case-sensitive, and a score is published once \
             there is enough to score. See: accountpulse tail scores",
            args.account
        );
        return Err(Failure::new(Exit::Failed, message));
    };
    match args.output {
        Output::Json => {
            let whole = json!({ "v": 1, "score": known.score, "transitions": known.transitions });
            print::stdout(&format!("{whole:#}\n"))?;
        }
        Output::Text => print::stdout(&text(&known))?,
    }
    Ok(Exit::Ok)
}

/// From the topics.
fn published(args: &Args, global: &Global) -> Result<Option<Known>, Failure> {
    let config = global.load()?;
    let data_dir = args.target.data_dir(global)?;
    let source = Source::open(&config, &data_dir, args.target.url.as_deref()).map_err(unreadable)?;
    let partitions = config.partitions();
    let newest = records(&source, OutputTopic::Scores, (&args.account, partitions), 1).map_err(unreadable)?;
    let Some(score) = newest.into_iter().next() else { return Ok(None) };
    let transitions = records(&source, OutputTopic::Risks, (&args.account, partitions), TRANSITIONS_SHOWN)
        .map_err(unreadable)?;
    Ok(Some(Known { score, transitions }))
}

/// The last `keep` values of an account in a topic, oldest first. Only its own partition is read.
fn records(
    source: &Source,
    topic: OutputTopic,
    (account, partitions): (&str, u32),
    keep: usize,
) -> Result<Vec<Value>, SourceError> {
    let own = partition_of(account.as_bytes(), partitions);
    let start = |partition| if partition == own { 0 } else { u64::MAX };
    let from: Vec<String> = (0..partitions).map(|p| format!("{p}:{}", start(p))).collect();
    let mut ask = Ask { from: Some(from.join(",")), ..Ask::default() };
    let mut found = Vec::new();
    loop {
        let (lines, next) = source.page(topic, &ask)?;
        if lines.is_empty() {
            return Ok(found);
        }
        // A parse is dear and most lines are about others: the key stands in the line as it is.
        let mark = format!("\"key\":{},", Value::from(account));
        for line in lines.split(|byte| *byte == b'\n') {
            let head = String::from_utf8_lossy(line.get(..line.len().min(512)).unwrap_or_default());
            if !head.contains(&mark) {
                continue;
            }
            let Ok(mut line) = serde_json::from_slice::<Value>(line) else { continue };
            match line["value"].take() {
                Value::Null => found.clear(), // forgotten
                value => found.push(value),
            }
            if found.len() > keep {
                found.remove(0);
            }
        }
        ask = Ask { from: Some(next), ..Ask::default() };
    }
}

/// Keeps what was told about one account.
struct OneAccount<'a> {
    account: &'a str,
    transitions: Vec<Value>,
}

impl ReplaySink for OneAccount<'_> {
    fn effects(&mut self, effects: Effects) {
        for risk in effects.risks.iter().filter(|risk| risk.account_id == self.account) {
            // Records always serialise; one that did not would only be missing from the list.
            self.transitions.extend(serde_json::to_value(risk).ok());
            if self.transitions.len() > TRANSITIONS_SHOWN {
                self.transitions.remove(0);
            }
        }
    }
    fn refused(&mut self, _: Refused) {}
}

/// From files.
fn replayed(args: &Args, global: &Global) -> Result<Option<Known>, Failure> {
    let config = global.load()?;
    let mut sink = OneAccount { account: &args.account, transitions: Vec::new() };
    let (mut replay, _) = replay::through(&config, &args.replay, config.partitions(), args.until, &mut sink)?;
    let state = replay.shard_of(&args.account).and_then(|shard| shard.account(&args.account));
    let Some(state) = state else { return Ok(None) };
    let score = serde_json::to_value(&state.record).map_err(|error| {
        Failure::new(Exit::Failed, format!("error: the record cannot be printed: {error}"))
    })?;
    Ok(Some(Known { score, transitions: sink.transitions }))
}

fn text(known: &Known) -> String {
    let score = &known.score;
    let mut out = String::new();
    let account = score["account_id"].as_str().unwrap_or_default();
    let name = score["account_name"].as_str().unwrap_or(account);
    let points = score["score"].as_u64().map_or("unknown".to_owned(), |points| points.to_string());
    let band = score["band"].as_str().unwrap_or("no band");
    let coverage = score["coverage_basis_points"].as_u64().unwrap_or(0) / 100;
    // Writing into a String cannot fail.
    let _ =
        writeln!(out, "{name} ({account}): score {points}, {band}, {coverage} % of the evidence is there");
    let _ = writeln!(
        out,
        "  as of {}, scorecard {}, configuration {}",
        plain(&score["as_of"]),
        plain(&score["scorecard"]),
        plain(&score["config_version"])
    );
    contributions(&mut out, score);
    changes(&mut out, score);
    risks(&mut out, known);
    out
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Hundredths as points.
fn points(value: &Value) -> String {
    value.as_i64().map_or("unknown".to_owned(), |hundredths| format!("{:.2}", hundredths as f64 / 100.0))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn contributions(out: &mut String, score: &Value) {
    if score["score_hundredths"].is_null() {
        out.push_str("\nToo little is known for a score.\n");
    } else {
        let _ = writeln!(out, "\nWhat the score of {} is made of:", points(&score["score_hundredths"]));
    }
    for line in list(&score["contributions"]) {
        let part = points(&line["contribution_hundredths"]);
        let _ = write!(out, "  {part:>7}  {:<36}", plain(&line["line"]));
        if let Some(value) = line["value"].as_i64() {
            let weight = line["weight_ppm"].as_u64().unwrap_or(0) as f64 / 10_000.0;
            let full = points(&line["points_hundredths"]);
            let unit = line["unit"].as_str().unwrap_or_default();
            let _ = write!(out, " {value} {unit} = {full} of 100 points, weight {weight:.1} %");
        }
        out.push('\n');
    }
    let absent: Vec<String> = list(&score["absent"]).iter().map(plain).collect();
    if !absent.is_empty() {
        let _ = writeln!(out, "  nothing is known about: {}", absent.join(", "));
    }
}

fn changes(out: &mut String, score: &Value) {
    let changes = list(&score["changes"]);
    if score["previous"].is_null() || changes.is_empty() {
        return;
    }
    let before = points(&score["previous"]["score_hundredths"]);
    let _ = writeln!(out, "\nWhat moved it last, from {before} to {}:", points(&score["score_hundredths"]));
    for change in changes {
        let delta = change["delta_hundredths"].as_i64().unwrap_or(0) as f64 / 100.0;
        let _ = writeln!(out, "  {delta:>+7.2}  {}", plain(&change["line"]));
    }
    let causes: Vec<String> = list(&score["causes"]).iter().map(plain).collect();
    if !causes.is_empty() {
        let _ = writeln!(out, "  because of: {}", causes.join(", "));
    }
}

fn risks(out: &mut String, known: &Known) {
    let now = list(&known.score["risks"]);
    let _ = writeln!(out, "\nRisks now:{}", if now.is_empty() { " none" } else { "" });
    for risk in now {
        let _ = writeln!(
            out,
            "  {:<8} {:<9} {} since {}",
            plain(&risk["phase"]),
            plain(&risk["severity"]),
            plain(&risk["rule"]),
            plain(&risk["began_at"])
        );
    }
    if !known.transitions.is_empty() {
        out.push_str("\nWhat was told about it, newest last:\n");
    }
    for told in &known.transitions {
        let _ = writeln!(
            out,
            "  {} {} {}: {}",
            plain(&told["at"]),
            plain(&told["title"]),
            plain(&told["transition"]).replace('_', " "),
            plain(&told["what"])
        );
    }
}
