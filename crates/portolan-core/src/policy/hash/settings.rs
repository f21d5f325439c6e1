//! The settings that all algorithms have.

use std::sync::Arc;

use super::{bound::Bound, host::Hosts, order::Order, picker::KeyPicker};
use crate::{Candidates, Picker, Policy, policy::Changes};

/// What can be set for any of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Settings {
    pub(super) bound: Option<f64>,
    pub(super) without_key: Option<Arc<dyn Policy>>,
}

impl Settings {
    /// The picker of these hosts, in this order.
    pub(super) fn picker(
        &self,
        candidates: &Candidates,
        hosts: Hosts,
        order: impl Order,
    ) -> Arc<dyn Picker> {
        let bound = self
            .bound
            .and_then(|factor| Bound::new(factor, &hosts, candidates));
        let without_key = self.without_key.as_ref();
        Arc::new(KeyPicker {
            order,
            bound,
            hosts,
            without_key: without_key.map(|policy| policy.build(candidates)),
            candidates: candidates.clone(),
        })
    }

    pub(super) fn changes(&self) -> Option<Changes> {
        self.without_key.as_ref()?.changes()
    }
}

/// Gives a policy with a field `settings` their setters.
macro_rules! common_settings {
    ($policy:ident) => {
        impl $policy {
            /// Lets no host have more than `factor` times its share of the requests that this client has in flight:
            /// what is more goes to the key's next host. Default: no bound.
            ///
            /// A few keys are asked for far more often than others, and whoever has them drowns. From 1.2 to 2 is
            /// usual; at 1.25 and with keys by Zipf's law over 20 hosts a quarter of the requests leaves its first
            /// choice, and the busiest host has 1.25 times the mean in flight instead of 3.5 to 5 times. What
            /// overflows goes to the same second host each time, which so learns the key.
            ///
            /// Only for hosts that can all serve each key, such as caches. The share counts weights.
            /// A factor below 1 counts as 1, and one that is not finite bounds nothing.
            #[must_use]
            pub fn bounded_load(mut self, factor: f64) -> Self {
                self.settings.bound = Some(factor);
                self
            }

            /// Sets who chooses for requests without a key. Default: nobody, they fail with
            /// [`Reason::NoKey`](crate::Reason::NoKey), since a key that was forgotten would show as nothing but
            /// a cold cache.
            ///
            /// The empty key is a key.
            #[must_use]
            pub fn without_key(mut self, policy: impl $crate::Policy + 'static) -> Self {
                self.settings.without_key = Some(std::sync::Arc::new(policy));
                self
            }
        }
    };
}

pub(super) use common_settings;
