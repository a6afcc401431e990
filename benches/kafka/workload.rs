//! The fixed workload, loaded into the input topics in one of the encodings. It ends at the
//! present: a live clock goes on to the present when everything is read, and must not find years
//! of silence there.

use accountpulse::clock;
use accountpulse::simulate::{Workload, WorkloadOptions};
use prost::Message;

use crate::cluster::{Cluster, Observer, Sender};
use crate::protobuf::to_message;

const DAY_MS: i64 = 86_400_000;
/// Before the present: what is told of the future by a clock that is a little off is refused.
const MARGIN_MS: i64 = 60_000;

/// How events are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Json,
    Proto,
}

impl Encoding {
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Json => "json",
            Encoding::Proto => "proto",
        }
    }
}

/// What was loaded.
#[derive(Clone, Copy, Debug)]
pub struct Loaded {
    pub events: u64,
    pub bytes: u64,
}

/// Loads `events` events of the 60 days before now; the name of the topics is that of the encoding.
pub fn load(cluster: &Cluster, inputs: &str, encoding: Encoding, events: u64) -> Loaded {
    cluster.create(&format!("load-{inputs}"), inputs);
    let mut options = WorkloadOptions::new(1, events);
    options.start_ms = clock::wall_ms() - i64::from(options.days) * DAY_MS - MARGIN_MS;
    let mut workload = Workload::new(options);
    let mut sender = Sender::new(cluster, inputs, "50");
    let (mut json, mut account, mut bytes) = (Vec::new(), Vec::new(), 0);
    loop {
        json.clear();
        account.clear();
        let Some(event) = workload.next_into(&mut json) else { break };
        Workload::push_account_id(event.account, &mut account);
        if encoding == Encoding::Proto {
            let message = to_message(&serde_json::from_slice(&json).expect("the workload is JSON"));
            json.clear();
            message.encode(&mut json).expect("a Vec takes everything");
        }
        bytes += json.len() as u64;
        sender.send(event.kind, &account, &json);
    }
    sender.flush();
    let appended = Observer::new(cluster, "loader", inputs).appended();
    assert_eq!(appended, events, "events were lost on the way to the broker");
    Loaded { events, bytes }
}
