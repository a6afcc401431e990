//! A record's headers as the decoders see them: looked up one by one, only when they can matter.

/// Every header a verdict may depend on.
pub const READ_HEADERS: [&str; 9] = [
    "content-type",
    "ce_specversion",
    "ce_type",
    "ce_id",
    "ce_subject",
    "ce_time",
    "ce_partitionkey",
    "ce_version",
    "__value_schema_id",
];

/// The headers of one record.
pub trait Headers {
    /// Whether there may be any; `false` saves every look-up.
    fn any(&self) -> bool {
        true
    }

    /// The value of the last header of that name.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// Shows every header that is known, in order: what is kept of a record that is refused.
    fn each<'h>(&'h self, see: &mut dyn FnMut(&'h str, &'h [u8])) {
        for name in READ_HEADERS {
            if let Some(value) = self.header(name) {
                see(name, value);
            }
        }
    }
}

/// The headers of a record that has none.
#[derive(Clone, Copy, Debug)]
pub struct NoHeaders;

impl Headers for NoHeaders {
    fn any(&self) -> bool {
        false
    }

    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
}
