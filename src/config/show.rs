//! A checked configuration as a file that gives the same configuration again.

use std::time::Duration;

use serde_json::Value;

use crate::engine::EngineConfig;
use crate::engine::rule;

use super::{ClockMode, Config, LogFormat, LogKind, OutputEncoding, PARTITIONS};

impl Config {
    /// All settings as YAML.
    pub fn to_yaml(&self) -> String {
        let kept = &self.storage;
        let mode = match self.clock.mode {
            ClockMode::Wall => "wall",
            ClockMode::Event => "event",
        };
        let format = match self.log.format {
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        };
        let log = match kept.log {
            LogKind::Local => "local",
            LogKind::Kafka => "kafka",
        };
        let encoding = match self.topics.output_encoding {
            OutputEncoding::Json => "json",
            OutputEncoding::Protobuf => "protobuf",
        };
        let keys = [
            "logins",
            "usage",
            "tickets",
            "invoices",
            "surveys",
            "contacts",
            "contracts",
            "accounts",
            "scores",
            "risks",
            "dead_letters",
            "checkpoints",
        ];
        let names: String = keys
            .iter()
            .zip(self.topics.all())
            .map(|(key, name)| format!("    {key}: {}\n", quoted(name)))
            .collect();
        let text = format!(
            "storage:\n  log: {log}\n  data_dir: {}\n  partitions: {PARTITIONS}\n  retention:\n    events: {}\n    \
             risks: {}\n    dead_letters: {}\n{}topics:\n  output_encoding: {encoding}\n  names:\n{names}http:\n  listen: {}\n  \
             request_bytes: {}\n  queued_requests: {}\n  ready_lag_records: {}\n\
             clock:\n  mode: {mode}\n  lateness: {}\n  skew_limit: {}\nmemory:\n  buffered_bytes: {}\n  fetched_bytes: {}\nprivacy:\n  person_key_file: {}\n\
             commit_interval: {}\ncheckpoint_round: {}\nlog:\n  format: {format}\n  level: {}\n{}",
            quoted(&kept.data_dir.to_string_lossy()),
            show_duration(kept.retention_events),
            show_duration(kept.retention_risks),
            show_duration(kept.retention_dead_letters),
            self.kafka.to_yaml(),
            quoted(&self.http.listen.to_string()),
            self.http.request_bytes,
            self.http.queued_requests,
            self.http.ready_lag_records,
            show_duration(self.clock.lateness),
            show_duration(self.clock.skew_limit),
            self.memory.buffered_bytes,
            self.memory.fetched_bytes,
            quoted(&self.person_key_file.to_string_lossy()),
            show_duration(self.commit_interval),
            show_duration(self.checkpoint_round),
            quoted(&self.log.level),
            engine(&self.engine),
        );
        printable(&text)
    }
}

/// Escapes what YAML does not take as it is. Such characters stand in quoted scalars only, where JSON
/// and YAML write them alike; JSON leaves most of them raw.
fn printable(text: &str) -> String {
    let is_raw = |c: char| {
        c.is_control() && c != '\n'
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_raw(c) {
            true => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            false => out.push(c),
        }
    }
    out
}

/// The engine's sections. A configuration always serialises; an empty text would read as the
/// defaults.
fn engine(engine: &EngineConfig) -> String {
    sections(engine, &|_| None)
}

/// The whole default configuration, commented: the settings of the process as they stand in
/// `defaults.yaml`, the engine's from the engine itself, so that they cannot drift.
pub fn defaults_yaml() -> String {
    let comment = |path: &str| -> Option<String> {
        let fixed = match path {
            "day_offset" => "Added to UTC before the day is taken. Fixed with the state.",
            "limits" => {
                "Limits per account and per shard; each is named and has a default. Fixed with the state."
            }
            "rules" => {
                "When a risk is told. `hold`: how long the condition must hold first; `keep_firing`: how long the\n\
                        risk goes on after it; `renotify`: told again after this long, 0s = never. See docs/rules.md."
            }
            "scoring" => {
                "How features become a score. The first scorecard whose `when` matches is used. A ramp is a list of\n\
                          [value, points]; weights are relative within their group, a cap holds the score down. See\n\
                          docs/features.md for the features."
            }
            _ => "",
        };
        if !fixed.is_empty() {
            return Some(fixed.to_owned());
        }
        let rule = rule::by_key(path.strip_prefix("rules.")?)?;
        Some(rule.definition.to_owned())
    };
    format!("{}\n{}", super::DEFAULTS_YAML, sections(&EngineConfig::default(), &comment))
}

fn sections(engine: &EngineConfig, comment: &dyn Fn(&str) -> Option<String>) -> String {
    let value = serde_json::to_value(engine).unwrap_or_default();
    let mut out = String::new();
    block(&mut out, "", &value, 0, comment);
    out
}

/// Keys that a reader looks for first.
const FIRST_KEYS: [&str; 6] = ["enabled", "name", "when", "feature", "weight", "timing"];

/// A mapping in block style, leaves and short lists in flow style (JSON is YAML).
fn block(
    out: &mut String,
    path: &str,
    value: &Value,
    depth: usize,
    comment: &dyn Fn(&str) -> Option<String>,
) {
    let Some(map) = value.as_object() else { return };
    let indent = "  ".repeat(depth);
    let place = |key: &str| FIRST_KEYS.iter().position(|first| *first == key).unwrap_or(FIRST_KEYS.len());
    let mut keys: Vec<&String> = map.keys().collect();
    keys.sort_by_key(|key| place(key));
    for key in keys {
        let value = &map[key]; // the key is the map's own
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        for line in comment(&path).iter().flat_map(|text| text.lines()) {
            out.push_str(&format!("{indent}# {line}\n"));
        }
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push_str(&format!("{indent}{key}:\n"));
                block(out, &path, value, depth + 1, comment);
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                out.push_str(&format!("{indent}{key}:\n"));
                for item in items {
                    let mut inner = String::new();
                    block(&mut inner, &path, item, depth + 2, comment);
                    // The first line of the item carries the dash.
                    out.push_str(&format!("{indent}  - {}", inner.trim_start()));
                }
            }
            other => out.push_str(&format!("{indent}{key}: {other}\n")),
        }
    }
}

/// A text as a quoted scalar: JSON strings are YAML, and a dollar sign stays one.
pub(super) fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

/// A duration with the largest unit that divides it.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = units.iter().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    fits.map_or(format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}
