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
}
