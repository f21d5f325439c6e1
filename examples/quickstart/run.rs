//! A load and a view of it, from the start to the summary.

use std::sync::Arc;

use portolan::Observer;

use crate::{
    Client, Result,
    arguments::Arguments,
    follow::Follower,
    load::Load,
    output::Output,
    summary::Summary,
    tally::Tally,
    view::{Length, View},
};

/// A client under load, and what is seen of it.
#[derive(Debug)]
pub(crate) struct Run {
    tally: Arc<Tally>,
    observer: Observer,
    view: View,
    load: Load,
}

impl Run {
    pub(crate) fn start(
        arguments: &Arguments,
        client: Client,
        output: &Output,
        length: Length,
    ) -> Result<Self> {
        let tally = Arc::new(Tally::new()?);
        let observer = client.observe();
        let view = View::open(output, Arc::clone(&tally), observer.clone(), length);
        let path = arguments.path.clone();
        let load = Load::start(client, path, arguments.rate, Arc::clone(&tally));
        Ok(Self {
            tally,
            observer,
            view,
            load,
        })
    }

    pub(crate) fn view(&self) -> &View {
        &self.view
    }

    /// Stops it and tells what came of it: an error if any request failed, so that a script can tell.
    pub(crate) async fn end(self, follower: Follower, output: &Output) -> Result<()> {
        let elapsed = self.tally.elapsed();
        let followed = follower.finish();
        // How it was reached cannot be asked once the load, and the client with it, is gone.
        let reach = self.observer.view().reach();
        self.load.stop().await;
        let members = self.view.close().await;
        let counts = self.tally.counts();
        let failures = counts.failures;
        let summary = Summary {
            counts,
            elapsed,
            members,
            reach,
            followed,
        };
        summary.print(output);
        match failures {
            0 => Ok(()),
            1 => Err("a request failed".into()),
            failures => Err(format!("{failures} requests failed").into()),
        }
    }
}

/// Waits for ^C.
pub(crate) async fn interrupted() -> Result<()> {
    Ok(tokio::signal::ctrl_c().await?)
}
