//! One installation of the program: its configuration, its commands, its instances. Whatever it
//! says is kept, and none of it may be one of its secrets.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use accountpulse::app::instance::Instance as Written;
use accountpulse::clock;
use accountpulse::engine::time::rfc3339;

use crate::process::lines::Lines;
use crate::process::{Process, accountpulse};

/// Partitions of every topic.
pub const PARTITIONS: u32 = 4;
/// How many topics there are: one input, four outputs.
pub const TOPICS: usize = 5;
/// Longest wait for a line or an answer. It only keeps a test from waiting for ever.
const LONGEST: Duration = Duration::from_secs(90);

/// See the module.
pub struct Place {
    folder: Arc<tempfile::TempDir>,
    brokers: String,
    name: String,
    /// More lines of the section `kafka`.
    kafka: String,
    /// More sections.
    more: String,
    /// Another input topic; empty: one of its own.
    input: String,
    variables: Vec<(String, String)>,
    secrets: Vec<String>,
}

/// What a command said.
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
    pub took: Duration,
}

impl Place {
    /// At the cluster `brokers`; `name` is its group and the first part of its topics' names.
    pub fn new(brokers: &str, name: &str) -> Place {
        Place {
            folder: Arc::new(tempfile::tempdir().unwrap()),
            brokers: brokers.to_owned(),
            name: name.to_owned(),
            kafka: String::new(),
            more: String::new(),
            input: String::new(),
            variables: Vec::new(),
            secrets: Vec::new(),
        }
    }

    /// Another group.
    pub fn group(mut self, group: &str) -> Place {
        self.kafka.push_str(&format!("  group: {group}\n"));
        self
    }

    /// One more line of `kafka`.
    pub fn kafka(mut self, line: &str) -> Place {
        self.kafka.push_str(&format!("  {line}\n"));
        self
    }

    /// Other sections than these, as they stand in the file.
    pub fn more(mut self, sections: &str) -> Place {
        sections.clone_into(&mut self.more);
        self
    }

    /// Another input topic.
    pub fn input(mut self, topic: &str) -> Place {
        self.input = topic.to_owned();
        self
    }

    /// What its commands find in the environment.
    pub fn variable(mut self, name: &str, value: &str) -> Place {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// What none of them may say.
    pub fn secret(mut self, secret: &str) -> Place {
        self.secrets.push(secret.to_owned());
        self
    }

    /// A file of its folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The one input topic.
    pub fn input_topic(&self) -> String {
        if self.input.is_empty() { self.topic("events") } else { self.input.clone() }
    }

    /// The full name of a topic.
    pub fn topic(&self, what: &str) -> String {
        format!("{}.{what}.v1", self.name)
    }

    /// Writes the configuration of an instance.
    pub fn config(&self, instance: &str) -> PathBuf {
        let kinds =
            ["logins", "usage", "tickets", "invoices", "surveys", "contacts", "contracts", "accounts"];
        let input = self.input_topic();
        let names: String = kinds.iter().map(|kind| format!("    {kind}: {input}\n")).collect();
        let group =
            if self.kafka.contains("group: ") { String::new() } else { format!("  group: {}\n", self.name) };
        let mut timeouts = String::new();
        for (key, value) in [("session_timeout", "6s"), ("transaction_timeout", "4s")] {
            if !self.kafka.contains(key) {
                timeouts.push_str(&format!("  {key}: {value}\n"));
            }
        }
        let text = format!(
            "storage:\n  log: kafka\nkafka:\n  brokers: {}\n  instance: {instance}\n  partitions: {PARTITIONS}\n  \
             replication: 1\n{timeouts}{group}{}topics:\n  prefix: {}\n  names:\n{names}\
             clock:\n  lateness: 0s\nprivacy:\n  person_key_file: {}\n{}",
            self.brokers,
            self.kafka,
            self.name,
            self.file("person.key").display(),
            self.more,
        );
        let path = self.file(&format!("{instance}.yaml"));
        std::fs::write(&path, text).unwrap();
        path
    }

    /// A command with the configuration of an instance.
    pub fn command(&self, instance: &str, args: &[&str]) -> Command {
        let mut command = accountpulse(args);
        command.arg("-c").arg(self.config(instance)).envs(self.variables.clone());
        command
    }

    /// Runs a command to its end.
    pub fn ask(&self, instance: &str, args: &[&str]) -> Said {
        let began = clock::monotonic();
        let mut command = self.command(instance, args);
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = bounded(child.id(), || child.wait_with_output().unwrap());
        let took = clock::monotonic().duration_since(began);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said =
            Said { code: output.status.code(), out: text(&output.stdout), err: text(&output.stderr), took };
        self.keeps_secrets(&said.out);
        self.keeps_secrets(&said.err);
        said
    }

    /// Runs a command that must end with `code`; its standard output.
    pub fn expect(&self, code: i32, instance: &str, args: &[&str]) -> String {
        let said = self.ask(instance, args);
        assert_eq!(said.code, Some(code), "{args:?}: {}{}", said.out, said.err);
        said.out
    }

    fn keeps_secrets(&self, said: &str) {
        for secret in &self.secrets {
            let line = said.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(line, None, "{secret}");
        }
    }

    /// The arguments of `run`, with a data directory of its own.
    pub fn run(&self, instance: &str, data: &str) -> Command {
        let data = self.file(data);
        let args = ["run", "--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()];
        self.command(instance, &args)
    }

    /// Starts an instance and waits until it listens.
    pub fn start(&self, instance: &str) -> Instance<'_> {
        self.start_in(instance, instance)
    }

    /// The same, with another data directory.
    pub fn start_in(&self, instance: &str, data: &str) -> Instance<'_> {
        let mut child = self.run(instance, data).stderr(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stderr.take().unwrap());
        let data = self.file(data);
        // From here on it is killed if anything fails.
        let mut process =
            Process { child, data: data.clone(), url: String::new(), lines: Arc::clone(&lines) };
        lines.wait("accountpulse runs");
        process.url = Written::read(&data).unwrap().url;
        Instance { process, lines, place: self }
    }

