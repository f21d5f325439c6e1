//! The embedded cluster of `portolan-test`.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    FutureExt,
    future::{LocalBoxFuture, ready},
};
use kube::Client;
use portolan_test::{
    ApiEndpoint, Faults, PodHandle, TestCluster, Token, User, Workloads,
    dns::{DnsServer, Fault},
};
use serde_json::Value;
use tokio::sync::OnceCell;

use super::Backend;
use crate::{
    access::{self, Account, Document},
    failure::{Failure, Result},
    greeter, key_value,
};

/// A cluster for one scenario.
pub(super) struct Embedded {
    cluster: TestCluster,
    endpoint: ApiEndpoint,
    /// For the scenarios that ask for it.
    dns: OnceCell<DnsServer>,
    accounts: Mutex<HashMap<String, Login>>,
}

/// A service account: what it may do, and the token that stands for that.
struct Login {
    user: User,
    token: Token,
    account: Account,
}

impl Embedded {
    pub(super) async fn start() -> Result<Self> {
        // A grace period is waited for in real time here, and only by Pods that do not stop.
        let cluster = TestCluster::builder()
            .grace_period(Duration::from_secs(5))
            .image(key_value::IMAGE, key_value::program())
            .image(greeter::IMAGE, greeter::program())
            .start()
            .await?;
        let endpoint = cluster.serve().await?;
        Ok(Self {
            cluster,
            endpoint,
            dns: OnceCell::new(),
            accounts: Mutex::default(),
        })
    }

    fn order(&self, fault: impl FnOnce(&Faults)) -> LocalBoxFuture<'static, Result> {
        fault(self.cluster.faults());
        done(Ok(()))
    }

    async fn dns(&self) -> Result<&DnsServer> {
        let serve = async || Ok(self.cluster.serve_dns().await?);
        self.dns.get_or_try_init(serve).await
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Login>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives the rules of a Role to those whom a binding names.
    fn bind(&self, binding: &Document, rules: &Value) -> Result {
        let subjects = binding
            .object
            .pointer("/subjects")
            .and_then(Value::as_array);
        for subject in subjects.into_iter().flatten() {
            let text = |field| {
                subject
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
            };
            let user = access::user(text("namespace"), text("name"));
            let mut accounts = self.accounts();
            let login = accounts
                .get_mut(&user)
                .ok_or_else(|| Failure::new(format_args!("nobody here is {user}")))?;
            login.user = match binding.at("/metadata/namespace") {
                "" => login.user.clone().cluster_rules(rules)?,
                namespace => login.user.clone().rules_in(namespace, rules)?,
            };
            // Rights belong to the token here, so there is a new one with more of them.
            login.token = self.cluster.sign_in(login.user.clone());
            login.account.set_token(login.token.as_str());
        }
        Ok(())
    }
}

impl Backend for Embedded {
    fn client(&self) -> Client {
        self.cluster.client()
    }

    fn workloads(&self) -> Workloads {
        self.cluster.workloads()
    }

    fn kubeconfig(&self) -> String {
        self.endpoint.kubeconfig()
    }

    fn pod(&self, namespace: &str, name: &str) -> Result<PodHandle> {
        Ok(self.cluster.pod(namespace, name)?)
    }

    fn pods(&self) -> Vec<PodHandle> {
        self.cluster.pods()
    }

    fn is_dual_stack(&self) -> bool {
        // Of IPv6, loopback is a single address, and the Pods' ports are all the same.
        false
    }

    fn stop_api(&self) -> LocalBoxFuture<'_, Result> {
        self.order(Faults::api_down)
    }

    fn start_api(&self) -> LocalBoxFuture<'_, Result> {
        self.order(Faults::api_up)
    }

    fn pause_api(&self) -> LocalBoxFuture<'_, Result> {
        self.order(Faults::hang_api)
    }

    fn resume_api(&self) -> LocalBoxFuture<'_, Result> {
        self.order(Faults::api_up)
    }

    fn forget_history(&self) -> LocalBoxFuture<'_, Result> {
        self.order(Faults::compact)
    }

    fn nameserver(&self) -> LocalBoxFuture<'_, Result<SocketAddr>> {
        async { Ok(self.dns().await?.address()) }.boxed_local()
    }

    fn has_pods_on_loopback(&self) -> bool {
        true
    }

    fn stop_dns(&self) -> LocalBoxFuture<'_, Result> {
        self.pause_dns()
    }

    fn pause_dns(&self) -> LocalBoxFuture<'_, Result> {
        async {
            self.dns().await?.faults().set(Fault::Silence);
            Ok(())
        }
        .boxed_local()
    }

    fn resume_dns(&self) -> LocalBoxFuture<'_, Result> {
        async {
            self.dns().await?.faults().clear();
            Ok(())
        }
        .boxed_local()
    }

    fn open_watches<'a>(
        &'a self,
        namespace: &'a str,
        resource: &'a str,
    ) -> LocalBoxFuture<'a, Result<usize>> {
        let mut watches = self.cluster.requests().watches();
        watches.retain(|watch| watch.namespace == namespace && watch.resource == resource);
        done(Ok(watches.len()))
    }

    fn new_account<'a>(
        &'a self,
        namespace: &'a str,
        name: &'a str,
    ) -> LocalBoxFuture<'a, Result<Account>> {
        let user = User::new(access::user(namespace, name));
        let token = self.cluster.sign_in(user.clone());
        let account = Account::new(namespace, name, token.as_str());
        let login = Login {
            user,
            token,
            account: account.clone(),
        };
        self.accounts().insert(account.user(), login);
        done(Ok(account))
    }

    fn revoke<'a>(&'a self, account: &'a Account) -> LocalBoxFuture<'a, Result> {
        if let Some(login) = self.accounts().get(&account.user()) {
            self.cluster.expire(&login.token);
        }
        done(Ok(()))
    }

    fn renew<'a>(&'a self, account: &'a Account) -> LocalBoxFuture<'a, Result> {
        if let Some(login) = self.accounts().get_mut(&account.user()) {
            login.token = self.cluster.rotate(&login.token);
            account.set_token(login.token.as_str());
        }
        done(Ok(()))
    }

    fn grant<'a>(&'a self, manifest: &'a [Document]) -> LocalBoxFuture<'a, Result> {
        let mut bindings = manifest
            .iter()
            .filter(|document| document.at("/kind").ends_with("Binding"));
        let bind = |binding: &Document| {
            let wanted = (binding.at("/roleRef/kind"), binding.at("/roleRef/name"));
            let role = manifest
                .iter()
                .find(|role| (role.at("/kind"), role.at("/metadata/name")) == wanted)
                .ok_or_else(|| {
                    Failure::new(format_args!("no {wanted:?} for:\n{}", binding.text))
                })?;
            self.bind(
                binding,
                &role.object.get("rules").cloned().unwrap_or_default(),
            )
        };
        done(bindings.try_for_each(bind))
    }
}

/// There is nothing to wait for.
fn done<T: 'static>(result: Result<T>) -> LocalBoxFuture<'static, Result<T>> {
    ready(result).boxed_local()
}
