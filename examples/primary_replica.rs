//! A database of one primary and two replicas, whose primary dies while it is written to.
//!
//! ```sh
//! cargo run --example primary_replica
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use std::{
    collections::BTreeSet,
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use portolan::{
    Wait,
    affinity::Affinity,
    http::HttpClient,
    policy::{PrimaryReplica, ReadFrom, preset},
};
use portolan_test::{PodContext, TestCluster, programs};
use serde_json::json;
use tokio::time::{Instant, sleep};

type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;

const ROWS: usize = 20;

#[tokio::main]
async fn main() -> Outcome {
    let database = Arc::new(Mutex::new(Database::default()));
    let kubernetes = start(&database).await?;
    let operator = Operator {
        pods: Api::namespaced(kubernetes.client(), "shop"),
        database: Arc::clone(&database),
    };
    operator.promote("db-0").await?;
    for replica in ["db-1", "db-2"] {
        operator.label(replica, "replica").await?;
    }

    // In a Pod this is `portolan::kube::Cluster::infer().await?`.
    let cluster = portolan::kube::Cluster::from(kubernetes.client());
    let cluster = cluster.with_pod_labels(preset::CLOUD_NATIVE_PG.names());
    let db = portolan::Cluster::from(cluster)
        .service("db.shop:http")?
        .policy(PrimaryReplica::by_label(preset::CLOUD_NATIVE_PG).read_from(ReadFrom::Replicas))
        .wait(Wait::UpTo(Duration::from_secs(5)))
        .http()
        .affinity(Affinity::new().intent_by_method())
        .retry_idempotent() // a PUT may be sent twice
        .build()?;

    for row in 0..ROWS {
        if row == ROWS / 2 {
            println!("the primary dies");
            operator.label("db-0", "replica").await?;
            kubernetes.pod("shop", "db-0")?.kill();
            let operator = operator.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(300)).await;
                let promoted = operator.promote("db-1").await;
                println!("the operator promotes db-1: {}", promoted.is_ok());
            });
        }
        let began = Instant::now();
        let (status, writer) = call(&db, Method::PUT, row).await?;
        let waited = began.elapsed();
        let (_, reader) = call(&db, Method::GET, row).await?;
        println!("row {row:2}: {status} by {writer} after {waited:.1?}; read from {reader}");
    }

    let database = database.lock().unwrap_or_else(PoisonError::into_inner);
    let Database {
        rows, misdirected, ..
    } = &*database;
    let rows = rows.len();
    println!("{rows} rows of {ROWS} written, {misdirected} writes sent to a replica");
    match (rows, *misdirected) {
        (ROWS, 0) => Ok(()),
        _ => Err("a write was lost or misdirected".into()),
    }
}

/// What all Pods of the database have on their disks: replication is instant here.
#[derive(Debug, Default)]
struct Database {
    primary: String,
    rows: BTreeSet<String>,
    misdirected: usize,
}

async fn start(database: &Arc<Mutex<Database>>) -> Outcome<TestCluster> {
    let database = Arc::clone(database);
    let server = programs::http(move |pod: PodContext| {
        let database = Arc::clone(&database);
        tower::service_fn(move |request| {
            let response = answer(&database, pod.name(), &request);
            async move { Ok::<_, Infallible>(response) }
        })
    });
    let kubernetes = TestCluster::builder()
        .image("database", server)
        .start()
        .await?;
    let service = kubernetes
        .service("shop", "db")
        .headless()
        .port("http", 8080);
    let service = service.create().await?;
    let pods = kubernetes
        .stateful_set("shop", "db", 3)
        .image("database")
        .port("http", 8080);
    pods.create().await?;
    service.wait_endpoints(3).await?;
    Ok(kubernetes)
}

/// A server that knows its own role, as a database does.
fn answer<B>(database: &Mutex<Database>, pod: &str, request: &Request<B>) -> Response<Full<Bytes>> {
    let mut database = database.lock().unwrap_or_else(PoisonError::into_inner);
    let status = match (request.method().is_safe(), database.primary == pod) {
        (true, _) => StatusCode::OK,
        (false, true) => {
            database.rows.insert(request.uri().path().to_owned());
            StatusCode::CREATED
        }
        (false, false) => {
            database.misdirected += 1;
            StatusCode::MISDIRECTED_REQUEST
        }
    };
    let mut response = Response::new(Full::from(pod.to_owned()));
    *response.status_mut() = status;
    response
}

async fn call(db: &HttpClient, method: Method, row: usize) -> Outcome<(StatusCode, String)> {
    let request = Request::builder()
        .method(method)
        .uri(format!("/rows/{row}"));
    let response = db.send(request.body(Full::<Bytes>::default())?).await?;
    let status = response.status();
    let pod = response.into_body().collect().await?.to_bytes();
    Ok((status, String::from_utf8_lossy(&pod).into_owned()))
}

/// What an operator does: it decides who is the primary, and labels the Pods.
#[derive(Clone)]
struct Operator {
    pods: Api<Pod>,
    database: Arc<Mutex<Database>>,
}

impl Operator {
    async fn promote(&self, pod: &str) -> kube::Result<()> {
        {
            let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
            pod.clone_into(&mut database.primary);
        }
        self.label(pod, "primary").await
    }

    async fn label(&self, pod: &str, role: &str) -> kube::Result<()> {
        let labels = json!({ "metadata": { "labels": { "cnpg.io/instanceRole": role } } });
        let patch = Patch::Merge(labels);
        self.pods
            .patch(pod, &PatchParams::default(), &patch)
            .await?;
        Ok(())
    }
}
