//! The command line: one file per command. Data goes to standard output, everything else to
//! standard error; nothing asks a question. A command parses, calls `app`, prints.
//!
//! To add a command: a file with `Args` (its help leads with examples) and
//! `run(&Args, &Global) -> Done`, a variant in [`Command`], a line in [`dispatch`], a case in
//! `tests/cli.rs`.

mod check;
mod completions;
mod config;
mod dead_letters;
mod demo;
mod explain;
mod metrics;
mod outcome;
mod print;
mod replay;
mod run;
mod send;
mod status;
mod tail;
mod topics;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

pub use outcome::{Done, Exit, Failure};

use crate::config::{Config, LogFormat};
use crate::telemetry::logs;

/// Customer health scores and churn risks, per event and per deadline, with exact reasons.
#[derive(Debug, Parser)]
#[command(
    name = "accountpulse",
    version,
    after_help = "Start here:\n  accountpulse demo                          a company to look at, in one command\n  \
                  accountpulse config defaults > accountpulse.yaml\n  accountpulse run -c accountpulse.yaml\n\n\
                  Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 findings, 10 instance not ready or not\n\
                  there, 69 log unavailable, 75 left because a call hung (start it again), 78 wrong configuration,\n130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
pub struct Global {
    /// Configuration file; without it the defaults apply
    #[arg(short, long, global = true, env = "ACCOUNTPULSE_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// More log lines (-v debug, -vv trace)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Fewer log lines (-q warnings, -qq errors)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub quiet: u8,
    /// How log lines look
    #[arg(long, global = true, env = "ACCOUNTPULSE_LOG_FORMAT", value_name = "text|json")]
    pub log_format: Option<LogFormatArg>,
    /// Colours
    #[arg(long, global = true, env = "ACCOUNTPULSE_COLOR", default_value = "auto")]
    pub color: Color,
    /// No progress bars
    #[arg(long, global = true, env = "ACCOUNTPULSE_NO_PROGRESS")]
    pub no_progress: bool,
}

/// When to colour.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Color {
    /// On terminals that can (NO_COLOR, CLICOLOR_FORCE and TERM=dumb are honoured).
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// How a command's answer looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// One object.
    Json,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LogFormatArg {
    /// For people.
    Text,
    /// One object per line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Watch a made-up company, in one command
    Demo(demo::Args),
    /// Run an instance
    Run(run::Args),
    /// Send events from files to a running instance or a cluster
    Send(send::Args),
    /// Print published scores, risks or dead letters
    Tail(tail::Args),
    /// List, group, show and put back what was refused
    DeadLetters(dead_letters::Args),
    /// Say why an account stands where it stands
    Explain(explain::Args),
    /// Run history files through the engine, without a log
    Replay(replay::Args),
    /// Show how the shards stand: who serves them, lag, clock, freshness
    Status(status::Args),
    /// Make and look at the topics of a cluster
    Topics(topics::Args),
    /// Check a configuration file, and the cluster it names
    #[command(visible_alias = "check-config")]
    Check(check::Args),
    /// Print configurations
    Config(config::Args),
    /// Print the catalogue of metrics
    Metrics(metrics::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
}

/// Runs the command that the arguments name.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.global.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    match dispatch(&cli) {
        Ok(exit) => exit.code(),
        Err(failure) => failure.report(),
    }
}

fn dispatch(cli: &Cli) -> Done {
    let global = &cli.global;
    match &cli.command {
        Command::DeadLetters(args) => dead_letters::run(args, global),
        Command::Demo(args) => demo::run(args, global),
        Command::Explain(args) => explain::run(args, global),
        Command::Replay(args) => replay::run(args, global),
        Command::Run(args) => run::run(args, global),
        Command::Send(args) => send::run(args, global),
        Command::Tail(args) => tail::run(args, global),
        Command::Status(args) => status::run(args, global),
        Command::Topics(args) => topics::run(args, global),
        Command::Check(args) => check::run(args, global),
        Command::Config(args) => config::run(args, global),
        Command::Metrics(args) => metrics::run(args),
        Command::Completions(args) => completions::run(args),
    }
}

impl Global {
    /// The configuration named by `-c`, or the defaults, with the flags on top.
    pub fn load(&self) -> Result<Config, Failure> {
        let env = |name: &str| std::env::var(name).ok();
        let mut config = match &self.config {
            Some(path) => Config::load(path, &env)?,
            None => Config::default(),
        };
        match self.log_format {
            Some(LogFormatArg::Text) => config.log.format = LogFormat::Text,
            Some(LogFormatArg::Json) => config.log.format = LogFormat::Json,
            None => {}
        }
        const LEVELS: [&str; 5] = ["error", "warn", "info", "debug", "trace"];
        const INFO: i16 = 2;
        if self.verbose != self.quiet {
            let index = (INFO + i16::from(self.verbose) - i16::from(self.quiet)).clamp(0, 4);
            config.log.level = LEVELS[index as usize].to_owned(); // clamped to the list
        }
        Ok(config)
    }

    /// Sends log lines to standard error.
    pub fn start_logs(&self, config: &Config) -> Result<(), Failure> {
        let over = std::env::var(logs::FILTER_VARIABLE).ok();
        let json = config.log.format == LogFormat::Json;
        logs::install(json, print::stderr_has_colour(), &config.log.level, over.as_deref())
            .map_err(|error| Failure::new(Exit::Configuration, error))
    }
}
