//! The server: a Pod's keys, on a volume that outlives the Pod.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use portolan_test::{PodContext, Program, programs};
use tower::service_fn;

/// What the Pods have, by their names.
type Volumes = Arc<Mutex<HashMap<String, BTreeMap<String, Bytes>>>>;

/// PUT, GET and DELETE of a key; POST is a PUT of what is not there yet; GET without a key is all keys.
pub(crate) fn program() -> impl Program {
    let volumes = Volumes::default();
    programs::http(move |pod: PodContext| {
        let (pod, volumes) = (pod.name().to_owned(), Arc::clone(&volumes));
        service_fn(move |request| answer(pod.clone(), Arc::clone(&volumes), request))
    })
}

async fn answer(
    pod: String,
    volumes: Volumes,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Ok(status(StatusCode::BAD_REQUEST));
    };
    let key = head.headers.get("x-key").and_then(|key| key.to_str().ok());
    let key = key.unwrap_or_default().to_owned();
    let mut volumes = volumes.lock().unwrap_or_else(PoisonError::into_inner);
    let volume = volumes.entry(pod).or_default();
    Ok(match head.method {
        Method::GET if key.is_empty() => {
            let keys: Vec<_> = volume.keys().map(String::as_str).collect();
            Response::new(Full::from(keys.join("\n")))
        }
        Method::GET => match volume.get(&key) {
            Some(value) => Response::new(Full::new(value.clone())),
            None => status(StatusCode::NOT_FOUND),
        },
        Method::PUT => {
            volume.insert(key, body.to_bytes());
            status(StatusCode::OK)
        }
        Method::POST => {
            volume.entry(key).or_insert_with(|| body.to_bytes());
            status(StatusCode::OK)
        }
        Method::DELETE => {
            volume.remove(&key);
            status(StatusCode::OK)
        }
        _ => status(StatusCode::METHOD_NOT_ALLOWED),
    })
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}
