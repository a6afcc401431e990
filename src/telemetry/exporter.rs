//! The exposition: one recorder per process, every series registered with 0, process metrics
//! beside ours, rendered on request (there is no background task).

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::catalogue::{ALL, BUILD_INFO, Metric, Type};

/// The closed label sets that are known only at run time.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Names of the input topics.
    pub topics: Vec<String>,
    /// Number of partitions.
    pub partitions: u32,
    /// Keys of the rules.
    pub rules: Vec<String>,
    /// Severities of risks.
    pub severities: Vec<String>,
    /// What can happen to a risk.
    pub transitions: Vec<String>,
}

/// Why there are no metrics.
#[derive(Debug, thiserror::Error)]
pub enum ExporterError {
    /// The buckets of a histogram are unusable.
    #[error("the buckets of {metric} are refused by the exporter: {detail}")]
    Buckets {
        /// Which metric.
        metric: &'static str,
        /// What the exporter said.
        detail: String,
    },
    /// There is a recorder already.
    #[error("metrics are already set up in this process; install the exporter once, in `app`")]
    Installed,
}

/// Renders what was counted.
#[derive(Clone, Debug)]
pub struct Exporter {
    handle: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Exporter {
    /// Installs the recorder of this process and registers every series with 0.
    pub fn install(names: &Names) -> Result<Exporter, ExporterError> {
        let mut builder = PrometheusBuilder::new();
        for metric in ALL {
            if let Type::Histogram(buckets) = metric.kind {
                builder =
                    builder.set_buckets_for_metric(Matcher::Full(metric.name.to_owned()), buckets).map_err(
                        |error| ExporterError::Buckets { metric: metric.name, detail: error.to_string() },
                    )?;
            }
        }
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        metrics::set_global_recorder(recorder).map_err(|_| ExporterError::Installed)?;
        let process = metrics_process::Collector::default();
        process.describe();
        for metric in ALL {
            describe(metric);
            register(metric, names);
        }
        BUILD_INFO.set(&[env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_RUST_VERSION")], 1.0);
        Ok(Exporter { handle, process })
    }

    /// The text of `/metrics`.
    pub fn render(&self) -> String {
        self.process.collect();
        self.handle.render()
    }

    /// Moves recorded durations into their buckets; call it now and then when nobody scrapes, so
    /// that they do not pile up.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }
}

fn describe(metric: &Metric) {
    let (name, help) = (metric.name, metric.help);
    match metric.kind {
        Type::Counter => metrics::describe_counter!(name, help),
        Type::Gauge => metrics::describe_gauge!(name, help),
        Type::Histogram(_) => metrics::describe_histogram!(name, help),
    }
}

/// Registers the full product of the label values; a metric with a label whose values are not
/// known in advance has no series until its first use.
fn register(metric: &Metric, names: &Names) {
    let mut rows: Vec<Vec<String>> = vec![Vec::new()];
    for label in metric.labels {
        let Some(values) = label.values(names) else { return };
        let with = |row: &Vec<String>, value: &String| {
            let mut row = row.clone();
            row.push(value.clone());
            row
        };
        rows = rows.iter().flat_map(|row| values.iter().map(move |v| with(row, v))).collect();
    }
    for row in rows {
        let values: Vec<&str> = row.iter().map(String::as_str).collect();
        metric.register(&values);
    }
}
