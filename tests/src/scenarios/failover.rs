//! One Pod takes writes, and then another one does.

use std::time::Duration;

use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{
    Api,
    api::{Patch, PatchParams, PostParams},
};
use portolan::{
    Freshness, View,
    affinity::Affinity,
    policy::{Leadership, PrimaryReplica, ReadFrom, preset},
};
use portolan_kube::{ROLE, WatchOptions};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::access::with_subject;
use crate::{
    arena::Arena,
    caller::Caller,
    failure::{Failure, Result},
    load::{Load, Record},
};

const LABEL: &str = "cnpg.io/instanceRole";
const PODS: [&str; 3] = ["db-0", "db-1", "db-2"];
/// So often the primary changes.
const SWITCHES: usize = 12;
/// From the answer of the API server to the first write at the new primary.
const LIMIT: Duration = Duration::from_millis(100);

/// The primary is the Pod that the label names: when it is another one, writes go there within 100 ms. While there
/// is none, they wait, and none is lost; while there are two, none goes to either.
pub async fn a_failover_by_label_is_followed(arena: &Arena) -> Result {
    database(arena).await?;
    let kube = arena.kube(WatchOptions::default())?;
    let cluster = kube.with_pod_labels(preset::CLOUD_NATIVE_PG.names()).into();
    let policy = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG).read_from(ReadFrom::Replicas);
    let caller = caller(arena, &cluster, policy)?;
    for (pod, role) in PODS.iter().zip(["primary", "replica", "replica"]) {
        label(arena, pod, role).await?;
    }
    caller
        .until("db-0 is the primary", |view| primaries(view) == ["db-0"])
        .await?;
    let (writes, reads) = (Load::of_posts(&caller, 800), Load::start(&caller, 100));
    writes.until_answered_by(1, 50).await?;

    let mut switches = Vec::new();
    let turns = PODS.into_iter().cycle();
    for (nth, (old, new)) in turns.clone().zip(turns.skip(1)).take(SWITCHES).enumerate() {
        // One operator takes the label off first, another one puts the new one on first.
        let (first, second) = match nth % 2 {
            0 => ((old, "replica"), (new, "primary")),
            _ => ((new, "primary"), (old, "replica")),
        };
        label(arena, first.0, first.1).await?;
        let wanted: &[&str] = if nth % 2 == 0 { &[] } else { &both(old, new) };
        caller
            .until("nobody to write to", |view| primaries(view) == wanted)
            .await?;
        let nobody = Instant::now();
        sleep(Duration::from_millis(50)).await;
        label(arena, second.0, second.1).await?;
        switches.push(Switch {
            nobody,
            named: Instant::now(),
            new,
        });
        caller
            .until("the new primary", |view| primaries(view) == [new])
            .await?;
        sleep(Duration::from_millis(150)).await;
    }
    let record = writes.stop().await?;
    expect_followed(arena, &record, &switches)?;
    reads.stop().await?.expect_no_failure()
}

