//! Settings of which nothing is said, as those of a bare name are.

use std::marker::PhantomData;

use serde::{
    Deserializer,
    de::{Error, IntoDeserializer, Visitor, value::MapDeserializer},
    forward_to_deserialize_any,
};

/// The empty map. Where that will not do, the error says of which name it is.
pub(super) struct Bare<'n, E> {
    name: &'n str,
    error: PhantomData<E>,
}

impl<'n, E> Bare<'n, E> {
    pub(super) fn new(name: &'n str) -> Self {
        Self {
            name,
            error: PhantomData,
        }
    }
}

impl<'de, E: Error> Deserializer<'de> for Bare<'_, E> {
    type Error = E;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, E> {
        let nothing = std::iter::empty::<(&str, &str)>();
        let read = visitor.visit_map(MapDeserializer::new(nothing));
        read.map_err(|error: E| {
            let name = self.name;
            E::custom(format_args!("`{name}` does not stand alone: {error}"))
        })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

impl<'de, E: Error> IntoDeserializer<'de, E> for Bare<'_, E> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}
