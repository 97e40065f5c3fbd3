//! The client's log, to a JavaScript function.

use std::fmt::{self, Write};
use std::sync::{OnceLock, PoisonError, RwLock};

use napi::bindgen_prelude::{FnArgs, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi::{Error, Result, Status};
use napi_derive::napi;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::runtime::Hub;

/// Level, origin and text.
type Line = FnArgs<(String, String, String)>;

/// Lines that wait for the JavaScript thread at most; further ones are lost.
const MAX_WAITING: usize = 1_024;

type LineFunction = ThreadsafeFunction<Line, (), Line, Status, false, true, MAX_WAITING>;

/// Who listens, and to what.
struct Listener {
    most: LevelFilter,
    function: LineFunction,
}

static LISTENER: RwLock<Option<Listener>> = RwLock::new(None);

/// Hands every event of the client and of the embedded broker to the listener.
struct ToListener;

impl<S: Subscriber> Layer<S> for ToListener {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        let is_ours = ["oxmq", "broker_dev"].iter().any(|own| metadata.target().starts_with(own));
        let listener = LISTENER.read().unwrap_or_else(PoisonError::into_inner);
        is_ours && listener.as_ref().is_some_and(|listener| *metadata.level() <= listener.most)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let listener = LISTENER.read().unwrap_or_else(PoisonError::into_inner);
        let Some(listener) = &*listener else { return };
        let mut text = Text::default();
        event.record(&mut text);
        let metadata = event.metadata();
        let level = metadata.level().as_str().to_ascii_lowercase();
        let line = (level, metadata.target().to_owned(), text.message + &text.fields);
        listener.function.call(line.into(), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

/// An event's message, and its fields as ` name=value`.
#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[napi]
impl Hub {
    /// Sends the process's log to `listener`, from `level` up; the last listener gets it all.
    #[napi]
    pub fn set_log(&self, level: String, listener: Option<Function<'_, Line, ()>>) -> Result<()> {
        static INSTALLED: OnceLock<std::result::Result<(), String>> = OnceLock::new();
        let most: LevelFilter = level
            .parse()
            .map_err(|_| Error::from_reason(format!("there is no log level `{level}`")))?;
        let listener = match listener {
            Some(function) => {
                let function = function
                    .build_threadsafe_function::<Line>()
                    .callee_handled::<false>()
                    .weak::<true>()
                    .max_queue_size::<MAX_WAITING>()
                    .build()?;
                Some(Listener { most, function })
            }
            None => None,
        };
        *LISTENER.write().unwrap_or_else(PoisonError::into_inner) = listener;
        let installed = INSTALLED.get_or_init(|| {
            let subscriber = registry().with(ToListener);
            tracing::subscriber::set_global_default(subscriber).map_err(|error| error.to_string())
        });
        tracing::callsite::rebuild_interest_cache();
        installed.clone().map_err(Error::from_reason)
    }
}
