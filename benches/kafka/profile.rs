//! Where the time of a run goes: `perf` on the child from its first commit to its last, and a table
//! of shares. A sample belongs to the innermost frame that a rule names, so what a function of the
//! table calls (copying, allocating) counts for it.
//!
//! To add a group: a line in [`RULES`], above what it is a part of.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::cluster::Cluster;
use crate::instance;
use crate::workload::Encoding;

/// Part of a symbol, and what it is part of.
const RULES: [(&str, &str); 0] = [];
/// Symbols that are shown.
const TOP: usize = 40;

/// Records a run and prints the shares.
pub fn record(cluster: &Cluster, encoding: Encoding, total: u64) {
    let name = format!("{}-profiled", encoding.name());
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.perf"));
    let path = data.to_str().expect("a path in UTF-8").to_owned();
    let run = instance::run(cluster, &name, encoding.name(), total, |pid| Recorder::start(pid, &path));
    println!("# {run:.2?}");
    println!("# perf report -i {path} --no-children");
    shares(&path);
}

/// `perf`, until dropped.
struct Recorder(Child);

impl Recorder {
    fn start(pid: u32, path: &str) -> Recorder {
        let mut perf = Command::new("perf");
        perf.args(["record", "-q", "-F", "299", "--call-graph", "dwarf,16384", "-o", path]);
        perf.args(["-p", &pid.to_string()]).stderr(Stdio::null());
        Recorder(perf.spawn().expect("`perf` is missing: it comes with the kernel's tools"))
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let told = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        assert!(told.is_ok_and(|status| status.success()), "perf cannot be told to end");
        self.0.wait().expect("perf ends");
    }
}

/// Reads the samples and prints what they are part of.
fn shares(path: &str) {
    let mut perf = Command::new("perf");
    perf.args(["script", "-i", path, "--no-inline", "-F", "comm,ip,sym"]);
    let mut script = perf.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("perf runs");
    let lines = BufReader::new(script.stdout.take().expect("a pipe")).lines().map_while(Result::ok);
    let (mut groups, mut leaves) = (BTreeMap::new(), BTreeMap::new());
    let mut sample: Vec<String> = Vec::new();
    for line in lines.chain([String::new()]) {
        if !line.trim().is_empty() {
            sample.push(line);
            continue;
        }
        if let [comm, frames @ ..] = sample.as_slice() {
            let (group, leaf) = (group_of(comm.trim(), frames), symbol(frames.first()));
            *groups.entry(group).or_insert(0_u64) += 1;
            *leaves.entry((group, leaf.to_owned())).or_insert(0_u64) += 1;
        }
        sample.clear();
    }
    script.wait().expect("perf ends");
    let all: u64 = groups.values().sum();
    let percent = |count: u64| 100.0 * count as f64 / all.max(1) as f64;
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for (group, count) in groups {
        println!("profile {:.1} % {group}", percent(count));
    }
    let mut leaves: Vec<_> = leaves.into_iter().collect();
    leaves.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    for ((group, leaf), count) in leaves.into_iter().take(TOP) {
        println!("symbol {:.1} % [{group}] {leaf}", percent(count));
    }
}

/// The symbol of a line of `perf script`: address, symbol.
fn symbol(line: Option<&String>) -> &str {
    line.and_then(|line| line.trim().split_once(' ')).map_or("?", |(_, symbol)| symbol.trim())
}

fn group_of(comm: &str, frames: &[String]) -> &'static str {
    if comm.starts_with("rdk:") {
        return "client library's own threads";
    }
    let found = frames.iter().find_map(|frame| {
        let name = symbol(Some(frame));
        RULES.iter().find(|(part, _)| name.contains(part)).map(|(_, group)| *group)
    });
    found.unwrap_or("the rest")
}
