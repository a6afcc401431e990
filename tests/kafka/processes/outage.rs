//! A cluster that is not there yet, goes away and comes back: the instance waits, says why, and
//! goes on by itself.

use super::place::{Place, bad_survey};
use crate::support::{Broker, Listener, Options};

/// Lines that may be written through start, outage and recovery.
const LINES: usize = 60;

#[test]
fn an_instance_waits_for_its_cluster_and_survives_its_absence() {
    let mut broker = Broker::start(Options::plain());
    broker.stop();
    let address = broker.bootstrap(Listener::Plain);
    // Shorter than the outage: the group must let its member in again.
    let place = Place::new(&address, "outage").kafka("session_timeout: 3s").kafka("transaction_timeout: 2s");
    let instance = place.start("one");
    let line = instance.lines.wait("waiting for the cluster");
    assert!(line.contains(&format!("no connection to {address}")), "{line}");
    instance.until(503, &format!("[-] cluster: no connection to {address}"));
    assert_eq!(instance.process.get("/livez").0, 200);

    broker.restart();
    instance.ready();
    let following = place.follow("risks");
    instance.post(&bad_survey("before"));
    following.lines.wait("before");
    drop(following);

    broker.stop();
    instance.until(503, "[-] cluster: ");
    assert_eq!(instance.process.get("/livez").0, 200);
    broker.restart();
    instance.until(200, "[+] cluster: ok");
    let following = place.follow("risks");
    instance.post(&bad_survey("after"));
    let line = following.lines.wait("after");
    assert!(line.contains("detractor"), "{line}");
    let said = instance.lines.text();
    assert!(said.lines().count() <= LINES, "{said}");
    instance.stop();
}
