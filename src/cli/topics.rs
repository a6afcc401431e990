//! `topics`: the topics of a cluster, made and looked at.

use super::{Done, Exit, Failure, Global, print};
use crate::app::kafka_link::{KafkaLink, LinkError};
use crate::app::kafka_topics::{self, ANSWER_WAIT, Findings, TopicsError, ensure, judge, missing};
use crate::config::{Config, LogKind};
use crate::log::kafka::{KafkaError, TopicState};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse topics create -c accountpulse.yaml --dry-run\n  \
                        accountpulse topics create -c accountpulse.yaml\n  accountpulse topics list -c accountpulse.yaml")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make the topics that are missing; those that are there are checked and left as they are
    Create {
        /// Ask the cluster whether it would, and change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// Show the topics and what is wrong with them
    List,
}

/// Runs it.
pub fn run(args: &Args, global: &Global) -> Done {
    let config = global.load()?;
    global.start_logs(&config)?;
    let link = connect(&config)?;
    match args.what {
        What::Create { dry_run: true } => dry_run(&config, &link),
        What::Create { dry_run: false } => create(&config, &link),
        What::List => list(&config, &link),
    }
}

/// The cluster of the configuration, after it answered.
pub fn connect(config: &Config) -> Result<KafkaLink, Failure> {
    if config.storage.log != LogKind::Kafka {
        let sentence = "error: the log is the embedded one, which makes its topics itself; \
                        set storage.log: kafka to use a cluster";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let link = KafkaLink::open(config).map_err(not_linked)?;
    link.cluster.connect(ANSWER_WAIT).map_err(no_answer)?;
    Ok(link)
}

fn not_linked(error: LinkError) -> Failure {
    Failure::new(Exit::Configuration, format!("error: {error}"))
}

/// The sentence and exit code of a cluster that does not do what was asked.
pub fn no_answer(error: KafkaError) -> Failure {
    Failure::new(Exit::LogUnavailable, format!("error: {error}"))
}

fn create(config: &Config, link: &KafkaLink) -> Done {
    match ensure(link, config, true) {
        Ok(ensured) => {
            ensured.warnings.iter().for_each(|warning| anstream::eprintln!("warning: {warning}"));
            let there = link.topics.names.len() - ensured.made.len();
            for name in &ensured.made {
                print::stdout(&format!("created {name}\n"))?;
            }
            print::stdout(&format!("{} created, {there} were there and are right\n", ensured.made.len()))?;
            Ok(Exit::Ok)
        }
        Err(TopicsError::Kafka(error)) => Err(no_answer(error)),
        Err(TopicsError::Wrong(sentences) | TopicsError::Missing(sentences)) => {
            let text: Vec<String> = sentences.iter().map(|sentence| format!("error: {sentence}")).collect();
            Err(Failure::new(Exit::Findings, text.join("\n")))
        }
    }
}

fn dry_run(config: &Config, link: &KafkaLink) -> Done {
    let found = link.cluster.describe(ANSWER_WAIT).map_err(no_answer)?;
    let findings = judge(config, &link.topics, &found);
    let mut new = kafka_topics::wanted(config, &link.topics);
    new.retain(|topic| findings.missing.contains(&topic.name));
    let mut wrong = findings.wrong;
    for (name, outcome) in link.cluster.create(&new, true, ANSWER_WAIT).map_err(no_answer)? {
        match outcome {
            Ok(_) => print::stdout(&format!("would create {name}\n"))?,
            Err(sentence) => wrong.push(sentence),
        }
    }
    wrong.iter().for_each(|sentence| anstream::eprintln!("error: {sentence}"));
    Ok(if wrong.is_empty() { Exit::Ok } else { Exit::Findings })
}

fn list(config: &Config, link: &KafkaLink) -> Done {
    let found = link.cluster.describe(ANSWER_WAIT).map_err(no_answer)?;
    let width = found.iter().map(|topic| topic.name.len()).max().unwrap_or(0);
    for topic in &found {
        let state = match &topic.state {
            TopicState::Missing => "missing".to_owned(),
            TopicState::Denied(_) => "no access".to_owned(),
            TopicState::Found { partitions, replication, settings } => {
                let policy = settings.get("cleanup.policy").map_or("unknown", String::as_str);
                format!("partitions {partitions:<5} copies {replication:<3} cleanup {policy}")
            }
        };
        print::stdout(&format!("{:width$}  {state}\n", topic.name))?;
    }
    let findings = judge(config, &link.topics, &found);
    Ok(if tell(&findings) { Exit::Ok } else { Exit::Findings })
}

/// Prints what is wrong; whether nothing is.
pub fn tell(findings: &Findings) -> bool {
    let missing = findings.missing.iter().map(|name| missing(name));
    let wrong: Vec<String> = missing.chain(findings.wrong.iter().cloned()).collect();
    wrong.iter().for_each(|sentence| anstream::eprintln!("error: {sentence}"));
    findings.warnings.iter().for_each(|sentence| anstream::eprintln!("warning: {sentence}"));
    wrong.is_empty()
}
