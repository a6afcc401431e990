//! `dead-letters list` and `dead-letters group`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::advice::advice;
use super::{FilterArgs, open};
use crate::app::letters::{Entry, each, find};
use crate::cli::send::TargetArgs;
use crate::cli::tail::unreadable;
use crate::cli::{Done, Exit, Global, Output, print};
use crate::engine::time::rfc3339;

/// Letters that are listed unless more are asked for.
const LIMIT: usize = 100;
/// Longest account in a table.
const ACCOUNT_CHARS: usize = 24;

/// Arguments of `list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse dead-letters list\n  \
                        accountpulse dead-letters list --topic accountpulse.logins.v1 --since 2026-03-01T00:00:00Z\n  \
                        accountpulse dead-letters list --account acme -o json | jq '.letters[].message'\n\n\
                        AGAIN names the letter that a record was put back from before it was refused again.")]
pub struct ListArgs {
    #[command(flatten)]
    filter: FilterArgs,
    /// At most the newest N
    #[arg(long, value_name = "N", default_value_t = LIMIT)]
    limit: usize,
    #[command(flatten)]
    target: TargetArgs,
    /// As text or JSON
    #[arg(short, long, default_value = "text")]
    output: Output,
}

/// Prints the letters.
pub fn list(args: &ListArgs, global: &Global) -> Done {
    let (_, source) = open(&args.target, global)?;
    let found = find(&source, &args.filter.filter(&[]), Some(args.limit)).map_err(unreadable)?;
    match args.output {
        Output::Json => {
            let letters: Vec<Value> = found.entries.iter().map(entry_json).collect();
            let whole = json!({ "v": 1, "matched": found.matched, "letters": letters });
            print::stdout(&format!("{whole:#}\n"))?;
        }
        Output::Text => print::stdout(&table(&found.entries))?,
    }
    let shown = found.entries.len() as u64;
    match found.matched {
        0 => anstream::eprintln!("no dead letter is meant by this"),
        all if all > shown => anstream::eprintln!("the newest {shown} of {all}; --limit shows more"),
        _ => {}
    }
    Ok(Exit::Ok)
}

fn entry_json(entry: &Entry) -> Value {
    let (topic, partition, offset) = &entry.from;
    json!({
        "letter": entry.place.to_string(),
        "written_at": rfc3339(entry.written_ms),
        "reason": entry.code,
        "message": entry.message,
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "key": entry.account,
        "bytes": entry.bytes,
        "resubmitted_from": entry.resubmitted_from.map(|place| place.to_string()),
    })
}

fn table(entries: &[Entry]) -> String {
    let mut out = String::new();
    if entries.is_empty() {
        return out;
    }
    let width = |of: &dyn Fn(&Entry) -> usize, least: &str| {
        entries.iter().map(of).max().unwrap_or(0).max(least.len())
    };
    let account = |entry: &Entry| short(entry.account.as_deref().unwrap_or("-"));
    let from = |entry: &Entry| format!("{}/{}/{}", entry.from.0, entry.from.1, entry.from.2);
    let again = |entry: &Entry| entry.resubmitted_from.map_or("-".to_owned(), |place| place.to_string());
    let letter = width(&|entry| entry.place.to_string().len(), "LETTER");
    let reason = width(&|entry| entry.code.len(), "REASON");
    let key = width(&|entry| account(entry).chars().count(), "KEY");
    let stood = width(&|entry| from(entry).len(), "STOOD AT");
    let before = width(&|entry| again(entry).len(), "AGAIN");
    // Writing to a String cannot fail.
    let mut row = |cells: [&str; 7]| {
        let [place, at, code, who, where_from, bytes, again] = cells;
        let _ = writeln!(
            out,
            "{place:letter$}  {at:24}  {code:reason$}  {who:key$}  {where_from:stood$}  {bytes:>8}  {again:before$}"
        );
    };
    row(["LETTER", "WRITTEN", "REASON", "KEY", "STOOD AT", "BYTES", "AGAIN"]);
    for entry in entries {
        let bytes = entry.bytes.map_or("-".to_owned(), |bytes| bytes.to_string());
        let (place, written) = (entry.place.to_string(), rfc3339(entry.written_ms));
        row([&place, &written, &entry.code, &account(entry), &from(entry), &bytes, &again(entry)]);
    }
    out
}

