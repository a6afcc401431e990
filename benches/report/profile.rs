//! Where the time of a run goes: `perf` on the child from its first commit to its last, and a table
//! of shares. A sample belongs to the first rule that names one of its frames, so what a function of
//! the table calls (copying, allocating) counts for it.
//!
//! To add a group: a line in [`RULES`], above what it is a part of.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use crate::cluster::{Cluster, Job};
use crate::instance;
use crate::sizes::Sizes;
use crate::workload::{self, Encoding};

/// Part of a symbol, and what that is part of; the first that fits counts.
const RULES: [(&str, &str); 18] = [
    ("Accounts>::approach", "memory of the next accounts, fetched side by side"),
    ("Transactions::send_offsets", "commit: wait, positions, end"),
    ("Transactions::send", "produce: hand records to the library"),
    ("Transactions::", "commit: wait, positions, end"),
    ("worker::output::", "outputs to JSON, with headers"),
    ("Builder::pages", "pages of checkpoints"),
    ("Shard::advance", "deadlines: day turns, promises, holds"),
    ("Shard::drain", "what a commit tells: build the records"),
    ("worker::commit::", "put a commit together"),
    ("Shard::evaluate", "score and rules, on events"),
    ("Evaluator::", "score and rules, on events"),
    ("engine::event::", "decode"),
    ("Shard::apply", "apply to facts and windows"),
    ("KafkaLog", "client library on the worker's thread"),
    ("KafkaBatch", "records of the library: look at, give back"),
    ("Parts<M>::report", "metrics"),
    ("apply_pass", "merge of the inputs"),
    ("worker::step", "the rest of a step"),
];
/// Symbols that are shown.
const TOP: usize = 30;

/// Records a run and prints the shares.
pub fn run(sizes: &Sizes, encoding: Encoding) {
    let cluster = Cluster::start(sizes);
    let options = workload::until_now(sizes.kafka_events);
    let loaded = workload::load(&cluster, encoding.name(), encoding, options, false);
    let name = format!("{}-profiled", encoding.name());
    let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.perf"));
    let path = data.to_str().expect("a path in UTF-8").to_owned();
    let job = Job::new(&name, encoding.name());
    let run = instance::run(&cluster, job, loaded.events, |instance| Recorder::start(instance.pid, &path));
    println!("# {:.0} events/s, {:.2} CPU s per million", run.rate(), run.cpu_per_million());
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
    let named = |part: &str| frames.iter().any(|frame| symbol(Some(frame)).contains(part));
    RULES.iter().find(|(part, _)| named(part)).map_or("the rest", |(_, group)| *group)
}
