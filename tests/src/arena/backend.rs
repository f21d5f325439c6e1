//! What differs between the clusters, behind a trait.

use std::net::SocketAddr;

use futures::future::LocalBoxFuture;
use kube::Client;
use portolan_test::{PodHandle, Workloads};

use crate::{
    access::{Account, Document},
    failure::Result,
};

/// What only the cluster itself can do.
pub(super) trait Backend: Send + Sync {
    /// All rights, and a way to the API server of its own.
    fn client(&self) -> Client;
    /// A hand that sets the stage, by the same way or a shorter one.
    fn workloads(&self) -> Workloads;
    /// All rights.
    fn kubeconfig(&self) -> String;
    fn pod(&self, namespace: &str, name: &str) -> Result<PodHandle>;
    fn pods(&self) -> Vec<PodHandle>;
    fn is_dual_stack(&self) -> bool;
    fn stop_api(&self) -> LocalBoxFuture<'_, Result>;
    fn start_api(&self) -> LocalBoxFuture<'_, Result>;
    fn pause_api(&self) -> LocalBoxFuture<'_, Result>;
    fn resume_api(&self) -> LocalBoxFuture<'_, Result>;
    fn forget_history(&self) -> LocalBoxFuture<'_, Result>;
    /// The cluster's DNS, which runs from then on.
    fn nameserver(&self) -> LocalBoxFuture<'_, Result<SocketAddr>>;
    fn has_pods_on_loopback(&self) -> bool;
    fn stop_dns(&self) -> LocalBoxFuture<'_, Result>;
    fn pause_dns(&self) -> LocalBoxFuture<'_, Result>;
    fn resume_dns(&self) -> LocalBoxFuture<'_, Result>;
    fn open_watches<'a>(
        &'a self,
        namespace: &'a str,
        resource: &'a str,
    ) -> LocalBoxFuture<'a, Result<usize>>;
    fn new_account<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> LocalBoxFuture<'a, Result<Account>>;
    fn revoke<'a>(&'a self, account: &'a Account) -> LocalBoxFuture<'a, Result>;
    fn renew<'a>(&'a self, account: &'a Account) -> LocalBoxFuture<'a, Result>;
    fn grant<'a>(&'a self, manifest: &'a [Document]) -> LocalBoxFuture<'a, Result>;
}
