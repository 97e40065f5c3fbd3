//! Transactions: codes 37 and 39.

use super::header;

header! {
    /// Ends a transaction, from the producer to the broker: code 37.
    EndTransactionRequestHeader {
        /// The message's topic, from 5.0 on.
        topic: Option<String> = "topic",
        /// The producer's group.
        producer_group: String = "producerGroup",
        /// Queue offset of the half message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Commit-log offset of the half message.
        commit_log_offset: i64 = "commitLogOffset",
        /// How it ends: a transaction type of [`crate::protocol::message::sys_flag`]; 0 is not yet.
        commit_or_rollback: i32 = "commitOrRollback",
        /// Whether it answers a check.
        from_transaction_check: Option<bool> = "fromTransactionCheck",
        /// The `UNIQ_KEY` of the message.
        msg_id: String = "msgId",
        /// The transaction's id.
        transaction_id: Option<String> = "transactionId",
    }
}

header! {
    /// Asks a producer how a transaction ended, from the broker: code 39. One-way; the body is the
    /// half message's record with its real topic and queue.
    CheckTransactionStateRequestHeader {
        /// The half messages' topic, from 5.3 on.
        topic: Option<String> = "topic",
        /// Queue offset of the half message.
        tran_state_table_offset: i64 = "tranStateTableOffset",
        /// Commit-log offset of the half message.
        commit_log_offset: i64 = "commitLogOffset",
        /// The `UNIQ_KEY` of the message.
        msg_id: Option<String> = "msgId",
        /// The transaction's id.
        transaction_id: Option<String> = "transactionId",
        /// The offset message id of the half message.
        offset_msg_id: Option<String> = "offsetMsgId",
        /// The broker's name.
        bname: Option<String> = "bname",
    }
}
