//! Times as people read them.

/// A time in UTC, `2026-11-25 01:02:03.456`.
pub fn time(epoch_ms: i64) -> String {
    let (days, of_day) = (epoch_ms.div_euclid(86_400_000), epoch_ms.rem_euclid(86_400_000));
    let (year, month, day) = civil(days);
    let (seconds, ms) = (of_day / 1_000, of_day % 1_000);
    let (hour, minute, second) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{ms:03}")
}

/// Reads `2026-11-25`, `2026-11-25 01:02`, `2026-11-25T01:02:03.456` (all UTC), or milliseconds
/// since the Unix epoch.
pub fn parse_time(text: &str) -> Option<i64> {
    let text = text.trim().trim_end_matches('Z');
    if let Ok(ms) = text.parse() {
        return Some(ms);
    }
    let (date, time) = text.split_once([' ', 'T']).unwrap_or((text, ""));
    let mut date = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (date.next()??, date.next()??, date.next()??);
    let is_date =
        (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let (time, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut parts = time.split(':').filter(|part| !part.is_empty()).map(|part| part.parse().ok());
    let mut next = |limit: i64| match parts.next() {
        None => Some(0),
        Some(value) => value.filter(|value: &i64| (0..limit).contains(value)),
    };
    let (hour, minute, second) = (next(24)?, next(60)?, next(60)?);
    let is_over = parts.next().is_none();
    let ms: i64 = format!("{fraction:0<3}").get(..3)?.parse().ok()?;
    let seconds = days(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    (is_date && is_over).then(|| seconds * 1_000 + ms)
}

/// Days since the Unix epoch of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The date that so many days since the Unix epoch are.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read_back() {
        for (ms, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_400_000, "2000-02-29 00:00:00.000"),
            (1_700_000_000_123, "2023-11-14 22:13:20.123"),
            (-1, "1969-12-31 23:59:59.999"),
        ] {
            assert_eq!(time(ms), text);
            assert_eq!(parse_time(text), Some(ms));
        }
        assert_eq!(parse_time("2023-11-14T22:13"), Some(1_699_999_980_000));
        assert_eq!(parse_time("1700000000123"), Some(1_700_000_000_123));
        for bad in ["", "x", "2023-13-01", "2023-11-14 25:00", "2023-11-14 1:2:3:4"] {
            assert_eq!(parse_time(bad), None, "{bad}");
        }
    }
}
