//! The groups one after the other, each as a child: what it tells is passed on and kept.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use accountpulse::clock;

use crate::figures::{FIGURES, Group, find};
use crate::{machine, page};

/// A group that takes longer hangs.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// What the measurement of JSON tells for later groups.
const RATE: &str = "kafka_cpu_s_per_m_json/rate";

/// Takes the figures of these names; the exit code.
pub fn run(wanted: &[String], quick: bool) -> i32 {
    let all = wanted.len() == FIGURES.len();
    let mut lines = machine::lines(quick);
    lines.iter().for_each(|line| println!("# {line}"));
    if quick {
        println!("# --quick: sizes that show that everything is measured; the values say nothing");
    }
    let mut figures: Vec<String> = Vec::new();
    let mut failed = BTreeSet::new();
    let begun = clock::monotonic();
    for group in Group::ALL {
        let names: Vec<&str> = group
            .figures()
            .map(|figure| figure.name)
            .filter(|name| wanted.iter().any(|w| w == name))
            .collect();
        if names.is_empty() {
            continue;
        }
        let started = clock::monotonic();
        eprintln!("# {}: {}", group.name(), names.join(" "));
        let told = measure(group, &names, quick, value_of(&figures, RATE));
        let told_names: BTreeSet<&str> = told.iter().filter_map(|line| line.split(' ').next()).collect();
        for name in names.iter().filter(|name| !told_names.contains(**name)) {
            let budget = find(name).and_then(|figure| figure.budget);
            let budget = budget.map_or_else(|| "-".to_owned(), |budget| budget.to_string());
            let line = format!("{name} - {} {budget} failed", find(name).map_or("-", |figure| figure.unit));
            println!("{line}");
            figures.push(line);
            failed.insert((*name).to_owned());
        }
        figures.extend(told);
        eprintln!("# {} took {:.0} s", group.name(), started.elapsed().as_secs_f64());
    }
    lines.push(format!("taking the figures took {:.0} minutes", begun.elapsed().as_secs_f64() / 60.0));
    if all && !quick {
        match page::write(&lines, &figures) {
            Ok(path) => eprintln!("# written to {path}"),
            Err(sentence) => {
                eprintln!("# {sentence}");
                return 1;
            }
        }
    }
    if failed.is_empty() {
        return 0;
    }
    eprintln!("# failed: {}", failed.into_iter().collect::<Vec<_>>().join(" "));
    1
}

/// The value on the line of that name.
fn value_of(lines: &[String], name: &str) -> Option<f64> {
    let value = |line: &String| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok();
    lines.iter().find_map(value)
}

/// One group in a process of its own; the lines it told.
fn measure(group: Group, names: &[&str], quick: bool, rate: Option<f64>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().expect("the bench has a file"));
    command.args(["--measure", group.name()]).args(names);
    if quick {
        command.arg("--quick");
    }
    if let Some(rate) = rate {
        command.args(["--rate", &rate.to_string()]);
    }
    // A group of its own, so that it can be ended with all it started.
    command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the bench starts itself");
    let lines = follow(child.stdout.take().expect("a pipe"));
    let told = collect(&lines, &mut child);
    // Ends it where it hangs; nothing happens where it has ended.
    drop(child.stdin.take());
    match child.wait() {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("# {} ended with {status}", group.name()),
        Err(error) => eprintln!("# {}: {error}", group.name()),
    }
    told
}

/// Passes on what the child tells until it ends or has had its time.
fn collect(lines: &Receiver<String>, child: &mut Child) -> Vec<String> {
    let deadline = clock::monotonic() + LONGEST;
    let mut told = Vec::new();
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(clock::monotonic())) {
            Ok(line) => {
                println!("{line}");
                let _ = std::io::stdout().flush();
                if !line.starts_with('#') {
                    told.push(line);
                }
            }
            Err(RecvTimeoutError::Disconnected) => return told,
            Err(RecvTimeoutError::Timeout) => {
                eprintln!("# process {} takes longer than {LONGEST:?} and is ended", child.id());
                return told;
            }
        }
    }
}

fn follow(stdout: ChildStdout) -> Receiver<String> {
    let (told, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if told.send(line).is_err() {
                return;
            }
        }
    });
    lines
}
