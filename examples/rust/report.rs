//! What a worker reports on its standard output: one JSON object a line.

use serde::{Deserialize, Serialize};

/// One thing that happened in a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Report {
    /// Connected and, for a consumer, subscribed.
    Ready,
    /// The broker has stored the event.
    Sent {
        /// Of the event.
        id: String,
    },
    /// The event has arrived.
    Received {
        /// Of the event.
        id: String,
        /// Whether it had been handed back before.
        redelivered: bool,
    },
    /// The event was handed back.
    HandedBack {
        /// Of the event.
        id: String,
    },
    /// The event is done with.
    Acked {
        /// Of the event.
        id: String,
    },
    /// Nothing more will come.
    Done,
}

/// Writes a report.
#[expect(clippy::print_stdout, reason = "this is how a worker reports")]
pub fn report(report: &Report) {
    if let Ok(line) = serde_json::to_string(report) {
        println!("{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_what_the_other_languages_write() {
        let line = r#"{"event":"received","id":"x","redelivered":true}"#;
        let report = Report::Received { id: "x".into(), redelivered: true };
        assert_eq!(serde_json::to_string(&report).unwrap(), line);
        assert_eq!(serde_json::from_str::<Report>(line).unwrap(), report);
    }
}
