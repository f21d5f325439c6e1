//! More Pods, fewer, none.

use std::time::Duration;

use portolan::ErrorKind;
use tokio::time::sleep;

use super::expect_error;
use crate::{arena::Arena, caller::Caller, failure::Result, follow::Following, load::Load};

/// New Pods get their share, and those that go are let go of, without a failed request.
pub async fn from_three_to_six_to_two(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 3).parallel().create().await?;
    set.wait_ready(3).await?;
    let caller = Caller::new(&arena.discovery()?, &arena.full("db:http"))?;
    caller.until_pods(&["db-0", "db-1", "db-2"]).await?;
    let following = Following::start(arena, &caller).await?;
    let load = Load::start(&caller, 200);
    load.until_answered_by(3, 20).await?;

    set.scale(6).await?;
    let six = ["db-0", "db-1", "db-2", "db-3", "db-4", "db-5"];
    caller.until_pods(&six).await?;
    let share = Load::start(&caller, 300);
    share.until_answered_by(6, 300).await?;
    let record = share.stop().await?;
    record.expect_no_failure()?;
    record.expect_even(&six)?;

    set.scale(2).await?;
    caller.until_pods(&["db-0", "db-1"]).await?;
    set.wait_ready(2).await?;
    let pair = Load::start(&caller, 200);
    pair.until_answered_by(2, 100).await?;
    pair.stop().await?.expect_even(&["db-0", "db-1"])?;

    let record = load.stop().await?;
    record.expect_no_failure()?;
    let followed = following.finish()?;
    followed.expect_obeyed(&record)?;
    followed.report(arena, 7)
}

/// At zero, a patient request waits and is served by the first Pod that is back; a hasty one is
/// refused at once; one that waits too long is told how long it did.
pub async fn to_zero_and_back(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 2).create().await?;
    set.wait_ready(2).await?;
    let cluster = arena.discovery()?;
    let patient = Caller::new(&cluster, &arena.full("db:http"))?;
    let hasty = Caller::fail_fast(&cluster, &arena.full("db:http"))?;
    patient.until_pods(&["db-0", "db-1"]).await?;
    hasty.until_pods(&["db-0", "db-1"]).await?;

    set.scale(0).await?;
    patient.until_pods(&[]).await?;
    hasty.until_pods(&[]).await?;
    let error = expect_error(hasty.get().await)?;
    let at_once = ErrorKind::NoEndpoints {
        waited: Duration::ZERO,
    };
    let ErrorKind::NoEndpoints { waited } = error.kind() else {
        return Err(error.into());
    };
    assert!(
        *waited < Duration::from_millis(100),
        "{error}, not {at_once:?}"
    );
    let short = Caller::waiting(&cluster, &arena.full("db:http"), Duration::from_millis(300))?;
    let error = expect_error(short.get().await)?;
    let ErrorKind::NoEndpoints { waited } = error.kind() else {
        return Err(error.into());
    };
    assert!(*waited >= Duration::from_millis(300), "{error}");

    let load = Load::start(&patient, 50);
    sleep(Duration::from_millis(200)).await;
    set.scale(2).await?;
    load.until_answered_by(2, 20).await?;
    let record = load.stop().await?;
    record.expect_no_failure()?;
    hasty.until_pods(&["db-0", "db-1"]).await?;
    hasty.get().await?;
    Ok(())
}
