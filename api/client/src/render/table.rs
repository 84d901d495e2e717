//! Aligned columns.

use super::clean;

/// A table with a header line.
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A header that begins with `>` is of a column that is aligned to the right.
    pub fn new(headers: &[&'static str]) -> Self {
        Self { headers: headers.to_vec(), rows: Vec::new() }
    }

    /// One line; a cell for each header.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.iter().map(|cell| clean(cell)).collect());
    }

    /// The text. The last column isn't padded.
    pub fn text(&self) -> String {
        let names: Vec<String> = self.headers.iter().map(|header| header.trim_start_matches('>').to_owned()).collect();
        let widths: Vec<usize> = names
            .iter()
            .enumerate()
            .map(|(column, name)| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells.chain([name]).map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in [&names].into_iter().chain(&self.rows) {
            let cells: Vec<_> = row
                .iter()
                .zip(&widths)
                .zip(&self.headers)
                .map(
                    |((cell, width), header)| {
                        if header.starts_with('>') { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                    },
                )
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }
}

/// Names and values, one pair a line, values aligned.
pub fn pairs(pairs: &[(String, String)]) -> String {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let lines: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{:<width$}  {}\n", clean(name), clean(value))).collect();
    lines.concat()
}
