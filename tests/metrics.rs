//! Metrics: the manual is fresh, the exposition is complete from the first scrape, and promtool
//! finds nothing to complain about.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use accountpulse::telemetry::{self, ALL, Exporter, Names};

/// One recorder per process: tests share it.
fn exporter() -> &'static Exporter {
    static EXPORTER: OnceLock<Exporter> = OnceLock::new();
    EXPORTER.get_or_init(|| {
        let owned = |values: &[&str]| values.iter().map(|v| (*v).to_owned()).collect();
        let names = Names {
            topics: owned(&["accountpulse.logins.v1"]),
            partitions: 4,
            rules: owned(&["inactivity"]),
            severities: owned(&["warning"]),
            transitions: owned(&["started"]),
        };
        Exporter::install(&names).unwrap()
    })
}

#[test]
fn the_manual_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md");
    let manual = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        manual == telemetry::markdown(),
        "docs/METRICS.md is stale: run `cargo run -- metrics list --markdown > docs/METRICS.md`"
    );
}

#[test]
fn names_follow_the_conventions() {
    let mut seen = BTreeSet::new();
    for metric in ALL {
        assert!(seen.insert(metric.name), "{} twice", metric.name);
        let counter = metric.kind == telemetry::catalogue::Type::Counter;
        assert_eq!(metric.name.ends_with("_total"), counter, "{}: counters end in _total", metric.name);
        assert!(metric.help.ends_with('.') && metric.non_zero.ends_with('.'), "{}", metric.name);
    }
}

#[test]
fn every_series_known_in_advance_exists_with_zero() {
    let text = exporter().render();
    for metric in ALL {
        if metric.name.contains("http_request") {
            continue; // route, method and status show themselves in use
        }
        let help = format!("# HELP {} ", metric.name);
        assert!(text.contains(&help), "{} is not exposed", metric.name);
    }
    let expected = [
        "accountpulse_events_rejected_total{reason=\"late\"} 0",
        "accountpulse_records_waiting{topic=\"accountpulse.logins.v1\",partition=\"3\"} 0",
        "accountpulse_commit_seconds_bucket{le=\"0.05\"} 0",
        "process_start_time_seconds ",
    ];
    for line in expected {
        assert!(text.contains(line), "no `{line}` in\n{text}");
    }
}

#[test]
fn promtool_accepts_the_exposition() {
    telemetry::catalogue::HTTP_SECONDS.observe(&["/metrics", "GET", "200"], 0.01);
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed here and is missing: run scripts/setup-test-tools.sh");
    promtool.stdin.take().unwrap().write_all(exporter().render().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stderr, output.stdout].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "promtool check metrics: {said}");
}
