//! The README's code compiles as it stands there: `build.rs` takes it out, and what a reader has at hand
//! is added here.

use std::{any::type_name_of_val, future::Future};

include!(concat!(env!("OUT_DIR"), "/readme.rs"));

/// What a `.proto` file becomes: `build.rs` makes it.
#[allow(dead_code, unreachable_pub, clippy::all, reason = "generated")]
mod hello {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct HelloRequest {
        #[prost(string, tag = "1")]
        pub(crate) name: String,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(crate) struct HelloReply {
        #[prost(string, tag = "1")]
        pub(crate) message: String,
    }

    include!(concat!(env!("OUT_DIR"), "/hello.Greeter.rs"));
}

#[allow(unused_variables, reason = "the README leaves something to do")]
mod tonic_block {
    use crate::hello::{HelloRequest, greeter_client::GreeterClient};
    use portolan::policy;

    include!(concat!(env!("OUT_DIR"), "/readme_tonic.rs"));
}

#[allow(unused_variables, reason = "the README leaves something to do")]
mod hyper_block {
    use std::time::Duration;

    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use portolan::Wait;

    include!(concat!(env!("OUT_DIR"), "/readme_hyper.rs"));
}

#[allow(unused_variables, reason = "the README leaves something to do")]
mod reqwest_block {
    include!(concat!(env!("OUT_DIR"), "/readme_reqwest.rs"));
}

/// It compiles, which is all that is asked: to run, it would need the reader's cluster.
fn compiles<F: Future>(block: fn() -> F) {
    assert!(type_name_of_val(&block).contains("block"));
}

#[test]
fn every_block_of_the_readme_compiles() {
    compiles(tonic_block::block);
    compiles(hyper_block::block);
    compiles(reqwest_block::block);
    assert_eq!(
        BLOCKS,
        ["tonic", "hyper", "reqwest"],
        "a new block wants its place above"
    );
}
