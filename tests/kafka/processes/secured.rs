//! An instance and the commands on a cluster with TLS, passwords, certificates, tokens and
//! permissions: all of it works with no more than it needs.

use std::path::Path;
use std::sync::OnceLock;

use accountpulse::clock;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::place::{Place, bad_survey, event_file};
use crate::support::python::Produce;
use crate::support::{Broker, Listener, Options};

/// alice's, on every listener that asks for one.
pub const PASSWORD: &str = "alice-secret";

/// The broker of the cases about security: everybody may do everything with what is called
/// `open…`, and other things as the cases of `refused.rs` need it.
pub fn broker() -> &'static Broker {
    static SECURED: OnceLock<Broker> = OnceLock::new();
    SECURED.get_or_init(|| {
        let broker = Broker::start(Options::secured().acls(&[]));
        std::thread::scope(|scope| {
            scope.spawn(|| broker.warm_up());
            for resource in [
                "topic open*",
                "group open*",
                "transactional_id open*",
                "group mute*",
                "transactional_id deaf*",
            ] {
                let broker = &broker;
                scope.spawn(move || broker.allow("*", "all", resource));
            }
            // Rights to see and to do the one half: what is missing shows in the work alone.
            for (operation, resource) in [("read", "topic readonly*"), ("write", "topic writeonly*")] {
                let broker = &broker;
                scope.spawn(move || broker.allow("*", operation, resource));
            }
        });
        broker
    })
}

/// Lines of `kafka.security`, in the flow style.
pub fn security(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}: \"{value}\"")).collect();
    format!("security: {{{}}}", pairs.join(", "))
}

/// A certificate's path.
pub fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An unsigned token, which the test listener believes.
pub fn token(subject: &str) -> String {
    let now = clock::wall_ms() / 1000;
    let claims = format!(r#"{{"sub":"{subject}","iat":{now},"exp":{}}}"#, now + 3600);
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(&claims))
}

/// Starts an instance as `starter` says, sends two events, follows what becomes of them as `place`
/// says, and asks for a check.
fn works(starter: &Place, place: &Place) {
    let instance = starter.start("one");
    instance.ready();
    let following = place.follow("risks");
    instance.post(&bad_survey("by-http"));
    let file = place.file("events.jsonl");
    event_file(&file, &bad_survey("by-producer"));
    let plain = broker().bootstrap(Listener::Plain);
    assert_eq!(Produce::to(&plain).topic("*", &place.input_topic()).send(&[&file]), 1);
    for account in ["by-http", "by-producer"] {
        let line = following.lines.wait(account);
        assert!(line.contains("\"rule\":\"detractor\"") && line.contains("\"started\""), "{line}");
    }
    drop(following);
    let said = place.ask("two", &["check", "--connect"]);
    assert_eq!((said.code, said.err.as_str()), (Some(0), ""), "{}", said.out);
    // As talkative as can be, the library included: no secret shows.
    let wordy = starter.ask("one", &["check", "--connect", "-vv"]);
    assert_eq!(wordy.code, Some(0), "{}", wordy.err);
    assert!(wordy.err.contains("librdkafka"), "{}", wordy.err);
    instance.stop();
}

const WORDY: &str = "properties: {debug: \"all\"}";

#[test]
fn a_password_from_the_environment_or_a_file_over_tls() {
    let ca = path(&broker().certificates().ca);
    let to = broker().bootstrap(Listener::Scram);
    let common =
        [("protocol", "sasl_ssl"), ("ca_file", ca), ("mechanism", "scram-sha-512"), ("username", "alice")];
    let with = |more: (&str, &str)| security(&[&common[..], &[more]].concat());
    let starter = Place::new(&to, "open-scram")
        .kafka(&with(("password", "${KAFKA_PASSWORD}")))
        .variable("KAFKA_PASSWORD", PASSWORD)
        .kafka(WORDY)
        .secret(PASSWORD);
    let place = Place::new(&to, "open-scram").secret(PASSWORD);
    let file = place.file("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let place = place.kafka(&with(("password_file", path(&file))));
    works(&starter, &place);
}

#[test]
fn a_client_certificate() {
    let certificates = broker().certificates();
    let lines = security(&[
        ("protocol", "ssl"),
        ("ca_file", path(&certificates.ca)),
        ("certificate_file", path(&certificates.client)),
        ("key_file", path(&certificates.client_key)),
    ]);
    let place = || Place::new(&broker().bootstrap(Listener::Mtls), "open-mtls").kafka(&lines);
    works(&place().kafka(WORDY), &place());
}

#[test]
fn a_token_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    let bearer = token("bob");
    std::fs::write(&file, &bearer).unwrap();
    let lines = security(&[
        ("protocol", "sasl_plaintext"),
        ("mechanism", "oauthbearer"),
        ("token_file", path(&file)),
    ]);
    let claims = bearer.split('.').nth(1).unwrap();
    let place =
        || Place::new(&broker().bootstrap(Listener::OAuth), "open-token").kafka(&lines).secret(claims);
    works(&place().kafka(WORDY), &place());
}
