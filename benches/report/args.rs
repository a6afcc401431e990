//! The command line.

use crate::figures::{FIGURES, Group};
use crate::sizes::Sizes;
use crate::workload::Encoding;

/// What this process is to do.
pub enum Task {
    /// Measures figures, each group in a process of its own.
    Report { wanted: Vec<String>, quick: bool },
    /// Is such a process.
    Measure { group: Group, wanted: Vec<String>, sizes: Sizes, rate: Option<f64> },
    /// Is one of the processes of `cores_ratio`.
    Replay { files: Vec<String> },
    /// Records a run on Kafka with `perf`.
    Profile { encoding: Encoding, quick: bool },
}

const HELP: &str = "\
cargo bench --bench report                          all figures, and writes docs/performance.md
cargo bench --bench report -- --quick               small sizes, writes nothing
cargo bench --bench report -- NAME…                 these figures or groups, writes nothing
cargo bench --bench report -- --profile json        where the time of a run on Kafka goes, by perf";

/// Reads it; the sentence to print when it is wrong (or asks for help), with the exit code.
pub fn parse(given: impl Iterator<Item = String>) -> Result<Task, (String, i32)> {
    let (mut names, mut quick, mut profile) = (Vec::new(), false, None);
    let (mut group, mut rate, mut files) = (None, None, Vec::new());
    let mut given = given;
    while let Some(word) = given.next() {
        let mut value = || given.next().ok_or_else(|| wrong(&format!("{word} needs a value")));
        match word.as_str() {
            // `cargo bench` adds it.
            "--bench" => {}
            "--help" | "-h" => return Err((HELP.to_owned(), 0)),
            "--quick" => quick = true,
            "--profile" => profile = Some(encoding(&value()?)?),
            // What this program says to itself.
            "--measure" => group = Some(value()?),
            "--rate" => rate = value()?.parse().ok(),
            "--replay" => files.push(value()?),
            name if name.starts_with('-') => return Err(wrong(&format!("{name} is not known"))),
            name => names.push(name.to_owned()),
        }
    }
    if !files.is_empty() {
        return Ok(Task::Replay { files });
    }
    if let Some(encoding) = profile {
        return Ok(Task::Profile { encoding, quick });
    }
    let wanted = chosen(&names)?;
    match group {
        None => Ok(Task::Report { wanted, quick }),
        Some(name) => {
            let found = Group::ALL.into_iter().find(|group| group.name() == name);
            let group = found.ok_or_else(|| wrong(&format!("there is no group {name}")))?;
            let sizes = if quick { Sizes::quick() } else { Sizes::full() };
            Ok(Task::Measure { group, wanted, sizes, rate })
        }
    }
}

/// The figures of these names; all without any.
fn chosen(names: &[String]) -> Result<Vec<String>, (String, i32)> {
    let known = |name: &str| {
        let of_group = |figure: &&crate::figures::Figure| figure.name == name || figure.group.name() == name;
        FIGURES.iter().filter(of_group).map(|figure| figure.name.to_owned()).collect::<Vec<_>>()
    };
    if names.is_empty() {
        return Ok(FIGURES.iter().map(|figure| figure.name.to_owned()).collect());
    }
    let mut all = Vec::new();
    for name in names {
        let found = known(name);
        if found.is_empty() {
            let figures: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
            let groups = Group::ALL.map(Group::name).join(" ");
            return Err(wrong(&format!(
                "there is no figure {name}\nfigures: {}\ngroups: {groups}",
                figures.join(" ")
            )));
        }
        all.extend(found);
    }
    Ok(all)
}

fn encoding(name: &str) -> Result<Encoding, (String, i32)> {
    let found = [Encoding::Json, Encoding::Proto].into_iter().find(|encoding| encoding.name() == name);
    found.ok_or_else(|| wrong(&format!("--profile takes json or proto, not {name}")))
}

fn wrong(sentence: &str) -> (String, i32) {
    (format!("{sentence}\n\n{HELP}"), 2)
}
