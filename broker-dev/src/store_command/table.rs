//! Plain tables: no colours, no lines that a pipe would choke on.

use comfy_table::{CellAlignment, Table, presets};

/// A table with these headings; numbers stand to the right in the columns from `numbers` on.
pub(super) fn new(headings: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(headings.iter().copied());
    for (number, column) in table.column_iter_mut().enumerate() {
        column.set_padding((if number == 0 { 2 } else { 0 }, 2));
        if number >= numbers {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// The table's lines without blanks at their ends.
pub(super) fn text(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}
