//! When an endpoint passes for well: decided without clock or I/O.

use super::Settings;

/// What the checks of one endpoint have come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    is_well: bool,
    /// How many checks in a row have said otherwise.
    against: u32,
    healthy_after: u32,
    unhealthy_after: u32,
}

impl Standing {
    pub(super) fn new(settings: &Settings) -> Self {
        let Settings {
            healthy_after,
            unhealthy_after,
            trusts_new,
            ..
        } = *settings;
        Self {
            is_well: trusts_new,
            // One that is new has not been ill: the first good check is enough.
            against: if trusts_new { 0 } else { healthy_after - 1 },
            healthy_after,
            unhealthy_after,
        }
    }

    /// Takes up a check. Whether the endpoint passes for well now.
    pub(super) fn hear(&mut self, good: bool) -> bool {
        if good == self.is_well {
            self.against = 0;
            return good;
        }
        self.against += 1;
        let needed = match good {
            true => self.healthy_after,
            false => self.unhealthy_after,
        };
        if self.against >= needed {
            self.settle(good);
        }
        self.is_well
    }

    /// Takes up what the endpoint says of itself, which needs no second word.
    #[cfg_attr(not(feature = "grpc"), allow(dead_code, reason = "only gRPC says so"))]
    pub(super) fn settle(&mut self, well: bool) {
        self.is_well = well;
        self.against = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn settings(healthy_after: u32, unhealthy_after: u32, trusts_new: bool) -> Settings {
        Settings {
            healthy_after,
            unhealthy_after,
            trusts_new,
            ..Settings::default()
        }
    }

    #[test]
    fn a_new_endpoint_that_is_not_trusted_needs_one_good_check_however_many_one_that_was_ill_does()
    {
        let mut standing = Standing::new(&settings(3, 1, false));
        assert!(standing.hear(true));
        let mut failed_first = Standing::new(&settings(3, 1, false));
        let heard = [false, true, true, true].map(|good| failed_first.hear(good));
        assert_eq!(heard, [false, false, false, true]);
    }

    proptest! {
        /// The last so many checks alone decide, and only where all of them agree.
        #[test]
        fn it_changes_after_so_many_in_a_row_and_never_else(
            rise in 1_u32..5, fall in 1_u32..5, checks in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut standing = Standing::new(&settings(rise, fall, true));
            let mut well = true;
            for (nth, good) in checks.iter().enumerate() {
                let needed = if *good { rise } else { fall } as usize;
                let said = &checks[..=nth];
                let in_a_row = said.iter().rev().take_while(|one| *one == good).count();
                if in_a_row >= needed {
                    well = *good;
                }
                prop_assert_eq!(standing.hear(*good), well);
            }
        }
    }
}
