//! What an event costs: the fixed workload through the decoder alone and through decoder and
//! engine, on one thread, and the memory of a typical account. Prints `name value unit` lines;
//! the ratios are of one run on one machine, and no test asserts them. The `dev` profile is the
//! optimised one everything else is built with already.
//!
//! ```text
//! cargo bench --profile dev --bench replay               # 5 million events
//! cargo bench --profile dev --bench replay -- 1000000    # fewer
//! ```

use std::fs;
use std::hint::black_box;
use std::sync::Arc;

use accountpulse::clock;
use accountpulse::engine::event::{Event, PersonKey, decode_json};
use accountpulse::engine::{EngineConfig, Input, Shard, ShardId};
use accountpulse::simulate::{Workload, WorkloadOptions};

/// What the program runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Events of the workload unless the command line says otherwise.
const EVENTS: u64 = 5_000_000;
/// Typical accounts that are measured.
const TYPICAL_ACCOUNTS: u32 = 10_000;
/// Events between two steps of the clock, as a worker's commit has them.
const BATCH_EVENTS: usize = 5_000;
/// Typical accounts between two drains, so that what waits to be told weighs nothing.
const DRAIN_EVERY_ACCOUNTS: u32 = 500;
/// Most effects of one drain.
const MAX_EFFECTS: usize = 2_000;
const DAY_MS: i64 = 86_400_000;
/// 2026-01-05T00:00:00Z
const START_MS: i64 = 1_767_571_200_000;
const ONE_SHARD: ShardId = ShardId { partition: 0, partitions: 1 };

fn main() {
    // `cargo bench` adds `--bench`.
    let events = std::env::args().skip(1).find_map(|arg| arg.parse().ok()).unwrap_or(EVENTS);
    // First, while the process holds nothing that could be used again.
    typical_memory();
    let corpus = Corpus::new(events);
    print("events", events as f64, "events");
    print("json_mean", corpus.bytes.len() as f64 / events as f64, "bytes");
    let decode = decode_alone(&corpus);
    report("decode", events, decode);
    let Replayed { events: applied, clock, outputs } = decode_and_apply(&corpus);
    report("apply", events, applied);
    print("apply_to_decode_cpu", applied.cpu_seconds / decode.cpu_seconds.max(0.01), "ratio");
    // Days turn for every account, whether or not anything happens to it.
    let days = f64::from(WorkloadOptions::new(1, events).days);
    let account_days = f64::from(WorkloadOptions::new(1, events).accounts) * days;
    print("account_days_per_event", account_days / events as f64, "ratio");
    print("clock_per_account_day", clock.cpu_seconds * 1e6 / account_days, "us");
    let mut replay = applied;
    replay.add(clock);
    report("replay", events, replay);
    print("replay_outputs_per_event", outputs as f64 / events as f64, "ratio");
    print("replay_to_decode_cpu", replay.cpu_seconds / decode.cpu_seconds.max(0.01), "ratio");
}

/// The workload in memory, so that no disk is measured.
struct Corpus {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Corpus {
    fn new(events: u64) -> Corpus {
        let mut workload = Workload::new(WorkloadOptions::new(1, events));
        let (mut bytes, mut ends) = (Vec::with_capacity(events as usize * 240), Vec::new());
        while workload.next_into(&mut bytes).is_some() {
            ends.push(bytes.len());
        }
        Corpus { bytes, ends }
    }

    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }
}

fn key() -> PersonKey {
    PersonKey::new([7; 16])
}

fn decode<'a>(line: &'a [u8], key: &PersonKey) -> Event<'a> {
    decode_json(line, key).unwrap_or_else(|refusal| panic!("the workload is refused: {refusal}"))
}

fn decode_alone(corpus: &Corpus) -> Cost {
    let (key, meter) = (key(), Meter::start());
    for line in corpus.lines() {
        black_box(decode(line, &key));
    }
    meter.stop()
}

/// What a replay took: events, and the clock that follows them from batch to batch.
struct Replayed {
    events: Cost,
    clock: Cost,
    outputs: u64,
}

fn decode_and_apply(corpus: &Corpus) -> Replayed {
    let mut shard = Shard::new(Arc::new(EngineConfig::default()), ONE_SHARD);
    let mut replayed = Replayed { events: Cost::default(), clock: Cost::default(), outputs: 0 };
    let (key, mut lines) = (key(), corpus.lines().peekable());
    while lines.peek().is_some() {
        let (meter, mut newest_ms) = (Meter::start(), i64::MIN);
        for line in lines.by_ref().take(BATCH_EVENTS) {
            let event = decode(line, &key);
            apply(&mut shard, &event);
            newest_ms = event.occurred_at_ms;
        }
        replayed.events.add(meter.stop());
        let meter = Meter::start();
        replayed.outputs += advance(&mut shard, newest_ms);
        replayed.clock.add(meter.stop());
    }
    replayed
}

fn apply(shard: &mut Shard, event: &Event<'_>) {
    shard.apply(Input(0), event).unwrap_or_else(|refusal| panic!("the shard refuses: {refusal}"));
}

/// Lets the clock follow and takes what came out; returns how much.
fn advance(shard: &mut Shard, to_ms: i64) -> u64 {
    let mut outputs = 0;
    loop {
        let clock_ms = shard.advance(to_ms, MAX_EFFECTS);
        outputs += drain(shard, clock_ms);
        if clock_ms >= to_ms {
            return outputs;
        }
    }
}

fn drain(shard: &mut Shard, wall_ms: i64) -> u64 {
    let effects = shard.drain(wall_ms);
    black_box(&effects);
    (effects.scores.len() + effects.risks.len()) as u64
}

