//! `check`: is this configuration file right, and, with `--connect`, is the cluster that it names?

use super::topics::{connect, no_answer, tell};
use super::{Done, Exit, Global, print};
use crate::app::kafka_link::KafkaLink;
use crate::app::kafka_topics::{ANSWER_WAIT, judge};
use crate::config::{Config, LogKind};
use crate::log::TopicPartition;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  accountpulse check -c accountpulse.yaml && systemctl restart accountpulse\n  \
                        accountpulse check -c accountpulse.yaml --connect\n\n\
                        Exit codes: 0 right, 3 something is wrong with the cluster, 69 it cannot be reached, 78 the file\n\
                        is wrong."
)]
pub struct Args {
    /// Ask the cluster too: reachable, allowed, topics as they must be, instance name free
    #[arg(long)]
    connect: bool,
}

/// Prints every finding, or one line that says it is right.
pub fn run(args: &Args, global: &Global) -> Done {
    let config = global.load()?;
    let name =
        global.config.as_ref().map_or("the default configuration".into(), |path| path.to_string_lossy());
    print::stdout(&format!("{name}: ok\n"))?;
    if !args.connect {
        return Ok(Exit::Ok);
    }
    if config.storage.log == LogKind::Local {
        print::stdout("the log is the embedded one: there is nothing to connect to\n")?;
        return Ok(Exit::Ok);
    }
    global.start_logs(&config)?;
    let link = connect(&config)?;
    let right = cluster(&config, &link)?;
    if right {
        print::stdout(&format!("{}: ok\n", config.kafka.brokers))?;
    }
    Ok(if right { Exit::Ok } else { Exit::Findings })
}

/// Whether a static member is a worker of this instance: `<instance>-<number>`.
fn is_worker_of(member: &str, instance: &str) -> bool {
    let number = member.strip_prefix(instance).and_then(|rest| rest.strip_prefix('-'));
    number.is_some_and(|number| number.parse::<u32>().is_ok())
}

/// Prints what is wrong with the cluster; whether nothing is.
fn cluster(config: &Config, link: &KafkaLink) -> Result<bool, super::Failure> {
    let found = link.cluster.describe(ANSWER_WAIT).map_err(no_answer)?;
    let findings = judge(config, &link.topics, &found);
    let mut right = tell(&findings);
    let first = link.topics.input_ids().into_iter().map(|topic| TopicPartition { topic, partition: 0 });
    let first: Vec<TopicPartition> = first.take(1).collect();
    let positions = link.cluster.positions(&first, ANSWER_WAIT).map_err(|error| error.to_string());
    // Positions of a topic that is closed to us are refused in the same words as the topic.
    if let Err(error) = positions
        && !findings.wrong.contains(&error)
    {
        anstream::eprintln!("error: {error}");
        right = false;
    }
    if let Err(error) = link.cluster.try_transactions(ANSWER_WAIT) {
        anstream::eprintln!("error: {error}");
        right = false;
    }
    let instance = config.kafka.instance.as_deref().unwrap_or_default();
    let members = link.cluster.members(ANSWER_WAIT).map_err(no_answer)?;
    let mut hosts: Vec<&str> = members
        .iter()
        .filter(|member| member.instance().is_some_and(|name| is_worker_of(name, instance)))
        .map(|member| member.host.as_str())
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    if hosts.len() > 1 {
        anstream::eprintln!(
            "error: several processes run under the instance name {instance} ({}): give each its own (kafka.instance)",
            hosts.join(", ")
        );
        right = false;
    } else if let [host] = hosts[..] {
        anstream::eprintln!(
            "warning: a process at {host} runs under the instance name {instance}; if that is not the one this file is \
             for, give this one another (kafka.instance)"
        );
    }
    Ok(right)
}
