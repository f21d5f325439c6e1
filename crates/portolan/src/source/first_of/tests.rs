//! With streams and a clock; the decisions have tests of their own.

use std::sync::atomic::{AtomicUsize, Ordering};

use futures::FutureExt;
use portolan_core::{Endpoint, EndpointSet, Placement, SourceError, SourceErrorKind};

use super::*;
use crate::source::{Channel, Teller, channel};

/// Counts who follows it.
#[derive(Clone, Debug)]
struct Counted {
    channel: Channel,
    watches: Arc<AtomicUsize>,
    live: Arc<AtomicUsize>,
}

struct Live(Arc<AtomicUsize>);

impl Drop for Live {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Source for Counted {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        self.watches.fetch_add(1, Ordering::Relaxed);
        self.live.fetch_add(1, Ordering::Relaxed);
        let live = Live(Arc::clone(&self.live));
        self.channel
            .watch(service)
            .inspect(move |_| {
                let _ = &live;
            })
            .boxed()
    }
}

fn counted() -> (Teller, Counted) {
    let (teller, channel) = channel();
    let counted = Counted {
        channel,
        watches: Arc::default(),
        live: Arc::default(),
    };
    (teller, counted)
}

fn endpoints(told_uid: bool) -> EndpointSet {
    let endpoint = |nth: u8| {
        let address = format!("10.0.0.{nth}:80").parse().unwrap();
        let endpoint = Endpoint::new(Placement::new(format!("db-{nth}")), address);
        match told_uid {
            true => endpoint.with_uid(format!("uid-{nth}")),
            false => endpoint,
        }
    };
    (0..3).map(endpoint).collect()
}

fn refused() -> Resolution {
    Resolution::Failed(SourceError::new(SourceErrorKind::Unavailable, "refused"))
}

#[tokio::test(start_paused = true)]
async fn the_second_serves_the_same_pods_and_is_let_go_of() {
    let (kube, first) = counted();
    let (dns, second) = counted();
    dns.tell(Resolution::Present(endpoints(false)));
    let source = first_of(first.clone(), second.clone());
    let mut stream = source.watch(&"db.shop".parse().unwrap());
    assert!(stream.next().now_or_never().is_none());
    kube.tell(Resolution::Present(endpoints(true)));
    let Some(Resolution::Present(before)) = stream.next().await else {
        panic!("no list");
    };
    assert_eq!(second.watches.load(Ordering::Relaxed), 0);

    kube.tell(refused());
    let failed_at = tokio::time::Instant::now();
    assert!(matches!(stream.next().await, Some(Resolution::Failed(_))));
    let by_dns = loop {
        if let Some(Resolution::Present(set)) = stream.next().await {
            break set;
        }
    };
    assert_eq!(failed_at.elapsed().as_secs(), 5);
    assert_eq!(second.live.load(Ordering::Relaxed), 1);
    for (before, after) in before.iter().zip(by_dns.iter()) {
        assert!(Arc::ptr_eq(before, after));
    }

    kube.tell(Resolution::Present(endpoints(true)));
    let back_at = tokio::time::Instant::now();
    assert!(matches!(stream.next().await, Some(Resolution::Present(_))));
    assert_eq!(back_at.elapsed().as_secs(), 10);
    assert_eq!(second.live.load(Ordering::Relaxed), 0);
    assert_eq!(first.watches.load(Ordering::Relaxed), 1);
    drop(stream);
    assert_eq!(first.live.load(Ordering::Relaxed), 0);
}

/// A source that gives up at once.
#[derive(Debug)]
struct Ended;

impl Source for Ended {
    fn watch(&self, _: &ServiceRef) -> BoxStream<'static, Resolution> {
        stream::empty().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn sources_that_end_have_failed_and_the_stream_goes_on() {
    let (last, third) = channel();
    let source = first_of(Ended, Ended).or(third);
    let mut stream = source.watch(&"db.shop".parse().unwrap());
    let said = stream.next().await;
    let Some(Resolution::Failed(error)) = said else {
        panic!("{said:?}");
    };
    let text = error.to_string();
    assert!(
        text.starts_with("first source: the source has ended"),
        "{text}"
    );
    assert!(text.ends_with("third source: no word yet"), "{text}");
    assert!(stream.next().now_or_never().is_none());
    last.tell(Resolution::Present(endpoints(false)));
    assert!(matches!(stream.next().await, Some(Resolution::Present(_))));
}
