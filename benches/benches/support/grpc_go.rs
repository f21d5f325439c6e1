//! grpc-go's own balancer, in a process of its own that counts its own CPU time. Only where `go` is there.

use std::{
    io::{BufRead, BufReader, ErrorKind, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use portolan_benches::{BoxError, Run};

/// `benches/go`, asked for picks.
pub(crate) struct GrpcGo {
    process: Child,
    ask: ChildStdin,
    answer: BufReader<ChildStdout>,
}

impl GrpcGo {
    /// Builds and starts it, with a ring of so many points; `None` where there is no `go`.
    pub(crate) fn start(what: &str, hosts: u32, points: u32) -> Result<Option<Self>, BoxError> {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("go");
        let binary = Path::new(env!("CARGO_TARGET_TMPDIR")).join("grpc-go-ring");
        let build = Command::new("go")
            .arg("build")
            .arg("-o")
            .arg(&binary)
            .arg(".")
            .current_dir(source)
            .status();
        match build {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
            Ok(status) if !status.success() => return Err("benches/go cannot be built".into()),
            Ok(_) => {}
        }
        let mut process = Command::new(binary)
            .args(["pick", what, &hosts.to_string()])
            .args([points.to_string(), points.to_string()])
            // Where nobody says so, it makes no larger ones than 4,096.
            .env("GRPC_RING_HASH_CAP", points.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (ask, answer) = pipes.ok_or("no pipes to benches/go")?;
        Ok(Some(Self {
            process,
            ask,
            answer: BufReader::new(answer),
        }))
    }

    /// Has it pick so many times, and say what that cost.
    pub(crate) fn picks(&mut self, turns: u64) -> Result<Run, BoxError> {
        writeln!(self.ask, "{turns}")?;
        let mut line = String::new();
        self.answer.read_line(&mut line)?;
        let cpu = Duration::from_nanos(line.trim().parse()?);
        Ok(Run { cpu, wall: cpu })
    }
}

impl Drop for GrpcGo {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
