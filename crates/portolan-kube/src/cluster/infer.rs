//! Finding the cluster, and telling well why there is none.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::{Error, Vantage, redact};

/// Set in every Pod (`kubelet`).
pub(super) const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";
/// Mounted into every Pod, unless `automountServiceAccountToken` is off.
const TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// What of the environment says where the cluster is; an argument, so that tests need no other
/// process.
#[derive(Debug, Default)]
struct Surroundings {
    /// The variable that every Pod has is set.
    is_pod: bool,
    /// Besides, there is a service account.
    in_a_pod: bool,
    kubeconfig: Option<OsString>,
    home: Option<PathBuf>,
}

impl Surroundings {
    fn of_this_process() -> Self {
        Self {
            is_pod: env::var_os(IN_A_POD).is_some(),
            in_a_pod: env::var_os(IN_A_POD).is_some() && Path::new(TOKEN).exists(),
            kubeconfig: env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty()),
            home: env::home_dir(),
        }
    }

    /// Where this program stands. One that goes by a kubeconfig may be a Pod that was given one, and knows by
    /// the variable that it is a Pod; of what cluster, nobody says.
    fn vantage(&self) -> Vantage {
        if self.is_pod {
            Vantage::Inside
        } else {
            Vantage::Outside
        }
    }

    /// The files that make up the kubeconfig, by the rules of kubectl.
    fn kubeconfigs(&self) -> Vec<PathBuf> {
        match &self.kubeconfig {
            Some(paths) => env::split_paths(paths)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            None => self
                .home
                .iter()
                .map(|home| home.join(".kube").join("config"))
                .collect(),
        }
    }
}

pub(super) async fn infer() -> Result<(Client, Vantage), Error> {
    let surroundings = Surroundings::of_this_process();
    let client = infer_in(&surroundings).await?;
    Ok((client, surroundings.vantage()))
}

async fn infer_in(surroundings: &Surroundings) -> Result<Client, Error> {
    if surroundings.in_a_pod {
        let config = Config::incluster().map_err(|cause| Error::ServiceAccount {
            cause: cause.into(),
        })?;
        return client(config);
    }
    let files = surroundings.kubeconfigs();
    let mut merged: Option<Kubeconfig> = None;
    let mut missing = KubeconfigError::FindPath;
    for file in &files {
        let next = match Kubeconfig::read_from(file) {
            Ok(next) => next,
            // Of several files, some may be missing.
            Err(cause) if is_missing(&cause) => {
                missing = cause;
                continue;
            }
            Err(cause) => return Err(unread(cause, files)),
        };
        merged = match merged {
            None => Some(next),
            Some(former) => match former.merge(next) {
                Ok(merged) => Some(merged),
                Err(cause) => return Err(unread(cause, files)),
            },
        };
    }
    match merged {
        Some(kubeconfig) => load(kubeconfig, files, None).await,
        None => Err(unread(missing, files)),
    }
}

pub(super) async fn from_kubeconfig(
    path: &Path,
    context: Option<&str>,
) -> Result<(Client, Vantage), Error> {
    let client = read_kubeconfig(path, context).await?;
    Ok((client, Surroundings::of_this_process().vantage()))
}

async fn read_kubeconfig(path: &Path, context: Option<&str>) -> Result<Client, Error> {
    let files = vec![path.to_owned()];
    match Kubeconfig::read_from(path) {
        Ok(kubeconfig) => load(kubeconfig, files, context).await,
        Err(cause) if is_missing(&cause) => Err(Error::NoSuchKubeconfig {
            file: path.to_owned(),
            cause: cause.into(),
        }),
        Err(cause) => Err(unread(cause, files)),
    }
}

fn is_missing(cause: &KubeconfigError) -> bool {
    match cause {
        KubeconfigError::ReadConfig(io, _) => io.kind() == std::io::ErrorKind::NotFound,
        KubeconfigError::FindPath => true,
        _ => false,
    }
}

fn unread(cause: KubeconfigError, files: Vec<PathBuf>) -> Error {
    if is_missing(&cause) {
        return Error::KubeconfigMissing {
            looked_at: files,
            cause: cause.into(),
        };
    }
    Error::KubeconfigMalformed {
        files,
        cause: redact::kubeconfig_error(cause),
    }
}

async fn load(
    kubeconfig: Kubeconfig,
    files: Vec<PathBuf>,
    context: Option<&str>,
) -> Result<Client, Error> {
    let known: Vec<_> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(config) => client(config),
        Err(KubeconfigError::LoadContext(context)) => Err(Error::UnknownContext {
            files,
            context,
            known,
        }),
        Err(KubeconfigError::CurrentContextNotSet) => Err(Error::UnknownContext {
            files,
            context: String::new(),
            known,
        }),
        Err(cause) => Err(Error::KubeconfigUnusable {
            files,
            cause: cause.into(),
        }),
    }
}

fn client(mut config: Config) -> Result<Client, Error> {
    // Watches have a backoff of their own, and a failure that is retried in secret is seen late.
    config.default_retry = false;
    // A file may end with a newline, a namespace does not.
    config
        .default_namespace
        .truncate(config.default_namespace.trim_end().len());
    Client::try_from(config).map_err(|error| Error::Client {
        cause: match error {
            kube::Error::Auth(error) => redact::auth_error(&error).into(),
            other => other.into(),
        },
    })
}

#[cfg(test)]
mod tests;
