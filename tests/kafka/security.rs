//! Secured brokers: every way in works, and every way that does not says why, in one sentence and
//! in time, without a secret.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use accountpulse::clock;
use accountpulse::log::kafka::{
    DEFAULT_FETCHED_BYTES, DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, KafkaCluster, KafkaOptions,
    Protocol, Sasl, Security, TokenSource, TopicState,
};
use accountpulse::log::{AppendRecord, RecordBatch, TopicId, TopicPartition};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::support::{Broker, Listener, Options};

#[path = "security/members.rs"]
mod members;
#[path = "security/questions.rs"]
mod questions;
#[path = "security/refusals.rs"]
mod refusals;

/// What the sentence of a failure may take.
const SOON: Duration = Duration::from_secs(15);
const OPEN: &str = "open-scores";
const CLOSED: &str = "closed-scores";
const PASSWORD: &str = "alice-secret";

/// A secured broker on which alice, bob and the client certificate may use `open-*` and nothing else.
fn broker() -> &'static Broker {
    static BROKER: OnceLock<Broker> = OnceLock::new();
    BROKER.get_or_init(|| {
        let broker = Broker::start(Options::secured().acls(&["admin"]));
        broker.create_topic(OPEN, 2, &[("cleanup.policy", "compact")]);
        broker.create_topic(CLOSED, 1, &[]);
        broker.warm_up();
        for user in ["alice", "bob", "client"] {
            for operation in ["read", "write"] {
                broker.allow(user, operation, "topic open-*");
            }
            broker.allow(user, "write", "transactional_id open-*");
            broker.allow(user, "read", "group open-*");
        }
        broker
    })
}

fn options(brokers: &str, security: Security) -> KafkaOptions {
    KafkaOptions {
        brokers: brokers.to_owned(),
        group: "open-group".to_owned(),
        instance: "pod".to_owned(),
        topics: vec![OPEN.to_owned()],
        inputs: vec![TopicId(0)],
        partitions: 2,
        session_timeout: DEFAULT_SESSION_TIMEOUT,
        transaction_timeout: DEFAULT_TRANSACTION_TIMEOUT,
        fetched_bytes: DEFAULT_FETCHED_BYTES,
        security,
        properties: std::collections::BTreeMap::new(),
    }
}

fn to(listener: Listener, security: Security) -> KafkaOptions {
    options(&broker().bootstrap(listener), security)
}

fn tls() -> Security {
    let ca_file = Some(broker().certificates().ca.clone());
    Security { protocol: Protocol::Ssl, ca_file, ..Security::default() }
}

fn scram(username: &str, password: &str) -> Security {
    let sasl = Sasl::ScramSha512 { username: username.to_owned(), password: password.into() };
    Security { protocol: Protocol::SaslSsl, sasl: Some(sasl), ..tls() }
}

fn mtls(certificate: PathBuf, key: PathBuf) -> Security {
    Security { certificate_file: Some(certificate), key_file: Some(key), ..tls() }
}

fn oauth(source: TokenSource) -> Security {
    let sasl = Some(Sasl::OauthBearer(source));
    Security { protocol: Protocol::SaslPlaintext, sasl, ..Security::default() }
}

