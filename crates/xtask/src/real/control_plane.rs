//! etcd, kube-apiserver, kube-controller-manager and CoreDNS, built from their Go modules.
//!
//! The folder `go` has a module for each that pins the version, and whose `go.sum` has the
//! checksum of everything that goes in. What was built is kept outside the target folder, for
//! each module under a name made from all of that, and is built again only when its pin changes.

use std::{
    collections::VecDeque,
    env, fs,
    fs::File,
    hash::{DefaultHasher, Hash, Hasher},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::outcome::{Doing, Failure, say, succeeded};

/// A Go module of the folder `go`, which is built into one or more programs.
struct Module {
    /// Its name: the folder's, and that under which it is spoken of.
    name: &'static str,
    /// The dependency whose version is the one meant.
    pinned: &'static str,
    /// The packages to build, as `go build` calls them.
    packages: &'static [&'static str],
    /// What is written here and not there: the sources of programs of our own.
    sources: &'static [&'static str],
    /// Where the program keeps its own version, when that is left to the linker.
    version_variable: Option<&'static str>,
}

const MODULES: [Module; 3] = [
    Module {
        name: "etcd",
        pinned: "go.etcd.io/etcd/server/v3",
        packages: &["."],
        sources: &["main.go"],
        version_variable: None,
    },
    Module {
        name: "kubernetes",
        pinned: "k8s.io/kubernetes",
        // The programs of the `tool` block, and one that asks kube-proxy's code what it would do.
        packages: &["tool", "./categorize"],
        sources: &["categorize/main.go"],
        version_variable: Some("k8s.io/component-base/version.gitVersion"),
    },
    Module {
        name: "coredns",
        pinned: "github.com/coredns/coredns",
        packages: &["."],
        sources: &["main.go"],
        version_variable: None,
    },
];

/// What decides how the programs turn out, apart from the modules.
const SETTINGS: [(&str, &str); 4] = [
    // The same programs on every Linux, and no C compiler needed.
    ("CGO_ENABLED", "0"),
    // As pinned: neither go.mod nor go.sum may change, nor another Go be fetched.
    ("GOFLAGS", "-mod=readonly -buildvcs=false"),
    ("GOWORK", "off"),
    ("GOTOOLCHAIN", "local"),
];

/// Returns the folders with the programs, one for each module; builds those that are not there.
pub(super) fn build() -> Result<Vec<PathBuf>, Failure> {
    let cache = cache()?;
    fs::create_dir_all(&cache).doing(format_args!("make {}", cache.display()))?;
    // Of two runs at once, the second waits and finds what the first built.
    let lock = cache.join("lock");
    let lock = File::create(&lock).doing(format_args!("make {}", lock.display()))?;
    lock.lock().doing("wait for another build")?;
    MODULES
        .iter()
        .map(|module| module.provide(&cache))
        .collect()
}

impl Module {
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("go")
            .join(self.name)
    }

    fn version(&self) -> Result<String, Failure> {
        let file = self.folder().join("go.mod");
        let text = fs::read_to_string(&file).doing(format_args!("read {}", file.display()))?;
        pinned_version(&text, self.pinned).ok_or_else(|| {
            Failure::new(format_args!(
                "{} does not pin {}",
                file.display(),
                self.pinned
            ))
        })
    }

    /// The folder with its programs, which are built if it is not there.
    fn provide(&self, cache: &Path) -> Result<PathBuf, Failure> {
        let finished = cache.join(self.key()?);
        if !finished.exists() {
            let unfinished = cache.join("unfinished");
            let _ = fs::remove_dir_all(&unfinished);
            self.build(&unfinished)?;
            fs::rename(&unfinished, &finished)
                .doing(format_args!("make {}", finished.display()))?;
        }
        say(format_args!("{}: {}", self.name, finished.display()));
        Ok(finished)
    }

    /// A name for what is built: the version to read, and a digest of all that matters.
    fn key(&self) -> Result<String, Failure> {
        // Another release of Rust may digest differently, which costs one build.
        let mut digest = DefaultHasher::new();
        (SETTINGS, env::consts::ARCH).hash(&mut digest);
        for file in ["go.mod", "go.sum"].iter().chain(self.sources) {
            let path = self.folder().join(file);
            let bytes = fs::read(&path).doing(format_args!("read {}", path.display()))?;
            bytes.hash(&mut digest);
        }
        let (name, version) = (self.name, self.version()?);
        Ok(format!("{name}-{version}-{:016x}", digest.finish()))
    }

    fn build(&self, into: &Path) -> Result<(), Failure> {
        let version = self.version()?;
        say(format_args!(
            "building {} {version}: minutes when Go's own cache is cold",
            self.name
        ));
        let mut linker = "-s -w".to_owned();
        if let Some(variable) = self.version_variable {
            linker += &format!(" -X {variable}={version}");
        }
        let mut go = Command::new("go");
        // The slash makes it a folder even for one program, which is named as its package.
        go.args(["build", "-v", "-ldflags", &linker, "-o"])
            .arg(into.join(""));
        go.args(self.packages)
            .current_dir(self.folder())
            .envs(SETTINGS)
            .stdin(Stdio::null());
        run_with_progress(&mut go, self.name)
    }
}

