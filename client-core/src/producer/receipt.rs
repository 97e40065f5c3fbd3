//! Where a message was stored.

use crate::error::Error;
use crate::message::MessageQueue;
use crate::protocol::code::ResponseCode;
use crate::protocol::command::RemotingCommand;

/// A message was stored, and this is where.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The message's id, made by this client and the same for every attempt: what consumers see.
    pub message_id: String,
    /// Where the broker keeps it; another copy of the message has another.
    pub offset_message_id: String,
    /// The queue it is in.
    pub queue: MessageQueue,
    /// Its place in the queue, counted in messages from 0.
    pub queue_offset: i64,
    /// How safely it is stored.
    pub status: StoredStatus,
    /// How many attempts it took.
    pub attempts: u32,
    /// What a message sent for later can be taken back with, see
    /// [`Producer::recall`](crate::Producer::recall). From brokers of 5.3.1 on.
    pub recall_handle: Option<String>,
}

/// How safely a message is stored. Every one of them is a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredStatus {
    /// As the broker is configured to.
    Stored,
    /// In the master's memory; it was not on disk in time.
    FlushDiskTimeout,
    /// On the master; no replica had it in time.
    FlushSlaveTimeout,
    /// On the master; there is no replica.
    SlaveNotAvailable,
}

impl StoredStatus {
    /// What a code says of a stored message; `None` if it was not stored.
    pub(super) fn from_code(code: ResponseCode) -> Option<Self> {
        match code {
            ResponseCode::SUCCESS => Some(Self::Stored),
            ResponseCode::FLUSH_DISK_TIMEOUT => Some(Self::FlushDiskTimeout),
            ResponseCode::FLUSH_SLAVE_TIMEOUT => Some(Self::FlushSlaveTimeout),
            ResponseCode::SLAVE_NOT_AVAILABLE => Some(Self::SlaveNotAvailable),
            _ => None,
        }
    }

    /// A short name that stays the same between releases, for other languages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stored => "Stored",
            Self::FlushDiskTimeout => "FlushDiskTimeout",
            Self::FlushSlaveTimeout => "FlushSlaveTimeout",
            Self::SlaveNotAvailable => "SlaveNotAvailable",
        }
    }
}

impl Receipt {
    /// Reads the answer to a send that was stored. The broker may have chosen another queue.
    pub(super) fn from_answer(
        message_id: &str,
        queue: &MessageQueue,
        status: StoredStatus,
        answer: &RemotingCommand,
        attempts: u32,
    ) -> Result<Self, Error> {
        let fields = &answer.ext_fields;
        Ok(Self {
            message_id: message_id.to_owned(),
            offset_message_id: fields.required::<&str>("msgId")?.to_owned(),
            queue: MessageQueue { queue_id: fields.required("queueId")?, ..queue.clone() },
            queue_offset: fields.required("queueOffset")?,
            status,
            attempts,
            recall_handle: fields.optional("recallHandle")?,
        })
    }
}
