//! A sharded key-value server, as a Pod's program: what it has is its shard's, and outlives the Pod.

use std::{
    collections::HashMap,
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use portolan_test::{PodContext, Program, programs};
use tower::service_fn;

/// The name of its image.
pub const IMAGE: &str = "key-value";
/// How many shards there are. A key is a number, and its shard that number modulo this one.
pub const SHARDS: u32 = 5;
/// The header that bears the key.
pub const KEY: &str = "x-key";

/// What Pods have on their volumes, by namespace and name of the Pod.
type Volumes = Arc<Mutex<HashMap<(String, String), Volume>>>;
type Volume = HashMap<u32, Bytes>;

/// The program: PUT and GET of the key in the header, and 421 where that is of another shard.
pub fn program() -> impl Program {
    let volumes = Volumes::default();
    programs::http(move |pod: PodContext| {
        let volumes = Arc::clone(&volumes);
        service_fn(move |request| answer(pod.clone(), Arc::clone(&volumes), request))
    })
}

async fn answer(
    pod: PodContext,
    volumes: Volumes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let key = head
        .headers
        .get(KEY)
        .and_then(|key| key.to_str().ok()?.parse::<u32>().ok());
    let Some(key) = key else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    if pod.ordinal() != Some(key % SHARDS) {
        return Ok(status(StatusCode::MISDIRECTED_REQUEST));
    }
    // A body that breaks off is not stored.
    let Ok(body) = body.collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let volume = (pod.namespace().to_owned(), pod.name().to_owned());
    let mut volumes = lock(&volumes);
    let volume = volumes.entry(volume).or_default();
    if head.method == Method::PUT {
        volume.insert(key, body.to_bytes());
        return Ok(status(StatusCode::OK));
    }
    Ok(match volume.get(&key) {
        Some(value) => Response::new(Full::new(value.clone())),
        None => status(StatusCode::NOT_FOUND),
    })
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
