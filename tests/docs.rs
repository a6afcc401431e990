//! The documents are held to the code: generated pages are fresh, links lead somewhere, and the
//! command lines in them are understood by the program.
//!
//! ```text
//! ACCOUNTPULSE_BLESS=1 cargo test --test docs     writes the generated pages anew
//! ```
//!
//! To add a generated page: a line in [`generated`].

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use accountpulse::config::{Config, defaults_yaml};
use accountpulse::engine::{feature, rule};

/// When set, generated pages are written instead of compared.
const BLESS_VARIABLE: &str = "ACCOUNTPULSE_BLESS";
/// Folders that hold no documents of ours.
const FOREIGN: [&str; 2] = ["target", "data"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every page that the program writes, and what it writes.
fn generated() -> [(&'static str, String); 3] {
    [
        ("docs/features.md", feature::document()),
        ("docs/rules.md", rule::document()),
        ("docs/config.default.yaml", defaults_yaml()),
    ]
}

#[test]
fn generated_pages_are_fresh() {
    let bless = std::env::var_os(BLESS_VARIABLE).is_some();
    let mut stale = Vec::new();
    for (page, text) in generated() {
        let path = root().join(page);
        if bless {
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            stale.push(page);
        }
    }
    assert!(stale.is_empty(), "{stale:?} differ: {BLESS_VARIABLE}=1 cargo test --test docs");
}

/// Every Markdown file of the repository, with its path from the root.
fn documents() -> Vec<(PathBuf, String)> {
    let mut folders = vec![root()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap();
            if path.is_dir() {
                let foreign = FOREIGN.contains(&name.as_str()) || name.starts_with('.');
                folders.extend((!foreign).then_some(path));
            } else if name.ends_with(".md") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root()).unwrap().to_owned(), text));
            }
        }
    }
    found
}

/// Targets of the inline links outside code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut code = false;
    let mut found = Vec::new();
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        if code {
            continue;
        }
        let parts = line.split("](").skip(1);
        found.extend(parts.filter_map(|part| part.split_once(')')).map(|(target, _)| target));
    }
    found
}

/// The anchors of a document's headings, as GitHub makes them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut code = false;
    let mut found = BTreeSet::new();
    for line in text.lines() {
        code ^= line.starts_with("```");
        if code || !line.starts_with('#') {
            continue;
        }
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        found.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
    }
    found
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    let mut seen = 0;
    for (path, text) in documents() {
        let folder = root().join(&path);
        let folder = folder.parent().unwrap();
        for target in links(&text).into_iter().filter(|target| !target.contains("://")) {
            seen += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = if file.is_empty() { root().join(&path) } else { folder.join(file) };
            let leads = file.exists() && (anchor.is_empty() || has_anchor(&file, anchor));
            if !leads {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(seen > 20, "only {seen} links: are they read at all?");
}

fn has_anchor(file: &Path, anchor: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| anchors(&text).contains(anchor))
}

/// The command lines of the `sh` blocks that call the program, each as its words.
fn command_lines(text: &str) -> Vec<Vec<&str>> {
    let mut in_shell = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if let Some(language) = line.strip_prefix("```") {
            in_shell = language == "sh";
        }
        // What stands behind a pipe, a redirection or a comment is not ours.
        let ours = line.split(['|', '>', '#', ';']).next().unwrap();
        let mut words = ours.split_whitespace();
        if in_shell && words.next() == Some("accountpulse") {
            found.push(words.collect());
        }
    }
    found
}

/// The help of the subcommand at the start of `words`; `None` when there is no such subcommand.
fn help(words: &[&str]) -> Option<String> {
    let groups = ["config", "metrics"];
    let depth = if groups.contains(words.first()?) { 2 } else { 1 };
    let output = Command::new(env!("CARGO_BIN_EXE_accountpulse"))
        .args(words.get(..depth)?)
        .arg("--help")
        .output()
        .unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn command_lines_are_understood() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (path, text) in documents() {
        for words in command_lines(&text) {
            let shown = format!("{}: accountpulse {}", path.display(), words.join(" "));
            let Some(help) = help(&words) else {
                wrong.push(format!("{shown}: no such command"));
                continue;
            };
            seen.extend(words.first().map(|word| (*word).to_owned()));
            for option in words.iter().filter(|word| word.starts_with('-') && word.len() > 1) {
                let known = help.split([' ', ',', '\n', '.']).any(|word| word == *option);
                if !known {
                    wrong.push(format!("{shown}: `{option}` is not in its help"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for command in ["demo", "run", "send", "tail", "explain", "replay", "check", "config"] {
        assert!(seen.contains(command), "no document shows `accountpulse {command}`");
    }
}

#[test]
fn configurations_in_documents_are_right() {
    let mut seen = 0;
    for (path, text) in documents() {
        for block in text.split("```yaml\n").skip(1) {
            let yaml = block.split("```").next().unwrap();
            let name = path.display().to_string();
            if let Err(error) = Config::parse(&name, yaml, &|_| None) {
                panic!("{}", error.render(false));
            }
            seen += 1;
        }
    }
    assert!(seen > 0, "no document shows a configuration");
}

#[test]
fn the_readers_of_documents_read() {
    let text = "# A b: `c_d`!\n[x](y.md#z)\n```sh\naccountpulse tail risks -f | jq .x  # [no](link)\n```\n";
    assert_eq!(links(text), ["y.md#z"]);
    assert_eq!(anchors(text), BTreeSet::from(["a-b-c_d".to_owned()]));
    assert_eq!(command_lines(text), [["tail", "risks", "-f"]]);
    assert!(help(&["nonsense"]).is_none());
}
