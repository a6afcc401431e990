//! What a code and a text of the client library mean: one sentence that says what is wrong, where,
//! and what to do next, and whether waiting can heal it.
//!
//! The library gives the reason of a failed connection only to its error callback, as a code that
//! says little and a text that says much. To add a reason: a class, an arm in [`explain`] and a row
//! in the table of the tests, with the text as the library wrote it.

use rdkafka::error::RDKafkaErrorCode as Code;

use super::error::KafkaError;
use super::options::{KafkaOptions, Protocol, Sasl};

/// What kind of reason it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// No broker answers and none said why.
    Silent,
    /// Nobody listens there, or the connection broke.
    Unreachable,
    /// The name of a broker is unknown.
    NameUnknown,
    /// The token cannot be had at present.
    Token,
    /// We speak TLS, the other side does not.
    NoTls,
    /// TLS broke down for another reason than a certificate.
    Handshake,
    /// The broker's certificate does not hold.
    Certificate,
    /// Our certificate is refused.
    ClientCertificate,
    /// We are not who we say.
    Authentication,
    /// We may not do this.
    Access,
    /// The brokers lack something we need.
    TooOld,
}

impl Class {
    /// Whether waiting cannot heal it.
    pub(super) fn permanent(self) -> bool {
        self.rank() == 2
    }

    /// A reason of a lower rank does not replace one of a higher rank.
    pub(super) fn rank(self) -> u8 {
        match self {
            Class::Silent => 0,
            Class::Unreachable | Class::NameUnknown | Class::Token | Class::NoTls => 1,
            Class::Handshake
            | Class::Certificate
            | Class::ClientCertificate
            | Class::Authentication
            | Class::Access
            | Class::TooOld => 2,
        }
    }
}

/// A reason as a person can read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reason {
    pub(super) class: Class,
    pub(super) sentence: String,
}

impl Reason {
    pub(super) fn new(class: Class, sentence: String) -> Reason {
        Reason { class, sentence }
    }

    pub(super) fn permanent(&self) -> bool {
        self.class.permanent()
    }
}

/// What the sentences name. No secrets.
#[derive(Clone, Debug)]
pub(super) struct Facts {
    brokers: String,
    protocol: Protocol,
    mechanism: Option<&'static str>,
    user: Option<String>,
    own_certificate: bool,
    group: String,
    instance: String,
}

impl Facts {
    pub(super) fn new(options: &KafkaOptions) -> Facts {
        let security = &options.security;
        let user = match &security.sasl {
            Some(
                Sasl::Plain { username, .. }
                | Sasl::ScramSha256 { username, .. }
                | Sasl::ScramSha512 { username, .. },
            ) => Some(username.clone()),
            Some(Sasl::OauthBearer(_)) | None => None,
        };
        Facts {
            brokers: options.brokers.clone(),
            protocol: security.protocol,
            mechanism: security.sasl.as_ref().map(mechanism),
            user,
            own_certificate: security.certificate_file.is_some(),
            group: options.group.clone(),
            instance: options.instance.clone(),
        }
    }

    /// How we present ourselves.
    pub(super) fn who(&self) -> String {
        match (&self.user, self.mechanism) {
            (Some(user), _) => format!("user {user:?}"),
            (None, Some(_)) => "the owner of our token".to_owned(),
            (None, None) if self.own_certificate => "the owner of our certificate".to_owned(),
            (None, None) => "an unauthenticated client".to_owned(),
        }
    }
}

/// The name of a mechanism on the wire.
pub(super) fn mechanism(sasl: &Sasl) -> &'static str {
    match sasl {
        Sasl::Plain { .. } => "PLAIN",
        Sasl::ScramSha256 { .. } => "SCRAM-SHA-256",
        Sasl::ScramSha512 { .. } => "SCRAM-SHA-512",
        Sasl::OauthBearer(_) => "OAUTHBEARER",
    }
}

/// The name of a protocol in settings.
pub(super) fn protocol_name(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Plaintext => "plaintext",
        Protocol::Ssl => "ssl",
        Protocol::SaslPlaintext => "sasl_plaintext",
        Protocol::SaslSsl => "sasl_ssl",
    }
}