/// Typical: 25 users, 90 active days, 3 features, 5 tickets, 6 invoices, 4 contacts, 1 contract,
/// 3 surveys, a year of daily scores. What the process holds more after making such accounts.
fn typical_memory() {
    let before = resident_bytes();
    let mut shard = Shard::new(Arc::new(EngineConfig::default()), ONE_SHARD);
    let key = key();
    for day in 0..365 {
        for account in 0..TYPICAL_ACCOUNTS {
            for json in typical_day(account, day) {
                apply(&mut shard, &decode(json.as_bytes(), &key));
            }
            if account % DRAIN_EVERY_ACCOUNTS == 0 {
                drain(&mut shard, START_MS + day * DAY_MS);
            }
        }
        advance(&mut shard, START_MS + (day + 1) * DAY_MS);
        shard.take_dirty();
    }
    let per_account = resident_bytes().saturating_sub(before) / u64::from(TYPICAL_ACCOUNTS);
    print("typical_account_resident", per_account as f64, "bytes");
    let page = Shard::page_of("account-00000000", 1);
    print("typical_page_256th_of_all", shard.encode_page(page).len() as f64, "bytes");
}

/// The events of one typical account on one day of its year.
fn typical_day(account: u32, day: i64) -> Vec<String> {
    let at =
        |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap_or_else(|error| panic!("{error}")).to_string();
    // All of a day at one time, so that time never goes back between accounts.
    let now = at(START_MS + day * DAY_MS + DAY_MS / 2);
    let id = format!("account-{account:08}");
    let mut out = Vec::new();
    let mut tell = |kind: &str, number: i64, body: String| {
        out.push(format!(
            r#"{{"id":"{kind}-{day}-{number}","account_id":"{id}","occurred_at":"{now}","{kind}":{{{body}}}}}"#
        ));
    };
    if day == 0 {
        tell(
            "account",
            0,
            r#""name":"Typical","segment":"mid","industry":"retail","owner":"ana.silva""#.into(),
        );
        let (start, end) = (at(START_MS), at(START_MS + 400 * DAY_MS));
        tell(
            "contract",
            0,
            format!(
                r#""id":"k1","start_at":"{start}","end_at":"{end}","recurring_minor":2400000,"currency":"EUR","seats":30"#
            ),
        );
        for contact in 0..4 {
            let role = ["champion", "sponsor", "admin", "user"][contact as usize];
            tell(
                "contact",
                contact,
                format!(r#""id":"c{contact}","role":"{role}","status":"active","user_id":"u{contact}""#),
            );
        }
    }
    if day % 60 == 5 {
        let (issued, due) = (at(START_MS + day * DAY_MS), at(START_MS + (day + 30) * DAY_MS));
        tell(
            "invoice",
            0,
            format!(
                r#""id":"i{day}","amount_minor":400000,"currency":"EUR","issued_at":"{issued}","due_at":"{due}","paid_at":"{now}""#
            ),
        );
    }
    if day % 73 == 7 {
        let opened = at(START_MS + day * DAY_MS);
        tell(
            "ticket",
            0,
            format!(
                r#""id":"t{day}","priority":"normal","status":"solved","opened_at":"{opened}","solved_at":"{now}""#
            ),
        );
    }
    if day % 120 == 9 {
        tell("survey", 0, format!(r#""id":"r{day}","type":"nps","score":9,"respondent":"u{}""#, day % 25));
    }
    if day >= 275 {
        for step in 0..2 {
            tell("login", step, format!(r#""user_id":"u{}""#, (day * 2 + step) % 25));
        }
        let feature = ["dashboards", "reports", "search"][(day % 3) as usize];
        tell("usage", 0, format!(r#""user_id":"u{}","feature":"{feature}","count":4"#, day % 25));
    }
    out
}

/// What a piece of work took.
#[derive(Clone, Copy, Default)]
struct Cost {
    wall_seconds: f64,
    cpu_seconds: f64,
}

impl Cost {
    fn add(&mut self, other: Cost) {
        self.wall_seconds += other.wall_seconds;
        self.cpu_seconds += other.cpu_seconds;
    }
}

struct Meter {
    wall: std::time::Instant,
    cpu_seconds: f64,
}

impl Meter {
    fn start() -> Meter {
        Meter { wall: clock::monotonic(), cpu_seconds: cpu_seconds() }
    }

    fn stop(self) -> Cost {
        let wall_seconds = clock::monotonic().duration_since(self.wall).as_secs_f64();
        Cost { wall_seconds, cpu_seconds: cpu_seconds() - self.cpu_seconds }
    }
}

fn report(name: &str, events: u64, cost: Cost) {
    let million = events as f64 / 1e6;
    print(&format!("{name}_rate"), events as f64 / cost.wall_seconds, "events/s");
    print(&format!("{name}_cpu_per_million"), cost.cpu_seconds / million, "cpu_s");
}

fn print(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}

/// User and system time of the process so far, from Linux' `/proc`; its tick is 10 ms.
fn cpu_seconds() -> f64 {
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = proc_file("stat");
    // The second field is a name in brackets and may hold spaces; utime and stime are 14 and 15.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks = after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok());
    ticks.sum::<u64>() as f64 / TICKS_PER_SECOND
}

/// Memory the process holds, from Linux' `/proc`.
fn resident_bytes() -> u64 {
    const PAGE_BYTES: u64 = 4096;
    let pages = proc_file("statm").split_whitespace().nth(1).and_then(|field| field.parse::<u64>().ok());
    pages.unwrap_or(0) * PAGE_BYTES
}

fn proc_file(name: &str) -> String {
    fs::read_to_string(format!("/proc/self/{name}"))
        .unwrap_or_else(|error| panic!("/proc/self/{name}: {error}"))
}
