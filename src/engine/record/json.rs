//! Records as JSON, by hand: there are many, and the general machinery would look at every letter
//! of words that never change.
//!
//! The bytes are those that [`serde::Serialize`] of the same record gives; tests hold the two
//! together, so a field is added to both. Text is escaped as `serde_json` does.

use super::{Change, Contribution, RiskSummary, RiskTransition, ScoreRecord};
use crate::engine::account::{Band, Phase};
use crate::engine::rule::{Item, Number};
use crate::engine::score::CoverageClass;
use crate::engine::time::push_rfc3339;

/// Room for a usual record, so that the buffer need not grow.
const USUAL_BYTES: usize = 3072;

impl ScoreRecord<'_> {
    /// Appends the record as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.reserve(USUAL_BYTES);
        put(out, br#"{"v":"#);
        digits(out, self.v.into());
        put(out, br#","account_id":"#);
        text(out, &self.account_id);
        given(out, br#","account_name":"#, self.account_name.as_deref(), text);
        put(out, br#","score":"#);
        maybe(out, self.score.map(i64::from), number);
        put(out, br#","score_hundredths":"#);
        maybe(out, self.score_hundredths.map(i64::from), number);
        put(out, br#","band":"#);
        maybe(out, self.band, band);
        put(out, br#","coverage_basis_points":"#);
        digits(out, self.coverage_basis_points.into());
        put(out, br#","coverage":"#);
        word(out, coverage(self.coverage));
        put(out, br#","scorecard":"#);
        text(out, &self.scorecard);
        put(out, br#","contributions":"#);
        list(out, &self.contributions, contribution);
        put(out, br#","absent":"#);
        list(out, &self.absent, |out, name| text(out, name));
        if let Some(before) = &self.previous {
            put(out, br#","previous":{"score_hundredths":"#);
            maybe(out, before.score_hundredths.map(i64::from), number);
            put(out, br#","band":"#);
            maybe(out, before.band, band);
            out.push(b'}');
        }
        put(out, br#","changes":"#);
        list(out, &self.changes, change);
        put(out, br#","causes":"#);
        list(out, &self.causes, |out, cause| text(out, cause));
        put(out, br#","risks":"#);
        list(out, &self.risks, summary);
        put(out, br#","as_of":"#);
        instant(out, self.as_of);
        put(out, br#","config_version":"#);
        text(out, &self.config_version);
        out.push(b'}');
    }
}

impl RiskTransition {
    /// Appends the record as JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        out.reserve(USUAL_BYTES);
        put(out, br#"{"v":"#);
        digits(out, self.v.into());
        put(out, br#","id":"#);
        text(out, &self.id);
        put(out, br#","account_id":"#);
        text(out, &self.account_id);
        given(out, br#","account_name":"#, self.account_name.as_deref(), text);
        put(out, br#","rule":"#);
        text(out, &self.rule);
        put(out, br#","title":"#);
        text(out, &self.title);
        put(out, br#","transition":"#);
        word(out, self.transition.name());
        put(out, br#","transition_seq":"#);
        digits(out, self.transition_seq.into());
        put(out, br#","severity":"#);
        word(out, self.severity.name());
        put(out, br#","began_at":"#);
        instant(out, self.began_at_ms);
        put(out, br#","fired_at":"#);
        instant(out, self.fired_at_ms);
        put(out, br#","at":"#);
        instant(out, self.at_ms);
        put(out, if self.backfill { br#","backfill":true"# } else { br#","backfill":false"# });
        put(out, br#","what":"#);
        text(out, &self.what);
        put(out, br#","evidence":{"numbers":"#);
        list(out, &self.evidence.numbers, evidence_number);
        put(out, br#","items":"#);
        list(out, &self.evidence.items, evidence_item);
        out.push(b'}');
        given(out, br#","caused_by":"#, self.caused_by.as_deref(), text);
        put(out, br#","score_hundredths":"#);
        maybe(out, self.score_hundredths.map(i64::from), number);
        put(out, br#","band":"#);
        maybe(out, self.band, band);
        put(out, br#","coverage_basis_points":"#);
        digits(out, self.coverage_basis_points.into());
        if let Some(money) = &self.money_at_stake {
            put(out, br#","money_at_stake":{"annual_minor":"#);
            number(out, money.annual_minor);
            put(out, br#","currency":"#);
            text(out, &money.currency);
            out.push(b'}');
        }
        given(out, br#","owner":"#, self.owner.as_deref(), text);
        put(out, br#","play":"#);
        text(out, &self.play);
        put(out, br#","config_version":"#);
        text(out, &self.config_version);
        out.push(b'}');
    }
}

fn evidence_number(out: &mut Vec<u8>, fact: &Number) {
    put(out, br#"{"name":"#);
    text(out, &fact.name);
    put(out, br#","unit":"#);
    text(out, &fact.unit);
    put(out, br#","now":"#);
    maybe(out, fact.now, number);
    given(out, br#","before":"#, fact.before, number);
    out.push(b'}');
}

fn evidence_item(out: &mut Vec<u8>, item: &Item) {
    put(out, br#"{"kind":"#);
    text(out, &item.kind);
    put(out, br#","id":"#);
    text(out, &item.id);
    put(out, br#","event_id":"#);
    text(out, &item.event_id);
    put(out, br#","detail":"#);
    text(out, &item.detail);
    out.push(b'}');
}

fn contribution(out: &mut Vec<u8>, line: &Contribution<'_>) {
    let (words, unit) = line.words.json();
    put(out, words);
    given(out, br#","value":"#, line.value, number);
    put(out, unit);
    given(out, br#","points_hundredths":"#, line.points_hundredths.map(i64::from), number);
    put(out, br#","weight_ppm":"#);
    digits(out, line.weight_ppm.into());
    put(out, br#","contribution_hundredths":"#);
    number(out, line.contribution_hundredths.into());
    out.push(b'}');
}

fn change(out: &mut Vec<u8>, line: &Change<'_>) {
    put(out, br#"{"line":"#);
    text(out, &line.line);
    put(out, br#","delta_hundredths":"#);
    number(out, line.delta_hundredths.into());
    out.push(b'}');
}

fn summary(out: &mut Vec<u8>, risk: &RiskSummary) {
    put(out, br#"{"id":"#);
    text(out, &risk.id);
    put(out, br#","rule":"#);
    text(out, &risk.rule);
    put(out, br#","phase":"#);
    word(out, phase(risk.phase));
    put(out, br#","severity":"#);
    word(out, risk.severity.name());
    put(out, br#","began_at":"#);
    instant(out, risk.began_at);
    out.push(b'}');
}

fn band(out: &mut Vec<u8>, band: Band) {
    word(out, band.name());
}

const fn coverage(class: CoverageClass) -> &'static str {
    match class {
        CoverageClass::Unknown => "unknown",
        CoverageClass::Partial => "partial",
        CoverageClass::Full => "full",
    }
}

const fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "pending",
        Phase::Firing => "firing",
        Phase::Resolved => "resolved",
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(bytes);
}

fn maybe<T>(out: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(out, value),
        None => put(out, b"null"),
    }
}

/// A field that is left out when it has no value.
fn given<T>(out: &mut Vec<u8>, name: &[u8], value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    if let Some(value) = value {
        put(out, name);
        write(out, value);
    }
}

fn list<T>(out: &mut Vec<u8>, items: &[T], write: impl Fn(&mut Vec<u8>, &T)) {
    out.push(b'[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(out, item);
    }
    out.push(b']');
}

fn instant(out: &mut Vec<u8>, at_ms: i64) {
    out.push(b'"');
    push_rfc3339(out, at_ms);
    out.push(b'"');
}

/// A word of ours that needs no escaping.
fn word(out: &mut Vec<u8>, word: &'static str) {
    out.push(b'"');
    put(out, word.as_bytes());
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    digits(out, value.unsigned_abs());
}

/// The numbers below a hundred with two digits each.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut value = 0;
    while value < 100 {
        pairs[value] = [b'0' + value as u8 / 10, b'0' + value as u8 % 10];
        value += 1;
    }
    pairs
};

fn digits(out: &mut Vec<u8>, value: u64) {
    // A 64-bit number has at most twenty digits: four at a time from the end, and what is left is short.
    let mut text = [b'0'; 20];
    let (mut at, mut rest) = (text.len(), value);
    loop {
        let four = (rest % 10_000) as usize;
        rest /= 10_000;
        at -= 4;
        text[at..at + 2].copy_from_slice(&PAIRS[four / 100]);
        text[at + 2..at + 4].copy_from_slice(&PAIRS[four % 100]);
        if rest == 0 {
            at += usize::from(four < 1000) + usize::from(four < 100) + usize::from(four < 10);
            break;
        }
    }
    put(out, &text[at..]);
}

/// A text in quotes.
pub(super) fn text(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    if is_plain(text.as_bytes()) {
        put(out, text.as_bytes());
    } else {
        text.bytes().for_each(|byte| escaped(out, byte));
    }
    out.push(b'"');
}

const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether nothing in it needs escaping; eight letters at a time.
fn is_plain(text: &[u8]) -> bool {
    let Some(last) = text.last_chunk::<8>() else { return !text.iter().copied().any(is_special) };
    let (words, _) = text.as_chunks::<8>();
    words.iter().chain([last]).all(|word| is_plain_word(u64::from_le_bytes(*word)))
}

/// Each term has the highest bit of a byte set where the byte is special; where it is wrong, a
/// special byte stands below.
const fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGHEST: u64 = ONES << 7;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let zero = quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash;
    (control | zero) & HIGHEST == 0
}

fn escaped(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' => b'"',
        b'\\' => b'\\',
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..0x20 => {
            let digit = |nibble: u8| if nibble < 10 { b'0' + nibble } else { b'a' + nibble - 10 };
            return put(out, &[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
        }
        plain => return out.push(plain),
    };
    put(out, &[b'\\', short]);
}

#[cfg(test)]
mod tests {
    use super::{digits, is_plain, is_special, number, text};

    #[test]
    fn text_is_written_as_the_json_library_writes_it() {
        let mut wordings = vec![String::new(), "가\"나\\다\u{7f}\u{80}".to_owned()];
        // Every ASCII character at every place of a word of eight, and of what is left over.
        for length in [1, 7, 8, 9, 17] {
            for at in 0..length {
                for byte in 0..0x80_u8 {
                    let mut bytes = vec![b'a'; length];
                    bytes[at] = byte;
                    wordings.push(String::from_utf8(bytes).unwrap());
                }
            }
        }
        for wording in wordings {
            let mut out = Vec::new();
            text(&mut out, &wording);
            assert_eq!(String::from_utf8(out).unwrap(), serde_json::to_string(&wording).unwrap());
            let plain = !wording.bytes().any(is_special);
            assert_eq!(is_plain(wording.as_bytes()), plain, "{wording:?}");
        }
    }

    #[test]
    fn numbers_are_decimal() {
        let mut powers = vec![0, 1, u64::MAX];
        powers.extend((1..20).flat_map(|digits| [10_u64.pow(digits) - 1, 10_u64.pow(digits)]));
        for value in powers {
            let mut out = Vec::new();
            digits(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
        for value in [i64::MIN, -1, 0, 1, i64::MAX] {
            let mut out = Vec::new();
            number(&mut out, value);
            assert_eq!(out, value.to_string().into_bytes());
        }
    }
}
