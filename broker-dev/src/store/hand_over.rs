//! Work that whoever makes more of it sees to: nobody waits for it, and none is left lying.
//!
//! A caller has made more work and tries the lock. Its holder works for all who came meanwhile.
//! No wake-up is lost: who finds the lock taken has made its work known *before* it looked at the
//! lock, and the holder asks how far the work goes *after* it let the lock go. The fences put both
//! in one order, so at least one of the two sees the other.

use super::sync::{AtomicI64, Mutex, Ordering, PoisonError, TryLockError, fence};

/// Turns that a caller takes for others before it hands over.
const TURNS_FOR_OTHERS: usize = 16;

/// How a run ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// All is done, or whoever has the lock will see to it.
    Done,
    /// More is there, and this caller has done its share.
    HandOver,
}

/// What is worked with, and how far the work has come.
#[derive(Debug)]
pub(crate) struct HandOver<T> {
    tools: Mutex<T>,
    position: AtomicI64,
}

impl<T> HandOver<T> {
    /// Everything before `position` is done.
    pub(crate) fn new(tools: T, position: i64) -> Self {
        Self { tools: Mutex::new(tools), position: AtomicI64::new(position) }
    }

    /// Everything before it is done.
    pub(crate) fn position(&self) -> i64 {
        self.position.load(Ordering::Acquire)
    }

    /// Works up to `limit()`, unless somebody else is at it. `work` is given the position and the
    /// limit; it returns how far it came.
    ///
    /// # Errors
    /// The first of `work`.
    pub(crate) fn run<E>(
        &self,
        limit: impl Fn() -> i64,
        mut work: impl FnMut(&mut T, i64, i64) -> (i64, Result<(), E>),
    ) -> Result<Run, E> {
        for _ in 0..TURNS_FOR_OTHERS {
            fence(Ordering::SeqCst);
            if self.position() >= limit() {
                return Ok(Run::Done);
            }
            let mut tools = match self.tools.try_lock() {
                Ok(tools) => tools,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return Ok(Run::Done),
            };
            self.turn(&mut tools, limit(), &mut work)?;
            drop(tools);
        }
        fence(Ordering::SeqCst);
        Ok(if self.position() >= limit() { Run::Done } else { Run::HandOver })
    }

    /// Waits for whoever is at it, then works up to `limit`.
    ///
    /// # Errors
    /// The first of `work`.
    pub(crate) fn run_to_end<E>(
        &self,
        limit: i64,
        mut work: impl FnMut(&mut T, i64, i64) -> (i64, Result<(), E>),
    ) -> Result<(), E> {
        let mut tools = self.tools.lock().unwrap_or_else(PoisonError::into_inner);
        while self.position() < limit {
            self.turn(&mut tools, limit, &mut work)?;
        }
        Ok(())
    }

    fn turn<E>(
        &self,
        tools: &mut T,
        limit: i64,
        work: &mut impl FnMut(&mut T, i64, i64) -> (i64, Result<(), E>),
    ) -> Result<(), E> {
        let (position, result) = work(tools, self.position(), limit);
        self.position.store(position, Ordering::Release);
        result
    }
}
