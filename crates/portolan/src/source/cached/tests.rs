//! With streams, files and a paused clock, which stands still while a file is read or written.

use std::fs;

use portolan_core::{Endpoint, Placement};
use tempfile::TempDir;

use super::*;
use crate::source::{Channel, Teller, channel};

fn list(endpoints: u8) -> EndpointSet {
    let endpoint = |nth| {
        let address = format!("10.0.0.{nth}:80").parse().unwrap();
        Endpoint::new(Placement::new(format!("db-{nth}")), address).with_uid(format!("{nth}"))
    };
    (0..endpoints).map(endpoint).collect()
}

fn present(endpoints: u8) -> Resolution {
    Resolution::Present(list(endpoints))
}

fn refused() -> Resolution {
    let error = SourceError::new(SourceErrorKind::Unavailable, "connection refused");
    Resolution::Failed(error)
}

/// One life of a program.
struct Life {
    teller: Teller,
    stream: BoxStream<'static, Resolution>,
    started: Instant,
}

fn service() -> ServiceRef {
    "db.shop:client".parse().unwrap()
}

fn begin(directory: &TempDir, set: impl Fn(Cached) -> Cached) -> Life {
    let (teller, source) = channel();
    Life {
        stream: set(cached(source, directory.path())).watch(&service()),
        teller,
        started: Instant::now(),
    }
}

impl Life {
    async fn said(&mut self) -> Resolution {
        self.stream.next().await.unwrap()
    }

    async fn says(&mut self, endpoints: u8) {
        match self.said().await {
            Resolution::Present(set) => assert_eq!(set, list(endpoints)),
            other => panic!("{other:?}"),
        }
    }

    async fn fails(&mut self) -> SourceError {
        match self.said().await {
            Resolution::Failed(error) => error,
            other => panic!("{other:?}"),
        }
    }

    /// Lets time pass, with nothing said.
    async fn passes(&mut self, seconds: u64) {
        let said = timeout(Duration::from_secs(seconds), self.stream.next()).await;
        assert!(said.is_err(), "{said:?}");
    }
}

fn store(directory: &TempDir) -> Store {
    Store::new(directory.path(), &service(), type_name::<Channel>().into())
}

fn on_disk(directory: &TempDir) -> Option<EndpointSet> {
    let kept = store(directory).read(Duration::from_secs(3600)).unwrap();
    kept.map(|(endpoints, _)| endpoints)
}

