//! What `curl` needs to fetch something from the API server, where there is one: a yardstick that everybody knows.

use std::{io::ErrorKind, path::PathBuf, time::Duration};

use k8s_openapi::ByteString;
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::failure::{Failure, Result};

/// `curl`, with the credentials of a kubeconfig.
#[derive(Debug)]
pub struct Curl {
    url: String,
    credentials: TempDir,
}

impl Curl {
    /// For the user of a kubeconfig that has its certificates inside, at this address of the API server.
    ///
    /// # Errors
    /// If the kubeconfig is another kind of one.
    pub fn new(kubeconfig: &str, url: String) -> Result<Self> {
        let kubeconfig: Value = serde_json::from_str(kubeconfig)?;
        let credentials = tempfile::tempdir()?;
        for (file, pointer) in [
            ("ca", "/clusters/0/cluster/certificate-authority-data"),
            ("certificate", "/users/0/user/client-certificate-data"),
            ("key", "/users/0/user/client-key-data"),
        ] {
            let text = kubeconfig.pointer(pointer).cloned().unwrap_or_default();
            let ByteString(pem) = serde_json::from_value(text)?;
            std::fs::write(credentials.path().join(file), pem)?;
        }
        Ok(Self { url, credentials })
    }

    /// How long it takes to fetch this path and throw it away, from dialling on, by curl's own clock. `None` where there is no
    /// `curl`. To one that does not say that it is `curl`, the API server writes JSON without spaces.
    ///
    /// # Errors
    /// What curl says.
    pub async fn fetch(&self, path: &str, agent: Option<&str>) -> Result<Option<Duration>> {
        let file = |name: &str| -> PathBuf { self.credentials.path().join(name) };
        let mut command = Command::new("curl");
        command
            .args(["--silent", "--show-error", "--fail", "--max-time", "60"])
            .args(["--output", "/dev/null", "--write-out", "%{time_total}"])
            .arg("--cacert")
            .arg(file("ca"))
            .arg("--cert")
            .arg(file("certificate"))
            .arg("--key")
            .arg(file("key"))
            .kill_on_drop(true);
        if let Some(agent) = agent {
            command.args(["--user-agent", agent]);
        }
        let output = match command.arg(format!("{}{path}", self.url)).output().await {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            output => output?,
        };
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            return Err(Failure::new(format_args!("curl: {said}")));
        }
        let seconds: f64 = String::from_utf8_lossy(&output.stdout).trim().parse()?;
        Ok(Some(Duration::try_from_secs_f64(seconds)?))
    }
}