/// What the error callback said. `None` when it is not about reaching the cluster.
pub(super) fn explain(code: Code, text: &str, facts: &Facts) -> Option<Reason> {
    let (at, detail) = split(text, &facts.brokers);
    let reason = match code {
        Code::Authentication => authentication(&at, &detail, facts),
        Code::SSL if detail.contains("certificate verify failed") => certificate(&at),
        Code::SSL if is_alert(&detail) => client_certificate(&at, &detail, facts),
        Code::SSL => Reason::new(
            Class::Handshake,
            format!(
                "the TLS handshake with {at} failed ({detail}); check that this port speaks TLS, and the \
                 protocol versions and ciphers of both sides"
            ),
        ),
        Code::Resolve | Code::UnknownBroker => Reason::new(
            Class::NameUnknown,
            format!("the name of the broker {at} cannot be resolved ({detail}); check kafka.brokers and DNS"),
        ),
        Code::BrokerTransportFailure | Code::OperationTimedOut | Code::RequestTimedOut => {
            transport(&at, &detail, facts)
        }
        Code::AllBrokersDown => silent(facts),
        Code::UnsupportedFeature => Reason::new(
            Class::TooOld,
            format!(
                "the brokers lack something we need ({detail}); accountpulse needs Apache Kafka 2.5 or newer"
            ),
        ),
        // The texts seldom name what it is about; of groups and transactional ids we have but one kind.
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            Reason::new(Class::Access, access(code, &quoted(&detail), facts)?)
        }
        Code::GroupAuthorizationFailed => Reason::new(Class::Access, access(code, &facts.group, facts)?),
        Code::TransactionalIdAuthorizationFailed => {
            let name = format!("{}-{}-…", facts.group, facts.instance);
            Reason::new(Class::Access, access(code, &name, facts)?)
        }
        _ => return None,
    };
    Some(reason)
}

fn authentication(at: &str, detail: &str, facts: &Facts) -> Reason {
    let mechanism = facts.mechanism.unwrap_or("SASL");
    let offered = detail.split("supported mechanisms: ").nth(1);
    let sentence = if let Some(offered) = offered {
        format!(
            "{at} does not offer the mechanism {mechanism}, only {offered}; choose one of these (kafka.security)"
        )
    } else if let Some(why) = detail.strip_prefix("Failed to acquire SASL OAUTHBEARER token: ") {
        // Our own words: the source of the token has noted them already, with its own class.
        return Reason::new(Class::Token, why.to_owned());
    } else if mechanism == "OAUTHBEARER" {
        format!(
            "{at} does not accept our token ({detail}); check its issuer, audience and scope against the \
             listener's settings"
        )
    } else {
        format!(
            "{at} refuses {} by {mechanism} ({detail}); check name and password (kafka.security), and that \
             the cluster knows this user for {mechanism}",
            facts.who()
        )
    };
    Reason::new(Class::Authentication, sentence)
}

fn certificate(at: &str) -> Reason {
    Reason::new(
        Class::Certificate,
        format!(
            "the certificate of {at} cannot be verified: it is of an unknown authority (check the CA file in \
             kafka.security), does not name this host (connect by a name that stands in it), or has expired"
        ),
    )
}

/// Whether the other side ended the handshake because of our certificate.
fn is_alert(detail: &str) -> bool {
    detail.contains("alert") && (detail.contains("certificate") || detail.contains("unknown ca"))
}

fn client_certificate(at: &str, detail: &str, facts: &Facts) -> Reason {
    let (what, next) = if facts.own_certificate {
        (
            "does not accept our certificate",
            "check that it is of an authority that the brokers trust, and valid",
        )
    } else {
        ("asks for a client certificate and we have none", "set certificate and key in kafka.security")
    };
    Reason::new(Class::ClientCertificate, format!("{at} {what} ({}); {next}", alert(detail)))
}

/// The alert without the library's route to it.
fn alert(detail: &str) -> &str {
    let is_alert = |piece: &&str| piece.contains("alert") && !piece.contains("alert number");
    detail.split(':').map(str::trim).find(is_alert).unwrap_or(detail)
}

