//! Secured brokers: every way in works, and every way that does not says why, in one sentence and
//! in time, without a secret.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use accountpulse::clock;
use accountpulse::log::kafka::{
    DEFAULT_SESSION_TIMEOUT, DEFAULT_TRANSACTION_TIMEOUT, KafkaAppend, KafkaCluster, KafkaError,
    KafkaOptions, Made, NewTopic, Protocol, Sasl, Security, TokenSource, TopicState,
};
use accountpulse::log::{RecordBatch, TopicId, TopicPartition, Watermarks};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rdkafka::mocking::MockCluster;
use rdkafka::types::RDKafkaApiKey;

use crate::support::{Broker, Listener, Options};

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

fn record(partition: u32, value: &str) -> KafkaAppend {
    KafkaAppend {
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

/// Connects in vain; the sentence, and whether it is for good.
fn refused(options: KafkaOptions) -> (String, bool) {
    let started = clock::monotonic();
    let error = KafkaCluster::new(options).unwrap().connect(SOON).unwrap_err();
    let took = started.elapsed();
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

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
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
fn what_is_not_granted_is_named() {
    let mut options = to(Listener::Scram, scram("alice", PASSWORD));
    options.topics = vec![OPEN.to_owned(), CLOSED.to_owned(), "open-missing".to_owned()];
    options.group = "closed-group".to_owned();
    let cluster = KafkaCluster::new(options).unwrap();
    let no_topic = "user \"alice\" has no access to the topic closed-scores, or it does not exist; grant READ, \
                    WRITE and DESCRIBE on it, or create it";
    let no_group = "user \"alice\" has no access to the consumer group closed-group; grant READ on it";

    let topics = cluster.describe(SOON).unwrap();
    assert!(matches!(topics[0].state, TopicState::Found { partitions: 2, .. }), "{topics:?}");
    assert_eq!(topics[1].state, TopicState::Denied(no_topic.to_owned()));
    assert_eq!(topics[2].state, TopicState::Missing);

    let denied = |sentence: &str| KafkaError::Denied { sentence: sentence.to_owned() };
    let closed = TopicPartition { topic: TopicId(1), partition: 0 };
    let appended = KafkaAppend { at: closed, ..record(0, "in vain") };
    let both = vec![record(0, "beside it"), appended];
    assert_eq!(cluster.appender().unwrap().append(both, SOON), Err(denied(no_topic)));
    let mut reader = cluster.reader().unwrap();
    let read = reader.read(closed, 0, 1, SOON).map(|range| range.position);
    assert_eq!(read, Err(denied(no_topic)));
    assert_eq!(reader.watermarks(closed), Err(denied(no_topic)));
    assert_eq!(cluster.positions(&[at(0)], SOON), Err(denied(no_group)));
    assert_eq!(cluster.members(SOON), Ok(vec![]));

    let wanted =
        [NewTopic { name: "closed-new".to_owned(), partitions: 1, replication: 1, settings: vec![] }];
    let sentence = "user \"alice\" may not make the topic closed-new; grant CREATE on it, or let an administrator \
                    make it";
    let made = cluster.create(&wanted, true, SOON).unwrap();
    assert_eq!(made, [("closed-new".to_owned(), Err(sentence.to_owned()))]);
}

#[test]
fn topics_are_made_and_described() {
    let cluster = KafkaCluster::new(to(Listener::Scram, scram("admin", "admin-secret"))).unwrap();
    let topic = |name: &str, replication, policy: &str| NewTopic {
        name: name.to_owned(),
        partitions: 3,
        replication,
        settings: vec![("cleanup.policy", policy.to_owned())],
    };
    let name = "open-made";
    let asked = cluster.create(&[topic(name, 1, "compact")], true, SOON).unwrap();
    assert_eq!(asked, [(name.to_owned(), Ok(Made::Created))]);
    let made = cluster.create(&[topic(name, 1, "compact"), topic(OPEN, 1, "delete")], false, SOON).unwrap();
    assert_eq!(made, [(name.to_owned(), Ok(Made::Created)), (OPEN.to_owned(), Ok(Made::Existed))]);

    let mut options = to(Listener::Scram, scram("admin", "admin-secret"));
    options.topics = vec![name.to_owned()];
    let found = KafkaCluster::new(options).unwrap().describe(SOON).unwrap();
    let TopicState::Found { partitions: 3, replication: 1, settings } = &found[0].state else {
        panic!("{found:?}")
    };
    assert_eq!(settings["cleanup.policy"], "compact");

    let wrong = [topic("open-copies", 3, "delete"), topic("open-policy", 1, "shred")];
    let sentences = [
        "the topic open-copies wants 3 copies, which the cluster does not have brokers for; lower it",
        "the cluster refuses a setting of the topic open-policy (cleanup.policy=shred); check its version and \
         policies",
    ];
    let names = ["open-copies", "open-policy"];
    let expected: Vec<_> =
        names.iter().zip(sentences).map(|(name, why)| ((*name).to_owned(), Err(why.to_owned()))).collect();
    assert_eq!(cluster.create(&wrong, true, SOON).unwrap(), expected);
}

#[test]
fn bounds_and_places_beyond_them() {
    let cluster = KafkaCluster::new(to(Listener::Scram, scram("admin", "admin-secret"))).unwrap();
    let mut options = cluster.options().clone();
    options.topics = vec!["open-bounds".to_owned()];
    broker().create_topic("open-bounds", 1, &[]);
    let cluster = KafkaCluster::new(options).unwrap();
    let records = (0..500).map(|n| record(0, &format!("value {n}"))).collect();
    cluster.appender().unwrap().append(records, SOON).unwrap();
    let mut reader = cluster.reader().unwrap();
    assert_eq!(reader.watermarks(at(0)), Ok(Watermarks { start: 0, end: 500 }));
    let mut position = 490;
    while position < 500 {
        position = reader.read(at(0), position, 1, SOON).unwrap().position;
    }
    let beyond = reader.read(at(0), 600, 1, SOON).map(|range| range.position);
    let expected = KafkaError::OutOfRange { topic: "open-bounds".to_owned(), partition: 0, offset: 600 };
    assert_eq!(beyond, Err(expected));
    // And goes on after it.
    assert_eq!(reader.read(at(0), 499, 1 << 20, SOON).unwrap().position, 500);
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

#[test]
fn an_answer_heals() {
    let mut broker = Broker::start(Options::plain());
    broker.create_topic(OPEN, 2, &[]);
    let cluster =
        KafkaCluster::new(options(&broker.bootstrap(Listener::Plain), Security::default())).unwrap();
    works(&cluster, 0, "before");
    let appender = cluster.appender().unwrap();
    let mut reader = cluster.reader().unwrap();
    appender.append(vec![record(0, "known")], SOON).unwrap();
    let end = reader.watermarks(at(0)).unwrap().end;
    broker.kill9();
    let error = appender.append(vec![record(0, "late")], Duration::from_secs(5)).unwrap_err();
    assert!(matches!(error, KafkaError::Connect { permanent: false, .. }), "{error:?}");
    assert!(cluster.trouble().is_some());
    broker.restart();
    appender.append(vec![record(0, "again")], SOON).unwrap();
    assert!(reader.read(at(0), end, 1, SOON).unwrap().position > end);
    assert_eq!(cluster.trouble(), None);
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

/// As far as a broker's age shows: without the request that hands out producer ids.
#[test]
fn a_broker_without_idempotent_producers_is_named() {
    let old = MockCluster::new(1).unwrap();
    old.create_topic(OPEN, 2, 1).unwrap();
    old.apiversion(RDKafkaApiKey::InitProducerId, None, None).unwrap();
    let cluster = KafkaCluster::new(options(&old.bootstrap_servers(), Security::default())).unwrap();
    cluster.connect(SOON).unwrap();
    let started: Instant = clock::monotonic();
    let error = cluster.appender().unwrap().append(vec![record(0, "x")], SOON).unwrap_err();
    eprintln!("{:?}: {error:?} {:?}", started.elapsed(), cluster.trouble());
    assert!(error.is_permanent(), "{error:?}");
    assert!(error.to_string().starts_with("the brokers are too old ("), "{error}");
}
