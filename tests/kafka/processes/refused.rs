//! What cannot work says why: one sentence, soon, once, without secrets, and the exit code tells
//! whether waiting can heal it.

use std::net::TcpListener;
use std::time::Duration;

use super::place::{Place, Said};
use super::secured::{PASSWORD, broker, path, security};
use crate::support::Listener;

/// Only against waiting for ever: no case comes near.
const HANG: Duration = Duration::from_secs(15);
/// Lines that a process that cannot work may write in all.
const LINES: usize = 8;
const WRONG: &str = "wr0ng-passw0rd";

/// A case: where it is, what its sentence says, and how `check --connect` ends.
struct Case {
    place: Place,
    sentence: String,
    check: i32,
}

fn case(listener: Listener, security_pairs: &[(&str, &str)], sentence: &str) -> Case {
    let place = Place::new(&broker().bootstrap(listener), "open-refused").kafka(&security(security_pairs));
    Case { place: place.secret(PASSWORD).secret(WRONG), sentence: sentence.to_owned(), check: 69 }
}

/// What lets alice in.
fn as_alice() -> String {
    let pairs = [
        ("protocol", "sasl_ssl"),
        ("ca_file", path(&broker().certificates().ca)),
        ("mechanism", "scram-sha-512"),
        ("username", "alice"),
        ("password", PASSWORD),
    ];
    security(&pairs)
}

/// As alice, with her password.
fn alice(change: impl Fn(Place) -> Place, sentence: &str) -> Case {
    let place = Place::new(&broker().bootstrap(Listener::Scram), "open-refused").kafka(&as_alice());
    let place = change(place.secret(PASSWORD));
    Case { place, sentence: sentence.to_owned(), check: 3 }
}

fn cases() -> Vec<Case> {
    let certificates = broker().certificates();
    let (ca, unknown) = (path(&certificates.ca), path(&certificates.unknown_ca));
    let password = [
        ("protocol", "sasl_ssl"),
        ("ca_file", ca),
        ("mechanism", "scram-sha-512"),
        ("username", "alice"),
        ("password", WRONG),
    ];
    let unverified = "cannot be verified: it is of an unknown authority (check the CA file in kafka.security), does \
                      not name this host";
    vec![
        case(Listener::Scram, &password, "refuses user \"alice\" by SCRAM-SHA-512"),
        case(Listener::Tls, &[("protocol", "ssl"), ("ca_file", unknown)], unverified),
        case(Listener::TlsOtherHost, &[("protocol", "ssl"), ("ca_file", ca)], unverified),
        case(
            Listener::Mtls,
            &[("protocol", "ssl"), ("ca_file", ca)],
            "asks for a client certificate and we have none",
        ),
        alice(
            |place| place.input("closed.v1"),
            "user \"alice\" has no access to the topic closed.v1, or it does not exist",
        ),
        alice(
            |place| place.group("deaf"),
            "user \"alice\" has no access to the consumer group deaf; grant READ on it",
        ),
        alice(|place| place.group("mute"), "user \"alice\" may not use the transactional id mute-one-"),
    ]
}

/// Exactly one sentence, and not much else.
fn one_sentence(said: &Said, case: &Case, code: i32) {
    assert_eq!(said.code, Some(code), "{}{}", said.out, said.err);
    let errors: Vec<&str> = said.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", said.err);
    assert!(errors[0].contains(&case.sentence), "{}: {}", case.sentence, said.err);
    let times = said.err.lines().filter(|line| line.contains(&case.sentence)).count();
    assert_eq!(times, 1, "{}", said.err);
    assert!(said.err.lines().count() <= LINES, "{}", said.err);
    assert!(said.took < HANG, "{:?}", said.took);
}

#[test]
fn what_waiting_cannot_heal_is_one_sentence_and_an_end() {
    let topics = Place::new(&broker().bootstrap(Listener::Plain), "open-refused");
    topics.expect(0, "one", &["topics", "create"]);
    let listen = ["run", "--listen", "127.0.0.1:0", "--data"];
    std::thread::scope(|scope| {
        for case in cases() {
            scope.spawn(move || {
                one_sentence(&case.place.ask("one", &["check", "--connect"]), &case, case.check);
                let data = case.place.file("data");
                let run = case.place.ask("one", &[&listen[..], &[path(&data)]].concat());
                one_sentence(&run, &case, 69);
                // Secrets are looked for in whatever is said, this most talkative run included.
                let wordy = [&listen[..], &[path(&data), "-vv"]].concat();
                assert_eq!(case.place.ask("one", &wordy).code, Some(69));
            });
        }
    });
}

#[test]
fn a_right_that_only_the_work_needs_ends_an_instance_too() {
    let plain = broker().bootstrap(Listener::Plain);
    Place::new(&plain, "readonly").expect(0, "one", &["topics", "create"]);
    Place::new(&plain, "open-half").input("writeonly.v1").expect(0, "one", &["topics", "create"]);
    let at = |name: &str| Place::new(&broker().bootstrap(Listener::Scram), name).kafka(&as_alice());
    let no_write = (at("readonly").group("open-readonly"), "has no access to the topic readonly.");
    let no_read = (at("open-half").input("writeonly.v1"), "has no access to the topic writeonly.v1");
    std::thread::scope(|scope| {
        for (place, sentence) in [no_write, no_read] {
            scope.spawn(move || {
                let data = place.file("data");
                let said = place.ask("one", &["run", "--listen", "127.0.0.1:0", "--data", path(&data)]);
                assert_eq!(said.code, Some(69), "{}", said.err);
                let told: Vec<&str> = said.err.lines().filter(|line| line.contains(sentence)).collect();
                assert!(told.len() == 1 && told[0].starts_with("error: user \"alice\""), "{}", said.err);
                // It worked until then, and once is enough.
                assert!(!said.err.contains("starts again"), "{}", said.err);
            });
        }
    });
}

#[test]
fn a_port_where_nobody_listens_ends_commands_and_an_instance_waits() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let place = Place::new(&closed.to_string(), "nowhere");
    let sentence = format!("no connection to {closed} (");
    let case = Case { place, sentence, check: 69 };
    for command in [
        &["check", "--connect"][..],
        &["topics", "list"],
        &["status"],
        &["tail", "risks"],
        &["explain", "acme"],
    ] {
        one_sentence(&case.place.ask("one", command), &case, case.check);
    }
    let instance = case.place.start("one");
    let line = instance.lines.wait("waiting for the cluster");
    assert!(line.contains(&case.sentence) && line.contains("check that the broker runs"), "{line}");
    instance.until(503, &format!("[-] cluster: {}", case.sentence));
    assert_eq!(instance.process.get("/livez").0, 200);
    // Several attempts later it was said once.
    assert_eq!(instance.lines.count(&case.sentence), 1, "{}", instance.lines.text());
    instance.stop();
}
