//! Speaking to a running instance over HTTP. The address is looked up anew for every attempt, so
//! a client survives a restart of the instance, even at another port.

use std::path::PathBuf;
use std::time::Duration;

use crate::ingest::topics::{FOLLOW_MAX_SECS, NEXT_HEADER};

use super::instance::Instance;

/// Longest time for one answer: a long poll and a little more.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(FOLLOW_MAX_SECS + 15);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Where the instance is.
#[derive(Clone, Debug)]
pub enum Target {
    /// At this address.
    Url(String),
    /// Whichever uses this data directory.
    DataDir(PathBuf),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No instance is known.
    #[error(
        "no instance runs on {data_dir}; start one with `accountpulse run` or `accountpulse demo`, \
             or name its address with --url"
    )]
    NoInstance {
        /// Which data directory.
        data_dir: String,
    },
    /// It does not answer.
    #[error("{url} does not answer: {detail}; is the instance running?")]
    Unreachable {
        /// Which address.
        url: String,
        /// What went wrong.
        detail: String,
    },
}

/// An answer, whatever its status.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Seconds to wait before trying again, if said.
    pub retry_after_secs: Option<u64>,
    /// Where the next read of a topic starts, if said.
    pub next: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// A connection to one instance.
#[derive(Debug)]
pub struct Client {
    target: Target,
    agent: ureq::Agent,
}

impl Client {
    /// A client; connects with the first request.
    pub fn new(target: Target) -> Client {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .into();
        Client { target, agent }
    }

    /// The base address as of now.
    pub fn base(&self) -> Result<String, ClientError> {
        match &self.target {
            Target::Url(url) => Ok(url.trim_end_matches('/').to_owned()),
            Target::DataDir(dir) => Instance::read(dir)
                .map(|instance| instance.url)
                .ok_or_else(|| ClientError::NoInstance { data_dir: dir.display().to_string() }),
        }
    }

    /// Reads.
    pub fn get(&self, path: &str) -> Result<Answer, ClientError> {
        let url = format!("{}{path}", self.base()?);
        let sent = self.agent.get(&url).call();
        answer(&url, sent)
    }

    /// Sends.
    pub fn post(&self, path: &str, media: &str, body: &[u8]) -> Result<Answer, ClientError> {
        let url = format!("{}{path}", self.base()?);
        let sent = self.agent.post(&url).header("content-type", media).send(body);
        answer(&url, sent)
    }
}

fn answer(
    url: &str,
    sent: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<Answer, ClientError> {
    let failed =
        |error: ureq::Error| ClientError::Unreachable { url: url.to_owned(), detail: error.to_string() };
    let mut response = sent.map_err(failed)?;
    let header = |name: &str| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
    let retry_after_secs = header("retry-after").and_then(|text| text.parse().ok());
    let next = header(NEXT_HEADER);
    let status = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec().map_err(failed)?;
    Ok(Answer { status, retry_after_secs, next, body })
}
