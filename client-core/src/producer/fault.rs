//! Which brokers to avoid, and until when. Pure: the time is handed in.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a broker is avoided after its first failure; doubles with each one that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest time that a broker is avoided: it is then tried again with one message.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Brokers that failed lately.
///
/// Differs: Apache's client keeps such a table only when told to, by measured latency; here a
/// broker is avoided as soon as an attempt fails, and trusted again after one that works.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    failed: HashMap<Arc<str>, Fault>,
}

#[derive(Debug)]
struct Fault {
    in_a_row: u32,
    avoid_until: Duration,
}

impl Faults {
    /// An attempt on `broker` failed at `now`.
    pub(crate) fn failed(&mut self, broker: &Arc<str>, now: Duration) {
        let fault = self
            .failed
            .entry(broker.clone())
            .or_insert(Fault { in_a_row: 0, avoid_until: Duration::ZERO });
        let pause = FIRST_PAUSE.saturating_mul(1 << fault.in_a_row.min(16)).min(LONGEST_PAUSE);
        fault.in_a_row = fault.in_a_row.saturating_add(1);
        fault.avoid_until = fault.avoid_until.max(now.saturating_add(pause));
    }

    /// An attempt on `broker` worked.
    pub(crate) fn worked(&mut self, broker: &str) {
        self.failed.remove(broker);
    }

    /// Whether to pass over `broker` at `now`.
    pub(crate) fn is_avoided(&self, broker: &str, now: Duration) -> bool {
        self.failed.get(broker).is_some_and(|fault| now < fault.avoid_until)
    }

    /// Whether no broker failed since it last worked.
    pub(crate) fn is_empty(&self) -> bool {
        self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_failure_in_a_row_doubles_the_pause_up_to_half_a_minute() {
        let (mut faults, broker) = (Faults::default(), Arc::from("a"));
        let mut now = Duration::ZERO;
        for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            faults.failed(&broker, now);
            assert!(faults.is_avoided("a", now + MS * (pause - 1)), "{pause}");
            now += MS * pause;
            assert!(!faults.is_avoided("a", now), "{pause}");
        }
    }

    #[test]
    fn one_success_clears_a_broker() {
        let (mut faults, broker) = (Faults::default(), Arc::from("a"));
        faults.failed(&broker, Duration::ZERO);
        faults.failed(&broker, Duration::ZERO);
        faults.worked("a");
        assert!(!faults.is_avoided("a", Duration::ZERO));
        faults.failed(&broker, Duration::ZERO);
        assert!(!faults.is_avoided("a", MS * 500), "the pause starts over");
        assert!(!faults.is_avoided("b", Duration::ZERO));
    }
}
