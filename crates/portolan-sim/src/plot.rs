//! The tails as a plot, in text: a line for each policy, on a logarithmic scale.
//!
//! `●` is the median, `┃` the 99th percentile, and the line goes to the 99.9th.

use std::{fmt, time::Duration};

use crate::comparison::{Row, scenarios};

/// The rows of a comparison, as a plot.
#[derive(Clone, Copy, Debug)]
pub struct Plot<'a>(pub &'a [Row]);

/// The scale: three decades, from a millisecond to a second.
const DECADES: f64 = 3.0;
/// A decade is so wide.
const WIDTH: f64 = 25.0;

impl fmt::Display for Plot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rows in scenarios(self.0) {
            let Some(first) = rows.first() else {
                continue;
            };
            writeln!(f, "\n{} at {} of capacity", first.fault, first.load)?;
            for row in rows {
                let at = |quantile| column(row.outcome.latency(quantile));
                let line = line(at(0.5), at(0.99), at(0.999));
                let errors = row.outcome.errors() * 100.0;
                writeln!(f, "{:17}{line} {errors:.1}% errors", row.policy)?;
            }
            writeln!(f, "{:17}{}", "", scale())?;
        }
        Ok(())
    }
}

fn column(latency: Duration) -> usize {
    let decades = (latency.as_secs_f64() * 1e3).max(1.0).log10();
    (decades.min(DECADES) * WIDTH) as usize
}

fn line(median: usize, tail: usize, end: usize) -> String {
    let last = (DECADES * WIDTH) as usize;
    let column = |column| match column {
        _ if column == tail => '┃',
        _ if column == median => '●',
        _ if column > median && column <= end => '─',
        _ => ' ',
    };
    (0..=last).map(column).collect()
}

fn scale() -> String {
    let width = WIDTH as usize;
    let decades = ["1 ms", "10 ms", "100 ms"];
    let decades = decades.map(|decade| format!("╵{decade:<after$}", after = width - 1));
    decades.concat() + "╵1 s"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ten_times_as_long_is_as_far_again() {
        let millis = Duration::from_millis;
        assert_eq!(
            [1, 10, 100, 1_000].map(|ms| column(millis(ms))),
            [0, 25, 50, 75]
        );
        assert_eq!(column(Duration::ZERO), 0);
        assert_eq!(column(Duration::MAX), 75);
        assert!(line(1, 3, 5).starts_with(" ●─┃── "));
        let marks = scale();
        let marks = marks.chars().enumerate().filter(|(_, mark)| *mark == '╵');
        assert!(marks.map(|(at, _)| at).eq([0, 25, 50, 75]));
    }
}
