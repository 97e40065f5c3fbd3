//! The checkpoint, and the files that only say something by being there.

use std::io::ErrorKind;

use super::log::LogFacts;
use super::{Checked, Context, FileKind, Finding, Findings, Severity};
use crate::store::checkpoint::Checkpoint;
use crate::store::tools::reader::read_small;

/// Bytes of the file.
const FILE_BYTES: usize = 4096;
/// Where our part begins.
const OURS: usize = 64;

/// Checks `checkpoint` against the log.
pub(super) fn check(
    context: &Context<'_>,
    log: &LogFacts,
    findings: &mut Findings,
    checked: &mut Checked,
) {
    let path = context.folder.root().join("checkpoint");
    let shown = context.folder.shown(&path);
    let mut add = |severity, at, what: String| {
        findings.add(Finding::new(severity, FileKind::Checkpoint, shown.clone(), at, what));
    };
    let bytes = match read_small(context.folder.disk(), &path, 1 << 20) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if log.records > 0 {
                let what = "missing: the next start looks at the whole log";
                add(context.unsettled(), 0, what.into());
            }
            return;
        }
        Err(error) => return add(Severity::Damage, 0, format!("cannot be read: {error}")),
    };
    checked.files += 1;
    checked.bytes += bytes.len() as u64;
    if bytes.len() != FILE_BYTES {
        let what = format!("{} bytes instead of {FILE_BYTES}", bytes.len());
        add(Severity::Damage, bytes.len().min(FILE_BYTES) as u64, what);
    }
    let fields = ["log", "queues", "index"];
    for (n, (bytes, field)) in bytes.as_chunks::<8>().0.iter().zip(fields).enumerate() {
        let time = i64::from_be_bytes(*bytes);
        let at = n as u64 * 8;
        if time < 0 {
            add(Severity::Damage, at, format!("the time for the {field} is {time}"));
        } else if time > log.last_store_ms && log.records > 0 && !context.is_live() {
            let what = format!(
                "the time for the {field} is {time}, after the last record's, {}",
                log.last_store_ms
            );
            add(Severity::Damage, at, what);
        }
    }
    let unused = |(at, byte): (usize, &u8)| {
        let is_used = at < 40 || (OURS..OURS + 16).contains(&at);
        (!is_used && *byte != 0).then_some(at)
    };
    if let Some(at) = bytes.iter().enumerate().find_map(unused) {
        add(Severity::Note, at as u64, "bytes that no release uses are not zero".into());
    }
    let known = Checkpoint::decode(&bytes);
    if context.is_settled && log.records > 0 && known.log_ms == 0 {
        add(Severity::Note, 0, "says nothing about the log, although the stop was clean".into());
    }
}
