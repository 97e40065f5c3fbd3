//! How a thread of Python learns that results are there.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use oxmq::completions::Bell;

/// Rung by the client's threads; heard by an event loop that watches a file descriptor, or by a
/// thread that waits.
#[derive(Debug)]
pub(crate) enum Alarm {
    #[cfg(unix)]
    Descriptor(descriptor::Descriptor),
    Condition(Condition),
}

impl Alarm {
    /// The descriptor to watch, if that is how it is heard.
    #[cfg(unix)]
    pub(crate) fn fileno(&self) -> Option<i32> {
        match self {
            Self::Descriptor(descriptor) => Some(descriptor.fileno()),
            Self::Condition(_) => None,
        }
    }

    /// The descriptor to watch: there is none on this platform.
    #[cfg(not(unix))]
    pub(crate) fn fileno(&self) -> Option<i32> {
        None
    }

    /// It was heard. Call it before looking for results.
    pub(crate) fn silence(&self) {
        match self {
            #[cfg(unix)]
            Self::Descriptor(descriptor) => descriptor.silence(),
            Self::Condition(condition) => condition.silence(),
        }
    }

    /// Waits until it rings, or for so long. Returns whether it rang.
    pub(crate) fn wait(&self, timeout: Duration) -> bool {
        match self {
            #[cfg(unix)]
            Self::Descriptor(_) => false,
            Self::Condition(condition) => condition.wait(timeout),
        }
    }
}

impl Bell for Alarm {
    fn ring(&self) {
        match self {
            #[cfg(unix)]
            Self::Descriptor(descriptor) => descriptor.ring(),
            Self::Condition(condition) => condition.ring(),
        }
    }
}

/// For threads that wait.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    rang: Mutex<bool>,
    changed: Condvar,
}

impl Condition {
    fn ring(&self) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
    }

    fn silence(&self) {
        *self.rang.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    fn wait(&self, timeout: Duration) -> bool {
        let rang = self.rang.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(rang, timeout, |rang| !*rang);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(unix)]
pub(crate) mod descriptor {
    //! For event loops: readable while the bell has rung.

    use std::io;
    use std::os::fd::{AsRawFd, OwnedFd};

    /// An eventfd where there is one, else a pipe. Both ends belong to us, so that the number
    /// cannot come to mean another file while a client's thread may still ring.
    #[derive(Debug)]
    pub(crate) struct Descriptor {
        reader: OwnedFd,
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        writer: OwnedFd,
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
    impl Descriptor {
        pub(crate) fn new() -> io::Result<Self> {
            use rustix::event::{EventfdFlags, eventfd};
            let reader = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
            Ok(Self { reader })
        }

        #[expect(clippy::host_endian_bytes, reason = "the kernel counts in the machine's order")]
        pub(crate) fn ring(&self) {
            // It fails only if the counter is full: then it is readable anyway.
            let _ = rustix::io::write(&self.reader, &1_u64.to_ne_bytes());
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    impl Descriptor {
        pub(crate) fn new() -> io::Result<Self> {
            use rustix::fs::{OFlags, fcntl_setfl};
            use rustix::io::{FdFlags, fcntl_setfd};
            let (reader, writer) = rustix::pipe::pipe()?;
            for end in [&reader, &writer] {
                fcntl_setfd(end, FdFlags::CLOEXEC)?;
                fcntl_setfl(end, OFlags::NONBLOCK)?;
            }
            Ok(Self { reader, writer })
        }

        pub(crate) fn ring(&self) {
            // It fails only if the pipe is full: then it is readable anyway.
            let _ = rustix::io::write(&self.writer, &[1]);
        }
    }

    impl Descriptor {
        pub(crate) fn fileno(&self) -> i32 {
            self.reader.as_raw_fd()
        }

        pub(crate) fn silence(&self) {
            // An eventfd gives its counter whole; of a pipe, a full buffer means that more may be
            // left, and the loop calls again.
            let mut buffer = [0; 64];
            let _ = rustix::io::read(&self.reader, &mut buffer);
        }
    }
}
