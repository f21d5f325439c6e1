use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use portolan_core::{EndpointSet, Placement, Resolution};

use super::*;
use crate::{
    Cluster, Nodes,
    source::{Teller, channel},
};

const SECOND: Duration = Duration::from_secs(1);

/// What each endpoint says when it is asked; nothing for no answer.
#[derive(Clone, Default)]
struct Stage {
    says: Arc<Mutex<BTreeMap<String, RoleReport>>>,
    asked: Arc<AtomicUsize>,
}

impl Stage {
    fn says(&self, name: &str, report: impl Into<Option<RoleReport>>) {
        let mut says = self.says.lock().unwrap();
        match report.into() {
            Some(report) => says.insert(name.to_owned(), report),
            None => says.remove(name),
        };
    }

    fn probe(&self) -> RoleProbe {
        let stage = self.clone();
        RoleProbe::new(move |endpoint: Arc<Endpoint>| {
            let stage = stage.clone();
            async move {
                stage.asked.fetch_add(1, Ordering::Relaxed);
                let said = stage
                    .says
                    .lock()
                    .unwrap()
                    .get(endpoint.placement().as_str())
                    .copied();
                said.ok_or("it is silent")
            }
        })
    }
}

fn set(names: &[&str]) -> EndpointSet {
    let one = |name: &&str| {
        Endpoint::new(Placement::new(*name), "127.0.0.1:7".parse().unwrap()).with_uid(*name)
    };
    names.iter().map(one).collect()
}

fn nodes(names: &[&str]) -> (Teller, Nodes) {
    let (teller, source) = channel();
    teller.tell(Resolution::Present(set(names)));
    let cluster = Cluster::from_source(source);
    (teller, cluster.service("db").unwrap().nodes().unwrap())
}

fn primary(leadership: &Leadership) -> Option<String> {
    Some(leadership.primary()?.0.to_string())
}

/// Three endpoints that are asked each second, and who is told to be the primary.
fn begin(stage: &Stage) -> (Teller, Nodes, Leadership) {
    let (teller, nodes) = nodes(&["db-0", "db-1", "db-2"]);
    let leadership = Leadership::new();
    let probe = stage.probe().tell_leadership(&leadership);
    tokio::spawn(probe.run(nodes.observe()));
    (teller, nodes, leadership)
}

#[tokio::test(start_paused = true)]
async fn the_only_one_that_says_so_is_the_primary() {
    let stage = Stage::default();
    stage.says("db-0", RoleReport::primary());
    stage.says("db-1", RoleReport::replica());
    stage.says("db-2", RoleReport::replica());
    let (_teller, _nodes, leadership) = begin(&stage);
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(primary(&leadership).unwrap(), "db-0");
    let first = leadership.epoch();

    // Two of them: nobody, on either one's word.
    stage.says("db-1", RoleReport::primary());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership), None);
    // One steps down: the other is it, in a later epoch.
    stage.says("db-0", RoleReport::replica());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership).unwrap(), "db-1");
    assert!(leadership.epoch() > first);

    // It steps down, too, and there is none.
    stage.says("db-1", RoleReport::replica());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership), None);
}

#[tokio::test(start_paused = true)]
async fn silence_says_nothing_and_has_no_say_for_long() {
    let stage = Stage::default();
    stage.says("db-0", RoleReport::primary());
    let (_teller, _nodes, leadership) = begin(&stage);
    tokio::time::sleep(SECOND / 10).await;
    stage.says("db-0", None);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(
        primary(&leadership).unwrap(),
        "db-0",
        "nobody says otherwise"
    );
    stage.says("db-2", RoleReport::primary());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership).unwrap(), "db-2");
    // But right after its last word, it may only be slow.
    stage.says("db-2", None);
    stage.says("db-1", RoleReport::primary());
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership), None);
    tokio::time::sleep(3 * SECOND).await;
    assert_eq!(primary(&leadership).unwrap(), "db-1");
}

