//! One running instance: the log, the worker's thread, the HTTP server, from start to end.
//!
//! Start: key, log, listener, metrics, worker, `instance.json` last. Stop: not ready, no new
//! requests, a last commit, the file removed. A crash between any two steps leaves nothing that
//! the next start does not expect.

use std::fmt::Display;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use crossbeam_channel::Receiver;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;

use super::follow::{Follower, Watcher};
use super::instance::Instance;
use super::person_key::{self, PersonKeyError};
use super::report::Reporter;
use super::retention::RetentionThread;
use super::store::RunningLog;
use super::topics;
use super::worker_thread::{Parts, WorkerThread};
use crate::clock;
use crate::config::{ClockMode, Config, PARTITIONS};
use crate::engine::event::{Encoding, Intake, Kind, PersonKey};
use crate::engine::risk::Transition;
use crate::engine::rule::{RULES, Severity};
use crate::ingest::health::Health;
use crate::ingest::{self, Shared, StoreError};
use crate::log::local::{LocalError, LocalStore};
use crate::telemetry::exporter::ExporterError;
use crate::telemetry::{Exporter, Names};
use crate::worker::{self, InputTopic, OutputTopics, SettingsError, WorkerSettings};

/// Threads that serve HTTP.
const HTTP_THREADS: usize = 2;
/// Longest wait for open connections at the end: a client that stalls must not keep the last commit.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Time between two calls of [`Exporter::upkeep`].
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// Exit code of a process that is told twice to end.
const FORCED: i32 = 130;

/// Why an instance does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key of the pseudonyms.
    #[error(transparent)]
    Key(#[from] PersonKeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LocalError),
    /// Reading the log.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The listener.
    #[error(
        "cannot listen on {address}: {cause}; is another instance running? Set http.listen (port 0 takes a free one)"
    )]
    Listen {
        /// Which address.
        address: SocketAddr,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Metrics.
    #[error(transparent)]
    Metrics(#[from] ExporterError),
    /// The worker.
    #[error(transparent)]
    Worker(#[from] SettingsError),
    /// The system.
    #[error("{action} failed: {cause}")]
    System {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        cause: std::io::Error,
    },
}

fn system<E: Into<std::io::Error>>(action: &'static str) -> impl FnOnce(E) -> StartError {
    move |cause| StartError::System { action, cause: cause.into() }
}

/// The log of an instance before its worker runs: history can be loaded into it.
pub struct Opened {
    /// The configuration.
    pub config: Config,
    /// The log.
    pub store: Arc<LocalStore>,
    key: PersonKey,
}

/// A running instance.
pub struct Running {
    /// The log.
    pub store: Arc<LocalStore>,
    /// Base address.
    pub url: String,
    health: Arc<Health>,
    config: Config,
    instance: Instance,
    worker: WorkerThread,
    follower: Follower,
    retention: RetentionThread,
    runtime: Runtime,
    server: JoinHandle<std::io::Result<()>>,
    end_server: oneshot::Sender<()>,
    signals: Receiver<()>,
}

/// Opens the data directory: the key, then the log.
pub fn open(config: Config) -> Result<Opened, StartError> {
    let data_dir = &config.storage.data_dir;
    // The log holds events as they came, raw person ids among them: nobody else's business.
    let mut folder = std::fs::DirBuilder::new();
    let made = folder.recursive(true).mode(0o700).create(data_dir);
    made.map_err(system("creating the data directory"))?;
    let key = person_key::load_or_create(&config.person_key_path())?;
    let store = topics::open(&config, data_dir)?;
    Ok(Opened { config, store, key })
}

impl Opened {
    /// Starts everything. `watcher` hears each risk transition.
    pub fn start(self, watcher: Option<Watcher>) -> Result<Running, StartError> {
        let Opened { config, store, key } = self;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(HTTP_THREADS)
            .enable_all()
            .build()
            .map_err(system("starting the HTTP threads"))?;
        let address = config.http.listen;
        let listener = runtime
            .block_on(TcpListener::bind(address))
            .map_err(|cause| StartError::Listen { address, cause })?;
        let bound = listener.local_addr().map_err(system("asking for the bound address"))?;
        let signals = watch_signals(&runtime)?;

        let exporter = Exporter::install(&names(&config))?;
        keep_up(&runtime, exporter.clone());
        let skew_ms = millis(config.clock.skew_limit);
        let intake = Intake { person_key: key, skew_ms, partitions: PARTITIONS };
        let health = Arc::new(Health::default());
        health.waiting_max.store(config.http.ready_lag_records, Relaxed);
        let follower = Follower::start(Arc::clone(&store), watcher)?;
        let reporter = Reporter {
            topics: config.topics.inputs.to_vec(),
            store: Arc::clone(&store),
            health: Arc::clone(&health),
        };
        let worker = WorkerThread::start(Parts {
            store: Arc::clone(&store),
            settings: worker_settings(&config),
            engine: Arc::clone(&config.engine),
            intake: intake.clone(),
            reporter,
        })?;
        let shared = Arc::new(Shared {
            store: Arc::new(RunningLog(Arc::clone(&store))),
            intake,
            health: Arc::clone(&health),
            render_metrics: Box::new(move || exporter.render()),
            request_bytes: config.http.request_bytes,
            queue: Arc::new(Semaphore::new(config.http.queued_requests)),
        });
        let (end_server, ended) = oneshot::channel::<()>();
        let server = runtime.spawn(ingest::serve(listener, shared, async {
            // Ended by a message or by the sender's end: both mean the same.
            let _ = ended.await;
        }));
        let retention = RetentionThread::start(Arc::clone(&store));
        let url = format!("http://{bound}");
        let instance =
            Instance { pid: std::process::id(), url: url.clone(), started_at_ms: clock::wall_ms() };
        instance.write(&config.storage.data_dir).map_err(system("writing instance.json"))?;
        tracing::info!(url, data_dir = %config.storage.data_dir.display(), "accountpulse runs");
        Ok(Running {
            store,
            url,
            health,
            config,
            instance,
            worker,
            follower,
            retention,
            runtime,
            server,
            end_server,
            signals,
        })
    }
}

impl Running {
    /// Told once when the process is asked to end.
    pub fn signals(&self) -> &Receiver<()> {
        &self.signals
    }

    /// Whether the instance is ready.
    pub fn is_ready(&self) -> bool {
        self.health.is_ready()
    }

    /// Records that wait for the worker.
    pub fn waiting(&self) -> u64 {
        self.health.waiting.load(Relaxed)
    }

    /// Whether the worker's thread is there.
    pub fn is_working(&self) -> bool {
        self.worker.is_running()
    }

    /// Ends everything in order.
    pub fn stop(self) {
        self.health.stopping.store(true, Relaxed);
        // An error means that the server has ended already.
        let _ = self.end_server.send(());
        let server = self.server;
        let served = self.runtime.block_on(async { tokio::time::timeout(STOP_WAIT, server).await });
        match served {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => warn("the HTTP server", &error),
            Err(_) => warn("the HTTP server", &"connections were still open and are cut"),
        }
        self.worker.stop();
        self.follower.stop();
        self.retention.stop();
        self.instance.remove(&self.config.storage.data_dir);
        tracing::info!("accountpulse has stopped");
    }
}

fn warn(what: &str, error: &dyn Display) {
    tracing::warn!(%error, "{what} did not end in good order");
}

/// Moves recorded durations into their buckets, also when nobody scrapes.
fn keep_up(runtime: &Runtime, exporter: Exporter) {
    runtime.spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP_EVERY).await;
            exporter.upkeep();
        }
    });
}

