//! When it looks again, and what of it is news: under paused time, on DNS that is written here.

use std::{pin::Pin, time::Duration};

use futures::{FutureExt, StreamExt};
use hickory_resolver::proto::rr::{Name, RecordType};

use super::*;
use crate::{
    IpFamilies,
    fake::{FakeDns, nothing},
    names,
    resolve::Reading,
    suspicion::Suspicions,
};

const DB: &str = "db.shop.svc.cluster.local";

struct Stage {
    dns: Arc<FakeDns>,
    suspicions: Suspicions,
    rejected: Arc<AtomicU64>,
    news: Pin<Box<dyn Stream<Item = Resolution> + Send>>,
}

impl Stage {
    fn new(options: DnsOptions) -> Self {
        let dns = Arc::new(FakeDns::default());
        let suspicions = Suspicions::default();
        let rejected = Arc::default();
        let service = "db.shop:80".parse().unwrap();
        let news = follow(Follow {
            resolver: Resolver {
                asker: Arc::clone(&dns),
                reading: Reading {
                    families: IpFamilies::V4Only,
                    allow_loopback: false,
                    max_records: 1000,
                },
            },
            question: Question::Service {
                service,
                name: db(),
            },
            schedule: Schedule::new(options.clone(), fastrand::Rng::with_seed(1)),
            options,
            suspicion: Some(suspicions.subscribe(&db())),
            rejected_total: Arc::clone(&rejected),
        });
        Self {
            dns,
            suspicions,
            rejected,
            news: Box::pin(news),
        }
    }

    /// The news, and how long it took.
    async fn next(&mut self) -> (Resolution, Duration) {
        let start = Instant::now();
        let news = self.news.next().await.expect("it never ends");
        (news, start.elapsed())
    }

