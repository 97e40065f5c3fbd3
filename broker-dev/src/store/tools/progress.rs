//! How far long work is.

/// Hears how far long work is; the terminal's bar is one. Calls come from the working thread.
pub trait Progress {
    /// A step begins that will go through so many bytes.
    fn begin(&self, step: &str, bytes: u64) {
        let _ = (step, bytes);
    }

    /// So many bytes more are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Hears nothing.
impl Progress for () {}
