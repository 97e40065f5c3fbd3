//! Delayed messages: each level is a queue whose messages all wait equally long, so they come due
//! in their order. Messages for any other time are the [`timer`]'s.
//!
//! Source: RocketMQ 5.3.3 `broker/schedule/ScheduleMessageService`.

mod levels;
mod repeats;
pub(crate) mod timer;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use oxmq::clock;
use oxmq::protocol::body::DelayOffsetSerializeWrapper;
use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::{Properties, Record, record};
use oxmq::protocol::names::{HALF_TOPIC, SCHEDULE_TOPIC};
use tokio::sync::Notify;

pub use levels::{BadDelayLevels, DelayLevels};

use crate::core::Core;
use crate::events::Events;
use crate::meta::MetaFile;
use crate::store::{GetLimits, GetResult, GetStatus, PutMessage, Store, StoreError};

/// How many messages are delivered at a time.
const LIMITS: GetLimits = GetLimits { max_messages: 32, max_bytes: 1024 * 1024 };

/// How long to wait after a delivery failed.
const AGAIN: Duration = Duration::from_millis(100);

/// How far each delay level is.
#[derive(Debug)]
pub(crate) struct Schedule {
    file: MetaFile<DelayOffsetSerializeWrapper>,
    /// Locked for the length of a delivery: one at a time.
    progress: Mutex<DelayOffsetSerializeWrapper>,
    is_changed: AtomicBool,
}

impl Schedule {
    /// Reads `delayOffset.json`.
    ///
    /// # Errors
    /// The file cannot be read, nor its previous generation.
    pub(crate) fn open(
        file: MetaFile<DelayOffsetSerializeWrapper>,
        store: &Store,
    ) -> Result<Self, StoreError> {
        let mut progress = file.load()?.unwrap_or_default();
        for (level, offset) in &mut progress.offset_table {
            let queue_id = level.saturating_sub(1);
            let first = store.min_offset(SCHEDULE_TOPIC, queue_id);
            let end = store.max_offset(SCHEDULE_TOPIC, queue_id).max(first);
            *offset = (*offset).clamp(first, end);
        }
        Ok(Self { file, progress: Mutex::new(progress), is_changed: AtomicBool::new(false) })
    }

    /// How far each level is, as it is sent and saved.
    pub(crate) fn all(&self) -> DelayOffsetSerializeWrapper {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// By level: the next message to deliver, and the end of its queue.
    pub(crate) fn progress(&self, store: &Store) -> BTreeMap<i32, (i64, i64)> {
        let end = |level: i32| store.max_offset(SCHEDULE_TOPIC, level.saturating_sub(1));
        let offsets = self.all().offset_table.into_iter();
        offsets.map(|(level, offset)| (level, (offset, end(level)))).collect()
    }

    /// Saves the progress if it has changed. What was delivered goes to the disk first: else a
    /// power cut could leave the progress of deliveries that it took.
    ///
    /// # Errors
    /// The disk refuses; the next call tries again.
    pub(crate) fn save(&self, store: &Store, now_ms: i64) -> Result<(), StoreError> {
        if !self.is_changed.swap(false, Ordering::AcqRel) {
            return Ok(());
        }
        let saved = {
            let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            progress.data_version.advance(now_ms);
            progress.clone()
        };
        store
            .flush()
            .and_then(|()| self.file.save(&saved))
            .inspect_err(|_| self.is_changed.store(true, Ordering::Release))
    }

    /// Delivers everything that is due; returns when the next message will be, in milliseconds
    /// since the Unix epoch.
    ///
    /// # Errors
    /// A message could not be stored; it will be tried again.
    pub(crate) fn deliver_due(&self, core: &Core) -> Result<Option<i64>, StoreError> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next: Option<i64> = None;
        for (level, delay_ms) in (1..).zip(core.config.delay_levels.delays_ms()) {
            let offset = progress.offset_table.entry(level).or_default();
            let before = *offset;
            let due = deliver_level(core, level - 1, *delay_ms, offset);
            if *offset != before {
                self.is_changed.store(true, Ordering::Release);
            }
            next = next.into_iter().chain(due?).min();
        }
        Ok(next)
    }
}

