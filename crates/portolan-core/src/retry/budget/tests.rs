use proptest::prelude::*;

use super::*;

fn at(millis: u64) -> Time {
    Time::ORIGIN + Duration::from_millis(millis)
}

#[test]
fn a_fifth_of_the_requests_may_be_retries() {
    let tokens = RetryTokens::new(RetryBudget::new(0.2, 0), at(0));
    assert!(!tokens.take());
    tokens.refill(1000, at(1000));
    assert_eq!((0..1000).filter(|_| tokens.take()).count(), 200);
    assert_eq!((tokens.taken(), tokens.refused()), (200, 801));
    // Those 200 were requests too, as an endpoint counts them, and are worth nothing.
    tokens.refill(200, at(2000));
    assert_eq!(tokens.left(), 0);
}

#[test]
fn retries_that_take_long_pay_for_no_others_either() {
    let tokens = RetryTokens::new(RetryBudget::new(0.2, 0), at(0));
    tokens.refill(1000, at(1000));
    assert_eq!((0..1000).filter(|_| tokens.take()).count(), 200);
    // They are on their way for a second, and then they end.
    tokens.refill(0, at(2000));
    tokens.refill(200, at(3000));
    assert_eq!(tokens.left(), 0);
    tokens.refill(100, at(4000));
    assert_eq!(tokens.left(), 20);
}

#[test]
fn what_is_not_used_within_the_window_is_lost() {
    let tokens = RetryTokens::new(RetryBudget::new(0.2, 1), at(0));
    tokens.refill(10_000, at(1000));
    assert_eq!(tokens.left(), 2011);
    for second in 2..20 {
        tokens.refill(0, at(1000 * second));
    }
    assert_eq!(tokens.left(), 10);
}

#[test]
fn nonsense_is_refused_by_its_name() {
    let refused = |budget: RetryBudget| budget.check().unwrap_err().setting;
    for share in [-0.1, 1.1, f64::NAN] {
        assert_eq!(refused(RetryBudget::new(share, 1)), "retry.budget.share");
    }
    let budget = RetryBudget::default().with_window(Duration::ZERO);
    assert_eq!(refused(budget), "retry.budget.window");
}

proptest! {
    /// Never more than the share of the requests of a window and the floor of it, whatever the order; and the
    /// retries that were asked for are either taken or refused.
    #[test]
    fn no_window_has_more_retries_than_it_pays_for(
        steps in prop::collection::vec((0..2000_u64, 0..400_u64, 1..3000_u64), 1..60),
        share in 0.0..1.0_f64,
        per_second in 0..20_u32,
    ) {
        let budget = RetryBudget::new(share, per_second);
        let tokens = RetryTokens::new(budget, at(0));
        let mut now = 0;
        let (mut requests_in, mut all_taken, mut asked) = (0, 0_u64, 0);
        for (requests, wanted, millis) in steps {
            now += millis;
            tokens.refill(requests, at(now));
            requests_in += requests;
            asked += wanted;
            all_taken += (0..wanted).filter(|_| tokens.take()).count() as u64;
            // From the beginning on: what the floor puts in at first, and what came since.
            let floor = f64::from(per_second) * (10.0 + now as f64 / 1000.0);
            prop_assert!(all_taken as f64 <= share * requests_in as f64 + floor + 1.0);
        }
        prop_assert_eq!(tokens.taken() + tokens.refused(), asked);
        prop_assert_eq!(tokens.taken(), all_taken);
    }
}
