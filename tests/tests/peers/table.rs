//! The table of all of them.

use std::io::Write as _;

use portolan_scenarios::{
    failure::{Failure, Result},
    steady::Millis,
};

use super::{
    Fault, Played, SLACK,
    channels::{CLIENTS, Client},
};

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<(Fault, Played)>,
}

impl Table {
    pub(crate) fn add(&mut self, fault: Fault, played: Played) {
        self.rows.push((fault, played));
    }

    pub(crate) fn print(&self) -> Result {
        // Not by the macro, whose output a test that passes swallows.
        let mut out = std::io::stdout().lock();
        writeln!(
            out,
            "\n{:22} {:>12} {}",
            "failed of sent, p99, +",
            "no fault",
            CLIENTS
                .map(|client| format!("{:>35}", format!("{client:?}")))
                .concat()
        )?;
        for (fault, played) in &self.rows {
            write!(out, "{:22} {:>12}", fault.name(), Millis(played.calm.p99))?;
            for (before, meanwhile) in &played.clients {
                let usual = before.p99.max(played.calm.p99);
                let more = Millis(meanwhile.p99.saturating_sub(usual));
                let failed = format!("{} of {}", meanwhile.failed, meanwhile.sent);
                write!(
                    out,
                    " {failed:>11} {:>10} {:>11}",
                    Millis(meanwhile.p99),
                    format!("+{more}")
                )?;
            }
            writeln!(out)?;
        }
        Ok(())
    }

    /// What was promised of Portolan.
    pub(crate) fn expect(&self, fault: Fault) -> Result {
        let row = self.rows.iter().find(|(row, _)| *row == fault);
        let (_, played) = row.ok_or_else(|| Failure::new("it was not played"))?;
        let ours = CLIENTS
            .iter()
            .position(|client| *client == Client::Portolan);
        let (before, meanwhile) = ours
            .and_then(|ours| played.clients.get(ours))
            .ok_or_else(|| Failure::new("Portolan was not there"))?;
        let what =
            |what: &dyn std::fmt::Debug| Failure::new(format_args!("{}: {what:?}", fault.name()));
        meanwhile
            .expect_failed_at_most(0)
            .map_err(|failure| what(&failure))?;
        let more = meanwhile
            .p99
            .saturating_sub(before.p99.max(played.calm.p99));
        match more <= fault.adds() + SLACK {
            true => Ok(()),
            false => Err(what(&format_args!("p99 grew by {more:?}"))),
        }
    }
}
