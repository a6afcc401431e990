//! What every client of the process shares: the book of reasons that the client library gives only
//! to its error callback, its log lines, and the tokens.
//!
//! A client's context holds a [`Base`] and passes the three calls of `ClientContext` on to it (with
//! `ENABLE_REFRESH_OAUTH_TOKEN = true`); a client without needs of its own uses `Base` as it is.
//! Callbacks run only while the client is polled: **poll a new client once before its first
//! blocking call**, or it has no token, and poll it after a failed one, or the reason stays unsaid.
//! A poll that may not wait runs one callback and does not say so: [`Base::serve`] repeats it.

use std::collections::HashMap;
use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::client::OAuthToken;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::{KafkaError as LibraryError, RDKafkaErrorCode};
use rdkafka::message::DeliveryResult;
use rdkafka::producer::ProducerContext;

use crate::clock;

use super::reasons::{Class, Facts, Reason, explain};
use super::security::Scrub;
use super::token::Tokens;

/// The same line is said at most this often.
const SAY_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Most callbacks run in one go. With `debug` in the properties the library writes thousands of lines a
/// second, each of which is a callback, and changes of the group stand in line behind them.
pub(super) const SERVED_MAX: u32 = 4096;
/// How many different lines are remembered for that.
const SAID_MAX: usize = 256;

/// What stands between us and the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// One sentence with the next step.
    pub sentence: String,
    /// Whether waiting cannot heal it.
    pub permanent: bool,
    /// Since when, UTC milliseconds.
    pub since_ms: i64,
}

/// The reasons of all clients of the process.
pub(super) struct Book {
    facts: Facts,
    scrub: Scrub,
    troubles: Mutex<HashMap<u64, Entry>>,
    said: Mutex<Said>,
    next: AtomicU64,
}

/// Which lines were said last, without their numbers, and when.
#[derive(Default)]
struct Said(HashMap<String, Instant>);

#[derive(Clone, Debug)]
struct Entry {
    class: Class,
    trouble: Trouble,
    /// When this was noted, for the newest of several.
    order: u64,
}

impl Book {
    pub(super) fn new(facts: Facts, scrub: Scrub) -> Book {
        Book { facts, scrub, troubles: Mutex::default(), said: Mutex::default(), next: AtomicU64::new(0) }
    }

    /// The newest unhealed trouble; one that waiting cannot heal comes first.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let troubles = self.lock();
        let newest = troubles.values().max_by_key(|entry| (entry.trouble.permanent, entry.order))?;
        Some(newest.trouble.clone())
    }

    /// What the sentences name.
    pub(super) fn facts(&self) -> &Facts {
        &self.facts
    }

    /// A text of the client library without our secrets.
    pub(super) fn scrub(&self, text: &str) -> String {
        self.scrub.apply(text)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, client: u64, reason: Reason) {
        let order = self.next.fetch_add(1, Ordering::Relaxed);
        let mut troubles = self.lock();
        if let Some(entry) = troubles.get_mut(&client) {
            // A vaguer reason that follows a clear one says nothing new.
            if entry.class.rank() > reason.class.rank() {
                return;
            }
            if entry.trouble.sentence == reason.sentence {
                entry.order = order;
                return;
            }
        }
        let trouble =
            Trouble { permanent: reason.permanent(), sentence: reason.sentence, since_ms: clock::wall_ms() };
        troubles.insert(client, Entry { class: reason.class, trouble, order });
    }

    /// Whether this line may be said now.
    fn may_say(&self, line: &str) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.may_say(line, clock::monotonic())
    }
}

impl Said {
    fn may_say(&mut self, line: &str, now: Instant) -> bool {
        let key: String = line.chars().filter(|c| !c.is_ascii_digit()).collect();
        let said = &mut self.0;
        if said.get(&key).is_some_and(|at| now.saturating_duration_since(*at) < SAY_AGAIN_AFTER) {
            return false;
        }
        // Better said too often than not at all.
        if said.len() >= SAID_MAX
            && !said.contains_key(&key)
            && let Some(oldest) = said.iter().min_by_key(|(_, at)| **at).map(|(line, _)| line.clone())
        {
            said.remove(&oldest);
        }
        said.insert(key, now);
        true
    }
}

/// The part of a client's context that all clients have in common.
pub(super) struct Base {
    book: Arc<Book>,
    tokens: Option<Arc<Tokens>>,
    name: String,
    client: u64,
    /// Whether the book has an entry of this client; spares the lock on every good answer.
    troubled: AtomicBool,
    /// Whether the library has said that no broker is reachable, since the last good answer.
    all_down: AtomicBool,
    /// Whether those who ask get the reason as the error of their question: a line in the log would
    /// say the same again.
    quiet: bool,
    /// How many callbacks have run.
    callbacks: AtomicU64,
}

impl Base {
    pub(super) fn new(book: Arc<Book>, tokens: Option<Arc<Tokens>>, name: &str) -> Base {
        let client = book.next.fetch_add(1, Ordering::Relaxed);
        Base {
            book,
            tokens,
            name: name.to_owned(),
            client,
            troubled: AtomicBool::new(false),
            all_down: AtomicBool::new(false),
            quiet: false,
            callbacks: AtomicU64::new(0),
        }
    }

    /// For a client that is only asked: whoever asks says why there is no answer.
    pub(super) fn quiet(mut self) -> Base {
        self.quiet = true;
        self
    }

