//! Points in time, as protocols and people write them. Named by everybody, names nobody.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Whole seconds since 1970; 0 for what was before.
#[must_use]
pub fn seconds(at: SystemTime) -> u64 {
    since_1970(at).as_secs()
}

/// Seconds since 1970, as metrics have them; 0 for what was before.
#[must_use]
pub fn fractional_seconds(at: SystemTime) -> f64 {
    since_1970(at).as_secs_f64()
}

/// RFC 3339 in UTC, to the second: `2026-11-22T16:04:16Z`.
#[must_use]
pub fn utc(at: SystemTime) -> String {
    format!("{}Z", to_the_second(at))
}

/// RFC 3339 in UTC, to the millisecond: `2026-11-22T16:04:16.123Z`.
#[must_use]
pub fn utc_with_milliseconds(at: SystemTime) -> String {
    format!("{}.{:03}Z", to_the_second(at), since_1970(at).subsec_millis())
}

/// RFC 3339 in UTC, to the microsecond: `2026-11-22T16:04:16.123456Z`. Each line of the log has one.
#[derive(Clone, Copy, Debug)]
pub struct UtcWithMicroseconds([u8; 27]);

impl UtcWithMicroseconds {
    /// That moment; years beyond 9999 lose their first digits.
    #[must_use]
    pub fn of(at: SystemTime) -> Self {
        let [year, month, day, hour, minute, second] = calendar(at);
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        let micros = u64::from(since_1970(at).subsec_micros());
        let numbers = [(3, year), (6, month), (9, day), (12, hour), (15, minute), (18, second), (25, micros)];
        for (last, number) in numbers {
            digits(&mut text[..=last], number);
        }
        Self(text)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Digits and what was between them are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes a number over the zeros at the end.
fn digits(zeros: &mut [u8], mut number: u64) {
    for place in zeros.iter_mut().rev().take_while(|place| place.is_ascii_digit()) {
        *place = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
    }
}

fn since_1970(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn to_the_second(at: SystemTime) -> String {
    let [year, month, day, hour, minute, second] = calendar(at);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
}

/// From the year to the second.
fn calendar(at: SystemTime) -> [u64; 6] {
    let (days, rest) = (seconds(at) / 86_400, seconds(at) % 86_400);
    let (year, month, day) = date(days);
    [year, month, day, rest / 3600, rest / 60 % 60, rest % 60]
}

/// Year, month and day of a day since 1970, by Howard Hinnant's `civil_from_days`: years begin in March, so that the
/// leap day is their last.
fn date(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_leap_days() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (1_795_375_254, "2026-11-22T19:20:54Z"),
        ] {
            let at = UNIX_EPOCH + Duration::from_secs(seconds);
            assert_eq!(utc(at), text);
            let fine = UtcWithMicroseconds::of(at + Duration::from_micros(1_230));
            assert_eq!(fine.as_str(), format!("{}.001230Z", text.trim_end_matches('Z')));
        }
    }

    #[test]
    fn times_are_rfc3339() {
        let check = |seconds, expected: &str| {
            assert_eq!(utc_with_milliseconds(UNIX_EPOCH + Duration::from_secs(seconds)), expected);
        };
        check(0, "1970-01-01T00:00:00.000Z");
        check(951_782_400, "2000-02-29T00:00:00.000Z");
        check(1_795_363_456, "2026-11-22T16:04:16.000Z");
        check(4_107_542_399, "2100-02-28T23:59:59.000Z");
    }
}
