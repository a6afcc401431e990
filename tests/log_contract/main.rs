//! One contract for every implementation of the log.
//!
//! `contract.rs` holds the promises as functions over a [`harness::Harness`]; this file runs each
//! of them against each implementation that needs nothing but this process
//! (`tests/kafka/promises.rs` does it for a cluster). What only one implementation can show stands beside it
//! (`src/log/sim/tests.rs`, `local_only.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[macro_use]
mod contract;
mod harness;
mod implementations;
mod local_only;

/// A module per implementation, with a test per promise.
macro_rules! run_contract {
    ($($promise:ident)*) => {
        mod sim {
            $(#[test] fn $promise() { super::contract::$promise::<super::implementations::Sim>(); })*
        }
        mod local {
            $(#[test] fn $promise() { super::contract::$promise::<super::implementations::Local>(); })*
        }
    };
}

promises!(run_contract);
