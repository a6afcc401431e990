//! `dead-letters resubmit`: refused records go back to the input topic they came from.

use std::collections::BTreeMap;

use serde_json::json;

use super::{FilterArgs, open};
use crate::app::letters::{Desk, Found, find};
use crate::cli::send::TargetArgs;
use crate::cli::tail::unreadable;
use crate::cli::{Done, Exit, Failure, Global, Output, print};
use crate::ingest::letter::LetterPlace;
use crate::ingest::put_back::Fate;

/// Letters that are named per reason.
const LISTED_MAX: usize = 5;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  accountpulse dead-letters resubmit --reason wrong_partition --dry-run\n  \
                  accountpulse dead-letters resubmit --reason wrong_partition --limit 10 --yes   # some first\n  \
                  accountpulse dead-letters resubmit 0/17 1/3 --yes\n\n\
                  Each record is written as it was, key, value, headers and time, to the topic it came from, in the\n\
                  partition that its key belongs to. It carries the header accountpulse.resubmitted.from, which names\n\
                  its letter. Before that it is judged by the configuration given here (by the instance's, if one\n\
                  does it): what would be refused again stays, and is named. What was left out of a letter for its\n\
                  length is read from the input topic if it is still there.\n\n\
                  Doing it twice: a letter whose record was refused again is passed over, the newer letter stands\n\
                  for it. One whose record was accepted is not marked, so it is sent again, and that changes\n\
                  nothing: an event that is already known is counted as a duplicate or as superseded, and a login\n\
                  or usage older than limits.duplicate_horizon is refused as late.\n\n\
                  Exit codes: 0 all were sent, 2 neither --yes nor --dry-run, 3 some stay (each is named), 69 the\n\
                  log cannot be used (some may have been sent; do it again)."
)]
pub struct ResubmitArgs {
    /// Only these letters: partition/offset, as `list` prints them
    #[arg(value_name = "LETTER", conflicts_with_all = ["reason", "topic", "partition", "account", "since", "until", "limit"])]
    places: Vec<LetterPlace>,
    #[command(flatten)]
    filter: FilterArgs,
    /// At most the newest N
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Say what would become of each, and write nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Write them
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    target: TargetArgs,
    /// As text or JSON
    #[arg(short, long, default_value = "text")]
    output: Output,
}

/// What became of the letters.
#[derive(Default)]
struct Report {
    /// How many went where.
    sent: BTreeMap<String, u64>,
    /// By reason, which stay.
    kept: BTreeMap<String, Vec<LetterPlace>>,
}

impl Report {
    fn add(&mut self, fate: Fate) {
        match (fate.sent_to, fate.kept) {
            (Some(to), _) => *self.sent.entry(to.topic).or_default() += 1,
            (None, why) => {
                let why = why.unwrap_or_else(|| "no reason is given; do versions differ?".to_owned());
                self.kept.entry(why).or_default().push(fate.letter);
            }
        }
    }

    fn count(&self) -> (u64, u64) {
        (self.sent.values().sum(), self.kept.values().map(|places| places.len() as u64).sum())
    }
}

/// Puts them back.
pub fn run(args: &ResubmitArgs, global: &Global) -> Done {
    let (config, source) = open(&args.target, global)?;
    let data_dir = args.target.data_dir(global)?;
    let found = find(&source, &args.filter.filter(&args.places), args.limit).map_err(unreadable)?;
    let (chosen, again) = choose(&found, &args.places);
    if !args.yes && !args.dry_run {
        let message = format!(
            "error: {} letters are meant and nothing was done; add --dry-run to see what would become of them, or \
             --yes to put them back",
            chosen.len()
        );
        return Err(Failure::new(Exit::Usage, message));
    }
    let mut report = Report::default();
    if !chosen.is_empty() {
        let bar = print::bar(global, chosen.len() as u64, "putting back", false);
        let desk = Desk::open(source, &config, &data_dir).map_err(unreadable)?;
        let done = desk.put_back(&chosen, args.dry_run, |fate| {
            bar.inc(1);
            report.add(fate);
        });
        bar.finish_and_clear();
        if let Err(error) = done {
            say(&report, &again, args.dry_run);
            return Err(unreadable(error));
        }
    }
    match args.output {
        Output::Json => print::stdout(&format!("{:#}\n", as_json(&report, &again, args.dry_run)))?,
        Output::Text => say(&report, &again, args.dry_run),
    }
    Ok(if report.kept.is_empty() { Exit::Ok } else { Exit::Findings })
}

/// The letters to put back, and those for which a newer letter stands.
fn choose(found: &Found, named: &[LetterPlace]) -> (Vec<LetterPlace>, Vec<(LetterPlace, LetterPlace)>) {
    let (mut chosen, mut again) = (Vec::new(), Vec::new());
    for entry in &found.entries {
        match found.again.get(&entry.place) {
            Some(newer) => again.push((entry.place, *newer)),
            None => chosen.push(entry.place),
        }
    }
    // What was named and is not there is asked for all the same, to be told so.
    let known = |place: &LetterPlace| found.entries.iter().any(|entry| entry.place == *place);
    chosen.extend(named.iter().filter(|place| !known(place)));
    (chosen, again)
}

fn as_json(report: &Report, again: &[(LetterPlace, LetterPlace)], dry_run: bool) -> serde_json::Value {
    let (sent, kept) = report.count();
    let why: Vec<_> =
        report.kept.iter().map(|(why, letters)| json!({ "why": why, "letters": letters })).collect();
    let passed: Vec<_> =
        again.iter().map(|(letter, newer)| json!({ "letter": letter, "newer": newer })).collect();
    json!({
        "v": 1,
        "dry_run": dry_run,
        "sent": sent,
        "sent_by_topic": report.sent,
        "kept": kept,
        "kept_by_reason": why,
        "refused_again": passed,
    })
}

/// For people, on standard error: there is no data.
fn say(report: &Report, again: &[(LetterPlace, LetterPlace)], dry_run: bool) {
    let (sent, kept) = report.count();
    let verb = if dry_run { "would be put back" } else { "put back" };
    anstream::eprintln!("{sent} {verb}, {kept} stay, {} passed over", again.len());
    for (topic, count) in &report.sent {
        anstream::eprintln!("  to {topic}: {count}");
    }
    let list = |places: &[LetterPlace]| {
        let named: Vec<String> = places.iter().take(LISTED_MAX).map(LetterPlace::to_string).collect();
        let more = if places.len() > LISTED_MAX { " …" } else { "" };
        format!("{}{more}", named.join(" "))
    };
    for (why, places) in &report.kept {
        anstream::eprintln!("  {} stay, {why}: {}", places.len(), list(places));
    }
    for (letter, newer) in again.iter().take(LISTED_MAX) {
        anstream::eprintln!("  {letter} passed over: it was put back before and refused again as {newer}");
    }
    if again.len() > LISTED_MAX {
        anstream::eprintln!("  … and {} more of those", again.len() - LISTED_MAX);
    }
}
