//! `kafka`: file shape → [`Kafka`]. Part of the check in `check.rs`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use secrecy::SecretString;

use super::check::{Checker, Range, secs};
use super::file::{KafkaFile, KafkaSecurityFile};
use super::kafka::{Kafka, KafkaSecurity, PasswordMechanism, SaslSettings, Secret, SecretText};
use super::scalar::Leaf;
use crate::log::kafka::{Protocol, refused_property};

const SESSION: Range = Range { min: secs(3), max: secs(30 * 60), default: "45s" };
const TRANSACTION: Range = Range { min: secs(1), max: secs(15 * 60), default: "10s" };
/// Static member names end in a worker number.
const INSTANCE_BYTES_MAX: usize = 200;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mechanism {
    None,
    Password(PasswordMechanism),
    OauthBearer,
}

impl Checker<'_> {
    pub(super) fn kafka(&mut self, file: &KafkaFile, default: Kafka) -> Kafka {
        let security = self.security(&file.security);
        let session_timeout =
            self.duration(&file.session_timeout, "kafka.session_timeout", &SESSION, default.session_timeout);
        let transaction_timeout = self.duration(
            &file.transaction_timeout,
            "kafka.transaction_timeout",
            &TRANSACTION,
            default.transaction_timeout,
        );
        if transaction_timeout >= session_timeout
            && let Some(leaf) = file.transaction_timeout.as_ref().or(file.session_timeout.as_ref())
        {
            let message = "`kafka.transaction_timeout` is not below `kafka.session_timeout`".to_owned();
            let help = "a successor must not wait for the transaction of the member it replaced; lower it";
            self.wrong(leaf, message, help);
        }
        let workers = self.number(&file.workers, "kafka.workers", (0, 256), 0);
        let partitions =
            self.number(&file.partitions, "kafka.partitions", (1, 4096), u64::from(default.partitions));
        let replication =
            self.number(&file.replication, "kafka.replication", (1, 32), u64::from(default.replication));
        Kafka {
            brokers: self.text(&file.brokers, "kafka.brokers").map_or(default.brokers, |(_, text)| text),
            group: self.name(&file.group, "kafka.group").unwrap_or(default.group),
            instance: self.name(&file.instance, "kafka.instance"),
            // In their ranges, checked above.
            workers: u32::try_from(workers).ok().filter(|workers| *workers > 0),
            partitions: u32::try_from(partitions).unwrap_or(default.partitions),
            replication: u32::try_from(replication).unwrap_or(default.replication),
            create_topics: self.one_of(
                &file.create_topics,
                "kafka.create_topics",
                &[("true", true), ("false", false)],
                default.create_topics,
            ),
            session_timeout,
            transaction_timeout,
            security,
            properties: self.properties(&file.properties),
        }
    }

    /// A value that may be left empty.
    fn optional<'l>(&mut self, leaf: &'l Option<Leaf>, key: &str) -> Option<(&'l Leaf, String)> {
        if leaf.as_ref().is_some_and(|leaf| leaf.value.0.is_empty()) {
            return None;
        }
        self.text(leaf, key)
    }

    fn name(&mut self, leaf: &Option<Leaf>, key: &str) -> Option<String> {
        let (leaf, text) = self.optional(leaf, key)?;
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if text.len() <= INSTANCE_BYTES_MAX && text.chars().all(allowed) {
            return Some(text);
        }
        let message = format!("`{key}`: `{text}` is not a name");
        self.wrong(leaf, message, "take at most 200 letters, digits, `.`, `_` and `-`");
        None
    }

    fn optional_path(&mut self, leaf: &Option<Leaf>, key: &str) -> Option<PathBuf> {
        self.optional(leaf, key).map(|(_, text)| PathBuf::from(text))
    }

    /// A secret given as text or as a file.
    fn secret(&mut self, text: &Option<Leaf>, file: &Option<Leaf>, key: &str) -> Option<Secret> {
        let of_file = self.optional(file, &format!("{key}_file"));
        match (self.optional(text, key), of_file) {
            (Some(_), Some((leaf, _))) => {
                let message = format!("`{key}` and `{key}_file` are both given");
                self.wrong(leaf, message, "keep one of them");
                None
            }
            (Some((_, text)), None) => Some(Secret::Text(SecretText(SecretString::from(text)))),
            (None, file) => file.map(|(_, path)| Secret::File(PathBuf::from(path))),
        }
    }

    fn security(&mut self, file: &KafkaSecurityFile) -> KafkaSecurity {
        let protocols = [
            ("plaintext", Protocol::Plaintext),
            ("ssl", Protocol::Ssl),
            ("sasl_plaintext", Protocol::SaslPlaintext),
            ("sasl_ssl", Protocol::SaslSsl),
        ];
        let protocol =
            self.one_of(&file.protocol, "kafka.security.protocol", &protocols, Protocol::Plaintext);
        let mechanisms = [
            ("none", Mechanism::None),
            ("plain", Mechanism::Password(PasswordMechanism::Plain)),
            ("scram-sha-256", Mechanism::Password(PasswordMechanism::ScramSha256)),
            ("scram-sha-512", Mechanism::Password(PasswordMechanism::ScramSha512)),
            ("oauthbearer", Mechanism::OauthBearer),
        ];
        let mechanism =
            self.one_of(&file.mechanism, "kafka.security.mechanism", &mechanisms, Mechanism::None);
        let with_sasl = matches!(protocol, Protocol::SaslPlaintext | Protocol::SaslSsl);
        if with_sasl != (mechanism != Mechanism::None)
            && let Some(leaf) = file.mechanism.as_ref().or(file.protocol.as_ref())
        {
            let message = "`kafka.security`: `protocol` and `mechanism` do not fit together".to_owned();
            self.wrong(
                leaf,
                message,
                "a mechanism needs sasl_ssl or sasl_plaintext, and they need a mechanism",
            );
        }
        let security = KafkaSecurity {
            protocol,
            ca_file: self.optional_path(&file.ca_file, "kafka.security.ca_file"),
            certificate_file: self.optional_path(&file.certificate_file, "kafka.security.certificate_file"),
            key_file: self.optional_path(&file.key_file, "kafka.security.key_file"),
            key_password: self.secret(
                &file.key_password,
                &file.key_password_file,
                "kafka.security.key_password",
            ),
            sasl: self.sasl(file, mechanism),
        };
        if security.certificate_file.is_some() != security.key_file.is_some()
            && let Some(leaf) = file.certificate_file.as_ref().or(file.key_file.as_ref())
        {
            let message = "`kafka.security`: a client certificate needs its key, and the key its certificate";
            self.wrong(leaf, message.to_owned(), "give both `certificate_file` and `key_file`, or neither");
        }
        security
    }

    fn sasl(&mut self, file: &KafkaSecurityFile, mechanism: Mechanism) -> Option<SaslSettings> {
        let username = self.optional(&file.username, "kafka.security.username").map(|(_, text)| text);
        let password = self.secret(&file.password, &file.password_file, "kafka.security.password");
        let token_file = self.optional_path(&file.token_file, "kafka.security.token_file");
        let token_url = self.token_url(&file.token_url);
        let client_id = self.optional(&file.client_id, "kafka.security.client_id").map(|(_, text)| text);
        let client_secret =
            self.secret(&file.client_secret, &file.client_secret_file, "kafka.security.client_secret");
        let scope = self.optional(&file.scope, "kafka.security.scope").map(|(_, text)| text);
        let (settings, help) = match mechanism {
            Mechanism::None => return None,
            Mechanism::Password(mechanism) => {
                let settings = username.zip(password);
                (
                    settings.map(|(username, password)| SaslSettings::Password {
                        mechanism,
                        username,
                        password,
                    }),
                    "give `username`, and `password` (such as `${KAFKA_PASSWORD}`) or `password_file`",
                )
            }
            Mechanism::OauthBearer => {
                let granted = token_url.zip(client_id).zip(client_secret);
                let granted = granted.map(|((token_url, client_id), client_secret)| {
                    SaslSettings::ClientCredentials { token_url, client_id, client_secret, scope }
                });
                (
                    token_file.map(SaslSettings::TokenFile).or(granted),
                    "give `token_file`, or `token_url`, `client_id` and `client_secret_file`",
                )
            }
        };
        if let (None, Some(leaf)) = (&settings, &file.mechanism) {
            let message = "`kafka.security.mechanism`: what it needs is missing".to_owned();
            self.wrong(leaf, message, help);
        }
        settings
    }

    /// An endpoint that a secret is sent to.
    fn token_url(&mut self, leaf: &Option<Leaf>) -> Option<String> {
        let (leaf, text) = self.optional(leaf, "kafka.security.token_url")?;
        let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
        let safe = text.starts_with("https://") || local.iter().any(|start| text.starts_with(start));
        if safe && !text.contains('@') {
            return Some(text);
        }
        let message =
            "`kafka.security.token_url` would send the secret in the clear, or holds one".to_owned();
        self.wrong(leaf, message, "write https://host/path; the secret goes into `client_secret_file`");
        None
    }

    fn properties(&mut self, file: &BTreeMap<String, Leaf>) -> BTreeMap<String, String> {
        let mut properties = BTreeMap::new();
        for (key, leaf) in file {
            let given = Some(leaf.clone());
            let Some((_, text)) = self.text(&given, &format!("kafka.properties.{key}")) else { continue };
            match refused_property(key) {
                Some(reason) => {
                    let message = format!("`kafka.properties`: `{key}` cannot be set here: {reason}");
                    self.wrong(leaf, message, "remove it");
                }
                None => {
                    properties.insert(key.clone(), text);
                }
            }
        }
        properties
    }
}
