//! Times as text. Nearly all that are sent have one shape, `2026-01-05T09:00:00Z` with or without
//! milliseconds, and are read here by hand, because an event is to a good part its times. Whatever
//! is not plainly usual, in shape or in value, is left to jiff, which alone decides what is refused.
//!
//! To add a shape: only if many send it, and only what jiff reads in the same way (a test compares).

use jiff::fmt::temporal::DateTimeParser;

/// Milliseconds of an RFC 3339 time. jiff also reads other ISO 8601 shapes (no seconds, basic
/// format, zone annotations, a comma); they are refused, so that what is accepted is what the
/// documentation says. Digits below a millisecond are cut off.
#[inline]
pub(super) fn to_ms(text: &str) -> Option<i64> {
    usual(text.as_bytes()).or_else(|| by_jiff(text))
}

/// As [`to_ms`], for all shapes.
#[inline(never)]
fn by_jiff(text: &str) -> Option<i64> {
    static PARSER: DateTimeParser = DateTimeParser::new();
    let b = text.as_bytes();
    if !(20..=35).contains(&b.len()) {
        return None;
    }
    let date = b[0].is_ascii_digit() && b[4] == b'-' && b[7] == b'-' && matches!(b[10], b'T' | b't' | b' ');
    let clock = b[13] == b':' && b[16] == b':' && matches!(b[19], b'.' | b'Z' | b'z' | b'+' | b'-');
    // At least 20 bytes, checked above, so six from the end exist.
    let tail = &b[b.len() - 6..];
    let offset = matches!(tail[5], b'Z' | b'z') || (matches!(tail[0], b'+' | b'-') && tail[3] == b':');
    if !(date && clock && offset) {
        return None;
    }
    PARSER.parse_timestamp(b).ok().map(|at| at.as_millisecond())
}

/// `2026-01-05T09:00:00Z` and `2026-01-05T09:00:00.000Z` of the years that events may name, if it
/// is a time that exists in every calendar and on every clock.
#[inline]
fn usual(b: &[u8]) -> Option<i64> {
    let (b, rest) = b.split_first_chunk::<19>()?;
    let mut seen = Digits::default();
    // All places are below 19.
    let mut two = |at: usize| seen.two(b[at], b[at + 1]);
    let (year, month, day) = (two(0) * 100 + two(2), two(5), two(8));
    let (hour, minute, second) = (two(11), two(14), two(17));
    let ms = match *rest {
        [b'Z'] => 0,
        [b'.', f0, f1, f2, b'Z'] => seen.two(f0, f1) * 10 + seen.two(b'0', f2),
        _ => return None,
    };
    let is_shaped = !seen.other && [b[4], b[7], b[10], b[13], b[16]] == *b"--T::";
    let exists = is_shaped
        && (1990..2200).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    if !exists {
        return None;
    }
    let seconds = (hour * 60 + minute) * 60 + second;
    Some((i64::from(day_number(year, month, day)) * 86_400 + i64::from(seconds)) * 1000 + i64::from(ms))
}

/// Reads digits, and remembers whether all were.
#[derive(Default)]
struct Digits {
    other: bool,
}

impl Digits {
    /// A number of two digits; a number of no meaning if they are none.
    #[inline]
    fn two(&mut self, tens: u8, ones: u8) -> u32 {
        let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
        self.other |= tens > 9 || ones > 9;
        u32::from(tens) * 10 + u32::from(ones)
    }
}

/// The length of a month that exists.
#[inline]
fn days_of(year: u32, month: u32) -> u32 {
    match month {
        2 => {
            let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            28 + u32::from(is_leap)
        }
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a date from 1970 on. Years are counted from March, so that the leap day
/// is the last of its year and the lengths of months follow one formula.
#[inline]
fn day_number(year: u32, month: u32, day: u32) -> u32 {
    let (year, march_month) = if month <= 2 { (year - 1, month + 9) } else { (year, month - 3) };
    let of_year = (153 * march_month + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - DAYS_TO_1970
}

/// Days from 0000-03-01 to 1970-01-01.
const DAYS_TO_1970: u32 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Reads a time by both ways, if the short one reads it at all: whether it does.
    #[track_caller]
    fn same(text: &str) -> bool {
        let Some(ms) = usual(text.as_bytes()) else { return false };
        assert_eq!(Some(ms), by_jiff(text), "{text}");
        true
    }

    #[test]
    fn every_day_of_the_years_reads_the_same() {
        let mut read = 0;
        for year in 1960..=2210 {
            for (month, day) in (0..=13).flat_map(|month| (0..=32).map(move |day| (month, day))) {
                read += u32::from(same(&format!("{year:04}-{month:02}-{day:02}T12:34:56.789Z")));
            }
        }
        // 1990-01-01 to 2199-12-31: none is left to jiff.
        assert_eq!(read, 76_701);
    }

    #[test]
    fn every_second_of_a_day_reads_the_same() {
        let mut read = 0;
        for (hour, minute) in (0..=25).flat_map(|hour| (0..=61).map(move |minute| (hour, minute))) {
            for second in 0..=61 {
                read += u32::from(same(&format!("2024-02-29T{hour:02}:{minute:02}:{second:02}Z")));
            }
        }
        assert_eq!(read, 86_400);
    }

    #[test]
    fn what_is_not_usual_is_left_to_jiff() {
        for text in [
            "",
            "2026-01-05T09:00:00",
            "2026-01-05T09:00:60Z",
            "2026-01-05T24:00:00Z",
            "2026-02-29T09:00:00Z",
            "2100-02-29T09:00:00Z",
            "2026-01-05t09:00:00Z",
            "2026-01-05T09:00:00z",
            "2026-01-05 09:00:00Z",
            "2026-01-05T09:00:00+00:00",
            "2026-01-05T09:00:00.5Z",
            "2026-01-05T09:00:00,500Z",
            "2026-01-05T09:00:00.5000Z",
            "2026-01-05T09:00:00.Z",
            "2026-01-05T09:00:00ZZ",
            "1989-12-31T23:59:59Z",
            "2200-01-01T00:00:00Z",
            "2/26-01-05T09:00:00Z",
            "202:-01-05T09:00:00Z",
            "2026-01-05T09:00:00.00:Z",
        ] {
            assert_eq!(usual(text.as_bytes()), None, "{text}");
        }
        assert!(same("2000-02-29T23:59:59.999Z") && same("1990-01-01T00:00:00Z"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_bytes_in_the_place_of_one_read_the_same(
            ms in super::super::MIN_TIME_MS..super::super::MAX_TIME_MS, whole: bool, at: prop::sample::Index, byte in 0..128_u8,
        ) {
            let ms = if whole { ms / 1000 * 1000 } else { ms };
            let at_ms = jiff::Timestamp::from_millisecond(ms).expect("in range");
            let text = if whole { format!("{at_ms:.0}") } else { format!("{at_ms:.3}") };
            prop_assert!(same(&text), "{text}");
            prop_assert_eq!(to_ms(&text), Some(ms));
            let mut changed = text.into_bytes();
            let at = at.index(changed.len());
            changed[at] = byte;
            let changed = String::from_utf8(changed).expect("ASCII");
            same(&changed);
            prop_assert_eq!(to_ms(&changed), by_jiff(&changed));
        }
    }
}
