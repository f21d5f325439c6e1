//! Everything that must be decided and written before the first program starts.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener, UdpSocket},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, AtomicUsize, Ordering},
};

use tempfile::TempDir;

use super::{
    RealError, RealOptions,
    access::Access,
    coredns::CoreDns,
    pki::{Authority, TokenKey},
    program::Program,
    programs,
};

/// A cluster that is ready to be started.
#[derive(Debug)]
pub(super) struct Launch {
    pub(super) access: Access,
    pub(super) etcd: Program,
    pub(super) etcd_port: u16,
    pub(super) api: Program,
    pub(super) controllers: Program,
    pub(super) dns: CoreDns,
    pub(super) logs: PathBuf,
    pub(super) state: TempDir,
}

impl Launch {
    pub(super) fn prepare(options: &RealOptions) -> Result<Self, RealError> {
        let state = tempfile::Builder::new()
            .prefix("portolan-real-")
            .tempdir()
            .map_err(RealError::io("make a folder for the cluster's state"))?;
        let logs = logs(state.path())?;
        let [etcd_port, peer_port, api_port] = [free_port()?, free_port()?, free_port()?];
        let authority = Authority::new()?;
        let files = Files::write(state.path(), &authority)?;
        let access = Access::new(api_port, authority)?;
        let kubeconfig = access
            .user_kubeconfig("system:kube-controller-manager")?
            .to_string();
        let kubeconfig = files.write_file("controllers.kubeconfig", &kubeconfig)?;

        let program = |name: &'static str, arguments, more: &[String]| {
            let log = logs.join(format!("{name}.log"));
            let arguments = [arguments, more.to_vec()].concat();
            Ok::<_, RealError>(Program::new(name, programs::find(name)?, arguments, log))
        };
        let data = state.path().join("etcd");
        let etcd = program("etcd", etcd_flags(&data, etcd_port, peer_port), &[])?;
        let api = program(
            "kube-apiserver",
            api_flags(&files, etcd_port, api_port),
            &options.api_flags,
        )?;
        let controllers = program(
            "kube-controller-manager",
            controller_flags(&files, &kubeconfig),
            &options.controller_flags,
        )?;
        let dns = program("coredns", CoreDns::flags(state.path()), &[])?;
        let dns = CoreDns::new(dns, state.path(), free_port()?, free_port()?);
        Ok(Self {
            access,
            etcd,
            etcd_port,
            api,
            controllers,
            dns,
            logs,
            state,
        })
    }
}

/// A folder for the logs of this cluster, where `cargo xtask real` looks for them.
fn logs(state: &Path) -> Result<PathBuf, RealError> {
    static CLUSTERS: AtomicUsize = AtomicUsize::new(1);
    let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
    let all = env::var_os("PORTOLAN_REAL_LOGS").map_or_else(|| state.join("logs"), PathBuf::from);
    let folder = all.join(format!("cluster-{number:03}"));
    fs::create_dir_all(&folder).map_err(RealError::io(format!("make {}", folder.display())))?;
    Ok(folder)
}

/// Finds a port that no server has.
///
/// Not one of those that the kernel gives to connections (from 32768): while the API server
/// is stopped, a client that dials such a port may be given that same port to dial from, and
/// then is connected to itself.
fn free_port() -> Result<u16, RealError> {
    const FIRST: u16 = 20_000;
    const LAST: u16 = 29_999;
    static NEXT: AtomicU16 = AtomicU16::new(FIRST);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if port > LAST {
            return Err(RealError::NoPort {
                first: FIRST,
                last: LAST,
            });
        }
        // CoreDNS needs it for UDP as well.
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, port));
        if udp.is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
}

/// The secrets that the programs read.
#[derive(Debug, Default)]
struct Files {
    folder: PathBuf,
    authority: String,
    server_certificate: String,
    server_key: String,
    token_private_key: String,
    token_public_key: String,
}

impl Files {
    fn write(folder: &Path, authority: &Authority) -> Result<Self, RealError> {
        let server = authority.server("kube-apiserver")?;
        let tokens = TokenKey::new()?;
        let mut files = Self {
            folder: folder.to_path_buf(),
            ..Self::default()
        };
        files.authority = files.write_file("authority.crt", &authority.certificate)?;
        files.server_certificate = files.write_file("server.crt", &server.certificate)?;
        files.server_key = files.write_file("server.key", &server.key)?;
        files.token_private_key = files.write_file("tokens.key", &tokens.private)?;
        files.token_public_key = files.write_file("tokens.pub", &tokens.public)?;
        Ok(files)
    }

    fn write_file(&self, name: &str, text: &str) -> Result<String, RealError> {
        let file = self.folder.join(name);
        fs::write(&file, text).map_err(RealError::io(format!("write {}", file.display())))?;
        Ok(file.display().to_string())
    }
}

fn etcd_flags(data: &Path, port: u16, peer_port: u16) -> Vec<String> {
    let clients = format!("http://127.0.0.1:{port}");
    let peers = format!("http://127.0.0.1:{peer_port}");
    vec![
        format!("--data-dir={}", data.display()),
        // The data need not outlive the machine.
        "--unsafe-no-fsync".to_owned(),
        "--log-level=warn".to_owned(),
        format!("--listen-client-urls={clients}"),
        format!("--advertise-client-urls={clients}"),
        format!("--listen-peer-urls={peers}"),
        format!("--initial-advertise-peer-urls={peers}"),
        format!("--initial-cluster=default={peers}"),
    ]
}

fn api_flags(files: &Files, etcd_port: u16, port: u16) -> Vec<String> {
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd_port}"),
        "--bind-address=127.0.0.1".to_owned(),
        format!("--secure-port={port}"),
        // It refuses to advertise a loopback address; this one is written down and not used.
        "--advertise-address=10.96.255.254".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", files.server_certificate),
        format!("--tls-private-key-file={}", files.server_key),
        format!("--client-ca-file={}", files.authority),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", files.token_public_key),
        format!(
            "--service-account-signing-key-file={}",
            files.token_private_key
        ),
        // Dual stack: a Service has both families if it asks for them.
        "--service-cluster-ip-range=10.96.0.0/16,fd00:10:96::/112".to_owned(),
        "--authorization-mode=RBAC".to_owned(),
        // Pods run without a token of their own, on nodes that nobody reports ready.
        "--disable-admission-plugins=ServiceAccount,TaintNodesByCondition".to_owned(),
    ]
}

fn controller_flags(files: &Files, kubeconfig: &str) -> Vec<String> {
    const CONTROLLERS: [&str; 9] = [
        "deployment-controller",
        "endpoints-controller",
        "endpointslice-controller",
        "endpointslice-mirroring-controller",
        "garbage-collector-controller",
        "namespace-controller",
        "replicaset-controller",
        "serviceaccount-controller",
        "statefulset-controller",
    ];
    vec![
        format!("--kubeconfig={kubeconfig}"),
        // It serves nothing that is needed.
        "--secure-port=0".to_owned(),
        "--leader-elect=false".to_owned(),
        "--use-service-account-credentials=true".to_owned(),
        format!(
            "--service-account-private-key-file={}",
            files.token_private_key
        ),
        format!("--root-ca-file={}", files.authority),
        // A rolling restart must not wait for the controllers' own throttle.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        format!("--controllers={}", CONTROLLERS.join(",")),
    ]
}
