//! `completions`: a script that makes a shell complete our commands.

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Done, Exit, print};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  accountpulse completions bash > /etc/bash_completion.d/accountpulse\n  \
                        accountpulse completions zsh > \"${fpath[1]}/_accountpulse\""
)]
pub struct Args {
    /// Which shell
    shell: Shell,
}

/// Prints the script.
pub fn run(args: &Args) -> Done {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "accountpulse", &mut script);
    print::stdout(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
