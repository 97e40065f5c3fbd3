//! Deleting a topic's messages.

use super::engine::Store;
use super::error::StoreError;

impl Store {
    /// Forgets the queues of a topic and removes their files. Their records stay in the log, but
    /// count no more: a topic of the same name begins with offset 0. Whoever is reading a message of
    /// them reads on.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`]; or it cannot be saved that the topic is
    /// deleted, which it is not then.
    pub fn delete_topic(&self, topic: &str) -> Result<(), StoreError> {
        let shared = self.shared();
        shared.check_open()?;
        shared.log.between_appends(|end| shared.table.delete_topic(topic, end))
    }

    /// Forgets the queues, of topics that `may_go` lets go, whose messages are all older than the
    /// log: their next message gets the offset 0. Returns how many there were.
    ///
    /// Source: RocketMQ 5.3.3 `ConsumeQueueStore.cleanExpired`.
    ///
    /// # Errors
    /// [`StoreError::Poisoned`], [`StoreError::Closed`].
    pub fn delete_expired_queues(
        &self,
        may_go: impl Fn(&str) -> bool,
    ) -> Result<usize, StoreError> {
        let shared = self.shared();
        let mut deleted = 0;
        for (topic, queue_id) in shared.table.names() {
            shared.check_open()?;
            if may_go(&topic) {
                let min = shared.log.min();
                let table = &shared.table;
                deleted += usize::from(
                    shared
                        .log
                        .between_appends(|_| table.delete_expired_queue(&topic, queue_id, min)),
                );
            }
        }
        Ok(deleted)
    }
}
