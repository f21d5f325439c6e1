use portolan_core::{Endpoint, Placement};

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn store(directory: &Path) -> Store {
    Store::new(directory, &"db.shop:client".parse().unwrap(), "east".into())
}

fn list(endpoints: u8) -> EndpointSet {
    let endpoint = |nth| {
        let address = format!("10.0.0.{nth}:80").parse().unwrap();
        Endpoint::new(Placement::new(format!("db-{nth}")), address)
    };
    (0..endpoints).map(endpoint).collect()
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn what_is_written_is_read_and_nothing_else_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("a/b");
    let store = store(&inner);
    assert!(store.read(DAY).unwrap().is_none());
    store.write(&list(3), SystemTime::now()).unwrap();
    store.write(&list(2), SystemTime::now()).unwrap();
    let (kept, age) = store.read(DAY).unwrap().unwrap();
    assert_eq!(kept, list(2));
    assert!(age <= Duration::from_secs(60));
    let names = names(&inner);
    assert!(
        matches!(&names[..], [one] if one.starts_with("db.shop_client-") && one.ends_with(".endpoints")),
        "{names:?}"
    );
    store.remove().unwrap();
    store.remove().unwrap();
    assert!(store.read(DAY).unwrap().is_none());
}

#[test]
fn each_origin_and_each_service_has_a_file_of_its_own() {
    let directory = Path::new("/d");
    let path = |service: &str, origin: &str| {
        let service = service.parse().unwrap();
        Store::new(directory, &service, origin.into())
            .path()
            .to_owned()
    };
    assert_ne!(path("db.shop:80", "east"), path("db.shop:80", "west"));
    assert_ne!(path("db.shop:80", "east"), path("db.shop:81", "east"));
    let long = format!("{0}.{0}.svc.{0}.{0}.{0}", "a".repeat(60));
    let name = path(&long, "east");
    assert!(name.file_name().unwrap().len() < 200);
}

#[test]
fn a_file_of_another_service_or_origin_is_refused_where_it_was_put() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    for (service, origin) in [("web.shop", "east"), ("db.shop:client", "west")] {
        let other = Store::new(directory.path(), &service.parse().unwrap(), origin.into());
        other.write(&list(1), SystemTime::now()).unwrap();
        fs::rename(other.path(), store.path()).unwrap();
        let refusal = store.read(DAY).unwrap_err();
        assert!(
            matches!(refusal, Refusal::OtherService(_) | Refusal::OtherOrigin(_)),
            "{refusal}"
        );
    }
}

#[test]
fn one_that_is_too_large_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let file = File::create(store.path()).unwrap();
    file.set_len(MAX_LENGTH + 1).unwrap();
    assert!(matches!(store.read(DAY), Err(Refusal::TooLarge(_))));
}

#[test]
fn what_a_crash_has_left_is_never_read_and_goes_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    let (old, fresh) = (store.temporary(), store.temporary());
    for path in [&old, &fresh] {
        fs::write(path, "half of").unwrap();
    }
    let long_ago = SystemTime::now() - 2 * LEFT_BEHIND;
    File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .set_modified(long_ago)
        .unwrap();
    assert!(store.read(DAY).unwrap().is_none());
    store.write(&list(1), SystemTime::now()).unwrap();
    assert!(!old.exists());
    assert!(fresh.exists(), "another writer may be at it");
    assert_eq!(store.read(DAY).unwrap().unwrap().0, list(1));
}

#[test]
fn writers_at_the_same_time_leave_one_of_their_lists() {
    let directory = tempfile::tempdir().unwrap();
    std::thread::scope(|scope| {
        for endpoints in 1..5 {
            let directory = directory.path();
            scope.spawn(move || {
                for _ in 0..10 {
                    store(directory)
                        .write(&list(endpoints), SystemTime::now())
                        .unwrap();
                    let (kept, _) = store(directory).read(DAY).unwrap().unwrap();
                    assert!(!kept.is_empty());
                }
            });
        }
    });
    assert_eq!(names(directory.path()).len(), 1);
}

#[cfg(unix)]
#[test]
fn only_the_owner_reads_it_and_one_that_others_write_is_refused() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let directory = tempfile::tempdir().unwrap();
    let inner = directory.path().join("made");
    let store = store(&inner);
    store.write(&list(1), SystemTime::now()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(&inner), 0o700);
    let set_mode =
        |mode| fs::set_permissions(store.path(), fs::Permissions::from_mode(mode)).unwrap();
    // As the kubelet leaves it.
    set_mode(0o660);
    store.read(DAY).unwrap().unwrap();
    set_mode(0o666);
    assert!(matches!(store.read(DAY), Err(Refusal::Writable(0o666))));

    let elsewhere = inner.join("elsewhere");
    fs::rename(store.path(), &elsewhere).unwrap();
    symlink(&elsewhere, store.path()).unwrap();
    assert!(matches!(store.read(DAY), Err(Refusal::NotAFile)));
    fs::remove_file(store.path()).unwrap();
    fs::create_dir(store.path()).unwrap();
    assert!(matches!(store.read(DAY), Err(Refusal::NotAFile)));
}

#[cfg(unix)]
#[test]
fn one_of_another_user_is_refused() {
    use std::os::unix::fs::chown;

    let directory = tempfile::tempdir().unwrap();
    let store = store(directory.path());
    store.write(&list(1), SystemTime::now()).unwrap();
    // Only root may give a file away.
    if chown(store.path(), Some(12345), None).is_ok() {
        assert!(matches!(
            store.read(DAY),
            Err(Refusal::OtherUser { owner: 12345, .. })
        ));
    }
}
