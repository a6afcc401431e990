//! `dead-letters show`: one letter whole.

use std::fmt::Write as _;
use std::io::Write as _;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use clap::ValueEnum;
use serde_json::{Value, json};

use super::advice::advice;
use super::open;
use crate::app::letters::one;
use crate::cli::send::TargetArgs;
use crate::cli::tail::unreadable;
use crate::cli::{Done, Exit, Failure, Global, print};
use crate::engine::time::rfc3339;
use crate::ingest::letter::{Letter, LetterPlace};

/// Bytes of a line of a dump.
const DUMP_WIDTH: usize = 16;

/// How the value looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum As {
    /// Text if it is text, otherwise hexadecimal.
    Auto,
    /// Text, with what is none replaced.
    Text,
    /// Hexadecimal, with the text beside it.
    Hex,
    /// The bytes of the value alone, as they are.
    Raw,
    /// Everything as one JSON object, bytes in base64.
    Json,
}

/// Arguments.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  accountpulse dead-letters show 0/17\n  \
                        accountpulse dead-letters show 0/17 --as hex\n  \
                        accountpulse dead-letters show 0/17 --as raw > original.bin\n\n\
                        The letter holds what its producer sent, ids of persons included.")]
pub struct ShowArgs {
    /// Which: partition/offset, as `list` prints it
    #[arg(value_name = "LETTER")]
    place: LetterPlace,
    /// How the value looks
    #[arg(long = "as", default_value = "auto")]
    form: As,
    #[command(flatten)]
    target: TargetArgs,
}

/// Prints it.
pub fn run(args: &ShowArgs, global: &Global) -> Done {
    let (_, source) = open(&args.target, global)?;
    let Some(letter) = one(&source, args.place).map_err(unreadable)? else {
        let message = format!(
            "error: there is no dead letter at {}; retention may have taken it. See: accountpulse dead-letters list",
            args.place
        );
        return Err(Failure::new(Exit::Failed, message));
    };
    match args.form {
        As::Raw => {
            let Some(value) = &letter.value else {
                return Err(Failure::new(Exit::Failed, format!("error: {}", without_value(&letter))));
            };
            let mut out = std::io::stdout().lock();
            out.write_all(value)?;
            out.flush()?;
        }
        As::Json => print::stdout(&format!("{:#}\n", letter_json(&letter)))?,
        form => print::stdout(&text(&letter, form))?,
    }
    Ok(Exit::Ok)
}

fn letter_json(letter: &Letter) -> Value {
    let base64 = |bytes: &Vec<u8>| BASE64_STANDARD.encode(bytes);
    let headers: Vec<Value> =
        letter.headers.iter().map(|(name, value)| json!({ "name": name, "base64": base64(value) })).collect();
    json!({
        "v": 1,
        "letter": letter.place.to_string(),
        "written_at": rfc3339(letter.written_ms),
        "reason": letter.code,
        "stage": letter.stage,
        "message": letter.message,
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp": rfc3339(letter.timestamp_ms),
        "key_base64": letter.key.as_ref().map(base64),
        "value_base64": letter.value.as_ref().map(base64),
        "value_bytes": letter.value_left_out.or(letter.value.as_ref().map(|value| value.len() as u64)),
        "headers": headers,
        "headers_left_out": letter.headers_left_out,
        "resubmitted_from": letter.resubmitted_from().map(|place| place.to_string()),
        "next": advice(&letter.code),
    })
}

fn text(letter: &Letter, form: As) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(out, "dead letter {}, written {}", letter.place, rfc3339(letter.written_ms));
    if let Some(before) = letter.resubmitted_from() {
        let _ = writeln!(out, "  again     was put back from {before}, and refused again");
    }
    let _ = writeln!(out, "  reason    {} ({})", letter.code, letter.stage);
    let _ = writeln!(out, "  message   {}", letter.message);
    let _ = writeln!(
        out,
        "  stood at  {}, partition {}, offset {}",
        letter.topic, letter.partition, letter.offset
    );
    let _ = writeln!(out, "  time      {}", rfc3339(letter.timestamp_ms));
    let key = match (&letter.key, letter.key_left_out) {
        (Some(key), _) => inline(key),
        (None, Some(bytes)) => format!("left out for its length, {bytes} bytes"),
        (None, None) => "none".to_owned(),
    };
    let _ = writeln!(out, "  key       {key}");
    for (name, value) in &letter.headers {
        let _ = writeln!(out, "  header    {}: {}", inline(name.as_bytes()), inline(value));
    }
    if letter.headers_left_out > 0 {
        let _ = writeln!(out, "  header    {} more, left out", letter.headers_left_out);
    }
    let _ = writeln!(out, "  next      {}", advice(&letter.code));
    match &letter.value {
        None => {
            let _ = writeln!(out, "\n{}", without_value(letter));
        }
        Some(value) => {
            let _ = writeln!(out, "\nvalue, {} bytes:", value.len());
            match form {
                As::Hex => out.push_str(&dump(value)),
                As::Auto if !is_text(value) => out.push_str(&dump(value)),
                _ => out.push_str(&harmless(&String::from_utf8_lossy(value))),
            }
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
    }
    out
}

fn without_value(letter: &Letter) -> String {
    match letter.value_left_out {
        Some(bytes) => format!(
            "the value of {bytes} bytes was left out for its length; it stands at {}, partition {}, offset {}, for as \
             long as that topic keeps it",
            letter.topic, letter.partition, letter.offset
        ),
        None => "the record has no value".to_owned(),
    }
}

/// Text that a terminal shows as it is.
fn is_text(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| !text.chars().any(is_harmful))
}

fn is_harmful(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t' | '\r')
}

/// What others wrote must not steer a terminal.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if is_harmful(c) { '\u{fffd}' } else { c }).collect()
}

/// One line: text if it is text, otherwise hexadecimal.
fn inline(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.iter().fold("0x".to_owned(), |mut out, byte| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        }),
    }
}

fn dump(bytes: &[u8]) -> String {
    let mut out = String::new();
    for (line, chunk) in bytes.chunks(DUMP_WIDTH).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(out, "{:08x} ", line * DUMP_WIDTH);
        for byte in chunk {
            let _ = write!(out, " {byte:02x}");
        }
        let pad = 3 * (DUMP_WIDTH - chunk.len());
        let shown: String = chunk
            .iter()
            .map(|byte| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' })
            .collect();
        let _ = writeln!(out, "{:pad$}  |{shown}|", "");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_so_that_no_terminal_obeys_them() {
        assert!(is_text("{\"a\":\n \"\u{e4}\"}".as_bytes()) && !is_text(b"\x1b[2J") && !is_text(b"\xff"));
        assert_eq!(inline(b"acme"), "acme");
        assert_eq!(inline(b"a\x1b"), "0x611b");
        assert_eq!(harmless("a\x1b[2J\n"), "a\u{fffd}[2J\n");
        let dumped = dump(b"0123456789abcdefg\x00");
        assert_eq!(
            dumped,
            "00000000  30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66  |0123456789abcdef|\n\
             00000010  67 00                                            |g.|\n"
        );
    }
}
