//! As much of protocol buffers as it takes to read a few small messages.
//!
//! A message is a list of fields, each a number, a wire type and a value
//! (<https://protobuf.dev/programming-guides/encoding/>). Fields that nobody asks for are passed over, so
//! a message of a later version is read as far as it is known. Nothing is allocated, and nothing that a message
//! says of its own length is believed.

/// Reads the fields of a message, in order. Ends with an error where the message is none.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'m>(&'m [u8]);

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Value<'m> {
    /// A number, of whichever type.
    Varint(u64),
    /// 64 bits: a double, say.
    Fixed64(u64),
    /// 32 bits.
    Fixed32(u32),
    /// Bytes, a text, another message.
    Bytes(&'m [u8]),
}

/// These bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl<'m> Fields<'m> {
    pub(crate) fn of(message: &'m [u8]) -> Self {
        Self(message)
    }

    fn read(&mut self) -> Result<(u64, Value<'m>), Malformed> {
        let tag = self.varint()?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array()?)),
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Value::Bytes(self.bytes(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array()?)),
            // Groups have not been written since 2008.
            _ => return Err(Malformed),
        };
        match tag >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has one bit of 64.
            if shift == 63 && bits > 1 {
                return Err(Malformed);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(*array)
    }

    fn bytes(&mut self, length: usize) -> Result<&'m [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed)?;
        self.0 = rest;
        Ok(bytes)
    }
}

impl<'m> Iterator for Fields<'m> {
    type Item = Result<(u64, Value<'m>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.read();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl Value<'_> {
    /// The double that this is.
    pub(crate) fn double(self) -> Option<f64> {
        match self {
            Self::Fixed64(bits) => Some(f64::from_bits(bits)),
            _ => None,
        }
    }

    /// The number that this is.
    #[cfg(feature = "grpc")]
    pub(crate) fn number(self) -> Option<u64> {
        match self {
            Self::Varint(number) => Some(number),
            _ => None,
        }
    }
}

/// Writes a field of a number.
#[cfg(feature = "grpc")]
pub(crate) fn put_number(message: &mut Vec<u8>, field: u64, number: u64) {
    put_varint(message, field << 3);
    put_varint(message, number);
}

#[cfg(feature = "grpc")]
fn put_varint(message: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        message.push(number as u8 | 0x80);
        number >>= 7;
    }
    message.push(number as u8);
}

/// Writes a field of bytes, or of text, or another message.
#[cfg(feature = "grpc")]
pub(crate) fn put_bytes(message: &mut Vec<u8>, field: u64, bytes: &[u8]) {
    put_varint(message, field << 3 | 2);
    put_varint(message, bytes.len() as u64);
    message.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::Message;

    use super::*;

    #[derive(Clone, PartialEq, prost::Message)]
    struct Example {
        #[prost(double, tag = "1")]
        double: f64,
        #[prost(uint64, tag = "2")]
        number: u64,
        #[prost(string, tag = "300")]
        text: String,
        #[prost(fixed32, tag = "4")]
        fixed: u32,
    }

    proptest! {
        #[test]
        fn what_another_library_writes_is_read(
            double in any::<f64>(), number in 1_u64.., text in ".{1,300}", fixed in 1_u32..,
        ) {
            prop_assume!(double != 0.0);
            let written = Example { double, number, text: text.clone(), fixed }.encode_to_vec();
            let read: Result<Vec<_>, _> = Fields::of(&written).collect();
            let expected = vec![
                (1, Value::Fixed64(double.to_bits())),
                (2, Value::Varint(number)),
                (4, Value::Fixed32(fixed)),
                (300, Value::Bytes(text.as_bytes())),
            ];
            prop_assert_eq!(read, Ok(expected));
        }

        #[test]
        fn whatever_comes_is_read_or_refused_and_ends(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let fields = Fields::of(&bytes).count();
            prop_assert!(fields <= bytes.len());
        }

                #[cfg(feature = "grpc")]
        #[test]
        fn what_is_written_another_library_reads(text in ".{0,300}") {
            let mut written = Vec::new();
            put_bytes(&mut written, 300, text.as_bytes());
            prop_assert_eq!(Example::decode(&*written).unwrap().text, text);
        }
    }

    #[test]
    fn no_length_is_believed_and_no_number_is_too_long() {
        for bad in [
            &[0x0a, 5, 1][..],
            &[
                0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
            ],
            &[
                0x10, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2,
            ],
            &[0x10],
            &[0x09, 0, 0],
            &[0x02, 0],
            &[0x0b],
        ] {
            assert!(Fields::of(bad).any(|field| field.is_err()), "{bad:?}");
        }
    }
}
