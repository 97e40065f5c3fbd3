//! Times as the broker's wall shows them: Apache names index files by them, and deletes old files
//! at certain hours of them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

fn local(time_ms: i64) -> jiff::Zoned {
    let time = Timestamp::from_millisecond(time_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    time.to_zoned(TimeZone::system())
}

/// The 17 digits of a time: year, month, day, hour, minute, second, millisecond.
pub(crate) fn digits(time_ms: i64) -> String {
    local(time_ms).strftime("%Y%m%d%H%M%S%3f").to_string()
}

/// The hour of a time, 0 to 23.
pub(crate) fn hour(time_ms: i64) -> u8 {
    u8::try_from(local(time_ms).hour()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_seventeen_digits_and_an_hour() {
        let digits = digits(1_700_000_000_123);
        assert_eq!(digits.len(), 17);
        assert!(digits.starts_with("202311") && digits.ends_with("20123"), "{digits}");
        assert_eq!(digits[8..10].parse::<u8>().unwrap(), hour(1_700_000_000_123));
        assert_eq!(super::digits(i64::MAX).len(), 17);
    }
}
