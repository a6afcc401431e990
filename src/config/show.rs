//! A checked configuration as a file that gives the same configuration again.

use std::time::Duration;

use super::{ClockMode, Config, LogFormat, PARTITIONS};

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
        format!(
            "storage:\n  data_dir: {}\n  partitions: {PARTITIONS}\n  retention:\n    events: {}\n    \
             risks: {}\n    dead_letters: {}\ntopics:\n  names:\n{names}http:\n  listen: {}\n\
             clock:\n  mode: {mode}\n  lateness: {}\n  skew_limit: {}\nprivacy:\n  person_key_file: {}\n\
             limits:\n  request_bytes: {}\n  queued_requests: {}\n  ready_lag_records: {}\n\
             commit_interval: {}\ncheckpoint_round: {}\nlog:\n  format: {format}\n  level: {}\n",
            quoted(&kept.data_dir.to_string_lossy()),
            show_duration(kept.retention_events),
            show_duration(kept.retention_risks),
            show_duration(kept.retention_dead_letters),
            quoted(&self.http.listen.to_string()),
            show_duration(self.clock.lateness),
            show_duration(self.clock.skew_limit),
            quoted(&self.person_key_file.to_string_lossy()),
            self.limits.request_bytes,
            self.limits.queued_requests,
            self.limits.ready_lag_records,
            show_duration(self.commit_interval),
            show_duration(self.checkpoint_round),
            quoted(&self.log.level),
        )
    }
}

/// A text as a quoted scalar: JSON strings are YAML, and a dollar sign stays one.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace('$', "$$")).to_string()
}

/// A duration with the largest unit that divides it.
pub(super) fn show_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000)];
    let fits = units.iter().find(|(_, unit)| millis >= *unit && millis % unit == 0);
    fits.map_or(format!("{millis}ms"), |(name, unit)| format!("{}{name}", millis / unit))
}
