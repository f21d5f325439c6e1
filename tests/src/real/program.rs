//! One program of the control plane, and the process it runs as.

use std::{
    fs::{self, OpenOptions},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tokio::{task::spawn_blocking, time};

use super::RealError;

/// Between two looks at whether a program is ready.
const POLL: Duration = Duration::from_millis(20);
/// For one such look, so that one that hangs does not use up all the time there is.
const ATTEMPT: Duration = Duration::from_secs(5);
/// How much of a log goes into an error.
const LOG_LINES: usize = 20;

/// A program with all of its arguments, which can be started again and again.
#[derive(Debug)]
pub(super) struct Program {
    name: &'static str,
    file: PathBuf,
    arguments: Vec<String>,
    log: PathBuf,
    child: Option<Child>,
}

impl Program {
    pub(super) fn new(
        name: &'static str,
        file: PathBuf,
        arguments: Vec<String>,
        log: PathBuf,
    ) -> Self {
        Self {
            name,
            file,
            arguments,
            log,
            child: None,
        }
    }

    /// Starts it, unless it runs.
    pub(super) fn start(&mut self) -> Result<(), RealError> {
        if self.child.is_some() {
            return Ok(());
        }
        let failed = || RealError::io(format!("start {}", self.name));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .map_err(failed())?;
        let child = Command::new(&self.file)
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(log.try_clone().map_err(failed())?)
            .stderr(log)
            .spawn()
            .map_err(failed())?;
        self.child = Some(child);
        Ok(())
    }

    /// Tries to use it until that works; fails when it ends or time is up.
    pub(super) async fn until_ready(
        &mut self,
        timeout: Duration,
        attempt: impl AsyncFn() -> Result<(), String>,
    ) -> Result<(), RealError> {
        let started = Instant::now();
        loop {
            let reason = match time::timeout(ATTEMPT.min(timeout), attempt()).await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(reason)) => reason,
                Err(_) => "no answer".to_owned(),
            };
            self.still_runs()?;
            if started.elapsed() >= timeout {
                return Err(RealError::NotReady {
                    program: self.name,
                    waited: timeout,
                    reason,
                    log: self.log_tail(),
                });
            }
            time::sleep(POLL).await;
        }
    }

    fn still_runs(&mut self) -> Result<(), RealError> {
        let child = self
            .child
            .as_mut()
            .ok_or(RealError::NotRunning { program: self.name })?;
        match child
            .try_wait()
            .map_err(RealError::io(format!("look after {}", self.name)))?
        {
            None => Ok(()),
            Some(status) => {
                self.child = None;
                Err(RealError::Ended {
                    program: self.name,
                    status,
                    log: self.log_tail(),
                })
            }
        }
    }

    /// Kills it, and waits until its ports are free again.
    pub(super) async fn kill(&mut self) -> Result<(), RealError> {
        let Some(mut child) = self.child.take() else {
            return Ok(());
        };
        let ended = spawn_blocking(move || end(&mut child)).await;
        ended
            .unwrap_or_else(|error| Err(error.into()))
            .map_err(RealError::io(format!("kill {}", self.name)))
    }

    /// Sends it a signal by name, without the `SIG`.
    pub(super) fn signal(&self, signal: &str) -> Result<(), RealError> {
        let child = self
            .child
            .as_ref()
            .ok_or(RealError::NotRunning { program: self.name })?;
        let doing = format!("send SIG{signal} to {}", self.name);
        // The shell's own `kill` is there even where the program of that name is not.
        let output = Command::new("sh")
            .args([
                "-c",
                r#"kill -s "$0" "$1""#,
                signal,
                &child.id().to_string(),
            ])
            .output()
            .map_err(RealError::io(&doing))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        Err(RealError::io(doing)(std::io::Error::other(said)))
    }

    fn log_tail(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        let end = lines
            .get(lines.len().saturating_sub(LOG_LINES)..)
            .unwrap_or_default();
        format!("{}\n(all of it: {})", end.join("\n"), self.log.display())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // There is nobody to tell, and the namespace's end would end it, too.
            let _ = end(child);
        }
    }
}

fn end(child: &mut Child) -> std::io::Result<()> {
    child.kill()?;
    child.wait().map(drop)
}
