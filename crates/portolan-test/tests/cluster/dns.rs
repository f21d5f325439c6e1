//! The cluster's DNS, by bare packets.

use std::time::Duration;

use hickory_proto::{
    op::{Edns, Message, Query, ResponseCode},
    rr::{Name, RData, RecordType},
};
use portolan_test::{
    TestCluster,
    dns::{DnsServer, Fault},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

const DB: &str = "db.shop.svc.cluster.local.";

fn query(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.add_query(Query::query(name.parse::<Name>().unwrap(), kind));
    message
}

async fn send(server: &DnsServer, query: &Message) -> Vec<u8> {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let bytes = query.to_vec().unwrap();
    socket.send_to(&bytes, server.address()).await.unwrap();
    let mut buffer = vec![0; 65_536];
    let length = socket.recv(&mut buffer).await.unwrap();
    buffer.truncate(length);
    buffer
}

async fn ask(server: &DnsServer, name: &str, kind: RecordType) -> Message {
    Message::from_vec(&send(server, &query(name, kind)).await).unwrap()
}

/// The code, and how many records there are in the answer.
async fn short(server: &DnsServer, name: &str, kind: RecordType) -> (ResponseCode, usize) {
    let answer = ask(server, name, kind).await;
    (answer.response_code, answer.answers.len())
}

/// A StatefulSet of two behind a headless Service.
async fn stage() -> (TestCluster, DnsServer) {
    let cluster = TestCluster::start().await.unwrap();
    let service = cluster
        .service("shop", "db")
        .headless()
        .port("http", 8080)
        .port("admin", 9090)
        .create()
        .await
        .unwrap();
    let db = cluster
        .stateful_set("shop", "db", 2)
        .port("http", 8080)
        .create()
        .await
        .unwrap();
    db.wait_ready(2).await.unwrap();
    service.wait_endpoints(2).await.unwrap();
    let server = cluster.serve_dns().await.unwrap();
    (cluster, server)
}

#[tokio::test]
async fn names_have_records_or_none_or_do_not_exist() {
    let (cluster, server) = stage().await;
    cluster
        .service("shop", "web")
        .port("http", 80)
        .create()
        .await
        .unwrap();
    let below = |label: &str| format!("{label}.{DB}");
    let web = "web.shop.svc.cluster.local.";
    for (name, kind, expected) in [
        (DB.to_owned(), RecordType::A, (ResponseCode::NoError, 2)),
        (DB.to_owned(), RecordType::AAAA, (ResponseCode::NoError, 0)),
        (DB.to_owned(), RecordType::SRV, (ResponseCode::NoError, 4)),
        (below("db-1"), RecordType::A, (ResponseCode::NoError, 1)),
        (below("DB-1"), RecordType::A, (ResponseCode::NoError, 1)),
        (below("db-2"), RecordType::A, (ResponseCode::NXDomain, 0)),
        (
            below("_http._tcp"),
            RecordType::SRV,
            (ResponseCode::NoError, 2),
        ),
        (
            below("_http._udp"),
            RecordType::SRV,
            (ResponseCode::NXDomain, 0),
        ),
        (
            below("_nope._tcp"),
            RecordType::SRV,
            (ResponseCode::NXDomain, 0),
        ),
        (below("a.b.c"), RecordType::A, (ResponseCode::NXDomain, 0)),
        (web.to_owned(), RecordType::A, (ResponseCode::NoError, 1)),
        (web.to_owned(), RecordType::TXT, (ResponseCode::NoError, 0)),
        (
            "shop.svc.cluster.local.".into(),
            RecordType::A,
            (ResponseCode::NoError, 0),
        ),
        (
            "none.svc.cluster.local.".into(),
            RecordType::A,
            (ResponseCode::NXDomain, 0),
        ),
        (
            "none.shop.svc.cluster.local.".into(),
            RecordType::A,
            (ResponseCode::NXDomain, 0),
        ),
        (
            "cluster.local.".into(),
            RecordType::A,
            (ResponseCode::NoError, 0),
        ),
        (
            "example.com.".into(),
            RecordType::A,
            (ResponseCode::NXDomain, 0),
        ),
    ] {
        assert_eq!(short(&server, &name, kind).await, expected, "{kind} {name}");
    }
}

#[tokio::test]
async fn srv_records_lead_to_the_pods_and_their_addresses_come_along() {
    let (cluster, server) = stage().await;
    let port = format!("_http._tcp.{DB}");
    let answer = ask(&server, &port, RecordType::SRV).await;
    let mut targets: Vec<_> = answer
        .answers
        .iter()
        .map(|record| match &record.data {
            RData::SRV(srv) => format!("{} {} {}", srv.target, srv.port, srv.weight),
            other => panic!("{other:?}"),
        })
        .collect();
    targets.sort();
    assert_eq!(targets, [0, 1].map(|n| format!("db-{n}.{DB} 8080 50")));
    assert_eq!(answer.additionals.len(), 2);
    for along in &answer.additionals {
        let pod = along.name.to_ascii();
        let pod = pod.split('.').next().unwrap();
        let ip = cluster.pod("shop", pod).unwrap().ip();
        assert_eq!(along.data.ip_addr(), Some(ip));
    }
    server.set_glue(false);
    let answer = ask(&server, &port, RecordType::SRV).await;
    assert!(answer.additionals.is_empty());
}

#[tokio::test]
async fn a_headless_service_without_a_ready_pod_does_not_exist() {
    let (cluster, server) = stage().await;
    for pod in ["db-0", "db-1"] {
        cluster.pod("shop", pod).unwrap().set_ready(false);
    }
    let gone = async {
        while short(&server, DB, RecordType::A).await != (ResponseCode::NXDomain, 0) {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn answers_say_how_long_they_hold() {
    let (_cluster, server) = stage().await;
    assert_eq!(ask(&server, DB, RecordType::A).await.answers[0].ttl, 5);
    server.set_ttl(Duration::from_secs(60));
    assert_eq!(ask(&server, DB, RecordType::A).await.answers[0].ttl, 60);
    let nothing = ask(&server, DB, RecordType::AAAA).await;
    let [soa] = &*nothing.authorities else {
        panic!("{nothing:?}")
    };
    assert!(matches!(&soa.data, RData::SOA(soa) if soa.minimum == 60));
}

#[tokio::test]
async fn an_external_name_is_an_alias_which_is_followed() {
    let (cluster, server) = stage().await;
    cluster
        .service("shop", "mail")
        .without_selector()
        .with(&["spec", "type"], "ExternalName")
        .with(&["spec", "externalName"], "mail.example.com")
        .create()
        .await
        .unwrap();
    let mail = "mail.shop.svc.cluster.local.";
    assert_eq!(
        short(&server, mail, RecordType::A).await,
        (ResponseCode::NXDomain, 1)
    );
    let ip = "203.0.113.7".parse().unwrap();
    server.zone().add_address("mail.example.com", ip).unwrap();
    assert_eq!(
        short(&server, mail, RecordType::A).await,
        (ResponseCode::NoError, 2)
    );
    assert_eq!(
        short(&server, mail, RecordType::AAAA).await,
        (ResponseCode::NoError, 1)
    );
    assert_eq!(
        short(&server, mail, RecordType::SRV).await,
        (ResponseCode::NoError, 0)
    );
    let port = format!("_smtp._tcp.{mail}");
    for kind in [RecordType::SRV, RecordType::A] {
        let answer = short(&server, &port, kind).await;
        assert_eq!(answer, (ResponseCode::NXDomain, 0));
    }
}

#[tokio::test]
async fn what_is_too_long_is_truncated_to_what_the_client_takes_and_whole_by_tcp() {
    let server = DnsServer::start().await.unwrap();
    for n in 0..200_u8 {
        server.zone().add_address(DB, [10, 0, 0, n].into()).unwrap();
    }
    let mut query = query(DB, RecordType::A);
    let plain = send(&server, &query).await;
    assert!(plain.len() <= 512);
    query.set_edns(Edns::new());
    query.edns.as_mut().unwrap().set_max_payload(1232);
    let bytes = send(&server, &query).await;
    assert!((1200..=1232).contains(&bytes.len()), "{}", bytes.len());
    let answer = Message::from_vec(&bytes).unwrap();
    assert!(answer.truncation && !answer.answers.is_empty());

    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let bytes = query.to_vec().unwrap();
    // Two queries on one connection.
    for _ in 0..2 {
        stream
            .write_u16(bytes.len().try_into().unwrap())
            .await
            .unwrap();
        stream.write_all(&bytes).await.unwrap();
        let mut answer = vec![0; stream.read_u16().await.unwrap().into()];
        stream.read_exact(&mut answer).await.unwrap();
        let answer = Message::from_vec(&answer).unwrap();
        assert!(!answer.truncation);
        assert_eq!(answer.answers.len(), 200);
    }
    assert_eq!(server.queries().over_tcp(), 2);
    assert_eq!(server.queries().count("DB.shop.svc.cluster.local", "A"), 4);
}

#[tokio::test]
async fn faults_come_as_they_are_ordered() {
    let server = DnsServer::start().await.unwrap();
    server.zone().add_address(DB, [10, 0, 0, 1].into()).unwrap();
    server.zone().add_empty("other.example.com").unwrap();
    let faults = server.faults();
    let code = async |name: &str| ask(&server, name, RecordType::A).await.response_code;
    faults.set(Fault::ServFail);
    faults.set_for(DB, Fault::Refused).unwrap();
    faults.set_for_next(1, Fault::NxDomain);
    assert_eq!(code(DB).await, ResponseCode::NXDomain);
    assert_eq!(code(DB).await, ResponseCode::Refused);
    assert_eq!(code("other.example.com.").await, ResponseCode::ServFail);
    faults.clear();
    assert_eq!(code(DB).await, ResponseCode::NoError);

    let query = query(DB, RecordType::A);
    let id = query.id.to_be_bytes();
    faults.set(Fault::WrongId);
    assert_ne!(send(&server, &query).await[..2], id);
    faults.set(Fault::WrongQuestion);
    let other = Message::from_vec(&send(&server, &query).await).unwrap();
    assert_ne!(other.queries, query.queries);
    faults.set(Fault::Garbage);
    let garbage = send(&server, &query).await;
    assert_eq!(garbage[..2], id);
    assert!(Message::from_vec(&garbage).is_err());
    faults.set(Fault::TruncatedWithoutTcp);
    assert!(ask(&server, DB, RecordType::A).await.truncation);
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let bytes = query.to_vec().unwrap();
    stream
        .write_u16(bytes.len().try_into().unwrap())
        .await
        .unwrap();
    stream.write_all(&bytes).await.unwrap();
    assert!(stream.read_u16().await.is_err(), "it hangs up");
    server.queries().reset();
    faults.set(Fault::Silence);
    let silent = timeout(Duration::from_millis(50), send(&server, &query)).await;
    assert!(silent.is_err());
    assert_eq!(server.queries().total(), 1);
}

#[tokio::test]
async fn names_that_are_none_are_refused() {
    let server = DnsServer::start().await.unwrap();
    let error = server.zone().add_alias("a..b", "c").unwrap_err();
    assert!(error.to_string().contains("`a..b`"), "{error}");
}
