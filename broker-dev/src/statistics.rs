//! What the broker has done since its start, and how fast: counters that the hot path adds to once
//! a turn, and samples of them that tell rates and days.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The spans over which rates are told, as Apache's broker does.
const WINDOWS: [Duration; 3] =
    [Duration::from_secs(10), Duration::from_secs(60), Duration::from_secs(600)];

/// How often a sample is to be taken; samples that come sooner are left out.
pub(crate) const SAMPLE_EVERY: Duration = Duration::from_secs(1);

const DAY_MS: i64 = 24 * 3_600 * 1_000;

/// How often each thing has happened since the broker's start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    /// Messages stored, those of the broker's own topics too.
    pub(crate) stored: u64,
    /// Bytes of their records.
    pub(crate) stored_bytes: u64,
    /// Messages handed out to pulls.
    pub(crate) handed_out: u64,
    /// Pulls that were answered with messages.
    pub(crate) found: u64,
    /// Pulls that were answered without.
    pub(crate) missed: u64,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Statistics {
    stored: AtomicU64,
    stored_bytes: AtomicU64,
    handed_out: AtomicU64,
    found: AtomicU64,
    missed: AtomicU64,
    history: Mutex<History>,
}

impl Statistics {
    /// Nothing has happened yet.
    pub(crate) fn new(now: Duration, now_ms: i64) -> Self {
        Self {
            stored: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            handed_out: AtomicU64::new(0),
            found: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            history: Mutex::new(History::new(now, now_ms)),
        }
    }

