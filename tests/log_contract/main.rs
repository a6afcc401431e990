//! One contract for every implementation of the log.
//!
//! `contract.rs` holds the promises as functions over a [`harness::Harness`]; this file runs each
//! of them against each implementation. What only one implementation can show stands beside it
//! (`src/log/sim/tests.rs`, `local_only.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod contract;
mod harness;
mod local_only;

/// A module per implementation, with a test per promise.
macro_rules! run_contract {
    ($($promise:ident)*) => {
        mod sim {
            $(#[test] fn $promise() { super::contract::$promise::<super::harness::Sim>(); })*
        }
        mod local {
            $(#[test] fn $promise() { super::contract::$promise::<super::harness::Local>(); })*
        }
    };
}

run_contract! {
    the_assignment_comes_first_and_holds_all_partitions
    records_of_a_partition_come_in_order_from_the_assigned_position
    outputs_and_positions_become_visible_together
    what_is_aborted_or_dropped_is_never_visible
    an_empty_transaction_commits
    a_range_can_be_walked_in_small_steps
    records_come_back_as_they_were_sent
    a_compacted_topic_keeps_the_newest_record_of_each_key
    commits_survive_a_reopen
    the_last_sent_offset_is_the_one_that_is_read
    nothing_is_refused_in_silence
    a_full_buffer_takes_nothing_and_loses_nothing
    assigning_again_replaces_all_positions
    positions_that_do_not_exist_are_refused
    an_input_that_was_read_to_its_end_is_reported_again_and_again
    a_newer_member_fences_the_older
    positions_under_another_membership_are_refused
    a_position_may_move_without_outputs
}
