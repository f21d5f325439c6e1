//! A client that tonic generated, over all Pods of a Deployment.
//!
//! ```sh
//! cargo run --example tonic
//! ```
#![allow(clippy::print_stdout, reason = "it is there to be looked at")]

use portolan::Cluster;
use portolan_test::{PodContext, TestCluster, programs};
use tonic::{Request, Response, Status, service::Routes};

use crate::hello::{
    HelloReply, HelloRequest,
    greeter_client::GreeterClient,
    greeter_server::{Greeter, GreeterServer},
};

/// What a `.proto` file becomes: `build.rs` makes it.
mod hello {
    #![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated")]

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

/// The server in each Pod.
struct Pod(PodContext);

#[tonic::async_trait]
impl Greeter for Pod {
    async fn say_hello(
        &self,
        request: Request<HelloRequest>,
    ) -> Result<Response<HelloReply>, Status> {
        let message = format!(
            "hello {}, this is {}",
            request.into_inner().name,
            self.0.name()
        );
        Ok(Response::new(HelloReply { message }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let kubernetes = three_greeters().await?;

    // In a Pod this is `Cluster::infer().await?`.
    let cluster = Cluster::from(kubernetes.client());
    let channel = cluster.service("greeter.shop:grpc")?.grpc().build()?;
    let mut greeter = GreeterClient::new(channel);
    for _ in 0..6 {
        let request = HelloRequest {
            name: "portolan".to_owned(),
        };
        let reply = greeter.say_hello(request).await?;
        println!("{}", reply.into_inner().message);
    }
    Ok(())
}

async fn three_greeters() -> Result<TestCluster, portolan_test::Error> {
    let program = programs::http(|pod| Routes::new(GreeterServer::new(Pod(pod))).prepare());
    let cluster = TestCluster::builder()
        .image("greeter", program)
        .start()
        .await?;
    let service = cluster
        .service("shop", "greeter")
        .port("grpc", 50051)
        .create()
        .await?;
    let pods = cluster.deployment("shop", "greeter", 3).image("greeter");
    pods.port("grpc", 50051).create().await?;
    service.wait_endpoints(3).await?;
    Ok(cluster)
}
