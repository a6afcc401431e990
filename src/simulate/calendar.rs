//! Days as numbers since 1970-01-01 (UTC), the proleptic Gregorian calendar, and RFC 3339 text.
//! By hand because a generated event is mostly its times, and a million a second are wanted.

/// Milliseconds in a second.
pub(super) const SECOND_MS: i64 = 1000;
/// Milliseconds in an hour.
pub(super) const HOUR_MS: i64 = 3_600_000;
/// Milliseconds in a day.
pub(super) const DAY_MS: i64 = 24 * HOUR_MS;

/// Days on which offices are closed everywhere, as (month, day). Any 120 days have one on a
/// working day.
const HOLIDAYS: [(u32, u32); 12] =
    [(1, 1), (1, 2), (2, 16), (3, 19), (5, 1), (5, 25), (7, 3), (8, 14), (9, 7), (10, 9), (12, 24), (12, 25)];

/// The day that holds the instant.
pub(super) fn day_of(at_ms: i64) -> i64 {
    at_ms.div_euclid(DAY_MS)
}

/// Whether nobody is expected at work.
pub(super) fn is_day_off(day: i64) -> bool {
    // 1970-01-01 was a Thursday: 0 = Monday.
    let weekday = (day + 3).rem_euclid(7);
    let (_, month, of_month) = civil(day);
    weekday >= 5 || HOLIDAYS.contains(&(month, of_month))
}

/// Year, month (1–12) and day of month of a day number.
///
/// Counts in years that begin in March, so that the leap day is the last day of its year and
/// month lengths follow one linear formula.
pub(super) fn civil(day: i64) -> (i64, u32, u32) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * of_year + 2) / 153;
    let of_month = of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    // Both are small and positive by the arithmetic above.
    (year, month as u32, of_month as u32)
}

/// The day number of a date: the inverse of [`civil`].
pub(super) fn day_number(year: i64, month: u32, of_month: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let of_era_year = year.rem_euclid(400);
    let march_month = i64::from((month + 9) % 12);
    let of_year = (153 * march_month + 2) / 5 + i64::from(of_month) - 1;
    let of_era = of_era_year * 365 + of_era_year / 4 - of_era_year / 100 + of_year;
    era * 146_097 + of_era - 719_468
}

/// The same day of the month, `months` later (or earlier). Days after the 28th become the 28th.
pub(super) fn add_months(day: i64, months: i64) -> i64 {
    let (year, month, of_month) = civil(day);
    let count = year * 12 + i64::from(month) - 1 + months;
    let month = count.rem_euclid(12) as u32 + 1;
    day_number(count.div_euclid(12), month, of_month.min(28))
}

/// Appends `2026-01-05T09:00:00Z`, with three decimals only when the milliseconds are not 0.
pub(super) fn push_time(buf: &mut Vec<u8>, at_ms: i64) {
    let (year, month, of_month) = civil(day_of(at_ms));
    let of_day = at_ms.rem_euclid(DAY_MS);
    let seconds = of_day / SECOND_MS;
    // Each part is below 100, the year is cut to four digits.
    let pair = |n: i64| [b'0' + (n / 10 % 10) as u8, b'0' + (n % 10) as u8];
    let [y1, y2] = pair(year / 100);
    let [y3, y4] = pair(year % 100);
    let [m1, m2] = pair(i64::from(month));
    let [d1, d2] = pair(i64::from(of_month));
    let [h1, h2] = pair(seconds / 3600);
    let [i1, i2] = pair(seconds / 60 % 60);
    let [s1, s2] = pair(seconds % 60);
    buf.extend_from_slice(&[
        y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2,
    ]);
    let millis = of_day % SECOND_MS;
    if millis != 0 {
        let [t1, t2] = pair(millis % 100);
        buf.extend_from_slice(&[b'.', b'0' + (millis / 100) as u8, t1, t2]);
    }
    buf.push(b'Z');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_agree_with_a_calendar_library() {
        for day in (-200_000..200_000).step_by(37) {
            let date = jiff::civil::date(1970, 1, 1) + jiff::Span::new().days(day);
            let (year, month, of_month) = civil(day);
            let theirs = (i64::from(date.year()), date.month() as u32, date.day() as u32);
            assert_eq!((year, month, of_month), theirs);
            assert_eq!(day_number(year, month, of_month), day);
        }
    }

    #[test]
    fn times_read_as_written() {
        for at_ms in [0, 1_767_603_600_000, 1_767_603_600_007, 1_709_164_799_999] {
            let mut buf = Vec::new();
            push_time(&mut buf, at_ms);
            let text = String::from_utf8(buf).unwrap();
            assert_eq!(text.parse::<jiff::Timestamp>().unwrap().as_millisecond(), at_ms, "{text}");
        }
    }

    #[test]
    fn months_keep_the_day() {
        let start = day_number(2025, 11, 30);
        assert_eq!(civil(add_months(start, 3)), (2026, 2, 28));
        assert_eq!(civil(add_months(day_number(2026, 1, 15), -1)), (2025, 12, 15));
    }

    #[test]
    fn weekends_and_holidays_are_days_off() {
        assert!(is_day_off(day_number(2026, 1, 3)), "a Saturday");
        assert!(!is_day_off(day_number(2026, 1, 5)), "a Monday");
        assert!(is_day_off(day_number(2026, 12, 25)), "a Friday");
        for start in 20_000..20_800 {
            let weekday = |day: i64| (day + 3).rem_euclid(7) < 5;
            assert!((start..start + 120).any(|day| weekday(day) && is_day_off(day)), "{start}");
        }
    }
}
