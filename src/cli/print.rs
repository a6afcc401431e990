//! Small helpers for what a person reads.

use std::io::Write;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Global;

/// Writes text to standard output; a closed pipe is an error the caller passes on.
pub fn stdout(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether standard error takes colours.
pub fn stderr_has_colour() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// A bar on standard error; invisible unless that is a terminal.
pub fn bar(global: &Global, length: u64, what: &'static str, bytes: bool) -> ProgressBar {
    let bar = match global.no_progress {
        true => ProgressBar::hidden(),
        false => ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr()),
    };
    let counts =
        if bytes { "{bytes}/{total_bytes} {bytes_per_sec}" } else { "{human_pos}/{human_len} {per_sec}" };
    let template = format!("{what} [{{bar:30}}] {counts}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar
}
