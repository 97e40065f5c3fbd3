//! RocketMQ delays by level, not by time: which level a delay means. Pure.

use std::time::Duration;

/// The delays of levels 1 to 18, seconds, unless the broker is configured otherwise.
///
/// Source: RocketMQ 5.3.3 `MessageStoreConfig.messageDelayLevel`.
const LEVELS: [u64; 18] =
    [1, 5, 10, 30, 60, 120, 180, 240, 300, 360, 420, 480, 540, 600, 1_200, 1_800, 3_600, 7_200];

/// The level that the broker chooses itself: 10 s after the first failure, then 30 s, 1 min, and
/// so on.
pub(crate) const BROKER_DECIDES: i32 = 0;
/// To the dead-letter topic, at once.
pub(crate) const DEAD_LETTER: i32 = -1;

/// The lowest level whose delay is at least `delay`; the highest for longer ones. No delay at all
/// lets the broker choose.
pub(crate) fn for_delay(delay: Duration) -> i32 {
    if delay.is_zero() {
        return BROKER_DECIDES;
    }
    let index = LEVELS.iter().position(|seconds| Duration::from_secs(*seconds) >= delay);
    let index = index.unwrap_or(LEVELS.len() - 1);
    i32::try_from(index + 1).unwrap_or(BROKER_DECIDES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_never_cut_short_but_at_the_top() {
        for (ms, level) in [
            (0, BROKER_DECIDES),
            (1, 1),
            (1_000, 1),
            (1_001, 2),
            (10_000, 3),
            (10_001, 4),
            (60_000, 5),
            (3_600_000, 17),
            (7_200_000, 18),
            (86_400_000, 18),
        ] {
            assert_eq!(for_delay(Duration::from_millis(ms)), level, "{ms} ms");
        }
    }
}
