//! The table of figures.

use std::fmt::Write as _;
use std::path::Path;
use std::{fs, thread};

use serde_json::{Value, json};

/// One line of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// Of whom: `broker-dev`, `Apache 4.9.7`, `loopback echo`.
    pub(crate) whose: String,
    /// Name, value and unit.
    pub(crate) values: Vec<(&'static str, f64, &'static str)>,
}

/// All of them, and the ratios that they are for.
#[derive(Debug)]
pub(crate) struct Report {
    quick: bool,
    rows: Vec<Row>,
    ratios: Vec<Ratio>,
    notes: Vec<String>,
}

#[derive(Debug)]
struct Ratio {
    what: String,
    value: f64,
    goal: String,
    is_met: bool,
}

impl Report {
    pub(crate) fn new(quick: bool) -> Self {
        Self { quick, rows: Vec::new(), ratios: Vec::new(), notes: Vec::new() }
    }

    /// Adds a line, and shows it at once.
    pub(crate) fn add(&mut self, row: Row) {
        eprintln!("   {} | {} | {}", row.what, row.whose, values(&row));
        self.rows.push(row);
    }

    /// Adds a ratio that should be at least `goal`.
    pub(crate) fn at_least(&mut self, what: String, value: f64, goal: f64) {
        self.ratio(what, value, format!("≥ {}", number(goal)), value >= goal);
    }

    /// Adds a ratio, or a figure, that should be at most `goal`.
    pub(crate) fn at_most(&mut self, what: String, value: f64, goal: f64) {
        self.ratio(what, value, format!("≤ {}", number(goal)), value <= goal);
    }

    fn ratio(&mut self, what: String, value: f64, goal: String, is_met: bool) {
        let verdict = if is_met { "reached" } else { "MISSED" };
        eprintln!("   => {what}: {} (goal {goal}: {verdict})", number(value));
        self.ratios.push(Ratio { what, value, goal, is_met });
    }

    /// Adds what a reader has to know, such as what is not there.
    pub(crate) fn note(&mut self, note: String) {
        eprintln!("   {note}");
        self.notes.push(note);
    }

    /// One value of a line added before.
    pub(crate) fn value(&self, what: &str, whose: &str, name: &str) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.what == what && row.whose == whose)?;
        row.values.iter().find(|value| value.0 == name).map(|value| value.1)
    }

    /// Prints the table and writes the files asked for.
    #[expect(clippy::print_stdout, reason = "the table is what the program is for")]
    pub(crate) fn publish(&self, json_file: Option<&Path>, markdown_file: Option<&Path>) {
        let markdown = self.markdown();
        println!("{markdown}");
        if let Some(path) = markdown_file {
            fs::write(path, &markdown).unwrap();
        }
        if let Some(path) = json_file {
            fs::write(path, self.json().to_string()).unwrap();
        }
    }

    fn markdown(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{}\n", machine());
        if self.quick {
            text += "Short runs: a trial, not for quoting.\n\n";
        }
        for note in &self.notes {
            let _ = writeln!(text, "{note}\n");
        }
        text += "| Goal | Wanted | Measured | |\n|---|---|---|---|\n";
        for ratio in &self.ratios {
            let verdict = if ratio.is_met { "reached" } else { "**missed**" };
            let value = number(ratio.value);
            let _ = writeln!(text, "| {} | {} | {value} | {verdict} |", ratio.what, ratio.goal);
        }
        text += "\n| Measured | Of | Figures |\n|---|---|---|\n";
        for row in &self.rows {
            let _ = writeln!(text, "| {} | {} | {} |", row.what, row.whose, values(row));
        }
        text
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            let values: serde_json::Map<_, _> = row
                .values
                .iter()
                .map(|(name, value, unit)| (format!("{name} [{unit}]"), json!(value)))
                .collect();
            json!({"what": row.what, "of": row.whose, "values": values})
        };
        let ratio = |ratio: &Ratio| json!({"what": ratio.what, "value": ratio.value, "goal": ratio.goal, "met": ratio.is_met});
        json!({
            "machine": machine(),
            "quick": self.quick,
            "notes": self.notes,
            "goals": self.ratios.iter().map(ratio).collect::<Vec<_>>(),
            "figures": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

fn values(row: &Row) -> String {
    let values = row.values.iter();
    let texts = values.map(|(name, value, unit)| match *unit {
        "µs" if *value >= 1e3 => format!("{name} {} ms", number(value / 1e3)),
        unit => format!("{name} {} {unit}", number(*value)),
    });
    texts.collect::<Vec<_>>().join(" · ").trim_end().to_owned()
}

/// Three digits that matter.
fn number(value: f64) -> String {
    if value >= 1e4 {
        return format!("{:.0} k", value / 1e3);
    }
    let decimals = match value.abs() {
        v if v >= 100.0 => 0,
        v if v >= 10.0 => 1,
        v if v >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.decimals$}")
}

fn machine() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let model = model.map_or("unknown processor", |text| text.trim_start_matches([' ', '\t', ':']));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let cores = thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} × {model}, Linux {}", kernel.trim())
}
