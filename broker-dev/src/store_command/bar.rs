//! The bar that shows how far long work is, on a terminal only.

use std::io::IsTerminal;
use std::sync::{Mutex, PoisonError};

use broker_dev::store::tools::Progress;
use indicatif::{ProgressBar, ProgressStyle};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn with(&self, work: impl FnOnce(&mut Option<ProgressBar>)) {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Progress for Bar {
    fn begin(&self, step: &str, bytes: u64) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        self.with(|bar| {
            if let Some(before) = bar.take() {
                before.finish_and_clear();
            }
            let new = ProgressBar::new(bytes);
            let style = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(style) {
                new.set_style(style);
            }
            new.set_message(step.to_owned());
            *bar = Some(new);
        });
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| {
            if let Some(bar) = bar {
                bar.inc(bytes);
            }
        });
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.with(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        });
    }
}
