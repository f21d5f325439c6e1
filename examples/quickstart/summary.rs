//! What came of it all.

use std::{collections::BTreeMap, time::Duration};

use portolan::Reach;

use crate::{
    follow::{Report, Since},
    lags::Kind,
    load::MAX_UNDER_WAY,
    members,
    output::Output,
    tally,
};

/// All that is known at the end.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) counts: tally::Counts,
    pub(crate) elapsed: Duration,
    pub(crate) members: BTreeMap<String, members::Counts>,
    pub(crate) reach: Reach,
    pub(crate) followed: Report,
}

impl Summary {
    pub(crate) fn print(&self, output: &Output) {
        output.line("");
        self.print_members(output);
        output.line("");
        self.print_requests(output);
        output.line("");
        self.print_lags(output);
    }

    fn print_members(&self, output: &Output) {
        let names = self.members.keys().map(String::len);
        let room = names.max().unwrap_or_default().max(8);
        output.line(format_args!(
            "{:<room$} {:>9} {:>7} {:>7}",
            "Pod", "requests", "share", "failed"
        ));
        let sent: u64 = self.members.values().map(|one| one.requests).sum();
        for (name, one) in &self.members {
            let share = 100.0 * one.requests as f64 / sent.max(1) as f64;
            let members::Counts { requests, failures } = one;
            output.line(format_args!(
                "{name:<room$} {requests:>9} {share:>6.1}% {failures:>7}"
            ));
        }
        let tries: u64 = self.members.values().map(|one| one.failures).sum();
        let again = tries.saturating_sub(self.counts.failures);
        match again {
            0 => {}
            1 => output.line("1 try failed, and was sent again\nto another Pod"),
            _ => output.line(format_args!(
                "{again} tries failed, and were sent again\nto another Pod"
            )),
        }
    }

    fn print_requests(&self, output: &Output) {
        let counts = &self.counts;
        let (requests, seconds) = (counts.requests(), self.elapsed.as_secs_f64());
        output.line(format_args!("requests  {requests} in {seconds:.1} s"));
        for (status, times) in &counts.statuses {
            output.line(format_args!("answers   {times} were {status}"));
        }
        if counts
            .statuses
            .keys()
            .any(|status| status.is_client_error())
        {
            output.line("          (--path asks for something else)");
        }
        if !counts.latency_micros.is_empty() {
            let (p50, p99) = (counts.latency(0.5), counts.latency(0.99));
            output.line(format_args!("latency   p50 {p50:.1} ms, p99 {p99:.1} ms"));
        }
        output.line(format_args!("failures  {}", counts.failures));
        if let Some(failure) = &counts.first_failure {
            output.line(format_args!("          the first: {failure}"));
        }
        if counts.left_out > 0 {
            output.line(format_args!(
                "left out  {}, while {MAX_UNDER_WAY} were under way",
                counts.left_out
            ));
        }
        if self.reach != Reach::Pods {
            output.line(format_args!(
                "reach     {:?}, not the Pods: nothing could be chosen among these",
                self.reach
            ));
        }
    }

    /// How long after each kind of change.
    fn print_lags(&self, output: &Output) {
        let mut kinds: BTreeMap<Kind, (Vec<Duration>, usize)> = BTreeMap::new();
        for (kind, lag) in &self.followed.lags {
            let (lags, missed) = kinds.entry(*kind).or_default();
            match lag {
                Some(lag) => lags.push(*lag),
                None => *missed += 1,
            }
        }
        if kinds.is_empty() {
            return output.line("No Pod came or left meanwhile.");
        }
        let since = match self.followed.since {
            Since::Pod => "How long after a Pod's change the\nclient went by it:",
            Since::Slice => {
                "How long after the API server announced\na change the client went by it:"
            }
        };
        output.line(since);
        output.line(format_args!(
            "{:<15} {:>4} {:>9} {:>9}",
            "", "Pods", "p50", "p99"
        ));
        for (kind, (mut lags, missed)) in kinds {
            lags.sort_unstable();
            let (label, pods) = (kind.label(), lags.len());
            if let (Some(p50), Some(p99)) = (percentile(&lags, 50), percentile(&lags, 99)) {
                output.line(format_args!(
                    "{label:<15} {pods:>4} {p50:>6.2} ms {p99:>6.2} ms"
                ));
            }
            if missed > 0 {
                output.line(format_args!("{label:<15} {missed:>4} not yet"));
            }
        }
    }
}

/// Within how many milliseconds so many of a hundred came; `None` of nothing.
fn percentile(sorted: &[Duration], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    let lag = sorted.get(rank.checked_sub(1)?)?;
    Some(lag.as_secs_f64() * 1e3)
}