/// SIGINT and SIGTERM once for an orderly end, twice for an immediate one.
fn watch_signals(runtime: &Runtime) -> Result<Receiver<()>, StartError> {
    let (told, signals) = crossbeam_channel::bounded(1);
    let _inside = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt()).map_err(system("watching SIGINT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(system("watching SIGTERM"))?;
    runtime.spawn(async move {
        let mut first = true;
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            if !first {
                std::process::exit(FORCED);
            }
            first = false;
            // The receiver is gone only while the instance is ending already.
            let _ = told.try_send(());
        }
    });
    Ok(signals)
}

fn names(config: &Config) -> Names {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Names {
        topics: config.topics.inputs.to_vec(),
        partitions: PARTITIONS,
        rules: RULES.iter().map(|rule| rule.key.to_owned()).collect(),
        severities: owned(&Severity::ALL.map(Severity::name)),
        transitions: owned(&Transition::ALL.map(Transition::name)),
    }
}

fn worker_settings(config: &Config) -> WorkerSettings {
    let input = |kind: Kind| InputTopic {
        topic: topics::input(kind),
        name: config.topics.inputs[kind as usize].clone(), // one name per kind
        encoding: Encoding::Auto,
    };
    let outputs = OutputTopics {
        scores: topics::SCORES,
        risks: topics::RISKS,
        dead_letters: topics::DEAD_LETTERS,
        checkpoints: topics::CHECKPOINTS,
    };
    let lateness_ms = millis(config.clock.lateness);
    let clock = match config.clock.mode {
        ClockMode::Wall => worker::ClockMode::Wall { lateness_ms },
        ClockMode::Event => worker::ClockMode::Event { lateness_ms },
    };
    let mut settings = WorkerSettings::new(Kind::ALL.map(input).to_vec(), outputs, PARTITIONS, clock);
    settings.commit_interval_ms = millis(config.commit_interval);
    settings.round_ms = millis(config.checkpoint_round);
    settings
}

/// Milliseconds; the configuration's ranges keep them far below the limit.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
