//! The cluster as a process knows it: who we are there, how clients are made, why they have no
//! connection, and whether a call hangs.
//!
//! To make a client: its settings are in `settings.rs`, its context is or holds a [`Base`]; poll it
//! once before its first blocking call (see `context.rs`), and hold a [`Guard`] around every
//! blocking one. Its end is watched by itself (`closing.rs`).

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{ClientConfig, ClientContext};

use crate::clock;

use super::closing::Closing;
use super::context::{Base, Book, Trouble};
use super::error::KafkaError;
use super::options::{KafkaOptions, Sasl, refused_property};
use super::probe::Prober;
use super::reasons::{Class, Facts, access, denied, explain, silent};
use super::security::{self, Scrub};
use super::settings;
use super::token::Tokens;
use super::watchdog::{Guard, OnStuck, Watchdog};

/// First and longest slice of a wait for an answer: between slices the callbacks are served, which
/// alone know why there is none. They grow, so that a slow network gets its answer through.
const FIRST_SLICE: Duration = Duration::from_millis(250);
const LONGEST_SLICE: Duration = Duration::from_secs(2);
/// How long a reason that may pass is given to pass: a name can stand for several addresses, of
/// which the library tries one after the other.
const MAY_PASS: Duration = Duration::from_secs(2);
/// The same where no reason is known.
const MAY_SPEAK: Duration = Duration::from_secs(6);

/// What a member that stays away adds to its session, so that the group has noticed.
const AWAY_MARGIN: Duration = Duration::from_secs(3);

/// A client that only asks.
pub(super) type Probe = Closing<BaseConsumer<Base>>;

/// A client whose callbacks can be served.
pub(super) trait Served {
    /// Its part of the book.
    fn base(&self) -> &Base;
    /// Runs the callbacks that wait, and those that come within this time.
    fn serve(&self, wait: Duration);
}

impl<T: Served> Served for Closing<T> {
    fn base(&self) -> &Base {
        (**self).base()
    }

    fn serve(&self, wait: Duration) {
        (**self).serve(wait);
    }
}

impl Served for BaseConsumer<Base> {
    fn base(&self) -> &Base {
        self.context()
    }

    fn serve(&self, wait: Duration) {
        drop(self.poll(wait));
        self.base().serve(|| while self.poll(Duration::ZERO).is_some() {});
    }
}

impl Served for BaseProducer<Base> {
    fn base(&self) -> &Base {
        self.context()
    }

    fn serve(&self, wait: Duration) {
        self.poll(wait);
        self.base().serve(|| self.poll(Duration::ZERO));
    }
}

/// What a first answer says about the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterInfo {
    /// How many brokers.
    pub brokers: usize,
    /// The cluster's own name.
    pub cluster_id: Option<String>,
}

/// The cluster, shared by all clients of a process.
pub struct KafkaCluster {
    options: KafkaOptions,
    book: Arc<Book>,
    tokens: Option<Arc<Tokens>>,
    watchdog: Arc<Watchdog>,
    /// The client that has had an answer, for further questions.
    probe: Mutex<Option<Arc<Probe>>>,
    /// What asks for the ends of partitions, while there is a member that wants to know.
    prober: Mutex<Weak<Prober>>,
    /// Members that were given what a former configuration asked for, and until when each stays away.
    former: Mutex<BTreeMap<String, Option<Instant>>>,
}

impl std::fmt::Debug for KafkaCluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaCluster").field("options", &self.options).finish_non_exhaustive()
    }
}

impl Drop for KafkaCluster {
    fn drop(&mut self) {
        self.watchdog.close();
    }
}

