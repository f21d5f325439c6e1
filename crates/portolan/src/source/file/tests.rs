//! On real files, under paused time: which stands still while a file is read.

use std::{fs, io::Write, path::PathBuf};

use tempfile::TempDir;
use tokio::time::timeout;

use super::*;

struct Trial {
    directory: TempDir,
    stream: BoxStream<'static, Resolution>,
}

impl Trial {
    fn begin(content: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("endpoints.yaml");
        if let Some(content) = content {
            fs::write(&path, content).unwrap();
        }
        Self {
            stream: file(&path).watch(&"db.shop:client".parse().unwrap()),
            directory,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("endpoints.yaml")
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(self.path(), content).unwrap();
    }

    fn rename_over(&self, content: &str) {
        let other = self.directory.path().join("new");
        fs::write(&other, content).unwrap();
        fs::rename(other, self.path()).unwrap();
    }

    /// What is said next: the placements, or the error without the path.
    async fn said(&mut self) -> String {
        match self.stream.next().await.unwrap() {
            Resolution::Present(set) => {
                let names: Vec<_> = set.iter().map(|one| one.placement().to_string()).collect();
                names.join(" ")
            }
            Resolution::Absent => "absent".to_owned(),
            Resolution::Failed(error) => {
                let text = error.to_string();
                let prefix = format!(
                    "{}: ",
                    self.directory.path().join("endpoints.yaml").display()
                );
                format!(
                    "{:?}: {}",
                    error.kind(),
                    text.strip_prefix(&prefix).unwrap()
                )
            }
            _ => unreachable!(),
        }
    }

    async fn says_nothing(&mut self) {
        let said = timeout(Duration::from_secs(20), self.stream.next()).await;
        assert!(said.is_err(), "{said:?}");
    }
}

const ONE: &str = "endpoints:\n- { placement: db-0, address: 10.0.0.1:80 }\n";
const TWO: &str = "endpoints:\n- { placement: db-0, address: 10.0.0.1:80 }\n- { placement: db-1, address: 10.0.0.2:80 }\n";

#[tokio::test(start_paused = true)]
async fn changes_in_place_and_by_rename_are_followed() {
    let mut trial = Trial::begin(Some(ONE));
    assert_eq!(trial.said().await, "db-0");
    trial.says_nothing().await;
    trial.write(TWO);
    assert_eq!(trial.said().await, "db-0 db-1");
    trial.rename_over(ONE);
    assert_eq!(trial.said().await, "db-0");
    // The same again is no news.
    trial.rename_over(ONE);
    trial.says_nothing().await;
    trial.write("endpoints: []");
    assert_eq!(trial.said().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_being_written_is_waited_for() {
    let mut trial = Trial::begin(Some(ONE));
    assert_eq!(trial.said().await, "db-0");
    // Half of it would be a list of one: a shorter list, and no error.
    let (half, rest) = TWO.split_at(TWO.find("- { placement: db-1").unwrap());
    let mut file = fs::File::create(trial.path()).unwrap();
    file.write_all(half.replace("db-0", "db-9").as_bytes())
        .unwrap();
    let look = timeout(Duration::from_millis(900), trial.stream.next()).await;
    assert!(look.is_err(), "{look:?}");
    file.write_all(rest.as_bytes()).unwrap();
    assert_eq!(trial.said().await, "db-1 db-9");
}

#[tokio::test(start_paused = true)]
async fn one_that_never_rests_is_read_all_the_same() {
    let mut trial = Trial::begin(Some(ONE));
    assert_eq!(trial.said().await, "db-0");
    let mut said = Vec::new();
    for nth in 0..20 {
        trial.rename_over(&format!("# {nth}\n{TWO}"));
        said.extend(timeout(Duration::from_millis(1000), trial.stream.next()).await);
    }
    assert!(!said.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_missing_file_is_waited_for_and_a_deleted_one_takes_nothing_away() {
    let mut trial = Trial::begin(None);
    assert!(trial.said().await.starts_with("Unavailable: No such file"));
    trial.says_nothing().await;
    trial.write(ONE);
    assert_eq!(trial.said().await, "db-0");
    fs::remove_file(trial.path()).unwrap();
    assert!(trial.said().await.starts_with("Unavailable: No such file"));
    // The same file as before mends the failure.
    trial.write(ONE);
    assert_eq!(trial.said().await, "db-0");
    fs::remove_file(trial.path()).unwrap();
    fs::create_dir(trial.path()).unwrap();
    assert_eq!(trial.said().await, "Corrupt: not a file");
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_with_its_place() {
    let mut trial = Trial::begin(Some(ONE));
    assert_eq!(trial.said().await, "db-0");
    for (content, expected) in [
        (
            "",
            "it is empty, at line 1 (`endpoints: []`, if there are none)",
        ),
        (
            " \n\n",
            "it is empty, at line 1 (`endpoints: []`, if there are none)",
        ),
        ("{}", "expected `endpoints` or `services`, at line 1"),
        (
            "{\"endpoints\": [{\"address\": \"10.0.0.1:80\"",
            "unclosed bracket '{' at line 1, column 16",
        ),
        (
            "endpoints:\n- address: 10.0.0.1\n",
            "endpoints[0].address: invalid socket address syntax at line 2, column 12",
        ),
        (
            "endpoints:\n- address: db-0:80\n",
            "endpoints[0].address: invalid socket address syntax at line 2, column 12",
        ),
        (
            "endpoints:\n- address: 10.0.0.1:80\n  weight: -1\n",
            "endpoints[0].weight: invalid u32 at line 3, column 11",
        ),
        (
            "endpoints:\n- adress: 10.0.0.1:80\n",
            "endpoints[0].adress: unknown field `adress`, expected one of address, placement",
        ),
        (
            "endpoints:\n- uid: a\n",
            "endpoints[0]: missing field `address` at line 2",
        ),
        (
            "endpoints:\n- address: 10.0.0.1:80\n- address: 10.0.0.1:80\n",
            "endpoints[1]: 10.0.0.1:80 is there already at line 3, column 3",
        ),
        (
            "endpoint:\n- address: 10.0.0.1:80\n",
            "endpoint: unknown field `endpoint`",
        ),
        (
            "services:\n  db: []\n  db: []\n",
            "services: duplicate mapping key: db",
        ),
        (
            "services:\n  db.shop: []\n  db.shop.svc.cluster.local: []\n",
            "services: db.shop.svc.cluster.local is the same as db.shop at line 3, column 3",
        ),
        ("services:\n  db/shop: []\n", "services: "),
        (
            "endpoints: []\nservices: {}\n",
            "expected either `endpoints` or `services`, not both",
        ),
        (
            "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
            "a: unknown field `a`",
        ),
    ] {
        trial.write(content);
        let said = trial.said().await;
        let what = said
            .strip_prefix("Corrupt: ")
            .unwrap_or_else(|| panic!("{content:?}: {said}"));
        assert!(what.starts_with(expected), "{content:?}: {what}");
        trial.write(TWO);
        assert_eq!(trial.said().await, "db-0 db-1", "after {content:?}");
    }
    trial.write(b"endpoints:\n# \xff\n");
    assert_eq!(trial.said().await, "Corrupt: not UTF-8 at line 2");
}

#[tokio::test(start_paused = true)]
async fn one_that_is_too_large_is_not_even_read() {
    let mut trial = Trial::begin(Some(ONE));
    assert_eq!(trial.said().await, "db-0");
    trial.write(format!("{ONE}#{}", "x".repeat(4 << 20)));
    let said = trial.said().await;
    assert!(said.ends_with("more than the limit of 4194304"), "{said}");
}

#[cfg(unix)]
#[tokio::test(start_paused = true)]
async fn the_kubelet_swapping_a_config_map_is_seen() {
    use std::os::unix::fs::symlink;

    let mut trial = Trial::begin(None);
    let directory = trial.directory.path().to_owned();
    let version = |nth: u32, content: &str| {
        let name = format!("..2026_11_25_00_00_0{nth}");
        fs::create_dir(directory.join(&name)).unwrap();
        fs::write(directory.join(&name).join("endpoints.yaml"), content).unwrap();
        symlink(&name, directory.join("..data_tmp")).unwrap();
        fs::rename(directory.join("..data_tmp"), directory.join("..data")).unwrap();
    };
    version(1, ONE);
    symlink("..data/endpoints.yaml", trial.path()).unwrap();
    assert_eq!(trial.said().await, "db-0");
    version(2, TWO);
    fs::remove_dir_all(directory.join("..2026_11_25_00_00_01")).unwrap();
    assert_eq!(trial.said().await, "db-0 db-1");
}

#[tokio::test(start_paused = true)]
async fn a_file_may_name_several_services() {
    let content = "{
\t\"services\": {
\t\t\"db\": [{\"address\": \"10.0.0.1:80\", \"placement\": \"any\"}],
\t\t\"db:client\": [{\"address\": \"10.0.0.2:80\", \"placement\": \"the port\"}],
\t\t\"db.shop\": [{\"address\": \"10.0.0.3:80\", \"placement\": \"the namespace\"}],
\t\t\"db.shop:admin\": [{\"address\": \"10.0.0.4:80\", \"placement\": \"both\"}]
\t}
}";
    let mut trial = Trial::begin(Some(content));
    for (service, expected) in [
        ("db", "any"),
        ("db:client", "the port"),
        ("db.shop:client", "the namespace"),
        ("db.shop.svc.cluster.local:admin", "both"),
        ("db.other:admin", "any"),
        ("cache.shop", "absent"),
    ] {
        trial.stream = file(trial.path()).watch(&service.parse().unwrap());
        assert_eq!(trial.said().await, expected, "{service}");
    }
}

#[tokio::test(start_paused = true)]
async fn every_field_of_an_endpoint_can_be_written() {
    let mut trial = Trial::begin(Some(
        "endpoints:
- address: '[fd00::1]:80'
  placement: db-3
  uid: a
  alternate: 10.0.0.1:80
  ready: false
  serving: true
  terminating: true
  weight: 7
  ordinal: 3
  pod: db-3
  node: n
  zone: z
  host: db-3.example
  hints: { zones: [z], nodes: [n] }
",
    ));
    let Some(Resolution::Present(set)) = trial.stream.next().await else {
        panic!("no list");
    };
    use portolan_core::{Conditions, Endpoint, Hints, Placement, Weight};
    let hints = Hints {
        zones: Box::new(["z".into()]),
        nodes: Box::new(["n".into()]),
    };
    let expected = Endpoint::new(Placement::new("db-3"), "[fd00::1]:80".parse().unwrap())
        .with_uid("a")
        .with_alternate("10.0.0.1:80".parse().unwrap())
        .with_conditions(Conditions::new(Some(false), Some(true), Some(true)))
        .with_weight(Weight::new(7))
        .with_ordinal(3)
        .with_pod("db-3")
        .with_node("n")
        .with_zone("z")
        .with_host("db-3.example")
        .with_hints(hints.into());
    assert_eq!(*set[0], expected);
}
