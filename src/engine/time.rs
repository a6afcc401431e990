//! Days, quarters and durations of the engine. A day is a UTC day plus one offset of the whole
//! deployment; an account's own time zone never enters a calculation.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// One hour in milliseconds.
pub const HOUR_MS: i64 = 3_600_000;
/// One day in milliseconds.
pub const DAY_MS: i64 = 24 * HOUR_MS;
/// The day turns for an account at midnight plus a fixed jitter below this, so that a million
/// accounts do not turn in one transaction.
pub const DAY_TURN_SPREAD_MS: i64 = 30 * 60_000;

/// A day number: days since 1970-01-01 in the deployment's calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Day(pub i32);

impl Day {
    /// The day `n` days before this one.
    #[must_use]
    pub const fn minus(self, n: i32) -> Day {
        Day(self.0.saturating_sub(n))
    }

    /// The day `n` days after this one.
    #[must_use]
    pub const fn plus(self, n: i32) -> Day {
        Day(self.0.saturating_add(n))
    }

    /// How many days `earlier` lies before this day; negative when it lies after.
    pub const fn since(self, earlier: Day) -> i32 {
        self.0.saturating_sub(earlier.0)
    }

    /// The week this day belongs to (fixed seven-day blocks; which weekday they start on does
    /// not matter, only that they never move).
    pub const fn week(self) -> i32 {
        self.0.div_euclid(7)
    }

    /// The first day of this day's calendar quarter.
    #[must_use]
    pub fn quarter_start(self) -> Day {
        let Some((year, month, day_of_year)) = usual_date(self.0.into()) else {
            return self.any_quarter_start();
        };
        let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        // Days from the last first of March to the first day of the quarter.
        let quarter = match month {
            1..=2 => 306,
            3 => -59 - i32::from(is_leap),
            4..=6 => 31,
            7..=9 => 122,
            _ => 214,
        };
        self.minus(day_of_year as i32 - quarter)
    }

    fn any_quarter_start(self) -> Day {
        let Some(date) = self.to_date() else { return self };
        let month = (date.month() - 1) / 3 * 3 + 1;
        Date::new(date.year(), month, 1).map_or(self, Day::from_date)
    }

    fn to_date(self) -> Option<Date> {
        Date::constant(1970, 1, 1).checked_add(jiff::Span::new().try_days(self.0).ok()?).ok()
    }

    fn from_date(date: Date) -> Day {
        let days = date.since(Date::constant(1970, 1, 1)).map_or(0, |span| span.get_days());
        Day(days)
    }
}

/// The deployment's calendar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    /// Added to UTC before the day is taken; fixed when the state is created.
    pub offset_ms: i64,
}

impl Calendar {
    /// The day of an instant.
    pub fn day_of(self, at_ms: i64) -> Day {
        let days = at_ms.saturating_add(self.offset_ms).div_euclid(DAY_MS);
        Day(days.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32)
    }

    /// The first instant of a day.
    pub fn start_of(self, day: Day) -> i64 {
        i64::from(day.0) * DAY_MS - self.offset_ms
    }
}

/// An instant as RFC 3339 in UTC, for people and for JSON.
pub fn rfc3339(at_ms: i64) -> String {
    let mut text = Vec::with_capacity(USUAL_INSTANT.len());
    push_rfc3339(&mut text, at_ms);
    String::from_utf8(text).unwrap_or_default()
}

/// The same, appended to a buffer.
pub fn push_rfc3339(out: &mut Vec<u8>, at_ms: i64) {
    if let Some((text, length)) = usual_rfc3339(at_ms) {
        return out.extend_from_slice(&text[..length]);
    }
    let text =
        jiff::Timestamp::from_millisecond(at_ms).map_or_else(|_| format!("{at_ms}ms"), |at| at.to_string());
    out.extend_from_slice(text.as_bytes());
}

/// The form of an instant in the years that occur.
const USUAL_INSTANT: &[u8; 24] = b"0000-00-00T00:00:00.000Z";

/// Year and month of a day in the four hundred years from 2000-03-01, when the calendar begins to
/// repeat itself, and how many days it lies after the last first of March.
fn usual_date(days: i64) -> Option<(u32, u32, u32)> {
    // Days before these years, and of them. With March first, a leap day ends its year.
    const ERA_FROM: i64 = 11_017;
    const ERA: u32 = 146_097;
    let day = u32::try_from(days - ERA_FROM).ok().filter(|day| *day < ERA)?;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let (year, month) = if month < 10 { (2000 + year, month + 3) } else { (2001 + year, month - 9) };
    Some((year, month, day_of_year))
}

