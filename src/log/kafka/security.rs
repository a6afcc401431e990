//! How a connection is secured, as settings of the client library.
//!
//! Secrets leave their wrapper only here and in `token.rs`, on their way into the library. Whatever
//! the library says comes back through [`Scrub`].

use rdkafka::ClientConfig;
use secrecy::{ExposeSecret, SecretString};

use super::error::KafkaError;
use super::options::{Protocol, Sasl, Security, TokenSource};
use super::reasons::{mechanism, protocol_name};

/// Shorter secrets are not looked for in texts: they would match anything.
const SCRUB_MIN: usize = 4;

/// Sets everything about security.
pub(super) fn apply(security: &Security, config: &mut ClientConfig) {
    config.set("security.protocol", protocol_name(security.protocol));
    // Stated even though they are the defaults: without them TLS proves nothing.
    config.set("enable.ssl.certificate.verification", "true");
    config.set("ssl.endpoint.identification.algorithm", "https");
    let files = [
        ("ssl.ca.location", &security.ca_file),
        ("ssl.certificate.location", &security.certificate_file),
        ("ssl.key.location", &security.key_file),
    ];
    for (key, file) in files {
        if let Some(file) = file {
            config.set(key, file.display().to_string());
        }
    }
    if let Some(password) = &security.key_password {
        config.set("ssl.key.password", password.expose_secret());
    }
    let Some(sasl) = &security.sasl else { return };
    config.set("sasl.mechanism", mechanism(sasl));
    match sasl {
        Sasl::Plain { username, password }
        | Sasl::ScramSha256 { username, password }
        | Sasl::ScramSha512 { username, password } => {
            config.set("sasl.username", username);
            config.set("sasl.password", password.expose_secret());
        }
        // The context hands tokens over.
        Sasl::OauthBearer(_) => {}
    }
}

/// Refuses combinations that cannot work or would give a secret away.
pub(super) fn check(security: &Security) -> Result<(), KafkaError> {
    let wrong = |setting: &str, detail: &str| {
        Err(KafkaError::Setting { setting: format!("kafka.security.{setting}"), detail: detail.to_owned() })
    };
    let (tls, sasl) = match security.protocol {
        Protocol::Plaintext => (false, false),
        Protocol::Ssl => (true, false),
        Protocol::SaslPlaintext => (false, true),
        Protocol::SaslSsl => (true, true),
    };
    if sasl != security.sasl.is_some() {
        return if sasl {
            wrong("protocol", "it asks for SASL and no mechanism is set; set one, or choose plaintext or ssl")
        } else {
            wrong("protocol", "a SASL mechanism is set and not used; choose sasl_ssl or sasl_plaintext")
        };
    }
    if !tls && matches!(security.sasl, Some(Sasl::Plain { .. })) {
        return wrong(
            "protocol",
            "PLAIN would send the password unencrypted; choose sasl_ssl, or a SCRAM mechanism",
        );
    }
    let files =
        security.ca_file.is_some() || security.certificate_file.is_some() || security.key_file.is_some();
    if !tls && files {
        return wrong("protocol", "certificates are set and not used; choose ssl or sasl_ssl");
    }
    if security.certificate_file.is_some() != security.key_file.is_some() {
        return wrong("certificate_file", "a client certificate needs both its certificate and its key file");
    }
    Ok(())
}

/// Takes our secrets out of a text.
#[derive(Clone, Debug)]
pub(super) struct Scrub(Vec<SecretString>);

impl Scrub {
    pub(super) fn new(security: &Security) -> Scrub {
        let secret = match &security.sasl {
            Some(
                Sasl::Plain { password, .. }
                | Sasl::ScramSha256 { password, .. }
                | Sasl::ScramSha512 { password, .. },
            ) => Some(password),
            Some(Sasl::OauthBearer(TokenSource::ClientCredentials { client_secret, .. })) => {
                Some(client_secret)
            }
            Some(Sasl::OauthBearer(TokenSource::File(_))) | None => None,
        };
        let secrets = secret.into_iter().chain(&security.key_password);
        Scrub(secrets.filter(|secret| secret.expose_secret().len() >= SCRUB_MIN).cloned().collect())
    }

    pub(super) fn apply(&self, text: &str) -> String {
        let hide = |text: String, secret: &SecretString| text.replace(secret.expose_secret(), "[secret]");
        self.0.iter().fold(text.to_owned(), hide)
    }
}
