//! What is seen while the load runs: a picture in a terminal, else a line a second and one a change.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use portolan::{Freshness, Observer};
use tokio::{task::JoinHandle, time::interval};

use crate::{
    members::{Change, Members},
    output::Output,
    picture::Picture,
    story::Step,
    tally::Tally,
};

/// Shows who gets requests and how many, until it is closed.
#[derive(Debug)]
pub(crate) struct View {
    shown: Arc<Shown>,
    observer: Observer,
    showing: JoinHandle<()>,
}

#[derive(Debug)]
struct Shown {
    tally: Arc<Tally>,
    members: Mutex<Members>,
    output: Output,
    /// `None` where there is no terminal.
    picture: Option<Picture>,
}

/// How long it lasts, for the bar of the picture.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Length {
    Steps(u64),
    Time(Duration),
}

const REDRAW: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(1);
/// Of more changes at once than these only the number is told.
const MAX_TOLD: usize = 8;

impl View {
    pub(crate) fn open(
        output: &Output,
        tally: Arc<Tally>,
        observer: Observer,
        length: Length,
    ) -> Self {
        let shown = Arc::new(Shown {
            tally,
            members: Mutex::default(),
            output: output.clone(),
            picture: output.is_terminal().then(|| Picture::open(length)),
        });
        let showing = tokio::spawn(show(Arc::clone(&shown), observer.clone()));
        Self {
            shown,
            observer,
            showing,
        }
    }

    /// The next step of the story begins.
    pub(crate) fn step(&self, step: Step) {
        match &self.shown.picture {
            Some(picture) => picture.step(step),
            None => self.shown.line(format_args!("== {}", step.description())),
        }
    }

    /// Takes the picture away, and tells what all got. What is printed afterwards is the last that is
    /// seen: a row that was drawn later would be drawn over it.
    pub(crate) async fn close(self) -> BTreeMap<String, crate::members::Counts> {
        self.showing.abort();
        // It ends by being aborted; what counts is that it has ended.
        let _ = self.showing.await;
        if let Some(picture) = &self.shown.picture {
            picture.clear();
        }
        let mut members = self.shown.members();
        members.update(&self.observer.view());
        let all = members.all();
        all.map(|(name, member)| (name.to_owned(), member.counts()))
            .collect()
    }
}

async fn show(shown: Arc<Shown>, mut observer: Observer) {
    let mut tick = interval(match shown.picture {
        Some(_) => REDRAW,
        None => LINE,
    });
    // Right after the start there is nothing to tell.
    tick.tick().await;
    let mut was_stale = false;
    let mut last = 0;
    loop {
        tokio::select! {
            view = observer.changed() => {
                let Some(view) = view else { return };
                let changes = shown.members().update(&view);
                shown.changed(&changes);
                let stale = match view.freshness() {
                    Freshness::Stale { error, .. } => Some(error),
                    _ => None,
                };
                if let (false, Some(error)) = (was_stale, stale) {
                    shown.say(format_args!("the API server cannot be followed, what it said last holds: {error}"));
                }
                was_stale = stale.is_some();
            }
            _ = tick.tick() => match &shown.picture {
                Some(picture) => picture.draw(&shown.tally, &shown.members(), observer.view().taken_at()),
                None => {
                    let (requests, failed) = shown.tally.so_far();
                    let pods = shown.members().present().count();
                    shown.line(format_args!(
                        "{requests} requests (+{}), {failed} failed, {pods} Pods",
                        requests - last
                    ));
                    last = requests;
                }
            }
        }
    }
}

impl Shown {
    fn changed(&self, changes: &[Change]) {
        // In the picture a row comes or goes.
        if self.picture.is_some() {
            return;
        }
        if changes.len() > MAX_TOLD {
            let came = changes.iter().filter(|change| change.came).count();
            let left = changes.len() - came;
            return self.line(format_args!("{came} Pods are in use now, {left} no more"));
        }
        for change in changes {
            let Change { name, address, .. } = change;
            match change.came {
                true => self.line(format_args!("+ {name} ({address}) gets requests")),
                false => self.line(format_args!("- {name} ({address}) gets no more requests")),
            }
        }
    }

    /// One of the plain lines, with the time.
    fn line(&self, what: impl std::fmt::Display) {
        let seconds = self.tally.elapsed().as_secs_f64();
        self.output.line(format_args!("{seconds:6.2} s  {what}"));
    }

    /// Something that must be seen in a terminal, too.
    fn say(&self, what: impl std::fmt::Display) {
        match &self.picture {
            Some(picture) => picture.say(what),
            None => self.line(what),
        }
    }

    fn members(&self) -> MutexGuard<'_, Members> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
