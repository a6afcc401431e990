//! HTTP: events in, topics out, health and metrics. Loopback only; `docs/http.md` is the manual.
//!
//! ```text
//! POST /v1/events ── guard ── admission queue ── decoder ── durable append ── 200 | 207 | 422
//! GET  /v1/topics/{scores|risks|dead-letters}?from=…&follow=…      NDJSON, long poll
//! POST /v1/dead-letters/resubmit      refused records back to where they came from
//! GET  /metrics /version /-/healthy /-/ready /livez /readyz
//! ```
//!
//! An event is answered 2xx only when it is durable, and an event that arrives again changes
//! nothing downstream, so a client that heard nothing simply sends again.
//!
//! This room judges nothing about accounts and reads no state: it knows the log through [`Store`]
//! alone and the worker through [`health::Health`] alone.
//!
//! To add a route: a handler in the file of its subject, a line in [`router`], its row in
//! `docs/http.md`; the guard, the headers and the duration metric apply by themselves.

pub mod events;
mod form;
mod guard;
pub mod health;
pub mod letter;
mod problem;
pub mod put_back;
mod store;
pub mod topics;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::sync::Semaphore;

use crate::engine::event::Intake;

pub use store::{NewRecord, OldRecord, OutputTopic, Outputs, Store, StoreError, Stored};

/// What the handlers share.
pub struct Shared {
    /// Where events go and outputs come from.
    pub store: Arc<dyn Store>,
    /// Judges events before they are written.
    pub intake: Intake,
    /// What the worker reports about itself.
    pub health: Arc<health::Health>,
    /// Renders `/metrics`.
    pub render_metrics: Box<dyn Fn() -> String + Send + Sync>,
    /// Largest request body.
    pub request_bytes: usize,
    /// One permit per request that may wait for its durable write.
    pub queue: Arc<Semaphore>,
}

/// All routes.
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/v1/events", post(events::post_events))
        .route("/v1/topics/{topic}", get(topics::get_topic))
        .route("/v1/dead-letters/resubmit", post(put_back::post_resubmit))
        .route("/metrics", get(metrics))
        .route("/version", get(version))
        .route("/livez", get(health::live))
        .route("/-/healthy", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/-/ready", get(health::ready))
        .fallback(problem::no_route)
        .method_not_allowed_fallback(problem::no_method)
        .layer(middleware::from_fn(guard::guard))
        .layer(middleware::from_fn(guard::finish))
        .with_state(shared)
}

/// Serves until `shutdown` completes; requests under way are finished.
pub async fn serve(
    listener: tokio::net::TcpListener,
    shared: Arc<Shared>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    axum::serve(listener, router(shared)).with_graceful_shutdown(shutdown).await
}

async fn metrics(axum::extract::State(shared): axum::extract::State<Arc<Shared>>) -> Response {
    let text = (shared.render_metrics)();
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}

async fn version() -> Response {
    let version = serde_json::json!({
        "name": env!("CARGO_PKG_NAME"),
        "version": env!("CARGO_PKG_VERSION"),
    });
    axum::Json(version).into_response()
}
