//! Errors as RFC 9457 problem documents with a stable `type`.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// Seconds after which a throttled client may try again.
const RETRY_AFTER_SECS: u32 = 1;

/// An error answer.
#[derive(Debug, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'static str,
    status: u16,
    detail: String,
}

impl Problem {
    /// A problem of a stable kind (the last part of its `type`), with a sentence that says what to
    /// do next.
    pub fn new(
        status: StatusCode,
        kind: &'static str,
        title: &'static str,
        detail: impl Into<String>,
    ) -> Problem {
        Problem { kind, title, status: status.as_u16(), detail: detail.into() }
    }
}

/// JSON under the media type of problems; `body` has at least the members of a problem.
pub fn problem_json(status: StatusCode, body: &impl Serialize) -> Response {
    let mut response = (status, axum::Json(body)).into_response();
    let media = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, media);
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECS));
    }
    response
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        problem_json(status, &self)
    }
}

/// No route matches.
pub async fn no_route() -> Problem {
    let detail = "there is /v1/events, /v1/topics/{scores|risks|dead-letters}, /v1/dead-letters/resubmit, /metrics, \
                  /livez, /readyz and /version";
    Problem::new(StatusCode::NOT_FOUND, "urn:accountpulse:problem:not-found", "No such route", detail)
}

/// The route exists, the method does not.
pub async fn no_method() -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "urn:accountpulse:problem:method",
        "Method not allowed here",
        "events and lists of dead letters are sent with POST, everything else is read with GET",
    )
}
