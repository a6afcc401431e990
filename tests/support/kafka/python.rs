//! The scripts of `tests/kafka/`, run with the Python of `scripts/setup-test-tools.sh`: clients
//! that share no code with this repository.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use super::{root, script};

/// A script of `tests/kafka/` with its arguments, not started yet.
pub fn command(name: &str, args: &[&str]) -> Command {
    static PYTHON: OnceLock<String> = OnceLock::new();
    let python = PYTHON.get_or_init(|| script("setup-test-tools.sh", "--python"));
    let mut command = Command::new(python);
    // No compiled files beside the sources.
    command.arg("-B").arg(root().join("tests/kafka").join(name)).args(args);
    command
}

/// Runs a script to its end; its standard output. It must succeed.
pub fn run(name: &str, args: &[&str]) -> String {
    finish(command(name, args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits for a script to succeed; its standard output.
pub fn finish(child: Child) -> String {
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the script failed ({}): {said}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// `produce.py`: events as JSON lines, each sent to the topic of its kind.
pub struct Produce {
    args: Vec<String>,
}

impl Produce {
    /// To the broker at `bootstrap`.
    pub fn to(bootstrap: &str) -> Produce {
        Produce { args: vec!["--bootstrap".to_owned(), bootstrap.to_owned()] }
    }

    /// Events of `kind` (`login`, `usage`, …; `*` for all others) go to `topic`.
    pub fn topic(self, kind: &str, topic: &str) -> Produce {
        self.argument("--topic", &format!("{kind}={topic}"))
    }

    /// A librdkafka setting.
    pub fn property(self, key: &str, value: &str) -> Produce {
        self.argument("--property", &format!("{key}={value}"))
    }

    /// The records' timestamps are the events' `occurred_at`, not the present.
    pub fn at_event_time(mut self) -> Produce {
        self.args.push("--event-time".to_owned());
        self
    }

    /// At most so many records a second.
    pub fn rate(self, per_second: u32) -> Produce {
        self.argument("--rate", &per_second.to_string())
    }

    /// Sends the files, one after the other, and returns how many records are acknowledged: all.
    pub fn send(self, files: &[&Path]) -> u64 {
        finish(self.spawn(files)).trim().parse().unwrap()
    }

    /// Starts to send; [`finish`] gives the number of records.
    pub fn spawn(self, files: &[&Path]) -> Child {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut command = command("produce.py", &args);
        command.args(files).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The same for lines that are still to be written, to the standard input of the script.
    pub fn fed(self) -> Child {
        let args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        let mut command = command("produce.py", &args);
        command.arg("/dev/stdin").stdin(Stdio::piped());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn argument(mut self, name: &str, value: &str) -> Produce {
        self.args.extend([name.to_owned(), value.to_owned()]);
        self
    }
}
