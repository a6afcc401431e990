//! Every way in that does not work says why.

use std::path::PathBuf;
use std::time::Duration;

use accountpulse::clock;
use accountpulse::log::kafka::{KafkaCluster, KafkaOptions, Protocol, Sasl, Security, TokenSource};

use super::{Endpoint, PASSWORD, SOON, broker, closed_port, mtls, oauth, options, scram, tls, to, token};
use crate::support::Listener;

/// Connects in vain; the sentence, and whether it is for good.
fn refused(options: KafkaOptions) -> (String, bool) {
    let started = clock::monotonic();
    let error = KafkaCluster::new(options).unwrap().connect(SOON).unwrap_err();
    let took = started.elapsed();
    eprintln!("after {took:?}: {error}");
    assert!(took < SOON, "{took:?}: {error}");
    (error.to_string(), error.is_permanent())
}

#[test]
fn a_wrong_password_is_named() {
    let address = broker().bootstrap(Listener::Scram);
    let started = clock::monotonic();
    let refusal = refused(to(Listener::Scram, scram("alice", "not-her-secret")));
    let sentence = format!(
        "{address} refuses user \"alice\" by SCRAM-SHA-512 (SASL authentication error: Authentication failed \
         during authentication due to invalid credentials with SASL mechanism SCRAM-SHA-512); check name and \
         password (kafka.security), and that the cluster knows this user for SCRAM-SHA-512"
    );
    assert_eq!(refusal, (sentence, true));
    // Long before the time was up.
    assert!(started.elapsed() < Duration::from_secs(8));
}

#[test]
fn a_mechanism_that_is_not_offered_is_named() {
    let address = broker().bootstrap(Listener::Scram);
    let sasl = Sasl::ScramSha256 { username: "alice".to_owned(), password: PASSWORD.into() };
    let security = Security { sasl: Some(sasl), ..scram("alice", PASSWORD) };
    let sentence = format!(
        "{address} does not offer the mechanism SCRAM-SHA-256, only SCRAM-SHA-512; choose one of these \
         (kafka.security)"
    );
    assert_eq!(refused(to(Listener::Scram, security)), (sentence, true));
}

#[test]
fn a_certificate_that_cannot_be_verified_is_named() {
    let sentence = |listener| {
        format!(
            "the certificate of {} cannot be verified: it is of an unknown authority (check the CA file in \
             kafka.security), does not name this host (connect by a name that stands in it), or has expired",
            broker().bootstrap(listener)
        )
    };
    let unknown = Security { ca_file: Some(broker().certificates().unknown_ca.clone()), ..tls() };
    assert_eq!(refused(to(Listener::Tls, unknown)), (sentence(Listener::Tls), true));
    let none = Security { ca_file: None, ..tls() };
    assert_eq!(refused(to(Listener::Tls, none)), (sentence(Listener::Tls), true));
    let other_host = sentence(Listener::TlsOtherHost);
    assert_eq!(refused(to(Listener::TlsOtherHost, tls())), (other_host, true));
}

#[test]
fn a_client_certificate_that_is_missing_or_foreign_is_named() {
    let address = broker().bootstrap(Listener::Mtls);
    let (sentence, permanent) = refused(to(Listener::Mtls, tls()));
    assert!(permanent, "{sentence}");
    assert!(
        sentence.starts_with(&format!("{address} asks for a client certificate and we have none (")),
        "{sentence}"
    );
    let certificates = broker().certificates();
    let stranger = mtls(certificates.stranger.clone(), certificates.stranger_key.clone());
    let (sentence, permanent) = refused(to(Listener::Mtls, stranger));
    assert!(permanent, "{sentence}");
    assert!(sentence.starts_with(&format!("{address} does not accept our certificate (")), "{sentence}");
}

