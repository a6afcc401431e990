//! Where published records are read from: the running instance when there is one, otherwise the
//! data directory itself.

use std::path::Path;
use std::sync::Arc;

use super::client::{Client, ClientError, Target};
use super::kafka_link::{KafkaLink, LinkError};
use super::kafka_topics::ANSWER_WAIT;
use super::store::{LogAtRest, RunningLog};
use crate::config::{Config, LogKind};
use crate::ingest::OutputTopic;
use crate::ingest::topics::{Ask, Failure, collect, read_page};
use crate::log::local::LocalError;

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The instance does not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The cluster's settings.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// The data directory cannot be read.
    #[error(transparent)]
    Log(#[from] LocalError),
    /// A topic cannot be read.
    #[error(transparent)]
    Topic(#[from] Failure),
    /// The instance refused.
    #[error("the instance answers {status}: {said}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        said: String,
    },
}

/// A place to read from.
pub enum Source {
    /// A running instance.
    Running(Client),
    /// A data directory at rest.
    AtRest(LogAtRest),
    /// A cluster, whoever works on it.
    Cluster(RunningLog),
}

impl Source {
    /// Asks the instance at `url`, or the one of the data directory, or reads the directory.
    pub fn open(config: &Config, data_dir: &Path, url: Option<&str>) -> Result<Source, SourceError> {
        if let Some(url) = url {
            return Ok(Source::Running(Client::new(Target::Url(url.to_owned()))));
        }
        if config.storage.log == LogKind::Kafka {
            let link = KafkaLink::open(config)?;
            // Whether it can be reached at all is known better here than by the first read.
            link.cluster.connect(ANSWER_WAIT).map_err(LinkError::from)?;
            return Ok(Source::Cluster(RunningLog::Kafka(Arc::new(link))));
        }
        let client = Client::new(Target::DataDir(data_dir.to_owned()));
        if client.get("/version").is_ok() {
            return Ok(Source::Running(client));
        }
        Ok(Source::AtRest(LogAtRest::open(config, data_dir)?))
    }

    /// Whether new records can appear.
    pub fn is_running(&self) -> bool {
        !matches!(self, Source::AtRest(_))
    }

    /// One page: lines, and where the next one starts.
    pub fn page(&self, topic: OutputTopic, ask: &Ask) -> Result<(Vec<u8>, String), SourceError> {
        match self {
            Source::AtRest(log) => {
                let page = read_page(log, topic, ask)?;
                let next = page.next_from();
                Ok((page.lines, next))
            }
            Source::Cluster(log) => {
                let page = collect(log, topic, ask, &|| false)?;
                let next = page.next_from();
                Ok((page.lines, next))
            }
            Source::Running(client) => {
                let from = ask.from.as_ref().map(|from| format!("from={from}"));
                let last = ask.last.map(|last| format!("last={last}"));
                let follow = ask.follow.map(|secs| format!("follow={secs}"));
                let exact = ask.exact.then(|| "exact=true".to_owned());
                let query: Vec<String> = [from, last, follow, exact].into_iter().flatten().collect();
                let answer = client.get(&format!("/v1/topics/{}?{}", topic.name(), query.join("&")))?;
                match (answer.status, answer.next) {
                    (200, Some(next)) => Ok((answer.body, next)),
                    (status, _) => {
                        let said = String::from_utf8_lossy(&answer.body).into_owned();
                        Err(SourceError::Refused { status, said })
                    }
                }
            }
        }
    }
}
