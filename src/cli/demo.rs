//! `demo`: a made-up company on the embedded log, or on Kafka if configured so, in one command.
//! Ctrl-C ends it, the same command goes on where it stopped.

mod board;

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;
use indicatif::ProgressBar;

use self::board::Board;
use super::run::not_started;
use super::{Done, Exit, Failure, Global, print};
use crate::app::demo::{DemoState, LiveFeed, appended};
use crate::app::running::{self, Running};
use crate::app::store::RunningLog;
use crate::clock;
use crate::config::{Config, LogFormat, LogKind};
use crate::simulate::{Company, LiveOptions};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(100);
/// Looks in a row that must find nothing waiting before history counts as worked through.
const QUIET_LOOKS: u32 = 10;

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  accountpulse demo\n  accountpulse demo --events 100000 --data /tmp/demo\n\n\
                        Remove the data directory to begin anew; on Kafka, what the broker holds as well."
)]
pub struct Args {
    /// Data directory
    #[arg(long, env = "ACCOUNTPULSE_DATA", default_value = "accountpulse-demo", value_name = "DIR")]
    data: PathBuf,
    /// Address and port, instead of the configured ones; a taken port gives way to a free one
    #[arg(long, env = "ACCOUNTPULSE_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// The same seed makes the same company
    #[arg(long, default_value_t = 7)]
    seed: u64,
    /// Customers
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    accounts: u32,
    /// Most events of history
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    events: u32,
}

/// Runs it until interrupted.
pub fn run(args: &Args, global: &Global) -> Done {
    let mut config = global.load()?;
    config.storage.data_dir.clone_from(&args.data);
    config.http.listen = listen(args.listen.unwrap_or(config.http.listen));
    // Progress and risks are what there is to read; log lines only where something is wrong.
    if global.verbose == 0 && config.log.format == LogFormat::Text {
        config.log.level = "warn".to_owned();
    }
    global.start_logs(&config)?;
    let log = log_of(&config);
    let opened = running::open(config).map_err(not_started)?;
    opened.prepare().map_err(|sentence| Failure::new(Exit::LogUnavailable, format!("error: {sentence}")))?;
    let fresh = DemoState {
        seed: args.seed,
        accounts: args.accounts as usize,
        max_events: args.events as usize,
        end_ms: clock::wall_ms(),
        complete: false,
        log,
    };
    let mut state = DemoState::load_or(&args.data, fresh, &opened.log).map_err(failed)?;
    anstream::println!("A made-up company with {} customers, in {}", state.accounts, args.data.display());
    let company = state.company();
    if !state.complete {
        let bar = print::bar(global, state.max_events as u64, "loading history", false);
        let log = opened.log.clone();
        let mut progress = |loaded| bar.set_position(loaded);
        state.load_history(&company, &log, &args.data, &mut progress).map_err(failed)?;
        bar.finish_and_clear();
    }
    let board = Arc::new(Mutex::new(Board::default()));
    lock(&board).catch_up(&opened.log).map_err(failed)?;
    let watching = Arc::clone(&board);
    let instance =
        opened.start(Some(Box::new(move |news| lock(&watching).hear(news)))).map_err(not_started)?;
    if !work_through(&instance, global) {
        lock(&board).go_live();
        introduce(&instance, args, global)?;
        live(&instance, &company)?;
    }
    instance.stop();
    anstream::println!("Ended. The same command goes on from here.");
    Ok(Exit::Ok)
}

/// The log of a configuration, in words.
fn log_of(config: &Config) -> String {
    match config.storage.log {
        LogKind::Local => "the embedded log".to_owned(),
        LogKind::Kafka => format!("Kafka at {}, group {}", config.kafka.brokers, config.kafka.group),
    }
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(Exit::Failed, format!("error: {error}"))
}

fn lock(board: &Mutex<Board>) -> std::sync::MutexGuard<'_, Board> {
    // The board only counts and prints: what a panic left behind is still good.
    board.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The wished address, or a free port when it is taken: a demo must not fail for a port.
fn listen(wished: SocketAddr) -> SocketAddr {
    match TcpListener::bind(wished) {
        Ok(_) => wished,
        Err(_) => SocketAddr::new(wished.ip(), 0),
    }
}

/// Waits until history is worked through; whether the end was asked for meanwhile.
fn work_through(instance: &Running, global: &Global) -> bool {
    let mut bar: Option<ProgressBar> = None;
    let mut quiet = 0;
    loop {
        match instance.signals().recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) if instance.is_working() => {}
            _ => return true,
        }
        let waiting = instance.waiting();
        let bar = bar.get_or_insert_with(|| print::bar(global, waiting, "working through it", false));
        bar.set_length(bar.length().unwrap_or(0).max(waiting));
        bar.set_position(bar.length().unwrap_or(0).saturating_sub(waiting));
        quiet = if waiting == 0 && instance.is_ready() { quiet + 1 } else { 0 };
        if quiet >= QUIET_LOOKS {
            bar.finish_and_clear();
            return false;
        }
    }
}

fn introduce(instance: &Running, args: &Args, global: &Global) -> Result<(), Failure> {
    let events = appended(&instance.log).map_err(failed)?;
    let (url, data) = (&instance.url, args.data.display());
    let which = match (&instance.log, &global.config) {
        (RunningLog::Kafka(_), Some(config)) => format!("-c {}", config.display()),
        _ => format!("--data {data}"),
    };
    // As it was started, so that the lines can be pasted also when it is not on the PATH.
    let program = std::env::args().next().unwrap_or_else(|| "accountpulse".to_owned());
    anstream::println!(
        "\n{events} events are in; live events come now.\n\n  \
         metrics   {url}/metrics\n  health    {url}/readyz?verbose\n  data      {data}\n\n  \
         Try in another terminal:\n    {program} tail risks --follow {which}\n    \
         {program} explain ACCOUNT {which}\n\n\
         Risks as they start, change and end (Ctrl-C ends; the same command goes on):"
    );
    Ok(())
}

/// Writes live events when they are due, until told to end.
fn live(instance: &Running, company: &Company) -> Result<(), Failure> {
    let feed = LiveFeed::new(instance.log.clone());
    for event in company.live(LiveOptions::new(clock::wall_ms())) {
        loop {
            let wait_ms = event.at_ms.saturating_sub(clock::wall_ms()).max(0).unsigned_abs();
            if wait_ms == 0 {
                break;
            }
            match instance.signals().recv_timeout(Duration::from_millis(wait_ms).min(LOOK)) {
                Err(RecvTimeoutError::Timeout) if instance.is_working() => {}
                _ => return Ok(()),
            }
        }
        feed.write(&event).map_err(failed)?;
    }
    Ok(())
}
