//! Which queues there are on the disk: folders `TOPIC/QUEUE`.

use std::collections::BTreeSet;
use std::path::Path;

use super::files::Home;
use crate::store::disk::Disk;
use crate::store::error::{Context, StoreError};
use crate::store::mapped_file_queue;

/// Queues whose files are looked at to learn the length of all.
const SAMPLES: usize = 64;

/// Whether a topic from outside may become the name of a folder.
pub(crate) fn is_safe_topic(topic: &str) -> bool {
    !topic.is_empty()
        && topic.len() <= 255
        && topic != "."
        && topic != ".."
        && !topic.contains(['/', '\\', '\0'])
}

/// Topics that have a folder.
pub(super) fn topics(home: &Home) -> Result<Vec<String>, StoreError> {
    folders(home.disk(), home.root())
}

/// Queues of a topic that have a folder.
pub(super) fn queue_ids(home: &Home, topic: &str) -> Result<BTreeSet<i32>, StoreError> {
    let names = folders(home.disk(), &home.root().join(topic))?;
    Ok(names.iter().filter_map(|name| queue_id(name)).collect())
}

fn queue_id(name: &str) -> Option<i32> {
    name.parse().ok().filter(|id: &i32| *id >= 0 && id.to_string() == name)
}

fn folders(disk: &dyn Disk, dir: &Path) -> Result<Vec<String>, StoreError> {
    match disk.read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        entries => Ok(entries
            .context(dir, "list")?
            .into_iter()
            .filter(|entry| entry.is_dir)
            .map(|entry| entry.name)
            .collect()),
    }
}

/// Lengths of the files of some queues below `root`; empty if there is no file at all.
pub(crate) fn sample_lengths(disk: &dyn Disk, root: &Path) -> Result<Vec<u64>, StoreError> {
    let mut lengths = Vec::new();
    let mut queues = 0;
    for topic in folders(disk, root)? {
        let topic_dir = root.join(topic);
        for queue in folders(disk, &topic_dir)? {
            let files = mapped_file_queue::list(disk, &topic_dir.join(queue))?;
            queues += usize::from(!files.is_empty());
            lengths.extend(files.iter().map(|file| file.length));
        }
        if queues >= SAMPLES {
            break;
        }
    }
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_leave_the_folder_are_refused() {
        for topic in ["", ".", "..", "a/b", "a\0b", "../x", &"x".repeat(256)] {
            assert!(!is_safe_topic(topic), "{topic:?}");
        }
        for topic in ["T", "%RETRY%group", "a.b", "主题", &"x".repeat(255)] {
            assert!(is_safe_topic(topic), "{topic:?}");
        }
    }

    #[test]
    fn only_names_that_this_broker_would_give_are_queues() {
        for (name, id) in
            [("0", Some(0)), ("17", Some(17)), ("-1", None), ("01", None), ("x", None)]
        {
            assert_eq!(queue_id(name), id, "{name}");
        }
    }
}
