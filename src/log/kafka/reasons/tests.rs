//! Every row by value.

use std::path::PathBuf;

use crate::log::TopicId;

use super::*;
use crate::log::kafka::options::{Security, TokenSource};

fn facts(protocol: Protocol, sasl: Option<Sasl>, own_certificate: bool) -> Facts {
    let certificate_file = own_certificate.then(|| PathBuf::from("client.crt"));
    Facts::new(&KafkaOptions {
        brokers: "a:1,b:2".to_owned(),
        group: "g".to_owned(),
        instance: "i".to_owned(),
        topics: vec!["in".to_owned()],
        inputs: vec![TopicId(0)],
        partitions: 1,
        session_timeout: crate::log::kafka::DEFAULT_SESSION_TIMEOUT,
        transaction_timeout: crate::log::kafka::DEFAULT_TRANSACTION_TIMEOUT,
        fetched_bytes: crate::log::kafka::DEFAULT_FETCHED_BYTES,
        security: Security { protocol, sasl, certificate_file, ..Security::default() },
        properties: std::collections::BTreeMap::new(),
    })
}

fn scram() -> Facts {
    let sasl = Sasl::ScramSha512 { username: "alice".to_owned(), password: "secret".into() };
    facts(Protocol::SaslSsl, Some(sasl), false)
}

fn oauth() -> Facts {
    let source = TokenSource::File(PathBuf::from("token"));
    facts(Protocol::SaslPlaintext, Some(Sasl::OauthBearer(source)), false)
}

fn tls() -> Facts {
    facts(Protocol::Ssl, None, false)
}

/// Facts, code and text as the library gave them; what we make of it; whether it is for good.
type Row = (Facts, Code, &'static str, &'static str, bool);

fn hold(rows: Vec<Row>) {
    for (facts, code, text, sentence, permanent) in rows {
        let reason = explain(code, text, &facts).unwrap();
        assert_eq!((reason.sentence.as_str(), reason.permanent()), (sentence, permanent), "{text}");
    }
}

fn plain() -> Facts {
    facts(Protocol::Plaintext, None, false)
}

fn own() -> Facts {
    facts(Protocol::Ssl, None, true)
}

#[test]
fn who_we_are_is_refused_with_a_next_step() {
    hold(vec![
        (
            scram(),
            Code::Authentication,
            "sasl_ssl://h:9/bootstrap: SASL authentication error: Authentication failed during authentication \
             due to invalid credentials with SASL mechanism SCRAM-SHA-512 (after 301ms in state AUTH_REQ)",
            "h:9 refuses user \"alice\" by SCRAM-SHA-512 (SASL authentication error: Authentication failed \
             during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512); check name \
             and password (kafka.security), and that the cluster knows this user for SCRAM-SHA-512",
            true,
        ),
        (
            scram(),
            Code::Authentication,
            "sasl_ssl://h:9/bootstrap: SASL SCRAM-SHA-512 mechanism handshake failed: Broker: Unsupported \
             SASL mechanism: broker's supported mechanisms: PLAIN,GSSAPI (after 4ms in state AUTH_HANDSHAKE)",
            "h:9 does not offer the mechanism SCRAM-SHA-512, only PLAIN,GSSAPI; choose one of these \
             (kafka.security)",
            true,
        ),
        (
            oauth(),
            Code::Authentication,
            "sasl_plaintext://h:9/1: SASL authentication error: {\"status\":\"invalid_token\"} (after 3ms in \
             state AUTH_REQ)",
            "h:9 does not accept our token (SASL authentication error: {\"status\":\"invalid_token\"}); check \
             its issuer, audience and scope against the listener's settings",
            true,
        ),
        (
            oauth(),
            Code::Authentication,
            "Failed to acquire SASL OAUTHBEARER token: the file is empty; fill it",
            "the file is empty; fill it",
            false,
        ),
        (
            tls(),
            Code::SSL,
            "ssl://h:9/bootstrap: SSL handshake failed: error:0A000086:SSL routines::certificate verify \
             failed: broker certificate could not be verified, verify that ssl.ca.location is correctly \
             configured or root CA certificates are installed (install ca-certificates package) (after 9ms in \
             state SSL_HANDSHAKE)",
            "the certificate of h:9 cannot be verified: it is of an unknown authority (check the CA file in \
             kafka.security), does not name this host (connect by a name that stands in it), or has expired",
            true,
        ),
    ]);
}