impl KafkaCluster {
    /// Checks all that can be checked without a connection.
    pub fn new(options: KafkaOptions) -> Result<Arc<KafkaCluster>, KafkaError> {
        for key in options.properties.keys() {
            if let Some(why) = refused_property(key) {
                let setting = format!("kafka.properties.{key}");
                return Err(KafkaError::Setting { setting, detail: format!("not allowed: {why}") });
            }
        }
        security::check(&options.security)?;
        let scrub = Scrub::new(&options.security);
        let tokens = match &options.security.sasl {
            Some(Sasl::OauthBearer(source)) => Some(Arc::new(Tokens::new(source.clone(), scrub.clone()))),
            _ => None,
        };
        let cluster = KafkaCluster {
            book: Arc::new(Book::new(Facts::new(&options), scrub)),
            tokens,
            watchdog: Arc::default(),
            probe: Mutex::default(),
            prober: Mutex::default(),
            former: Mutex::default(),
            options,
        };
        cluster.try_settings()?;
        Ok(Arc::new(cluster))
    }

    /// A member was given partitions that a former configuration asked for; whether to stay away until
    /// its session has ended. Once only: what is given afterwards is how it is.
    pub(super) fn leave_former(&self, member: &str) -> bool {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !former.contains_key(member);
        if is_first {
            former.insert(member.to_owned(), None);
        }
        is_first
    }

    /// Whether that member still has to stay away.
    pub(super) fn stays_away(&self, member: &str) -> bool {
        let mut former = self.former.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(until) = former.get_mut(member) else { return false };
        // Counted from the first question of the successor: its predecessor is silent by then.
        let away = self.options.session_timeout + AWAY_MARGIN;
        clock::monotonic() < *until.get_or_insert_with(|| clock::monotonic() + away)
    }

    /// What the cluster is and who we are.
    pub fn options(&self) -> &KafkaOptions {
        &self.options
    }

    /// Waits for a first answer. Comes back early with a reason that waiting does not heal.
    pub fn connect(&self, timeout: Duration) -> Result<ClusterInfo, KafkaError> {
        let probe = self.new_probe()?;
        let topic = self.options.topics.first().map(String::as_str);
        let brokers = self.ask("the list of brokers", "", &*probe, timeout, |slice| {
            let metadata = probe.client().fetch_metadata(topic, slice)?;
            Ok(metadata.brokers().len())
        })?;
        let cluster_id = {
            let _watched = self.guard("the cluster's own name");
            probe.client().fetch_cluster_id(timeout.min(LONGEST_SLICE))
        };
        self.keep_probe(Some(probe));
        Ok(ClusterInfo { brokers, cluster_id })
    }

    /// The newest reason why some client has no connection.
    pub fn trouble(&self) -> Option<Trouble> {
        self.book.trouble()
    }

    /// Watches every blocking call from now on; `on_stuck` gets one sentence about one that does
    /// not return.
    pub fn watch(&self, on_stuck: Box<dyn Fn(&str) + Send + Sync>) {
        let on_stuck: OnStuck = on_stuck;
        if let Err(error) = self.watchdog.watch(on_stuck) {
            tracing::error!("no thread for the watchdog ({error}); a call that hangs will not be noticed");
        }
    }

    /// Watches one call until the guard is dropped.
    pub(super) fn guard(&self, what: &str) -> Guard {
        self.watchdog.guard(what)
    }

    /// The common part of a new client's context; `name` appears in log lines.
    pub(super) fn base(&self, name: &str) -> Base {
        Base::new(Arc::clone(&self.book), self.tokens.clone(), name)
    }

    /// Makes a client, whose end is watched; what is wrong with its settings is said in a sentence.
    pub(super) fn make<C, T>(&self, config: &ClientConfig, context: C) -> Result<Closing<T>, KafkaError>
    where
        C: ClientContext,
        T: FromClientConfigAndContext<C>,
    {
        let client = config.create_with_context(context).map_err(|error| self.creation(&error))?;
        Ok(Closing::new(client, &self.watchdog))
    }

    /// A client that only asks, once it has had an answer.
    pub(super) fn probe(&self, timeout: Duration) -> Result<Arc<Probe>, KafkaError> {
        let kept = || self.probe.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(probe) = kept() {
            return Ok(probe);
        }
        self.connect(timeout)?;
        kept().map_or_else(|| self.new_probe(), Ok)
    }

