use futures::FutureExt;
use http_body_util::{BodyExt, Full, StreamBody, channel::Channel};

use super::*;

fn channel(limit: usize) -> (http_body_util::channel::Sender<Bytes>, Replay) {
    let (sender, body) = Channel::<Bytes>::new(8);
    (sender, Replay::new(body, limit))
}

/// The next frame, which must be there already.
fn next(body: &mut Replay) -> Option<Result<Frame<Bytes>, BoxError>> {
    body.frame().now_or_never().expect("a frame is there")
}

fn next_data(body: &mut Replay) -> Bytes {
    next(body).unwrap().unwrap().into_data().unwrap()
}

#[tokio::test]
async fn what_was_read_is_read_again_and_then_the_rest() {
    let (mut sender, mut first) = channel(100);
    let spare = first.spare();
    sender.send_data("one".into()).await.unwrap();
    sender.send_data("two".into()).await.unwrap();
    assert_eq!(next_data(&mut first), "one");

    let mut second = spare.rewind().expect("within the limit");
    assert_eq!(next_data(&mut second), "one");
    assert_eq!(next_data(&mut second), "two");
    let spare = second.spare();
    sender.send_data("three".into()).await.unwrap();
    drop(sender);

    let third = spare.rewind().unwrap();
    assert_eq!(third.collect().await.unwrap().to_bytes(), "onetwothree");
}

#[tokio::test]
async fn a_pass_that_was_overtaken_reads_nothing_more() {
    let (mut sender, mut first) = channel(100);
    let second = first.spare().rewind().unwrap();
    sender.send_data("one".into()).await.unwrap();
    drop(sender);
    assert!(next(&mut first).unwrap().is_err());
    assert_eq!(second.collect().await.unwrap().to_bytes(), "one");
}

#[tokio::test]
async fn nothing_is_kept_past_the_limit() {
    let (mut sender, mut body) = channel(5);
    sender.send_data("12345".into()).await.unwrap();
    assert_eq!(next_data(&mut body), "12345");
    let spare = body.spare();
    let mut body = spare.rewind().expect("exactly the limit");
    sender.send_data("6".into()).await.unwrap();
    drop(sender);
    assert_eq!(next_data(&mut body), "12345");
    assert_eq!(next_data(&mut body), "6");
    assert!(body.spare().rewind().is_none());
    assert!(next(&mut body).is_none());
}

#[tokio::test]
async fn what_was_not_read_can_be_sent_again_whatever_the_limit() {
    let body = Replay::new(Full::from("much"), 0);
    let again = body.spare().rewind().expect("untouched");
    assert_eq!(again.collect().await.unwrap().to_bytes(), "much");
}

#[tokio::test]
async fn trailers_are_read_again_once() {
    let (mut sender, mut body) = channel(100);
    let mut trailers = HeaderMap::new();
    trailers.insert("checksum", "7".parse().unwrap());
    sender.send_data("one".into()).await.unwrap();
    sender.send_trailers(trailers.clone()).await.unwrap();
    drop(sender);
    for _ in 0..3 {
        let spare = body.spare();
        assert!(!body.is_end_stream());
        assert_eq!(next_data(&mut body), "one");
        assert!(!body.is_end_stream());
        let frame = next(&mut body).unwrap().unwrap();
        assert_eq!(frame.into_trailers().unwrap(), trailers);
        assert!(body.is_end_stream());
        assert!(next(&mut body).is_none());
        body = spare.rewind().unwrap();
    }
}

#[tokio::test]
async fn a_body_that_fails_is_not_sent_again() {
    let frames = futures::stream::iter([
        Ok(Frame::data(Bytes::from("one"))),
        Err(std::io::Error::other("lost")),
    ]);
    let mut body = Replay::new(StreamBody::new(frames), 100);
    assert_eq!(next_data(&mut body), "one");
    assert!(next(&mut body).unwrap().is_err());
    assert!(body.spare().rewind().is_none());
}

#[test]
fn the_size_is_known_at_every_pass() {
    let mut body = Replay::new(Full::from("12345"), 100);
    assert_eq!(body.size_hint().exact(), Some(5));
    next_data(&mut body);
    assert_eq!(body.size_hint().exact(), Some(0));
    assert!(body.is_end_stream());
    let again = body.spare().rewind().unwrap();
    assert_eq!(again.size_hint().exact(), Some(5));
    assert!(!again.is_end_stream());
}

#[test]
fn an_empty_body_costs_nothing() {
    let body = Replay::new(http_body_util::Empty::<Bytes>::new(), 100).idempotent(true);
    assert!(body.reading.is_none() && body.is_end_stream());
    let again = body.spare().rewind().unwrap();
    assert!(again.reading.is_none() && again.is_idempotent());
}

#[tokio::test]
async fn a_body_that_has_been_sent_may_be_read_beside_by_another() {
    let (mut sender, mut first) = channel(100);
    sender.send_data("one".into()).await.unwrap();
    assert_eq!(next_data(&mut first), "one");
    // There may be more.
    assert!(first.spare().besides().is_none());
    sender.send_data("two".into()).await.unwrap();
    drop(sender);
    assert_eq!(next_data(&mut first), "two");
    assert!(next(&mut first).is_none());
    let second = first.spare().besides().expect("all of it is kept");
    assert_eq!(second.collect().await.unwrap().to_bytes(), "onetwo");
    // The first is not cut off.
    assert!(next(&mut first).is_none());
}

#[tokio::test]
async fn nothing_of_a_body_that_was_too_long_is_read_beside() {
    let mut first = Replay::new(Full::<Bytes>::from("123456"), 5);
    assert_eq!(next_data(&mut first), "123456");
    assert!(first.spare().besides().is_none());
    let none = Replay::new(http_body_util::Empty::<Bytes>::new(), 5);
    assert!(none.spare().besides().is_some());
}

#[tokio::test]
async fn one_besides_goes_on_where_the_first_fails_and_is_made_again() {
    let (mut sender, mut first) = channel(100);
    let (again, besides) = (first.spare(), first.spare());
    sender.send_data("one".into()).await.unwrap();
    sender.send_data("two".into()).await.unwrap();
    drop(sender);
    while next(&mut first).is_some() {}
    let mut second = besides.besides().expect("all of it was sent");
    assert_eq!(next_data(&mut second), "one");
    // The first fails, and whoever sent it makes it ready to be sent again.
    let third = again.rewind().unwrap();
    assert_eq!(next_data(&mut second), "two");
    assert!(next(&mut second).is_none());
    assert_eq!(third.collect().await.unwrap().to_bytes(), "onetwo");
}