    /// Messages were stored, in one turn.
    pub(crate) fn stored(&self, messages: usize, bytes: u64) {
        self.stored.fetch_add(messages as u64, Ordering::Relaxed);
        self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// A pull was answered with so many messages.
    pub(crate) fn pulled(&self, messages: usize) {
        if messages == 0 {
            self.missed.fetch_add(1, Ordering::Relaxed);
        } else {
            self.found.fetch_add(1, Ordering::Relaxed);
            self.handed_out.fetch_add(messages as u64, Ordering::Relaxed);
        }
    }

    /// How often each thing has happened so far.
    pub(crate) fn totals(&self) -> Totals {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Totals {
            stored: read(&self.stored),
            stored_bytes: read(&self.stored_bytes),
            handed_out: read(&self.handed_out),
            found: read(&self.found),
            missed: read(&self.missed),
        }
    }

    /// Notes where the counters are at this time.
    pub(crate) fn sample(&self, now: Duration, now_ms: i64) {
        self.lock().sample(now, now_ms, self.totals());
    }

    /// Everything there is to tell at this time.
    pub(crate) fn summary(&self, now: Duration, now_ms: i64) -> Summary {
        let (mut history, totals) = (self.lock(), self.totals());
        history.turn_day(now_ms, totals);
        Summary {
            totals,
            this_morning: history.this_morning,
            yesterday_morning: history.yesterday_morning,
            windows: WINDOWS.map(|window| history.window(window, now, totals)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is told of the counters at one time.
#[derive(Debug)]
pub(crate) struct Summary {
    /// Since the broker's start.
    pub(crate) totals: Totals,
    /// The totals when this day began (UTC); nothing if the broker was not there yet.
    pub(crate) this_morning: Totals,
    /// The totals when the day before began.
    pub(crate) yesterday_morning: Totals,
    windows: [Window; WINDOWS.len()],
}

impl Summary {
    /// One rate a second for each of the windows, `10s 60s 600s`.
    pub(crate) fn rates(&self, count: impl Fn(&Totals) -> u64) -> String {
        let [short, middle, long] = self.windows.map(|Window { since, elapsed }| {
            let happened = count(&self.totals).saturating_sub(count(&since));
            // Less than a second says nothing about a second.
            happened as f64 / elapsed.max(SAMPLE_EVERY).as_secs_f64()
        });
        format!("{short} {middle} {long}")
    }
}

/// Where the counters were at the beginning of a window, and how long ago that is.
#[derive(Debug, Clone, Copy)]
struct Window {
    since: Totals,
    elapsed: Duration,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    totals: Totals,
}

#[derive(Debug)]
struct History {
    /// In their order; the first is the last one that is older than the longest window.
    samples: VecDeque<Sample>,
    started: Duration,
    day: i64,
    this_morning: Totals,
    yesterday_morning: Totals,
}

impl History {
    fn new(started: Duration, now_ms: i64) -> Self {
        Self {
            samples: VecDeque::new(),
            started,
            day: now_ms.div_euclid(DAY_MS),
            this_morning: Totals::default(),
            yesterday_morning: Totals::default(),
        }
    }

    fn sample(&mut self, now: Duration, now_ms: i64, totals: Totals) {
        self.turn_day(now_ms, totals);
        if self.samples.back().is_some_and(|last| now < last.at + SAMPLE_EVERY) {
            return;
        }
        self.samples.push_back(Sample { at: now, totals });
        let [.., longest] = WINDOWS;
        while self.samples.get(1).is_some_and(|second| second.at + longest <= now) {
            self.samples.pop_front();
        }
    }

    /// A new day begins with the totals of now.
    fn turn_day(&mut self, now_ms: i64, totals: Totals) {
        let day = now_ms.div_euclid(DAY_MS);
        if day > self.day {
            let is_next = day == self.day + 1;
            self.yesterday_morning = if is_next { self.this_morning } else { totals };
            self.this_morning = totals;
        }
        self.day = day;
    }

    /// The window that ends now; it is shorter if the broker is younger.
    fn window(&self, length: Duration, now: Duration, totals: Totals) -> Window {
        let elapsed_since = |at| now.saturating_sub(at);
        let begin = self.samples.iter().rev().find(|sample| sample.at + length <= now);
        match begin {
            Some(begin) => Window { since: begin.totals, elapsed: elapsed_since(begin.at) },
            None if self.started <= now => {
                Window { since: Totals::default(), elapsed: elapsed_since(self.started) }
            }
            None => Window { since: totals, elapsed: length },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON_MS: i64 = 19_700 * DAY_MS + DAY_MS / 2;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn totals_are_what_was_counted() {
        let statistics = Statistics::new(seconds(0), NOON_MS);
        statistics.stored(3, 300);
        statistics.stored(1, 50);
        statistics.pulled(4);
        statistics.pulled(0);
        let expected = Totals { stored: 4, stored_bytes: 350, handed_out: 4, found: 1, missed: 1 };
        assert_eq!(statistics.totals(), expected);
    }

    #[test]
    fn rates_are_those_of_their_windows() {
        let statistics = Statistics::new(seconds(100), NOON_MS);
        for second in 101..=800 {
            // Ten a second, and in the last twenty seconds a hundred.
            statistics.stored(if second > 780 { 100 } else { 10 }, 0);
            statistics.sample(seconds(second), NOON_MS);
        }
        let summary = statistics.summary(seconds(800), NOON_MS);
        assert_eq!(summary.rates(|totals| totals.stored), "100 40 13");
        assert_eq!(summary.rates(|totals| totals.handed_out), "0 0 0");
    }

    #[test]
    fn a_young_broker_tells_the_rate_since_its_start() {
        let statistics = Statistics::new(seconds(5), NOON_MS);
        statistics.stored(12, 0);
        let at_once = statistics.summary(seconds(5), NOON_MS);
        assert_eq!(at_once.rates(|totals| totals.stored), "12 12 12");
        let later = statistics.summary(seconds(9), NOON_MS);
        assert_eq!(later.rates(|totals| totals.stored), "3 3 3");
    }

    #[test]
    fn what_is_over_leaves_the_rates() {
        let statistics = Statistics::new(seconds(0), NOON_MS);
        statistics.stored(50, 0);
        statistics.sample(seconds(1), NOON_MS);
        statistics.sample(seconds(11), NOON_MS);
        let summary = statistics.summary(seconds(11), NOON_MS);
        assert!(summary.rates(|totals| totals.stored).starts_with("0 "));
        assert_eq!(summary.totals.stored, 50);
    }

    #[test]
    fn samples_are_bounded() {
        let statistics = Statistics::new(seconds(0), NOON_MS);
        for tenth in 0..100_000 {
            statistics.sample(Duration::from_millis(tenth * 100), NOON_MS);
        }
        assert!(statistics.lock().samples.len() <= 602);
    }

    #[test]
    fn a_day_begins_with_the_totals_of_its_morning() {
        let statistics = Statistics::new(seconds(0), NOON_MS);
        statistics.stored(7, 0);
        let morning = |summary: &Summary| {
            (summary.yesterday_morning.stored, summary.this_morning.stored, summary.totals.stored)
        };
        assert_eq!(morning(&statistics.summary(seconds(1), NOON_MS)), (0, 0, 7));
        statistics.sample(seconds(43_200), NOON_MS + DAY_MS);
        statistics.stored(2, 0);
        assert_eq!(morning(&statistics.summary(seconds(43_201), NOON_MS + DAY_MS)), (0, 7, 9));
        let next = NOON_MS + 2 * DAY_MS;
        assert_eq!(morning(&statistics.summary(seconds(129_600), next)), (7, 9, 9));
        let much_later = NOON_MS + 9 * DAY_MS;
        assert_eq!(morning(&statistics.summary(seconds(777_600), much_later)), (9, 9, 9));
    }
}
