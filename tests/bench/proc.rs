//! What the kernel knows of a process.

use std::fs;
use std::sync::OnceLock;

use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// User and system time so far, in seconds.
pub(crate) fn cpu_seconds(pid: i32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name, in parentheses, may hold spaces; the times are the 12th and 13th fields after it.
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|field| field.parse::<f64>().unwrap()).sum();
    ticks / rustix::param::clock_ticks_per_second() as f64
}

/// Resident memory that is not of files, MiB.
pub(crate) fn anonymous_mib(pid: i32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

/// Waits until everything written so far is on the disk, so that no run pays for the one before.
pub(crate) fn settle_disk() {
    rustix::fs::sync();
}

/// Holds this thread, and the threads that it starts, on one processor until it is dropped.
#[derive(Debug)]
pub(crate) struct Pinned;

impl Pinned {
    /// On the `wanted`-th of the processors that this process may use, or the last.
    pub(crate) fn on(wanted: usize) -> Self {
        sched_setaffinity(None, &one(wanted)).unwrap();
        Self
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        sched_setaffinity(None, &allowed()).unwrap();
    }
}

/// Holds all threads of a process on one processor, and those that they start.
pub(crate) fn pin_process(pid: i32, wanted: usize) {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).unwrap() {
        let thread: i32 = thread.unwrap().file_name().to_str().unwrap().parse().unwrap();
        sched_setaffinity(Pid::from_raw(thread), &one(wanted)).unwrap();
    }
}

/// The `wanted`-th of the processors that this process may use, or the last.
fn one(wanted: usize) -> CpuSet {
    let allowed = allowed();
    let usable = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    let mut one = CpuSet::new();
    one.set(usable.take(wanted + 1).last().expect("a processor"));
    one
}

/// What the process may use: asked before the first thread is pinned, since threads inherit.
fn allowed() -> CpuSet {
    static ALLOWED: OnceLock<CpuSet> = OnceLock::new();
    *ALLOWED.get_or_init(|| sched_getaffinity(None).unwrap())
}
