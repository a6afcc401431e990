//! One process's connection to a cluster: options from the configuration, secrets from their
//! files, and a reader and a writer for everything around the workers.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use secrecy::SecretString;

use super::store::stored;
use super::topics::TopicTable;
use crate::config::{Config, KafkaSecurity, PasswordMechanism, SaslSettings, Secret};
use crate::ingest::Stored;
use crate::log::kafka::{
    KafkaAppender, KafkaBatch, KafkaCluster, KafkaError, KafkaOptions, KafkaReader, Sasl, Security,
    TokenSource,
};
use crate::log::{AppendRecord, Offset, TopicPartition, Watermarks};

/// Longest time for one write of ingest or of a command.
const APPEND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a read waits for records that are known to be there.
const READ_WAIT: Duration = Duration::from_secs(2);
/// Instance name of commands, which join no group.
const COMMAND: &str = "command";

/// Why there is no connection to be had.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A secret cannot be read.
    #[error("{key}: the file {} cannot be read: {cause}", path.display())]
    Secret {
        /// Which setting.
        key: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// The client library refused its settings.
    #[error(transparent)]
    Kafka(#[from] KafkaError),
}

/// See the module.
pub struct KafkaLink {
    /// The cluster.
    pub cluster: Arc<KafkaCluster>,
    /// Its topics.
    pub topics: TopicTable,
    reader: Mutex<Option<KafkaReader>>,
    appender: Mutex<Option<Arc<KafkaAppender>>>,
}

impl KafkaLink {
    /// Makes the clients; nothing is asked of the cluster yet.
    pub fn open(config: &Config) -> Result<KafkaLink, LinkError> {
        let topics = TopicTable::new(config);
        let cluster = KafkaCluster::new(options(config, &topics)?)?;
        Ok(KafkaLink { cluster, topics, reader: Mutex::new(None), appender: Mutex::new(None) })
    }

    /// Partitions of every topic.
    pub fn partitions(&self) -> u32 {
        self.cluster.options().partitions
    }

    /// Start and end of a partition, as committed readers see them.
    pub fn watermarks(&self, at: TopicPartition) -> Result<Watermarks, KafkaError> {
        self.with_reader(|reader| reader.watermarks(at))
    }

    /// Committed records, and where the next read starts.
    pub fn read(
        &self,
        with_headers: bool,
        at: TopicPartition,
        from: Offset,
        max_bytes: usize,
    ) -> Result<(Vec<Stored>, Offset), KafkaError> {
        self.with_reader(|reader| {
            let read = reader.read(at, from, max_bytes, READ_WAIT)?;
            Ok((stored(with_headers, &read.batch, KafkaBatch::headers), read.position))
        })
    }

    /// Uses the one reader; it is made anew after an error.
    pub fn with_reader<T>(
        &self,
        act: impl FnOnce(&mut KafkaReader) -> Result<T, KafkaError>,
    ) -> Result<T, KafkaError> {
        let mut slot = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reader = match slot.take() {
            Some(reader) => reader,
            None => self.cluster.reader()?,
        };
        let result = act(&mut reader)?;
        *slot = Some(reader);
        Ok(result)
    }

    /// Writes input records; returns when all are acknowledged.
    pub fn append(&self, records: Vec<AppendRecord>) -> Result<(), KafkaError> {
        let appender = {
            let mut slot = self.appender.lock().unwrap_or_else(PoisonError::into_inner);
            match &*slot {
                Some(appender) => Arc::clone(appender),
                None => Arc::clone(slot.insert(Arc::new(self.cluster.appender()?))),
            }
        };
        appender.append(records, APPEND_TIMEOUT)
    }
}

fn options(config: &Config, topics: &TopicTable) -> Result<KafkaOptions, LinkError> {
    let kafka = &config.kafka;
    Ok(KafkaOptions {
        brokers: kafka.brokers.clone(),
        group: kafka.group.clone(),
        fetched_bytes: config.memory.fetched_bytes,
        instance: kafka.instance.clone().unwrap_or_else(|| COMMAND.to_owned()),
        topics: topics.names.clone(),
        inputs: topics.input_ids(),
        partitions: kafka.partitions,
        session_timeout: kafka.session_timeout,
        transaction_timeout: kafka.transaction_timeout,
        security: security(&kafka.security)?,
        properties: kafka.properties.clone(),
    })
}

fn security(settings: &KafkaSecurity) -> Result<Security, LinkError> {
    let key_password = settings.key_password.as_ref();
    Ok(Security {
        protocol: settings.protocol,
        ca_file: settings.ca_file.clone(),
        certificate_file: settings.certificate_file.clone(),
        key_file: settings.key_file.clone(),
        key_password: key_password
            .map(|secret| reveal("kafka.security.key_password_file", secret))
            .transpose()?,
        sasl: settings.sasl.as_ref().map(sasl).transpose()?,
    })
}

fn sasl(settings: &SaslSettings) -> Result<Sasl, LinkError> {
    Ok(match settings {
        SaslSettings::Password { mechanism, username, password } => {
            let username = username.clone();
            let password = reveal("kafka.security.password_file", password)?;
            match mechanism {
                PasswordMechanism::Plain => Sasl::Plain { username, password },
                PasswordMechanism::ScramSha256 => Sasl::ScramSha256 { username, password },
                PasswordMechanism::ScramSha512 => Sasl::ScramSha512 { username, password },
            }
        }
        SaslSettings::TokenFile(path) => Sasl::OauthBearer(TokenSource::File(path.clone())),
        SaslSettings::ClientCredentials { token_url, client_id, client_secret, scope } => {
            Sasl::OauthBearer(TokenSource::ClientCredentials {
                token_url: token_url.clone(),
                client_id: client_id.clone(),
                client_secret: reveal("kafka.security.client_secret_file", client_secret)?,
                scope: scope.clone(),
            })
        }
    })
}

fn reveal(key: &'static str, secret: &Secret) -> Result<SecretString, LinkError> {
    match secret {
        Secret::Text(text) => Ok(text.0.clone()),
        Secret::File(path) => {
            read_secret(path).map_err(|cause| LinkError::Secret { key, path: path.clone(), cause })
        }
    }
}

fn read_secret(path: &Path) -> std::io::Result<SecretString> {
    let text = SecretString::from(std::fs::read_to_string(path)?);
    use secrecy::ExposeSecret;
    Ok(SecretString::from(text.expose_secret().trim().to_owned()))
}
