//! Back-pressure: how much polled input may wait, and which inputs are read meanwhile.
//!
//! On the wall clock everything that was polled is applied at once, so it is enough to stop polling
//! above the limit; the log keeps the rest. A merge by event time must go on polling for the input
//! that is missing, and would gather all of the others: so those that have enough *rest*. They are
//! left out of the next assignment, keep what they have, and are read again from there when half of
//! it is used up or when all have little. An input never rests while it is missing itself, so the
//! merge always goes on; and nothing is paused at the log, which forgets what it had fetched then.
//!
//! Pure: weights in, a decision out. It must not call the log.

/// An input, as far as this decision needs it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Input {
    /// About the memory that it has waiting.
    pub weight: usize,
    /// It is not being read.
    pub rests: bool,
    /// The merge waits for it.
    pub is_missing: bool,
}

/// The two marks of one limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Flow {
    limit: usize,
}

impl Flow {
    /// Keeps all inputs together below `limit`.
    pub const fn new(limit: usize) -> Flow {
        Flow { limit }
    }

    /// What an input may have before it is one of those that have enough. All of them may have it
    /// at once, and one may have the rest of the limit.
    fn share(self, inputs: usize) -> usize {
        (self.limit / 2 / inputs.max(1)).max(2)
    }

    /// Which inputs should rest now; `None` if nothing is to be changed.
    pub fn change(self, inputs: &[Input]) -> Option<Vec<bool>> {
        let share = self.share(inputs.len());
        let total: usize = inputs.iter().map(|input| input.weight).sum();
        let starves = inputs.iter().any(|input| input.is_missing);
        let full = starves && total >= self.limit / 2;
        let low = total < self.limit / 4;
        let rests = |input: &Input| {
            if input.rests { !low && input.weight >= share / 2 } else { full && input.weight >= share }
        };
        let wanted: Vec<bool> = inputs.iter().map(rests).collect();
        let changed = inputs.iter().zip(&wanted).any(|(input, rests)| input.rests != *rests);
        changed.then_some(wanted)
    }

    /// Whether more may be polled.
    pub fn has_room(self, inputs: &[Input], merges: bool) -> bool {
        let total: usize = inputs.iter().map(|input| input.weight).sum();
        if !merges {
            return total < self.limit;
        }
        // Whatever is polled for a missing input, others come with it: they rest first.
        self.change(inputs).is_none() && (total < self.limit || inputs.iter().any(|input| input.is_missing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOW: Flow = Flow::new(800);

    fn input(weight: usize) -> Input {
        Input { weight, ..Input::default() }
    }

    fn missing() -> Input {
        Input { is_missing: true, ..Input::default() }
    }

    fn resting(weight: usize) -> Input {
        Input { weight, rests: true, is_missing: weight == 0 }
    }

    #[test]
    fn only_those_that_have_enough_rest_and_only_while_one_is_missing() {
        assert_eq!(FLOW.change(&[input(399), missing()]), None);
        assert_eq!(FLOW.change(&[input(400), missing()]), Some(vec![true, false]));
        assert_eq!(
            FLOW.change(&[input(310), input(90), missing(), missing()]),
            Some(vec![true, false, false, false])
        );
        assert_eq!(FLOW.change(&[input(900), input(1)]), None);
    }

    #[test]
    fn one_that_rests_is_read_again_before_it_is_missing() {
        assert_eq!(FLOW.change(&[resting(400), input(1)]), None);
        assert_eq!(FLOW.change(&[resting(99), resting(300)]), Some(vec![false, true]));
        assert_eq!(FLOW.change(&[resting(0), resting(900)]), Some(vec![false, true]));
        // All have little.
        assert_eq!(FLOW.change(&[resting(150), input(40)]), Some(vec![false, false]));
    }

    #[test]
    fn there_is_room_for_a_missing_input_once_the_others_rest() {
        assert!(FLOW.has_room(&[input(799)], false) && !FLOW.has_room(&[input(800)], false));
        assert!(!FLOW.has_room(&[input(400), missing()], true), "it must rest first");
        assert!(FLOW.has_room(&[resting(900), missing()], true));
        assert!(!FLOW.has_room(&[input(900), input(1)], true), "nobody is missing: apply first");
    }

    #[test]
    fn whatever_comes_in_the_limit_holds_but_for_one_batch() {
        // Inputs that are read get batches in turn, the first one nothing.
        const BATCH: usize = 70;
        let mut inputs = [missing(), input(0), input(0), input(0), input(0)];
        let mut turn = 0;
        for _ in 0..1_000 {
            if let Some(rests) = FLOW.change(&inputs) {
                inputs.iter_mut().zip(rests).for_each(|(input, rests)| input.rests = rests);
            }
            if FLOW.has_room(&inputs, true) {
                turn += 1;
                let index = 1 + turn % 4;
                if !inputs[index].rests {
                    inputs[index].weight += BATCH;
                }
            }
            assert!(inputs.iter().map(|input| input.weight).sum::<usize>() <= 800 + BATCH);
        }
        assert!(inputs[1..].iter().all(|input| input.rests), "{inputs:?}");
    }
}