/// What others wrote, fit for one cell of a table.
fn short(text: &str) -> String {
    let safe = |c: char| if c.is_control() { '\u{fffd}' } else { c };
    match text.chars().count() > ACCOUNT_CHARS {
        true => text.chars().take(ACCOUNT_CHARS - 1).map(safe).chain(['…']).collect(),
        false => text.chars().map(safe).collect(),
    }
}

/// Arguments of `group`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse dead-letters group\n  \
                        accountpulse dead-letters group --since 1h -o json | jq '.groups[] | {reason, count}'\n\n\
                        Next: accountpulse dead-letters show, then resubmit")]
pub struct GroupArgs {
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    target: TargetArgs,
    /// As text or JSON
    #[arg(short, long, default_value = "text")]
    output: Output,
}

/// Letters with one reason from one topic.
struct Group {
    count: u64,
    first_ms: i64,
    last_ms: i64,
    /// The newest.
    example: Entry,
    /// How many were put back before.
    again: u64,
}

/// Prints the groups, the largest first.
pub fn group(args: &GroupArgs, global: &Global) -> Done {
    let (_, source) = open(&args.target, global)?;
    let mut groups: BTreeMap<(String, String), Group> = BTreeMap::new();
    let filter = args.filter.filter(&[]);
    each(&source, |letter| {
        if !filter.takes(&letter) {
            return;
        }
        let entry = Entry::of(letter);
        let key = (entry.code.clone(), entry.from.0.clone());
        let at_ms = entry.written_ms;
        let again = u64::from(entry.resubmitted_from.is_some());
        match groups.get_mut(&key) {
            None => {
                groups
                    .insert(key, Group { count: 1, first_ms: at_ms, last_ms: at_ms, example: entry, again });
            }
            Some(group) => {
                group.count += 1;
                group.again += again;
                group.first_ms = group.first_ms.min(at_ms);
                if at_ms >= group.last_ms {
                    group.last_ms = at_ms;
                    group.example = entry;
                }
            }
        }
    })
    .map_err(unreadable)?;
    let mut groups: Vec<((String, String), Group)> = groups.into_iter().collect();
    groups.sort_by_key(|(_, group)| std::cmp::Reverse(group.count));
    match args.output {
        Output::Json => print::stdout(&format!("{:#}\n", groups_json(&groups)))?,
        Output::Text => print::stdout(&groups_text(&groups))?,
    }
    if groups.is_empty() {
        anstream::eprintln!("no dead letter is meant by this");
    }
    Ok(Exit::Ok)
}

fn groups_json(groups: &[((String, String), Group)]) -> Value {
    let all: u64 = groups.iter().map(|(_, group)| group.count).sum();
    let groups: Vec<Value> = groups
        .iter()
        .map(|((reason, topic), group)| {
            json!({
                "reason": reason,
                "topic": topic,
                "count": group.count,
                "first_at": rfc3339(group.first_ms),
                "last_at": rfc3339(group.last_ms),
                "resubmitted_before": group.again,
                "example": entry_json(&group.example),
                "next": advice(reason),
            })
        })
        .collect();
    json!({ "v": 1, "letters": all, "groups": groups })
}

fn groups_text(groups: &[((String, String), Group)]) -> String {
    let mut out = String::new();
    for ((reason, topic), group) in groups {
        let letters = if group.count == 1 { "letter" } else { "letters" };
        let again = match group.again {
            0 => String::new(),
            again => format!(", {again} of them put back before"),
        };
        let (first, last) = (rfc3339(group.first_ms), rfc3339(group.last_ms));
        let when = if first == last { first } else { format!("{first} to {last}") };
        let key = group.example.account.as_deref().map_or(String::new(), |key| format!(" of {}", short(key)));
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{reason} in {topic}: {} {letters}{again}", group.count);
        let _ = writeln!(out, "  {when}");
        let _ = writeln!(out, "  for example {}{key}: {}", group.example.place, group.example.message);
        let _ = writeln!(out, "  next: {}", advice(reason));
    }
    out
}
