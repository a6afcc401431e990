//! On what the figures were taken: machine, date, versions.

use std::process::Command;

use accountpulse::clock;

use crate::measure::read;

/// Lines that belong beside every figure.
pub fn lines(quick: bool) -> Vec<String> {
    let date = jiff::Timestamp::from_millisecond(clock::wall_ms()).expect("a time");
    let cpu = read("/proc/cpuinfo");
    let model = value(&cpu, "model name").unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = read("/proc/meminfo");
    let kib = value(&memory, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<f64>().ok());
    let load = read("/proc/loadavg");
    let (_, librdkafka) = rdkafka::util::get_rdkafka_version();
    vec![
        format!("{} UTC", date.strftime("%Y-%m-%d %H:%M")),
        format!(
            "{model}, {cores} cores, {:.0} GiB memory, Linux {}",
            kib.unwrap_or(0.0) / 1_048_576.0,
            read("/proc/sys/kernel/osrelease").trim()
        ),
        format!("load of the machine before: {}", load.split(' ').next().unwrap_or("?")),
        format!("accountpulse {} ({}), {}", env!("CARGO_PKG_VERSION"), commit(), profile()),
        format!("{}, librdkafka {librdkafka}", said("rustc", &["--version"])),
        format!("Apache Kafka {}, {}", kafka(), java()),
        if quick { "small sizes (--quick)".to_owned() } else { "full sizes".to_owned() },
    ]
}

fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "with the checks of the dev profile" } else { "release profile" }
}

/// What a command says first; that it is missing is no reason to stop.
fn said(command: &str, args: &[&str]) -> String {
    let output = Command::new(command).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stdout).ok()).unwrap_or_default();
    text.lines().next().unwrap_or("unknown").trim().to_owned()
}

fn commit() -> String {
    let commit = said("git", &["rev-parse", "--short=10", "HEAD"]);
    let changed =
        said("git", &["status", "--porcelain", "--untracked-files=no", "--", "src", "benches", "Cargo.toml"]);
    if changed == "unknown" { commit } else { format!("{commit} and changes") }
}

fn java() -> String {
    let output = Command::new("java").arg("-version").output();
    let text = output.ok().and_then(|output| String::from_utf8(output.stderr).ok()).unwrap_or_default();
    text.lines().next().unwrap_or("no Java").replace('"', "")
}

/// The version in the name of the broker's jar.
fn kafka() -> String {
    let folder = said("scripts/kafka.sh", &["jars"]);
    let jars = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let name = |jar: std::fs::DirEntry| jar.file_name().into_string().ok();
    let version = |name: String| Some(name.strip_prefix("kafka_2.13-")?.strip_suffix(".jar")?.to_owned());
    jars.filter_map(name).find_map(version).unwrap_or_else(|| "unknown".to_owned())
}