/// An unsigned token, which the test listener believes.
fn token(subject: &str, lifetime_secs: i64) -> String {
    let now = clock::wall_ms() / 1000;
    let claims = format!(r#"{{"sub":"{subject}","iat":{now},"exp":{}}}"#, now + lifetime_secs);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}

fn at(partition: u32) -> TopicPartition {
    TopicPartition { topic: TopicId(0), partition }
}

fn record(partition: u32, value: &str) -> AppendRecord {
    AppendRecord {
        at: at(partition),
        key: Some(b"acme".to_vec()),
        value: Some(value.as_bytes().to_vec()),
        headers: vec![("kind".to_owned(), b"login".to_vec())],
        timestamp_ms: 1_750_000_000_123,
    }
}

/// Appends one record and reads it; asks all there is to ask.
fn works(cluster: &Arc<KafkaCluster>, partition: u32, value: &str) {
    let info = cluster.connect(SOON).unwrap();
    assert_eq!(info.brokers, 1);
    assert!(info.cluster_id.is_some());
    assert_eq!(cluster.trouble(), None);

    let mut reader = cluster.reader().unwrap();
    let before = reader.watermarks(at(partition)).unwrap();
    let appender = cluster.appender().unwrap();
    appender.append(vec![record(partition, value)], SOON).unwrap();
    // Others write to it as well.
    let mut from = before.end;
    let found = loop {
        let range = reader.read(at(partition), from, 1 << 20, SOON).unwrap();
        let ours = (0..range.batch.len()).find(|i| range.batch.get(*i).value == Some(value.as_bytes()));
        if let Some(index) = ours {
            let headers: Vec<(String, Vec<u8>)> =
                range.batch.headers(index).map(|(name, bytes)| (name.to_owned(), bytes.to_vec())).collect();
            let record = range.batch.get(index);
            break (record.offset, record.key.unwrap().to_vec(), record.timestamp_ms, headers);
        }
        from = range.position;
    };
    assert_eq!(
        (found.1, found.2, found.3),
        (b"acme".to_vec(), 1_750_000_000_123, vec![("kind".to_owned(), b"login".to_vec())])
    );
    let after = reader.watermarks(at(partition)).unwrap();
    assert!(after.end > found.0, "{after:?}");

    assert_eq!(cluster.positions(&[at(0), at(1)], SOON).unwrap(), [None, None]);
    assert_eq!(cluster.members(SOON).unwrap(), []);
    let topics = cluster.describe(SOON).unwrap();
    assert_eq!(topics.len(), 1);
    let TopicState::Found { partitions, replication, .. } = &topics[0].state else { panic!("{topics:?}") };
    assert_eq!((*partitions, *replication), (2, 1));
    assert_eq!(cluster.trouble(), None);
}

#[test]
fn scram_works() {
    works(&KafkaCluster::new(to(Listener::Scram, scram("alice", PASSWORD))).unwrap(), 0, "by scram");
    let sasl = Sasl::ScramSha256 { username: "alice".to_owned(), password: PASSWORD.into() };
    let security = Security { protocol: Protocol::SaslPlaintext, sasl: Some(sasl), ..Security::default() };
    works(&KafkaCluster::new(to(Listener::Password, security)).unwrap(), 0, "by scram-sha-256");
}

#[test]
fn a_client_certificate_works() {
    let certificates = broker().certificates();
    let security = mtls(certificates.client.clone(), certificates.client_key.clone());
    works(&KafkaCluster::new(to(Listener::Mtls, security)).unwrap(), 1, "by certificate");
}

#[test]
fn a_token_from_a_file_works_also_when_it_is_renewed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, token("bob", 4) + "\n").unwrap();
    let cluster = KafkaCluster::new(to(Listener::OAuth, oauth(TokenSource::File(file.clone())))).unwrap();
    works(&cluster, 0, "by the first token");
    // The first token is good for four seconds; the broker ends its connections then.
    std::fs::write(&file, token("bob", 3600)).unwrap();
    let mut reader = cluster.reader().unwrap();
    let end = reader.watermarks(at(0)).unwrap().end;
    drop(reader.read(at(0), end, 1, Duration::from_secs(6)));
    works(&cluster, 0, "by the second token");
}

/// A token endpoint: answers every request, remembers the last one.
struct Endpoint {
    url: String,
    asked: Arc<Mutex<Vec<(String, String)>>>,
}

impl Endpoint {
    fn start(status: &'static str, answer: impl Fn() -> String + Send + 'static) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/token", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let log = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (authorization, form) = read_request(&mut stream.as_ref().unwrap());
                log.lock().unwrap().push((authorization, form));
                let body = answer();
                let head =
                    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close", body.len());
                let _ = write!(stream.unwrap(), "{head}\r\n\r\n{body}");
            }
        });
        Endpoint { url, asked }
    }

    fn security(&self, secret: &str) -> Security {
        oauth(TokenSource::ClientCredentials {
            token_url: self.url.clone(),
            client_id: "scores".to_owned(),
            client_secret: secret.into(),
            scope: Some("kafka write".to_owned()),
        })
    }
}

