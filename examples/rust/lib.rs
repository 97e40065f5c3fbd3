//! What the demonstration's programs share: the events, what workers report, and the tally.

pub mod events;
pub mod report;
pub mod tally;
