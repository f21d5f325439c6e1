//! Why a cluster cannot be used at all.

use std::{error::Error as StdError, path::PathBuf};

/// Why no cluster was found, or the one that was cannot be talked to.
///
/// What goes wrong later, while watching, is a [`SourceError`](portolan_core::SourceError) in the
/// stream of resolutions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no kubeconfig where it was looked for, and this is not a Pod.
    #[error(
        "no kubeconfig at {}, and this is not a Pod with a service account: set KUBECONFIG to a \
         kubeconfig, or run in a Pod whose service account token is mounted",
        paths(.looked_at)
    )]
    KubeconfigMissing {
        /// The files that were looked for.
        looked_at: Vec<PathBuf>,
        /// Why the file could not be read.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The kubeconfig that was named is not there.
    #[error("there is no kubeconfig at `{}`; name one that is there", .file.display())]
    NoSuchKubeconfig {
        /// The file that was named.
        file: PathBuf,
        /// Why the file could not be read.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The kubeconfig is not one.
    #[error("the kubeconfig {} cannot be understood: {cause}", paths(.files))]
    KubeconfigMalformed {
        /// The files that were read.
        files: Vec<PathBuf>,
        /// What is wrong with them.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The kubeconfig has no context of this name.
    #[error(
        "the kubeconfig {} has no context `{context}`, it has: {}; choose one with \
         `kubectl config use-context NAME`",
        paths(.files),
        names(.known)
    )]
    UnknownContext {
        /// The files that were read.
        files: Vec<PathBuf>,
        /// The context that was asked for; empty where none was, and none is the current one.
        context: String,
        /// The contexts that there are.
        known: Vec<String>,
    },
    /// The kubeconfig's context leads to something that cannot be loaded: a certificate, a key, a URL.
    #[error("the kubeconfig {} cannot be used: {cause}", paths(.files))]
    KubeconfigUnusable {
        /// The files that were read.
        files: Vec<PathBuf>,
        /// What could not be loaded.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// This is a Pod, but its service account cannot be used.
    #[error(
        "the service account of this Pod cannot be used: {cause}; is \
         `automountServiceAccountToken` off?"
    )]
    ServiceAccount {
        /// What could not be loaded.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The client could not be made: TLS, credentials, a proxy.
    #[error("no client for the API server can be made of this configuration: {cause}")]
    Client {
        /// What is wrong with it.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
}

fn paths(paths: &[PathBuf]) -> String {
    let paths: Vec<_> = paths
        .iter()
        .map(|path| format!("`{}`", path.display()))
        .collect();
    paths.join(", ")
}

fn names(names: &[String]) -> String {
    if names.is_empty() {
        return "none".into();
    }
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
