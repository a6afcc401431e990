//! `dead-letters`: what was refused, for those who repair it: listed, grouped by what is wrong,
//! shown whole, and put back once the cause is gone.
//!
//! To add a way to choose letters: a field of [`FilterArgs`], a line in its `filter`, and one in
//! `Filter::takes` of `app/letters.rs`.

mod advice;
mod list;
mod resubmit;
mod show;

use super::send::TargetArgs;
use super::tail::unreadable;
use super::{Done, Failure, Global};
use crate::app::letters::Filter;
use crate::app::source::Source;
use crate::clock;
use crate::config::Config;
use crate::engine::event::Reason;
use crate::ingest::letter::LetterPlace;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse dead-letters group\n  \
                        accountpulse dead-letters list --reason wrong_partition --since 2h\n  \
                        accountpulse dead-letters show 0/17\n  \
                        accountpulse dead-letters resubmit --reason wrong_partition --dry-run\n  \
                        accountpulse dead-letters resubmit --reason wrong_partition --yes\n\n\
                        A letter is named partition/offset, its place in the dead-letter topic. Filters of one kind are\n\
                        alternatives, filters of different kinds must all hold.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// One line per letter, oldest first
    #[command(visible_alias = "ls")]
    List(list::ListArgs),
    /// How many for which reason, since when, an example, and what to do
    #[command(visible_alias = "summary")]
    Group(list::GroupArgs),
    /// One letter whole, with its original bytes
    Show(show::ShowArgs),
    /// Write refused records back to where they came from
    #[command(visible_alias = "redrive")]
    Resubmit(resubmit::ResubmitArgs),
}

/// Runs it.
pub fn run(args: &Args, global: &Global) -> Done {
    match &args.what {
        What::List(args) => list::list(args, global),
        What::Group(args) => list::group(args, global),
        What::Show(args) => show::run(args, global),
        What::Resubmit(args) => resubmit::run(args, global),
    }
}

/// Which letters are meant.
#[derive(Clone, Debug, clap::Args)]
pub struct FilterArgs {
    /// Only with this reason code (see docs/events.md)
    #[arg(long, value_name = "CODE", value_parser = reason)]
    reason: Vec<String>,
    /// Only from this input topic
    #[arg(long, value_name = "NAME")]
    topic: Vec<String>,
    /// Only from this partition
    #[arg(long, value_name = "N")]
    partition: Vec<u32>,
    /// Only with this key
    #[arg(long, value_name = "ID")]
    account: Option<String>,
    /// Only written at or after: a time, or how long ago
    #[arg(long, value_name = "RFC3339|2h", value_parser = instant)]
    since: Option<i64>,
    /// Only written before: a time, or how long ago
    #[arg(long, value_name = "RFC3339|2h", value_parser = instant)]
    until: Option<i64>,
}

impl FilterArgs {
    fn filter(&self, places: &[LetterPlace]) -> Filter {
        Filter {
            reasons: self.reason.clone(),
            topics: self.topic.clone(),
            partitions: self.partition.clone(),
            account: self.account.clone(),
            since_ms: self.since,
            until_ms: self.until,
            places: places.to_vec(),
        }
    }
}

fn reason(code: &str) -> Result<String, String> {
    if Reason::ALL.iter().any(|reason| reason.code() == code) {
        return Ok(code.to_owned());
    }
    Err(format!("the codes are {}", Reason::ALL.map(Reason::code).join(", ")))
}

fn instant(text: &str) -> Result<i64, String> {
    if let Some(ago) = crate::config::parse_duration(text) {
        return Ok(clock::wall_ms() - i64::try_from(ago.as_millis()).unwrap_or(i64::MAX));
    }
    super::replay::instant(text)
        .map_err(|_| "write a time such as 2026-03-01T09:00:00Z, or 2h for two hours ago".to_owned())
}

/// The configuration and the log that is meant.
fn open(target: &TargetArgs, global: &Global) -> Result<(Config, Source), Failure> {
    let config = global.load()?;
    let data_dir = target.data_dir(global)?;
    let source = Source::open(&config, &data_dir, target.url.as_deref()).map_err(unreadable)?;
    Ok((config, source))
}
