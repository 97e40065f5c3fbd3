//! File sizes of a store that exists already.
//!
//! Apache's broker refuses a folder whose files have another length than its settings say; here
//! the files decide. A length is believed if several files share it. A single file may have been
//! cut short, so a length below the option counts only if it could be somebody's setting.

use std::collections::BTreeMap;

/// A setting, unlike the length of a file that was cut off, is a whole number of pages.
const PAGE: u64 = 4096;

fn most_common(lengths: impl Iterator<Item = u64>) -> Option<(u64, usize)> {
    let mut counts: BTreeMap<u64, usize> = BTreeMap::new();
    for length in lengths.filter(|length| *length > 0) {
        *counts.entry(length).or_default() += 1;
    }
    counts.into_iter().max_by_key(|(length, count)| (*count, *length))
}

/// Bytes of a commit-log file, given the lengths of those there are.
pub(crate) fn commit_log_file_bytes(lengths: impl Iterator<Item = u64>, option: u64) -> u64 {
    match most_common(lengths) {
        Some((length, count)) if count > 1 || length > option || length % PAGE == 0 => length,
        _ => option,
    }
}

/// Bytes of a file of units, given the lengths of some.
pub(crate) fn queue_file_bytes(
    lengths: impl Iterator<Item = u64>,
    unit_bytes: usize,
    option: u64,
) -> u64 {
    let whole = lengths.filter(|length| length % unit_bytes as u64 == 0);
    match most_common(whole) {
        Some((length, count)) if count > 1 || length > option => length,
        _ => option,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_agree_overrule_the_option() {
        let log = |lengths: &[u64], option| commit_log_file_bytes(lengths.iter().copied(), option);
        assert_eq!(log(&[], 65_536), 65_536);
        assert_eq!(log(&[1 << 30], 65_536), 1 << 30);
        assert_eq!(log(&[8_192], 65_536), 8_192);
        assert_eq!(log(&[10_000, 10_000, 77], 65_536), 10_000);
    }

    #[test]
    fn a_single_file_that_was_cut_off_does_not() {
        assert_eq!(commit_log_file_bytes([10_001].into_iter(), 65_536), 65_536);
        assert_eq!(commit_log_file_bytes([0].into_iter(), 65_536), 65_536);
        assert_eq!(queue_file_bytes([400].into_iter(), 20, 6_000_000), 6_000_000);
        assert_eq!(queue_file_bytes([400, 400, 21].into_iter(), 20, 6_000_000), 400);
    }
}
