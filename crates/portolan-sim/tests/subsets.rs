//! What subsets cost, at 5,000 clients and 20,000 Pods, asserted.
#![cfg(test)]

use portolan_sim::subsets::{Way, spread};

const CLIENTS: u32 = 5_000;
const PODS: u32 = 20_000;

#[test]
fn an_aperture_loads_all_pods_alike_and_moves_one_connection_of_some_clients() {
    let spread = spread(Way::Aperture(12), CLIENTS, PODS).unwrap();
    assert_eq!(spread.connections(), (12, 12));
    assert_eq!(spread.total(), 60_000);
    let (max, min) = spread.load_to_mean();
    assert!(max < 1.0 + 1e-9 && min > 1.0 - 1e-9, "{max} {min}");
    // Clients whose part of the ring lies between the one that went and the one that came: any number of them.
    assert!(spread.moved <= CLIENTS as usize, "{}", spread.moved);
    assert_eq!(spread.most_moved, 1);
}

#[test]
fn rendezvous_moves_hardly_a_connection_and_loads_pods_by_chance() {
    let spread = spread(Way::Rendezvous(20), CLIENTS, PODS).unwrap();
    assert_eq!(spread.connections(), (20, 20));
    // Five clients had the one that went, five take the one that came: Poisson, of 10 ± 3.2, and five deviations.
    assert!(spread.moved <= 10 + 16, "{}", spread.moved);
    assert_eq!(spread.most_moved, 1);
    // The clients of a Pod are Poisson, of 5. That the busiest of 20,000 has fewer than 13 has the chance e^-40, and that
    // it has more than 22 that of 10^-4.
    let (max, _) = spread.load_to_mean();
    assert!((13.0 / 5.0..=22.0 / 5.0).contains(&max), "{max}");
}
