//! Bearer tokens: from a file that something else keeps fresh, or from a token endpoint by the
//! client-credentials grant (RFC 6749, section 4.4). One token serves all clients of the process.
//!
//! A token is never logged, and neither is what it was bought with.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rdkafka::client::OAuthToken;
use secrecy::{ExposeSecret, SecretString};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};

use crate::clock;

use super::options::TokenSource;
use super::reasons::{Class, Reason};
use super::security::Scrub;

/// Longest time for the token endpoint. A worker may wait for it, so it stays below a session.
const ENDPOINT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;
/// How long a token holds that does not say it.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(300);
/// A token with less left counts as expired: it has to travel.
const LEFT_MIN: Duration = Duration::from_secs(2);
/// After a failure the source is left alone this long.
const FAILURE_HOLDS: Duration = Duration::from_secs(3);

/// A token in hand.
#[derive(Clone)]
struct Token {
    token: SecretString,
    principal: String,
    taken_ms: i64,
    expires_ms: i64,
}

/// The tokens of a process.
pub(super) struct Tokens {
    source: TokenSource,
    scrub: Scrub,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Token>,
    failed: Option<(Instant, Reason)>,
}

impl Tokens {
    pub(super) fn new(source: TokenSource, scrub: Scrub) -> Tokens {
        Tokens { source, scrub, held: Mutex::default() }
    }

    /// A token to present now.
    pub(super) fn current(&self) -> Result<OAuthToken, Reason> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::wall_ms();
        // The library asks again when four fifths of a token's life are over; all its clients at
        // about the same time. The first of them fetches, the others find the new one here.
        if let Some(token) = held.token.as_ref().filter(|token| token.fresh(now)) {
            return Ok(token.hand_over());
        }
        if let Some((at, reason)) = &held.failed
            && clock::monotonic().saturating_duration_since(*at) < FAILURE_HOLDS
        {
            return Err(reason.clone());
        }
        match self.fetch(now) {
            Ok(token) => {
                let answer = token.hand_over();
                *held = Held { token: Some(token), failed: None };
                Ok(answer)
            }
            Err(mut reason) => {
                reason.sentence = self.scrub.apply(&reason.sentence);
                held.failed = Some((clock::monotonic(), reason.clone()));
                Err(reason)
            }
        }
    }

    fn fetch(&self, now: i64) -> Result<Token, Reason> {
        let (token, place) = match &self.source {
            TokenSource::File(path) => (from_file(path, now)?, format!("the token in {}", path.display())),
            TokenSource::ClientCredentials { token_url, client_id, client_secret, scope } => {
                let grant = Grant { token_url, client_id, client_secret, scope: scope.as_deref() };
                (grant.ask(now)?, format!("the token from {token_url}"))
            }
        };
        let left_min = i64::try_from(LEFT_MIN.as_millis()).unwrap_or(0);
        if token.expires_ms - now < left_min {
            let sentence =
                format!("{place} has expired; check that whatever issues it is at work, and the clocks");
            return Err(Reason::new(Class::Token, sentence));
        }
        Ok(token)
    }
}

impl Token {
    /// Whether a third of its life is left, so that it need not be fetched anew.
    fn fresh(&self, now: i64) -> bool {
        let life = self.expires_ms.saturating_sub(self.taken_ms);
        self.expires_ms.saturating_sub(now) > life / 3
    }

    fn hand_over(&self) -> OAuthToken {
        OAuthToken {
            token: self.token.expose_secret().to_owned(),
            principal_name: self.principal.clone(),
            lifetime_ms: self.expires_ms,
        }
    }

    fn new(text: &str, now: i64, expires_in: Option<Duration>) -> Token {
        let claims = claims(text);
        let said = |name: &str| claims.as_ref().and_then(|claims| claims.get(name));
        let expires = said("exp").and_then(serde_json::Value::as_f64).map(|secs| (secs * 1000.0) as i64);
        let expires_in = expires_in.unwrap_or(UNKNOWN_LIFETIME).as_millis();
        let principal = said("sub").and_then(serde_json::Value::as_str).unwrap_or_default();
        Token {
            token: text.into(),
            principal: principal.to_owned(),
            taken_ms: now,
            expires_ms: expires.unwrap_or(now.saturating_add(i64::try_from(expires_in).unwrap_or(i64::MAX))),
        }
    }
}

