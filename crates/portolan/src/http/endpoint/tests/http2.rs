use super::*;
use crate::http::settings::KeepAlive;
use script::{Http2, accept, listen};

#[tokio::test]
async fn the_request_names_the_service_and_not_the_endpoint() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = h2::server::handshake(accept(&listener).await)
        .await
        .unwrap();
    for (uri, named) in [
        ("/a?b", "http://orders.shop/a?b"),
        ("http://other:81/a", "http://other:81/a"),
    ] {
        let (_, ()) = tokio::join!(client.ask(uri), async {
            let (request, mut respond) = server.accept().await.unwrap().unwrap();
            assert_eq!(request.uri(), named);
            assert!(request.headers().get(http::header::HOST).is_none());
            respond
                .send_response(http::Response::new(()), true)
                .unwrap();
            // The answer leaves as the connection is driven.
            futures::future::poll_immediate(server.accept()).await;
        });
    }
}

#[tokio::test]
async fn a_refused_stream_gives_the_whole_request_back() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = Http2::start(accept(&listener).await).await;
    let (result, ()) = tokio::join!(client.send(request("/", "precious")), async {
        let (stream, body) = server.request().await.unwrap();
        assert_eq!(body, b"precious");
        server.reset(stream, h2::Reason::REFUSED_STREAM).await;
    });
    let failure = failure(result);
    assert_eq!(failure.sent, Sent::No);
    assert_eq!(returned(failure).await, "precious");

    // The connection goes on.
    let (answer, ()) = tokio::join!(client.ask("/"), async {
        let (stream, _) = server.request().await.unwrap();
        server.answer(stream, "fine").await;
    });
    assert_eq!(answer, "fine");
}

#[tokio::test]
async fn any_other_reset_may_have_been_processed() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = Http2::start(accept(&listener).await).await;
    let (result, ()) = tokio::join!(client.send(request("/", "precious")), async {
        let (stream, _) = server.request().await.unwrap();
        server.reset(stream, h2::Reason::INTERNAL_ERROR).await;
    });
    assert_eq!(failure(result).sent, Sent::Maybe);
}

#[tokio::test]
async fn a_request_beyond_a_goaway_is_sent_on_the_next_connection() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut first = Http2::start(accept(&listener).await).await;
    let (answer, ()) = tokio::join!(client.send(request("/", "precious")), async {
        first.request().await.unwrap();
        first.go_away(0).await;
        let mut second = Http2::start(accept(&listener).await).await;
        let (stream, body) = second.request().await.unwrap();
        assert_eq!(body, b"precious");
        second.answer(stream, "on the second").await;
    });
    assert_eq!(text(answer.unwrap()).await, "on the second");
}

#[tokio::test]
async fn a_request_within_a_goaway_is_answered() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = Http2::start(accept(&listener).await).await;
    let (answer, ()) = tokio::join!(client.ask("/"), async {
        let (stream, _) = server.request().await.unwrap();
        server.go_away(stream).await;
        server.answer(stream, "still").await;
    });
    assert_eq!(answer, "still");
}

#[tokio::test]
async fn a_connection_that_breaks_may_have_been_processed() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = Http2::start(accept(&listener).await).await;
    let (result, ()) = tokio::join!(client.send(request("/", "precious")), async {
        server.request().await.unwrap();
        drop(server);
    });
    let failure = failure(result);
    assert_eq!(failure.sent, Sent::Maybe);
    assert_eq!(returned(failure).await, "precious");
}

#[tokio::test]
async fn more_than_the_limit_is_not_kept() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = Http2::start(accept(&listener).await).await;
    let large = http::Request::post("/")
        .body(Replay::new(Full::from("precious"), 7))
        .unwrap();
    let (result, ()) = tokio::join!(client.send(large), async {
        let (stream, _) = server.request().await.unwrap();
        server.reset(stream, h2::Reason::REFUSED_STREAM).await;
    });
    let failure = failure(result);
    assert_eq!(failure.sent, Sent::No);
    assert!(failure.request.is_none());
}

#[tokio::test]
async fn requests_take_turns_on_the_connections() {
    let listener = listen().await;
    let settings = ConnectionSettings {
        connections: 2,
        ..settings(Version::Http2)
    };
    let client = client(listener.local_addr().unwrap(), settings);
    let mut servers = [
        Http2::start(accept(&listener).await).await,
        Http2::start(accept(&listener).await).await,
    ];
    // Both are known to be up when both have had a request.
    let asked: Vec<_> = (0..2)
        .map(|_| tokio::spawn(client.send(get("/"))))
        .collect();
    for server in &mut servers {
        let (stream, _) = tokio::time::timeout(SOON, server.request())
            .await
            .unwrap()
            .unwrap();
        server.answer(stream, "").await;
    }
    for one in asked {
        one.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_request_in_flight_finishes_when_the_endpoint_is_gone() {
    let listener = listen().await;
    let client = client(listener.local_addr().unwrap(), settings(Version::Http2));
    let mut server = Http2::start(accept(&listener).await).await;
    let sending = tokio::spawn(client.send(get("/")));
    let (stream, _) = server.request().await.unwrap();
    drop(client);
    server.answer(stream, "late").await;
    assert_eq!(text(sending.await.unwrap().unwrap()).await, "late");
    tokio::time::timeout(SOON, server.until_closed())
        .await
        .unwrap();
}

#[tokio::test]
async fn where_only_calls_under_way_are_worth_a_ping_an_idle_connection_gets_none() {
    let listener = listen().await;
    let interval = Duration::from_millis(20);
    let settings = ConnectionSettings {
        keep_alive: Some(KeepAlive {
            interval,
            timeout: SOON,
            while_idle: false,
        }),
        ..settings(Version::Http2)
    };
    let client = client(listener.local_addr().unwrap(), settings);
    let mut server = Http2::start(accept(&listener).await).await;
    assert!(!server.is_pinged_within(10 * interval).await);
    let asking = tokio::spawn(client.send(get("/")));
    assert!(server.is_pinged_within(SOON).await);
    server.answer(1, "").await;
    asking.await.unwrap().unwrap();
}
