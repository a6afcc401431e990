//! What the cluster is and who we are: plain data that the configuration has checked.
//!
//! To add a setting of the client library: nothing, it passes through `properties`, unless it
//! would break a rule of the worker; then name it in [`refused_property`] with the reason.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::log::{TopicId, TopicPartition};

/// Default of [`KafkaOptions::session_timeout`].
pub const DEFAULT_SESSION_TIMEOUT: Duration = Duration::from_secs(45);
/// Default of [`KafkaOptions::transaction_timeout`]. Below the session timeout: a successor must
/// not wait for the transaction of the member it replaced.
pub const DEFAULT_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Default of [`KafkaOptions::fetched_bytes`].
pub const DEFAULT_FETCHED_BYTES: usize = 32 * 1024 * 1024;

/// Everything the clients of a process share.
#[derive(Clone, Debug)]
pub struct KafkaOptions {
    /// `host:port,host:port`, to find the cluster by.
    pub brokers: String,
    /// The consumer group.
    pub group: String,
    /// Stable name of this process. Worker *n* is the static member `<instance>-<n>` and writes
    /// under the transactional id `<group>-<instance>-<n>`.
    pub instance: String,
    /// Names of the topics, in the order of [`TopicId`].
    pub topics: Vec<String>,
    /// The topics that the group consumes.
    pub inputs: Vec<TopicId>,
    /// Partitions of every topic.
    pub partitions: u32,
    /// How long a member may be silent before its partitions go to others.
    pub session_timeout: Duration,
    /// How long a transaction may stay open before the cluster ends it.
    pub transaction_timeout: Duration,
    /// Most that a member may have fetched and not handed out: what lies in its queue, and one
    /// answer of a broker.
    pub fetched_bytes: usize,
    /// How the connection is secured.
    pub security: Security,
    /// Further settings of the client library, passed through as they are.
    pub properties: BTreeMap<String, String>,
}

impl KafkaOptions {
    /// The name of a topic, if it has this partition.
    pub(super) fn name(&self, at: TopicPartition) -> Option<&str> {
        let name = self.topics.get(usize::from(at.topic.0));
        name.filter(|_| at.partition < self.partitions).map(String::as_str)
    }
}

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Neither encrypted nor authenticated.
    Plaintext,
    /// Encrypted; authenticated by a client certificate, if any.
    Ssl,
    /// Authenticated and not encrypted.
    SaslPlaintext,
    /// Encrypted and authenticated.
    SaslSsl,
}

/// Security of the connection.
#[derive(Clone, Debug)]
pub struct Security {
    /// The kind of connection.
    pub protocol: Protocol,
    /// Certificate authority that the brokers' certificates must chain to; the system's otherwise.
    pub ca_file: Option<PathBuf>,
    /// Our own certificate, PEM.
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM.
    pub key_file: Option<PathBuf>,
    /// Password of the private key.
    pub key_password: Option<SecretString>,
    /// How we authenticate, if by SASL.
    pub sasl: Option<Sasl>,
}

impl Default for Security {
    fn default() -> Security {
        Security {
            protocol: Protocol::Plaintext,
            ca_file: None,
            certificate_file: None,
            key_file: None,
            key_password: None,
            sasl: None,
        }
    }
}

/// How we authenticate.
#[derive(Clone, Debug)]
pub enum Sasl {
    /// Name and password in the clear; only over TLS.
    Plain {
        /// Name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// Salted challenge, SHA-256.
    ScramSha256 {
        /// Name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// Salted challenge, SHA-512.
    ScramSha512 {
        /// Name.
        username: String,
        /// Password.
        password: SecretString,
    },
    /// A bearer token.
    OauthBearer(TokenSource),
}

/// Where a bearer token comes from.
#[derive(Clone, Debug)]
pub enum TokenSource {
    /// A file that something else keeps fresh; read again before the token in it expires.
    File(PathBuf),
    /// The client-credentials grant of OAuth 2.0 (RFC 6749, section 4.4).
    ClientCredentials {
        /// The token endpoint.
        token_url: String,
        /// Who we are.
        client_id: String,
        /// Our secret.
        client_secret: SecretString,
        /// What we ask for.
        scope: Option<String>,
    },
}

/// Why a key of the pass-through map is refused; `None` when it may pass.
pub fn refused_property(key: &str) -> Option<&'static str> {
    const OURS: &str = "it has a setting of its own under `kafka`";
    const PROMISE: &str = "exactly-once delivery depends on its value";
    match key {
        "bootstrap.servers"
        | "metadata.broker.list"
        | "group.id"
        | "group.instance.id"
        | "client.id"
        | "transactional.id"
        | "session.timeout.ms"
        | "transaction.timeout.ms" => Some(OURS),
        _ if key.starts_with("sasl.") || (key.starts_with("ssl.") && !SSL_FREE.contains(&key)) => Some(OURS),
        "security.protocol"
        | "enable.sasl.oauthbearer.unsecure.jwt"
        | "enable.ssl.certificate.verification" => Some(OURS),
        "enable.auto.commit"
        | "enable.auto.offset.store"
        | "auto.offset.reset"
        | "isolation.level"
        | "enable.idempotence"
        | "acks"
        | "request.required.acks"
        | "partitioner"
        | "check.crcs"
        | "enable.partition.eof"
        | "partition.assignment.strategy"
        | "group.protocol"
        | "group.remote.assignor"
        | "max.in.flight"
        | "max.in.flight.requests.per.connection"
        | "enable.gapless.guarantee"
        | "allow.auto.create.topics"
        | "retries"
        | "message.send.max.retries"
        | "delivery.report.only.error"
        | "plugin.library.paths"
        | "message.max.bytes" => Some(PROMISE),
        _ => None,
    }
}

/// Keys of TLS that choose among safe values.
const SSL_FREE: [&str; 3] = ["ssl.cipher.suites", "ssl.curves.list", "ssl.sigalgs.list"];