#[tokio::test(start_paused = true)]
async fn epochs_settle_it_by_themselves() {
    let stage = Stage::default();
    stage.says("db-0", RoleReport::primary().epoch(Epoch::new(7)));
    stage.says("db-1", RoleReport::primary().epoch(Epoch::new(8)));
    let (_teller, _nodes, leadership) = begin(&stage);
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(
        leadership.primary(),
        Some((Placement::new("db-1"), Epoch::new(8)))
    );
    // A word of a former epoch takes nothing away; one of this epoch does.
    stage.says("db-1", RoleReport::replica().epoch(Epoch::new(7)));
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership).unwrap(), "db-1");
    stage.says("db-1", RoleReport::replica().epoch(Epoch::new(8)));
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(primary(&leadership), None);
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_is_asked_at_once_and_whoever_is_gone_has_no_say() {
    let stage = Stage::default();
    stage.says("db-0", RoleReport::primary());
    stage.says("db-3", RoleReport::primary());
    let (teller, nodes, leadership) = begin(&stage);
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(primary(&leadership).unwrap(), "db-0");
    teller.tell(Resolution::Present(set(&["db-1", "db-2", "db-3"])));
    tokio::time::sleep(SECOND / 100).await;
    assert_eq!(primary(&leadership).unwrap(), "db-3");
    drop((teller, nodes));
    tokio::time::sleep(2 * SECOND).await;
    let asked = stage.asked.load(Ordering::Relaxed);
    tokio::time::sleep(60 * SECOND).await;
    assert_eq!(
        stage.asked.load(Ordering::Relaxed),
        asked,
        "the balancer is gone"
    );
}

#[tokio::test(start_paused = true)]
async fn lags_and_positions_are_told_and_each_is_asked_once_in_an_interval() {
    let stage = Stage::default();
    let report = RoleReport::replica()
        .lag(3 * SECOND)
        .position(Position::new(17));
    stage.says("db-1", report);
    let (_teller, nodes) = nodes(&["db-0", "db-1"]);
    let (lag, progress) = (ReplicaLag::new(), Progress::new());
    let probe = stage
        .probe()
        .every(10 * SECOND)
        .tell_lag(&lag)
        .tell_progress(&progress);
    tokio::spawn(probe.run(nodes.observe()));
    tokio::time::sleep(SECOND).await;
    assert_eq!(lag.of(&Placement::new("db-1")), Some(3 * SECOND));
    assert_eq!(progress.of(&set(&["db-1"])[0]), Position::new(17));
    tokio::time::sleep(100 * SECOND).await;
    let asked = stage.asked.load(Ordering::Relaxed);
    assert!((20..=25).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_that_hangs_keeps_nobody_waiting() {
    let (_teller, nodes) = nodes(&["db-0", "db-1"]);
    let leadership = Leadership::new();
    let probe = RoleProbe::new(async |endpoint: Arc<Endpoint>| {
        if endpoint.placement().as_str() == "db-0" {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(RoleReport::primary())
    });
    tokio::spawn(probe.tell_leadership(&leadership).run(nodes.observe()));
    tokio::time::sleep(SECOND / 10).await;
    assert_eq!(primary(&leadership).unwrap(), "db-1");
}

/// Ten times as many as are asked at a time, nearly all of which hang: it takes ten seconds until all have been asked.
#[tokio::test(start_paused = true)]
async fn of_very_many_a_word_counts_until_its_speaker_is_asked_again() {
    let names: Vec<_> = (0..640).map(|nth| format!("db-{nth}")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (_teller, nodes) = nodes(&names);
    let leadership = Leadership::new();
    let probe = RoleProbe::new(async |endpoint: Arc<Endpoint>| {
        if !["db-1", "db-638"].contains(&endpoint.placement().as_str()) {
            std::future::pending::<()>().await;
        }
        Ok::<_, String>(RoleReport::primary())
    });
    tokio::spawn(probe.tell_leadership(&leadership).run(nodes.observe()));
    tokio::time::sleep(11 * SECOND).await;
    for _ in 0..60 {
        assert_eq!(primary(&leadership), None, "both say so");
        tokio::time::sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_comes_and_goes_is_asked_no_more_often() {
    let stage = Stage::default();
    let (teller, _nodes, _leadership) = begin(&stage);
    tokio::time::sleep(SECOND / 10).await;
    let is_ready = |ready| {
        let endpoints = set(&["db-0", "db-1", "db-2"]);
        let conditions = portolan_core::Conditions::new(Some(ready), None, None);
        let one = |endpoint: &Arc<Endpoint>| Endpoint::clone(endpoint).with_conditions(conditions);
        Resolution::Present(endpoints.iter().map(one).collect())
    };
    for _ in 0..20 {
        for ready in [false, true] {
            teller.tell(is_ready(ready));
            tokio::time::sleep(SECOND / 50).await;
        }
    }
    tokio::time::sleep(2 * SECOND).await;
    let before = stage.asked.load(Ordering::Relaxed);
    tokio::time::sleep(10 * SECOND).await;
    let asked = stage.asked.load(Ordering::Relaxed) - before;
    assert!((26..=35).contains(&asked), "{asked}");
}
