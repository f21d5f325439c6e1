//! What is said of what goes wrong.

use kube::core::Status;

use super::*;
use crate::object::{Object as _, Resource, Scope};

fn errand(resource: Resource) -> Errand {
    Errand {
        resource,
        scope: Scope::Service {
            namespace: "shop".into(),
            name: "orders".into(),
        },
    }
}

fn slices() -> Errand {
    errand(crate::slice::WireSlice::RESOURCE)
}

#[test]
fn each_code_is_a_kind_and_has_a_remedy() {
    let told = |code: u16| {
        let fault = slices().status(&Status::failure("because", "Reason").with_code(code));
        (fault.error.kind(), fault.remedy)
    };
    assert_eq!(told(401), (SourceErrorKind::Unauthenticated, Remedy::Retry));
    assert_eq!(told(403), (SourceErrorKind::Forbidden, Remedy::Retry));
    assert_eq!(told(410), (SourceErrorKind::Unavailable, Remedy::Expired));
    assert_eq!(told(422), (SourceErrorKind::Invalid, Remedy::AskOtherwise));
    for code in [404, 429, 500, 503, 504, 0] {
        assert_eq!(told(code), (SourceErrorKind::Unavailable, Remedy::Retry));
    }
}

#[test]
fn a_refusal_without_names_still_says_what_to_do() {
    let fault = slices().status(&Status::failure("nope", "Forbidden").with_code(403));
    let text = fault.error.to_string();
    assert!(
        text.starts_with("this program may not list and watch endpointslices in namespace `shop`."),
        "{text}"
    );
    assert!(text.contains("kind: RoleBinding"));
}

#[test]
fn a_refusal_by_somebody_hostile_writes_nothing_into_the_terminal() {
    let message = "User \"\u{1b}]0;pwned\u{7}\" cannot \u{1b}[2J resource";
    let text = slices()
        .status(&Status::failure(message, "Forbidden").with_code(403))
        .error
        .to_string();
    assert!(!text.contains(['\u{1b}', '\u{7}']), "{text:?}");
}

#[test]
fn the_errand_says_what_was_asked_for() {
    assert_eq!(
        slices().to_string(),
        "endpointslices of Service `orders` in namespace `shop`"
    );
    let service = errand(crate::service::WireService::RESOURCE);
    assert_eq!(service.to_string(), "Service `orders` in namespace `shop`");
}

#[test]
fn without_credentials_it_is_said_whose_are_missing() {
    let missing = || kube::client::AuthError::ExecPluginFailed;
    // A token that is renewed later fails as the service that adds it to requests.
    let later = kube::Error::Service(Box::new(missing()));
    for error in [kube::Error::Auth(missing()), later] {
        let fault = slices().refused(error);
        assert_eq!(fault.error.kind(), SourceErrorKind::Unauthenticated);
        assert!(
            fault
                .error
                .to_string()
                .contains("the service account's token"),
            "{}",
            fault.error
        );
        assert!(fault.error.source().is_none(), "it may quote a token");
    }
}

#[test]
fn a_refusal_to_list_nodes_prints_the_role_for_nodes() {
    let nodes = Errand {
        resource: crate::node::WireNode::RESOURCE,
        scope: Scope::Cluster,
    };
    let fault = nodes.status(&Status::failure("nope", "Forbidden").with_code(403));
    let text = fault.error.to_string();
    assert!(
        text.starts_with("this program may not list and watch nodes. "),
        "{text}"
    );
    assert!(text.contains("name: portolan-nodes"), "{text}");
    let text = nodes.timed_out(Duration::from_secs(1)).error.to_string();
    assert!(
        text.contains("asked for the nodes of the cluster"),
        "{text}"
    );
}
