//! What becomes of a message that is not for now: delayed by a level, timed, or half of a
//! transaction.
//!
//! Source: RocketMQ 5.3.3 `broker/util/HookUtils`, `SendMessageProcessor`,
//! `TransactionalMessageBridge.parseHalfMessageInner`.

use std::fmt::Write as _;

use oxmq::protocol::code::ResponseCode;
use oxmq::protocol::message::recall;
use oxmq::protocol::names;

use crate::core::Core;
use crate::reply::Refusal;
use crate::schedule::timer::precision_ms;

/// What a property string says about when a message is for.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) delay_level: i32,
    delay_seconds: Option<&'a str>,
    delay_ms: Option<&'a str>,
    deliver_ms: Option<&'a str>,
    /// The timer had it already.
    is_out: bool,
    /// It only takes another message back.
    is_delete: bool,
    /// It is half of a transaction.
    pub(super) is_half: bool,
}

/// Where a message waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Later {
    /// In the queue of a delay level.
    Level(i32),
    /// In the timer, until the slot of this time is over.
    Timed(i64),
    /// Among the half messages, until its transaction ends.
    Half,
}

impl<'a> Wish<'a> {
    /// Takes note of a property.
    pub(super) fn note(&mut self, name: &str, value: &'a str) {
        match name {
            "DELAY" => self.delay_level = value.parse().unwrap_or_default(),
            "TIMER_DELAY_SEC" => self.delay_seconds = Some(value),
            "TIMER_DELAY_MS" => self.delay_ms = Some(value),
            "TIMER_DELIVER_MS" => self.deliver_ms = Some(value),
            "TIMER_OUT_MS" => self.is_out = true,
            "TIMER_DEL_UNIQKEY" => self.is_delete = true,
            "TRAN_MSG" => self.is_half = value.eq_ignore_ascii_case("true"),
            _ => {}
        }
    }

    /// Whether it names a time, and no level, which goes before.
    pub(super) fn is_timed(&self) -> bool {
        let has_time = [self.delay_seconds, self.delay_ms, self.deliver_ms];
        self.delay_level <= 0 && !self.is_out && has_time.iter().any(Option::is_some)
    }

    /// What is to become of the message; `None` if it is for now.
    ///
    /// # Errors
    /// The time cannot be read or is too far off, too many messages are due then, or the broker
    /// does not do what is asked.
    pub(super) fn decide(
        &self,
        core: &Core,
        reconsume_times: i32,
    ) -> Result<Option<Later>, Refusal> {
        // Old clients leave the mark of a half message on one that they hand back.
        if self.is_half && !(reconsume_times > 0 && self.delay_level > 0) {
            if core.config.reject_transactions {
                let remark = "this broker takes no transaction messages";
                return Err(Refusal::new(ResponseCode::NO_PERMISSION, remark));
            }
            if self.is_timed() {
                return Err(illegal("a transaction message cannot have a delivery time"));
            }
            return Ok(Some(Later::Half));
        }
        if self.delay_level > 0 {
            return Ok(Some(Later::Level(self.delay_level.min(core.config.delay_levels.max()))));
        }
        if !self.is_timed() {
            return Ok(None);
        }
        if !core.config.timer {
            let remark = "WHEEL_TIMER_NOT_ENABLE: this broker delivers at no set time \
                          (timerWheelEnable=false); a delay level works";
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        self.out_ms(core)
    }

    /// The slot of a time that was asked for; `None` if that is over.
    fn out_ms(&self, core: &Core) -> Result<Option<Later>, Refusal> {
        let now = core.clock.now_ms();
        let deliver = self.deliver_at(now).ok_or_else(|| {
            illegal("WHEEL_TIMER_MSG_ILLEGAL: the delivery time or delay is no number")
        })?;
        if deliver <= now {
            return match self.is_delete {
                false => Ok(None),
                true => {
                    Err(illegal("WHEEL_TIMER_MSG_ILLEGAL: it is too late to take the message back"))
                }
            };
        }
        let most = i64::from(core.config.timer_max_delay_seconds) * 1_000;
        if deliver - now > most {
            return Err(illegal(format!(
                "WHEEL_TIMER_MSG_ILLEGAL: the delivery time is {} ms ahead; the limit is {most} \
                 (timerMaxDelaySec)",
                deliver - now
            )));
        }
        let precision = precision_ms(&core.config);
        // A slot is delivered when it is over, so a time on its border is the one before's.
        let out = (deliver - 1).div_euclid(precision) * precision;
        if is_crowded(core, out) {
            let limit = core.config.timer_slot_limit;
            let remark = format!(
                "WHEEL_TIMER_FLOW_CONTROL: more than {limit} messages are due at the same time \
                 (timerCongestNumEachSlot)"
            );
            return Err(Refusal::new(ResponseCode::SYSTEM_ERROR, remark));
        }
        Ok(Some(Later::Timed(out)))
    }

    fn deliver_at(&self, now: i64) -> Option<i64> {
        if let Some(seconds) = self.delay_seconds {
            now.checked_add(seconds.parse::<i64>().ok()?.checked_mul(1_000)?)
        } else if let Some(ms) = self.delay_ms {
            now.checked_add(ms.parse().ok()?)
        } else {
            self.deliver_ms?.parse().ok()
        }
    }
}

/// Whether a message due at a time is refused because too many are: by chance between the limit
/// and twice the limit.
fn is_crowded(core: &Core, out_ms: i64) -> bool {
    let limit = i64::from(core.config.timer_slot_limit);
    if limit >= i64::from(i32::MAX) {
        return false;
    }
    let waiting = i64::from(core.timer.waiting_at(out_ms));
    waiting > limit && (waiting >= limit * 2 || fastrand::i64(0..limit.max(1)) < waiting - limit)
}

impl Later {
    /// The topic and the queue that hold the message meanwhile.
    pub(super) fn place(self) -> (&'static str, i32) {
        match self {
            Self::Level(level) => (names::SCHEDULE_TOPIC, level - 1),
            Self::Timed(_) => (names::TIMER_TOPIC, 0),
            Self::Half => (names::HALF_TOPIC, 0),
        }
    }

