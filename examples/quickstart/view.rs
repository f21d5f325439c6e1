//! The live picture: a bar for the story, a row for each Pod. Plain lines where there is no terminal.

use std::{
    collections::BTreeMap,
    io::{IsTerminal, stdout},
    sync::Arc,
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use portolan::Observer;
use tokio::task::JoinHandle;

use crate::tally::Tally;

/// What is shown while the load runs.
#[derive(Debug)]
pub(crate) struct View {
    tally: Arc<Tally>,
    /// `None` where there is no terminal.
    picture: Option<Picture>,
}

#[derive(Debug)]
struct Picture {
    screen: MultiProgress,
    bar: ProgressBar,
    drawing: JoinHandle<()>,
}

const REDRAW: Duration = Duration::from_millis(100);

impl View {
    /// Opens the view. `steps` is how many the story has, if there is one.
    pub(crate) fn open(tally: Arc<Tally>, observer: Observer, steps: Option<u64>) -> Self {
        if !stdout().is_terminal() {
            return Self {
                tally,
                picture: None,
            };
        }
        let screen = MultiProgress::with_draw_target(indicatif::ProgressDrawTarget::stdout());
        let bar = match steps {
            Some(steps) => ProgressBar::new(steps).with_style(style("{bar:24.cyan} {msg}")),
            None => ProgressBar::new_spinner().with_style(style("{spinner} {msg}")),
        };
        let bar = screen.add(bar);
        let rows = Rows {
            screen: screen.clone(),
            rows: BTreeMap::new(),
        };
        let drawing = tokio::spawn(draw(rows, observer, Arc::clone(&tally), bar.clone()));
        Self {
            tally,
            picture: Some(Picture {
                screen,
                bar,
                drawing,
            }),
        }
    }

    /// The next step of the story begins.
    pub(crate) fn step(&self, what: &str) {
        match &self.picture {
            Some(Picture { bar, .. }) => {
                bar.inc(1);
                bar.set_message(what.to_owned());
            }
            None => {
                let counts = self.tally.counts();
                println!(
                    "{:6.1} s  {:>7} requests  {} failed  {what}",
                    self.tally.elapsed().as_secs_f64(),
                    counts.requests(),
                    counts.failures,
                );
            }
        }
    }

    /// Takes the picture away. What is printed afterwards is the last that is seen: a row that was drawn
    /// later would be drawn over it.
    pub(crate) async fn close(self) {
        let Some(Picture {
            screen,
            bar,
            drawing,
        }) = self.picture
        else {
            return;
        };
        drawing.abort();
        // It ends by being aborted; what counts is that it has ended, and its rows with it.
        let _ = drawing.await;
        bar.finish_and_clear();
        let _ = screen.clear();
    }
}

struct Rows {
    screen: MultiProgress,
    rows: BTreeMap<String, ProgressBar>,
}

async fn draw(mut rows: Rows, observer: Observer, tally: Arc<Tally>, bar: ProgressBar) {
    let mut redraw = tokio::time::interval(REDRAW);
    loop {
        redraw.tick().await;
        bar.tick();
        let (view, counts) = (observer.view(), tally.counts());
        for one in view.endpoints() {
            let name = one.endpoint.placement().as_str();
            let answered = counts.pods.get(name).map_or(0, |pod| pod.requests);
            let latency = match one.state.latency(view.taken_at()) {
                Some(latency) => format!("{:5.1} ms peak", latency.as_secs_f64() * 1e3),
                None => "not yet".to_owned(),
            };
            rows.of(name).set_message(format!(
                "{name:<10} {:<21} {answered:>7} requests {:>3} in flight {latency:>13}",
                one.endpoint.address(),
                one.state.in_flight(),
            ));
        }
        rows.rows.retain(|name, row| {
            let is_there = view
                .endpoints()
                .iter()
                .any(|one| one.endpoint.placement().as_str() == name);
            if !is_there {
                row.finish_and_clear();
            }
            is_there
        });
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        self.rows.values().for_each(ProgressBar::finish_and_clear);
    }
}

impl Rows {
    fn of(&mut self, name: &str) -> &ProgressBar {
        // In order of their names, below the bar.
        let place = 1 + self
            .rows
            .keys()
            .filter(|other| other.as_str() < name)
            .count();
        self.rows.entry(name.to_owned()).or_insert_with(|| {
            let row = ProgressBar::new_spinner().with_style(style("  {msg}"));
            self.screen.insert(place, row)
        })
    }
}

/// The templates are this file's own, and right; a wrong one shows as the plain default.
fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