fn transport(at: &str, detail: &str, facts: &Facts) -> Reason {
    if is_alert(detail) {
        return client_certificate(at, detail, facts);
    }
    if detail.contains("PLAINTEXT broker listener") {
        let sentence = format!(
            "{at} ended the TLS handshake: its port probably does not speak TLS; check the port and \
             kafka.security.protocol (now {})",
            protocol_name(facts.protocol)
        );
        return Reason::new(Class::NoTls, sentence);
    }
    let next = if detail.contains("Connection refused") {
        "check that the broker runs and that host and port are right (kafka.brokers)".to_owned()
    } else if detail.contains("setup timed out") {
        "check host and port (kafka.brokers), firewalls, and kafka.security.protocol".to_owned()
    } else {
        format!(
            "check that the broker is well and that this port speaks {} (kafka.security.protocol)",
            protocol_name(facts.protocol)
        )
    };
    Reason::new(Class::Unreachable, format!("no connection to {at} ({detail}); {next}"))
}

/// Nobody answers and nobody says why.
pub(super) fn silent(facts: &Facts) -> Reason {
    let likely = match facts.protocol {
        Protocol::Plaintext => "the port expects TLS or SASL (kafka.security.protocol is plaintext)",
        Protocol::Ssl => "the port expects SASL (kafka.security.protocol is ssl)",
        Protocol::SaslPlaintext => {
            "the port expects TLS or no SASL (kafka.security.protocol is sasl_plaintext), or there is no token yet"
        }
        Protocol::SaslSsl => {
            "the port expects no SASL (kafka.security.protocol is sasl_ssl), or there is no token yet"
        }
    };
    Reason::new(
        Class::Silent,
        format!(
            "no broker of {} answers, and none says why; likely {likely}, a firewall is in between, or the \
             brokers are starting",
            facts.brokers
        ),
    )
}

/// The sentence for a refused access to something by name.
pub(super) fn access(code: Code, name: &str, facts: &Facts) -> Option<String> {
    let who = facts.who();
    let sentence = match code {
        Code::TopicAuthorizationFailed => format!(
            "{who} has no access to the topic {name}, or it does not exist; grant READ, WRITE and DESCRIBE on \
             it, or create it"
        ),
        Code::GroupAuthorizationFailed => {
            format!("{who} has no access to the consumer group {name}; grant READ on it")
        }
        Code::TransactionalIdAuthorizationFailed => {
            format!("{who} may not use the transactional id {name}; grant WRITE on it")
        }
        Code::ClusterAuthorizationFailed => {
            format!("{who} may not do this on the cluster ({name}); grant it, or let an administrator do it")
        }
        _ => return None,
    };
    Some(sentence)
}

/// The same as an error; `None` when the code is not about access.
pub(super) fn denied(code: Code, name: &str, facts: &Facts) -> Option<KafkaError> {
    access(code, name, facts).map(|sentence| KafkaError::Denied { sentence })
}

/// What stands before `: Broker: …`, or the whole.
fn quoted(detail: &str) -> String {
    let head = detail.split(": Broker: ").next().unwrap_or(detail);
    head.rsplit(": ").next().unwrap_or(head).to_owned()
}

/// The broker that a text is about, and the rest without the library's counters.
fn split(text: &str, brokers: &str) -> (String, String) {
    // "sasl_ssl://host:9093/bootstrap: SASL authentication error: … (after 3ms in state …)"
    let (address, rest) = text
        .split_once(": ")
        .and_then(|(head, rest)| Some((address(head)?, rest)))
        .unwrap_or((brokers, text));
    let rest = rest.rfind(" (after ").map_or(rest, |cut| &rest[..cut]);
    (address.to_owned(), rest.trim().to_owned())
}

/// The address in the library's name of a broker: `host:port/bootstrap` or `host:port/7`, with the
/// protocol before it unless it is plaintext.
fn address(name: &str) -> Option<&str> {
    let name = name.split_once("://").map_or(name, |(_, name)| name);
    let (address, id) = name.rsplit_once('/')?;
    let known = id == "bootstrap" || (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit()));
    (known && address.contains(':')).then_some(address)
}

#[cfg(test)]
mod tests;
