//! Plain JSON, read without serde: what machines send nearly always. One object with one body, its
//! strings without escapes, whole numbers that are not negative, true, false and null; white space
//! anywhere, fields in any order, unknown fields as long as they hold no container. It fills the
//! same drafts as `json.rs`, so all limits and checks stand in one place.
//!
//! It refuses nothing. Whatever is not plain, or fails a check, is decoded again from the start by
//! `json.rs`, which alone decides what is refused and with which sentence. So what is read here must
//! be read there with the same result; `tests/plain.rs` compares the two.
//!
//! It must not allocate, nest deeper than a body, or guess: nothing is kept but the drafts.
//!
//! To add a kind: an arm in [`Scanner::body`]. To take in more of JSON: an arm in [`Scanner::value`],
//! if many send it.

use std::borrow::Cow;

use super::draft::{
    AccountDraft, BodyDraft, ContactDraft, ContractDraft, Draft, EnvelopeDraft, InvoiceDraft, LoginDraft,
    Source, SurveyDraft, TicketDraft, UsageDraft,
};
use super::value::Raw;
use super::{Body, Kind, PersonKey, Refusal};

/// Somebody else has to decode this.
pub(super) struct NotPlain;

/// What is read of an event.
#[derive(Default)]
pub(super) struct Parts<'a> {
    pub envelope: EnvelopeDraft<'a>,
    pub body: Option<Body<'a>>,
    pub unknown: u32,
}

/// Reads all of a text, if it is plain and no value is refused. The parts are the caller's, because
/// an event is large and moving it from hand to hand costs as much as reading some of its fields.
pub(super) fn read<'a>(text: &'a str, key: &PersonKey, into: &mut Parts<'a>) -> Result<(), NotPlain> {
    let mut from = Scanner { text, at: 0 };
    from.enter()?;
    let mut is_first = true;
    while let Some(name) = from.name(is_first)? {
        is_first = false;
        if into.envelope.set(name, key, &mut from)? {
            continue;
        }
        match Kind::from_name(name) {
            None => {
                into.unknown = into.unknown.saturating_add(1);
                from.value()?;
            }
            // A second body, of the same kind or another.
            Some(_) if into.body.is_some() => return Err(NotPlain),
            Some(kind) => from.body(kind, key, into)?,
        }
    }
    match from.peek() {
        0 if from.at == text.len() => Ok(()),
        _ => Err(NotPlain),
    }
}

/// Where in the text we stand.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Source<'a> for Scanner<'a> {
    type Error = NotPlain;

    #[inline]
    fn text(&mut self) -> Result<Option<&'a str>, NotPlain> {
        if self.peek() == b'"' { self.string().map(Some) } else { Ok(None) }
    }

    fn value(&mut self) -> Result<Raw<'a>, NotPlain> {
        match self.peek() {
            b'"' => self.string().map(|text| Raw::Text(Cow::Borrowed(text))),
            b'0'..=b'9' => self.number().map(Raw::Unsigned),
            b't' => self.word("true", Raw::Bool(true)),
            b'f' => self.word("false", Raw::Bool(false)),
            b'n' => self.word("null", Raw::Null),
            _ => Err(NotPlain),
        }
    }

    #[cold]
    fn refuse(&mut self, _: Refusal) -> NotPlain {
        NotPlain
    }
}

