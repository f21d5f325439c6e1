use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use proptest::prelude::*;
use tokio::time::{Instant, sleep};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// Target n answers n after n seconds, or fails then, where it is odd.
async fn odd_ones_fail(n: u32) -> Result<u32, String> {
    sleep(n * SECOND).await;
    match n % 2 {
        0 => Ok(n),
        _ => Err(format!("{n} is odd")),
    }
}

#[tokio::test(start_paused = true)]
async fn answers_come_as_they_come_and_no_more_are_asked_at_once_than_may() {
    let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let ask = async |n: u32| {
        let under_way = now.fetch_add(1, Ordering::Relaxed) + 1;
        most.fetch_max(under_way, Ordering::Relaxed);
        let answer = odd_ones_fail(10 - n).await;
        now.fetch_sub(1, Ordering::Relaxed);
        answer
    };
    let scattered = Scatter::new().at_once(3).over(0..9, ask);
    let order: Vec<_> = scattered.map(|(target, _)| target).collect().await;
    assert_eq!(order.len(), 9);
    assert_eq!(order[0], 2, "it takes 8 s, and those beside it longer");
    assert_eq!(most.into_inner(), 3);
}

#[tokio::test(start_paused = true)]
async fn all_is_all_and_the_first_failure_ends_it() {
    let began = Instant::now();
    let error = Scatter::new()
        .over([0, 2, 1, 60], odd_ones_fail)
        .gather()
        .await
        .unwrap_err();
    assert_eq!(began.elapsed(), SECOND);
    assert_eq!(error.gathered.answers, [(0, 0)]);
    assert_eq!(error.gathered.failures, [(1, "1 is odd".to_owned())]);
    assert_eq!(
        (error.gathered.unheard, error.wanted, error.timed_out),
        (2, 4, false)
    );
    let text = error.to_string();
    assert_eq!(
        text,
        "1 of 4 answered, and 4 were wanted: 1 failed, 2 were not heard of"
    );
    let all = Scatter::new()
        .over([4, 0, 2], odd_ones_fail)
        .gather()
        .await
        .unwrap();
    assert_eq!(all.answers, [(0, 0), (2, 2), (4, 4)]);
    assert!(
        Scatter::new()
            .over([], odd_ones_fail)
            .gather()
            .await
            .unwrap()
            .answers
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_quorum_is_enough_or_known_to_be_out_of_reach() {
    let quorum = |k| Scatter::new().until(Until::Quorum(k));
    let began = Instant::now();
    let two = quorum(2)
        .over([0, 1, 2, 60], odd_ones_fail)
        .gather()
        .await
        .unwrap();
    assert_eq!((began.elapsed(), two.unheard), (2 * SECOND, 1));
    let began = Instant::now();
    let error = quorum(3)
        .over([1, 3, 2, 60], odd_ones_fail)
        .gather()
        .await
        .unwrap_err();
    assert_eq!(began.elapsed(), 3 * SECOND, "two of four have failed");
    assert!(!error.timed_out);
    let asked = AtomicUsize::new(0);
    let ask = async |n| {
        asked.fetch_add(1, Ordering::Relaxed);
        odd_ones_fail(n).await
    };
    assert!(quorum(5).over([0, 2], ask).gather().await.is_err());
    assert_eq!(asked.into_inner(), 0, "five of two cannot be");
}

#[tokio::test(start_paused = true)]
async fn the_first_few_are_as_many_as_there_are() {
    let first = |k| Scatter::new().until(Until::First(k));
    let began = Instant::now();
    let one = first(1)
        .over([1, 2, 60], odd_ones_fail)
        .gather()
        .await
        .unwrap();
    assert_eq!((began.elapsed(), one.answers), (2 * SECOND, vec![(2, 2)]));
    let some = first(5)
        .over([1, 2, 3], odd_ones_fail)
        .gather()
        .await
        .unwrap();
    assert_eq!((some.answers.len(), some.failures.len()), (1, 2));
    assert!(first(1).over([1, 3], odd_ones_fail).gather().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn one_time_limit_is_for_all() {
    let within = Scatter::new().within(5 * SECOND);
    let began = Instant::now();
    let error = within
        .over([2, 4, 60], odd_ones_fail)
        .gather()
        .await
        .unwrap_err();
    assert_eq!(began.elapsed(), 5 * SECOND);
    assert!(error.timed_out && error.gathered.answers.len() == 2);
    let best = within.until(Until::BestEffort);
    let some = best
        .over([1, 2, 4, 60], odd_ones_fail)
        .gather()
        .await
        .unwrap();
    assert_eq!(
        (some.answers.len(), some.failures.len(), some.unheard),
        (2, 1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_is_cancelled() {
    struct Count<'a>(&'a AtomicUsize);
    impl Drop for Count<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let dropped = AtomicUsize::new(0);
    let ask = async |n| {
        let _count = Count(&dropped);
        odd_ones_fail(n).await
    };
    let first = Scatter::new().until(Until::First(1));
    first.over([2, 60, 80], ask).gather().await.unwrap();
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[tokio::test(start_paused = true)]
async fn a_batch_says_of_each_key_what_became_of_it() {
    let shard_of = |key: &u32| (*key < 90).then_some(key % 3);
    let ask = async |shard: u32, keys: Vec<u32>| match shard {
        0 => Ok(keys.iter().map(|key| key * 10).collect()),
        1 => Err("down".to_owned()),
        _ if keys.contains(&50) => {
            sleep(60 * SECOND).await;
            Ok(Vec::new())
        }
        _ => Ok(vec![1]),
    };
    let scatter = Scatter::new().within(SECOND);
    let told = |result: &Result<u32, KeyError<String>>| match result {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    };
    let results = by_shard(scatter, [3, 1, 2, 6, 5, 3, 99], shard_of, ask).await;
    let told_of: Vec<_> = results.iter().map(told).collect();
    let short = "the shard answered for fewer keys than it was asked for";
    assert_eq!(
        told_of,
        ["30", "down", "1", "60", short, "30", "no shard has the key"]
    );
    let results = by_shard(scatter, [50, 0], shard_of, ask).await;
    let told_of: Vec<_> = results.iter().map(told).collect();
    assert_eq!(told_of, ["the shard was not heard of in time", "0"]);
    assert!(by_shard(scatter, [], shard_of, ask).await.is_empty());
}

proptest! {
    #[test]
    fn each_answer_is_in_its_keys_place(keys in prop::collection::vec(any::<u16>(), 0..60), shards in 1..9u16, at_once in 0..5usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let calls = AtomicUsize::new(0);
        let ask = async |_: u16, keys: Vec<u16>| {
            calls.fetch_add(1, Ordering::Relaxed);
            Ok::<_, ()>(keys.into_iter().map(u32::from).collect())
        };
        let results = by_shard(Scatter::new().at_once(at_once), keys.clone(), |key| Some(key % shards), ask);
        let values: Vec<_> = runtime.block_on(results).into_iter().map(|one| one.ok()).collect();
        prop_assert_eq!(values, keys.iter().map(|key| Some(u32::from(*key))).collect::<Vec<_>>());
        let distinct: std::collections::BTreeSet<_> = keys.iter().map(|key| key % shards).collect();
        prop_assert_eq!(calls.into_inner(), distinct.len(), "each shard is called once");
    }
}
