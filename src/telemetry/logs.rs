//! Log lines: to standard error, for people or as one JSON object per line. `ACCOUNTPULSE_LOG`
//! overrides the configured filter, so that a running installation can be looked into without
//! touching its file.

use tracing_subscriber::EnvFilter;

/// Environment variable that overrides the filter.
pub const FILTER_VARIABLE: &str = "ACCOUNTPULSE_LOG";

/// Why there are no log lines.
#[derive(Debug, thiserror::Error)]
pub enum LogSetupError {
    /// The filter cannot be read.
    #[error(
        "the log filter `{filter}` is not understood: {detail}; write a level (error, warn, info, debug, trace)"
    )]
    Filter {
        /// The filter.
        filter: String,
        /// What is wrong with it.
        detail: String,
    },
    /// Log lines are set up already.
    #[error("log lines are already set up in this process")]
    Installed,
}

/// Sends log lines to standard error from now on. `override_filter` is the value of
/// [`FILTER_VARIABLE`], if set.
pub fn install(
    json: bool,
    colour: bool,
    filter: &str,
    override_filter: Option<&str>,
) -> Result<(), LogSetupError> {
    let filter = override_filter.unwrap_or(filter);
    let parsed = EnvFilter::try_new(filter)
        .map_err(|error| LogSetupError::Filter { filter: filter.to_owned(), detail: error.to_string() })?;
    let lines = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(std::io::stderr);
    let outcome = if json {
        lines.json().flatten_event(true).try_init()
    } else {
        lines.with_ansi(colour).with_target(false).try_init()
    };
    outcome.map_err(|_| LogSetupError::Installed)
}