impl<'a> Scanner<'a> {
    /// The byte here; 0, which stands for nothing in JSON, at the end.
    #[inline]
    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(0)
    }

    /// The next byte that is not white space.
    #[inline]
    fn peek(&mut self) -> u8 {
        let byte = self.byte();
        if byte > b' ' { byte } else { self.peek_past_space() }
    }

    fn peek_past_space(&mut self) -> u8 {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
        self.byte()
    }

    /// Takes the brace that opens an object.
    #[inline]
    fn enter(&mut self) -> Result<(), NotPlain> {
        match self.peek() {
            b'{' => {
                self.at += 1;
                Ok(())
            }
            _ => Err(NotPlain),
        }
    }

    /// The name of the next field, up to its value; none at the end of the object, which is taken.
    #[inline]
    fn name(&mut self, is_first: bool) -> Result<Option<&'a str>, NotPlain> {
        match self.peek() {
            b'}' => {
                self.at += 1;
                return Ok(None);
            }
            b',' if !is_first => {
                self.at += 1;
                // A brace behind a comma is no string.
                self.peek();
            }
            _ if is_first => {}
            _ => return Err(NotPlain),
        }
        let name = self.string()?;
        if self.peek() != b':' {
            return Err(NotPlain);
        }
        self.at += 1;
        Ok(Some(name))
    }

    /// A string that starts here and has no escapes.
    fn string(&mut self) -> Result<&'a str, NotPlain> {
        if self.byte() != b'"' {
            return Err(NotPlain);
        }
        let start = self.at + 1;
        let mut at = start;
        let bytes = self.text.as_bytes();
        // Eight bytes at a time; the last few of the text one by one.
        while let Some(eight) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let special = special(*eight);
            if special != 0 {
                at += special.trailing_zeros() as usize / 8;
                break;
            }
            at += 8;
        }
        while bytes.get(at).is_some_and(|&byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
            at += 1;
        }
        match bytes.get(at) {
            Some(b'"') => {
                self.at = at + 1;
                self.text.get(start..at).ok_or(NotPlain)
            }
            _ => Err(NotPlain),
        }
    }

    /// A whole number without a sign that fits 64 bits. What may follow it is seen by who reads on.
    fn number(&mut self) -> Result<u64, NotPlain> {
        let start = self.at;
        let mut number = 0_u64;
        while let digit @ b'0'..=b'9' = self.byte() {
            // No number but zero starts with a zero.
            if number == 0 && self.at > start {
                return Err(NotPlain);
            }
            let more = number.checked_mul(10).and_then(|number| number.checked_add((digit - b'0').into()));
            number = more.ok_or(NotPlain)?;
            self.at += 1;
        }
        Ok(number)
    }

    /// One of the three words, with what it means.
    #[inline]
    fn word(&mut self, word: &str, value: Raw<'a>) -> Result<Raw<'a>, NotPlain> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(NotPlain);
        }
        self.at += word.len();
        Ok(value)
    }

    /// The body of a kind.
    fn body(&mut self, kind: Kind, key: &PersonKey, into: &mut Parts<'a>) -> Result<(), NotPlain> {
        match kind {
            Kind::Login => self.fill::<LoginDraft>(key, into),
            Kind::Usage => self.fill::<UsageDraft<'a>>(key, into),
            Kind::Ticket => self.fill::<TicketDraft<'a>>(key, into),
            Kind::Invoice => self.fill::<InvoiceDraft<'a>>(key, into),
            Kind::Survey => self.fill::<SurveyDraft<'a>>(key, into),
            Kind::Contact => self.fill::<ContactDraft<'a>>(key, into),
            Kind::Contract => self.fill::<ContractDraft<'a>>(key, into),
            Kind::Account => self.fill::<AccountDraft<'a>>(key, into),
        }
    }

    /// Reads the fields of one body.
    fn fill<D: BodyDraft<'a>>(&mut self, key: &PersonKey, into: &mut Parts<'a>) -> Result<(), NotPlain> {
        let mut draft = D::default();
        self.enter()?;
        let mut is_first = true;
        while let Some(name) = self.name(is_first)? {
            is_first = false;
            if !draft.set(name, key, self)? {
                into.unknown = into.unknown.saturating_add(1);
                self.value()?;
            }
        }
        into.body = Some(draft.finish().map_err(|_| NotPlain)?);
        Ok(())
    }
}

/// Marks, by their high bits, the bytes of a word that end a plain string or cannot stand in one:
/// quotes, backslashes and control characters. Exact up to the first one.
#[inline]
fn special(eight: [u8; 8]) -> u64 {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * EACH;
    let word = u64::from_le_bytes(eight);
    let is = |byte: u8| {
        let zero = word ^ (u64::from(byte) * EACH);
        zero.wrapping_sub(EACH) & !zero
    };
    let control = word.wrapping_sub(0x20 * EACH) & !word;
    (is(b'"') | is(b'\\') | control) & HIGH
}
