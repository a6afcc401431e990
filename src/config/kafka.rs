//! The settings of a cluster, checked. Files named here are read when the log is opened, not while
//! the configuration is checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::show::{quoted, show_duration};
use crate::log::kafka::{DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, Protocol};

/// Default of `kafka.brokers`.
pub const DEFAULT_BROKERS: &str = "127.0.0.1:9092";
/// Default of `kafka.group`.
pub const DEFAULT_GROUP: &str = "accountpulse";
/// Default of `kafka.partitions`.
pub const DEFAULT_PARTITIONS: u32 = 12;
/// Default of `kafka.replication`.
pub const DEFAULT_REPLICATION: u32 = 3;

/// See `kafka` in `defaults.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct Kafka {
    /// Where to find the cluster.
    pub brokers: String,
    /// Consumer group, and the first part of every transactional id.
    pub group: String,
    /// Stable name of this process; always there when the log is Kafka.
    pub instance: Option<String>,
    /// Worker threads; none = one per core.
    pub workers: Option<u32>,
    /// Partitions of every topic.
    pub partitions: u32,
    /// Copies of every topic that is created.
    pub replication: u32,
    /// Whether `run` creates topics that are missing.
    pub create_topics: bool,
    /// How long a member may be silent.
    pub session_timeout: Duration,
    /// How long a transaction may stay open.
    pub transaction_timeout: Duration,
    /// The connection.
    pub security: KafkaSecurity,
    /// Passed through to the client library.
    pub properties: BTreeMap<String, String>,
}

/// See `kafka.security` in `defaults.yaml`.
#[derive(Clone, Debug, PartialEq)]
pub struct KafkaSecurity {
    /// The kind of connection.
    pub protocol: Protocol,
    /// Authority of the brokers' certificates.
    pub ca_file: Option<PathBuf>,
    /// Our certificate.
    pub certificate_file: Option<PathBuf>,
    /// Its key.
    pub key_file: Option<PathBuf>,
    /// Password of the key.
    pub key_password: Option<Secret>,
    /// How we authenticate.
    pub sasl: Option<SaslSettings>,
}

/// How we authenticate.
#[derive(Clone, Debug, PartialEq)]
pub enum SaslSettings {
    /// By name and password.
    Password {
        /// How the password travels.
        mechanism: PasswordMechanism,
        /// Name.
        username: String,
        /// Password.
        password: Secret,
    },
    /// By a token in a file.
    TokenFile(PathBuf),
    /// By a token from an endpoint.
    ClientCredentials {
        /// The endpoint.
        token_url: String,
        /// Who we are.
        client_id: String,
        /// Our secret.
        client_secret: Secret,
        /// What we ask for.
        scope: Option<String>,
    },
}

/// How a password travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMechanism {
    /// In the clear.
    Plain,
    /// As a salted challenge.
    ScramSha256,
    /// As a salted challenge.
    ScramSha512,
}

/// Where a secret comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Secret {
    /// The configuration, which may name an environment variable.
    Text(SecretText),
    /// A file; white space around it does not count.
    File(PathBuf),
}

/// A secret text. It compares and never shows itself.
#[derive(Clone, Debug)]
pub struct SecretText(pub SecretString);

impl PartialEq for SecretText {
    fn eq(&self, other: &SecretText) -> bool {
        self.0.expose_secret() == other.0.expose_secret()
    }
}

impl Default for Kafka {
    fn default() -> Kafka {
        Kafka {
            brokers: DEFAULT_BROKERS.to_owned(),
            group: DEFAULT_GROUP.to_owned(),
            instance: None,
            workers: None,
            partitions: DEFAULT_PARTITIONS,
            replication: DEFAULT_REPLICATION,
            create_topics: true,
            session_timeout: DEFAULT_SESSION_TIMEOUT,
            transaction_timeout: DEFAULT_TRANSACTION_TIMEOUT,
            security: KafkaSecurity {
                protocol: Protocol::Plaintext,
                ca_file: None,
                certificate_file: None,
                key_file: None,
                key_password: None,
                sasl: None,
            },
            properties: BTreeMap::new(),
        }
    }
}

/// What stands in the place of a secret when settings are shown.
const HIDDEN: &str = "<hidden>";

impl Kafka {
    /// The section as YAML that gives the same settings again, secrets aside.
    pub(super) fn to_yaml(&self) -> String {
        let mut out = format!(
            "kafka:\n  brokers: {}\n  group: {}\n  instance: {}\n  workers: {}\n  partitions: {}\n  \
             replication: {}\n  create_topics: {}\n  session_timeout: {}\n  transaction_timeout: {}\n  \
             security:\n    protocol: {}\n",
            quoted(&self.brokers),
            quoted(&self.group),
            quoted(self.instance.as_deref().unwrap_or_default()),
            self.workers.unwrap_or(0),
            self.partitions,
            self.replication,
            self.create_topics,
            show_duration(self.session_timeout),
            show_duration(self.transaction_timeout),
            match self.security.protocol {
                Protocol::Plaintext => "plaintext",
                Protocol::Ssl => "ssl",
                Protocol::SaslPlaintext => "sasl_plaintext",
                Protocol::SaslSsl => "sasl_ssl",
            },
        );
        for (key, value) in self.security.given() {
            out.push_str(&format!("    {key}: {}\n", quoted(&value)));
        }
        out.push_str(if self.properties.is_empty() { "  properties: {}\n" } else { "  properties:\n" });
        for (key, value) in &self.properties {
            out.push_str(&format!("    {}: {}\n", quoted(key), quoted(value)));
        }
        out
    }
}

impl KafkaSecurity {
    /// The optional settings that are given.
    fn given(&self) -> Vec<(&'static str, String)> {
        let mut given = Vec::new();
        let files = [
            ("ca_file", &self.ca_file),
            ("certificate_file", &self.certificate_file),
            ("key_file", &self.key_file),
        ];
        for (key, file) in files {
            given.extend(file.iter().map(|path| (key, path.to_string_lossy().into_owned())));
        }
        given
            .extend(self.key_password.iter().map(|secret| secret.shown("key_password", "key_password_file")));
        match &self.sasl {
            None => {}
            Some(SaslSettings::Password { mechanism, username, password }) => {
                let mechanism = match mechanism {
                    PasswordMechanism::Plain => "plain",
                    PasswordMechanism::ScramSha256 => "scram-sha-256",
                    PasswordMechanism::ScramSha512 => "scram-sha-512",
                };
                given.push(("mechanism", mechanism.to_owned()));
                given.push(("username", username.clone()));
                given.push(password.shown("password", "password_file"));
            }
            Some(SaslSettings::TokenFile(path)) => {
                given.push(("mechanism", "oauthbearer".to_owned()));
                given.push(("token_file", path.to_string_lossy().into_owned()));
            }
            Some(SaslSettings::ClientCredentials { token_url, client_id, client_secret, scope }) => {
                given.push(("mechanism", "oauthbearer".to_owned()));
                given.push(("token_url", token_url.clone()));
                given.push(("client_id", client_id.clone()));
                given.push(client_secret.shown("client_secret", "client_secret_file"));
                given.extend(scope.iter().map(|scope| ("scope", scope.clone())));
            }
        }
        given
    }
}

impl Secret {
    fn shown(&self, text: &'static str, file: &'static str) -> (&'static str, String) {
        match self {
            Secret::Text(_) => (text, HIDDEN.to_owned()),
            Secret::File(path) => (file, path.to_string_lossy().into_owned()),
        }
    }
}
