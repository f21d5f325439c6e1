//! Generates the gRPC client and server of the `tonic` example.
//!
//! From a description in Rust, so that nobody needs protoc to build the examples. What comes out is
//! what tonic makes of a `.proto` file as well.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
    let say_hello = Method::builder()
        .name("say_hello")
        .route_name("SayHello")
        .input_type("crate::hello::HelloRequest")
        .output_type("crate::hello::HelloReply")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let greeter = Service::builder()
        .package("hello")
        .name("Greeter")
        .method(say_hello)
        .build();
    Builder::new().compile(&[greeter]);
}
