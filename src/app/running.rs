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

use super::ends::Ends;
use super::fleet::{Fleet, Preparation, prepare_cluster};
use super::follow::{Follower, Watcher};
use super::instance::Instance;
use super::kafka_link::{KafkaLink, LinkError};
use super::members::{ClusterMembers, Members};
use super::person_key::{self, PersonKeyError};
use super::report::Board;
use super::retention::RetentionThread;
use super::store::RunningLog;
use super::topics::{self, TopicTable};
use super::worker_thread::Parts;
use crate::clock;
use crate::config::{ClockMode, Config, LogKind};
use crate::engine::event::{Intake, PersonKey};
use crate::engine::risk::Transition;
use crate::engine::rule::{RULES, Severity};
use crate::ingest::health::Health;
use crate::ingest::{self, Shared, StoreError};
use crate::log::local::LocalError;
use crate::telemetry::exporter::ExporterError;
use crate::telemetry::{Exporter, Names};
use crate::worker::{self, SettingsError, WorkerSettings};

/// Threads that serve HTTP.
const HTTP_THREADS: usize = 2;
/// Longest wait for open connections at the end: a client that stalls must not keep the last commit.
const STOP_WAIT: Duration = Duration::from_secs(10);
/// Time between two calls of [`Exporter::upkeep`].
const UPKEEP_EVERY: Duration = Duration::from_secs(5);
/// How often a broker looks for transactions that outlived their timeout, with a margin.
const BROKER_CLEANUP_MS: i64 = 30_000;
/// The same with a small one: to take a transaction that is still open for one that hangs is no harm.
const BROKER_LOOKS_MS: i64 = 15_000;
/// Exit code of a process that is told twice to end.
const FORCED: i32 = 130;
/// Exit code of a process that left because a call into the client library hangs.
const STUCK: i32 = 75;

