use std::{sync::Arc, time::Duration};

use futures::{FutureExt, poll};
use tokio::{sync::Semaphore, time::sleep};
use tower::{Layer, Service, ServiceExt, service_fn};

use super::*;

const MS: Duration = Duration::from_millis(1);

/// A service that answers when it is let go on.
fn held(
    admission: Admission,
) -> (
    impl Service<(), Response = (), Error = AdmissionError<BuildError>> + Clone,
    Arc<Semaphore>,
) {
    let go_on = Arc::new(Semaphore::new(0));
    let inner = Arc::clone(&go_on);
    let service = service_fn(move |(): ()| {
        let go_on = Arc::clone(&inner);
        async move {
            go_on.acquire().await.unwrap().forget();
            Ok::<_, BuildError>(())
        }
    });
    (admission.layer().unwrap().layer(service), go_on)
}

#[tokio::test(start_paused = true)]
async fn what_is_too_many_is_told_at_once_and_the_first_in_the_queue_goes_first() {
    let (service, go_on) = held(Admission::at_most(2).queue(2, 100 * MS));
    let mut asks: Vec<_> = (0..4)
        .map(|_| Box::pin(service.clone().oneshot(())))
        .collect();
    for ask in &mut asks {
        assert!(poll!(ask).is_pending());
    }
    let shed = service.clone().oneshot(()).now_or_never().unwrap();
    assert!(matches!(
        shed,
        Err(AdmissionError::Shed(ShedReason::QueueFull))
    ));
    go_on.add_permits(3);
    let (mut third, mut fourth) = (asks.swap_remove(2), asks.pop().unwrap());
    for ask in asks {
        ask.await.unwrap();
    }
    third.as_mut().await.unwrap();
    assert!(poll!(&mut fourth).is_pending());
    go_on.add_permits(1);
    fourth.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_is_told_so_and_who_is_dropped_leaves_a_place() {
    let (service, go_on) = held(Admission::at_most(1).queue(1, 100 * MS));
    let mut first = Box::pin(service.clone().oneshot(()));
    assert!(poll!(&mut first).is_pending());
    let began = tokio::time::Instant::now();
    let late = service.clone().oneshot(()).await;
    assert!(matches!(
        late,
        Err(AdmissionError::Shed(ShedReason::WaitedTooLong))
    ));
    assert!(began.elapsed() >= 100 * MS && began.elapsed() < 103 * MS);
    let mut waits = Box::pin(service.clone().oneshot(()));
    assert!(poll!(&mut waits).is_pending());
    drop(waits);
    drop(first);
    go_on.add_permits(1);
    service.oneshot(()).await.unwrap();
}

#[test]
fn where_there_is_no_runtime_nobody_waits_and_nothing_panics() {
    let layer = Admission::at_most(1).queue(1, 100 * MS).layer().unwrap();
    let mut busy = layer.layer(service_fn(|(): ()| {
        std::future::pending::<Result<(), BuildError>>()
    }));
    let mut first = Box::pin(busy.call(()));
    assert!((&mut first).now_or_never().is_none());
    let second = busy.call(()).now_or_never().unwrap();
    assert!(matches!(
        second,
        Err(AdmissionError::Shed(ShedReason::QueueFull))
    ));
}

/// Endpoints that work on so many at once, for 10 ms each; the rest queue there.
#[tokio::test(start_paused = true)]
async fn an_adaptive_limit_follows_what_can_be_served() {
    let served = Arc::new(Semaphore::new(20));
    let at_work = Arc::clone(&served);
    let service = service_fn(move |(): ()| {
        let at_work = Arc::clone(&at_work);
        async move {
            let _place = at_work.acquire().await.unwrap();
            sleep(10 * MS).await;
            Ok::<_, BuildError>(())
        }
    });
    let layer = Admission::adaptive(Gradient::new().with_range(5, 500))
        .layer()
        .unwrap();
    let service = layer.layer(service);
    let load = async |clients: usize, seconds: u64| {
        let until = tokio::time::Instant::now() + Duration::from_secs(seconds);
        let clients: Vec<_> = (0..clients)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(async move {
                    let (mut served, mut shed) = (0, 0);
                    while tokio::time::Instant::now() < until {
                        match service.clone().oneshot(()).await {
                            Ok(()) => served += 1,
                            Err(_) => {
                                shed += 1;
                                sleep(10 * MS).await;
                            }
                        }
                    }
                    (served, shed)
                })
            })
            .collect();
        let mut sum = (0, 0);
        for client in clients {
            let (served, shed) = client.await.unwrap();
            sum = (sum.0 + served, sum.1 + shed);
        }
        sum
    };
    load(120, 10).await;
    let (served, shed) = load(120, 4).await;
    // Twenty at once, a hundred times a second, for four seconds: nearly all of that is used.
    assert!(served > 7_000, "{served}");
    assert!(shed > 2_000, "{shed}");
    let limit = layer.limit();
    assert!((20..=70).contains(&limit), "{limit}");
}

/// Endpoints that have too much to do say so by time-outs, which are late, and by errors, which are soon.
#[tokio::test(start_paused = true)]
async fn what_ends_badly_lets_in_no_more_and_what_is_late_lets_in_fewer() {
    let layer = Admission::adaptive(Gradient::new().with_range(5, 500))
        .layer()
        .unwrap();
    let of = |time: Duration, well: bool| {
        layer.layer(service_fn(move |(): ()| async move {
            sleep(time).await;
            match well {
                true => Ok(()),
                false => Err("no"),
            }
        }))
    };
    let load = async |service: Admitted<_>, seconds: u32| {
        let until = tokio::time::Instant::now() + Duration::from_secs(1) * seconds;
        while tokio::time::Instant::now() < until {
            let asks = (0..layer.limit()).map(|_| service.clone().oneshot(()));
            futures::future::join_all(asks).await;
        }
        layer.limit()
    };
    let found = load(of(10 * MS, true), 10).await;
    assert!(found > 20, "{found}");
    let after_errors = load(of(MS, false), 2).await;
    assert!(after_errors <= 2 * found, "{found} {after_errors}");
    let late = load(of(500 * MS, false), 60).await;
    assert!(late < found / 2, "{found} {late}");
}

#[tokio::test]
async fn nonsense_is_refused_by_its_name() {
    let refused = |admission: Admission| match admission.layer() {
        Err(BuildError::Setting { setting, .. }) => setting,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(Admission::at_most(0)), "admission.at_most");
    for too_many in [1 << 29, usize::MAX] {
        assert_eq!(refused(Admission::at_most(too_many)), "admission.at_most");
    }
    assert_eq!(
        refused(Admission::at_most(1).queue(1, Duration::ZERO)),
        "admission.queue.patience"
    );
    for (least, most) in [(0, 1), (1, u32::MAX)] {
        let gradient = Gradient::new().with_range(least, most);
        assert_eq!(
            refused(Admission::adaptive(gradient)),
            "admission.gradient.range"
        );
    }
}
