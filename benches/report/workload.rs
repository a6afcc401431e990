//! The fixed workload, loaded into the input topics in one of the encodings. It ends at the
//! present: a live clock goes on to the present when everything is read, and must not find years
//! of silence there.

use accountpulse::clock;
use accountpulse::engine::event::Kind;
use accountpulse::simulate::{Workload, WorkloadOptions};
use prost::Message;

use crate::cluster::{Cluster, Job, Observer, Sender};
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

/// The workload of the days before now.
pub fn until_now(events: u64) -> WorkloadOptions {
    ending_now(WorkloadOptions::new(1, events))
}

/// Moves a workload so that it ends at the present.
pub fn ending_now(mut options: WorkloadOptions) -> WorkloadOptions {
    options.start_ms = clock::wall_ms() - i64::from(options.days) * DAY_MS - MARGIN_MS;
    options
}

/// Loads a workload into topics whose names begin with `inputs`. `each`: every account logs
/// in once before, so that all of them exist.
pub fn load(
    cluster: &Cluster,
    inputs: &str,
    encoding: Encoding,
    options: WorkloadOptions,
    each: bool,
) -> Loaded {
    eprintln!("# loading {} events of {} accounts in {}", options.events, options.accounts, encoding.name());
    cluster.create(Job::new(&format!("load-{inputs}"), inputs));
    let observer = Observer::new(cluster, "loader", inputs);
    let before = observer.appended();
    let mut sender = Sender::new(cluster, inputs, "50");
    let (mut json, mut account, mut bytes) = (Vec::new(), Vec::new(), 0);
    for number in (0..options.accounts).filter(|_| each) {
        account.clear();
        Workload::push_account_id(number, &mut account);
        let event = login(&account, options.start_ms);
        bytes += event.len() as u64;
        sender.send(Kind::Login, &account, event.as_bytes());
    }
    let mut workload = Workload::new(options);
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
    let appended = observer.appended() - before;
    assert_eq!(appended, sender.sent, "events were lost on the way to the broker");
    Loaded { events: appended, bytes }
}

/// The first login of an account.
fn login(account: &[u8], at_ms: i64) -> String {
    let account = std::str::from_utf8(account).expect("an id is text");
    let at = jiff::Timestamp::from_millisecond(at_ms).expect("a time");
    format!(r#"{{"id":"first","account_id":"{account}","occurred_at":"{at}","login":{{"user_id":"first"}}}}"#)
}