fn read_request(stream: &mut &TcpStream) -> (String, String) {
    let mut lines = BufReader::new(stream);
    let (mut authorization, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        let Some((name, value)) = line.trim_end().split_once(':') else {
            if line.trim_end().is_empty() {
                break;
            }
            continue;
        };
        match name.to_ascii_lowercase().as_str() {
            "authorization" => authorization = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().unwrap(),
            _ => {}
        }
    }
    let mut form = vec![0; length];
    lines.read_exact(&mut form).unwrap();
    (authorization, String::from_utf8(form).unwrap())
}

#[test]
fn a_token_by_client_credentials_works() {
    let answer = || format!(r#"{{"access_token":"{}","token_type":"Bearer"}}"#, token("bob", 3600));
    let endpoint = Endpoint::start("200 OK", answer);
    let cluster = KafkaCluster::new(to(Listener::OAuth, endpoint.security("s3:cret+&"))).unwrap();
    works(&cluster, 1, "by client credentials");
    let asked = endpoint.asked.lock().unwrap().clone();
    let pair = STANDARD.encode("scores:s3%3Acret%2B%26");
    let expected = (format!("Basic {pair}"), "grant_type=client_credentials&scope=kafka+write".to_owned());
    // One token serves all clients.
    assert_eq!(asked, [expected]);
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `run` logs, down to `level`.
fn logged(level: tracing::Level, run: impl FnOnce()) -> String {
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_max_level(level)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, run);
    String::from_utf8(captured.0.lock().unwrap().clone()).unwrap()
}

#[test]
fn secrets_are_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let bearer = token("bob", 3600);
    std::fs::write(&file, &bearer).unwrap();
    let answer = || format!(r#"{{"access_token":"{}"}}"#, token("bob", 3600));
    let endpoint = Endpoint::start("200 OK", answer);
    let mut ways = vec![
        to(Listener::Scram, scram("alice", PASSWORD)),
        to(Listener::Scram, scram("alice", "hunter2hunter2")),
        to(Listener::OAuth, oauth(TokenSource::File(file))),
        to(Listener::OAuth, endpoint.security("client-s3cret")),
    ];
    let key_password = Some("key-pa55word".into());
    let certificates = broker().certificates();
    ways.push(to(
        Listener::Mtls,
        Security { key_password, ..mtls(certificates.client.clone(), certificates.client_key.clone()) },
    ));
    let mut said = String::new();
    let log = logged(tracing::Level::TRACE, || {
        for mut options in ways {
            options.properties.insert("debug".to_owned(), "all".to_owned());
            let cluster = KafkaCluster::new(options).unwrap();
            said.push_str(&format!("{cluster:?} {:?}", cluster.connect(SOON)));
            let appended = cluster.appender().and_then(|to| to.append(vec![record(0, "quiet")], SOON));
            said.push_str(&format!("{appended:?} {:?}", cluster.trouble()));
        }
    });
    // The library did talk.
    assert!(log.contains("SASL") && log.contains("SCRAM") && log.contains("librdkafka"), "{log}");
    let tail = bearer.split('.').nth(1).unwrap();
    for secret in [PASSWORD, "hunter2hunter2", "client-s3cret", "key-pa55word", &bearer, tail] {
        assert!(!said.contains(secret), "{secret} in {said}");
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[test]
fn a_lasting_outage_is_no_storm_in_the_log() {
    let address = format!("127.0.0.1:{}", closed_port());
    let log = logged(tracing::Level::INFO, || {
        let cluster = KafkaCluster::new(options(&address, Security::default())).unwrap();
        let appender = cluster.appender().unwrap();
        for _ in 0..3 {
            let error = appender.append(vec![record(0, "lost")], Duration::from_secs(2)).unwrap_err();
            assert!(error.to_string().contains("Connection refused"), "{error}");
        }
        let trouble = cluster.trouble().unwrap();
        assert!(!trouble.permanent && trouble.sentence.contains("Connection refused"), "{trouble:?}");
        assert_eq!(cluster.connect(SOON).unwrap_err().to_string(), trouble.sentence);
    });
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines[0].contains("no connection to"), "{log}");
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
