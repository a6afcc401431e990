//! The disk of the embedded log is full, may not grow, or cannot be written: the instance says so,
//! loses nothing it acknowledged, and goes on by itself once it can.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use accountpulse::clock;

use crate::support::lines::Lines;
use crate::support::{Process, run};

/// Accounts of one request, each with an event that only fills the disk.
const AT_ONCE: usize = 8;
const PADDING: usize = 100_000;
/// Requests before a test gives up to fill the disk.
const REQUESTS_MAX: usize = 400;
/// Longest wait for a disk that is well again to be used again; the worker's own pause is 10 s.
const LONGEST_SECS: u64 = 90;

/// Events of accounts that no other request names.
fn batch(number: usize) -> String {
    let padding = "x".repeat(PADDING);
    let event = |index: usize| {
        format!(
            "{{\"id\":\"e\",\"account_id\":\"a-{number}-{index}\",\"occurred_at\":\"2026-03-01T09:00:00Z\",\
             \"contact\":{{\"id\":\"c\",\"role\":\"champion\",\"status\":\"active\"}},\"note\":\"{padding}\"}}\n"
        )
    };
    (0..AT_ONCE).map(event).collect()
}

/// Status and body of an answer.
fn post(instance: &Process, body: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
    let url = format!("{}/v1/events", instance.url);
    let mut answer = agent.post(url).header("content-type", "application/x-ndjson").send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

/// Sends until the disk refuses; which requests were acknowledged, and what was said then.
fn fill(instance: &Process) -> (Vec<usize>, usize, String) {
    let mut acknowledged = Vec::new();
    for number in 0..REQUESTS_MAX {
        match post(instance, &batch(number)) {
            (200, _) => acknowledged.push(number),
            (503, said) => return (acknowledged, number, said),
            // Too much waits for the disk: the same again.
            (429, _) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("the disk was never full");
}

/// Waits until it is as wanted.
fn until(what: &str, wanted: impl Fn() -> bool) {
    let began = clock::monotonic();
    while !wanted() {
        assert!(clock::monotonic().duration_since(began).as_secs() < LONGEST_SECS, "{what}");
    }
}

const ACCOUNTS: &str = "accountpulse_accounts";

/// Fills the disk, makes room, and looks that nothing acknowledged is missing.
fn refuse_and_go_on(instance: &Process, what: &str, make_room: impl FnOnce()) -> usize {
    let (acknowledged, refused, said) = fill(instance);
    assert!(!acknowledged.is_empty(), "nothing was taken: {said}");
    assert!(said.contains("urn:accountpulse:problem:disk") && said.contains(what), "{said}");
    assert!(said.contains("send the same again"), "{said}");
    let (status, ready) = instance.get("/readyz?verbose");
    assert!(status == 503 && ready.contains("[-] disk: the log in ") && ready.contains(what), "{ready}");
    assert_eq!(instance.get("/livez").0, 200);

    make_room();
    until("it is not ready again", || instance.get("/readyz").0 == 200);
    instance.settle();
    // What was answered 503 may be there or not; metrics follow within a second.
    let (least, all) = (acknowledged.len() * AT_ONCE, (acknowledged.len() + 1) * AT_ONCE);
    instance.wait_for(ACCOUNTS, |known| known as usize >= least);
    assert_eq!(post(instance, &batch(refused)).0, 200);
    instance.wait_for(ACCOUNTS, |known| known as usize >= all);
    instance.settle();
    assert_eq!(instance.metric(ACCOUNTS) as usize, all);
    all
}

/// Starts a command that ends by becoming an instance, and waits until it listens.
fn start(command: &mut Command, data: &dyn Fn(&Child) -> PathBuf) -> Process {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let lines = Lines::of(child.stderr.take().unwrap());
    let line = lines.wait("accountpulse runs");
    let (_, rest) = line.split_once("http://").unwrap();
    let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
    let url = format!("http://{}", &rest[..end]);
    let data = data(&child);
    Process { child, data, url, lines }
}

#[test]
fn a_file_that_may_not_grow_is_named_and_the_log_goes_on_when_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    // The signal that goes with this limit would end the process, as any other kill does.
    let script = "trap '' XFSZ; ulimit -S -f 24000; exec \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh", env!("CARGO_BIN_EXE_accountpulse"), "run", "--listen", "127.0.0.1:0"]);
    command.arg("--data").arg(&data).env("NO_COLOR", "1");
    let instance = start(&mut command, &|_| data.clone());
    let pid = instance.child.id().to_string();
    let accounts = refuse_and_go_on(&instance, "raise it (ulimit -f)", || {
        let raised = Command::new("prlimit").args(["--pid", &pid, "--fsize=unlimited"]).status().unwrap();
        assert!(raised.success());
    });
    assert_eq!(instance.end("-KILL"), None);
    let again = Process::start(&data, &[]);
    again.settle();
    again.wait_for(ACCOUNTS, |known| known as usize >= accounts);
    assert_eq!(again.metric(ACCOUNTS) as usize, accounts);
    assert_eq!(again.end("-TERM"), Some(0));
}

