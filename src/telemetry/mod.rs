//! What operators see: the catalogue of metrics with its documentation ([`catalogue`]), their
//! exposition for Prometheus ([`exporter`]) and the set-up of log lines ([`logs`]).
//!
//! Rules that hold here: no account id, person id or error text is ever a label; every label is a
//! closed set; every series that can be named in advance exists with 0 from the first scrape, so
//! that `rate()` works from the first event; the hot path counts per batch, never per event.
//!
//! This room decides nothing and measures nothing: rooms above it hand in what they counted.
//!
//! To add a metric: a constant and a line in `ALL` in `catalogue.rs`, then
//! `accountpulse metrics list --markdown > docs/METRICS.md`.

pub mod catalogue;
pub mod exporter;
pub mod logs;
mod manual;

pub use catalogue::{ALL, Metric};
pub use exporter::{Exporter, Names};
pub use manual::{markdown, table};
