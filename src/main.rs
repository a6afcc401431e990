//! The binary: reads the arguments, runs one command, answers with its exit code.

use std::process::ExitCode;

/// Many small allocations on several threads are what this program does.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    accountpulse::cli::main()
}
