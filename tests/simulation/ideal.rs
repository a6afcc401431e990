//! Every state an account passes through when events are applied one by one and time passes from
//! deadline to deadline, by the event clock. It drives the engine itself and shares nothing with
//! the worker. A score that a worker publishes, wherever its commit falls, is one of these states.

use std::collections::BTreeMap;

use accountpulse::engine::event::{Encoding, Event, NoHeaders, RawRecord};
use accountpulse::engine::{Input, Shard, ShardId};
use serde_json::Value;

use super::history::{History, PARTITIONS, Placed};
use super::setup::{config, intake};

/// What a score record says that is a function of the state.
const FIELDS: [&str; 8] = [
    "score",
    "score_hundredths",
    "band",
    "coverage",
    "coverage_basis_points",
    "contributions",
    "absent",
    "risks",
];

/// One state, and the clocks at which it stands.
pub struct State {
    from_ms: i64,
    to_ms: i64,
    said: Vec<Value>,
}

/// The states of every account, in order.
pub type States = BTreeMap<String, Vec<State>>;

/// What a score record says about the state.
fn said(record: &Value) -> Vec<Value> {
    FIELDS.iter().map(|field| record[field].clone()).collect()
}

/// The clock a score record names.
pub fn as_of_ms(record: &Value) -> i64 {
    let instant = record["as_of"].as_str().unwrap_or_default().parse::<jiff::Timestamp>();
    instant.unwrap().as_millisecond()
}

/// Whether the account stood so at the clock it names.
pub fn passed_through(states: &States, account: &str, record: &Value) -> bool {
    let at_ms = as_of_ms(record);
    let same = |said: &[Value]| said.iter().zip(FIELDS).all(|(value, field)| *value == record[field]);
    let states = states.get(account).map(Vec::as_slice).unwrap_or_default();
    states.iter().any(|state| state.from_ms <= at_ms && at_ms <= state.to_ms && same(&state.said))
}

/// Walks through the history.
pub fn states(history: &History, lateness_ms: i64) -> States {
    let mut states = States::new();
    for partition in 0..PARTITIONS {
        let id = ShardId { partition, partitions: PARTITIONS };
        let mut walk = Walk { shard: Shard::new(config(), id), states: &mut states };
        walk.run(history, partition, lateness_ms);
    }
    states
}

struct Walk<'s> {
    shard: Shard,
    states: &'s mut States,
}

/// One input partition.
struct Lane<'h> {
    events: Vec<Event<'h>>,
    next: usize,
    newest_ms: Option<i64>,
}

fn decode(records: &[Placed], partition: u32) -> Vec<Event<'_>> {
    let intake = intake();
    let decoded = records.iter().map(|placed| {
        intake.decode(RawRecord {
            key: placed.record.key.as_deref(),
            value: placed.record.value.as_deref(),
            timestamp_ms: placed.record.timestamp_ms,
            partition,
            encoding: Encoding::Auto,
            headers: &NoHeaders,
        })
    });
    decoded.filter_map(Result::ok).collect()
}

impl Walk<'_> {
    fn run(&mut self, history: &History, partition: u32, lateness_ms: i64) {
        let lanes = history.records.iter().map(|topic| &topic[partition as usize]);
        let mut lanes: Vec<Lane<'_>> = lanes
            .map(|records| Lane { events: decode(records, partition), next: 0, newest_ms: None })
            .collect();
        loop {
            let heads = lanes.iter().enumerate();
            let heads = heads.filter_map(|(i, lane)| Some((lane.events.get(lane.next)?.occurred_at_ms, i)));
            let Some((at_ms, index)) = heads.min() else { break };
            self.advance(frontier(&lanes, lateness_ms).min(at_ms - 1));
            let lane = &mut lanes[index];
            // A limit refuses it; then it changes nothing.
            drop(self.shard.apply(Input(index as u16), &lane.events[lane.next]));
            lane.newest_ms = lane.newest_ms.max(Some(at_ms));
            lane.next += 1;
            self.note();
        }
        self.advance(history.until_ms);
    }

    fn advance(&mut self, to_ms: i64) {
        while self.shard.clock_ms().is_none_or(|clock| clock < to_ms) || self.shard.is_evaluating() {
            self.shard.advance(to_ms, 1);
            self.shard.drain_all();
            self.note();
        }
    }

    /// The state of every account at the present clock.
    fn note(&mut self) {
        let Some(clock_ms) = self.shard.clock_ms() else { return };
        for account in self.shard.account_ids() {
            let Some(state) = self.shard.account(&account) else { continue };
            let said = said(&serde_json::to_value(&state.record).unwrap());
            let known = self.states.entry(account).or_default();
            match known.last_mut() {
                Some(last) if last.said == said => last.to_ms = clock_ms,
                Some(last) => {
                    // It may also have been looked at just before it changed.
                    last.to_ms = clock_ms;
                    known.push(State { from_ms: clock_ms, to_ms: clock_ms, said });
                }
                None => known.push(State { from_ms: clock_ms, to_ms: clock_ms, said }),
            }
        }
    }
}

fn frontier(lanes: &[Lane<'_>], lateness_ms: i64) -> i64 {
    let speaking = lanes.iter().filter_map(|lane| {
        let head_ms = lane.events.get(lane.next)?.occurred_at_ms;
        Some(head_ms.max(lane.newest_ms.unwrap_or(i64::MIN)).saturating_sub(lateness_ms))
    });
    speaking.min().unwrap_or(i64::MAX)
}
