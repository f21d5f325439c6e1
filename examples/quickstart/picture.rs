//! The live picture in a terminal: a bar, the totals, a row for each Pod.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

use console::Term;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use portolan::{Candidate, Time};

use crate::{
    members::{Member, Members},
    story::Step,
    tally::Tally,
    view::Length,
};

/// Lines that are drawn over and over.
#[derive(Debug)]
pub(crate) struct Picture {
    screen: MultiProgress,
    length: Length,
    bar: ProgressBar,
    totals: ProgressBar,
    header: ProgressBar,
    rows: Mutex<BTreeMap<String, ProgressBar>>,
}

/// What stands above the rows: bar, totals, header.
const ABOVE: usize = 3;
/// More rows than this fit into few terminals.
const MAX_ROWS: usize = 16;
/// The width of a row without its first and last column.
const FIGURES: usize = 31;

impl Picture {
    pub(crate) fn open(length: Length) -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        let bar = match length {
            Length::Steps(steps) => ProgressBar::new(steps),
            Length::Time(time) => ProgressBar::new(time.as_secs()),
        };
        let line = |style| screen.add(ProgressBar::new_spinner().with_style(style));
        let bar = screen.add(bar.with_style(style("{bar:8.cyan} {wide_msg}")));
        let (totals, header) = (line(style("{wide_msg}")), line(style("{wide_msg:.dim}")));
        Self {
            screen,
            length,
            bar,
            totals,
            header,
            rows: Mutex::default(),
        }
    }

    pub(crate) fn step(&self, step: Step) {
        self.bar.inc(1);
        self.bar.set_message(step.description());
    }

    /// Draws it as it is at `now`, by the clock of the measurements.
    pub(crate) fn draw(&self, tally: &Tally, members: &Members, now: Time) {
        let (requests, failed) = tally.so_far();
        let elapsed = tally.elapsed();
        if let Length::Time(time) = self.length {
            self.bar.set_position(elapsed.as_secs());
            let of = time.as_secs_f64();
            self.bar
                .set_message(format!("of {of} s, ^C ends it sooner"));
        }
        let seconds = elapsed.as_secs_f64();
        let totals = format!("{seconds:.1} s  {requests} requests  {failed} failed");
        self.totals.set_message(totals);

        let width = usize::from(Term::stdout().size().1);
        let longest = members.present().map(|(name, ..)| name.len()).max();
        let room = longest
            .unwrap_or_default()
            .min(width.saturating_sub(FIGURES))
            .max(3);
        let header = row(room, "Pod", "requests", "in flight", "latency", "address");
        self.header.set_message(header);

        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.retain(|name, row| {
            let is_there = members.present().any(|(other, ..)| other == name);
            if !is_there {
                row.finish_and_clear();
                self.screen.remove(row);
            }
            is_there
        });
        for (name, member, one) in members.present().take(MAX_ROWS) {
            let place = ABOVE + rows.keys().filter(|other| other.as_str() < name).count();
            let row = rows.entry(name.to_owned()).or_insert_with(|| {
                let row = ProgressBar::new_spinner().with_style(style("{wide_msg}"));
                self.screen.insert(place, row)
            });
            row.set_message(member_row(room, name, member, one, now));
        }
    }

    /// Above the picture, to stay.
    pub(crate) fn say(&self, what: impl fmt::Display) {
        // A terminal that is gone is no reason to stop.
        let _ = self.screen.println(what.to_string());
    }

    pub(crate) fn clear(&self) {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let above = [&self.bar, &self.totals, &self.header];
        above
            .into_iter()
            .chain(rows.values())
            .for_each(ProgressBar::finish_and_clear);
        // As above.
        let _ = self.screen.clear();
    }
}

fn member_row(room: usize, name: &str, member: &Member, one: &Candidate, now: Time) -> String {
    let latency = match one.state.latency(now) {
        Some(latency) => format!("{:.1} ms", latency.as_secs_f64() * 1e3),
        None => "-".to_owned(),
    };
    row(
        room,
        name,
        member.counts().requests,
        one.state.in_flight(),
        latency,
        one.endpoint.address(),
    )
}

/// A row that is cut off at the right where there is no room for all of it.
fn row(
    room: usize,
    name: &str,
    requests: impl fmt::Display,
    in_flight: impl fmt::Display,
    latency: impl fmt::Display,
    address: impl fmt::Display,
) -> String {
    let name = tail(name, room);
    format!("{name:<room$} {requests:>8}  {in_flight:>9}  {latency:>8}  {address}")
}

/// The end of a name that has no room: there the names of Pods differ.
fn tail(name: &str, room: usize) -> String {
    let too_many = name.chars().count().saturating_sub(room);
    match too_many {
        0 => name.to_owned(),
        _ => format!("…{}", name.chars().skip(too_many + 1).collect::<String>()),
    }
}

/// The templates are this file's own, and right; a wrong one shows as the plain default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