#[test]
fn a_wrong_protocol_is_guessed() {
    let address = broker().bootstrap(Listener::Plain);
    let sentence = format!(
        "{address} ended the TLS handshake: its port probably does not speak TLS; check the port and \
         kafka.security.protocol (now ssl)"
    );
    assert_eq!(refused(to(Listener::Plain, tls())), (sentence, false));
    for (listener, security) in [(Listener::Tls, Security::default()), (Listener::Scram, tls())] {
        let (sentence, permanent) = refused(to(listener, security));
        assert!(!permanent, "{sentence}");
        assert!(sentence.contains("kafka.security.protocol"), "{sentence}");
    }
}

#[test]
fn a_closed_port_and_an_unknown_name_may_heal() {
    let address = format!("127.0.0.1:{}", closed_port());
    let (sentence, permanent) = refused(options(&address, Security::default()));
    assert!(!permanent, "{sentence}");
    assert!(
        sentence.starts_with(&format!("no connection to {address} ("))
            && sentence.contains("Connection refused"),
        "{sentence}"
    );
    let (sentence, permanent) = refused(options("no-such-host.invalid:9092", Security::default()));
    assert!(!permanent, "{sentence}");
    let start = "the name of the broker no-such-host.invalid:9092 cannot be resolved (";
    assert!(sentence.starts_with(start), "{sentence}");
}

#[test]
fn a_token_that_cannot_be_had_is_named() {
    let missing = PathBuf::from("no/such/token");
    let sentence = "the token file no/such/token cannot be read (No such file or directory (os error 2)); check \
                    the path and whatever writes it";
    let refusal = refused(to(Listener::OAuth, oauth(TokenSource::File(missing))));
    assert_eq!(refusal, (sentence.to_owned(), false));

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token("bob", -60)).unwrap();
    let sentence = format!(
        "the token in {} has expired; check that whatever issues it is at work, and the clocks",
        file.display()
    );
    assert_eq!(refused(to(Listener::OAuth, oauth(TokenSource::File(file)))), (sentence, false));

    let answer = || r#"{"error":"invalid_client","error_description":"bad secret s3cret-value"}"#.to_owned();
    let endpoint = Endpoint::start("401 Unauthorized", answer);
    let sentence = format!(
        "the token endpoint {} gives no token to client \"scores\" (HTTP 401, invalid_client: bad secret \
         [secret]); check id, secret, scope and address",
        endpoint.url
    );
    assert_eq!(refused(to(Listener::OAuth, endpoint.security("s3cret-value"))), (sentence, true));
}

#[test]
fn settings_that_cannot_be_used_are_named_without_a_connection() {
    let nowhere = |security| KafkaCluster::new(options("127.0.0.1:1", security)).unwrap_err().to_string();
    let certificates = broker().certificates();
    let missing = Security { ca_file: Some(PathBuf::from("no/ca.crt")), ..tls() };
    assert_eq!(
        nowhere(missing),
        "kafka.security.ca_file: no/ca.crt: no such file; check that it holds one or more PEM certificates"
    );
    let mixed = mtls(certificates.client.clone(), certificates.stranger_key.clone());
    assert_eq!(
        nowhere(mixed),
        format!(
            "kafka.security.key_file: {}: the key does not belong to the certificate; check that it holds the \
             PEM private key of the certificate, and that its password is right",
            certificates.stranger_key.display()
        )
    );
    let sasl = Sasl::Plain { username: "alice".to_owned(), password: PASSWORD.into() };
    let open = Security { protocol: Protocol::SaslPlaintext, sasl: Some(sasl), ..Security::default() };
    assert_eq!(
        nowhere(open),
        "kafka.security.protocol: PLAIN would send the password unencrypted; choose sasl_ssl, or a SCRAM mechanism"
    );
    let mut options = options("127.0.0.1:1", Security::default());
    options.properties.insert("fetch.wait.max.ms".to_owned(), "soon".to_owned());
    let error = KafkaCluster::new(options.clone()).unwrap_err().to_string();
    assert!(error.starts_with("kafka.properties.fetch.wait.max.ms: "), "{error}");
    options.properties = [("acks".to_owned(), "1".to_owned())].into();
    assert_eq!(
        KafkaCluster::new(options).unwrap_err().to_string(),
        "kafka.properties.acks: not allowed: exactly-once delivery depends on its value"
    );
}
