//! Messages for any time: the timer topic's queue into the timer's slots, and what is due out of
//! them.
//!
//! A message is delivered once its slot is over. One whose time lies beyond the wheel's window is
//! stored in the timer topic once more on the way. After a crash, what was delivered since the last
//! checkpoint is told from the log ([`Repeats`]); a power cut that takes deliveries back takes the
//! telling back with them.
//!
//! Source: RocketMQ 5.3.3 `store/timer/TimerMessageStore`.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oxmq::protocol::message::properties::name;
use oxmq::protocol::message::{Properties, Record};
use oxmq::protocol::names::{HALF_TOPIC, TIMER_TOPIC};

use super::repeats::{Delivery, Repeats, roll_times};
use crate::config::BrokerConfig;
use crate::core::Core;
use crate::store::disk::Disk;
use crate::store::timer::{Taken, TimedMessage, TimerOptions, TimerStore, TimerUnit};
use crate::store::{FlushMode, GetLimits, GetStatus, PutMessage, Store, StoreError};

/// How many messages are taken in at a time.
const LIMITS: GetLimits = GetLimits { max_messages: 32, max_bytes: 1024 * 1024 };

/// Precisions that Apache's broker knows, ms.
const PRECISIONS: [u64; 4] = [1_000, 500, 200, 100];

/// The timer of a broker.
#[derive(Debug)]
pub(crate) struct Timer {
    options: TimerOptions,
    disk: Arc<dyn Disk>,
    is_enabled: bool,
    /// Locked for the length of a delivery: one at a time.
    state: Mutex<State>,
    /// Locked for the length of a flush.
    flushing: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// Made with the first timed message.
    store: Option<TimerStore>,
    /// The slot whose messages are being delivered.
    slot: Option<OpenSlot>,
    repeats: Repeats,
    /// Messages went round since the log was flushed.
    has_rolled: bool,
}

/// A slot that is due.
#[derive(Debug)]
struct OpenSlot {
    slot_ms: i64,
    /// Positions in the timer log of what is not done yet, the next one last.
    left: Vec<i64>,
    /// Messages that were taken back.
    deleted: HashSet<String>,
}

/// The precision that a setting stands for.
pub(crate) fn precision_ms(config: &BrokerConfig) -> i64 {
    let wanted = config.timer_precision.0;
    let known = PRECISIONS.into_iter().find(|known| *known <= wanted).unwrap_or(100);
    i64::try_from(known).unwrap_or(1_000)
}

