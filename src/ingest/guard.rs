//! What applies to every request: only loopback names as Host (a page of another site that
//! resolves its name to 127.0.0.1 is refused), no cross-site POST from a browser, security headers
//! on every answer, and its duration as a metric.

use axum::extract::{MatchedPath, Request};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::problem::Problem;
use crate::clock;
use crate::telemetry::catalogue::HTTP_SECONDS;

const HEADERS: [(HeaderName, &str); 6] = [
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    ),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (REFERRER_POLICY, "no-referrer"),
    (CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

/// Refuses what a browser may have been tricked into sending.
pub async fn guard(request: Request, next: Next) -> Response {
    if let Err(problem) = check(request.method(), request.headers()) {
        return problem.into_response();
    }
    next.run(request).await
}

fn check(method: &Method, headers: &HeaderMap) -> Result<(), Problem> {
    let text = |name: HeaderName| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    let host = text(HOST).unwrap_or_default();
    if !is_loopback_name(host) {
        return Err(Problem::new(
            StatusCode::MISDIRECTED_REQUEST,
            "urn:accountpulse:problem:host",
            "Wrong host",
            "this instance answers to localhost, 127.0.0.1 and [::1] only; use one of them in the address",
        ));
    }
    if method.is_safe() {
        return Ok(());
    }
    let site = text(HeaderName::from_static("sec-fetch-site"));
    let foreign_site = site.is_some_and(|site| site != "same-origin" && site != "none");
    let own_origin = format!("http://{host}");
    let foreign_origin = text(ORIGIN).is_some_and(|origin| !origin.eq_ignore_ascii_case(&own_origin));
    if foreign_site || foreign_origin {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "urn:accountpulse:problem:cross-site",
            "Cross-site request",
            "a page of another site must not send events; send them from a program",
        ));
    }
    Ok(())
}

/// Whether a Host header names this machine by a loopback name, with any port.
fn is_loopback_name(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let loopback = name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback || name.eq_ignore_ascii_case("localhost")
}

/// Puts security headers on every answer and its duration into the metrics.
pub async fn finish(request: Request, next: Next) -> Response {
    let started = clock::monotonic();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let method = request.method().clone();
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    let route = route.as_ref().map_or("other", |path| path.as_str());
    let method = match method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let status = response.status();
    let seconds = clock::monotonic().duration_since(started).as_secs_f64();
    HTTP_SECONDS.observe(&[route, method, status.as_str()], seconds);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_hosts_and_own_origins_pass() {
        type Case = (Method, &'static [(&'static str, &'static str)], bool);
        let cases: [Case; 10] = [
            (Method::GET, &[("host", "127.0.0.1:9464")], true),
            (Method::GET, &[("host", "localhost:1")], true),
            (Method::GET, &[("host", "[::1]:9464")], true),
            (Method::GET, &[("host", "evil.example:9464")], false),
            (Method::GET, &[("host", "127.0.0.1.evil.example")], false),
            (Method::GET, &[], false),
            (Method::POST, &[("host", "localhost:1"), ("sec-fetch-site", "cross-site")], false),
            (Method::POST, &[("host", "localhost:1"), ("origin", "https://evil.example")], false),
            (Method::POST, &[("host", "localhost:1"), ("origin", "http://localhost:1")], true),
            (Method::POST, &[("host", "localhost:1")], true),
        ];
        for (method, headers, passes) in cases {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                map.insert(*name, HeaderValue::from_static(value));
            }
            assert_eq!(check(&method, &map).is_ok(), passes, "{method} {headers:?}");
        }
    }
}