/// Delivers the due messages of one level, moving `offset` past each; returns when the next is due.
fn deliver_level(
    core: &Core,
    queue_id: i32,
    delay_ms: i64,
    offset: &mut i64,
) -> Result<Option<i64>, StoreError> {
    loop {
        let now = core.clock.now_ms();
        let next = Cell::new(None);
        // The tag code of a delayed message is the time at which it is due. One that is further off
        // than the level's delay was written by a clock that has since been set back: it is due.
        let is_due = |due: i64| {
            let is_due = next.get().is_none() && (due <= now || due > now + delay_ms);
            if !is_due && next.get().is_none() {
                next.set(Some(due));
            }
            is_due
        };
        let found = core.store.get(SCHEDULE_TOPIC, queue_id, *offset, LIMITS, &is_due);
        match found.status {
            GetStatus::Found => deliver_found(core, &found, offset)?,
            GetStatus::OffsetTooSmall
            | GetStatus::OffsetOverflowBadly
            | GetStatus::OffsetFoundNull
            | GetStatus::MessageWasRemoving
                if found.next_begin_offset != *offset =>
            {
                tracing::warn!(
                    queue_id,
                    offset,
                    to = found.next_begin_offset,
                    "delayed messages are gone from the log"
                );
                *offset = found.next_begin_offset;
            }
            _ => return Ok(next.get()),
        }
    }
}

fn deliver_found(core: &Core, found: &GetResult, offset: &mut i64) -> Result<(), StoreError> {
    for segment in &found.segments {
        for delayed in record::iter(segment) {
            let Ok(delayed) = delayed else {
                // The log holds a record here that cannot be read: the store has reported it.
                *offset = found.next_begin_offset;
                return Ok(());
            };
            deliver_one(core, &delayed)?;
            *offset = delayed.queue_offset + 1;
        }
    }
    Ok(())
}

/// Stores a delayed message in its real topic.
fn deliver_one(core: &Core, delayed: &Record<'_>) -> Result<(), StoreError> {
    let (Some(topic), Some(queue_id)) = (
        delayed.property(name::REAL_TOPIC),
        delayed.property(name::REAL_QUEUE_ID).and_then(|id| id.parse().ok()),
    ) else {
        tracing::warn!(
            offset = delayed.physical_offset,
            "a delayed message does not say where it goes: dropped"
        );
        return Ok(());
    };
    if topic == HALF_TOPIC || core.topics.get(topic).is_none() {
        tracing::warn!(
            topic,
            offset = delayed.physical_offset,
            "a delayed message's topic does not exist: dropped"
        );
        return Ok(());
    }
    let mut properties = Properties::from_encoded(delayed.properties);
    properties.remove(name::WAIT_STORE_MSG_OK);
    let put = core.put_one(PutMessage {
        topic,
        queue_id,
        flag: delayed.flag,
        sys_flag: delayed.sys_flag,
        born_timestamp: delayed.born_timestamp,
        born_host: delayed.born_host,
        store_host: core.store_host,
        reconsume_times: delayed.reconsume_times,
        prepared_transaction_offset: 0,
        body: delayed.body,
        properties: properties.as_encoded(),
    });
    match put {
        Err(error @ StoreError::IllegalMessage { .. }) => {
            tracing::warn!(topic, %error, "a delayed message cannot be delivered: dropped");
            Ok(())
        }
        put => put.map(drop),
    }
}

/// Delivers delayed messages as they come due. Ends with the broker.
pub(crate) async fn run(core: Weak<Core>) {
    deliver(core, |events| &events.delayed, |core| core.schedule.deliver_due(core)).await;
}

/// Delivers timed messages as they come due. Ends with the broker.
pub(crate) async fn run_timer(core: Weak<Core>) {
    deliver(core, |events| &events.timed, |core| core.timer.deliver_due(core)).await;
}

/// Calls `due` when a message comes due that it told of, and whenever `bell` rings.
async fn deliver(
    core: Weak<Core>,
    bell: impl Fn(&Events) -> &Notify,
    due: impl Fn(&Core) -> Result<Option<i64>, StoreError>,
) {
    loop {
        let Some(core) = core.upgrade() else { return };
        let next = due(&core);
        let clock = Arc::clone(&core.clock);
        let events = Arc::clone(&core.events);
        drop(core);
        match next {
            Ok(None) => bell(&events).notified().await,
            Ok(Some(due)) => {
                let wait = u64::try_from(due - clock.now_ms()).unwrap_or_default();
                tokio::select! {
                    () = bell(&events).notified() => {}
                    () = clock::sleep(&*clock, Duration::from_millis(wait)) => {}
                }
            }
            Err(error) => {
                tracing::warn!(%error, "delayed messages cannot be delivered yet");
                clock::sleep(&*clock, AGAIN).await;
            }
        }
    }
}