    async fn present(&mut self) -> EndpointSet {
        match self.next().await.0 {
            Resolution::Present(set) => set,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time go by without any news. How often it looked meanwhile.
    async fn quiet(&mut self, time: Duration) -> usize {
        self.dns.take_asked();
        let news = timeout(time, self.news.next()).await;
        assert!(news.is_err(), "{news:?}");
        self.dns.take_asked().len()
    }
}

fn db() -> Name {
    names::host(DB).unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn exact() -> DnsOptions {
    DnsOptions::default().jitter(0.0)
}

/// Timers of tokio's are exact to a millisecond.
fn is_about(took: Duration, expected: Duration) -> bool {
    took >= expected && took <= expected + Duration::from_millis(2)
}

#[tokio::test(start_paused = true)]
async fn nothing_is_asked_before_the_first_poll_nor_after_the_stream_is_dropped() {
    let mut stage = Stage::new(exact());
    tokio::time::sleep(secs(60)).await;
    assert!(stage.dns.take_asked().is_empty());
    stage.dns.set_addresses(DB, &["10.0.0.1"]);
    stage.present().await;
    assert_eq!(stage.dns.take_asked().len(), 1);
    drop(stage.news);
    tokio::time::sleep(secs(60)).await;
    assert!(stage.dns.take_asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn it_looks_again_when_the_answer_expires_and_says_only_what_is_new() {
    let mut stage = Stage::new(exact());
    stage.dns.set_addresses(DB, &["10.0.0.1", "10.0.0.2"]);
    let first = stage.present().await;
    // A TTL of 5 s; the same in another order is no news.
    stage.dns.set_addresses(DB, &["10.0.0.2", "10.0.0.1"]);
    assert_eq!(stage.quiet(secs(51)).await, 10);
    stage.dns.set_addresses(DB, &["10.0.0.2", "10.0.0.3"]);
    let (news, took) = stage.next().await;
    assert!(took <= secs(5), "{took:?}");
    let Resolution::Present(second) = news else {
        panic!()
    };
    assert!(Arc::ptr_eq(&first[1], &second[0]), "what stays is shared");
}

#[tokio::test(start_paused = true)]
async fn absent_empty_and_failed_are_three_things_and_each_is_said_once() {
    let mut stage = Stage::new(exact());
    let (news, _) = stage.next().await;
    assert!(matches!(news, Resolution::Absent), "{news:?}");
    assert_eq!(stage.quiet(secs(16)).await, 3);
    stage.dns.set(DB, RecordType::A, nothing(true));
    assert!(stage.present().await.is_empty());
    stage.quiet(secs(16)).await;
    for kind in [
        SourceErrorKind::Unavailable,
        SourceErrorKind::Forbidden,
        SourceErrorKind::Corrupt,
    ] {
        stage.dns.fail(DB, RecordType::A, kind);
        let (news, _) = stage.next().await;
        assert!(
            matches!(&news, Resolution::Failed(error) if error.kind() == kind),
            "{news:?}"
        );
        stage.quiet(secs(30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_the_same_set_is_news_and_the_very_same() {
    let mut stage = Stage::new(exact());
    stage.dns.set_addresses(DB, &["10.0.0.1"]);
    let before = stage.present().await;
    stage
        .dns
        .fail(DB, RecordType::A, SourceErrorKind::Unavailable);
    assert!(matches!(stage.next().await.0, Resolution::Failed(_)));
    stage.dns.set_addresses(DB, &["10.0.0.1"]);
    assert!(stage.present().await.is_same(&before));
}

#[tokio::test(start_paused = true)]
async fn failures_are_retried_with_a_backoff() {
    let options = exact().backoff(secs(1), secs(8));
    let mut stage = Stage::new(options);
    stage
        .dns
        .fail(DB, RecordType::A, SourceErrorKind::Unavailable);
    stage.next().await;
    // 1, 2, 4, 8, 8 … s, of which half is chance.
    let looks = stage.quiet(secs(80)).await;
    assert!((11..=21).contains(&looks), "{looks}");
}

#[tokio::test(start_paused = true)]
async fn a_resolution_has_a_deadline() {
    let mut stage = Stage::new(exact().deadline(secs(3)));
    stage.dns.set_delay(secs(3600));
    let (news, took) = stage.next().await;
    assert!(is_about(took, secs(3)), "{took:?}");
    let Resolution::Failed(error) = news else {
        panic!()
    };
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    assert!(error.to_string().contains("within 3s"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_is_looked_into_at_once_but_not_too_often() {
    let options = exact()
        .suspect_interval(secs(2))
        .refresh_between(secs(30), secs(30));
    let mut stage = Stage::new(options);
    stage.dns.set_addresses(DB, &["10.0.0.1"]);
    stage.present().await;
    stage.quiet(secs(10)).await;
    stage.dns.set_addresses(DB, &["10.0.0.2"]);
    stage.suspicions.suspect(&db());
    let (_, took) = stage.next().await;
    assert_eq!(took, Duration::ZERO, "the last look was long ago");

    stage.dns.set_addresses(DB, &["10.0.0.3"]);
    stage.suspicions.suspect(&db());
    let (_, took) = stage.next().await;
    assert!(is_about(took, secs(2)), "{took:?}");

    // However many connections fail, it is one look in 2 s.
    stage.dns.take_asked();
    for _ in 0..100 {
        stage.suspicions.suspect(&db());
        assert!(
            timeout(Duration::from_millis(100), stage.news.next())
                .await
                .is_err()
        );
    }
    let looks = stage.dns.take_asked().len();
    assert!((4..=5).contains(&looks), "{looks}");
    // And when none does, it is the TTL again.
    stage.quiet(secs(4)).await;
    assert_eq!(stage.quiet(secs(20)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_suspicion_does_not_press_a_server_that_fails() {
    let options = exact()
        .suspect_interval(secs(1))
        .backoff(secs(20), secs(20));
    let mut stage = Stage::new(options);
    stage
        .dns
        .fail(DB, RecordType::A, SourceErrorKind::Unavailable);
    stage.next().await;
    stage.suspicions.suspect(&db());
    assert_eq!(stage.quiet(secs(9)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_out_is_counted_when_it_changes_and_never_empties_the_list() {
    let mut stage = Stage::new(exact());
    let count = |stage: &Stage| stage.rejected.load(Ordering::Relaxed);
    stage.dns.set_addresses(DB, &["10.0.0.1", "127.0.0.1"]);
    assert_eq!(stage.present().await.len(), 1);
    assert_eq!(count(&stage), 1);
    stage.quiet(secs(60)).await;
    assert_eq!(count(&stage), 1, "the same again is not counted again");
    stage.dns.set_addresses(DB, &["127.0.0.1", "127.0.0.2"]);
    let (news, _) = stage.next().await;
    let Resolution::Failed(error) = news else {
        panic!("{news:?}")
    };
    assert_eq!(error.kind(), SourceErrorKind::Corrupt);
    assert_eq!(count(&stage), 3);
    stage.dns.set_addresses(DB, &["10.0.0.1"]);
    assert_eq!(stage.present().await.len(), 1);
}

#[test]
fn without_a_runtime_it_fails_and_says_so_once() {
    let mut stage = Stage::new(exact());
    let news = stage.news.next().now_or_never().flatten();
    let Some(Resolution::Failed(error)) = news else {
        panic!("{news:?}")
    };
    assert_eq!(error.kind(), SourceErrorKind::Invalid);
    assert!(error.to_string().contains("Tokio runtime"), "{error}");
    assert!(stage.news.next().now_or_never().is_none());
}