/// As if it had been written so long ago.
fn age_file(directory: &TempDir, endpoints: &EndpointSet, age: Duration) {
    let owner = format::Owner {
        service: &service().to_string(),
        origin: type_name::<Channel>(),
    };
    let written = std::time::SystemTime::now() - age;
    let bytes = format::encode(owner, endpoints, written).unwrap();
    fs::write(store(directory).path(), bytes).unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_start_without_the_source_goes_by_what_was_kept() {
    let directory = tempfile::tempdir().unwrap();
    let mut life = begin(&directory, |cached| cached);
    life.teller.tell(present(3));
    life.says(3).await;
    life.passes(1).await;
    drop(life);

    age_file(&directory, &list(3), Duration::from_secs(90));
    let mut life = begin(&directory, |cached| cached);
    life.teller.tell(refused());
    life.says(3).await;
    let error = life.fails().await;
    // The file has whole seconds, of which one may have begun meanwhile.
    assert!(matches!(error.age().as_secs(), 90..=91), "{error:?}");
    assert_eq!(error.kind(), SourceErrorKind::Unavailable);
    let text = error.to_string();
    assert!(
        text.starts_with("connection refused; using the endpoints of 9"),
        "{text}"
    );
    let first_age = error.age();
    // It ages on, for as long as nothing good is said.
    life.passes(30).await;
    life.teller.tell(refused());
    let age = life.fails().await.age();
    assert_eq!(age.as_secs(), first_age.as_secs() + 30);
    life.teller.tell(present(2));
    life.says(2).await;
    life.passes(1).await;
    assert_eq!(on_disk(&directory), Some(list(2)));
    // From then on failures are the source's own affair.
    life.teller.tell(refused());
    let error = life.fails().await;
    assert_eq!(
        (error.age(), error.to_string().as_str()),
        (Duration::ZERO, "connection refused")
    );
}

#[tokio::test(start_paused = true)]
async fn a_source_that_says_nothing_has_its_head_start() {
    let directory = tempfile::tempdir().unwrap();
    age_file(&directory, &list(1), Duration::from_secs(10));
    let mut life = begin(&directory, |cached| cached);
    life.says(1).await;
    assert_eq!(life.started.elapsed(), Duration::from_secs(1));
    let error = life.fails().await;
    assert!(
        error
            .to_string()
            .starts_with("the source has said nothing yet; "),
        "{error}"
    );
    life.teller.tell(Resolution::Absent);
    assert!(matches!(life.said().await, Resolution::Absent));

    // One that speaks in time is not second-guessed.
    age_file(&directory, &list(1), Duration::from_secs(10));
    let mut life = begin(&directory, |cached| cached);
    life.teller.tell(present(2));
    life.says(2).await;
    life.passes(10).await;
}

#[tokio::test(start_paused = true)]
async fn without_anything_kept_it_is_as_without_a_cache() {
    let directory = tempfile::tempdir().unwrap();
    let mut life = begin(&directory, |cached| cached);
    life.passes(60).await;
    life.teller.tell(refused());
    assert_eq!(life.fails().await.age(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_corrupt_foreign_or_too_old_is_never_used() {
    let good = {
        let directory = tempfile::tempdir().unwrap();
        age_file(&directory, &list(1), Duration::ZERO);
        fs::read_to_string(store(&directory).path()).unwrap()
    };
    let spoilt: [(&str, String); 5] = [
        ("empty", String::new()),
        ("truncated", good[..good.len() - 1].to_owned()),
        ("corrupt", good.replace("10.0.0.0", "10.0.0.9")),
        ("future", good.replace("endpoints 1 ", "endpoints 2 ")),
        ("oversize", format!("{good}{}", " ".repeat(16 << 20))),
    ];
    for (what, content) in spoilt {
        let directory = tempfile::tempdir().unwrap();
        fs::write(store(&directory).path(), content).unwrap();
        let mut life = begin(&directory, |cached| cached);
        life.teller.tell(refused());
        assert_eq!(
            life.fails().await.to_string(),
            "connection refused",
            "{what}"
        );
        // It is replaced like any other.
        life.teller.tell(present(2));
        life.says(2).await;
        life.passes(1).await;
        assert_eq!(on_disk(&directory), Some(list(2)), "{what}");
    }
    // Another origin has a file of its own; a limit on the age is a limit.
    let directory = tempfile::tempdir().unwrap();
    age_file(&directory, &list(1), Duration::from_secs(61));
    for set in [
        (|cached| cached.origin("another")) as fn(Cached) -> Cached,
        |cached| cached.max_age(Duration::from_secs(60)),
    ] {
        let mut life = begin(&directory, set);
        life.teller.tell(refused());
        assert_eq!(life.fails().await.to_string(), "connection refused");
    }
}

#[tokio::test(start_paused = true)]
async fn many_changes_are_few_writes_and_the_last_one_counts() {
    let directory = tempfile::tempdir().unwrap();
    let mut life = begin(&directory, |cached| cached);
    life.teller.tell(present(1));
    life.says(1).await;
    life.passes(1).await;
    assert_eq!(on_disk(&directory), Some(list(1)));
    for endpoints in 2..8 {
        life.teller.tell(present(endpoints));
        life.says(endpoints).await;
        life.passes(0).await;
        assert_eq!(
            on_disk(&directory),
            Some(list(1)),
            "it is too soon for another write"
        );
    }
    life.passes(5).await;
    assert_eq!(on_disk(&directory), Some(list(7)));
    // No endpoints, no file.
    life.teller.tell(present(0));
    life.says(0).await;
    life.passes(6).await;
    assert_eq!(on_disk(&directory), None);
}

#[tokio::test(start_paused = true)]
async fn the_age_on_disk_is_that_of_the_last_good_word() {
    let directory = tempfile::tempdir().unwrap();
    let mut life = begin(&directory, |cached| cached);
    life.teller.tell(present(1));
    life.says(1).await;
    life.passes(1).await;
    let spoil = || fs::remove_file(store(&directory).path()).unwrap();
    // It is written again from time to time while the source works…
    spoil();
    life.passes(301).await;
    assert_eq!(on_disk(&directory), Some(list(1)));
    // …and not while it fails…
    life.teller.tell(refused());
    life.fails().await;
    spoil();
    life.passes(3600).await;
    assert_eq!(on_disk(&directory), None);
    // …but as soon as it works again, even with the same list.
    life.teller.tell(present(1));
    life.says(1).await;
    life.passes(1).await;
    assert_eq!(on_disk(&directory), Some(list(1)));
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_takes_nothing_is_no_failure_of_the_source() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), "").unwrap();
    let (teller, source) = channel();
    let mut stream = cached(source, directory.path().join("file")).watch(&service());
    teller.tell(present(1));
    assert!(matches!(stream.next().await, Some(Resolution::Present(_))));
    let said = timeout(Duration::from_secs(600), stream.next()).await;
    assert!(said.is_err(), "{said:?}");
    // Once it takes something, it is given it.
    fs::remove_file(directory.path().join("file")).unwrap();
    let said = timeout(Duration::from_secs(61), stream.next()).await;
    assert!(said.is_err(), "{said:?}");
    let inner = directory.path().join("file");
    assert_eq!(fs::read_dir(inner).unwrap().count(), 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_head_start_a_source_that_speaks_at_once_still_counts() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..20 {
        age_file(&directory, &list(1), Duration::from_secs(10));
        let mut life = begin(&directory, |cached| cached.head_start(Duration::ZERO));
        life.teller.tell(present(2));
        life.says(2).await;
    }
}