impl Timer {
    /// Opens the timer of a store, if it has one already.
    ///
    /// # Errors
    /// Its files cannot be read or made.
    pub(crate) fn open(
        config: &BrokerConfig,
        store: &Store,
        disk: Arc<dyn Disk>,
        now_ms: i64,
    ) -> Result<Self, StoreError> {
        let options = TimerOptions {
            precision_ms: precision_ms(config),
            roll_window_slots: config.timer_roll_window_slots.into(),
            log_file_bytes: config.timer_log_file_bytes,
            ..TimerOptions::new(&store.options().root)
        };
        let mut state = State::default();
        let has_messages = store.max_offset(TIMER_TOPIC, 0) > 0;
        if config.timer && (has_messages || options.exists(&*disk)) {
            let opened = TimerStore::open(options.clone(), Arc::clone(&disk), store, now_ms)?;
            let since = if opened.recovery().has_checkpoint { opened.read_ms() } else { 0 };
            state.repeats = Repeats::since(since, store);
            state.store = Some(opened);
        }
        Ok(Self {
            options,
            disk,
            is_enabled: config.timer,
            state: Mutex::new(state),
            flushing: Mutex::new(()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages wait for a time.
    pub(crate) fn waiting_at(&self, time_ms: i64) -> i32 {
        self.lock().store.as_ref().map_or(0, |timer| timer.waiting_at(time_ms))
    }

    /// The next message of the timer topic to take in, and how many messages wait.
    pub(crate) fn progress(&self) -> (i64, i64) {
        self.lock().store.as_ref().map_or((0, 0), |timer| (timer.queue_offset(), timer.waiting()))
    }

    /// Takes in what was stored in the timer topic.
    ///
    /// # Errors
    /// The timer's files cannot be written; it will be tried again.
    pub(crate) fn take_in(&self, core: &Core) -> Result<(), StoreError> {
        if !self.is_enabled {
            return Ok(());
        }
        self.take_in_locked(core, &mut self.lock())
    }

    /// Delivers everything that is due; returns when the next message will be, in milliseconds
    /// since the Unix epoch.
    ///
    /// # Errors
    /// A message could not be stored, or a file not be written; it will be tried again.
    pub(crate) fn deliver_due(&self, core: &Core) -> Result<Option<i64>, StoreError> {
        if !self.is_enabled {
            return Ok(None);
        }
        let state = &mut *self.lock();
        let delivered = self.deliver_locked(core, state);
        if state.store.as_ref().is_some_and(TimerStore::is_changed) {
            core.events.timer_changed.notify_one();
        }
        delivered
    }

    fn deliver_locked(&self, core: &Core, state: &mut State) -> Result<Option<i64>, StoreError> {
        loop {
            self.take_in_locked(core, state)?;
            if deliver_slot(core, state)? {
                continue;
            }
            // What went round is readable, and taken in, once it is on the disk.
            if std::mem::take(&mut state.has_rolled) && core.config.flush == FlushMode::Sync {
                core.store.settle()?;
                continue;
            }
            return Ok(state.store.as_ref().and_then(TimerStore::next_end));
        }
    }

    fn take_in_locked(&self, core: &Core, state: &mut State) -> Result<(), StoreError> {
        let end = core.store.max_offset(TIMER_TOPIC, 0);
        if end == 0 {
            return Ok(());
        }
        if state.store.is_none() {
            let (options, disk) = (self.options.clone(), Arc::clone(&self.disk));
            state.store = Some(TimerStore::open(options, disk, &*core.store, core.clock.now_ms())?);
        }
        loop {
            let State { store: Some(timer), repeats, .. } = state else { return Ok(()) };
            let offset = timer.queue_offset();
            if offset >= end {
                return Ok(());
            }
            let found = core.store.get(TIMER_TOPIC, 0, offset, LIMITS, &|_| true);
            if found.status == GetStatus::Found {
                for segment in &found.segments {
                    take_in_segment(core, timer, repeats, segment)?;
                }
            }
            if found.next_begin_offset <= offset {
                return Ok(());
            }
            timer.set_queue_offset(found.next_begin_offset);
        }
    }

    /// Brings the timer's files to the disk if they have changed.
    ///
    /// # Errors
    /// The disk refuses; the next call tries again.
    pub(crate) fn save(&self, store: &Store, now_ms: i64) -> Result<(), StoreError> {
        let _one_at_a_time = self.flushing.lock().unwrap_or_else(PoisonError::into_inner);
        let flush = match &mut self.lock().store {
            Some(timer) => {
                timer.remove_before(store.commit_log_range().0)?;
                timer.begin_flush(now_ms)
            }
            None => None,
        };
        let Some(flush) = flush else { return Ok(()) };
        // What was delivered goes first: a power cut must not leave the word of a delivery that it
        // took.
        let written = store.flush().and_then(|()| flush.write());
        if let Some(timer) = &mut self.lock().store {
            timer.flushed(flush, written.is_ok());
        }
        written
    }

    /// The same at the end, so that the next start finds nothing to look for.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    pub(crate) fn save_last(&self, store: &Store, now_ms: i64) -> Result<(), StoreError> {
        if let Some(timer) = &mut self.lock().store {
            timer.touch();
        }
        self.save(store, now_ms)
    }
}

/// Takes in messages that lie side by side.
fn take_in_segment(
    core: &Core,
    timer: &mut TimerStore,
    repeats: &mut Repeats,
    segment: &[u8],
) -> Result<(), StoreError> {
    let mut rest = segment;
    while let Ok(Some((record, size))) = Record::decode(rest) {
        rest = rest.get(size..).unwrap_or_default();
        match TimedMessage::read(&record, size) {
            None => tracing::warn!(
                offset = record.physical_offset,
                "a timed message does not say when it is due: dropped"
            ),
            Some(message) => {
                if timer.take_in(&message, core.clock.now_ms())? == Taken::IsDue
                    && message.delete_key.is_none()
                {
                    deliver(core, repeats, &record, message.out_ms, i64::MAX)?;
                }
            }
        }
        timer.set_queue_offset(record.queue_offset + 1);
    }
    Ok(())
}

/// Delivers the first slot that is due, if one is.
fn deliver_slot(core: &Core, state: &mut State) -> Result<bool, StoreError> {
    let State { store: Some(timer), slot: open, repeats, has_rolled } = state else {
        return Ok(false);
    };
    if open.is_none() {
        let now = core.clock.now_ms();
        match timer.next_due(now) {
            Some(slot_ms) => *open = Some(OpenSlot::open(core, timer, slot_ms)?),
            None => {
                timer.rest(now);
                return Ok(false);
            }
        }
    }
    let Some(slot) = open else { return Ok(false) };
    while let Some(position) = slot.left.last() {
        if let Some(unit) = timer.unit(*position)? {
            *has_rolled |= unit.is_roll;
            deliver_unit(core, repeats, slot, &unit)?;
        }
        slot.left.pop();
    }
    timer.finish(slot.slot_ms);
    *open = None;
    Ok(true)
}

impl OpenSlot {
    /// Reads the entries of a slot: what was taken back, and what is left to be delivered.
    fn open(core: &Core, timer: &TimerStore, slot_ms: i64) -> Result<Self, StoreError> {
        let mut slot = Self { slot_ms, left: Vec::new(), deleted: HashSet::new() };
        for position in timer.positions(slot_ms)? {
            match timer.unit(position)? {
                Some(unit) if unit.is_delete && !unit.is_roll => {
                    let bytes = core.store.record_at(unit.physical_offset);
                    if let Some(bytes) = &bytes
                        && let Ok(Some((record, size))) = Record::decode(bytes)
                        && let Some(key) =
                            TimedMessage::read(&record, size).and_then(|message| message.delete_key)
                    {
                        slot.deleted.insert(key.to_owned());
                    }
                }
                _ => slot.left.push(position),
            }
        }
        slot.left.reverse();
        Ok(slot)
    }
}

/// Delivers the message of an entry, or has it go round once more.
fn deliver_unit(
    core: &Core,
    repeats: &mut Repeats,
    slot: &OpenSlot,
    unit: &TimerUnit,
) -> Result<(), StoreError> {
    let bytes = core.store.record_at(unit.physical_offset);
    let Some(Ok(Some((record, size)))) = bytes.as_deref().map(Record::decode) else {
        tracing::warn!(
            offset = unit.physical_offset,
            "a timed message is gone from the log: dropped"
        );
        return Ok(());
    };
    let Some(message) = TimedMessage::read(&record, size) else { return Ok(()) };
    if unit.is_roll {
        return roll(core, repeats, &record, slot.slot_ms, unit.write_ms);
    }
    let key = delete_key(message.real_topic, message.unique_key);
    if slot.deleted.contains(&key) {
        tracing::debug!(topic = message.real_topic, id = message.unique_key, "taken back");
        return Ok(());
    }
    deliver(core, repeats, &record, slot.slot_ms, unit.write_ms)
}

/// What names a message that is to be taken back.
pub(crate) fn delete_key(real_topic: &str, unique_key: &str) -> String {
    format!("{real_topic}+{unique_key}")
}

/// Stores a timed message in its real topic.
fn deliver(
    core: &Core,
    repeats: &mut Repeats,
    timed: &Record<'_>,
    due_ms: i64,
    taken_in_ms: i64,
) -> Result<(), StoreError> {
    let dropped = |why| {
        tracing::warn!(offset = timed.physical_offset, why, "a timed message is dropped");
        Ok(())
    };
    let (Some(topic), Some(queue_id)) = (
        timed.property(name::REAL_TOPIC),
        timed.property(name::REAL_QUEUE_ID).and_then(|id| id.parse::<i32>().ok()),
    ) else {
        return dropped("it does not say where it goes");
    };
    let Some(config) = core.topics.get(topic).filter(|_| topic != HALF_TOPIC) else {
        return dropped("its topic does not exist");
    };
    let queues = config.write_queue_nums.max(config.read_queue_nums);
    if !(0..queues).contains(&queue_id) {
        return dropped("its topic has no such queue");
    }
    let times = roll_times(timed);
    let is_repeat =
        repeats.take(&core.store, due_ms, (topic, queue_id), || Delivery::new(timed, times));
    if is_repeat {
        return Ok(());
    }
    let properties = with_times(core, timed, taken_in_ms);
    put(core, timed, topic, queue_id, &properties)
}

/// Stores a timed message in the timer topic once more.
fn roll(
    core: &Core,
    repeats: &mut Repeats,
    timed: &Record<'_>,
    due_ms: i64,
    taken_in_ms: i64,
) -> Result<(), StoreError> {
    let times = roll_times(timed).saturating_add(1);
    let is_repeat =
        repeats.take(&core.store, due_ms, (TIMER_TOPIC, 0), || Delivery::new(timed, times));
    if is_repeat {
        return Ok(());
    }
    let mut properties = with_times(core, timed, taken_in_ms);
    properties.set(name::TIMER_ROLL_TIMES, &times.to_string());
    put(core, timed, TIMER_TOPIC, 0, &properties)
}

/// A timed message's properties, with when it was taken in and when it comes out.
fn with_times(core: &Core, timed: &Record<'_>, taken_in_ms: i64) -> Properties {
    let mut properties = Properties::from_encoded(timed.properties);
    properties.set(name::TIMER_ENQUEUE_MS, &taken_in_ms.to_string());
    properties.set(name::TIMER_DEQUEUE_MS, &core.clock.now_ms().to_string());
    properties
}

fn put(
    core: &Core,
    timed: &Record<'_>,
    topic: &str,
    queue_id: i32,
    properties: &Properties,
) -> Result<(), StoreError> {
    let put = core.put_one(PutMessage {
        topic,
        queue_id,
        flag: timed.flag,
        sys_flag: timed.sys_flag,
        born_timestamp: timed.born_timestamp,
        born_host: timed.born_host,
        store_host: core.store_host,
        reconsume_times: timed.reconsume_times,
        prepared_transaction_offset: 0,
        body: timed.body,
        properties: properties.as_encoded(),
    });
    match put {
        Err(error @ StoreError::IllegalMessage { .. }) => {
            tracing::warn!(topic, %error, "a timed message cannot be delivered: dropped");
            Ok(())
        }
        put => put.map(drop),
    }
}
