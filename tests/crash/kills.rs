//! Processes that are killed: at any moment, and at the n-th call or system call; and again while
//! they recover from that.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use broker_dev::store::FlushMode;

use crate::child::{Lives, Orders, store_in};
use crate::share::share;

const SIGKILL: i32 = 9;
/// Lives of one folder.
const LIVES: u64 = 15;
/// System calls that change files.
const SYSTEM_CALLS: &str =
    "openat,ftruncate,fallocate,fdatasync,fsync,rename,unlink,pwrite64,mmap,munmap,mkdir,lseek";

/// Whether `strace` can kill here.
fn has_strace() -> bool {
    let run = Command::new("strace")
        .args(["-qq", "-o", "/dev/null", "-e", "inject=getppid:signal=KILL:when=1"])
        .arg("true")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let has = run.is_ok_and(|status| status.success());
    if !has {
        eprintln!("SKIPPED: kills at the n-th system call need strace and leave to trace");
    }
    has
}

fn strace(nth: u64) -> Vec<String> {
    let inject = format!("inject={SYSTEM_CALLS}:signal=KILL:when={nth}");
    ["strace", "-f", "-qq", "-o", "/dev/null", "-e", &inject].map(str::to_owned).to_vec()
}

fn kill(flush: FlushMode) {
    let can_trace = has_strace();
    let mut random = fastrand::Rng::with_seed(flush as u64);
    let (mut killed, mut twice) = (0, 0);
    for _ in 0..share(2) {
        let folder = tempfile::tempdir().unwrap();
        let mut lives = Lives::new(store_in(folder.path()), flush);
        for life in 0..LIVES {
            let mut wrapper = Vec::new();
            let (mut kill_at, mut at_line) = (0, usize::MAX);
            match life % 3 {
                0 => at_line = random.usize(..40),
                1 => kill_at = random.u64(1..150),
                _ if can_trace => wrapper = strace(random.u64(1..120)),
                _ => kill_at = random.u64(1..60),
            }
            let orders = Orders { turns: 60, seed: random.u64(..), kill_at, wrapper: &wrapper };
            let end = lives.run(orders, |line, child| {
                if line == at_line {
                    child.kill().unwrap();
                }
            });
            // A process that got through has nothing to complain of either.
            assert_eq!(end.error, None);
            killed += u64::from(end.status.signal() == Some(SIGKILL));
            if flush == FlushMode::Async {
                // A killed process loses nothing that it answered.
                lives.journal.promise_all();
            }
            if life % 4 == 3 {
                let kill_at = random.u64(1..30);
                let orders = Orders { turns: 0, seed: life, kill_at, wrapper: &[] };
                let end = lives.run(orders, |_, _| {});
                twice += u64::from(end.status.signal() == Some(SIGKILL));
            }
            let verdicts = lives.judge();
            assert_eq!(verdicts, [], "life {life}, {} sent", lives.journal.sent.len());
            lives.journal.promise_all();
        }
    }
    eprintln!("{flush:?}: {killed} kills, {twice} again during recovery");
    assert!(killed >= share(18) && twice >= share(2), "{killed} kills, {twice} twice");
}

#[test]
fn a_killed_process_loses_nothing_it_answered_with_async_flush() {
    kill(FlushMode::Async);
}

#[test]
fn a_killed_process_loses_nothing_it_answered_with_sync_flush() {
    kill(FlushMode::Sync);
}
