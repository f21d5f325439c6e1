//! The simulator's command line. What is simulated, and how far it may be believed, the library says.
#![allow(clippy::print_stdout, reason = "printing is what it is for")]

use std::{
    env,
    process::ExitCode,
    time::{Duration, Instant},
};

use portolan_sim::{
    comparison::{self, Compared, LOADS},
    plot::Plot,
    scenario::{Fault, Scenario},
    simulation,
    subsets::{self, Way},
    table::Table,
};

const USAGE: &str = "\
portolan-sim policies [SEED]
    Compares the policies at 0.7, 0.9 and 1.05 of capacity, with all Pods sound, with slow and with
    failing Pods, and with cold starts: a table and a plot.
portolan-sim bounds [SEEDS]
    What the tests assert of that: the mean over so many seeds (20), and five standard deviations.
portolan-sim subsets [CLIENTS PODS]
    Compares ways of dividing 20,000 Pods among 5,000 clients.
portolan-sim speed
    Simulates a million requests, and says how long that took.";

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let numbers: Result<Vec<u32>, _> = arguments.map(|argument| argument.parse()).collect();
    match (&*command, numbers.as_deref()) {
        ("policies", Ok([])) => policies(1),
        ("policies", Ok([seed])) => policies(u64::from(*seed)),
        ("bounds", Ok([])) => bounds(20),
        ("bounds", Ok([seeds])) => bounds(u64::from(*seeds)),
        ("subsets", Ok([])) => subsets(5_000, 20_000),
        ("subsets", Ok([clients, pods])) if *clients > 0 => subsets(*clients, *pods),
        ("speed", Ok([])) => speed(),
        _ => {
            println!("{USAGE}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn policies(seed: u64) {
    let rows: Vec<_> = comparison::rows(seed).collect();
    println!("{}\n{}", Table(&rows), Plot(&rows));
}

/// As lines of the table in `tests/policies.rs`.
fn bounds(seeds: u64) {
    for fault in Fault::ALL {
        for load in LOADS {
            for policy in Compared::ALL {
                let runs =
                    (1..=seeds).map(|seed| comparison::row(fault, load, policy, seed).outcome);
                let runs: Vec<_> = runs.collect();
                let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|quantile| {
                    spread(
                        runs.iter()
                            .map(|run| run.latency(quantile).as_secs_f64() * 1e3),
                    )
                });
                let errors = spread(runs.iter().map(|run| run.errors() * 100.0));
                println!(
                    "    (Fault::{fault:?}, {load:?}, {policy:?}, [{p50}, {p99}, {p999}, {errors}]),"
                );
            }
        }
    }
}

/// The mean, and five standard deviations.
fn spread(numbers: impl Iterator<Item = f64>) -> String {
    let numbers: Vec<_> = numbers.collect();
    let count = numbers.len().max(2) as f64;
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|number| (number - mean).powi(2)).sum();
    let deviation = (squares / (count - 1.0)).sqrt();
    format!("({mean:.2}, {:.2})", 5.0 * deviation)
}

fn subsets(clients: u32, pods: u32) {
    println!("{clients} clients, {pods} Pods\n");
    println!(
        "{:20}{:>14}{:>16}{:>12}{:>12}{:>8}{:>18}",
        "", "connections", "of all clients", "load max", "load min", "moved", "of one at most"
    );
    for way in Way::ALL {
        let Ok(spread) = subsets::spread(way, clients, pods) else {
            continue;
        };
        let (fewest, most) = spread.connections();
        let (max, min) = spread.load_to_mean();
        println!(
            "{way:20}{:>14}{:>16}{max:>12.2}{min:>12.2}{:>8}{:>18}",
            format!("{fewest} to {most}"),
            spread.total(),
            spread.moved,
            spread.most_moved
        );
    }
    println!(
        "\nThe load is that of a Pod over the mean. Moved are the connections that are made anew, by all clients\n\
         together, when one Pod is replaced by a new one of another name."
    );
}

fn speed() {
    for policy in [Compared::LeastRequest, Compared::Prequal] {
        let scenario = Scenario::new(Fault::None, 0.9);
        let lasting = Duration::from_secs_f64(1_010_000.0 / scenario.rate());
        let scenario = scenario.lasting(Duration::ZERO, lasting);
        let start = Instant::now();
        let requests = simulation::run(&scenario, &|| policy.policy(), 1).requests();
        let took = start.elapsed();
        println!("{policy}: {requests} requests, {lasting:.0?} of virtual time, in {took:.2?}");
    }
}
