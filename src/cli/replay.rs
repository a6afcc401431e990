//! `replay`: history files through the engine, without a log. The same files give the same bytes,
//! at any hour and on any machine: time comes from the events alone.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use serde::Serialize;

use super::{Done, Exit, Failure, Global};
use crate::config::Config;
use crate::engine::Effects;
use crate::engine::event::PersonKey;
use crate::engine::replay::{Refused, Replay, ReplayCounts, ReplayOptions, ReplaySink};

/// Refused lines that are printed one by one; all are counted.
const REFUSED_LISTED_MAX: usize = 10;
/// Outputs hold no pseudonyms, so any key gives the same bytes; a fixed one needs no secret.
const KEY: PersonKey = PersonKey::new(*b"replay-person-id");

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse replay history.jsonl > outputs.jsonl\n  \
                        accountpulse replay logins.jsonl tickets.jsonl --until 2026-06-30T00:00:00Z\n\n\
                        Next: accountpulse explain ACCOUNT --replay history.jsonl")]
pub struct Args {
    /// Files with one event per line, each in time order; they are merged by event time
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Number of shards, as in the installation to compare with; without it, as configured
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    partitions: Option<u32>,
    /// Let time pass up to this instant after the last event, and leave later events out
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    until: Option<i64>,
}

/// An instant in milliseconds.
pub fn instant(text: &str) -> Result<i64, String> {
    let instant: jiff::Timestamp =
        text.parse().map_err(|_| "write an instant such as 2026-06-30T00:00:00Z".to_owned())?;
    Ok(instant.as_millisecond())
}

/// Prints scores and risks as they come out, a summary at the end.
pub fn run(args: &Args, global: &Global) -> Done {
    let config = global.load()?;
    let mut sink = Lines { out: BufWriter::new(io::stdout().lock()), failed: None, refused: Vec::new() };
    let partitions = args.partitions.unwrap_or(config.partitions());
    let (_, counts) = through(&config, &args.files, partitions, args.until, &mut sink)?;
    sink.out.flush()?;
    if let Some(error) = sink.failed {
        return Err(error.into());
    }
    for line in &sink.refused {
        let name = args.files.get(line.source).map(|path| path.display().to_string()).unwrap_or_default();
        anstream::eprintln!("{name}:{}: {}", line.line, line.refusal);
    }
    anstream::eprintln!(
        "{} events: {} applied, {} duplicate, {} late, {} superseded, {} over a limit, {} refused, {} after the end",
        counts.read,
        counts.applied,
        counts.duplicate,
        counts.late,
        counts.superseded,
        counts.limited,
        counts.refused,
        counts.after_until
    );
    Ok(if counts.refused == 0 { Exit::Ok } else { Exit::Findings })
}

/// The files' lines. A read error ends the file and is kept for the end.
pub struct FileLines {
    reader: Box<dyn BufRead>,
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Iterator for FileLines {
    type Item = Vec<u8>;
    fn next(&mut self) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        match self.reader.read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) => Some(line),
            Err(error) => {
                *self.failed.borrow_mut() = Some(error);
                None
            }
        }
    }
}

/// Runs the files through the engine.
pub fn through(
    config: &Config,
    files: &[PathBuf],
    partitions: u32,
    until_ms: Option<i64>,
    sink: &mut impl ReplaySink,
) -> Result<(Replay<FileLines>, ReplayCounts), Failure> {
    let failed = Rc::new(RefCell::new(None));
    let open = |path: &PathBuf| -> Result<FileLines, Failure> {
        let reader: Box<dyn BufRead> = match path.as_path() {
            path if path == Path::new("-") => Box::new(io::stdin().lock()),
            path => Box::new(BufReader::new(File::open(path).map_err(|error| {
                Failure::new(Exit::Failed, format!("error: {} cannot be read: {error}", path.display()))
            })?)),
        };
        Ok(FileLines { reader, failed: Rc::clone(&failed) })
    };
    let sources = files.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    let options = ReplayOptions {
        config: Arc::clone(&config.engine),
        person_key: KEY,
        partitions,
        lateness_ms: i64::try_from(config.clock.lateness.as_millis()).unwrap_or(i64::MAX),
        until_ms,
    };
    let mut replay = Replay::new(options, sources);
    let counts = replay.run(sink);
    match failed.take() {
        Some(error) => {
            Err(Failure::new(Exit::Failed, format!("error: a file cannot be read to its end: {error}")))
        }
        None => Ok((replay, counts)),
    }
}

struct Lines<W: Write> {
    out: W,
    failed: Option<io::Error>,
    refused: Vec<Refused>,
}

#[derive(Serialize)]
struct Line<'a, T> {
    topic: &'static str,
    key: &'a str,
    value: &'a T,
}

impl<W: Write> Lines<W> {
    fn line<T: Serialize>(&mut self, topic: &'static str, key: &str, value: &T) {
        if self.failed.is_some() {
            return;
        }
        let line = Line { topic, key, value };
        let written = serde_json::to_writer(&mut self.out, &line).map_err(io::Error::from);
        if let Err(error) = written.and_then(|()| self.out.write_all(b"\n")) {
            self.failed = Some(error);
        }
    }
}

impl<W: Write> ReplaySink for Lines<W> {
    fn effects(&mut self, effects: Effects) {
        for score in &effects.scores {
            self.line("scores", &score.account, &score.record);
        }
        for risk in &effects.risks {
            self.line("risks", &risk.account_id, risk);
        }
    }

    fn refused(&mut self, refused: Refused) {
        if self.refused.len() < REFUSED_LISTED_MAX {
            self.refused.push(refused);
        }
    }
}
