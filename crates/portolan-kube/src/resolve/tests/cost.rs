//! What a change costs. Figures, not a verdict: `cargo test --release -p portolan-kube -- --ignored --nocapture cost`.

use std::time::Instant;

use super::*;

#[test]
#[ignore = "a measurement"]
fn cost_of_one_change_among_ten_thousand() {
    let endpoints = |slice: usize, unready: Option<usize>| {
        let endpoint = |n: usize| {
            let name = format!(
                "web-{:010x}-{n:05}",
                (slice * 7919 + n * 104_729) % 0xff_ffff
            );
            let uid = format!("8c4f1f6e-0000-4000-8000-{slice:06}{n:06}");
            let ip = format!("10.{}.{}.{}", slice / 200 + 1, slice % 200, n + 1);
            let endpoint = SliceEndpoint {
                pod: Some(name.into()),
                ..target(Some(&uid), &ip)
            };
            if unready == Some(n) {
                but(endpoint, UNREADY)
            } else {
                endpoint
            }
        };
        (0..100).map(endpoint).collect::<Vec<_>>()
    };
    let mut machine = Machine::new();
    for n in 0..100 {
        machine.apply(slice(&format!("s{n:03}"), endpoints(n, None)));
    }
    assert_eq!(machine.set().len(), 10_000);
    let mut costs: Vec<_> = (0..200)
        .map(|round| {
            let changed = slice(
                &format!("s{:03}", round % 100),
                endpoints(round % 100, (round < 100).then_some(round)),
            );
            let start = Instant::now();
            machine.apply(changed);
            start.elapsed()
        })
        .collect();
    costs.sort();
    println!(
        "one change among 10,000: p50 {:?}, p99 {:?}",
        costs[100], costs[198]
    );
    println!(
        "a slice's entry: {} bytes; an endpoint: {} bytes",
        size_of::<SliceEndpoint>(),
        size_of::<Endpoint>()
    );
}
