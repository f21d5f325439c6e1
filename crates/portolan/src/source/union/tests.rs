use futures::FutureExt;
use portolan_core::{Endpoint, Placement, SourceError, SourceErrorKind};
use tokio::time::Instant;

use super::*;
use crate::source::{Fixed, channel};

fn list(nth: u8) -> Resolution {
    let address = format!("10.0.0.{nth}:80").parse().unwrap();
    let endpoint = Endpoint::new(Placement::new(format!("db-{nth}")), address);
    Resolution::Present([endpoint].into_iter().collect())
}

async fn first_placement(stream: &mut BoxStream<'static, Resolution>) -> String {
    match stream.next().await {
        Some(Resolution::Present(set)) => set[0].placement().to_string(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn the_failover_is_used_at_the_start_only_after_the_head_start() {
    let (east, first) = channel();
    let (west, second) = channel();
    west.tell(list(2));
    let source = union([member("east", first), member("west", second).priority(1)]).unwrap();
    let mut stream = source.watch(&"db.shop".parse().unwrap());
    let started = Instant::now();
    assert_eq!(first_placement(&mut stream).await, "west/db-2");
    assert_eq!(started.elapsed(), Duration::from_secs(1));
    east.tell(list(1));
    assert_eq!(first_placement(&mut stream).await, "east/db-1");
    // One that has failed is not waited for.
    let mut stream = source.watch(&"db.shop".parse().unwrap());
    let error = SourceError::new(SourceErrorKind::Unavailable, "refused");
    east.tell(Resolution::Failed(error));
    assert!(stream.next().now_or_never().is_some());
}

/// Says which Service it was asked for.
#[derive(Debug)]
struct Echo;

impl Source for Echo {
    fn watch(&self, service: &ServiceRef) -> BoxStream<'static, Resolution> {
        let address = "10.0.0.1:80".parse().unwrap();
        let endpoint = Endpoint::new(Placement::new(service.to_string()), address);
        Fixed::from_iter([endpoint]).watch(service)
    }
}

#[tokio::test(start_paused = true)]
async fn a_member_may_have_a_service_of_its_own() {
    let elsewhere = "db.dr:client".parse().unwrap();
    let source = union([
        member("east", Echo).priority(1),
        member("west", Echo).service(elsewhere),
    ]);
    let mut stream = source.unwrap().watch(&"db.shop".parse().unwrap());
    assert_eq!(first_placement(&mut stream).await, "west/db.dr:client");
}

#[test]
fn names_must_tell_members_apart() {
    let nobody = Fixed::default;
    let refused = |members: Vec<Member>| union(members).unwrap_err().to_string();
    assert_eq!(
        refused(vec![member("east", nobody()), member("east", nobody())]),
        "the name of a member is \"east\": expected each member to have a name of its own"
    );
    assert!(refused(vec![member("a/b", nobody())]).contains("without a slash"));
    assert!(refused(vec![member("", nobody())]).contains("expected a name"));
    assert!(refused(Vec::new()).contains("at least one member"));
}
