//! The pure core: no I/O, no async, no clock, no metrics, no logging. Facts and time come in as
//! arguments, decisions go out as values. Anyone could lift this room out as a library.

pub mod event;
pub mod partition;