/// A small file system that only this process and its children see.
const SMALL_DISK: &str = "mount -t tmpfs -o size=24m tmpfs \"$0\" || exit 9
head -c 8m /dev/zero > \"$0/filler\"
exec \"$@\" --data \"$0/data\"";

#[test]
fn a_full_disk_is_named_and_the_log_goes_on_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let allowed = Command::new("unshare").args(["--user", "--map-root-user", "--mount", "true"]).status();
    assert!(
        allowed.is_ok_and(|status| status.success()),
        "this test mounts a small file system of its own, and this machine does not let it: install util-linux, and \
         allow user namespaces (sysctl kernel.unprivileged_userns_clone=1; in a container, run it with \
         --security-opt seccomp=unconfined or as privileged)"
    );
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", SMALL_DISK]).arg(folder.path());
    command.args([env!("CARGO_BIN_EXE_accountpulse"), "run", "--listen", "127.0.0.1:0"]).env("NO_COLOR", "1");
    let inside = |child: &Child, name: &str| {
        // The disk as the process sees it.
        let root = PathBuf::from(format!("/proc/{}/root", child.id()));
        root.join(folder.path().strip_prefix("/").unwrap()).join(name)
    };
    let instance = start(&mut command, &|child| inside(child, "data"));
    let filler = inside(&instance.child, "filler");
    let accounts = refuse_and_go_on(&instance, "its disk is full", || std::fs::remove_file(&filler).unwrap());

    // Stopped in whatever it does: the files are what a kill would leave.
    let stopped = Command::new("kill").args(["-STOP", &instance.child.id().to_string()]).status().unwrap();
    assert!(stopped.success());
    let copy = folder.path().join("copy");
    copy_files(&instance.data, &copy);
    assert_eq!(instance.end("-KILL"), None);
    let again = Process::start(&copy, &[]);
    again.settle();
    again.wait_for(ACCOUNTS, |known| known as usize >= accounts);
    assert_eq!(again.metric(ACCOUNTS) as usize, accounts);
    assert_eq!(again.end("-TERM"), Some(0));
}

fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        if entry.file_name() != "instance.json" {
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

#[test]
fn a_disk_that_cannot_be_written_at_the_start_ends_it_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    assert_eq!(Process::start(&data, &[]).end("-TERM"), Some(0));
    let limited = |limit: &str| {
        let script = format!("trap '' XFSZ; ulimit -S -f {limit}; exec \"$@\"");
        let mut command = Command::new("sh");
        command.args([
            "-c",
            &script,
            "sh",
            env!("CARGO_BIN_EXE_accountpulse"),
            "run",
            "--listen",
            "127.0.0.1:0",
        ]);
        command.arg("--data").arg(&data).output().unwrap()
    };
    let refused = limited("8");
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(69), "{said}");
    assert!(said.contains("error: the log in ") && said.contains("raise it (ulimit -f)"), "{said}");
    assert_eq!(run(&["tail", "scores", "--data", data.to_str().unwrap()]).status.code(), Some(0));
    let again = Process::start(&data, &[]);
    again.settle();
    assert_eq!(again.end("-TERM"), Some(0));
}
