//! The catalogue as text: `docs/METRICS.md` and the table of `metrics list`.

use std::fmt::Write as _;

use super::catalogue::{ALL, Metric, Type};

/// `docs/METRICS.md`.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Metrics\n\n\
         Written from `src/telemetry/catalogue.rs` by `accountpulse metrics list --markdown`; a test \
         holds the two together. Served at `/metrics`, with the usual `process_*` metrics beside \
         them.\n\n\
         No account, person or error text is ever a label, so the number of series does not depend \
         on the number of accounts. Series whose labels are known in advance exist with 0 from the \
         first scrape.\n\n\
         | metric | type | labels | what it is | when it is not 0 |\n\
         | --- | --- | --- | --- | --- |\n",
    );
    for metric in ALL {
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} | {} |",
            metric.name,
            kind(metric),
            label_list(metric),
            metric.help,
            metric.non_zero
        );
    }
    out.push_str("\n## Buckets\n\n");
    for metric in ALL {
        if let Type::Histogram(buckets) = metric.kind {
            let bounds: Vec<String> = buckets.iter().map(f64::to_string).collect();
            let _ = writeln!(out, "- `{}`: {} seconds", metric.name, bounds.join(", "));
        }
    }
    out
}

/// One metric per line, for a terminal.
pub fn table() -> String {
    let width = ALL.iter().map(|metric| metric.name.len()).max().unwrap_or(0);
    let mut out = String::new();
    for metric in ALL {
        let labels = metric.label_names().join(",");
        let _ = writeln!(out, "{:width$}  {:9}  {{{labels}}}  {}", metric.name, kind(metric), metric.help);
    }
    out
}

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        Type::Counter => "counter",
        Type::Gauge => "gauge",
        Type::Histogram(_) => "histogram",
    }
}

fn label_list(metric: &Metric) -> String {
    let names: Vec<String> = metric.label_names().iter().map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "–".to_owned() } else { names.join(", ") }
}
