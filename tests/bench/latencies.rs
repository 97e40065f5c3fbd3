//! Durations of many operations, and what to say about them.

use std::time::Duration;

/// Samples in microseconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies(Vec<f64>);

impl Latencies {
    pub(crate) fn record(&mut self, duration: Duration) {
        self.0.push(duration.as_secs_f64() * 1e6);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below which `share` of the samples lie, in microseconds.
    pub(crate) fn quantile(&mut self, share: f64) -> f64 {
        quantile(&mut self.0, share)
    }
}

/// The value below which `share` of the values lie.
pub(crate) fn quantile(values: &mut [f64], share: f64) -> f64 {
    assert!(!values.is_empty(), "nothing was measured");
    let last = values.len() - 1;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "an index between 0 and last"
    )]
    let index = (last as f64 * share).round() as usize;
    *values.select_nth_unstable_by(index, f64::total_cmp).1
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
