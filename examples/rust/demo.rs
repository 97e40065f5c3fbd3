//! The main job, shown: real events through `broker-dev`, sent and consumed in three languages.
//!
//! A third of the events is sent by each language. One group has a member in each, which share
//! the queues, ack by hand and hand one event in fifty back once; a second group sees everything.
//! The Python member is killed in the middle. Exit status 0 only if each group is done with
//! exactly the events that went in.

use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::process::{ExitCode, Stdio};
use std::time::Duration;

use clap::Parser;
use comfy_table::{Cell, CellAlignment, Table, presets};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use oxmq::clock::{Clock as _, SystemClock};
use oxmq_examples::events;
use oxmq_examples::report::Report;
use oxmq_examples::tally::{AUDIT, Name, Tally};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

type Error = Box<dyn std::error::Error>;

const TOPIC: &str = "earthquakes";
const GROUP: &str = "seismologists";
const AUDIT_GROUP: &str = "auditors";

/// Sends events through broker-dev and consumes them, in Rust, Python and Node at once.
#[derive(Parser)]
struct Options {
    /// A GeoJSON collection, or any file with one message a line.
    #[arg(long)]
    events: PathBuf,
    /// Events a second that each of the three producers sends.
    #[arg(long, default_value_t = 150)]
    rate: u32,
    /// Give up after this many seconds.
    #[arg(long, default_value_t = 120)]
    give_up_s: u64,
    /// A Python that has oxmq installed.
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Node.
    #[arg(long, default_value = "node")]
    node: PathBuf,
    /// The folder of the Python and Node workers.
    #[arg(long, default_value = "examples")]
    workers: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(options: Options) -> Result<bool, Error> {
    let events = events::load(&options.events)?;
    let ids: BTreeSet<String> = events.iter().map(|event| event.id.clone()).collect();
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("events.jsonl");
    events::save(&file, &events)?;

    let (broker, name_server) = start_broker(folder.path()).await?;
    let mut stage = Stage::new(&options, name_server)?;
    let progress = Progress::new(ids.len());
    progress.say(&format!("{} events from {}", ids.len(), options.events.display()));
    progress.say(&format!("broker-dev: name server at {}", stage.name_server));

    let is_complete = play(&options, &mut stage, &progress, &ids, &file).await?;
    stage.end().await;
    drop(broker);
    progress.finish();
    Ok(show(&stage.tally, &ids) && is_complete)
}

/// Runs producers and consumers until all is done; `false` if the time is over first.
async fn play(
    options: &Options,
    stage: &mut Stage,
    progress: &Progress,
    ids: &BTreeSet<String>,
    file: &Path,
) -> Result<bool, Error> {
    let clock = SystemClock::new();
    let give_up = Duration::from_secs(options.give_up_s);
    let mut next_tick = Duration::from_secs(1);
    for (part, language) in ["Rust", "Python", "Node"].into_iter().enumerate() {
        stage.produce(language, file, part, options.rate)?;
    }
    let mut consumers_started = false;
    let mut is_killed = false;
    loop {
        tokio::select! {
            report = stage.reports.recv() => match report {
                Some((name, report)) => stage.tally.add(name, report),
                None => return Err("every worker has ended".into()),
            },
            () = clock.sleep_until(next_tick) => {
                next_tick += Duration::from_secs(1);
                progress.tick(&stage.tally);
            }
            () = clock.sleep_until(give_up) => return Ok(false),
            _ = tokio::signal::ctrl_c() => return Ok(false),
        }
        progress.update(&stage.tally);
        // The first message makes the topic; who subscribes before that waits for it.
        if !consumers_started && stage.tally.sent() > 0 {
            consumers_started = true;
            for language in ["Rust", "Python", "Node"] {
                stage.consume(language, language, GROUP)?;
            }
            stage.consume(AUDIT, "Rust", AUDIT_GROUP)?;
        }
        if !is_killed && stage.tally.shared() * 2 > ids.len() {
            is_killed = true;
            stage.kill("Python").await?;
            progress.say("killed the Python member: the others take its queues over");
        }
        if is_killed && stage.tally.is_complete(ids) {
            return Ok(true);
        }
    }
}

/// The running workers and what they have reported.
struct Stage {
    name_server: String,
    python: PathBuf,
    node: PathBuf,
    workers: PathBuf,
    rust_worker: PathBuf,
    producers: Vec<Child>,
    consumers: Vec<(Name, Child, Option<ChildStdin>)>,
    reports: mpsc::Receiver<(Name, Report)>,
    reporter: mpsc::Sender<(Name, Report)>,
    tally: Tally,
}

impl Stage {
    fn new(options: &Options, name_server: String) -> Result<Self, Error> {
        let (reporter, reports) = mpsc::channel(1024);
        Ok(Self {
            name_server,
            python: options.python.clone(),
            node: options.node.clone(),
            workers: options.workers.clone(),
            rust_worker: sibling("worker")?,
            producers: Vec::new(),
            consumers: Vec::new(),
            reports,
            reporter,
            tally: Tally::default(),
        })
    }

    /// The worker of a language.
    fn worker(&self, language: &str, command: &str) -> Command {
        let mut process = match language {
            "Python" => Command::new(&self.python),
            "Node" => Command::new(&self.node),
            _ => Command::new(&self.rust_worker),
        };
        match language {
            "Python" => _ = process.arg(self.workers.join("python/worker.py")),
            "Node" => _ = process.arg(self.workers.join("node/worker.mjs")),
            _ => {}
        }
        process.arg(command).args(["--name-server", &self.name_server, "--topic", TOPIC]);
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        process
    }