    /// Whether the broker writes a property of this name itself, or must not have it there.
    pub(super) fn replaces(self, name: &str) -> bool {
        match name {
            "REAL_TOPIC" | "REAL_QID" => true,
            "DELAY" => matches!(self, Self::Level(_) | Self::Half),
            "TIMER_DELAY_SEC" | "TIMER_DELAY_MS" | "TIMER_DELIVER_MS" => {
                matches!(self, Self::Level(_))
            }
            "TIMER_ENQUEUE_MS" | "TIMER_DEQUEUE_MS" | "TIMER_ROLL_TIMES" => {
                matches!(self, Self::Timed(_))
            }
            "__transactionId__" => self == Self::Half,
            _ => false,
        }
    }

    /// Adds the broker's properties.
    pub(super) fn write(
        self,
        texts: &mut String,
        (topic, queue_id): (&str, i32),
        unique_key: &str,
    ) {
        // Writing to a String does not fail.
        let _ = match self {
            Self::Level(level) => write!(texts, "DELAY\u{1}{level}\u{2}"),
            Self::Timed(out_ms) => write!(texts, "TIMER_OUT_MS\u{1}{out_ms}\u{2}"),
            Self::Half => write!(texts, "__transactionId__\u{1}{unique_key}\u{2}"),
        };
        let _ = write!(texts, "REAL_TOPIC\u{1}{topic}\u{2}REAL_QID\u{1}{queue_id}\u{2}");
    }

    /// What the producer can take the message back with.
    pub(super) fn recall_handle(
        self,
        core: &Core,
        topic: &str,
        unique_key: &str,
    ) -> Option<String> {
        match self {
            Self::Timed(out_ms) if !topic.starts_with(names::RETRY_PREFIX) => {
                // One more, so that the time lies within the slot.
                Some(
                    recall::Handle {
                        topic: topic.to_owned(),
                        broker_name: core.config.broker_name.clone(),
                        deliver_ms: out_ms + 1,
                        unique_key: unique_key.to_owned(),
                    }
                    .encode(),
                )
            }
            _ => None,
        }
    }
}

fn illegal(remark: impl Into<Box<str>>) -> Refusal {
    Refusal::new(ResponseCode::MESSAGE_ILLEGAL, remark)
}

#[cfg(test)]
mod tests {
    use oxmq::protocol::message::properties;

    use super::*;

    fn wish(text: &str) -> Wish<'_> {
        let mut wish = Wish::default();
        properties::iter(text).for_each(|(name, value)| wish.note(name, value));
        wish
    }

    #[test]
    fn a_level_goes_before_a_time_and_seconds_before_the_rest() {
        let all = "DELAY\u{1}3\u{2}TIMER_DELAY_SEC\u{1}5\u{2}TIMER_DELIVER_MS\u{1}9\u{2}";
        assert!(!wish(all).is_timed());
        let timed = wish("TIMER_DELIVER_MS\u{1}9\u{2}TIMER_DELAY_MS\u{1}7\u{2}");
        assert_eq!((timed.is_timed(), timed.deliver_at(100)), (true, Some(107)));
        let seconds = wish("TIMER_DELIVER_MS\u{1}9\u{2}TIMER_DELAY_SEC\u{1}5\u{2}");
        assert_eq!(seconds.deliver_at(100), Some(5_100));
        assert_eq!(wish("TIMER_DELIVER_MS\u{1}9").deliver_at(100), Some(9));
        assert!(!wish("TIMER_DELIVER_MS\u{1}9\u{2}TIMER_OUT_MS\u{1}8\u{2}").is_timed());
    }

    #[test]
    fn times_that_are_no_numbers_are_none() {
        for text in ["x", "9223372036854775807", "1.5", "-"] {
            let properties = format!("TIMER_DELAY_SEC\u{1}{text}\u{2}");
            assert_eq!(wish(&properties).deliver_at(100), None, "{text}");
        }
    }
}
