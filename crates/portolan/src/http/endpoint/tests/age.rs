//! Connections that are as old as they may get.

use super::*;
use script::{Http2, accept, answer, is_closed, listen, read_head};

const SHORT: Duration = Duration::from_millis(100);

fn aging(version: Version) -> ConnectionSettings {
    ConnectionSettings {
        max_age: Some(SHORT),
        ..settings(version)
    }
}

#[tokio::test]
async fn http2_goes_on_on_the_next_connection_while_the_old_one_finishes() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), aging(Version::Http2));
    let mut old = Http2::start(accept(&listener).await).await;
    let slow = tokio::spawn(client.send(get("/slow")));
    let (stream, _) = old.request().await.unwrap();
    let mut next = Http2::start(accept(&listener).await).await;
    // It is known to the client as soon as it has taken a request.
    let (said, ()) = tokio::join!(client.ask("/"), async {
        let (stream, _) = next.request().await.unwrap();
        next.answer(stream, "on the next").await;
    });
    assert_eq!(said, "on the next");
    old.answer(stream, "on the old one").await;
    assert_eq!(text(slow.await.unwrap().unwrap()).await, "on the old one");
    old.until_closed().await;
    assert!(client.reachability.is_reachable());
}

#[tokio::test]
async fn http1_is_connected_again_before_the_old_connection_closes() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), aging(Version::Http1));
    let mut old = accept(&listener).await;
    let (said, ()) = tokio::join!(client.ask("/"), async {
        read_head(&mut old).await;
        answer(&mut old, "on the old one").await;
    });
    assert_eq!(said, "on the old one");
    let mut next = accept(&listener).await;
    assert!(is_closed(&mut old).await);
    let (said, ()) = tokio::join!(client.ask("/"), async {
        read_head(&mut next).await;
        answer(&mut next, "on the next").await;
    });
    assert_eq!(said, "on the next");
}

#[tokio::test]
async fn http1_finishes_a_request_that_outlives_the_age_of_its_connection() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), aging(Version::Http1));
    let mut old = accept(&listener).await;
    let slow = tokio::spawn(client.send(get("/slow")));
    read_head(&mut old).await;
    tokio::time::sleep(2 * SHORT).await;
    answer(&mut old, "late").await;
    assert_eq!(text(slow.await.unwrap().unwrap()).await, "late");
    let _next = accept(&listener).await;
    assert!(is_closed(&mut old).await);
}

#[tokio::test]
async fn an_old_connection_is_better_than_none() {
    for version in [Version::Http1, Version::Http2] {
        let listener = listen().await;
        let client = client(listener.local_addr().unwrap(), aging(version));
        let old = accept(&listener).await;
        drop(listener);
        // By then it has been found out that there is no next one.
        let ask = async {
            tokio::time::sleep(4 * SHORT).await;
            client.ask("/").await
        };
        let said = match version {
            Version::Http2 => {
                let mut old = Http2::start(old).await;
                let serve = async {
                    let (stream, _) = old.request().await.unwrap();
                    old.answer(stream, "still here").await;
                };
                tokio::join!(ask, serve).0
            }
            _ => {
                let mut old = old;
                let serve = async {
                    read_head(&mut old).await;
                    answer(&mut old, "still here").await;
                };
                tokio::join!(ask, serve).0
            }
        };
        assert_eq!(said, "still here");
    }
}

#[tokio::test]
async fn where_there_is_room_for_one_http1_connection_the_old_one_goes_first() {
    let listener = listen().await;
    let settings = ConnectionSettings {
        max_connections: 1,
        ..aging(Version::Http1)
    };
    let client = client(listener.local_addr().unwrap(), settings);
    let mut old = accept(&listener).await;
    assert!(is_closed(&mut old).await);
    let mut next = accept(&listener).await;
    let (said, ()) = tokio::join!(client.ask("/"), async {
        read_head(&mut next).await;
        answer(&mut next, "fine").await;
    });
    assert_eq!(said, "fine");
}