    fn produce(
        &mut self,
        language: Name,
        file: &Path,
        part: usize,
        rate: u32,
    ) -> Result<(), Error> {
        let mut command = self.worker(language, "produce");
        command.arg("--events").arg(file);
        command.args(["--parts", "3", "--part", &part.to_string(), "--rate", &rate.to_string()]);
        let mut child = spawn(&mut command)?;
        self.listen(language, &mut child);
        self.producers.push(child);
        Ok(())
    }

    fn consume(&mut self, name: Name, language: &str, group: &str) -> Result<(), Error> {
        let mut command = self.worker(language, "consume");
        command.args(["--group", group]);
        if name != AUDIT {
            command.arg("--hand-back");
        }
        let mut child = spawn(&mut command)?;
        self.listen(name, &mut child);
        let stdin = child.stdin.take();
        self.consumers.push((name, child, stdin));
        Ok(())
    }

    /// Passes on what a worker reports, until it ends.
    fn listen(&self, name: Name, child: &mut Child) {
        let Some(stdout) = child.stdout.take() else { return };
        let reporter = self.reporter.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match serde_json::from_str(&line) {
                    Ok(report) => _ = reporter.send((name, report)).await,
                    Err(_) => eprintln!("{name}: {line}"),
                }
            }
        });
    }

    async fn kill(&mut self, name: Name) -> Result<(), Error> {
        for (other, child, _) in &mut self.consumers {
            if *other == name {
                child.kill().await?;
            }
        }
        Ok(())
    }

    /// Lets the consumers drain, and waits for all to end.
    async fn end(&mut self) {
        for (_, child, stdin) in &mut self.consumers {
            drop(stdin.take());
            // A worker that had to be killed has ended as well.
            let _ = child.wait().await;
        }
        for child in &mut self.producers {
            let _ = child.kill().await;
        }
        while let Ok((name, report)) = self.reports.try_recv() {
            self.tally.add(name, report);
        }
    }
}

/// Starts broker-dev on free ports; also says where its name server is.
async fn start_broker(folder: &Path) -> Result<(Child, String), Error> {
    let mut command = Command::new(sibling("broker-dev")?);
    command.args(["--name-server-address", "127.0.0.1:0", "--broker-address", "127.0.0.1:0"]);
    command.arg("--json").arg("--store").arg(folder.join("store"));
    command.stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = spawn(&mut command)?;
    let stdout = child.stdout.take().ok_or("broker-dev has no standard output")?;
    let mut lines = BufReader::new(stdout).lines();
    let line = lines.next_line().await?.ok_or("broker-dev ended before it was ready")?;
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let ready: serde_json::Value = serde_json::from_str(&line)?;
    let address = ready.get("name_server").and_then(serde_json::Value::as_str);
    Ok((child, address.ok_or(format!("broker-dev said {line}"))?.to_owned()))
}

fn spawn(command: &mut Command) -> Result<Child, Error> {
    let program = command.as_std().get_program().to_owned();
    command.spawn().map_err(|error| format!("cannot start {}: {error}", program.display()).into())
}

/// A program that was built beside this one.
fn sibling(name: &str) -> Result<PathBuf, Error> {
    let path = std::env::current_exe()?.with_file_name(name);
    if path.exists() { Ok(path) } else { Err(format!("{} is not built", path.display()).into()) }
}

/// Bars in a terminal, plain lines elsewhere.
struct Progress {
    bars: Option<[ProgressBar; 3]>,
    total: usize,
}

impl Progress {
    fn new(total: usize) -> Self {
        let bars = std::io::stderr().is_terminal().then(|| {
            let all = MultiProgress::new();
            ["sent", "shared", "audited"].map(|name| {
                let style = ProgressStyle::with_template("{prefix:>8} {bar:40} {pos:>6}/{len}");
                let bar = ProgressBar::new(total as u64);
                bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
                bar.set_prefix(name);
                all.add(bar)
            })
        });
        Self { bars, total }
    }

    fn say(&self, line: &str) {
        match &self.bars {
            Some([first, ..]) => first.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }

    fn update(&self, tally: &Tally) {
        let counts = [tally.sent(), tally.shared(), tally.audited()];
        for (bar, count) in self.bars.iter().flatten().zip(counts) {
            bar.set_position(count as u64);
        }
    }

    fn tick(&self, tally: &Tally) {
        if self.bars.is_none() {
            let (sent, shared, audited) = (tally.sent(), tally.shared(), tally.audited());
            eprintln!("sent {sent}, shared {shared}, audited {audited} of {}", self.total);
        }
    }

    fn finish(&self) {
        for bar in self.bars.iter().flatten() {
            bar.abandon();
        }
    }
}

/// Prints the table and the verdict.
#[expect(clippy::print_stdout, reason = "this is the program's result")]
fn show(tally: &Tally, ids: &BTreeSet<String>) -> bool {
    let mut table = Table::new();
    table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
    table.set_header(["", "sent", "received", "redelivered", "acked"]);
    for (name, counts) in tally.counts() {
        let numbers = [counts.sent, counts.received, counts.redelivered, counts.acked];
        let cells = numbers.map(|n| Cell::new(n).set_alignment(CellAlignment::Right));
        table.add_row([Cell::new(name)].into_iter().chain(cells));
    }
    println!("{table}");
    let problems = tally.problems(ids);
    for problem in &problems {
        println!("{problem}");
    }
    if problems.is_empty() {
        println!("events in = events out: {}, none missing in either group", ids.len());
    }
    problems.is_empty()
}
