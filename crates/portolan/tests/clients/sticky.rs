//! Sessions that a cookie or a header keeps.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, header::COOKIE, header::SET_COOKIE};
use http_body_util::{BodyExt, Empty};
use portolan::{
    BalancerBuilder, BuildError, Cluster, Endpoint, ErrorKind, Placement, Reason, Resolution,
    Routing,
    http::HttpClient,
    session::Gone,
    source::{Teller, channel},
    sticky::{Moved, SameSite, SessionCookie, SigningKey, Sticky},
};

use crate::server::serve_text;

fn key(byte: u8) -> SigningKey {
    SigningKey::new(&[byte; 32]).unwrap()
}

fn tell(teller: &Teller, pods: &[(&str, SocketAddr)]) {
    let one = |(name, address): &(&str, SocketAddr)| Endpoint::new(Placement::new(*name), *address);
    teller.tell(Resolution::Present(pods.iter().map(one).collect()));
}

/// Tells of all Pods but one.
fn tell_without(teller: &Teller, pods: &[(&'static str, SocketAddr)], gone: &str) {
    let left = pods.iter().filter(|(name, _)| *name != gone);
    tell(teller, &left.copied().collect::<Vec<_>>());
}

/// Three Pods, which answer with their names.
async fn games() -> (Teller, [(&'static str, SocketAddr); 3], BalancerBuilder) {
    let (teller, source) = channel();
    let mut pods = [("games-0", None), ("games-1", None), ("games-2", None)];
    for (name, address) in &mut pods {
        *address = Some(serve_text(name).await);
    }
    let pods = pods.map(|(name, address)| (name, address.unwrap()));
    tell(&teller, &pods);
    let cluster = Cluster::from_source(source);
    (teller, pods, cluster.service("games.shop").unwrap())
}

/// Who has answered, and the head of the answer.
async fn ask(
    client: &HttpClient,
    request: http::request::Builder,
) -> (String, http::response::Parts) {
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let (head, body) = client.send(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (String::from_utf8(body.to_vec()).unwrap(), head)
}

fn get() -> http::request::Builder {
    http::Request::get("/")
}

/// The cookie as a browser sends it back.
fn cookie(headers: &HeaderMap) -> Option<String> {
    let mut set = headers.get_all(SET_COOKIE).iter();
    let (first, more) = (set.next()?, set.next());
    assert_eq!(more, None);
    let (pair, _) = first.to_str().unwrap().split_once(';').unwrap();
    Some(pair.to_owned())
}

/// The Pod that a token names: it stands between the time and the signature.
fn holder(token: &str) -> &str {
    token.split('.').nth(2).unwrap()
}

async fn until_gone(client: &HttpClient, name: &str) {
    let mut observer = client.observe();
    let mut view = observer.view();
    let is_there = |view: &portolan::View| {
        let mut names = view.endpoints().iter();
        names.any(|one| one.endpoint.placement().as_str() == name)
    };
    while is_there(&view) {
        view = observer.changed().await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_brings_its_cookie_back_is_served_by_the_same_pod() {
    let (_teller, _, builder) = games().await;
    let sticky = Sticky::by_cookie("pod", key(1));
    let client = builder.http().sticky(sticky).build().unwrap();
    client.observe().changed().await;
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..30 {
        let (first, head) = ask(&client, get()).await;
        seen.insert(first.clone());
        let set = head.headers[SET_COOKIE].to_str().unwrap();
        assert!(set.starts_with("pod=1."), "{set}");
        assert_eq!(holder(set), first);
        assert!(
            set.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"),
            "{set}"
        );
        let brought = cookie(&head.headers).unwrap();
        for _ in 0..5 {
            let request = get().header(COOKIE, format!("other=1; {brought}; more=2"));
            let (again, head) = ask(&client, request).await;
            assert_eq!(again, first);
            assert_eq!(cookie(&head.headers), None, "it knows already");
        }
    }
    assert!(
        seen.len() > 1,
        "those without a session are spread: {seen:?}"
    );
}

#[tokio::test]
async fn a_token_that_was_made_up_is_none() {
    let (_teller, _, builder) = games().await;
    let client = |byte| {
        let sticky = Sticky::by_cookie("pod", key(byte));
        builder.clone().http().sticky(sticky).build().unwrap()
    };
    let (ours, theirs) = (client(1), client(2));
    ours.observe().changed().await;
    theirs.observe().changed().await;
    let (_, head) = ask(&theirs, get()).await;
    let foreign = cookie(&head.headers).unwrap();
    let (_, head) = ask(&ours, get()).await;
    let good = cookie(&head.headers).unwrap();
    let name = holder(&good);
    let renamed = match name {
        "games-0" => good.replace("games-0", "games-1"),
        name => good.replace(name, "games-0"),
    };
    let signed = good.split('.').nth(1).unwrap();
    let younger = good.replace(signed, &(signed.parse::<u64>().unwrap() + 1).to_string());
    for forged in [
        &foreign,
        &renamed,
        &younger,
        "pod=",
        "pod=games-1",
        "pod=1.games-1.",
        &format!("pod=1.{signed}.games-1."),
        "pod=é",
    ] {
        let (served_by, head) = ask(&ours, get().header(COOKIE, forged)).await;
        let fresh = cookie(&head.headers).expect("a session begins");
        assert_eq!(holder(&fresh), served_by, "{forged}");
        // A good one counts, whatever stands before it.
        let both = format!("{forged}; {good}");
        let (served_by, head) = ask(&ours, get().header(COOKIE, both)).await;
        assert_eq!(served_by, name);
        assert_eq!(cookie(&head.headers), None);
    }
}

#[tokio::test]
async fn a_session_whose_pod_is_gone_moves_and_says_so() {
    let (teller, pods, builder) = games().await;
    let sticky = Sticky::by_cookie("pod", key(1))
        .patience(Duration::ZERO)
        .say_moved_in("x-session-moved");
    let client = builder.http().sticky(sticky).build().unwrap();
    client.observe().changed().await;
    let (first, head) = ask(&client, get()).await;
    let brought = cookie(&head.headers).unwrap();
    tell_without(&teller, &pods, &first);
    until_gone(&client, &first).await;
    let (second, head) = ask(&client, get().header(COOKIE, &brought)).await;
    assert_ne!(second, first);
    assert_eq!(head.headers["x-session-moved"], *first);
    let moved = head.extensions.get::<Moved>().unwrap();
    assert_eq!(
        (moved.from.as_str(), moved.to.as_str()),
        (&*first, &*second)
    );
    let brought = cookie(&head.headers).unwrap();
    // Where the old one is back, the session has moved nevertheless.
    tell(&teller, &pods);
    client.observe().changed().await;
    let (third, head) = ask(&client, get().header(COOKIE, brought)).await;
    assert_eq!(third, second);
    assert_eq!(cookie(&head.headers), None);
    assert_eq!(head.headers.get("x-session-moved"), None);
    assert!(head.extensions.get::<Moved>().is_none());
}

#[tokio::test]
async fn a_session_that_does_not_move_fails_until_it_is_forgotten() {
    let (teller, pods, builder) = games().await;
    let sticky = Sticky::by_cookie("pod", key(1))
        .patience(Duration::ZERO)
        .when_gone(Gone::Fail);
    let client = builder.http().sticky(sticky.clone()).build().unwrap();
    client.observe().changed().await;
    let (first, head) = ask(&client, get()).await;
    let brought = cookie(&head.headers).unwrap();
    tell_without(&teller, &pods, &first);
    until_gone(&client, &first).await;
    let request = get().header(COOKIE, &brought).body(Empty::<Bytes>::new());
    let error = client.send(request.unwrap()).await.unwrap_err();
    assert_eq!(*error.kind(), ErrorKind::Refused(Reason::SessionLost));
    assert_eq!(client.forget_session(), sticky.forget());
    let (name, value) = client.forget_session().unwrap();
    assert_eq!(name, SET_COOKIE);
    assert_eq!(
        value,
        "pod=; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=0"
    );
}

#[tokio::test]
async fn a_pin_neither_begins_a_session_nor_moves_one() {
    let (_teller, _, builder) = games().await;
    let sticky = Sticky::by_header("x-games-pod", key(1));
    let client = builder.http().sticky(sticky).build().unwrap();
    client.observe().changed().await;
    let (first, head) = ask(&client, get()).await;
    let token = head.headers["x-games-pod"].clone();
    for pod in ["games-0", "games-1", "games-2"] {
        let pinned = get().extension(Routing::pinned_to(pod));
        for request in [
            pinned,
            get()
                .extension(Routing::pinned_to(pod))
                .header("x-games-pod", token.clone()),
        ] {
            let (served_by, head) = ask(&client, request).await;
            assert_eq!(served_by, pod);
            assert_eq!(head.headers.get("x-games-pod"), None);
        }
    }
    let (again, head) = ask(&client, get().header("x-games-pod", token)).await;
    assert_eq!(again, first);
    assert_eq!(head.headers.get("x-games-pod"), None);
}

#[tokio::test]
async fn a_new_key_takes_over_from_a_former_one() {
    let (_teller, _, builder) = games().await;
    let build = |sticky| builder.clone().http().sticky(sticky).build().unwrap();
    let before = build(Sticky::by_cookie("pod", key(1)));
    let after = build(Sticky::by_cookie("pod", key(2)).accept(key(1)));
    before.observe().changed().await;
    after.observe().changed().await;
    let (first, head) = ask(&before, get()).await;
    let old = cookie(&head.headers).unwrap();
    let (again, head) = ask(&after, get().header(COOKIE, &old)).await;
    assert_eq!(again, first);
    let new = cookie(&head.headers).expect("one by the new key");
    assert_ne!(new, old);
    assert!(head.extensions.get::<Moved>().is_none());
    let (again, head) = ask(&after, get().header(COOKIE, new)).await;
    assert_eq!((again, cookie(&head.headers)), (first, None));
}

#[tokio::test]
async fn a_cookie_has_the_scope_that_it_is_given_and_is_renewed_where_it_ends() {
    let (_teller, _, builder) = games().await;
    let scoped = SessionCookie::named("pod")
        .path("/games")
        .domain("example.com")
        .same_site(SameSite::Strict)
        .secure(false)
        .max_age(Duration::from_secs(3600));
    let sticky = Sticky::by_cookie(scoped, key(1));
    let client = builder.http().sticky(sticky).build().unwrap();
    client.observe().changed().await;
    let (_, head) = ask(&client, get()).await;
    let set = head.headers[SET_COOKIE].to_str().unwrap();
    let scope = "; Path=/games; HttpOnly; SameSite=Strict; Domain=example.com; Max-Age=3600";
    assert!(set.ends_with(scope), "{set}");
    let (_, renewed) = ask(
        &client,
        get().header(COOKIE, cookie(&head.headers).unwrap()),
    )
    .await;
    let set = renewed.headers[SET_COOKIE].to_str().unwrap();
    assert!(set.ends_with(scope), "{set}");
}

#[tokio::test]
async fn a_token_of_long_ago_is_none_unless_tokens_do_not_end() {
    const NOVEMBER_2023: &str = "1.1700000000.games-1.iYeESQK4jq4g4YI-Xeo424MovTAGtdd4u-TDNAdg21s";
    let (_teller, _, builder) = games().await;
    let sticky = || Sticky::by_header("x-pod", key(1));
    let build = |sticky| builder.clone().http().sticky(sticky).build().unwrap();
    let (usual, endless) = (build(sticky()), build(sticky().endless()));
    let (served_by, head) = ask(&endless, get().header("x-pod", NOVEMBER_2023)).await;
    assert_eq!((&*served_by, head.headers.get("x-pod")), ("games-1", None));
    let (served_by, head) = ask(&usual, get().header("x-pod", NOVEMBER_2023)).await;
    let fresh = head.headers["x-pod"].to_str().unwrap();
    assert_eq!(holder(fresh), served_by, "a session begins");
    assert!(head.extensions.get::<Moved>().is_none());
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused_when_the_client_is_built() {
    let (_teller, _, builder) = games().await;
    let cookie = SessionCookie::named;
    let wrong = [
        (cookie("po d"), "sticky.cookie is"),
        (cookie(""), "sticky.cookie is"),
        (cookie("pod").path("games"), "sticky.cookie.path is"),
        (cookie("pod").path("/; Secure"), "sticky.cookie.path is"),
        (cookie("pod").domain("a b"), "sticky.cookie.domain is"),
        (
            cookie("pod").max_age(Duration::from_millis(900)),
            "sticky.cookie.max_age is",
        ),
        (
            cookie("pod").same_site(SameSite::None).secure(false),
            "sticky.cookie.secure is",
        ),
        (
            cookie("__secure-pod").secure(false),
            "sticky.cookie.secure is",
        ),
        (cookie("__Host-pod").path("/games"), "__Host-pod"),
        (cookie("__Host-pod").domain("example.com"), "__Host-pod"),
    ];
    for (cookie, expected) in wrong {
        let sticky = Sticky::by_cookie(cookie, key(1));
        let error = builder.clone().http().sticky(sticky).build().unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let by_header = |name| Sticky::by_header(name, key(1));
    for sticky in [
        by_header("x pod"),
        by_header("Content-Length"),
        by_header("cookie"),
        by_header("grpc-status"),
        by_header("x-pod-bin"),
        by_header("x-pod").say_moved_in("X-Pod"),
        by_header("x-pod").say_moved_in(""),
        by_header("x-pod").say_moved_in("set-cookie"),
        by_header("x-pod").lifetime(Duration::from_millis(999)),
        by_header("x-pod").scope(""),
        by_header("x-pod").scope("shop\ngames"),
    ] {
        assert!(builder.clone().http().sticky(sticky).build().is_err());
    }
    let weak = SigningKey::new(&[1; 31]).unwrap_err();
    assert!(
        matches!(
            weak,
            BuildError::Setting {
                setting: "sticky.key",
                ..
            }
        ),
        "{weak}"
    );
    assert_eq!(format!("{:?}", key(7)), "SigningKey(…)");
}

#[tokio::test]
async fn a_token_is_for_one_service_or_for_what_is_said() {
    let (teller, source) = channel();
    tell(&teller, &[("db-0", serve_text("db-0").await)]);
    let cluster = Cluster::from_source(source);
    let sticky = || Sticky::by_header("x-pod", key(1));
    let service = |name| cluster.service(name).unwrap();
    // Whose `db` it is nobody knows.
    let error = service("db").http().sticky(sticky()).build().unwrap_err();
    assert!(error.to_string().contains("`db`"), "{error}");
    #[cfg(feature = "reqwest")]
    assert!(service("db").reqwest().sticky(sticky()).build().is_err());
    #[cfg(feature = "grpc")]
    assert!(service("db").grpc().sticky(sticky()).build().is_err());

    let client = |name, sticky| service(name).http().sticky(sticky).build().unwrap();
    let shop = client("db.shop", sticky());
    let token = ask(&shop, get()).await.1.headers["x-pod"].clone();
    let is_taken = async |client: HttpClient, token: &http::HeaderValue| {
        let (_, head) = ask(&client, get().header("x-pod", token)).await;
        head.headers.get("x-pod").is_none()
    };
    assert!(is_taken(client("db.shop:http", sticky()), &token).await);
    assert!(!is_taken(client("db.bank", sticky()), &token).await);
    let said = client("db", sticky().scope("shop"));
    assert!(!is_taken(said.clone(), &token).await);
    let token = ask(&said, get()).await.1.headers["x-pod"].clone();
    assert!(is_taken(client("db-headless.shop", sticky().scope("shop")), &token).await);
}

#[cfg(feature = "dns")]
#[tokio::test]
async fn where_no_namespace_is_written_it_is_the_clusters_own() {
    let dns = portolan::dns::Dns::with_nameservers(["127.0.0.1:9".parse().unwrap()]).unwrap();
    let cluster = Cluster::from(dns.with_namespace("shop"));
    let sticky = Sticky::by_header("x-pod", key(1));
    let client = cluster.service("db").unwrap().http().sticky(sticky);
    assert!(client.build().is_ok());
}

#[cfg(feature = "kube")]
#[tokio::test]
async fn that_of_a_kubeconfig_is_the_clusters_own() {
    use portolan::kube::kube::{Client, Config};

    let config = Config::new("http://127.0.0.1:9".parse().unwrap());
    let cluster = Cluster::from(Client::try_from(config).unwrap());
    let sticky = Sticky::by_header("x-pod", key(1));
    let client = cluster.service("db").unwrap().http().sticky(sticky);
    assert!(client.build().is_ok());
}

#[tokio::test]
async fn what_is_explained_is_where_the_session_goes() {
    let (_teller, _, builder) = games().await;
    let sticky = Sticky::by_cookie("pod", key(1));
    let client = builder.http().sticky(sticky).build().unwrap();
    client.observe().changed().await;
    let (first, head) = ask(&client, get()).await;
    let request = get().header(COOKIE, cookie(&head.headers).unwrap());
    let request = request.body(()).unwrap();
    for _ in 0..10 {
        let explanation = client.explain(&request);
        assert_eq!(explanation.chosen().unwrap().placement().as_str(), first);
    }
}

#[cfg(feature = "grpc")]
#[tokio::test]
async fn a_call_brings_its_token_back_in_its_metadata() {
    use tower::ServiceExt as _;

    let (_teller, _, builder) = games().await;
    let sticky = Sticky::by_header("x-games-pod", key(1));
    let channel = builder.grpc().sticky(sticky).build().unwrap();
    assert_eq!(channel.forget_session(), None, "by header");
    channel.observe().changed().await;
    let call = |request: http::request::Builder| {
        let channel = channel.clone();
        async move {
            let request = request.body(Empty::<Bytes>::new()).unwrap();
            channel.oneshot(request).await.unwrap().into_parts().0
        }
    };
    let token = call(get()).await.headers["x-games-pod"].clone();
    let expected = holder(token.to_str().unwrap()).to_owned();
    for _ in 0..10 {
        let request = || get().header("x-games-pod", token.clone());
        let explanation = channel.explain(&request().body(()).unwrap());
        assert_eq!(explanation.chosen().unwrap().placement().as_str(), expected);
        let head = call(request()).await;
        assert_eq!(head.headers.get("x-games-pod"), None, "it knows already");
        assert_eq!(head.extensions.get::<Moved>(), None);
    }
}

#[cfg(feature = "reqwest")]
#[tokio::test]
async fn reqwests_requests_have_sessions_as_well() {
    let (teller, pods, builder) = games().await;
    let sticky = Sticky::by_cookie("pod", key(1)).patience(Duration::ZERO);
    let forget = sticky.forget();
    let client = builder.reqwest().sticky(sticky).build().unwrap();
    assert_eq!(client.forget_session(), forget);
    client.observe().changed().await;
    let first = client.get("/").send().await.unwrap();
    let brought = cookie(first.headers()).unwrap();
    let first = first.text().await.unwrap();
    for _ in 0..10 {
        let request = client.get("/").header(COOKIE, &brought);
        let explanation = request.explain().unwrap();
        assert_eq!(explanation.chosen().unwrap().placement().as_str(), first);
        let again = request.send().await.unwrap();
        assert_eq!(cookie(again.headers()), None);
        assert_eq!(again.text().await.unwrap(), first);
    }
    tell_without(&teller, &pods, &first);
    let mut observer = client.observe();
    while observer.view().endpoints().len() > 2 {
        observer.changed().await;
    }
    let moved = client
        .get("/")
        .header(COOKIE, &brought)
        .send()
        .await
        .unwrap();
    assert!(cookie(moved.headers()).is_some());
    assert_eq!(
        moved.extensions().get::<Moved>().unwrap().from.as_str(),
        first
    );
}

/// It is named as ready, and takes nothing any more.
#[tokio::test]
async fn a_session_that_is_served_elsewhere_since_its_pod_takes_nothing_moves_and_says_so() {
    let (teller, _, builder) = games().await;
    let sticky = Sticky::by_header("x-pod", key(1)).patience(Duration::from_millis(10));
    let build = |builder: BalancerBuilder| {
        let http = builder.http().sticky(sticky.clone());
        http.retry_idempotent().build().unwrap()
    };
    let hangs_up = crate::server::hangs_up(std::sync::Arc::default()).await;
    let good = serve_text("games-1").await;
    let client = build(builder.clone());
    tell(&teller, &[("games-0", good)]);
    let mut observer = client.observe();
    while observer.view().endpoints().len() != 1 {
        observer.changed().await;
    }
    let (_, head) = ask(&client, get()).await;
    let token = head.headers["x-pod"].clone();
    tell(&teller, &[("games-0", hangs_up), ("games-1", good)]);
    while observer.view().endpoints().len() != 2 {
        observer.changed().await;
    }
    let (served_by, head) = ask(&client, get().header("x-pod", token)).await;
    assert_eq!(served_by, "games-1");
    assert_eq!(
        head.extensions.get::<Moved>().unwrap().to.as_str(),
        "games-1"
    );
    let token = head.headers["x-pod"].clone();
    let (again, head) = ask(&client, get().header("x-pod", token)).await;
    assert_eq!((&*again, head.headers.get("x-pod")), ("games-1", None));
}