    /// What asks for the ends of partitions, shared by the members of the process.
    pub(super) fn prober(self: &Arc<Self>) -> Result<Arc<Prober>, KafkaError> {
        let mut kept = self.prober.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(prober) = kept.upgrade().filter(|prober| !prober.is_gone()) {
            return Ok(prober);
        }
        let prober = Arc::new(Prober::start(self)?);
        *kept = Arc::downgrade(&prober);
        Ok(prober)
    }

    #[cfg(test)]
    pub(super) fn keep_prober(&self, prober: &Arc<Prober>) {
        *self.prober.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(prober);
    }

    fn new_probe(&self) -> Result<Arc<Probe>, KafkaError> {
        Ok(Arc::new(self.make(&settings::probe(&self.options), self.base("probe").quiet())?))
    }

    fn keep_probe(&self, probe: Option<Arc<Probe>>) {
        *self.probe.lock().unwrap_or_else(PoisonError::into_inner) = probe;
    }

    /// Asks until there is an answer, the time is up, or it is known why there will be none.
    /// `once` makes one attempt of at most the time it is given; `name` is what access to may be refused.
    pub(super) fn ask<A>(
        &self,
        what: &str,
        name: &str,
        client: &impl Served,
        timeout: Duration,
        mut once: impl FnMut(Duration) -> Result<A, LibraryError>,
    ) -> Result<A, KafkaError> {
        let _watched = self.guard(what);
        let deadline = clock::monotonic() + timeout;
        let mut slice = FIRST_SLICE;
        let mut patience = Patience::default();
        loop {
            client.serve(Duration::ZERO);
            let started = clock::monotonic();
            let error = match once(slice.min(deadline.saturating_duration_since(started))) {
                Ok(answer) => {
                    client.base().heard();
                    return Ok(answer);
                }
                Err(error) => error,
            };
            client.serve(Duration::ZERO);
            let now = clock::monotonic();
            if !is_transport(&error) {
                // What a broker said while it started is kept by the client, not by a new one.
                self.keep_probe(None);
                return Err(self.failed(what, &error, name));
            }
            if now >= deadline || patience.is_over(client.base(), now) {
                self.keep_probe(None);
                return Err(self.unreachable(client.base()));
            }
            // An attempt that fails at once is not repeated at once.
            client.serve(slice.saturating_sub(now.saturating_duration_since(started)));
            slice = (slice * 2).min(LONGEST_SLICE);
        }
    }

    /// Why this client has no connection.
    pub(super) fn unreachable(&self, base: &Base) -> KafkaError {
        let (sentence, permanent) = match base.trouble() {
            Some(trouble) => (trouble.sentence, trouble.permanent),
            None => (silent(self.book.facts()).sentence, false),
        };
        if base.class() == Some(Class::Access) {
            return KafkaError::Denied { sentence };
        }
        KafkaError::Connect { sentence, permanent }
    }

