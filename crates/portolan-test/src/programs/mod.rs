//! What containers run: ordinary async code, by the name of its image.
//!
//! [`http()`] serves any tower service (an axum router, tonic's routes), [`echo`] answers what it
//! was asked, [`tcp`] handles bare connections. A [`Program`] of one's own does the rest.

mod echo;
mod http_server;
mod images;
mod tasks;
mod tcp;

use futures::future::BoxFuture;

use crate::pod::{PodContext, PodListener};

pub use self::echo::echo;
pub use self::http_server::http;
pub use self::images::Images;
pub use self::tcp::tcp;

/// What a container runs.
///
/// `serve` starts with one listener for each port of the container. It is to say when it is ready
/// ([`PodContext::set_ready`]), to close its listeners (drop them) and finish what is in flight on
/// SIGTERM ([`PodContext::terminating`]), and then to return. A program that returns before
/// SIGTERM has crashed and is started again. At the end of the grace period, and on a kill, the
/// future is dropped.
///
/// ```
/// use futures::future::BoxFuture;
/// use portolan_test::{PodContext, PodListener, Program};
///
/// /// Accepts and hangs up.
/// struct Rude;
///
/// impl Program for Rude {
///     fn serve(&self, pod: PodContext, mut ports: Vec<PodListener>) -> BoxFuture<'static, ()> {
///         Box::pin(async move {
///             let Some(mut port) = ports.pop() else { return };
///             pod.set_ready(true);
///             loop {
///                 tokio::select! {
///                     accepted = port.accept() => drop(accepted),
///                     () = pod.terminating() => return,
///                 }
///             }
///         })
///     }
/// }
/// ```
pub trait Program: Send + Sync + 'static {
    /// Runs the program until it is done.
    fn serve(&self, pod: PodContext, ports: Vec<PodListener>) -> BoxFuture<'static, ()>;
}

impl std::fmt::Debug for dyn Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("dyn Program")
    }
}
