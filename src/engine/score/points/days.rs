//! The days of points one by one, for whoever keeps them as bytes: pages do not have them.

use super::Points;
use crate::engine::time::Day;

impl Points {
    /// All days until which something stays as it is, in an order of its own.
    pub(in crate::engine) fn days(&self) -> impl Iterator<Item = Day> {
        let lines = self.lines.iter().flat_map(|line| [line.until, line.present_until]);
        lines.chain([self.cap_until])
    }

    /// The same days, to be set.
    pub(in crate::engine) fn days_mut(&mut self) -> impl Iterator<Item = &mut Day> {
        let lines = self.lines.iter_mut().flat_map(|line| [&mut line.until, &mut line.present_until]);
        lines.chain([&mut self.cap_until])
    }
}
