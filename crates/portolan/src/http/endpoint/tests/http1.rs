use super::*;
use script::{accept, answer, is_closed, listen, read_head, write};

#[tokio::test]
async fn the_request_names_the_service_and_not_the_endpoint() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http1));
    let mut connection = accept(&listener).await;
    for (uri, line, host) in [
        ("/a?b", "POST /a?b HTTP/1.1", "host: orders.shop"),
        ("http://other:81/a", "POST /a HTTP/1.1", "host: other:81"),
    ] {
        let (_, head) = tokio::join!(client.ask(uri), async {
            let head = read_head(&mut connection).await;
            answer(&mut connection, "").await;
            head
        });
        let mut lines = head.lines();
        assert_eq!(lines.next(), Some(line));
        assert!(lines.any(|line| line == host), "{head}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_when_the_body_has_come_and_not_before() {
    let listener = listen().await;
    let settings = ConnectionSettings {
        max_connections: 2,
        ..settings(Version::Http1)
    };
    let client = client(listener.local_addr().unwrap(), settings);
    let mut first = accept(&listener).await;

    let (unread, ()) = tokio::join!(client.send(get("/1")), async {
        read_head(&mut first).await;
        write(&mut first, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n").await;
    });
    // The first connection is still busy with a body: another one is made.
    let (second, mut other) = tokio::join!(client.ask("/2"), async {
        let mut other = accept(&listener).await;
        read_head(&mut other).await;
        answer(&mut other, "two").await;
        other
    });
    assert_eq!(second, "two");
    write(&mut first, "one").await;
    assert_eq!(text(unread.unwrap()).await, "one");

    // Both come free, and serve two requests at once.
    let (third, fourth, ..) = tokio::join!(
        client.ask("/3"),
        client.ask("/4"),
        async {
            read_head(&mut first).await;
            answer(&mut first, "x").await;
        },
        async {
            read_head(&mut other).await;
            answer(&mut other, "y").await;
        },
    );
    let mut answers = [third, fourth];
    answers.sort();
    assert_eq!(answers, ["x", "y"]);
}

#[tokio::test]
async fn an_idle_connection_that_the_server_closes_is_replaced_without_traffic() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http1));
    let mut first = accept(&listener).await;
    let (_, ()) = tokio::join!(client.ask("/"), async {
        read_head(&mut first).await;
        answer(&mut first, "").await;
    });
    drop(first);
    let mut second = accept(&listener).await;
    let (again, ()) = tokio::join!(client.ask("/"), async {
        read_head(&mut second).await;
        answer(&mut second, "again").await;
    });
    assert_eq!(again, "again");
}

/// The server closes the idle connection at the moment at which the request is sent, over and over.
/// Whatever is not answered must not be taken for unsent unless the server has not read it.
#[tokio::test]
async fn a_request_that_meets_a_closing_connection_is_never_answered_twice() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http1));
    let (count, mut counted) = tokio::sync::mpsc::unbounded_channel();
    let server = tokio::spawn(async move {
        loop {
            let mut connection = accept(&listener).await;
            let count = count.clone();
            tokio::spawn(async move {
                // One request for each connection, which closes with its answer.
                let head = read_head(&mut connection).await;
                let _ = count.send(head);
                answer(&mut connection, "").await;
            });
        }
    });
    let mut processed = 0;
    for n in 0..200 {
        let result = client.send(request(&format!("/{n}"), "x")).await;
        let unsent = match result {
            Ok(response) => {
                text(response).await;
                processed += 1;
                false
            }
            Err(error) => {
                let failure = error.into_failure();
                assert!(failure.sent == Sent::Maybe || failure.request.is_some());
                failure.sent != Sent::Maybe
            }
        };
        while let Ok(head) = counted.try_recv() {
            let this = head.starts_with(&format!("POST /{n} "));
            assert!(!(this && unsent), "{n} was processed and called unsent");
        }
    }
    assert!(processed > 0);
    server.abort();
}

#[tokio::test]
async fn a_request_in_flight_finishes_when_the_endpoint_is_gone() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http1));
    let mut connection = accept(&listener).await;
    let sending = tokio::spawn(client.send(get("/")));
    read_head(&mut connection).await;
    drop(client);
    answer(&mut connection, "late").await;
    assert_eq!(text(sending.await.unwrap().unwrap()).await, "late");
    assert!(is_closed(&mut connection).await);
}

#[tokio::test]
async fn a_cancelled_request_closes_its_connection_and_a_new_one_is_made() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http1));
    let mut first = accept(&listener).await;
    let sending = tokio::spawn(client.send(get("/")));
    read_head(&mut first).await;
    sending.abort();
    assert!(is_closed(&mut first).await);
    accept(&listener).await;
}

#[tokio::test]
async fn no_more_connections_are_made_than_there_may_be() {
    let listener = listen().await;
    let settings = ConnectionSettings {
        max_connections: 1,
        connect_timeout: Duration::from_millis(200),
        ..settings(Version::Http1)
    };
    let client = client(listener.local_addr().unwrap(), settings);
    let mut connection = accept(&listener).await;
    let first = tokio::spawn(client.send(get("/1")));
    read_head(&mut connection).await;

    let failure = failure(client.send(request("/2", "precious")).await);
    assert_eq!(failure.sent, Sent::No);
    let busy = failure.cause.downcast_ref::<ConnectError>();
    assert!(matches!(busy, Some(ConnectError::Busy { connections: 1 })));
    assert_eq!(returned(failure).await, "precious");

    // Who waits is served as soon as the connection is free.
    let third = tokio::spawn(client.send(get("/3")));
    answer(&mut connection, "one").await;
    assert_eq!(text(first.await.unwrap().unwrap()).await, "one");
    assert!(read_head(&mut connection).await.starts_with("POST /3"));
    answer(&mut connection, "three").await;
    assert_eq!(text(third.await.unwrap().unwrap()).await, "three");
}

#[tokio::test]
async fn what_may_have_been_processed_is_given_back_only_if_it_may_be_sent_twice() {
    for idempotent in [false, true] {
        let listener = listen().await;
        let client = client(listener.local_addr().unwrap(), settings(Version::Http1));
        let mut connection = accept(&listener).await;
        let request = request("/", "precious").map(|body| body.idempotent(idempotent));
        let (result, ()) = tokio::join!(client.send(request), async {
            read_head(&mut connection).await;
            drop(connection);
        });
        let failure = failure(result);
        assert_eq!(failure.sent, Sent::Maybe);
        if idempotent {
            assert_eq!(returned(failure).await, "precious");
        } else {
            assert!(failure.request.is_none());
        }
    }
}
