//! Java processes of Kafka: started until they say that they run, and ended with us.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, OnceLock};

use super::{root, script};

/// The line after which every listener is open and the process may serve.
const STARTED: &str = "Kafka Server started";
/// Lines of a log that a failure shows.
const EXCERPT_LINES: usize = 40;
/// What is said between two starts.
pub(super) type Log = Arc<Mutex<Vec<String>>>;

/// The process of a broker, and the shell that outlives us to end it.
pub(super) struct Running {
    pub(super) java: Child,
    pub(super) guard: Child,
}

impl Running {
    pub(super) fn kill9(&mut self) {
        for process in [&mut self.java, &mut self.guard] {
            process.kill().unwrap();
            process.wait().unwrap();
        }
    }
}

/// Starts a process of Kafka with the settings of that name; the log when it ended instead.
pub(super) fn launch(
    folder: &Path,
    settings: &str,
    log_settings: &str,
    log: &Log,
) -> Result<Running, String> {
    let mut java = java(&["kafka.Kafka"], log_settings)
        .arg(folder.join(settings))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What the JVM itself complains about; the log goes to standard output.
        .stderr(File::create(folder.join(format!("{settings}.stderr"))).unwrap())
        .spawn()
        .unwrap();
    let guard = guard(java.id(), folder);
    let started = follow(java.stdout.take().unwrap(), Arc::clone(log));
    let mut running = Running { java, guard };
    // The sender is gone without a word when the process has ended.
    if started.recv().is_err() {
        running.kill9();
        return Err(excerpt(folder, settings, log));
    }
    Ok(running)
}

/// The end of what a process said.
pub(super) fn excerpt(folder: &Path, settings: &str, log: &Mutex<Vec<String>>) -> String {
    let stderr = std::fs::read_to_string(folder.join(format!("{settings}.stderr"))).unwrap_or_default();
    let mut lines = log.lock().unwrap().clone();
    lines.extend(stderr.lines().map(str::to_owned));
    lines.split_off(lines.len().saturating_sub(EXCERPT_LINES)).join("\n")
}

/// A Java command with Kafka's jars and few threads: tests share two cores with it, and the
/// quicker start of the first compiler is worth more to them than its slower code.
pub(super) fn java(args: &[&str], log_settings: &str) -> Command {
    static JARS: OnceLock<String> = OnceLock::new();
    let jars = JARS.get_or_init(|| script("kafka.sh", "jars"));
    let log_settings = root().join("scripts/kafka").join(log_settings);
    let mut command = Command::new("java");
    command.args(["-Xms128m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]);
    command.arg(format!("-Dlog4j2.configurationFile={}", log_settings.display()));
    command.args(["-cp", &format!("{jars}/*")]).args(args);
    command
}

/// A shell that waits until this process is gone, then kills the broker and removes its folder. The
/// pid counts only while its command line still names the folder.
fn guard(pid: u32, folder: &Path) -> Child {
    use std::os::unix::process::CommandExt;
    const SCRIPT: &str =
        r#"read -r _; ps -p "$1" -o args= | grep -qF "$2" && kill -9 "$1"; exec rm -rf "$2""#;
    Command::new("sh")
        .args(["-c", SCRIPT, "guard", &pid.to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Ctrl-C is for the tests; the guard cleans up after them.
        .process_group(0)
        .spawn()
        .unwrap()
}

/// Collects the log. One message when the broker has started; none when it ended before.
fn follow(stdout: std::process::ChildStdout, log: Log) -> Receiver<()> {
    let (started, receiver) = channel();
    std::thread::spawn(move || {
        let mut started = Some(started);
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let is_start = line.contains(STARTED);
            log.lock().unwrap().push(line);
            if is_start && let Some(started) = started.take() {
                // Nobody waits for it any more: fine.
                let _ = started.send(());
            }
        }
    });
    receiver
}
