//! Figures beside their goals.

use std::io::{self, Write};

use crate::Cost;

/// The figures of one bench, in the order in which they were found.
#[derive(Debug)]
pub struct Figures {
    bench: &'static str,
    rows: Vec<[String; 4]>,
}

/// What a figure should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// This, or less.
    AtMost(f64),
    /// Nothing: it is only told.
    None,
}

impl Figures {
    /// No figures yet.
    #[must_use]
    pub fn new(bench: &'static str) -> Self {
        Self {
            bench,
            rows: Vec::new(),
        }
    }

    /// Adds a figure, measured in `unit`. `None` is one that could not be measured, and meets no goal.
    pub fn add(
        &mut self,
        figure: impl Into<String>,
        measured: Option<f64>,
        unit: &str,
        goal: Goal,
    ) {
        let with_unit = |number: f64| format!("{} {unit}", digits(number)).trim_end().to_owned();
        let (expected, verdict) = match (goal, measured) {
            (Goal::None, _) => (String::new(), ""),
            (Goal::AtMost(most), Some(measured)) if measured <= most => (with_unit(most), "met"),
            (Goal::AtMost(most), _) => (with_unit(most), "NOT MET"),
        };
        self.rows.push([
            figure.into(),
            measured.map_or_else(|| "not measured".to_owned(), with_unit),
            expected,
            verdict.to_owned(),
        ]);
    }

    /// Adds a cost per turn, with its middle half.
    pub fn add_cost(&mut self, cost: &Cost) {
        let spread = match cost.quartiles {
            Some((low, high)) => format!(" [{} to {}]", digits(low), digits(high)),
            None => String::new(),
        };
        let figure = format!("{}{spread}, {} runs", cost.name, cost.runs);
        self.add(figure, cost.median, "ns", Goal::None);
    }

    /// Prints them as a table.
    ///
    /// # Errors
    /// Where there is nobody to print for.
    pub fn print(&self) -> io::Result<()> {
        let mut out = io::stdout().lock();
        writeln!(out, "\n== figures: {}", self.bench)?;
        let head = ["figure", "measured", "goal", ""].map(str::to_owned);
        let widths: [usize; 4] = std::array::from_fn(|column| {
            std::iter::once(&head)
                .chain(&self.rows)
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or_default()
        });
        for row in std::iter::once(&head).chain(&self.rows) {
            let [figure, measured, goal, verdict] = row;
            let [w0, w1, w2, _] = widths;
            let line = format!("{figure:<w0$}  {measured:>w1$}  {goal:>w2$}  {verdict}");
            writeln!(out, "{}", line.trim_end())?;
        }
        out.flush()
    }
}

/// Three digits that count.
fn digits(number: f64) -> String {
    let whole = number.abs().max(f64::MIN_POSITIVE).log10().floor() as i32 + 1;
    let decimals = (3 - whole.max(0)).clamp(0, 3) as usize;
    if number.fract() == 0.0 {
        format!("{number}")
    } else {
        format!("{number:.decimals$}")
    }
}

#[cfg(test)]
mod tests {
    use super::digits;

    #[test]
    fn three_digits_count() {
        let numbers = [0.125, 1.0, 1.23456, 12.3456, 123.456, 1234.56].map(digits);
        assert_eq!(numbers, ["0.125", "1", "1.23", "12.3", "123", "1235"]);
    }
}
