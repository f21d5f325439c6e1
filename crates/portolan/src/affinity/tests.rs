use http::Request;

use super::*;

fn found(extract: Extract, request: &Request<()>) -> Option<Vec<u8>> {
    let key = extract.find(&Head::of(request));
    key.map(|key| key.as_ref().to_vec())
}

fn get(uri: &str) -> Request<()> {
    Request::get(uri).body(()).unwrap()
}

fn with_header(name: &str, values: &[&str]) -> Request<()> {
    let mut request = Request::get("/");
    for value in values {
        request = request.header(name, *value);
    }
    request.body(()).unwrap()
}

#[test]
fn a_header_is_its_value_as_it_is_sent() {
    let request = with_header("x-tenant", &["Tenant 7"]);
    assert_eq!(
        found(header("X-Tenant"), &request),
        Some(b"Tenant 7".into())
    );
    assert_eq!(found(header("x-other"), &request), None);
    let empty = with_header("x-tenant", &[""]);
    assert_eq!(found(header("x-tenant"), &empty), Some(Vec::new()));
}

#[test]
fn several_values_are_joined_as_grpc_joins_them() {
    let request = with_header("x-tenant", &["a", "", "b"]);
    assert_eq!(found(header("x-tenant"), &request), Some(b"a,,b".into()));
}

#[test]
fn binary_metadata_is_what_was_encoded() {
    for encoded in ["/wAB", "/wABAg==", "/wABAg"] {
        let request = with_header("key-bin", &[encoded]);
        let bytes = found(header("key-bin"), &request).unwrap();
        assert_eq!(bytes.get(..3), Some(&[0xff, 0, 1][..]), "{encoded}");
    }
    let wrong = with_header("key-bin", &["no base64!"]);
    assert_eq!(found(header("key-bin"), &wrong), Some(b"no base64!".into()));
}

#[test]
fn a_cookie_is_found_among_others_and_by_its_whole_name() {
    let request = with_header("cookie", &["xtenant=1; tenant2=2;  tenant=a=b ; tenant=3"]);
    assert_eq!(found(cookie("tenant"), &request), Some(b"a=b".into()));
    assert_eq!(found(cookie("ten"), &request), None);
    let two_lines = with_header("cookie", &["a=1", "tenant=2"]);
    assert_eq!(found(cookie("tenant"), &two_lines), Some(b"2".into()));
    assert_eq!(
        found(cookie("tenant"), &with_header("cookie", &["tenant"])),
        None
    );
}

#[test]
fn segments_of_the_path_count_from_the_root() {
    let request = get("http://orders/tenants/a%20b%2Fc//x?y=z");
    assert_eq!(found(path_segment(0), &request), Some(b"tenants".into()));
    assert_eq!(found(path_segment(1), &request), Some(b"a b/c".into()));
    assert_eq!(found(path_segment(2), &request), None);
    assert_eq!(found(path_segment(3), &request), Some(b"x".into()));
    assert_eq!(found(path_segment(4), &request), None);
    assert_eq!(found(path_segment(0), &get("/")), None);
}

#[test]
fn a_parameter_of_the_query_is_decoded_as_a_forms() {
    let request = get("/?a=1&tenant=x+y%26z&tenant=2&flag");
    assert_eq!(found(query("tenant"), &request), Some(b"x y&z".into()));
    assert_eq!(found(query("flag"), &request), Some(Vec::new()));
    assert_eq!(found(query("b"), &request), None);
    assert_eq!(found(query("a"), &get("/")), None);
}

#[test]
fn an_extension_is_the_callers_own() {
    #[derive(Clone)]
    struct Tenant(&'static str);
    let extract = || extension(|tenant: &Tenant| tenant.0.into());
    let request = Request::get("/").extension(Tenant("t7")).body(()).unwrap();
    assert_eq!(found(extract(), &request), Some(b"t7".into()));
    assert_eq!(found(extract(), &get("/")), None);
}

#[test]
fn the_first_that_is_there_counts() {
    let either = || header("x-tenant").or(query("tenant")).or(path_segment(0));
    assert_eq!(found(either(), &get("/p?tenant=q")), Some(b"q".into()));
    assert_eq!(found(either(), &get("/p")), Some(b"p".into()));
    assert_eq!(found(either(), &get("/")), None);
}

#[test]
fn all_of_it_together() {
    let affinity = Affinity::by(header("x-tenant"))
        .intent_by_method()
        .pin(header("x-pod"))
        .pin_ordinal(query("shard"));
    fn routing<'r>(affinity: &Affinity, request: &'r Request<()>) -> Routing<'r> {
        affinity.routing(&Head::of(request))
    }
    let mut request = with_header("x-tenant", &["7"]);
    assert_eq!(routing(&affinity, &request), Routing::key("7").read());
    *request.method_mut() = http::Method::PUT;
    assert_eq!(routing(&affinity, &request), Routing::key("7").write());
    let pinned = get("/?shard=3");
    assert_eq!(
        routing(&affinity, &pinned),
        Routing::pinned_to_ordinal(3).read()
    );
    let pinned = get("/?shard=three");
    assert_eq!(
        routing(&affinity, &pinned),
        Routing::pinned_to("three").read()
    );
    let named = with_header("x-pod", &["db-2"]);
    assert_eq!(
        routing(&affinity, &named),
        Routing::pinned_to("db-2").read()
    );
}

#[test]
fn whose_a_request_is_is_found_apart_from_its_key() {
    let affinity = Affinity::by(header("x-tenant")).client(query("user"));
    let routing = |request: &Request<()>| {
        let routing = affinity.routing(&Head::of(request));
        let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        (bytes(routing.key_bytes()), bytes(routing.client_bytes()))
    };
    let mut request = get("/?user=17");
    assert_eq!(routing(&request), (None, Some(b"17".to_vec())));
    request
        .headers_mut()
        .insert("x-tenant", "7".parse().unwrap());
    assert_eq!(
        routing(&request),
        (Some(b"7".to_vec()), Some(b"17".to_vec()))
    );
    let wrong = Affinity::new().client(header("x user")).check();
    assert!(wrong.unwrap_err().to_string().contains("x user"));
}

#[test]
fn what_is_no_header_is_an_error_that_names_it() {
    let error = Affinity::by(query("a").or(header("x tenant")))
        .check()
        .unwrap_err();
    assert!(error.to_string().contains("x tenant"), "{error}");
}

#[test]
fn a_token_that_is_no_number_is_as_far_as_there_is() {
    let affinity = Affinity::new().not_before(header("x-read-after"));
    let at = |position| Routing::new().not_before(Position::new(position));
    let routing =
        |text| affinity.routing(&Head::of(&with_header("x-read-after", &[text]))) == at(17);
    assert!(routing("17"));
    assert!(!routing("seventeen"));
    let odd = with_header("x-read-after", &["16/B374D848"]);
    assert_eq!(affinity.routing(&Head::of(&odd)), at(u64::MAX));
    assert_eq!(affinity.routing(&Head::of(&get("/"))), Routing::new());
}
