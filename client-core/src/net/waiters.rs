//! Who waits for which answer: a slab, whose places are the numbers on the wire.

use std::time::Duration;

use tokio::sync::oneshot;

use super::CallError;
use crate::protocol::command::RemotingCommand;

/// Requests of one connection that may wait for answers at once.
pub(super) const MAX_IN_FLIGHT: usize = 0xFFFF;

/// The number of a request that wants no answer: no waiter ever has it.
pub(super) const ONE_WAY_OPAQUE: i32 = 0xFFFF;

/// A caller that waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) reply: oneshot::Sender<Result<RemotingCommand, CallError>>,
    /// On the clock's monotonic scale.
    pub(super) deadline: Duration,
}

impl Waiter {
    /// Ends the wait. The caller may be gone already.
    pub(super) fn end(self, outcome: Result<RemotingCommand, CallError>) {
        let _ = self.reply.send(outcome);
    }
}

/// The waiters of one connection.
///
/// An opaque is the place in the slab (low 16 bits) and how often that place was used (15 bits
/// above), so that an answer that comes too late does not reach the next user of the place.
#[derive(Debug, Default)]
pub(super) struct Waiters {
    places: Vec<Place>,
    free: Vec<u16>,
    live: usize,
    /// No deadline is earlier than this; `None` if there is none.
    earliest: Option<Duration>,
}

#[derive(Debug, Default)]
struct Place {
    uses: u16,
    waiter: Option<Waiter>,
}

impl Waiters {
    pub(super) fn is_empty(&self) -> bool {
        self.live == 0
    }

    /// How many more can be added.
    pub(super) fn room(&self) -> usize {
        MAX_IN_FLIGHT - self.live
    }

    /// When to call [`expire`](Self::expire) next.
    pub(super) fn earliest_deadline(&self) -> Option<Duration> {
        self.earliest
    }

    /// Adds a waiter and returns its opaque, or gives it back if there is no room.
    pub(super) fn add(&mut self, waiter: Waiter) -> Result<i32, Waiter> {
        let index = match self.free.pop() {
            Some(index) => index,
            None if self.places.len() < MAX_IN_FLIGHT => {
                self.places.push(Place::default());
                u16::try_from(self.places.len() - 1).unwrap_or(u16::MAX)
            }
            None => return Err(waiter),
        };
        let Some(place) = self.places.get_mut(usize::from(index)) else { return Err(waiter) };
        self.earliest = Some(match self.earliest {
            Some(earliest) => earliest.min(waiter.deadline),
            None => waiter.deadline,
        });
        place.uses = place.uses.wrapping_add(1) & 0x7FFF;
        place.waiter = Some(waiter);
        self.live += 1;
        Ok(i32::from(place.uses) << 16 | i32::from(index))
    }

    /// Takes the waiter of an opaque, if it still waits.
    pub(super) fn take(&mut self, opaque: i32) -> Option<Waiter> {
        let index = u16::try_from(opaque & 0xFFFF).ok()?;
        let place = self.places.get_mut(usize::from(index))?;
        if i32::from(place.uses) != opaque >> 16 {
            return None;
        }
        let waiter = place.waiter.take()?;
        self.free.push(index);
        self.live -= 1;
        Some(waiter)
    }

    /// Ends the wait of those whose deadline has come.
    pub(super) fn expire(&mut self, now: Duration) {
        let mut earliest: Option<Duration> = None;
        for (index, place) in (0..).zip(&mut self.places) {
            match &place.waiter {
                Some(waiter) if waiter.deadline <= now => {
                    if let Some(waiter) = place.waiter.take() {
                        waiter.end(Err(CallError::TimedOut));
                        self.free.push(index);
                        self.live -= 1;
                    }
                }
                Some(waiter) => {
                    earliest = Some(earliest.map_or(waiter.deadline, |e| e.min(waiter.deadline)));
                }
                None => {}
            }
        }
        self.earliest = earliest;
    }

    /// Ends every wait: the connection is gone.
    pub(super) fn fail_all(&mut self, reason: &str) {
        for waiter in self.places.drain(..).filter_map(|place| place.waiter) {
            waiter.end(Err(CallError::Lost(reason.to_owned())));
        }
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    type Reply = oneshot::Receiver<Result<RemotingCommand, CallError>>;

    fn waiter(deadline: Duration) -> (Waiter, Reply) {
        let (reply, answer) = oneshot::channel();
        (Waiter { reply, deadline }, answer)
    }

    #[test]
    fn a_late_answer_does_not_reach_the_next_user_of_its_place() {
        let mut waiters = Waiters::default();
        let first = waiters.add(waiter(MS).0).unwrap();
        assert!(waiters.take(first).is_some());
        let second = waiters.add(waiter(MS).0).unwrap();
        assert_ne!(first, second);
        assert!(waiters.take(first).is_none());
        assert!(waiters.take(ONE_WAY_OPAQUE).is_none());
        assert!(waiters.take(-1).is_none());
        assert!(waiters.take(second).is_some());
        assert!(waiters.is_empty());
    }

    #[test]
    fn only_those_whose_time_has_come_expire() {
        let mut waiters = Waiters::default();
        let (early, mut early_answer) = waiter(MS * 5);
        let (late, mut late_answer) = waiter(MS * 9);
        waiters.add(late).unwrap();
        waiters.add(early).unwrap();
        assert_eq!(waiters.earliest_deadline(), Some(MS * 5));
        waiters.expire(MS * 5);
        assert!(matches!(early_answer.try_recv(), Ok(Err(CallError::TimedOut))));
        assert!(late_answer.try_recv().is_err());
        assert_eq!(waiters.earliest_deadline(), Some(MS * 9));
        waiters.fail_all("gone");
        assert!(matches!(late_answer.try_recv(), Ok(Err(CallError::Lost(_)))));
    }

    #[test]
    fn there_is_room_for_so_many_and_no_more() {
        let mut waiters = Waiters::default();
        let mut opaques = std::collections::HashSet::new();
        for _ in 0..MAX_IN_FLIGHT {
            assert!(opaques.insert(waiters.add(waiter(MS).0).unwrap()));
        }
        assert_eq!(waiters.room(), 0);
        assert!(waiters.add(waiter(MS).0).is_err());
        assert!(!opaques.contains(&ONE_WAY_OPAQUE));
    }
}
