//! `run`: an instance, until it is told to end.

use std::path::PathBuf;
use std::time::Duration;

use crossbeam_channel::RecvTimeoutError;

use super::{Done, Exit, Failure, Global};
use crate::app::running::{self, StartError};

/// How often it is checked that the worker is still there.
const CHECK: Duration = Duration::from_secs(1);

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse run -c accountpulse.yaml\n  \
                        accountpulse run --data /var/lib/accountpulse --listen 127.0.0.1:0\n\n\
                        Next: accountpulse send events.jsonl; accountpulse tail risks --follow\n\
                        SIGTERM or Ctrl-C ends it in good order; a second one ends it at once.")]
pub struct Args {
    /// Data directory, instead of the configured one
    #[arg(long, env = "ACCOUNTPULSE_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address and port, instead of the configured ones
    #[arg(long, env = "ACCOUNTPULSE_LISTEN", value_name = "ADDRESS")]
    listen: Option<std::net::SocketAddr>,
}

/// Runs it.
pub fn run(args: &Args, global: &Global) -> Done {
    let mut config = global.load()?;
    if let Some(dir) = &args.data {
        config.storage.data_dir.clone_from(dir);
    }
    if let Some(address) = args.listen {
        if !address.ip().is_loopback() {
            let sentence = "error: only loopback addresses are allowed: there is no authentication yet";
            return Err(Failure::new(Exit::Usage, sentence));
        }
        config.http.listen = address;
    }
    global.start_logs(&config)?;
    let instance = running::open(config).and_then(|opened| opened.start(None)).map_err(not_started)?;
    loop {
        match instance.signals().recv_timeout(CHECK) {
            Err(RecvTimeoutError::Timeout) if instance.is_working() => {}
            Err(RecvTimeoutError::Timeout) => {
                let failure = instance.failure();
                instance.stop();
                return Err(match failure {
                    Some(sentence) => Failure::new(Exit::LogUnavailable, format!("error: {sentence}")),
                    None => Failure::new(Exit::Failed, "error: the workers ended; see the log lines above"),
                });
            }
            _ => break,
        }
    }
    instance.stop();
    Ok(Exit::Ok)
}

/// The sentence and exit code of an instance that does not start.
pub fn not_started(error: StartError) -> Failure {
    let exit = match &error {
        StartError::Log(_) | StartError::Store(_) | StartError::Link(_) => Exit::LogUnavailable,
        StartError::Key(_) => Exit::Configuration,
        _ => Exit::Failed,
    };
    Failure::new(exit, format!("error: {error}"))
}
