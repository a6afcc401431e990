//! A real Apache Kafka for tests: one node, started from the jars that
//! `scripts/setup-test-tools.sh` fetches, in a folder and on ports of its own. Include it with
//!
//! ```text
//! #[path = "support/kafka/mod.rs"]
//! mod kafka;
//! ```
//!
//! [`shared`] is the one broker of a test binary; a test that stops, kills or freezes a broker
//! starts its own ([`Broker::start`]). Nothing here sleeps: a start ends with the broker's own
//! word and an answer. A broker ends with its owner, by pid; should the test process die first, a
//! small shell that waits for the end of a pipe kills it (`guard`).
//!
//! To add a listener: a variant of [`Listener`] and its lines in `settings.rs`.

#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on fails here")]

pub mod certificates;
mod controller;
mod java;
pub mod ports;
pub mod proxy;
pub mod python;
mod settings;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};

pub use certificates::Certificates;
use controller::Controller;
use java::{Log, Running, excerpt, java, launch};
use ports::Port;

/// What a broker says when one of its ports is taken.
const PORT_TAKEN: &str = "Address already in use";
/// Starts with new ports before a test gives up.
const STARTS: usize = 5;
/// The broker's settings, in its folder.
const SETTINGS: &str = "server.properties";
/// Requests of 300 ms before a broker that said it runs is given up.
const ANSWERS: usize = 100;

/// A way into a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listener {
    /// No encryption, no authentication; the user is `ANONYMOUS`.
    Plain,
    /// TLS without a client certificate; the user is `ANONYMOUS`.
    Tls,
    /// TLS with a server certificate made for another host name.
    TlsOtherHost,
    /// SASL_SSL with SCRAM-SHA-512.
    Scram,
    /// SASL_PLAINTEXT with PLAIN and SCRAM-SHA-256.
    Password,
    /// TLS that asks for a client certificate; the user is the certificate's common name.
    Mtls,
    /// SASL_PLAINTEXT with OAUTHBEARER; believes unsigned tokens, the user is their `sub`.
    OAuth,
    /// As `Plain`, and the broker says that it is found where [`Options::behind`] says.
    Proxied,
}

impl Listener {
    const PLAIN: [Listener; 1] = [Listener::Plain];
    const ALL: [Listener; 7] = [
        Listener::Plain,
        Listener::Tls,
        Listener::TlsOtherHost,
        Listener::Scram,
        Listener::Password,
        Listener::Mtls,
        Listener::OAuth,
    ];
}

/// The users of a secured broker, each with its password, on every listener that asks for one.
pub const USERS: [(&str, &str); 3] =
    [("admin", "admin-secret"), ("alice", "alice-secret"), ("bob", "bob-secret")];

/// What a broker shall be.
#[derive(Clone, Debug, Default)]
pub struct Options {
    secured: bool,
    own_controller: bool,
    super_users: Option<Vec<String>>,
    settings: Vec<(String, String)>,
    proxy: Option<u16>,
}

impl Options {
    /// [`Listener::Plain`] only.
    pub fn plain() -> Options {
        Options::default()
    }

    /// Every [`Listener`], with certificates and [`USERS`].
    pub fn secured() -> Options {
        Options { secured: true, ..Options::default() }
    }

    /// The controller is a process of its own, which lives on when the broker is killed: for tests
    /// that kill a broker while transactions are under way (`controller.rs` says why).
    pub fn own_controller(mut self) -> Options {
        self.own_controller = true;
        self
    }

    /// Refuses what no [`Broker::allow`] allowed, except to these users and to `ANONYMOUS` (who is
    /// also the broker itself).
    pub fn acls(mut self, super_users: &[&str]) -> Options {
        self.super_users = Some(super_users.iter().map(|user| (*user).to_owned()).collect());
        self
    }

    /// With [`Listener::Proxied`]: clients that came that way find the broker at this port.
    pub fn behind(mut self, proxy: u16) -> Options {
        self.proxy = Some(proxy);
        self
    }