/// The claims of a token, if it is a JWT. Its signature is the broker's to verify.
fn claims(token: &str) -> Option<serde_json::Value> {
    let mut parts = token.split('.');
    let payload = parts.nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?).ok()
}

fn from_file(path: &Path, now: i64) -> Result<Token, Reason> {
    let unusable = |why: String| {
        let sentence =
            format!("the token file {} {why}; check the path and whatever writes it", path.display());
        Reason::new(Class::Token, sentence)
    };
    let text = fs::read_to_string(path).map_err(|error| unusable(format!("cannot be read ({error})")))?;
    let text = text.trim();
    if text.is_empty() || text.contains(char::is_whitespace) || text.contains('\0') {
        return Err(unusable("does not hold one token and nothing else".to_owned()));
    }
    Ok(Token::new(text, now, None))
}

/// One request to a token endpoint.
struct Grant<'a> {
    token_url: &'a str,
    client_id: &'a str,
    client_secret: &'a SecretString,
    scope: Option<&'a str>,
}

/// An answer of a token endpoint. It must not be printed.
#[derive(serde::Deserialize)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<f64>,
    error: Option<String>,
    error_description: Option<String>,
}

impl Grant<'_> {
    fn ask(&self, now: i64) -> Result<Token, Reason> {
        let tls =
            TlsConfig::builder().provider(TlsProvider::NativeTls).root_certs(RootCerts::PlatformVerifier);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(ENDPOINT_TIMEOUT))
            .tls_config(tls.build())
            .build()
            .into();
        let pair =
            format!("{}:{}", form_encoded(self.client_id), form_encoded(self.client_secret.expose_secret()));
        let mut form = "grant_type=client_credentials".to_owned();
        if let Some(scope) = self.scope {
            form = format!("{form}&scope={}", form_encoded(scope));
        }
        let answer = agent
            .post(self.token_url)
            .header("authorization", format!("Basic {}", STANDARD.encode(pair)))
            .header("accept", "application/json")
            .content_type("application/x-www-form-urlencoded")
            .send(form)
            .and_then(|mut answer| {
                let status = answer.status().as_u16();
                let body = answer.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
                Ok((status, body))
            });
        let (status, body) = answer.map_err(|error| {
            let sentence = format!(
                "the token endpoint {} does not answer ({error}); check its address, and that its certificate \
                 is of an authority this system trusts",
                self.token_url
            );
            Reason::new(Class::Token, sentence)
        })?;
        self.read(status, &body, now)
    }

    fn read(&self, status: u16, body: &[u8], now: i64) -> Result<Token, Reason> {
        let answer = serde_json::from_slice::<Answer>(body).ok();
        match answer {
            Some(Answer { access_token: Some(token), expires_in, .. }) if status == 200 => {
                let expires_in = expires_in.and_then(|secs| Duration::try_from_secs_f64(secs).ok());
                Ok(Token::new(&token, now, expires_in))
            }
            answer => {
                let said = answer.and_then(|answer| Some((answer.error?, answer.error_description)));
                let said = match said {
                    Some((error, Some(more))) => format!("HTTP {status}, {error}: {more}"),
                    Some((error, None)) => format!("HTTP {status}, {error}"),
                    None => format!("HTTP {status}"),
                };
                // The endpoint knows us and says no; anything else may pass.
                let refused = matches!(status, 400 | 401 | 403);
                let class = if refused { Class::Authentication } else { Class::Token };
                let sentence = format!(
                    "the token endpoint {} gives no token to client {:?} ({said}); check id, secret, scope and \
                     address",
                    self.token_url, self.client_id
                );
                Err(Reason::new(class, sentence))
            }
        }
    }
}

/// `application/x-www-form-urlencoded`.
fn form_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
        out
    })
}