    /// A callback runs.
    pub(super) fn count(&self) {
        self.callbacks.fetch_add(1, Ordering::Relaxed);
    }

    /// Polls, without waiting, until there is no callback to run; or for long enough.
    pub(super) fn serve(&self, poll: impl Fn()) {
        for _ in 0..SERVED_MAX {
            let before = self.callbacks.load(Ordering::Relaxed);
            poll();
            if self.callbacks.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }

    /// How many callbacks have run.
    pub(super) fn callbacks(&self) -> u64 {
        self.callbacks.load(Ordering::Relaxed)
    }

    /// To be called with every good answer of a broker: what was in the way is gone.
    pub(super) fn heard(&self) {
        self.all_down.store(false, Ordering::Relaxed);
        if self.troubled.swap(false, Ordering::Relaxed) {
            self.book.lock().remove(&self.client);
            if self.book.may_say(&format!("{} healed", self.name)) {
                tracing::info!(client = self.name, "the cluster answers again");
            }
        }
    }

    /// Notes a reason that the caller found by itself.
    pub(super) fn note(&self, reason: Reason) {
        if !self.quiet && self.book.may_say(&reason.sentence) {
            tracing::warn!(client = self.name, "{}", reason.sentence);
        }
        self.note_quietly(reason);
    }

    fn note_quietly(&self, reason: Reason) {
        self.troubled.store(true, Ordering::Relaxed);
        self.book.note(self.client, reason);
    }

    /// Why this client has no connection, as far as is known.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.book.lock().get(&self.client).map(|entry| entry.trouble.clone())
    }

    /// How much is known of that.
    pub(super) fn class(&self) -> Option<Class> {
        self.book.lock().get(&self.client).map(|entry| entry.class)
    }

    /// Whether no broker is reachable.
    pub(super) fn all_down(&self) -> bool {
        self.all_down.load(Ordering::Relaxed)
    }

    /// The token to present now; `None` when tokens are not how we authenticate.
    pub(super) fn token(&self) -> Option<Result<OAuthToken, String>> {
        let tokens = self.tokens.as_ref()?;
        Some(tokens.current().map_err(|reason| {
            let sentence = reason.sentence.clone();
            self.note(reason);
            sentence
        }))
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        self.book.lock().remove(&self.client);
    }
}

impl ClientContext for Base {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, level: RDKafkaLogLevel, fac: &str, line: &str) {
        self.count();
        // A failed connection is told to the error callback as well, which says it clearly; what ends a
        // client or a transaction is the error of its next call. A setting that only the other kind of
        // client has is no mistake: all share one list.
        let echo = matches!(fac, "FAIL" | "ERROR" | "FATAL" | "ADDPARTS" | "TXNERR")
            || (fac == "CONFWARN" && line.contains("property and will be ignored by"));
        let line = self.book.scrub(line);
        match level {
            RDKafkaLogLevel::Debug => tracing::debug!(client = self.name, "librdkafka {fac}: {line}"),
            _ if echo => tracing::debug!(client = self.name, "librdkafka {fac}: {line}"),
            RDKafkaLogLevel::Info => tracing::debug!(client = self.name, "librdkafka {fac}: {line}"),
            _ if !self.book.may_say(&line) => {}
            RDKafkaLogLevel::Notice => tracing::info!(client = self.name, "librdkafka {fac}: {line}"),
            _ => tracing::warn!(client = self.name, "librdkafka {fac}: {line}"),
        }
    }

    fn stats_raw(&self, _statistics: &[u8]) {
        // The library's own default prints a page at every interval; nothing reads them here.
    }

    fn error(&self, error: LibraryError, text: &str) {
        self.count();
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.all_down.store(true, Ordering::Relaxed);
        }
        let text = self.book.scrub(text);
        // These end the call they are about, and whoever made it says so.
        let answered = matches!(
            code,
            RDKafkaErrorCode::GroupAuthorizationFailed | RDKafkaErrorCode::TransactionalIdAuthorizationFailed
        );
        match explain(code, &text, &self.book.facts) {
            // A guess is no line in the log: the reason often comes right after it.
            Some(reason) if answered || reason.class == Class::Silent => self.note_quietly(reason),
            Some(reason) => self.note(reason),
            None => tracing::debug!(client = self.name, "librdkafka {code:?}: {text}"),
        }
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        self.count();
        match self.token() {
            Some(Ok(token)) => Ok(token),
            Some(Err(sentence)) => Err(sentence.into()),
            None => Err("no source of tokens is set".into()),
        }
    }
}

impl ConsumerContext for Base {}

impl ProducerContext for Base {
    type DeliveryOpaque = ();

    fn delivery(&self, _result: &DeliveryResult<'_>, _opaque: ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_silences_only_what_was_said() {
        let mut said = Said::default();
        let began = clock::monotonic();
        let lines = 2 * SAID_MAX;
        for number in 1..=lines {
            // Numbers in a line do not make it another one.
            let line = format!("{number} {}", "x".repeat(number));
            let now = began + Duration::from_millis(number as u64);
            assert!(said.may_say(&line, now) && !said.may_say(&line, now), "{number}");
        }
        assert_eq!(said.0.len(), SAID_MAX);
        let last = "x".repeat(lines);
        assert!(!said.may_say(&format!("0 {last}"), began + SAY_AGAIN_AFTER));
        assert!(said.may_say(&format!("0 {last}"), began + 2 * SAY_AGAIN_AFTER));
    }
}
