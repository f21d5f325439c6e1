//! Finding the cluster, and telling well why there is none.

use std::{
    env,
    ffi::OsString,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    path::{Path, PathBuf},
    sync::LazyLock,
};

use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use crate::{Error, Vantage, redact};

/// Where `kubelet` mounts it in every Pod, unless `automountServiceAccountToken` is off.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Set in every Pod (`kubelet`).
pub(super) const IN_A_POD: &str = "KUBERNETES_SERVICE_HOST";

/// What of the environment says where the cluster is; an argument, so that tests need no other
/// process.
#[derive(Debug, Default)]
struct Surroundings {
    /// The variable that every Pod has is set.
    is_pod: bool,
    service_account: Option<ServiceAccount>,
    kubeconfig: Option<OsString>,
    home: Option<PathBuf>,
}

/// What a Pod has to reach the API server with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServiceAccount {
    /// The URL of the API server.
    server: String,
    /// The folder of `token`, `ca.crt` and `namespace`.
    folder: PathBuf,
}

/// Where a configuration is read, so that it can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    ServiceAccount(ServiceAccount),
    /// A file that was named, and must be there.
    Kubeconfig {
        file: PathBuf,
        context: Option<String>,
    },
    /// Files that are merged by the rules of kubectl, of which some may be missing.
    Kubeconfigs {
        files: Vec<PathBuf>,
        context: Option<String>,
    },
}

/// A configuration that was read.
#[derive(Debug)]
pub(super) struct Found {
    /// Where it was read. The context is named, whatever the current one will be later.
    pub(super) origin: Origin,
    pub(super) config: Config,
    /// The same for configurations of the same text, within this process.
    pub(super) fingerprint: u64,
}

impl Surroundings {
    fn of_this_process() -> Self {
        let host = env::var(IN_A_POD).ok();
        let port = env::var("KUBERNETES_SERVICE_PORT").ok();
        let folder = PathBuf::from(SERVICE_ACCOUNT);
        Self {
            is_pod: host.is_some(),
            service_account: host.filter(|_| folder.join("token").exists()).map(|host| {
                ServiceAccount {
                    server: server(&host, port.as_deref()),
                    folder,
                }
            }),
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

    fn origin(self) -> Origin {
        let files = self.kubeconfigs();
        match self.service_account {
            Some(service_account) => Origin::ServiceAccount(service_account),
            None => Origin::Kubeconfigs {
                files,
                context: None,
            },
        }
    }
}

/// The URL of the API server that a Pod is told of.
fn server(host: &str, port: Option<&str>) -> String {
    let port = port.unwrap_or("443");
    match host.parse() {
        Ok(IpAddr::V6(ip)) => format!("https://[{ip}]:{port}"),
        _ => format!("https://{host}:{port}"),
    }
}

pub(super) async fn infer() -> Result<Found, Error> {
    Surroundings::of_this_process().origin().read().await
}

pub(super) async fn from_kubeconfig(path: &Path, context: Option<&str>) -> Result<Found, Error> {
    let origin = Origin::Kubeconfig {
        file: path.to_owned(),
        context: context.map(str::to_owned),
    };
    origin.read().await
}

/// Where this program stands.
pub(super) fn vantage() -> Vantage {
    Surroundings::of_this_process().vantage()
}

impl Origin {
    /// Reads what is there now.
    pub(super) async fn read(self) -> Result<Found, Error> {
        match self {
            Self::ServiceAccount(service_account) => service_account.read(),
            Self::Kubeconfig { file, context } => {
                let files = vec![file.clone()];
                let kubeconfig = match Kubeconfig::read_from(&file) {
                    Ok(kubeconfig) => kubeconfig,
                    Err(cause) if is_missing(&cause) => {
                        return Err(Error::NoSuchKubeconfig {
                            file,
                            cause: cause.into(),
                        });
                    }
                    Err(cause) => return Err(unread(cause, files)),
                };
                load(kubeconfig, files, context, |context| Self::Kubeconfig {
                    file,
                    context,
                })
                .await
            }
            Self::Kubeconfigs { files, context } => {
                let kubeconfig = merge(&files)?;
                let again = files.clone();
                load(kubeconfig, files, context, |context| Self::Kubeconfigs {
                    files: again,
                    context,
                })
                .await
            }
        }
    }
}

impl Found {
    pub(super) fn client(self) -> Result<Client, Error> {
        client(self.config)
    }
}

impl ServiceAccount {
    fn read(self) -> Result<Found, Error> {
        let unusable =
            |cause: Box<dyn std::error::Error + Send + Sync>| Error::ServiceAccount { cause };
        let read = |name: &str| {
            std::fs::read_to_string(self.folder.join(name)).map_err(|cause| unusable(cause.into()))
        };
        // The same as `Config::incluster`, which has its paths built in: no proxy, whatever
        // HTTPS_PROXY says, since the API server is near.
        let server = self.server.parse::<http::Uri>();
        let mut config = Config::new(server.map_err(|cause| unusable(cause.into()))?);
        config.default_namespace = read("namespace")?;
        config.auth_info.token_file = Some(self.folder.join("token").display().to_string());
        // The file is read again as it rotates. That it is there is seen to here, where it can be
        // said; beside it nothing is trusted.
        read("ca.crt")?;
        config.root_cert_file = Some(self.folder.join("ca.crt"));
        config.root_cert = Some(Vec::new());
        Ok(Found {
            origin: Origin::ServiceAccount(self),
            config,
            fingerprint: 0,
        })
    }
}

fn merge(files: &[PathBuf]) -> Result<Kubeconfig, Error> {
    let mut merged: Option<Kubeconfig> = None;
    let mut missing = KubeconfigError::FindPath;
    for file in files {
        let next = match Kubeconfig::read_from(file) {
            Ok(next) => next,
            // Of several files, some may be missing.
            Err(cause) if is_missing(&cause) => {
                missing = cause;
                continue;
            }
            Err(cause) => return Err(unread(cause, files.to_vec())),
        };
        merged = match merged {
            None => Some(next),
            Some(former) => match former.merge(next) {
                Ok(merged) => Some(merged),
                Err(cause) => return Err(unread(cause, files.to_vec())),
            },
        };
    }
    merged.ok_or_else(|| unread(missing, files.to_vec()))
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
    context: Option<String>,
    origin: impl FnOnce(Option<String>) -> Origin,
) -> Result<Found, Error> {
    let known: Vec<_> = kubeconfig
        .contexts
        .iter()
        .map(|context| context.name.clone())
        .collect();
    let context = context.or_else(|| kubeconfig.current_context.clone());
    let fingerprint = fingerprint(&kubeconfig);
    let options = KubeConfigOptions {
        context: context.clone(),
        ..KubeConfigOptions::default()
    };
    match Config::from_custom_kubeconfig(kubeconfig, &options).await {
        Ok(config) => Ok(Found {
            origin: origin(context),
            config,
            fingerprint,
        }),
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

/// A number instead of the text, which has secrets.
fn fingerprint(kubeconfig: &Kubeconfig) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    match serde_json::to_vec(kubeconfig) {
        Ok(text) => KEYS.hash_one(text),
        // Then it is like no other.
        Err(_) => fastrand::u64(..),
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
        cause: match redact::credentials(&error) {
            Some(reason) => reason.into(),
            None => error.into(),
        },
    })
}

#[cfg(test)]
mod tests;
