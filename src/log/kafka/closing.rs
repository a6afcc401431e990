//! A consumer whose end is watched: leaving the group and destroying the client wait without a
//! bound of their own, on whatever thread drops the last owner.
//!
//! This file must not end anything itself: the consumer does that when it is dropped.

use std::ops::Deref;
use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, ConsumerContext};

use super::watchdog::{Guard, Watchdog};

/// The consumer. Fields are dropped in this order: the guard lasts until the consumer is gone.
pub(super) struct Closing<C: ConsumerContext> {
    consumer: BaseConsumer<C>,
    /// Held from the beginning of the end.
    guard: Option<Guard>,
    watchdog: Arc<Watchdog>,
}

impl<C: ConsumerContext> Closing<C> {
    pub fn new(consumer: BaseConsumer<C>, watchdog: &Arc<Watchdog>) -> Closing<C> {
        Closing { consumer, guard: None, watchdog: Arc::clone(watchdog) }
    }

    /// Watches one call until the guard is dropped.
    pub fn guard(&self, what: &str) -> Guard {
        self.watchdog.guard(what)
    }
}

impl<C: ConsumerContext> Deref for Closing<C> {
    type Target = BaseConsumer<C>;

    fn deref(&self) -> &BaseConsumer<C> {
        &self.consumer
    }
}

impl<C: ConsumerContext> Drop for Closing<C> {
    fn drop(&mut self) {
        self.guard = Some(self.watchdog.guard("closing a consumer"));
    }
}
