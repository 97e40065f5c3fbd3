//! The client's log on its way to Python's `logging`.
//!
//! The client's threads do not take the interpreter's lock, so they leave their records in a bounded
//! list; the Python side takes them whenever it takes results, and hands them to the logger `oxmq`.

use std::collections::VecDeque;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use pyo3::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Records kept; the oldest go first.
const MAX_RECORDS: usize = 1_024;

/// Number of the level (as in `logging`), module, text.
type LogRecord = (u32, &'static str, String);

static RECORDS: Mutex<VecDeque<LogRecord>> = Mutex::new(VecDeque::new());
static HAS_RECORDS: AtomicBool = AtomicBool::new(false);

/// Takes events, not spans.
struct Collector {
    least: Level,
}

const fn python_level(level: Level) -> u32 {
    match level {
        Level::ERROR => 40,
        Level::WARN => 30,
        Level::INFO => 20,
        Level::DEBUG => 10,
        Level::TRACE => 5,
    }
}

/// The message, and behind it the fields.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

impl Subscriber for Collector {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.least
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let record =
            (python_level(*metadata.level()), metadata.target(), text.message + &text.fields);
        let mut records = RECORDS.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() == MAX_RECORDS {
            records.pop_front();
        }
        records.push_back(record);
        HAS_RECORDS.store(true, Ordering::Release);
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

/// Begins to collect records of this level of `logging` and above. Only the first call counts.
#[pyfunction]
pub(crate) fn start_log(level: u32) {
    let least = match level {
        0..10 => Level::TRACE,
        10..20 => Level::DEBUG,
        20..30 => Level::INFO,
        30..40 => Level::WARN,
        _ => Level::ERROR,
    };
    // It fails only if something else in this module's copy of tracing is set: it is ours alone.
    let _ = tracing::subscriber::set_global_default(Collector { least });
}

/// Takes the records collected.
#[pyfunction]
pub(crate) fn drain_log() -> Vec<LogRecord> {
    if !HAS_RECORDS.swap(false, Ordering::AcqRel) {
        return Vec::new();
    }
    std::mem::take(&mut *RECORDS.lock().unwrap_or_else(PoisonError::into_inner)).into()
}
