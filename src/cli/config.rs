//! `config defaults` and `config show`.

use super::{Done, Exit, Global, print};
use crate::config::defaults_yaml;

/// Arguments.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
enum Command {
    /// Print every setting with its default and what it means
    #[command(after_help = "Examples:\n  accountpulse config defaults > accountpulse.yaml")]
    Defaults,
    /// Print the settings that apply, after the file, variables and flags
    #[command(after_help = "Examples:\n  accountpulse config show -c accountpulse.yaml")]
    Show,
}

/// Prints one of them.
pub fn run(args: &Args, global: &Global) -> Done {
    match args.command {
        Command::Defaults => print::stdout(&defaults_yaml())?,
        Command::Show => print::stdout(&global.load()?.to_yaml())?,
    }
    Ok(Exit::Ok)
}