#[test]
fn tls_that_fails_has_its_causes_named() {
    hold(vec![
        (
            tls(),
            Code::SSL,
            "ssl://h:9/bootstrap: SSL handshake failed: error:0A00010B:SSL routines::wrong version number \
             (after 1ms in state SSL_HANDSHAKE)",
            "the TLS handshake with h:9 failed (SSL handshake failed: error:0A00010B:SSL routines::wrong \
             version number); check that this port speaks TLS, and the protocol versions and ciphers of both \
             sides",
            true,
        ),
        (
            tls(),
            Code::BrokerTransportFailure,
            "ssl://h:9/bootstrap: Receive failed: error:0A000412:SSL routines::sslv3 alert bad certificate: SSL alert number 42 (after 2ms in state APIVERSION_QUERY)",
            "h:9 asks for a client certificate and we have none (sslv3 alert bad certificate); set certificate \
             and key in kafka.security",
            true,
        ),
        (
            own(),
            Code::SSL,
            "ssl://h:9/bootstrap: SSL handshake failed: error:0A000418:SSL routines::tlsv1 alert unknown ca: \
             SSL alert number 48 (after 2ms in state SSL_HANDSHAKE)",
            "h:9 does not accept our certificate (tlsv1 alert unknown ca); check that it is of an authority \
             that the brokers trust, and valid",
            true,
        ),
        (
            tls(),
            Code::BrokerTransportFailure,
            "ssl://h:9/bootstrap: SSL handshake failed: Disconnected: SSL connection closed by peer: connecting \
             to a PLAINTEXT broker listener? (after 1ms in state SSL_HANDSHAKE)",
            "h:9 ended the TLS handshake: its port probably does not speak TLS; check the port and \
             kafka.security.protocol (now ssl)",
            false,
        ),
        (
            plain(),
            Code::BrokerTransportFailure,
            "h:9/bootstrap: Connect to ipv4#127.0.0.1:9 failed: Connection refused (after 0ms in state \
             CONNECT, 3 identical error(s) suppressed)",
            "no connection to h:9 (Connect to ipv4#127.0.0.1:9 failed: Connection refused); check that the \
             broker runs and that host and port are right (kafka.brokers)",
            false,
        ),
    ]);
}

#[test]
fn a_connection_that_fails_has_its_causes_named() {
    hold(vec![
        (
            plain(),
            Code::BrokerTransportFailure,
            "h:9/bootstrap: Connection setup timed out in state CONNECT (after 10029ms in state CONNECT)",
            "no connection to h:9 (Connection setup timed out in state CONNECT); check host and port \
             (kafka.brokers), firewalls, and kafka.security.protocol",
            false,
        ),
        (
            plain(),
            Code::BrokerTransportFailure,
            "h:9/7: Disconnected (after 812ms in state UP)",
            "no connection to h:9 (Disconnected); check that the broker is well and that this port speaks \
             plaintext (kafka.security.protocol)",
            false,
        ),
        (
            plain(),
            Code::Resolve,
            "h:9/bootstrap: Failed to resolve 'h:9': Name or service not known (after 5ms in state CONNECT)",
            "the name of the broker h:9 cannot be resolved (Failed to resolve 'h:9': Name or service not \
             known); check kafka.brokers and DNS",
            false,
        ),
        (
            plain(),
            Code::AllBrokersDown,
            "2/2 brokers are down",
            "no broker of a:1,b:2 answers, and none says why; likely the port expects TLS or SASL \
             (kafka.security.protocol is plaintext), a firewall is in between, or the brokers are starting",
            false,
        ),
        (
            plain(),
            Code::UnsupportedFeature,
            "Idempotent producer not supported by any of the 1 connected broker(s)",
            "the brokers lack something we need (Idempotent producer not supported by any of the 1 connected \
             broker(s)); accountpulse needs Apache Kafka 2.5 or newer",
            true,
        ),
        (
            scram(),
            Code::GroupAuthorizationFailed,
            "FindCoordinator response error: Group authorization failed.",
            "user \"alice\" has no access to the consumer group g; grant READ on it",
            true,
        ),
    ]);
}

#[test]
fn missing_access_is_named() {
    hold(vec![(
        scram(),
        Code::TopicAuthorizationFailed,
        "Subscribed topic not available: in: Broker: Topic authorization failed",
        "user \"alice\" has no access to the topic in, or it does not exist; grant READ, WRITE and \
             DESCRIBE on it, or create it",
        true,
    )]);
}

#[test]
fn who_is_refused_is_named() {
    let own = facts(Protocol::Ssl, None, true);
    let open = facts(Protocol::Plaintext, None, false);
    let rows = [
        (
            scram(),
            Code::GroupAuthorizationFailed,
            "user \"alice\" has no access to the consumer group x; grant READ on it",
        ),
        (
            oauth(),
            Code::TransactionalIdAuthorizationFailed,
            "the owner of our token may not use the transactional id x; grant WRITE on it",
        ),
        (
            own,
            Code::TopicAuthorizationFailed,
            "the owner of our certificate has no access to the topic x, or it does not exist; grant READ, WRITE \
             and DESCRIBE on it, or create it",
        ),
        (
            open,
            Code::ClusterAuthorizationFailed,
            "an unauthenticated client may not do this on the cluster (x); grant it, or let an administrator \
             do it",
        ),
    ];
    for (facts, code, sentence) in rows {
        assert_eq!(access(code, "x", &facts).as_deref(), Some(sentence));
    }
}

#[test]
fn what_is_not_about_reaching_the_cluster_is_no_reason() {
    for code in [Code::Fatal, Code::PartitionEOF, Code::UnknownMemberId, Code::AutoOffsetReset] {
        assert_eq!(explain(code, "h:9/1: whatever", &tls()), None, "{code:?}");
    }
}
