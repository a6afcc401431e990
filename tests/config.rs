//! Configuration: wrong files are refused with the place and the next step, the printed defaults
//! are the defaults.
//!
//! To add a wrong file: `tests/config/bad/<fault>.yaml` that ends in one line
//! `# expect <line>:<column> <part of the message>` per finding.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

use std::fs;
use std::path::Path;

use accountpulse::config::{Config, ConfigError, defaults_yaml, file};

fn no_env(_: &str) -> Option<String> {
    None
}

#[test]
fn every_wrong_file_is_refused_with_place_and_next_step() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/bad");
    let mut seen = 0;
    let mut wrong = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let text = fs::read_to_string(&path).unwrap();
        let error = Config::parse(&name, &text, &no_env).expect_err(&name);
        let got: Vec<String> = error
            .findings()
            .iter()
            .map(|f| format!("{}:{} {} ({})", f.line, f.column, f.message, f.help))
            .collect();
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# expect ")).collect();
        let as_expected = got.len() == expected.len()
            && got.iter().zip(&expected).all(|(got, expected)| got.starts_with(expected));
        if !as_expected {
            wrong.push(format!("{name}:\n  got      {got:#?}\n  expected {expected:#?}"));
        }
        let drawn = error.render(false);
        assert!(drawn.contains(&name) && drawn.contains("help:"), "{name}: no snippet in\n{drawn}");
        seen += 1;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen >= 15, "only {seen} wrong files");
}

#[test]
fn the_printed_defaults_are_the_defaults() {
    let printed = Config::parse("defaults", &defaults_yaml(), &no_env).unwrap();
    assert_eq!(printed, Config::default());
    assert_eq!(Config::parse("empty", "# nothing\n", &no_env).unwrap(), Config::default());
}

#[test]
fn the_printed_defaults_show_every_key() {
    let shape = format!("{:?}", file::parse(&defaults_yaml()).unwrap());
    assert!(!shape.contains("None"), "a key is absent from the printed defaults: {shape}");
}

#[test]
fn values_may_come_from_the_environment() {
    let env = |name: &str| (name == "DATA").then(|| "/srv/pulse".to_owned());
    let text = "storage:\n  data_dir: ${DATA}/one\ncommit_interval: 20ms\n";
    let config = Config::parse("env", text, &env).unwrap();
    assert_eq!(config.storage.data_dir, Path::new("/srv/pulse/one"));
    assert_eq!(config.person_key_path(), Path::new("/srv/pulse/one/person.key"));
    assert_eq!(config.commit_interval.as_millis(), 20);
}

#[test]
fn an_empty_section_is_its_default() {
    let config = Config::parse("empty", "http:\nclock:\n  mode: event\n", &no_env);
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let error = Config::load(Path::new("no/such/accountpulse.yaml"), &no_env).unwrap_err();
    assert!(matches!(error, ConfigError::Unreadable { .. }));
    assert!(error.render(false).contains("config defaults"), "{}", error.render(false));
}

#[test]
fn what_config_show_prints_is_the_same_configuration() {
    let text = "storage:\n  data_dir: /a$$b\nrules:\n  inactivity:\n    after_days: 21\nclock:\n  lateness: 1500ms\n  mode: event\nhttp:\n  listen: '[::1]:0'\n";
    let config = Config::parse("one", text, &no_env).unwrap();
    assert_eq!(Config::parse("shown", &config.to_yaml(), &no_env).unwrap(), config);
}

#[test]
fn a_cluster_is_shown_without_its_secrets() {
    let text = "storage:\n  log: kafka\nkafka:\n  instance: one\n  workers: 2\n  security:\n    protocol: sasl_ssl\n    \
                mechanism: scram-sha-512\n    username: ann\n    password: ${WORD}\n  properties:\n    linger.ms: 2\n";
    let env = |name: &str| (name == "WORD").then(|| "hunter2".to_owned());
    let config = Config::parse("one", text, &env).unwrap();
    let shown = config.to_yaml();
    assert!(!shown.contains("hunter2") && !format!("{config:?}").contains("hunter2"), "{shown}");
    let again = shown.replace("<hidden>", "hunter2");
    assert_eq!(Config::parse("shown", &again, &no_env).unwrap(), config);
}