/// Why an instance does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The key of the pseudonyms.
    #[error(transparent)]
    Key(#[from] PersonKeyError),
    /// The log.
    #[error(transparent)]
    Log(#[from] LocalError),
    /// The cluster's settings.
    #[error(transparent)]
    Link(#[from] LinkError),
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
    pub log: RunningLog,
    key: PersonKey,
}

/// A running instance.
pub struct Running {
    /// The log.
    pub log: RunningLog,
    /// Base address.
    pub url: String,
    health: Arc<Health>,
    config: Config,
    instance: Instance,
    fleet: Fleet,
    follower: Option<Follower>,
    retention: Option<RetentionThread>,
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
    let log = match config.storage.log {
        LogKind::Local => {
            let table = TopicTable::new(&config);
            RunningLog::Local(topics::open_local(&config, &table)?, Arc::new(table))
        }
        LogKind::Kafka => RunningLog::Kafka(Arc::new(KafkaLink::open(&config)?)),
    };
    Ok(Opened { config, log, key })
}

impl Opened {
    /// Waits until a cluster answers and has the topics; for those who write before workers run.
    pub fn prepare(&self) -> Result<(), String> {
        let RunningLog::Kafka(link) = &self.log else { return Ok(()) };
        let (_running, stopped) = crossbeam_channel::bounded(0);
        prepare_cluster(link, &self.config, &stopped).map(drop)
    }

    /// Starts everything. `watcher` hears each risk transition.
    pub fn start(self, watcher: Option<Watcher>) -> Result<Running, StartError> {
        let Opened { config, log, key } = self;
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
        let intake = Intake { person_key: key, skew_ms, partitions: config.partitions() };
        let health = Arc::new(Health::default());
        health.waiting_max.store(config.http.ready_lag_records, Relaxed);
        let follower = watcher.map(|watcher| Follower::start(log.clone(), watcher)).transpose()?;
        let fleet = start_fleet(&config, &log, &intake, &health)?;
        let shared = Arc::new(Shared {
            store: Arc::new(log.clone()),
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
        let retention = match &log {
            RunningLog::Local(store, topics) => {
                Some(RetentionThread::start(Arc::clone(store), topics.outputs.checkpoints))
            }
            RunningLog::Kafka(_) => None, // the cluster's own
        };
        let url = format!("http://{bound}");
        let instance =
            Instance { pid: std::process::id(), url: url.clone(), started_at_ms: clock::wall_ms() };
        instance.write(&config.storage.data_dir).map_err(system("writing instance.json"))?;
        tracing::info!(url, data_dir = %config.storage.data_dir.display(), "accountpulse runs");
        Ok(Running {
            log,
            url,
            health,
            config,
            instance,
            fleet,
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

    /// Whether the workers are there.
    pub fn is_working(&self) -> bool {
        self.fleet.is_running()
    }

    /// Why the workers cannot go on.
    pub fn failure(&self) -> Option<String> {
        self.fleet.failure()
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
        self.fleet.stop();
        self.follower.into_iter().for_each(Follower::stop);
        self.retention.into_iter().for_each(RetentionThread::stop);
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
        topics: TopicTable::new(config).inputs,
        partitions: config.partitions(),
        rules: RULES.iter().map(|rule| rule.key.to_owned()).collect(),
        severities: owned(&Severity::ALL.map(Severity::name)),
        transitions: owned(&Transition::ALL.map(Transition::name)),
    }
}

/// What a worker of this configuration is told.
pub fn worker_settings(config: &Config, topics: &TopicTable) -> WorkerSettings {
    let lateness_ms = millis(config.clock.lateness);
    let clock = match config.clock.mode {
        ClockMode::Wall => worker::ClockMode::Wall { lateness_ms },
        ClockMode::Event => worker::ClockMode::Event { lateness_ms },
    };
    let mut settings =
        WorkerSettings::new(topics.worker_inputs(), topics.outputs, config.partitions(), clock);
    settings.output_encoding = config.topics.output_encoding;
    settings.commit_interval_ms = millis(config.commit_interval);
    settings.round_ms = millis(config.checkpoint_round);
    settings.max_buffered_bytes = config.memory.buffered_bytes;
    if config.storage.log == LogKind::Kafka {
        // A transaction may stay open that long, and a successor must be able to sit it out.
        let open_ms = millis(config.kafka.transaction_timeout);
        settings.commit_timeout_ms = settings.commit_timeout_ms.max(open_ms);
        settings.restore_stall_ms = settings.restore_stall_ms.max(2 * open_ms + BROKER_CLEANUP_MS);
        settings.sweep_after_ms = open_ms + BROKER_LOOKS_MS;
    }
    settings
}

/// The workers of the configured log, and what must hold before they start.
fn start_fleet(
    config: &Config,
    log: &RunningLog,
    intake: &Intake,
    health: &Arc<Health>,
) -> Result<Fleet, StartError> {
    let topics = log.topics();
    let settings = worker_settings(config, topics);
    settings.check(intake)?;
    let count = match log {
        RunningLog::Local(..) => 1,
        RunningLog::Kafka(_) => config.kafka.workers.unwrap_or_else(cores),
    };
    let board = Board::new(topics.inputs.clone(), config.partitions(), count as usize, Arc::clone(health));
    fn parts<M: Members>(
        members: M,
        worker: u32,
        board: &Arc<Board>,
        more: (&WorkerSettings, &Config, &Intake),
    ) -> Parts<M> {
        let (settings, config, intake) = more;
        Parts {
            members,
            settings: settings.clone(),
            engine: Arc::clone(&config.engine),
            intake: intake.clone(),
            reporter: board.reporter(worker as usize),
        }
    }
    let more = (&settings, config, intake);
    Ok(match log {
        RunningLog::Local(store, _) => {
            let of_disk = Arc::clone(health);
            store.on_trouble(move |trouble| of_disk.note_disk(trouble.map(ToString::to_string)));
            let ready: Preparation = Box::new(|_| Ok(true));
            Fleet::start(ready, vec![parts(Arc::clone(store), 0, &board, more)])
        }
        RunningLog::Kafka(link) => {
            let cluster = Arc::clone(&link.cluster);
            let ends = Arc::new(Ends::watch(link, health));
            let workers = (0..count)
                .map(|worker| {
                    let (cluster, ends) = (Arc::clone(&cluster), Arc::clone(&ends));
                    let members = ClusterMembers { cluster, ends, worker };
                    parts(members, worker, &board, more)
                })
                .collect();
            let stuck = Arc::clone(health);
            cluster.watch(Box::new(move |sentence| leave(&stuck, sentence)));
            let (link, config) = (Arc::clone(link), config.clone());
            Fleet::start(Box::new(move |stopped| prepare_cluster(&link, &config, stopped)), workers)
        }
    })
}

/// A call into the client library hangs and cannot be ended: only the process can.
fn leave(health: &Health, sentence: &str) {
    health.stopping.store(true, Relaxed);
    tracing::error!("{sentence}; the process ends, its successor recovers");
    std::process::exit(STUCK);
}

/// One worker per core.
fn cores() -> u32 {
    std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1))
}

/// Milliseconds; the configuration's ranges keep them far below the limit.
fn millis(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
