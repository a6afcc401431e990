//! `tail`: published scores, risks and dead letters, from a running instance.

use std::io::Write;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::send::TargetArgs;
use super::{Done, Exit, Failure, Global};
use crate::app::client::Client;
use crate::ingest::OutputTopic;

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
    let client = args.target.client(global)?;
    let start = match args.from_beginning || (args.account.is_some() && !args.follow) {
        true => "from=beginning".to_owned(),
        false => format!("last={}", args.last),
    };
    let mut query = start;
    loop {
        let (body, next) = read(&client, args.topic, &query)?;
        let empty = body.is_empty();
        print(&body, args.account.as_deref())?;
        if empty && !args.follow {
            return Ok(Exit::Ok);
        }
        query = format!("from={next}");
        if args.follow {
            query.push_str(&format!("&follow={FOLLOW_SECS}"));
        }
    }
}

fn read(client: &Client, topic: OutputTopic, query: &str) -> Result<(Vec<u8>, String), Failure> {
    let path = format!("/v1/topics/{}?{query}", topic.name());
    let answer =
        client.get(&path).map_err(|error| Failure::new(Exit::NotReady, format!("error: {error}")))?;
    match (answer.status, answer.next) {
        (200, Some(next)) => Ok((answer.body, next)),
        (status, _) => {
            let said = String::from_utf8_lossy(&answer.body).into_owned();
            Err(Failure::new(Exit::Failed, format!("error: the instance answers {status}: {said}")))
        }
    }
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
