//! Two workers in one process against two processes with one each: what threads of one process take
//! from each other (allocator, memory, locks). Engine only: a replay of the workload in two files,
//! dealt by account.

use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Barrier;

use accountpulse::clock;
use accountpulse::engine::partition::partition_of;
use accountpulse::simulate::{Workload, WorkloadOptions};

use crate::corpus::{Corpus, replay, shard};
use crate::figures::{beside, tell};
use crate::measure::median;
use crate::sizes::Sizes;
use crate::workload::Encoding;

/// Parts of the file, and workers.
const PARTS: u32 = 2;

/// `cores_ratio`.
pub fn run(sizes: &Sizes) {
    let folder = tempfile::tempdir().expect("a folder");
    let files = write_parts(folder.path(), sizes.cores_events);
    let events = sizes.cores_events as f64;
    let of_threads = || events / slowest(vec![Replayer::start(&files)]);
    let of_processes = || {
        let several = files.iter().map(|file| Replayer::start(std::slice::from_ref(file)));
        events / slowest(several.collect())
    };
    let (mut threads, mut processes) = (Vec::new(), Vec::new());
    for run in 0..sizes.cores_runs {
        // The machine changes its mind within seconds: whoever is first must not always be the same.
        if run % 2 == 0 {
            threads.push(of_threads());
            processes.push(of_processes());
        } else {
            processes.push(of_processes());
            threads.push(of_threads());
        }
        eprintln!("# run {run}: threads {:.0}, processes {:.0} events/s", threads[run], processes[run]);
    }
    let ratios = threads.iter().zip(&processes).map(|(threads, processes)| threads / processes).collect();
    tell("cores_ratio", median(ratios));
    beside("cores_ratio/events", events, "events");
    beside("cores_ratio/rate_of_two_threads", median(threads), "events/s");
    beside("cores_ratio/rate_of_two_processes", median(processes), "events/s");
}

fn write_parts(folder: &Path, events: u64) -> Vec<PathBuf> {
    let files: Vec<PathBuf> = (0..PARTS).map(|part| folder.join(format!("part-{part}.jsonl"))).collect();
    let create = |file: &PathBuf| BufWriter::new(std::fs::File::create(file).expect("a file"));
    let mut parts: Vec<_> = files.iter().map(create).collect();
    let mut workload = Workload::new(WorkloadOptions::new(1, events));
    let (mut json, mut account) = (Vec::new(), Vec::new());
    while let Some(event) = workload.next_into(&mut json) {
        account.clear();
        Workload::push_account_id(event.account, &mut account);
        json.push(b'\n');
        parts[partition_of(&account, PARTS) as usize].write_all(&json).expect("room on the disk");
        json.clear();
    }
    parts.iter_mut().for_each(|part| part.flush().expect("room on the disk"));
    files
}

/// A process that replays files, a thread for each.
struct Replayer {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Replayer {
    fn start(files: &[PathBuf]) -> Replayer {
        let mut command = Command::new(std::env::current_exe().expect("the bench has a file"));
        for file in files {
            command.arg("--replay").arg(file);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let said = BufReader::new(child.stdout.take().expect("a pipe"));
        Replayer { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("the replaying process speaks");
        line
    }
}

/// Lets all begin together; the seconds of the slowest.
fn slowest(mut replayers: Vec<Replayer>) -> f64 {
    for replayer in &mut replayers {
        assert_eq!(replayer.line().trim(), "ready");
    }
    for replayer in &mut replayers {
        replayer.child.stdin.take().expect("a pipe").write_all(b"go\n").expect("it listens");
    }
    let seconds = replayers.iter_mut().map(|replayer| replayer.line().trim().parse().expect("seconds"));
    let slowest = seconds.fold(0.0, f64::max);
    for mut replayer in replayers {
        assert!(replayer.child.wait().is_ok_and(|status| status.success()));
    }
    slowest
}

/// Such a process: reads the files, says so, waits for the word, says how long it took.
pub fn replay_files(files: &[String]) {
    let read = |file: &String| Corpus::of_lines(std::fs::read(file).expect("the file is there"));
    let parts: Vec<Corpus> = files.iter().map(read).collect();
    println!("ready");
    let mut word = String::new();
    std::io::stdin().read_line(&mut word).expect("the word to go");
    let start = Barrier::new(parts.len());
    let seconds = std::thread::scope(|scope| {
        let one = |part| {
            let start = &start;
            scope.spawn(move || {
                start.wait();
                let begun = clock::monotonic();
                // One of several partitions, so that days are spread as in a real shard.
                replay(part, Encoding::Json, &mut shard(0, PARTS));
                begun.elapsed().as_secs_f64()
            })
        };
        let running: Vec<_> = parts.iter().map(one).collect();
        running.into_iter().map(|thread| thread.join().expect("a replay")).fold(0.0, f64::max)
    });
    println!("{seconds}");
}
