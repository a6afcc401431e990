//! The binary as people and services use it: real processes, real signals, exit codes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

#[path = "cli/dead_letters.rs"]
mod dead_letters;
#[path = "cli/disk.rs"]
mod disk;
mod support;

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use std::sync::Arc;

use accountpulse::app::demo::DemoState;
use accountpulse::app::retention::Retention;
use accountpulse::app::running;
use accountpulse::app::store::RunningLog;
use accountpulse::app::topics::TopicTable;
use accountpulse::clock;
use accountpulse::config::Config;
use accountpulse::log::TopicPartition;
use accountpulse::log::local::LocalStore;
use serde_json::Value;
use support::{Process, accountpulse, expect, history, run, write_lines};

/// 2026-03-02T00:00:00Z
const END_MS: i64 = 1_772_409_600_000;

#[test]
fn help_leads_with_examples() {
    for command in
        ["demo", "run", "send", "tail", "replay", "explain", "dead-letters", "check", "completions"]
    {
        let help = expect(0, &[command, "--help"]);
        assert!(help.contains("Examples:"), "{command}: {help}");
    }
    assert!(expect(0, &["--help"]).contains("Exit codes:"));
}

#[test]
fn exit_codes_tell_what_went_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let nothing = folder.path().to_str().unwrap();
    let bad = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/config/bad/several_at_once.yaml");
    let cases: [(i32, &[&str], &str); 6] = [
        (2, &["tail", "nonsense"], "the topics are scores"),
        (2, &["run", "--listen", "0.0.0.0:0", "--data", nothing], "no authentication"),
        (78, &["check", "-c", bad], "`clock.mode`: `wall clock` is not known"),
        (78, &["run", "-c", "no-such-file.yaml"], "cannot be read"),
        (10, &["send", "--retry-for", "0s", "--data", nothing, bad], "no instance runs on"),
        (69, &["tail", "risks", "--data", nothing], "there is no log in"),
    ];
    for (code, args, part) in cases {
        let output = run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains(part), "{args:?}: {said}");
    }
}

#[test]
fn the_printed_defaults_pass_the_check_and_lists_are_printed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("accountpulse.yaml");
    std::fs::write(&file, expect(0, &["config", "defaults"])).unwrap();
    assert!(expect(0, &["check", "-c", file.to_str().unwrap()]).contains(": ok"));
    assert!(expect(0, &["config", "show"]).contains("checkpoint_round: 30s"));
    assert!(expect(0, &["metrics", "list"]).contains("accountpulse_events_consumed_total"));
    assert!(expect(0, &["completions", "bash"]).contains("accountpulse"));
}

#[test]
fn events_become_scores_and_survive_an_orderly_restart() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data_text = data.to_str().unwrap();
    let events = folder.path().join("events.jsonl");
    let history = history(25, 40, 20_000, END_MS);
    write_lines(&events, history.iter());
    let account = history[0].account.to_string();

    let first = Process::start(&data, &[]);
    expect(0, &["send", "--data", data_text, events.to_str().unwrap()]);
    first.settle();
    assert_eq!(first.metric("accountpulse_events_consumed_total"), history.len() as f64);
    let fates = ["applied", "duplicate", "late", "superseded", "limited", "rejected"]
        .map(|fate| first.metric(&format!("accountpulse_events_{fate}_total")));
    assert_eq!(fates.iter().sum::<f64>(), history.len() as f64, "conservation: {fates:?}");
    promtool(&first.get("/metrics").1);
    assert_eq!(first.end("-TERM"), Some(0));
    assert!(!data.join("instance.json").exists(), "an orderly end removes instance.json");

    let at_rest = expect(0, &["tail", "scores", "--from-beginning", "--data", data_text]);
    assert!(at_rest.lines().count() >= 20, "{at_rest}");
    let told = expect(0, &["tail", "risks", "--from-beginning", "--data", data_text]);

    let second = Process::start(&data, &[]);
    second.settle();
    let last_day = folder.path().join("again.jsonl");
    write_lines(&last_day, history.iter().filter(|event| event.at_ms > END_MS - 3_600_000));
    expect(0, &["send", "--data", data_text, last_day.to_str().unwrap()]);
    second.settle();
    assert_eq!(second.metric("accountpulse_events_applied_total"), 0.0, "repeated events changed facts");
    let explained = expect(0, &["explain", &account, "--data", data_text]);
    assert!(explained.contains("What the score of"), "{explained}");
    let explained: Value =
        serde_json::from_str(&expect(0, &["explain", &account, "-o", "json", "--data", data_text])).unwrap();
    let lines = explained["score"]["contributions"].as_array().unwrap();
    let sum: i64 = lines.iter().map(|line| line["contribution_hundredths"].as_i64().unwrap()).sum();
    assert_eq!(Some(sum), explained["score"]["score_hundredths"].as_i64(), "contributions = score");
    assert_eq!(second.end("-INT"), Some(0));
    let told_again = expect(0, &["tail", "risks", "--from-beginning", "--data", data_text]);
    assert!(told_again.starts_with(&told) || told_again.len() >= told.len(), "a transition disappeared");
    let mut ids: Vec<(String, u64)> = told_again.lines().map(identity).collect();
    ids.sort();
    let all = ids.len();
    ids.dedup();
    assert_eq!(ids.len(), all, "a transition was told twice");
}

