//! `tail`: published scores, risks and dead letters, from a running instance or from a data
//! directory that none uses.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::send::TargetArgs;
use super::{Done, Exit, Failure, Global};
use crate::app::source::{Source, SourceError};
use crate::ingest::OutputTopic;
use crate::ingest::topics::{Ask, Failure as Unreadable};

/// Seconds that a following request waits for news.
const FOLLOW_SECS: u64 = 30;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse tail risks --follow\n  \
                        accountpulse tail scores --account acme --from-beginning\n  \
                        accountpulse tail dead-letters --last 5 | jq .value")]
pub struct Args {
    /// What to print
    #[arg(value_parser = topic, value_name = "scores|risks|dead-letters")]
    topic: OutputTopic,
    /// Go on as records are published
    #[arg(short, long)]
    follow: bool,
    /// Only records of this account
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Everything that is kept
    #[arg(long, conflicts_with = "last")]
    from_beginning: bool,
    /// Begin with the last N records of each partition
    #[arg(long, value_name = "N", default_value_t = 10)]
    last: u64,
    #[command(flatten)]
    target: TargetArgs,
}

fn topic(name: &str) -> Result<OutputTopic, String> {
    OutputTopic::from_name(name).ok_or_else(|| "the topics are scores, risks and dead-letters".to_owned())
}

/// What is needed of a line to choose and order it.
#[derive(Deserialize)]
struct Line<'a> {
    timestamp_ms: i64,
    key: Option<String>,
    #[serde(borrow, rename = "value")]
    _value: Option<&'a RawValue>,
}

/// Prints, and goes on with `--follow` until interrupted.
pub fn run(args: &Args, global: &Global) -> Done {
    let config = global.load()?;
    let data_dir = args.target.data_dir(global)?;
    let source = Source::open(&config, &data_dir, args.target.url.as_deref()).map_err(unreadable)?;
    let whole = args.from_beginning || (args.account.is_some() && !args.follow);
    let mut ask = match whole {
        true => Ask { from: Some("beginning".to_owned()), ..Ask::default() },
        false => Ask { last: Some(args.last), ..Ask::default() },
    };
    loop {
        let (lines, next) = source.page(args.topic, &ask).map_err(unreadable)?;
        print(&lines, args.account.as_deref())?;
        if lines.is_empty() && !(args.follow && source.is_running()) {
            return Ok(Exit::Ok);
        }
        ask = Ask { from: Some(next), follow: args.follow.then_some(FOLLOW_SECS), ..Ask::default() };
    }
}

/// The sentence and exit code of a source that cannot be read.
pub fn unreadable(error: SourceError) -> Failure {
    let exit = match error {
        SourceError::Client(_) => Exit::NotReady,
        SourceError::Log(_) | SourceError::Link(_) | SourceError::Topic(Unreadable::Store(_)) => {
            Exit::LogUnavailable
        }
        SourceError::Topic(Unreadable::Asked(_)) | SourceError::Refused { .. } => Exit::Failed,
    };
    Failure::new(exit, format!("error: {error}"))
}

/// Prints an answer's lines, oldest first across partitions.
fn print(body: &[u8], account: Option<&str>) -> Result<(), Failure> {
    let mut lines = Vec::new();
    for line in body.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        let parsed: Line<'_> = serde_json::from_slice(line).map_err(|error| {
            Failure::new(
                Exit::Failed,
                format!("error: a line is not understood: {error}; do versions differ?"),
            )
        })?;
        if account.is_none_or(|account| parsed.key.as_deref() == Some(account)) {
            lines.push((parsed.timestamp_ms, line));
        }
    }
    lines.sort_by_key(|(timestamp_ms, _)| *timestamp_ms);
    let mut out = std::io::stdout().lock();
    for (_, line) in lines {
        out.write_all(line)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(())
}
