//! JSON by hand: fields appended to a byte buffer. Only for text known to need no escaping; the
//! words and ids of this room are such.

use super::calendar::push_time;

/// The fields of one JSON object being written.
pub(super) struct Fields<'b> {
    buf: &'b mut Vec<u8>,
}

impl<'b> Fields<'b> {
    /// Opens the event: envelope and the body's brace. `close` ends both.
    pub(super) fn open(buf: &'b mut Vec<u8>, envelope: Envelope<'_>) -> Fields<'b> {
        buf.extend_from_slice(b"{\"id\":\"");
        buf.push(envelope.kind.as_bytes().first().copied().unwrap_or(b'x'));
        buf.push(b'-');
        push_base36(buf, envelope.at_ms.unsigned_abs());
        buf.push(b'-');
        push_base36(buf, envelope.number);
        buf.extend_from_slice(b"\",\"account_id\":\"");
        buf.extend_from_slice(envelope.account.as_bytes());
        buf.extend_from_slice(b"\",\"occurred_at\":\"");
        push_time(buf, envelope.at_ms);
        buf.extend_from_slice(b"\",\"");
        buf.extend_from_slice(envelope.kind.as_bytes());
        buf.extend_from_slice(b"\":{");
        Fields { buf }
    }

    /// Closes body and envelope.
    pub(super) fn close(self) {
        self.buf.extend_from_slice(b"}}");
    }

    fn name(&mut self, name: &str) {
        if self.buf.last() != Some(&b'{') {
            self.buf.push(b',');
        }
        self.buf.push(b'"');
        self.buf.extend_from_slice(name.as_bytes());
        self.buf.extend_from_slice(b"\":");
    }

    /// A text field.
    pub(super) fn text(&mut self, name: &str, value: &str) {
        debug_assert!(!value.bytes().any(|b| b < 0x20 || b == b'"' || b == b'\\'), "{value}");
        self.name(name);
        self.buf.push(b'"');
        self.buf.extend_from_slice(value.as_bytes());
        self.buf.push(b'"');
    }

    /// A text field `owner` + `suffix` + number in base 36: how ids of users and entities look.
    pub(super) fn id(&mut self, name: &str, owner: &str, suffix: &str, number: u64) {
        self.name(name);
        self.buf.push(b'"');
        self.buf.extend_from_slice(owner.as_bytes());
        self.buf.extend_from_slice(suffix.as_bytes());
        push_base36(self.buf, number);
        self.buf.push(b'"');
    }

    /// A whole number.
    pub(super) fn number(&mut self, name: &str, value: i64) {
        self.name(name);
        if value < 0 {
            self.buf.push(b'-');
        }
        push_digits(self.buf, value.unsigned_abs(), 10);
    }

    /// A time.
    pub(super) fn time(&mut self, name: &str, at_ms: i64) {
        self.name(name);
        self.buf.push(b'"');
        push_time(self.buf, at_ms);
        self.buf.push(b'"');
    }

    /// A time, if there is one.
    pub(super) fn maybe_time(&mut self, name: &str, at_ms: Option<i64>) {
        if let Some(at_ms) = at_ms {
            self.time(name, at_ms);
        }
    }

    /// A list of texts.
    pub(super) fn list<'t>(&mut self, name: &str, values: impl Iterator<Item = &'t str>) {
        self.name(name);
        self.buf.push(b'[');
        for (index, value) in values.enumerate() {
            if index > 0 {
                self.buf.push(b',');
            }
            self.buf.push(b'"');
            self.buf.extend_from_slice(value.as_bytes());
            self.buf.push(b'"');
        }
        self.buf.push(b']');
    }
}

/// What every event begins with. Its id is made of kind, time and number: the same history has
/// the same ids, and a later time has fresh ones.
pub(super) struct Envelope<'a> {
    pub(super) kind: &'a str,
    pub(super) account: &'a str,
    pub(super) at_ms: i64,
    pub(super) number: u64,
}

/// Appends a number in base 36.
pub(super) fn push_base36(buf: &mut Vec<u8>, value: u64) {
    push_digits(buf, value, 36);
}

fn push_digits(buf: &mut Vec<u8>, mut value: u64, base: u64) {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let start = buf.len();
    loop {
        // A remainder by at most 36 indexes 36 digits.
        buf.push(DIGITS[(value % base) as usize]);
        value /= base;
        if value == 0 {
            break;
        }
    }
    buf[start..].reverse();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_valid_json() {
        let mut buf = Vec::new();
        let envelope = Envelope { kind: "usage", account: "acme", at_ms: 35, number: 36 };
        let mut fields = Fields::open(&mut buf, envelope);
        fields.number("low", i64::MIN);
        fields.text("word", "a b");
        fields.id("user_id", "acme", "-u", 35);
        fields.time("when", 0);
        fields.maybe_time("never", None);
        fields.list("features", ["x", "y"].into_iter());
        fields.close();
        let value: serde_json::Value = serde_json::from_slice(&buf).unwrap();
        let expect = serde_json::json!({"id": "u-z-10", "account_id": "acme",
            "occurred_at": "1970-01-01T00:00:00.035Z", "usage": {"low": i64::MIN, "word": "a b",
            "user_id": "acme-uz", "when": "1970-01-01T00:00:00Z", "features": ["x", "y"]}});
        assert_eq!(value, expect);
    }
}
