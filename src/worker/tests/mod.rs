//! Unit tests of formats and page bookkeeping. The worker as a whole is tested in
//! `tests/simulation.rs`.

mod format;
mod rounds;