/// `1.2.3` of the line `PATH v1.2.3` of a go.mod, with its `v`.
fn pinned_version(go_mod: &str, path: &str) -> Option<String> {
    go_mod.lines().find_map(|line| {
        let line = line.trim();
        let mut words = line
            .strip_prefix("require ")
            .unwrap_or(line)
            .split_whitespace();
        (words.next() == Some(path)).then(|| words.next().map(str::to_owned))?
    })
}

/// Runs `go build -v`, which names each package that it compiles, and counts them.
fn run_with_progress(go: &mut Command, name: &str) -> Result<(), Failure> {
    const INTERVAL: Duration = Duration::from_secs(20);
    const KEPT: usize = 40;
    let started = Instant::now();
    let mut child = go
        .stderr(Stdio::piped())
        .spawn()
        .doing(format_args!("run {go:?}"))?;
    let mut said = started;
    let mut packages = 0;
    let mut other_lines = VecDeque::new();
    for line in child
        .stderr
        .take()
        .into_iter()
        .flat_map(|stderr| BufReader::new(stderr).lines())
    {
        let line = line.doing("read what go says")?;
        if line.contains([' ', ':']) {
            other_lines.push_back(line);
            if other_lines.len() > KEPT {
                other_lines.pop_front();
            }
        } else {
            packages += 1;
        }
        if said.elapsed() >= INTERVAL {
            said = Instant::now();
            say(format_args!(
                "  {name}: {packages} packages in {} s",
                started.elapsed().as_secs()
            ));
        }
    }
    let status = child.wait().doing("wait for go")?;
    if !status.success() {
        other_lines.iter().for_each(say);
    }
    succeeded(status, go)?;
    say(format_args!(
        "built {name}: {packages} packages in {} s",
        started.elapsed().as_secs()
    ));
    Ok(())
}

/// The folder for what outlives the target folder.
fn cache() -> Result<PathBuf, Failure> {
    let set = |variable| {
        env::var_os(variable)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("PORTOLAN_CACHE")
        .or_else(|| Some(set("XDG_CACHE_HOME")?.join("portolan")))
        .or_else(|| Some(set("HOME")?.join(".cache/portolan")))
        .ok_or_else(|| {
            Failure::new("set PORTOLAN_CACHE to a folder to build in, as HOME is not set")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_pin_in_a_block_or_alone() {
        let block = "module m\n\nrequire (\n\tk8s.io/api v0.1.0\n\tk8s.io/kubernetes v1.37.2\n)\n";
        assert_eq!(
            pinned_version(block, "k8s.io/kubernetes").as_deref(),
            Some("v1.37.2")
        );
        assert_eq!(
            pinned_version("require e/v3 v3.7.3", "e/v3").as_deref(),
            Some("v3.7.3")
        );
        assert_eq!(pinned_version(block, "k8s.io"), None);
    }

    #[test]
    fn every_module_is_pinned_and_kept_under_a_name_of_its_own() {
        for module in &MODULES {
            let (name, version) = (module.name, module.version().unwrap());
            assert!(version.starts_with('v'), "{name}");
            let key = module.key().unwrap();
            assert!(key.starts_with(&format!("{name}-{version}-")), "{key}");
        }
    }
}