    /// A line of `server.properties`; the last one for a key counts.
    pub fn with(mut self, key: &str, value: &str) -> Options {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// A broker; killed when dropped.
pub struct Broker {
    options: Options,
    listeners: Vec<(Listener, Port)>,
    controller: Port,
    certificates: Option<Certificates>,
    log: Log,
    running: Option<Running>,
    apart: Option<Controller>,
    folder: tempfile::TempDir,
}

/// The one broker of this test binary, plain, warmed up; ends with the process.
pub fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(|| {
        let broker = Broker::start(Options::plain());
        broker.warm_up();
        broker
    })
}

impl Broker {
    /// Starts a broker and waits until it answers.
    pub fn start(options: Options) -> Broker {
        for _ in 0..STARTS {
            let mut broker = Broker::prepare(options.clone());
            match broker.run() {
                Ok(()) => return broker,
                // Another program was faster.
                Err(log) if log.contains(PORT_TAKEN) => {}
                Err(log) => panic!("the broker did not start:\n{log}"),
            }
        }
        panic!("the ports of {STARTS} brokers were taken, one after the other");
    }

    /// Folder, ports, certificates, settings, formatted storage.
    fn prepare(options: Options) -> Broker {
        let folder = tempfile::Builder::new().prefix("accountpulse-kafka-").tempdir().unwrap();
        let wanted = if options.secured { Listener::ALL.as_slice() } else { &Listener::PLAIN };
        let proxied = options.proxy.map(|_| Listener::Proxied);
        let wanted = wanted.iter().copied().chain(proxied);
        let listeners = wanted.map(|listener| (listener, Port::take())).collect();
        let certificates = options.secured.then(|| Certificates::make(&folder.path().join("tls")));
        let broker = Broker {
            options,
            listeners,
            controller: Port::take(),
            certificates,
            log: Arc::default(),
            running: None,
            apart: None,
            folder,
        };
        std::fs::write(broker.settings_file(), settings::server_properties(&broker)).unwrap();
        broker.format(&broker.settings_file());
        if broker.options.own_controller {
            Controller::prepare(&broker, broker.folder.path());
            broker.format(&broker.folder.path().join(controller::SETTINGS));
        }
        broker
    }

    fn format(&self, settings: &Path) {
        // 22 characters of base64 that differ from broker to broker.
        let cluster_id = format!("AccountpulseTest{:05}A", self.controller.number);
        let mut format =
            java(&["kafka.tools.StorageTool", "format", "-t", &cluster_id, "-c"], "log4j2.properties");
        format.arg(settings);
        for (user, password) in USERS.iter().filter(|_| self.options.secured) {
            for mechanism in ["SCRAM-SHA-512", "SCRAM-SHA-256"] {
                format.arg("--add-scram").arg(format!("{mechanism}=[name={user},password={password}]"));
            }
        }
        let output = format.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "the broker's storage was not made: {said}");
    }

    /// Starts the process; the log when it ended instead of starting.
    fn run(&mut self) -> Result<(), String> {
        assert!(self.running.is_none(), "the broker runs already");
        self.log.lock().unwrap().clear();
        if self.options.own_controller && self.apart.is_none() {
            self.apart = Some(Controller::start(self.folder.path())?);
        }
        self.running = Some(launch(self.folder.path(), SETTINGS, "log4j2.properties", &self.log)?);
        self.answers();
        Ok(())
    }

    /// Waits for an answer.
    fn answers(&self) {
        let client: BaseConsumer = self.config().create().unwrap();
        let answered = |_| {
            let metadata = client.fetch_metadata(None, Duration::from_millis(300));
            metadata.is_ok_and(|metadata| !metadata.brokers().is_empty())
        };
        assert!((0..ANSWERS).any(answered), "the broker does not answer:\n{}", self.log_excerpt());
    }