    /// Starts to print what is published.
    pub fn follow(&self, topic: &str) -> Following {
        let mut command = self.command("follower", &["tail", topic, "--follow"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let lines = Lines::of(child.stdout.take().unwrap());
        let of_process = Arc::clone(&lines);
        Following {
            _process: Process { child, data: PathBuf::new(), url: String::new(), lines: of_process },
            lines,
        }
    }
}

/// A `tail --follow`; killed when dropped.
pub struct Following {
    _process: Process,
    pub lines: Arc<Lines>,
}

/// A running instance; killed when dropped.
pub struct Instance<'p> {
    pub process: Process,
    pub lines: Arc<Lines>,
    place: &'p Place,
}

impl Instance<'_> {
    /// Waits until it is ready.
    pub fn ready(&self) {
        self.lines.wait("phase=\"Live\"");
        self.until(200, "[+] caught-up: ok");
    }

    /// Asks for a condition of readiness until it reads so.
    pub fn until(&self, status: u16, part: &str) {
        let began = clock::monotonic();
        loop {
            let (found, said) = self.process.get("/readyz?verbose");
            if found == status && said.contains(part) {
                return;
            }
            assert!(clock::monotonic().duration_since(began) < LONGEST, "{said}{}", self.lines.text());
        }
    }

    /// Sends an event over HTTP.
    pub fn post(&self, event: &str) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let url = format!("{}/v1/events", self.process.url);
        let mut answer = agent.post(url).header("content-type", "application/json").send(event).unwrap();
        let said = answer.body_mut().read_to_string().unwrap();
        assert_eq!(answer.status().as_u16(), 200, "{said}");
    }

    /// Waits for its own end; the exit code.
    pub fn ended(mut self) -> Option<i32> {
        let code = bounded(self.process.child.id(), || self.process.child.wait().unwrap().code());
        self.lines.wait_for_end();
        self.place.keeps_secrets(&self.lines.text());
        code
    }

    /// Asks it to end in good order.
    pub fn stop(self) {
        let sent = Command::new("kill").args(["-TERM", &self.process.child.id().to_string()]).status();
        assert!(sent.unwrap().success());
        assert_eq!(self.ended(), Some(0));
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.process.child.kill().unwrap();
        self.process.child.wait().unwrap();
    }
}

impl Drop for Instance<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("what an instance said:\n{}", self.lines.text());
        }
    }
}

/// An event that makes an account a detractor at once.
pub fn bad_survey(account: &str) -> String {
    let now = rfc3339(clock::wall_ms());
    format!(
        r#"{{"id":"survey-{account}","account_id":"{account}","occurred_at":"{now}","survey":{{"id":"r-1","type":"nps","score":2,"respondent":"u-1"}}}}"#
    )
}

/// Waits for the end of a process. One that does not end is ended, so that a test fails and does not
/// wait for ever.
fn bounded<T>(pid: u32, wait: impl FnOnce() -> T) -> T {
    let (ended, still) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if still.recv_timeout(LONGEST) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
        }
    });
    let out = wait();
    drop(ended);
    guard.join().unwrap();
    out
}

/// Writes an event to a file.
pub fn event_file(path: &Path, event: &str) {
    std::fs::write(path, format!("{event}\n")).unwrap();
}
