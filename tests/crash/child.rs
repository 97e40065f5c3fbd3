//! Lives of a store in a process of its own, and the journal that this process keeps of them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use broker_dev::store::FlushMode;
use broker_dev::store::disk::RealDisk;
use oxmq_tests::journal::{Journal, Verdict};
use oxmq_tests::small_store::{StillClock, options, queue_of};

use crate::readings::{open_store, read};

/// A folder, how its store promises, and all that happened to it.
pub(crate) struct Lives {
    pub(crate) root: PathBuf,
    pub(crate) flush: FlushMode,
    pub(crate) journal: Journal,
}

/// What the child said last, and how it ended.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) status: ExitStatus,
    pub(crate) error: Option<String>,
}

/// What the child is to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Orders<'a> {
    /// Turns of writing; 0 only opens.
    pub(crate) turns: u64,
    pub(crate) seed: u64,
    /// The call on the disk before which it kills itself; 0 never.
    pub(crate) kill_at: u64,
    /// A program, with its arguments, that runs the child.
    pub(crate) wrapper: &'a [String],
}

impl Lives {
    pub(crate) fn new(root: PathBuf, flush: FlushMode) -> Self {
        Self { root, flush, journal: Journal::default() }
    }

    fn start(&self, orders: Orders<'_>) -> Child {
        let program = [env!("CARGO_BIN_EXE_crash-child").to_owned()];
        let mut words = orders.wrapper.iter().chain(&program);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg(&self.root);
        command.arg(if self.flush == FlushMode::Sync { "sync" } else { "async" });
        let numbers = [orders.turns, self.journal.sent.len() as u64, orders.seed, orders.kill_at];
        command.args(numbers.map(|number| number.to_string()));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().unwrap()
    }

    /// Runs a child to its end, and journals what it says. `at_line` is called after each line.
    pub(crate) fn run(
        &mut self,
        orders: Orders<'_>,
        mut at_line: impl FnMut(usize, &mut Child),
    ) -> End {
        let mut child = self.start(orders);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let (mut lines, mut error, mut line) = (0, None, String::new());
        at_line(0, &mut child);
        while out.read_line(&mut line).unwrap() > 0 {
            // A line that a kill cut off says nothing.
            if line.ends_with('\n') {
                self.note(line.trim_end(), &mut error);
                lines += 1;
                at_line(lines, &mut child);
            }
            line.clear();
        }
        let status = child.wait().unwrap();
        if orders.turns > 0 {
            // What it was about to send, perhaps.
            (0..10).for_each(|_| self.reach(self.journal.sent.len() as u64));
        }
        End { status, error }
    }

    fn reach(&mut self, number: u64) {
        while self.journal.sent.len() as u64 <= number {
            let (topic, queue_id) = queue_of(self.journal.sent.len() as u64);
            self.journal.send(topic, queue_id);
        }
    }

    fn note(&mut self, line: &str, error: &mut Option<String>) {
        let mut words = line.split(' ');
        match words.next() {
            Some("a") => {
                let number = words.next().unwrap().parse().unwrap();
                self.reach(number);
                self.journal.answered(number, words.next().unwrap().parse().unwrap());
            }
            Some("p") => self.journal.promise_all(),
            Some("e") => *error = Some(line.to_owned()),
            _ => assert_eq!(line, "closed"),
        }
    }

    /// Opens the store here and judges it. What is there now has to stay.
    pub(crate) fn judge(&mut self) -> Vec<Verdict> {
        let clock = StillClock::at(1_000_000_000);
        let disk = Arc::new(RealDisk);
        let store = open_store(options(&self.root, self.flush, false), disk, clock).unwrap();
        let reading = read(&store);
        let verdicts = self.journal.judge(&reading);
        for (offset, body) in reading.values().flatten() {
            let number = body.first_chunk().map(|number| u64::from_be_bytes(*number));
            self.journal.answered(number.unwrap_or(u64::MAX), *offset);
        }
        // What is gone was never promised, or is in the verdicts.
        let there: Vec<u64> = reading
            .values()
            .flatten()
            .filter_map(|(_, body)| Some(u64::from_be_bytes(*body.first_chunk()?)))
            .collect();
        for (sent, number) in self.journal.sent.iter_mut().zip(0..) {
            if !there.contains(&number) {
                sent.offset = None;
            }
        }
        drop(store);
        verdicts
    }
}

/// A folder's free place for a store.
pub(crate) fn store_in(folder: &Path) -> PathBuf {
    folder.join("store")
}
