//! What services that read our topics rely on, as `docs/contract.md` tells it: the two encodings
//! are one, the schemas say everything, the bytes do not change by accident, and what the worker
//! writes has the keys, partitions and headers that are promised.
//!
//! ```text
//! contract/records.rs   records: of the stories, and generated
//! contract/schema.rs    JSON and protobuf, field by field and value by value
//! contract/golden.rs    bytes of typical records; how to bless stands there
//! contract/life.rs      the life of a risk
//! contract/topics.rs    what the worker writes to the log
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may fail by panicking")]

#[path = "contract/golden.rs"]
mod golden;
#[path = "laws/history.rs"]
#[allow(dead_code, reason = "the laws use more of it")]
mod history;
#[path = "contract/life.rs"]
mod life;
#[path = "contract/records.rs"]
mod records;
#[path = "contract/schema.rs"]
mod schema;
#[path = "contract/topics.rs"]
mod topics;