    /// A call that was answered with an error; `name` is what it was about.
    pub(super) fn failed(&self, what: &str, error: &LibraryError, name: &str) -> KafkaError {
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::UnsupportedFeature)
            && let Some(reason) = explain(RDKafkaErrorCode::UnsupportedFeature, what, self.book.facts())
        {
            return KafkaError::Connect { permanent: reason.permanent(), sentence: reason.sentence };
        }
        let access = code.and_then(|code| denied(code, name, self.book.facts()));
        access.unwrap_or_else(|| KafkaError::Call {
            what: what.to_owned(),
            detail: self.book.scrub(&code.map_or_else(|| error.to_string(), |code| code.to_string())),
        })
    }

    /// The sentence of a code that is about access.
    pub(super) fn access(&self, code: RDKafkaErrorCode, name: &str) -> Option<String> {
        access(code, name, self.book.facts())
    }

    /// Who we are to the cluster.
    pub(super) fn who(&self) -> String {
        self.book.facts().who()
    }

    /// A text of the library without our secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.book.scrub(text)
    }

    /// Makes the two kinds of clients that a worker needs, without an address to connect to.
    fn try_settings(&self) -> Result<(), KafkaError> {
        let mut member = settings::member(&self.options, 0);
        let mut producer = settings::transactional(&self.options, 0);
        member.remove("bootstrap.servers");
        producer.remove("bootstrap.servers");
        self.make::<_, BaseConsumer<Base>>(&member, self.base("check"))?;
        self.make::<_, BaseProducer<Base>>(&producer, self.base("check"))?;
        Ok(())
    }

    fn creation(&self, error: &LibraryError) -> KafkaError {
        let (setting, detail) = match error {
            // The value stays out: it may be a secret.
            LibraryError::ClientConfig(_, detail, key, _) => {
                let ours = !self.options.properties.contains_key(key);
                (if ours { key.clone() } else { format!("kafka.properties.{key}") }, detail.clone())
            }
            LibraryError::ClientCreation(text) => self.files(text),
            other => ("kafka".to_owned(), other.to_string()),
        };
        KafkaError::Setting { setting, detail: self.book.scrub(&detail) }
    }

    /// Which file the library could not use.
    fn files(&self, text: &str) -> (String, String) {
        let security = &self.options.security;
        let cases = [
            ("ssl.ca.location", "ca_file", &security.ca_file, "one or more PEM certificates"),
            ("ssl.certificate.location", "certificate_file", &security.certificate_file, "a PEM certificate"),
            (
                "ssl.key.location",
                "key_file",
                &security.key_file,
                "the PEM private key of the certificate, and that its password is right",
            ),
        ];
        for (key, setting, file, expected) in cases {
            if let (true, Some(file)) = (text.contains(key), file) {
                let mismatch = text.contains("mismatch");
                let what = if !file.is_file() {
                    "no such file".to_owned()
                } else if mismatch {
                    "the key does not belong to the certificate".to_owned()
                } else {
                    format!("cannot be used ({})", text.trim())
                };
                let detail = format!("{}: {what}; check that it holds {expected}", file.display());
                return (format!("kafka.security.{setting}"), detail);
            }
        }
        ("kafka".to_owned(), text.trim().to_owned())
    }
}

/// Runs the callbacks that wait.
pub(super) fn serve(probe: &Probe) {
    probe.serve(Duration::ZERO);
}

/// Whether an error only says that no answer came.
pub(super) fn is_transport(error: &LibraryError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::OperationTimedOut
                | RDKafkaErrorCode::RequestTimedOut
                | RDKafkaErrorCode::TimedOutQueue
                | RDKafkaErrorCode::LeaderNotAvailable
                | RDKafkaErrorCode::CoordinatorLoadInProgress
                | RDKafkaErrorCode::CoordinatorNotAvailable
                | RDKafkaErrorCode::NotCoordinator
                | RDKafkaErrorCode::ConcurrentTransactions
        )
    )
}

/// How long a reason has been known.
#[derive(Default)]
pub(super) struct Patience {
    since: Option<(Option<Class>, Instant)>,
}

impl Patience {
    /// Whether more waiting would bring nothing.
    pub(super) fn is_over(&mut self, base: &Base, now: Instant) -> bool {
        let class = base.class();
        if class.is_none() && !base.all_down() {
            return false;
        }
        // With several brokers, one that refuses us does not speak for the others at once.
        let patience = match class {
            Some(class) if class.permanent() && base.all_down() => Duration::ZERO,
            Some(Class::Silent) | None => MAY_SPEAK,
            Some(_) => MAY_PASS,
        };
        match self.since {
            Some((known, since)) if known == class => now.saturating_duration_since(since) >= patience,
            _ => {
                self.since = Some((class, now));
                patience.is_zero()
            }
        }
    }
}
