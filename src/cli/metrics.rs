//! `metrics list`: the catalogue.

use super::{Done, Exit, print};
use crate::telemetry;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Print every metric with type, labels and meaning
    #[command(after_help = "Examples:\n  accountpulse metrics list\n  \
                            accountpulse metrics list --markdown > docs/METRICS.md")]
    List {
        /// As the manual page
        #[arg(long)]
        markdown: bool,
    },
}

/// Prints the list.
pub fn run(args: &Args) -> Done {
    let Command::List { markdown } = args.command;
    print::stdout(&if markdown { telemetry::markdown() } else { telemetry::table() })?;
    Ok(Exit::Ok)
}
