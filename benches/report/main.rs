//! Every figure of performance with its budget, by one command: what an event costs on Kafka and in
//! the engine, what accounts weigh, how soon a risk is seen, how long a recovery takes.
//!
//! ```text
//! cargo bench --bench report                          all figures, and writes docs/performance.md
//! cargo bench --bench report -- --quick               small sizes, writes nothing
//! cargo bench --bench report -- NAME…                 these figures or groups, writes nothing
//! cargo bench --bench report -- --profile json        where the time of a run on Kafka goes, by perf
//! ```
//!
//! Each figure is a line `name value unit budget verdict` on standard output as it comes; what
//! happens meanwhile is on standard error. No test asserts a figure. Every group of figures runs in
//! a process of its own, and one that fails says so and stops none of the others; the exit code is
//! 1 then. It needs what `scripts/setup-test-tools.sh` gets; `--profile` also needs Linux' `perf`.
//!
//! # Rooms
//!
//! - `figures.rs` names, budgets and the form of a line; `sizes.rs` how much is measured
//! - `report.rs` the groups one after the other; `page.rs`, `machine.rs` the document
//! - without a log: `engine.rs`, `outputs.rs`, `decode.rs`, `typical.rs`, `memory.rs`, `cores.rs`
//! - on Kafka: `throughput.rs`, `checkpoint.rs`, `latency.rs`, `restore.rs`, `idle.rs`,
//!   `overload.rs`, over `cluster.rs`, `workload.rs`, `live.rs`, `instance.rs`, `drain.rs`
//!
//! To add a figure: `figures.rs` says how. A module must not print but through `figures.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a figure that cannot be taken fails here")]

mod args;
mod checkpoint;
mod cluster;
mod cores;
mod corpus;
mod decode;
mod drain;
mod engine;
mod figures;
mod idle;
mod instance;
mod latency;
mod lifeline;
mod live;
mod machine;
mod measure;
mod memory;
mod outputs;
mod overload;
mod page;
mod profile;
mod protobuf;
mod report;
mod restore;
mod sizes;
mod throughput;
mod typical;
mod workload;

#[path = "../../tests/support/mod.rs"]
mod process;
#[path = "../../tests/support/kafka/mod.rs"]
mod support;

use args::Task;
use cluster::Cluster;
use figures::{Group, Wanted};
use sizes::Sizes;
use workload::Encoding;

/// What the program runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    match args::parse(std::env::args().skip(1)) {
        Ok(Task::Report { wanted, quick }) => std::process::exit(report::run(&wanted, quick)),
        Ok(Task::Measure { group, wanted, sizes, rate }) => {
            lifeline::hold();
            measure(group, &Wanted(wanted), &sizes, rate);
        }
        Ok(Task::Replay { files }) => cores::replay_files(&files),
        Ok(Task::Profile { encoding, quick }) => {
            let sizes = if quick { Sizes::quick() } else { Sizes::full() };
            profile::run(&sizes, encoding);
        }
        Err((sentence, code)) => {
            eprintln!("{sentence}");
            std::process::exit(code);
        }
    }
}

fn measure(group: Group, wanted: &Wanted, sizes: &Sizes, rate: Option<f64>) {
    match group {
        Group::Engine => engine::run(sizes, wanted),
        Group::Memory => memory::run(sizes, wanted),
        Group::Cores => cores::run(sizes),
        Group::Json => throughput::run(&Cluster::start(sizes), sizes, Encoding::Json, wanted),
        Group::Proto => throughput::run(&Cluster::start(sizes), sizes, Encoding::Proto, wanted),
        Group::Checkpoint => checkpoint::run(&Cluster::start(sizes), sizes, rate),
        Group::Latency => latency::run(&Cluster::start(sizes), sizes, rate, wanted),
        Group::Restore => restore::run(&Cluster::start(sizes), sizes, wanted, rate),
        Group::Idle => idle::run(&Cluster::start(sizes), sizes),
        Group::Overload => overload::run(&Cluster::start(sizes), sizes, rate, wanted),
    }
}
