//! How a failed attempt is judged, and how long to wait before the next. Pure but for the delay
//! iterator, which is seeded.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

use crate::error::Stored;
use crate::protocol::code::ResponseCode;

/// What an attempt means for the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Judgement {
    /// Whether the message may lie on the broker.
    pub(crate) stored: Stored,
    /// Whether another attempt may work.
    pub(crate) again: bool,
    /// Whether the broker is to be avoided for a while.
    pub(crate) blame_broker: bool,
    /// Whether the route may be out of date.
    pub(crate) refresh_route: bool,
}

impl Judgement {
    /// Refused for good: nothing is stored and nothing else can be tried.
    pub(crate) const fn refused() -> Self {
        Self { stored: Stored::No, again: false, blame_broker: false, refresh_route: false }
    }
}

/// Judges an answer other than "stored".
pub(crate) fn judge_answer(code: ResponseCode) -> Judgement {
    let refused = Judgement::refused();
    match code {
        // An exception in the broker, before or after the message was written.
        ResponseCode::SYSTEM_ERROR => {
            Judgement { stored: Stored::Unknown, again: true, blame_broker: true, ..refused }
        }
        ResponseCode::SYSTEM_BUSY | ResponseCode::FLOW_CONTROL => {
            Judgement { again: true, blame_broker: true, ..refused }
        }
        ResponseCode::SERVICE_NOT_AVAILABLE
        | ResponseCode::NO_PERMISSION
        | ResponseCode::TOPIC_NOT_EXIST
        | ResponseCode::GO_AWAY => {
            Judgement { again: true, blame_broker: true, refresh_route: true, ..refused }
        }
        _ => refused,
    }
}

/// The delays between attempts: 50 ms, doubling up to 2 s, each with up to as much again at
/// random, so that clients that failed together do not come back together.
pub(crate) fn delays(retries: u32, seed: u64) -> ExponentialBackoff {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(2))
        .with_max_times(retries as usize)
        .with_jitter()
        .with_jitter_seed(seed)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_within_their_jitter_and_end_with_the_retries() {
        let delays: Vec<_> = delays(8, 42).map(|delay| delay.as_millis()).collect();
        assert_eq!(delays.len(), 8);
        for (delay, least) in delays.iter().zip([50, 100, 200, 400, 800, 1_600, 2_000, 2_000]) {
            assert!((least..=2 * least).contains(delay), "{delays:?}");
        }
    }

    #[test]
    fn equal_seeds_give_equal_delays() {
        assert!(delays(5, 7).eq(delays(5, 7)));
        assert!(!delays(5, 7).eq(delays(5, 8)));
    }

    #[test]
    fn only_an_exception_in_the_broker_leaves_it_open_whether_the_message_was_stored() {
        for (code, stored, again) in [
            (ResponseCode::SYSTEM_ERROR, Stored::Unknown, true),
            (ResponseCode::SYSTEM_BUSY, Stored::No, true),
            (ResponseCode::SERVICE_NOT_AVAILABLE, Stored::No, true),
            (ResponseCode::TOPIC_NOT_EXIST, Stored::No, true),
            (ResponseCode::NO_PERMISSION, Stored::No, true),
            (ResponseCode::MESSAGE_ILLEGAL, Stored::No, false),
            (ResponseCode(9_999), Stored::No, false),
        ] {
            let judged = judge_answer(code);
            assert_eq!((judged.stored, judged.again), (stored, again), "{code}");
        }
    }
}
