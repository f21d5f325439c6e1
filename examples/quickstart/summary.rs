//! What came of it all.

use std::time::Duration;

use crate::{follow::Report, tally::Tally};

pub(crate) fn print(tally: &Tally, followed: &Report) {
    let counts = tally.counts();
    let requests = counts.requests();
    println!("\nPod             requests   share      p50      p99");
    for (name, pod) in &counts.pods {
        let latency = |quantile| {
            let micros = pod.latency_micros.value_at_quantile(quantile);
            Duration::from_micros(micros).as_secs_f64() * 1e3
        };
        println!(
            "{name:<14} {:>9} {:>6.1}% {:>5.1} ms {:>5.1} ms",
            pod.requests,
            100.0 * pod.requests as f64 / requests.max(1) as f64,
            latency(0.5),
            latency(0.99),
        );
    }
    println!();
    println!(
        "requests   {requests} in {:.1} s",
        tally.elapsed().as_secs_f64()
    );
    println!("failures   {}", counts.failures);
    if let Some(failure) = &counts.first_failure {
        println!("           the first: {failure}");
    }
    print_times(
        "announced changes followed",
        &followed.announced,
        "after a plain watch heard of them",
    );
    if followed.unfollowed > 0 {
        println!("announced changes not followed: {}", followed.unfollowed);
    }
    print_times("crashes noticed", &followed.crashes, "after the kill");
}

fn print_times(what: &str, times: &[Duration], since: &str) {
    let mut times = times.to_vec();
    times.sort_unstable();
    let at = |quantile: f64| {
        let nth = (times.len().saturating_sub(1) as f64 * quantile).round() as usize;
        times.get(nth).map(|time| time.as_secs_f64() * 1e3)
    };
    if let (Some(p50), Some(p99)) = (at(0.5), at(0.99)) {
        println!(
            "{what}: {} (p50 {p50:.2} ms, p99 {p99:.2} ms {since})",
            times.len()
        );
    }
}
