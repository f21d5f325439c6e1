//! The figures of a comparison in columns.

use std::{fmt, time::Duration};

use crate::comparison::{Row, scenarios};

/// The rows of a comparison, as text.
#[derive(Clone, Copy, Debug)]
pub struct Table<'a>(pub &'a [Row]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for rows in scenarios(self.0) {
            let Some(first) = rows.first() else {
                continue;
            };
            let scenario = format!("{} at {}", first.fault, first.load);
            let [p50, p99, p999] = ["p50", "p99", "p99.9"];
            writeln!(
                f,
                "\n{scenario:20}{p50:>10}{p99:>10}{p999:>10}{:>10}",
                "errors"
            )?;
            for row in rows {
                let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|q| millis(row.outcome.latency(q)));
                let errors = row.outcome.errors() * 100.0;
                writeln!(
                    f,
                    "{:20}{p50:>10}{p99:>10}{p999:>10}{errors:>9.2}%",
                    row.policy
                )?;
            }
        }
        Ok(())
    }
}

fn millis(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1e3)
}