/// The primary is the Pod that holds the Lease: when it is another one, writes go there within 100 ms; while the
/// Lease has no holder, they wait. A Lease that nobody renews runs out.
pub async fn a_failover_by_lease_is_followed(arena: &Arena) -> Result {
    database(arena).await?;
    let lease = json!({
        "metadata": { "name": "db" },
        "spec": { "holderIdentity": "db-0_5f1c", "leaseTransitions": 1, "leaseDurationSeconds": 60 },
    });
    let leases: Api<Lease> = Api::namespaced(arena.client(), arena.namespace());
    leases
        .create(&PostParams::default(), &serde_json::from_value(lease)?)
        .await?;
    let kube = arena
        .kube(WatchOptions::default())?
        .with_namespace(arena.namespace());
    let leadership = Leadership::new();
    let watch = kube.watch_lease("db", &leadership)?;
    let policy = PrimaryReplica::by_leadership(&leadership).read_from(ReadFrom::Replicas);
    let caller = caller(arena, &kube.into(), policy)?;
    let (writes, reads) = (Load::of_posts(&caller, 800), Load::start(&caller, 100));
    writes.until_answered_by(1, 50).await?;

    let mut switches = Vec::new();
    for (nth, new) in PODS.into_iter().cycle().skip(1).take(SWITCHES).enumerate() {
        hold(arena, json!({ "holderIdentity": "" })).await?;
        until(|| leadership.primary().is_none()).await?;
        let nobody = Instant::now();
        sleep(Duration::from_millis(50)).await;
        hold(
            arena,
            json!({ "holderIdentity": new, "leaseTransitions": nth + 2 }),
        )
        .await?;
        switches.push(Switch {
            nobody,
            named: Instant::now(),
            new,
        });
        sleep(Duration::from_millis(200)).await;
    }
    // An old primary that still writes itself into the Lease is not believed.
    hold(
        arena,
        json!({ "holderIdentity": "db-0", "leaseTransitions": 1 }),
    )
    .await?;
    let ours = leadership.primary();
    let record = writes.stop().await?;
    expect_followed(arena, &record, &switches)?;
    reads.stop().await?.expect_no_failure()?;
    assert_eq!(leadership.primary(), ours);

    hold(
        arena,
        json!({ "holderIdentity": "db-1", "leaseTransitions": 99, "leaseDurationSeconds": 1 }),
    )
    .await?;
    until(|| leadership.epoch().is_some_and(|epoch| epoch.number() == 99)).await?;
    until(|| leadership.primary().is_none()).await?;
    assert!(watch.failure().is_none(), "{:?}", watch.failure());
    Ok(())
}

/// Where Pods may not be read, that is said, with the Role that mends it; and so it is of Leases.
pub async fn a_refusal_to_show_labels_prints_the_role_that_mends_it(arena: &Arena) -> Result {
    database(arena).await?;
    label(arena, "db-0", "primary").await?;
    let account = arena.account("reader").await?;
    let role = ROLE.replace(
        "namespace: default # of the Service",
        &format!("namespace: {}", arena.namespace()),
    );
    arena.grant(&with_subject(&role, &account)).await?;
    let options =
        WatchOptions::default().backoff(Duration::from_millis(100), Duration::from_millis(500));
    let kube = arena
        .kube_as(&account, options)?
        .with_namespace(arena.namespace());
    let leadership = Leadership::new();
    let watch = kube.watch_lease("db", &leadership)?;
    let policy = PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG);
    let cluster = kube.with_pod_labels([LABEL]).into();
    let caller = caller(arena, &cluster, policy)?;
    let view = caller
        .until("it is told that the labels may not be read", |view| {
            matches!(view.freshness(), Freshness::Stale { .. })
        })
        .await?;
    let Freshness::Stale { error, .. } = view.freshness() else {
        return Err(Failure::new("not stale"));
    };
    let pods = manifest(&error.to_string(), "resources: [pods]")?;
    until(|| watch.failure().is_some()).await?;
    let failure = watch.failure().map(|failure| failure.to_string());
    let leases = manifest(&failure.unwrap_or_default(), "resources: [leases]")?;
    arena.grant(&leases).await?;
    arena.grant(&pods).await?;
    caller
        .until("the labels are read", |view| {
            primaries(view) == ["db-0"] && matches!(view.freshness(), Freshness::Live)
        })
        .await?;
    until(|| watch.failure().is_none()).await?;
    assert_eq!(caller.post().await?.pod, "db-0");
    Ok(())
}

/// The manifest that an error prints.
fn manifest(error: &str, grants: &str) -> Result<String> {
    let printed = error.split_once('\n').map(|(_, manifest)| manifest);
    let printed = printed.filter(|manifest| manifest.contains(grants));
    printed
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format_args!("no {grants} in: {error}")))
}

/// Who was to take writes from when on.
struct Switch {
    /// From then on there was nobody.
    nobody: Instant,
    named: Instant,
    new: &'static str,
}

