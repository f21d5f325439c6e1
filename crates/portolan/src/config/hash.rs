//! The policies that send the same key to the same place.

mod bound;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use self::bound::Bound;
use super::{
    ConfigError, PolicyConfig,
    map_only::map_only,
    place::Place,
    range::{Natural, Positive, Within},
};
use crate::policy::{GrpcRingHash, JumpHash, Ketama, Maglev, Rendezvous, RingHash};

/// The settings of one of them: its own, and those that all have. (serde cannot both flatten and deny.)
macro_rules! settings {
    (
        $(#[$about:meta])*
        struct $config:ident as $name:literal {
            $($(#[$field_about:meta])* $field:ident: $type:ty,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
        #[serde(remote = "Self", deny_unknown_fields, rename_all = "kebab-case")]
        #[schemars(rename = $name)]
        pub(super) struct $config {
            $($(#[$field_about])* pub(super) $field: $type,)*
            /// No Pod has more than so many times its share of the requests in flight: what is more goes to the key's
            /// next Pod. Only for Pods that can all serve each key. Default: no bound.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(super) bounded_load: Option<Bound>,
            /// The policy for requests without a key. Default: they fail.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub(super) without_key: Option<PolicyConfig>,
        }

        map_only!($config);
    };
}

/// Sets what all of them have.
macro_rules! with_common {
    ($policy:expr, $config:expr, $place:expr) => {{
        let mut policy = $policy;
        if let Some(bound) = $config.bounded_load {
            policy = policy.bounded_load(bound.factor());
        }
        if let Some(inner) = &$config.without_key {
            policy = policy.without_key(inner.build_at(&$place.at("without-key"))?);
        }
        policy
    }};
}

settings! {
    /// A ring on which the points of a Pod depend on that Pod alone.
    struct RingHashConfig as "RingHash" {
        /// How many points a Pod has for each unit of its weight. Default: 160.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        points_per_weight: Option<Positive>,
    }
}

settings! {
    /// A table of which each Pod has exactly its part.
    struct MaglevConfig as "Maglev" {
        /// The size of the table: the next prime from here on. Default: 65537.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        table_size: Option<Within<1, 5_000_011>>,
    }
}

settings! {
    /// The Pod that draws the best lot for the key.
    struct RendezvousConfig as "Rendezvous" {}
}

settings! {
    /// By the ordinals of a StatefulSet.
    struct JumpHashConfig as "JumpHash" {
        /// How many places there are. Default: as the highest ordinal says that is there.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        places: Option<Positive>,
        /// The first ordinal, which the StatefulSet has in `spec.ordinals.start`.
        #[serde(default)]
        starting_at: Natural,
    }
}

settings! {
    /// The ring of gRPC and Envoy.
    struct GrpcRingHashConfig as "GrpcRingHash" {
        /// What a Pod is called on the ring.
        by: By,
        /// How many points the ring has. Default: from 1024 to 4096, as gRPC has it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ring_size: Option<RingSize>,
    }
}

settings! {
    /// The ring of nginx and pingora.
    struct KetamaConfig as "Ketama" {
        /// What a Pod is called on the ring.
        by: By,
    }
}

/// What a Pod is called on the ring.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(rename = "RingName")]
pub(super) enum By {
    /// Its address, as with gRPC, Envoy and nginx unless told otherwise: a restart moves its keys.
    Address,
    /// Its stable name.
    Placement,
}

/// How many points a ring has.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(remote = "Self", deny_unknown_fields)]
pub(super) struct RingSize {
    /// At least so many (`min_ring_size`).
    least: Within<1, 8_388_608>,
    /// At most so many (`max_ring_size`).
    most: Within<1, 8_388_608>,
}

map_only!(RingSize);

impl RingHashConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<RingHash, ConfigError> {
        let mut policy = RingHash::new();
        if let Some(points) = self.points_per_weight {
            policy = policy.points_per_weight(points.number());
        }
        Ok(with_common!(policy, self, place))
    }
}

impl MaglevConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<Maglev, ConfigError> {
        let mut policy = Maglev::new();
        if let Some(size) = self.table_size {
            policy = policy.table_size(size.number());
        }
        Ok(with_common!(policy, self, place))
    }
}

impl RendezvousConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<Rendezvous, ConfigError> {
        Ok(with_common!(Rendezvous::new(), self, place))
    }
}

impl JumpHashConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<JumpHash, ConfigError> {
        let policy = match self.places {
            Some(places) => JumpHash::over(places.number()),
            None => JumpHash::new(),
        };
        Ok(with_common!(
            policy.starting_at(self.starting_at.number()),
            self,
            place
        ))
    }
}

impl GrpcRingHashConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<GrpcRingHash, ConfigError> {
        let mut policy = match self.by {
            By::Address => GrpcRingHash::by_address(),
            By::Placement => GrpcRingHash::by_placement(),
        };
        if let Some(size) = self.ring_size {
            let (least, most) = (size.least.number(), size.most.number());
            if least > most {
                let place = place.at("ring-size");
                return Err(place.refuse(format!(
                    "`least` ({least}) is more than `most` ({most}): let it be that at most"
                )));
            }
            policy = policy.ring_size(least.into(), most.into());
        }
        Ok(with_common!(policy, self, place))
    }
}

impl KetamaConfig {
    pub(super) fn build(&self, place: &Place<'_>) -> Result<Ketama, ConfigError> {
        let policy = match self.by {
            By::Address => Ketama::by_address(),
            By::Placement => Ketama::by_placement(),
        };
        Ok(with_common!(policy, self, place))
    }
}
