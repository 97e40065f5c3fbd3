//! Child processes that cannot outlive the tests.
//!
//! A shell stands between: it starts the program, prints the program's process id, and waits for
//! the end of its own standard input, whose other end this process holds. When this process ends,
//! in whatever way, the shell kills the program. That is what lets a test binary share one broker
//! among its tests in a `static`, which nothing ever drops.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use oxmq::clock::{Clock, SystemClock};
use rustix::process::{Pid, Signal, kill_process};

const SHELL: &str = r#"
# The program's id comes before anything that it says itself.
sh -c 'echo "$$"; exec "$@"' sh "$@" </dev/null & program=$!
exec >&- 2>&-
read -r line
kill -9 "$program"
wait "$program"
[ -z "$OXMQ_REMOVE_AT_END" ] || rm -rf "$OXMQ_REMOVE_AT_END"
"#;

/// A folder for the shell to remove once the program is gone: who sits in a `static` removes
/// nothing itself. An environment variable of the program.
pub const REMOVE_AT_END: &str = "OXMQ_REMOVE_AT_END";

/// Lines kept of a program's output, for messages about failures.
const KEPT_LINES: usize = 200;

/// A running program and its output, line by line.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: i32,
    shell: Mutex<Child>,
    guard: Mutex<Option<ChildStdin>>,
    lines: Mutex<Receiver<String>>,
    seen: Mutex<Vec<String>>,
}

impl Process {
    /// Starts a program. Its standard output and error come together, as lines.
    pub fn start(name: &str, program: &Command) -> Self {
        let mut shell = Command::new("sh");
        shell.args(["-c", SHELL, "sh"]).arg(program.get_program()).args(program.get_args());
        for (key, value) in program.get_envs() {
            match value {
                Some(value) => shell.env(key, value),
                None => shell.env_remove(key),
            };
        }
        if let Some(folder) = program.get_current_dir() {
            shell.current_dir(folder);
        }
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut shell =
            shell.spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}"));
        let (sender, lines) = sync_channel(100_000);
        let mut output = BufReader::new(shell.stdout.take().unwrap());
        let mut first = String::new();
        output.read_line(&mut first).unwrap();
        let pid = first.trim().parse().unwrap_or_else(|_| panic!("{name} did not start: {first}"));
        forward(output, sender.clone());
        forward(shell.stderr.take().unwrap(), sender);
        let guard = Mutex::new(shell.stdin.take());
        Self {
            name: name.to_owned(),
            pid,
            shell: Mutex::new(shell),
            guard,
            lines: Mutex::new(lines),
            seen: Mutex::default(),
        }
    }

    /// The program's process id.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Waits for a line that `wanted` takes; other lines pass by.
    ///
    /// # Panics
    /// With the program's last lines, if it ends or `within` passes first.
    pub fn wait_for<T>(&self, within: Duration, wanted: impl Fn(&str) -> Option<T>) -> T {
        self.try_wait_for(within, wanted).unwrap_or_else(|failure| panic!("{failure}"))
    }

    /// The same.
    ///
    /// # Errors
    /// The program's last lines, if it ends or `within` passes first.
    pub fn try_wait_for<T>(
        &self,
        within: Duration,
        wanted: impl Fn(&str) -> Option<T>,
    ) -> Result<T, String> {
        let deadline = Deadline::after(within);
        let lines = lock(&self.lines);
        loop {
            match lines.recv_timeout(deadline.left()) {
                Ok(line) => {
                    let found = wanted(&line);
                    self.keep(line);
                    if let Some(found) = found {
                        return Ok(found);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    return Err(format!("{} is silent{}", self.name, self.seen()));
                }
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("{} ended{}", self.name, self.seen()));
                }
            }
        }
    }

    /// Asks the program to end (SIGTERM) and waits until it has.
    pub fn stop(&self, within: Duration) {
        self.signal(Signal::TERM);
        self.wait_for_end(within);
    }

    /// Kills the program (SIGKILL) and waits until it is gone.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        self.wait_for_end(Duration::from_secs(10));
    }

    /// The last lines of its output so far.
    pub fn tail(&self) -> String {
        while let Ok(line) = lock(&self.lines).try_recv() {
            self.keep(line);
        }
        self.seen()
    }

    fn seen(&self) -> String {
        lock(&self.seen).iter().fold(String::new(), |text, line| text + "\n  | " + line)
    }

    fn wait_for_end(&self, within: Duration) {
        let deadline = Deadline::after(within);
        let lines = lock(&self.lines);
        // Its output ends when it does: the shell has closed its own copy.
        loop {
            match lines.recv_timeout(deadline.left()) {
                Ok(line) => self.keep(line),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    panic!("{} does not end{}", self.name, self.seen())
                }
            }
        }
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            // It may have ended by itself; then there is nobody to tell.
            let _ = kill_process(pid, signal);
        }
    }

    fn keep(&self, line: String) {
        let mut seen = lock(&self.seen);
        if seen.len() == KEPT_LINES {
            seen.remove(0);
        }
        seen.push(line);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(lock(&self.guard).take());
        let _ = lock(&self.shell).wait();
    }
}

fn forward(output: impl Read + Send + 'static, lines: SyncSender<String>) {
    std::thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { return };
            if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                return;
            }
        }
    });
}

/// Locks, also after another test has failed with the lock held.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A point in real time until which something real is waited for.
#[derive(Debug)]
pub struct Deadline {
    clock: SystemClock,
    within: Duration,
}

impl Deadline {
    /// `within` from now.
    pub fn after(within: Duration) -> Self {
        Self { clock: SystemClock::new(), within }
    }

    /// What is left; zero when it has passed.
    pub fn left(&self) -> Duration {
        self.within.saturating_sub(self.clock.monotonic())
    }

    /// Whether it has passed.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}