async fn database(arena: &Arena) -> Result {
    arena.headless("db").await?;
    let set = arena.stateful_set("db", 3).parallel().create().await?;
    Ok(set.wait_ready(3).await?)
}

fn caller(arena: &Arena, cluster: &portolan::Cluster, policy: PrimaryReplica) -> Result<Caller> {
    let affinity = Affinity::new().intent_by_method();
    Caller::of(cluster, &arena.full("db:http"), |balancer| {
        balancer.policy(policy).http().affinity(affinity)
    })
}

async fn label(arena: &Arena, pod: &str, role: &str) -> Result {
    let pods: Api<Pod> = Api::namespaced(arena.client(), arena.namespace());
    let patch = json!({ "metadata": { "labels": { LABEL: role } } });
    pods.patch(pod, &PatchParams::default(), &Patch::Merge(patch))
        .await?;
    Ok(())
}

async fn hold(arena: &Arena, spec: Value) -> Result {
    let leases: Api<Lease> = Api::namespaced(arena.client(), arena.namespace());
    let patch = Patch::Merge(json!({ "spec": spec }));
    leases.patch("db", &PatchParams::default(), &patch).await?;
    Ok(())
}

fn primaries(view: &View) -> Vec<&str> {
    let endpoints = view.endpoints().iter().map(|one| &one.endpoint);
    endpoints
        .filter(|one| one.label(LABEL) == Some("primary"))
        .map(|one| one.placement().as_str())
        .collect()
}

fn both<'a>(one: &'a str, other: &'a str) -> [&'a str; 2] {
    [one.min(other), one.max(other)]
}

async fn until(holds: impl Fn() -> bool) -> Result {
    crate::arena::eventually("it holds", Duration::from_secs(10), async || {
        match holds() {
            true => Ok(()),
            false => Err(Failure::new("not yet")),
        }
    })
    .await
}

/// No write failed; none that began without a primary was answered before there was one, or by another; the first
/// one came to the new primary in time.
fn expect_followed(arena: &Arena, record: &Record, switches: &[Switch]) -> Result {
    record.expect_no_failure()?;
    let mut worst = Duration::ZERO;
    let mut waited = 0;
    for (nth, switch) in switches.iter().enumerate() {
        let next = switches.get(nth + 1).map(|next| next.nobody);
        // The next switch is at least 200 ms away, which is when its first half begins.
        let ends = |at: Instant| next.is_none_or(|next| at + Duration::from_millis(120) < next);
        let mut first: Option<Instant> = None;
        let since = record
            .all()
            .iter()
            .filter(|one| one.at >= switch.nobody && ends(one.at));
        for one in since {
            let done = one.at + one.took;
            let answer = one.result.as_ref().map_err(Failure::new)?;
            if answer.pod != switch.new {
                return Err(Failure::new(format_args!(
                    "switch {nth}: a write went to {}, and the primary is {}",
                    answer.pod, switch.new
                )));
            }
            first = Some(first.map_or(done, |first| first.min(done)));
        }
        let waits = record
            .all()
            .iter()
            .filter(|one| one.at < switch.named && one.at + one.took >= switch.named);
        for one in waits {
            let answer = one.result.as_ref().map_err(Failure::new)?;
            assert_eq!(
                answer.pod, switch.new,
                "what waited went to the new primary"
            );
            first = first.min(Some(one.at + one.took));
            waited += 1;
        }
        let first = first.ok_or_else(|| Failure::new("nothing was written"))?;
        worst = worst.max(first.saturating_duration_since(switch.named));
    }
    arena.note(format_args!(
        "{} writes, {waited} waited; {} switches, followed within {:.1} ms",
        record.all().len(),
        switches.len(),
        worst.as_secs_f64() * 1e3
    ));
    if worst > LIMIT || waited < switches.len() {
        return Err(Failure::new(format_args!(
            "followed after {worst:?}; {waited} waited"
        )));
    }
    Ok(())
}
