//! `check`: is this configuration file right?

use super::{Done, Exit, Global, print};

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  accountpulse check -c accountpulse.yaml && systemctl restart accountpulse"
)]
pub struct Args {}

/// Prints every finding, or one line that says it is right.
pub fn run(_: &Args, global: &Global) -> Done {
    global.load()?;
    let name =
        global.config.as_ref().map_or("the default configuration".into(), |path| path.to_string_lossy());
    print::stdout(&format!("{name}: ok\n"))?;
    Ok(Exit::Ok)
}
