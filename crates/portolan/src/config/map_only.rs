//! Settings are maps, and nothing else.
//!
//! What serde derives for a struct also takes a list of its fields without their names, and an empty one where all of
//! them have defaults: `ring-hash: []` would be a ring, and who swaps two fields would not be told.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What is derived, under another name.
pub(super) trait Derived<'de>: Sized {
    fn derived<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error>;
}

/// Reads what has been derived from a map only.
pub(super) fn read<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: Derived<'de>,
    D: Deserializer<'de>,
{
    deserializer.deserialize_map(Map(PhantomData))
}

struct Map<T>(PhantomData<T>);

impl<'de, T: Derived<'de>> Visitor<'de> for Map<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map, from settings to their values")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::derived(MapAccessDeserializer::new(map))
    }
}

/// Of structs with `#[serde(remote = "Self")]`, for which serde derives functions of their own instead of its traits.
macro_rules! map_only {
    ($($settings:ty),* $(,)?) => {$(
        impl<'de> $crate::config::map_only::Derived<'de> for $settings {
            fn derived<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                <$settings>::deserialize(deserializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $settings {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::map_only::read(deserializer)
            }
        }

        impl serde::Serialize for $settings {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                <$settings>::serialize(self, serializer)
            }
        }
    )*};
}

pub(super) use map_only;