/// Id and sequence number of a transition.
fn identity(line: &str) -> (String, u64) {
    let line: Value = serde_json::from_str(line).unwrap();
    let risk = &line["value"];
    (risk["id"].as_str().unwrap().to_owned(), risk["transition_seq"].as_u64().unwrap())
}

fn promtool(metrics: &str) {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is needed here and is missing: run scripts/setup-test-tools.sh");
    promtool.stdin.take().unwrap().write_all(metrics.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_following_tail_sees_a_refused_record_of_another_producer() {
    // Events that pass the door cannot be refused later, except when they are late: the same
    // count again, long after its horizon.
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let data_text = data.to_str().unwrap();
    let instance = Process::start(&data, &[]);
    let mut tail = accountpulse(&["tail", "dead-letters", "--follow", "--data", data_text])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let login = |id: &str, at: &str| {
        format!(
            "{{\"id\":\"{id}\",\"account_id\":\"acme\",\"occurred_at\":\"{at}\",\"login\":{{\"user_id\":\"ann\"}}}}\n"
        )
    };
    let events = folder.path().join("events.jsonl");
    std::fs::write(&events, login("new", "2026-02-10T00:00:00Z") + &login("old", "2026-02-01T00:00:00Z"))
        .unwrap();
    expect(0, &["send", "--data", data_text, events.to_str().unwrap()]);
    let mut line = String::new();
    BufReader::new(tail.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["headers"]["accountpulse.error.code"], "late", "{line}");
    assert_eq!(line["value"]["id"], "old");
    tail.kill().unwrap();
    tail.wait().unwrap();
    assert_eq!(instance.end("-TERM"), Some(0));
}

#[test]
fn one_directory_has_one_instance() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path(), &[]);
    let second = run(&["run", "--listen", "127.0.0.1:0", "--data", folder.path().to_str().unwrap()]);
    assert_eq!(second.status.code(), Some(69));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another accountpulse"), "{said}");
    assert_eq!(first.end("-TERM"), Some(0));
}

#[test]
fn replay_gives_the_same_bytes_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("history.jsonl");
    let history = history(25, 60, 20_000, END_MS);
    write_lines(&file, history.iter());
    let file = file.to_str().unwrap();
    let once = expect(0, &["replay", file, "--until", "2026-04-01T00:00:00Z"]);
    assert!(once.contains("\"topic\":\"risks\"") && once.contains("\"topic\":\"scores\""));
    assert!(once == expect(0, &["replay", file, "--until", "2026-04-01T00:00:00Z"]), "not deterministic");
    let account = history[0].account.to_string();
    let explained = expect(0, &["explain", &account, "--replay", file, "--until", "2026-04-01T00:00:00Z"]);
    assert!(explained.contains("What the score of"), "{explained}");
}

fn with_retention(log: &RunningLog) -> (Arc<LocalStore>, Retention) {
    let RunningLog::Local(store, topics) = log else { panic!("the default log is the embedded one") };
    (Arc::clone(store), Retention::new(Arc::clone(store), topics.outputs.checkpoints))
}

