//! How a command ends: an exit code, and a sentence when it failed.

use std::fmt::Display;
use std::process::ExitCode;

use crate::config::ConfigError;

/// Exit codes; part of the interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// Failure at run time.
    Failed = 1,
    /// The arguments make no sense together (clap uses the same code).
    Usage = 2,
    /// It ran, and found something to report.
    Findings = 3,
    /// The instance is not there or not ready.
    NotReady = 10,
    /// The log is unavailable.
    LogUnavailable = 69,
    /// The configuration is wrong.
    Configuration = 78,
    /// Ended by the user.
    Interrupted = 130,
}

impl Exit {
    /// As the process answers it.
    pub fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Answer of a command.
pub type Done = Result<Exit, Failure>;

/// A command that failed.
#[derive(Debug)]
pub struct Failure {
    exit: Exit,
    message: String,
}

impl Failure {
    /// A failure with its sentence.
    pub fn new(exit: Exit, message: impl Display) -> Failure {
        Failure { exit, message: message.to_string() }
    }

    /// Prints the sentence and answers with the code.
    pub fn report(self) -> ExitCode {
        if !self.message.is_empty() {
            anstream::eprintln!("{}", self.message);
        }
        self.exit.code()
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure { exit: Exit::Configuration, message: error.render(super::print::stderr_has_colour()) }
    }
}

/// Output that nobody reads any more (`accountpulse … | head`) ends a command quietly.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Failure {
        match error.kind() {
            std::io::ErrorKind::BrokenPipe => Failure { exit: Exit::Ok, message: String::new() },
            _ => Failure::new(Exit::Failed, format!("error: {error}")),
        }
    }
}
