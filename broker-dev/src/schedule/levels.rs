//! The delays that levels 1, 2, 3 … stand for.

use std::fmt;
use std::str::FromStr;

/// RocketMQ's default: 18 levels.
const DEFAULT: &str = "1s 5s 10s 30s 1m 2m 3m 4m 5m 6m 7m 8m 9m 10m 20m 30m 1h 2h";

/// A table of delays, at least one; level 1 is the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelayLevels {
    text: String,
    delays_ms: Vec<i64>,
}

/// The text is no list of delays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a list of delays like `1s 5s 1m 2h`")]
pub struct BadDelayLevels;

impl DelayLevels {
    /// The highest level.
    pub fn max(&self) -> i32 {
        i32::try_from(self.delays_ms.len()).unwrap_or(i32::MAX)
    }

    /// The delay of a level in milliseconds. Levels above the highest count as the highest; level
    /// 0 and below are no delay.
    pub fn delay_ms(&self, level: i32) -> Option<i64> {
        let index = usize::try_from(level.min(self.max()).checked_sub(1)?).ok()?;
        self.delays_ms.get(index).copied()
    }

    /// The delays of levels 1, 2, 3 … in milliseconds.
    pub fn delays_ms(&self) -> &[i64] {
        &self.delays_ms
    }
}

impl Default for DelayLevels {
    fn default() -> Self {
        DEFAULT.parse().unwrap_or(Self { text: String::new(), delays_ms: Vec::new() })
    }
}

impl fmt::Display for DelayLevels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for DelayLevels {
    type Err = BadDelayLevels;

    fn from_str(text: &str) -> Result<Self, BadDelayLevels> {
        let delays_ms = text.split_whitespace().map(delay).collect::<Option<Vec<_>>>();
        match delays_ms {
            Some(delays_ms) if !delays_ms.is_empty() => {
                Ok(Self { text: text.to_owned(), delays_ms })
            }
            _ => Err(BadDelayLevels),
        }
    }
}

fn delay(word: &str) -> Option<i64> {
    let (number, unit) = word.split_at_checked(word.len().checked_sub(1)?)?;
    let unit_ms: i64 = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let number: u32 = number.parse().ok()?;
    unit_ms.checked_mul(number.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_eighteen_levels_from_a_second_to_two_hours() {
        let levels = DelayLevels::default();
        assert_eq!(levels.max(), 18);
        assert_eq!(levels.delay_ms(1), Some(1_000));
        assert_eq!(levels.delay_ms(3), Some(10_000));
        assert_eq!(levels.delay_ms(18), Some(7_200_000));
        assert_eq!(levels.delay_ms(99), Some(7_200_000));
        assert_eq!(levels.delay_ms(0), None);
        assert_eq!(levels.delay_ms(i32::MIN), None);
    }

    #[test]
    fn other_delays_can_be_given_and_nonsense_cannot() {
        let levels: DelayLevels = "2s 3d".parse().unwrap();
        assert_eq!(levels.delays_ms(), [2_000, 259_200_000]);
        assert_eq!(levels.to_string(), "2s 3d");
        for bad in ["", "s", "1", "1x", "-1s", "99999999999d", "1s é"] {
            assert_eq!(bad.parse::<DelayLevels>(), Err(BadDelayLevels), "{bad}");
        }
    }
}
