//! `status`: who serves which shard, how far behind, up to which instant. On a cluster it asks the
//! cluster, on the embedded log the instance.

use std::fmt::Write as _;

use super::send::TargetArgs;
use super::topics::{connect, no_answer};
use super::{Done, Exit, Failure, Global, Output, print};
use crate::app::cluster_status::{ClusterStatus, cluster_status};
use crate::clock;
use crate::config::{Config, LogKind};
use crate::engine::time::rfc3339;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse status -c accountpulse.yaml\n  \
                        accountpulse status -c accountpulse.yaml -o json | jq '.shards[] | select(.lag > 1000)'\n\n\
                        Exit codes: 0 every shard is served, 10 some are not (or no instance runs), 69 the cluster does\n\
                        not answer.")]
pub struct Args {
    #[command(flatten)]
    target: TargetArgs,
    /// As text or JSON
    #[arg(short, long, default_value = "text")]
    output: Output,
}

/// Shows it.
pub fn run(args: &Args, global: &Global) -> Done {
    let config = global.load()?;
    if config.storage.log == LogKind::Kafka && args.target.url.is_none() {
        return of_cluster(args, &config, global);
    }
    of_instance(args, global)
}

fn of_cluster(args: &Args, config: &Config, global: &Global) -> Done {
    global.start_logs(config)?;
    let link = connect(config)?;
    let status = cluster_status(&link, clock::wall_ms()).map_err(no_answer)?;
    let text = match args.output {
        Output::Json => {
            serde_json::to_string_pretty(&status)
                .map_err(|error| Failure::new(Exit::Failed, format!("error: {error}")))?
                + "\n"
        }
        Output::Text => text(&status),
    };
    print::stdout(&text)?;
    let served = status.shards.iter().all(|shard| shard.member.is_some());
    Ok(if served { Exit::Ok } else { Exit::NotReady })
}

fn text(status: &ClusterStatus) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "group {}: {} members", status.group, status.members.len());
    let width =
        status.members.iter().map(|member| member.member.len()).max().unwrap_or(0).max("MEMBER".len());
    for member in &status.members {
        let shards: Vec<String> = member.shards.iter().map(u32::to_string).collect();
        let _ = writeln!(out, "  {:width$}  {}  shards {}", member.member, member.host, shards.join(" "));
    }
    let _ = writeln!(
        out,
        "\n{:>5}  {:width$}  {:>8}  {:>8}  {:24}  {:>9}",
        "SHARD", "MEMBER", "COMMIT", "LAG", "CLOCK", "BEHIND"
    );
    for shard in &status.shards {
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let _ = writeln!(
            out,
            "{:>5}  {:width$}  {:>8}  {:>8}  {:24}  {:>9}",
            shard.shard,
            or_dash(shard.member.clone()),
            or_dash(shard.commit.map(|commit| commit.to_string())),
            shard.lag,
            or_dash(shard.clock_ms.map(rfc3339)),
            // Two clocks of two machines: a shard is not ahead.
            or_dash(shard.clock_delay_seconds.map(|seconds| format!("{:.1} s", seconds.max(0.0)))),
        );
    }
    out
}

fn of_instance(args: &Args, global: &Global) -> Done {
    let client = args.target.client(global)?;
    let failed =
        |error: crate::app::client::ClientError| Failure::new(Exit::NotReady, format!("error: {error}"));
    let base = client.base().map_err(failed)?;
    let ready = client.get("/readyz?verbose").map_err(failed)?;
    let metrics = client.get("/metrics").map_err(failed)?;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    let checks = String::from_utf8_lossy(&ready.body).into_owned();
    let facts = [
        ("lag", sum(&metrics, "accountpulse_records_waiting")),
        ("clock_delay_seconds", largest(&metrics, "accountpulse_clock_delay_seconds")),
        ("accounts", sum(&metrics, "accountpulse_accounts")),
        ("risks_firing", sum(&metrics, "accountpulse_risks_firing")),
    ];
    let is_ready = ready.status == 200;
    let text = match args.output {
        Output::Json => {
            let facts: serde_json::Map<String, serde_json::Value> =
                facts.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
            format!("{:#}\n", serde_json::json!({ "v": 1, "url": base, "ready": is_ready, "facts": facts }))
        }
        Output::Text => {
            let facts: String = facts
                .iter()
                .map(|(name, value)| format!("  {:22} {value}\n", name.replace('_', " ")))
                .collect();
            format!("instance at {base}\n{facts}{checks}")
        }
    };
    print::stdout(&text)?;
    Ok(if is_ready { Exit::Ok } else { Exit::NotReady })
}

/// Values of a metric in the text format, whatever their labels.
fn values<'m>(metrics: &'m str, name: &'m str) -> impl Iterator<Item = f64> + 'm {
    let of_metric =
        move |line: &&str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']));
    metrics.lines().filter(of_metric).filter_map(|line| line.rsplit(' ').next()?.parse().ok())
}

fn sum(metrics: &str, name: &str) -> f64 {
    values(metrics, name).sum()
}

fn largest(metrics: &str, name: &str) -> f64 {
    values(metrics, name).fold(0.0, f64::max)
}