    /// Makes the topics that Kafka makes on the first transaction and the first group, so that no
    /// test meets their first seconds.
    pub fn warm_up(&self) {
        self.create_topic("warm-up", 1, &[]);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut config = self.config();
                let producer: BaseProducer = config.set("transactional.id", "warm-up").create().unwrap();
                producer.init_transactions(Duration::from_secs(60)).unwrap();
            });
            scope.spawn(|| {
                let consumer: BaseConsumer = self.config().set("group.id", "warm-up").create().unwrap();
                consumer.subscribe(&["warm-up"]).unwrap();
                let joined = |_| {
                    let _ = consumer.poll(Duration::from_millis(100));
                    consumer.assignment().is_ok_and(|assigned| assigned.count() > 0)
                };
                assert!((0..600).any(joined), "no group can be joined:\n{}", self.log_excerpt());
            });
        });
    }

    /// `host:port` of a listener. It stays the same through kills and restarts.
    pub fn bootstrap(&self, listener: Listener) -> String {
        format!("127.0.0.1:{}", self.port(listener))
    }

    /// The port of a listener.
    pub fn port(&self, listener: Listener) -> u16 {
        let found = self.listeners.iter().find(|(name, _)| *name == listener);
        found.unwrap_or_else(|| panic!("this broker has no {listener:?}: start it secured")).1.number
    }

    /// rdkafka settings for [`Listener::Plain`].
    pub fn config(&self) -> ClientConfig {
        self.config_for(Listener::Plain)
    }

    /// rdkafka settings that let `alice` (with [`Listener::Mtls`]: `client`) in.
    pub fn config_for(&self, listener: Listener) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.bootstrap(listener));
        // The default of 10 s would show in every test that restarts a broker.
        config.set("reconnect.backoff.max.ms", "500");
        for (key, value) in settings::client_properties(self, listener) {
            config.set(key, value);
        }
        config
    }

    /// The certificates of a secured broker.
    pub fn certificates(&self) -> &Certificates {
        self.certificates.as_ref().expect("only a secured broker has certificates")
    }

    /// Makes a topic; one replica.
    pub fn create_topic(&self, name: &str, partitions: u32, settings: &[(&str, &str)]) {
        let admin: AdminClient<DefaultClientContext> = self.config().create().unwrap();
        let mut topic = NewTopic::new(name, partitions as i32, TopicReplication::Fixed(1));
        for (key, value) in settings {
            topic = topic.set(key, value);
        }
        let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(30)));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let made = runtime.block_on(admin.create_topics([&topic], &options)).unwrap();
        assert_eq!(made, [Ok(name.to_owned())]);
    }

    /// Lets `user` do `operation` (`read`, `write`, `describe`, `create`, …) on a resource:
    /// `topic NAME`, `group NAME`, `transactional_id NAME` or `cluster`. A name that ends with `*`
    /// is a prefix.
    pub fn allow(&self, user: &str, operation: &str, resource: &str) {
        self.admin(&["allow", user, operation, resource]);
    }

    /// Takes back what [`Broker::allow`] with the same arguments gave.
    pub fn disallow(&self, user: &str, operation: &str, resource: &str) {
        self.admin(&["disallow", user, operation, resource]);
    }

    /// Makes a SCRAM user (both mechanisms), or gives it a new password.
    pub fn add_user(&self, user: &str, password: &str) {
        self.admin(&["add-user", user, password]);
    }

    /// Removes a SCRAM user.
    pub fn remove_user(&self, user: &str) {
        self.admin(&["remove-user", user]);
    }

    fn admin(&self, args: &[&str]) {
        let bootstrap = self.bootstrap(Listener::Plain);
        python::run("admin.py", &[&["--bootstrap", &bootstrap], args].concat());
    }

    /// Kills the broker at once; what clients were told is durable stays. With a controller of its
    /// own, waits until that one has noticed.
    pub fn kill9(&mut self) {
        if let Some(mut running) = self.running.take() {
            match &self.apart {
                Some(controller) => controller.outlive(|| running.kill9()),
                None => running.kill9(),
            }
        }
    }

    /// Stops the broker as an operator does, and waits for its end.
    pub fn stop(&mut self) {
        if let Some(Running { mut java, mut guard }) = self.running.take() {
            signal("-TERM", java.id());
            java.wait().unwrap();
            guard.kill().unwrap();
            guard.wait().unwrap();
        }
    }

    /// Starts it again after [`Broker::kill9`] or [`Broker::stop`], on the same ports and data.
    pub fn restart(&mut self) {
        if let Err(log) = self.run() {
            panic!("the broker did not start again:\n{log}");
        }
    }

    /// Stops the process from running, with its connections open, until [`Broker::thaw`].
    pub fn freeze(&self) {
        signal("-STOP", self.pid());
    }

    /// Lets it run on.
    pub fn thaw(&self) {
        signal("-CONT", self.pid());
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.running.as_ref().expect("the broker does not run").java.id()
    }

    /// The end of what the broker said since its last start.
    pub fn log_excerpt(&self) -> String {
        excerpt(self.folder.path(), SETTINGS, &self.log)
    }

    fn settings_file(&self) -> PathBuf {
        self.folder.path().join(SETTINGS)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the broker's last words:\n{}", self.log_excerpt());
        }
        // Nobody is left to notice.
        drop(self.apart.take());
        self.kill9();
    }
}

/// What one of our scripts answers; a test without its tools fails with the script's sentence.
fn script(name: &str, argument: &str) -> String {
    let output = Command::new(root().join("scripts").join(name)).arg(argument).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}scripts/setup-test-tools.sh gets everything that tests need");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn signal(name: &str, pid: u32) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().unwrap();
    assert!(sent.success());
}
