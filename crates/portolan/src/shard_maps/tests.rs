use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::{FutureExt, SinkExt, channel::mpsc};
use tokio::time::Instant;

use super::*;

fn map(generation: Option<u64>, shard: u32) -> ShardMap {
    let map = ShardMap::ranges().assign("".., shard);
    match generation {
        Some(generation) => map.generation(generation).build().unwrap(),
        None => map.build().unwrap(),
    }
}

fn shard(maps: &ShardMaps) -> Option<u32> {
    maps.current()?.shard_of(b"x")
}

#[tokio::test(start_paused = true)]
async fn the_last_good_map_stays_whatever_comes() {
    let (mut tell, told) = mpsc::channel(0);
    let (maps, following) = follow(told);
    let following = tokio::spawn(following);
    assert_eq!(shard(&maps), None);
    let news = [
        (Ok(map(Some(3), 0)), 0),
        (Err("a gap"), 0),
        (Ok(map(Some(2), 9)), 0),
        (Ok(map(Some(3), 9)), 0),
        (Ok(map(Some(4), 1)), 1),
        (Ok(map(None, 2)), 2),
        (Err("away"), 2),
    ];
    for (news, expected) in news {
        tell.send(news).await.unwrap();
        tokio::task::yield_now().await;
        assert_eq!(shard(&maps), Some(expected));
    }
    assert_eq!(maps.current().unwrap().generation(), Some(5));
    drop(tell);
    following.await.unwrap();
    assert_eq!(shard(&maps), Some(2), "the end takes nothing away");
}

#[tokio::test(start_paused = true)]
async fn nobody_follows_for_nobody() {
    let (maps, following) = follow(stream::pending::<Result<ShardMap, String>>());
    let mut following = pin!(following);
    assert!(following.as_mut().now_or_never().is_none());
    let other = maps.clone();
    drop(maps);
    assert!(following.as_mut().now_or_never().is_none());
    drop(other);
    following.await;
}

#[tokio::test(start_paused = true)]
async fn a_map_is_asked_for_at_once_and_then_from_time_to_time() {
    let asked = Arc::new(AtomicU64::new(0));
    let ask = {
        let asked = Arc::clone(&asked);
        move || {
            let generation = asked.fetch_add(1, Ordering::Relaxed) + 1;
            async move { Ok::<_, String>(map(Some(generation), 0)) }
        }
    };
    let mut maps = pin!(fetch(every(Duration::from_secs(10)), ask));
    let began = Instant::now();
    assert_eq!(maps.next().await.unwrap().unwrap().generation(), Some(1));
    assert_eq!(began.elapsed(), Duration::ZERO);
    for nth in 2..50 {
        let before = Instant::now();
        assert_eq!(maps.next().await.unwrap().unwrap().generation(), Some(nth));
        let pause = before.elapsed().as_secs_f64();
        assert!((8.99..=10.01).contains(&pause), "{pause}");
    }
}

#[tokio::test(start_paused = true)]
async fn looks_that_come_together_are_one() {
    let (mut look, looks) = mpsc::channel(8);
    let mut maps = pin!(fetch(looks, || async { Err::<ShardMap, _>("away") }));
    assert!(maps.next().await.unwrap().is_err());
    for _ in 0..5 {
        look.send(()).await.unwrap();
    }
    assert!(maps.next().await.unwrap().is_err());
    assert!(maps.next().now_or_never().is_none());
    drop(look);
    assert!(maps.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn no_interval_is_too_short_or_too_long() {
    let began = Instant::now();
    let mut looks = pin!(every(Duration::ZERO));
    for _ in 0..10 {
        looks.next().await;
    }
    assert!(began.elapsed() >= 10 * SHORTEST);
    let mut never = pin!(every(Duration::MAX));
    let waited = tokio::time::timeout(Duration::from_secs(3600), never.next());
    assert!(waited.await.is_err());
}

#[cfg(all(feature = "config", feature = "file"))]
#[tokio::test(start_paused = true)]
async fn a_file_that_makes_no_sense_for_a_while_takes_nothing_away() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shards.yaml");
    let write = |text: &str| {
        let other = directory.path().join("new");
        std::fs::write(&other, text).unwrap();
        std::fs::rename(other, &path).unwrap();
    };
    let whole =
        |pod: &str| format!("shards:\n- {{shard: 0, has: {{ranges: [{{}}]}}, pods: [{pod}]}}\n");
    write(&whole("db-0"));
    let mut news = pin!(file(&path));
    let map = news.next().await.unwrap().unwrap();
    assert_eq!(map.pods_of(0)[0].as_str(), "db-0");

    write("shards:\n- {shard: 0, has: {ranges: [{from: m}]}, pods: [db-0]}\n");
    let error = news.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("no shard has keys below \"m\""), "{error}");
    write("shards: [{shard: x}]");
    let error = news.next().await.unwrap().unwrap_err().to_string();
    assert!(error.contains("shards[0].shard"), "{error}");
    write(&whole("db-1"));
    let map = news.next().await.unwrap().unwrap();
    assert_eq!(map.pods_of(0)[0].as_str(), "db-1");
}