#[test]
fn expired_input_goes_only_when_no_recovery_can_need_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.storage.data_dir = folder.path().join("data");
    let mut history = DemoState {
        seed: 3,
        accounts: 30,
        max_events: 6_000,
        end_ms: END_MS,
        complete: false,
        log: String::new(),
    };
    let company = history.company();
    let opened = running::open(config.clone()).unwrap();
    history.load_history(&company, &opened.log, &config.storage.data_dir, &mut |_| ()).unwrap();
    let starts = |store: &LocalStore| -> u64 {
        let inputs = TopicTable::new(&Config::default()).input_ids();
        let all = inputs
            .into_iter()
            .flat_map(|topic| (0..4).map(move |partition| TopicPartition { topic, partition }));
        all.map(|at| store.watermarks(at).unwrap().start).sum()
    };
    // Long expired, but no worker has read it.
    let (store, mut retention) = with_retention(&opened.log);
    retention.pass(clock::wall_ms()).unwrap();
    assert_eq!(starts(&store), 0);
    drop((opened, store, retention));

    let file = folder.path().join("accountpulse.yaml");
    std::fs::write(&file, "checkpoint_round: 1s\n").unwrap();
    let start = || Process::start(&config.storage.data_dir, &["-c", file.to_str().unwrap()]);
    let first = start();
    first.settle();
    let accounts = first.metric("accountpulse_accounts");
    // Several closed rounds per shard: both entries of both markers move on, as long as there is
    // something new to write.
    let events = folder.path().join("more.jsonl");
    for round in 1..=8 {
        let logins = company.accounts().iter().map(|account| {
            format!(
                "{{\"id\":\"more-{round}\",\"account_id\":\"{}\",\"occurred_at\":\"2026-03-02T0{round}:00:00Z\",\
                 \"login\":{{\"user_id\":\"u\"}}}}\n",
                account.id
            )
        });
        std::fs::write(&events, logins.collect::<String>()).unwrap();
        let before = first.metric("accountpulse_checkpoint_rounds_total");
        let data = config.storage.data_dir.to_str().unwrap();
        expect(0, &["send", "--data", data, events.to_str().unwrap()]);
        first.wait_for("accountpulse_checkpoint_rounds_total", |rounds| rounds >= before + 4.0);
    }
    assert_eq!(first.end("-TERM"), Some(0));

    let opened = running::open(config.clone()).unwrap();
    let (store, mut retention) = with_retention(&opened.log);
    retention.pass(clock::wall_ms()).unwrap();
    assert!(starts(&store) > 5_000, "only {} records went", starts(&store));
    drop((opened, store, retention));
    let second = start();
    second.settle();
    assert_eq!(second.metric("accountpulse_accounts"), accounts);
    assert_eq!(second.end("-TERM"), Some(0));
}

#[test]
fn the_demo_starts_ends_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let args = ["demo", "--data", data.to_str().unwrap(), "--accounts", "20", "--events", "4000"];
    for start in ["first", "second"] {
        let mut demo =
            accountpulse(&args).args(["--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
        let intro: Vec<String> =
            lines.by_ref().take_while(|line| !line.starts_with("Risks as they")).collect();
        let intro = intro.join("\n");
        assert!(intro.contains("risks fire now"), "{start}: {intro}");
        assert!(intro.contains("/metrics"), "{start}: {intro}");
        let sent = Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
        assert!(sent.success());
        let rest: Vec<String> = lines.collect();
        assert_eq!(demo.wait().unwrap().code(), Some(0), "{start}: {rest:?}");
        assert!(rest.last().unwrap().starts_with("Ended."), "{start}: {rest:?}");
    }
}

#[test]
fn a_demo_is_refused_where_directory_and_log_do_not_belong_together() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |data: &std::path::Path| {
        let args = ["demo", "--data", data.to_str().unwrap(), "--accounts", "20", "--events", "4000"];
        let output = accountpulse(&args).args(["--listen", "127.0.0.1:0"]).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    // The company of this directory is on a cluster.
    let elsewhere = folder.path().join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let theirs = "Kafka at broker:9092, group g";
    let state = serde_json::json!({
        "seed": 7, "accounts": 20, "max_events": 4_000, "end_ms": END_MS, "complete": true, "log": theirs
    });
    std::fs::write(elsewhere.join("demo.json"), state.to_string()).unwrap();
    let said = refused(&elsewhere);
    assert!(said.contains(theirs) && said.contains("the embedded log") && said.contains("--data"), "{said}");
    // This one has events, and no company.
    let used = folder.path().join("used");
    let instance = Process::start(&used, &[]);
    let event = folder.path().join("one.jsonl");
    let login =
        r#"{"id":"e1","account_id":"acme","occurred_at":"2026-03-01T09:00:00Z","login":{"user_id":"u"}}"#;
    std::fs::write(&event, format!("{login}\n")).unwrap();
    expect(0, &["send", "--data", used.to_str().unwrap(), event.to_str().unwrap()]);
    assert_eq!(instance.end("-TERM"), Some(0));
    let said = refused(&used);
    assert!(said.contains("holds 1 events already") && said.contains("--data"), "{said}");
}

#[test]
fn the_example_file_is_taken_whole_and_raises_risks() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/events.jsonl");
    let output = accountpulse(&["replay", file, "--until", "2026-03-31T00:00:00Z"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let outputs = String::from_utf8(output.stdout).unwrap();
    for rule in ["renewal_at_risk", "detractor", "late_payment", "champion_departed"] {
        assert!(outputs.contains(&format!("\"rule\":\"{rule}\"")), "{rule}: {outputs}");
    }
    assert!(String::from_utf8_lossy(&output.stderr).contains(" 0 refused"), "{:?}", output.stderr);
}
