//! How far the clock of a shard may go. Pure: facts in, an instant out.
//!
//! Silence is believed only where it was heard. In wall mode an input speaks for the instants up
//! to its newest event, or up to the last moment it was proved to hold nothing more. In event
//! mode only events (and the end of input) speak. One input that says nothing holds the clock.
//! This room must not read a clock and must not move one.

/// Where the "now" of a shard comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMode {
    /// Live: events and proved silence, never ahead of the wall.
    Wall {
        /// How far behind the newest event late ones are waited for.
        lateness_ms: i64,
    },
    /// Backfill, replay, tests: events only; the outcome does not depend on any wall clock.
    Event {
        /// How far behind the newest event late ones are waited for.
        lateness_ms: i64,
    },
}

impl ClockMode {
    /// Whether the wall is left out.
    pub const fn is_event(self) -> bool {
        matches!(self, ClockMode::Event { .. })
    }
}

/// What one input partition has said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heard {
    /// Newest event time applied.
    pub newest_ms: Option<i64>,
    /// Time of its next event, if one is buffered.
    pub head_ms: Option<i64>,
    /// Wall time of the last proof that everything there was had been applied.
    pub drained_at_ms: Option<i64>,
    /// Nothing will ever come again.
    pub ended: bool,
    /// Left out by the breaker: it says nothing, and nothing may be concluded from that.
    pub held: bool,
}

/// The instant up to which every input has spoken; `None` while one of them has not.
pub fn frontier(
    mode: ClockMode,
    heard: impl Iterator<Item = Heard> + Clone,
    wall_ms: i64,
    until_ms: Option<i64>,
) -> Option<i64> {
    match mode {
        ClockMode::Wall { lateness_ms } => wall_frontier(heard, wall_ms, lateness_ms),
        ClockMode::Event { lateness_ms } => event_frontier(heard, lateness_ms, until_ms),
    }
}

fn wall_frontier(heard: impl Iterator<Item = Heard>, wall_ms: i64, lateness_ms: i64) -> Option<i64> {
    let mut lowest = wall_ms;
    for input in heard {
        if input.held {
            return None;
        }
        if input.ended {
            continue;
        }
        let spoken = input.newest_ms.max(input.drained_at_ms)?;
        lowest = lowest.min(spoken.saturating_sub(lateness_ms));
    }
    Some(lowest)
}

fn event_frontier(
    heard: impl Iterator<Item = Heard> + Clone,
    lateness_ms: i64,
    until_ms: Option<i64>,
) -> Option<i64> {
    if heard.clone().any(|h| h.held) {
        return None;
    }
    let newest = heard.clone().filter_map(|h| h.newest_ms).max();
    if heard.clone().all(|h| h.ended && h.head_ms.is_none()) {
        return until_ms.max(newest);
    }
    let mut lowest: Option<i64> = None;
    for input in heard.filter(|h| !h.ended || h.head_ms.is_some()) {
        let spoken = input.head_ms?.max(input.newest_ms.unwrap_or(i64::MIN));
        let spoken = spoken.saturating_sub(lateness_ms);
        lowest = Some(lowest.map_or(spoken, |l| l.min(spoken)));
    }
    lowest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frontier(mode: ClockMode, heard: &[Heard], wall_ms: i64, until_ms: Option<i64>) -> Option<i64> {
        super::frontier(mode, heard.iter().copied(), wall_ms, until_ms)
    }

    const WALL: ClockMode = ClockMode::Wall { lateness_ms: 10 };
    const EVENT: ClockMode = ClockMode::Event { lateness_ms: 10 };

    fn heard(newest: Option<i64>, drained: Option<i64>) -> Heard {
        Heard { newest_ms: newest, drained_at_ms: drained, ..Heard::default() }
    }

    fn head(newest: Option<i64>, head: Option<i64>) -> Heard {
        Heard { newest_ms: newest, head_ms: head, ..Heard::default() }
    }

    fn ended(newest: Option<i64>) -> Heard {
        Heard { newest_ms: newest, ended: true, ..Heard::default() }
    }

    #[test]
    fn one_lagging_topic_holds_the_clock_back() {
        let f = frontier(WALL, &[heard(Some(500), Some(900)), heard(Some(100), None)], 1000, None);
        assert_eq!(f, Some(90));
    }

    #[test]
    fn silence_that_was_not_heard_is_not_believed() {
        assert_eq!(frontier(WALL, &[heard(Some(500), None), heard(None, None)], 1000, None), None);
        assert_eq!(frontier(WALL, &[heard(None, Some(700))], 1000, None), Some(690));
    }

    #[test]
    fn the_clock_is_never_ahead_of_the_wall() {
        assert_eq!(frontier(WALL, &[heard(Some(5000), None)], 1000, None), Some(1000));
    }

    #[test]
    fn a_held_input_stops_the_clock() {
        let held = Heard { held: true, ..heard(Some(5), Some(900)) };
        assert_eq!(frontier(WALL, &[held, heard(Some(900), None)], 1000, None), None);
        assert_eq!(frontier(EVENT, &[held, head(Some(1), Some(2))], 1000, None), None);
    }

    #[test]
    fn in_event_mode_heads_speak_and_the_wall_does_not() {
        let f = frontier(EVENT, &[head(Some(50), Some(100)), head(None, Some(70))], 0, None);
        assert_eq!(f, Some(60));
        assert_eq!(frontier(EVENT, &[head(Some(50), None), head(None, Some(70))], 0, None), None);
    }

    #[test]
    fn an_ended_input_no_longer_holds_anything() {
        assert_eq!(frontier(EVENT, &[ended(Some(50)), head(None, Some(70))], 0, None), Some(60));
        assert_eq!(frontier(EVENT, &[ended(Some(50)), ended(Some(80))], 0, None), Some(80));
        assert_eq!(frontier(EVENT, &[ended(Some(50)), ended(Some(80))], 0, Some(99)), Some(99));
        assert_eq!(frontier(EVENT, &[ended(None)], 0, None), None);
    }
}