/// The text and its length for the years that occur, without the machinery for all others: every
/// record that is told holds several.
fn usual_rfc3339(at_ms: i64) -> Option<([u8; 24], usize)> {
    let ms = at_ms.rem_euclid(DAY_MS) as u32;
    let (year, month, day_of_year) = usual_date(at_ms.div_euclid(DAY_MS))?;
    let months = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * months + 2) / 5 + 1;
    let (seconds, fraction) = (ms / 1_000, ms % 1_000);
    let mut text = *USUAL_INSTANT;
    for (at, value) in [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day_of_month),
        (11, seconds / 3_600),
        (14, seconds / 60 % 60),
        (17, seconds % 60),
        // The last digit of the fraction stands alone.
        (20, fraction / 10),
    ] {
        text[at] = b'0' + (value / 10) as u8;
        text[at + 1] = b'0' + (value % 10) as u8;
    }
    text[22] = b'0' + (fraction % 10) as u8;
    // Zeros at the end of a fraction are left out, and with them the point.
    let digits = match fraction {
        0 => return Some((ended(text, 19), 20)),
        _ if fraction % 100 == 0 => 1,
        _ if fraction % 10 == 0 => 2,
        _ => 3,
    };
    Some((ended(text, 20 + digits), 21 + digits))
}

/// An instant whose digits end at a place.
const fn ended(mut text: [u8; 24], at: usize) -> [u8; 24] {
    text[at] = b'Z';
    text
}

/// A duration in milliseconds that reads `15m`, `24h` or `10d` in configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct DurationMs(pub i64);

impl DurationMs {
    /// Whole days.
    pub const fn days(n: i64) -> Self {
        DurationMs(n * DAY_MS)
    }

    /// Whole hours.
    pub const fn hours(n: i64) -> Self {
        DurationMs(n * HOUR_MS)
    }

    /// Parses a friendly duration (`90s`, `15m`, `24h`, `10d`); a day is 24 hours.
    ///
    /// # Errors
    /// A sentence that says what a duration looks like.
    pub fn parse(text: &str) -> Result<Self, String> {
        let hint = || format!("`{text}` is not a duration; write for example `90s`, `15m`, `24h` or `10d`");
        let span: jiff::Span = text.parse().map_err(|_| hint())?;
        let length = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| hint())?;
        let ms = i64::try_from(length.as_millis()).map_err(|_| hint())?;
        if ms < 0 { Err(hint()) } else { Ok(DurationMs(ms)) }
    }
}

impl std::fmt::Display for DurationMs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            ms if ms % DAY_MS == 0 && ms != 0 => write!(f, "{}d", ms / DAY_MS),
            ms if ms % HOUR_MS == 0 && ms != 0 => write!(f, "{}h", ms / HOUR_MS),
            ms if ms % 60_000 == 0 && ms != 0 => write!(f, "{}m", ms / 60_000),
            ms if ms % 1000 == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{ms}ms"),
        }
    }
}

impl Serialize for DurationMs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DurationMs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        DurationMs::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_the_offset() {
        let utc = Calendar::default();
        let seoul = Calendar { offset_ms: 9 * HOUR_MS };
        assert_eq!(utc.day_of(-1), Day(-1));
        assert_eq!(utc.day_of(DAY_MS - 1), Day(0));
        assert_eq!(seoul.day_of(15 * HOUR_MS), Day(1));
        assert_eq!(seoul.start_of(Day(1)), 15 * HOUR_MS);
    }

    #[test]
    fn quarters_start_in_january_april_july_and_october() {
        let day = |y, m, d| Day::from_date(Date::constant(y, m, d));
        assert_eq!(day(2026, 3, 31).quarter_start(), day(2026, 1, 1));
        assert_eq!(day(2026, 4, 1).quarter_start(), day(2026, 4, 1));
        assert_eq!(day(2024, 12, 31).quarter_start(), day(2024, 10, 1));
        assert_eq!(day(1970, 1, 1), Day(0));
        for number in (10_900..170_000).map(Day) {
            assert_eq!(number.quarter_start(), number.any_quarter_start());
        }
    }

    #[test]
    fn instants_read_as_the_time_library_writes_them() {
        let library = |at_ms| jiff::Timestamp::from_millisecond(at_ms).unwrap().to_string();
        let mut at_ms = 946_684_800_000 - 3 * DAY_MS; // the end of 1999
        for step in 0..200_000_i64 {
            assert_eq!(rfc3339(at_ms), library(at_ms));
            // About four hundred years, with leap days and every length of a fraction.
            at_ms += [DAY_MS, 1, 999, 10 * 3_600_000 + 7, 100][step as usize % 5] * (1 + step % 3);
        }
        for at_ms in [-1, 0, 13_574_649_600_000 - 1, 13_574_649_600_000, 13_580_000_000_000] {
            assert_eq!(rfc3339(at_ms), library(at_ms));
        }
        assert_eq!(rfc3339(i64::MAX), format!("{}ms", i64::MAX));
    }

    #[test]
    fn durations_read_and_print_the_same() {
        for text in ["90s", "15m", "24h", "10d", "0s", "36h"] {
            let parsed = DurationMs::parse(text).unwrap();
            assert_eq!(DurationMs::parse(&parsed.to_string()).unwrap(), parsed, "{text}");
        }
        assert!(DurationMs::parse("soon").is_err());
        assert!(DurationMs::parse("-5m").is_err());
    }
}
