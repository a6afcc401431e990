//! That the checks can fail: what must never be seen is shown to them.

use std::panic::{AssertUnwindSafe, catch_unwind};

use accountpulse::simulate::Random;
use serde_json::{Value, json};

use crate::life::{assert_lives, assert_scores_agree};
use crate::probes::Probes;
use crate::readers::{RISKS, SCORES, Seen};

const AT: &str = "2026-03-02T00:00:00Z";
const AT_MS: i64 = 1_772_409_600_000;

fn transition(seq: u64, transition: &str) -> Value {
    json!({
        "partition": 0, "offset": seq * 2, "timestamp_ms": AT_MS, "headers": {"ce_id": format!("e/{seq}")},
        "value": {
            "account_id": "acme", "rule": "detractor", "id": "e", "began_at": AT, "fired_at": AT, "at": AT,
            "transition": transition, "transition_seq": seq, "severity": "high", "caused_by": "s-1",
        },
    })
}

fn score(firing: &[&str]) -> Value {
    let risk = |id: &&str| json!({"id": id, "severity": "high", "phase": "firing"});
    let risks: Vec<Value> = firing.iter().map(risk).collect();
    let value = json!({"account_id": "acme", "score_hundredths": 8000, "band": "healthy", "risks": risks});
    json!({"partition": 0, "offset": 1, "timestamp_ms": AT_MS, "headers": {"ce_id": "s"}, "value": value})
}

fn seen(risks: &[Value], scores: &[Value]) -> Seen {
    let mut seen = Seen::default();
    risks.iter().for_each(|line| seen.take(RISKS, line.clone()));
    scores.iter().for_each(|line| seen.take(SCORES, line.clone()));
    seen
}

/// Whether a check refuses what it is shown.
fn refuses(check: impl Fn()) -> bool {
    catch_unwind(AssertUnwindSafe(check)).is_err()
}

#[test]
fn what_must_never_be_seen_is_refused() {
    let good = [transition(1, "started"), transition(2, "resolved"), transition(3, "started")];
    let whole = seen(&good, &[score(&["e"])]);
    assert_lives(&whole);
    assert_scores_agree(&whole);
    whole.assert_same(&whole);

    let lost = seen(&[good[0].clone(), good[2].clone()], &[score(&["e"])]);
    assert!(refuses(|| assert_lives(&lost)), "a transition is missing");
    assert!(refuses(|| lost.assert_same(&whole)), "two readers differ");
    let turned = seen(&[good[1].clone(), good[0].clone()], &[]);
    assert!(refuses(|| assert_lives(&turned)), "the order is another");
    let twice = seen(&[good[0].clone(), good[0].clone()], &[]);
    assert!(refuses(|| assert_lives(&twice)), "a transition stands twice");
    assert!(refuses(|| twice.assert_same(&twice)), "an id stands twice");
    let still = seen(&[good[0].clone(), transition(2, "started")], &[]);
    assert!(refuses(|| assert_lives(&still)), "what fires starts again");
    assert!(refuses(|| assert_scores_agree(&seen(&good, &[score(&[])]))), "the score does not know the risk");
    assert!(refuses(|| assert_scores_agree(&seen(&good[..2], &[score(&["e"])]))), "it knows one too many");
    assert!(refuses(|| assert_scores_agree(&seen(&good, &[]))), "there is no score");

    let mut early = transition(1, "started");
    early["timestamp_ms"] = json!(AT_MS - 1);
    early["value"]["caused_by"] = Value::Null;
    assert!(refuses(|| assert_lives(&seen(&[early.clone()], &[]))), "a deadline is told before it is over");
    let (probes, _) = Probes::new(AT_MS, &mut Random::new(1));
    assert!(refuses(|| probes.assert_told(&whole)), "no deadline was told");
}
