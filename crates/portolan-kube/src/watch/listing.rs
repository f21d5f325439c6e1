//! Decodes a list while it comes, so that little is left to be done when its end is there.
//!
//! A list is one JSON value, and `serde_json` does not stop in the middle of one. But its objects are values
//! of their own, one after another: each is parsed as soon as it is there, and the list without them at the
//! end. Where an object ends is for the parser alone to say. To look for it first would be a second walk over
//! every byte; so an object is tried once it is as long as the last one was, for those of one list are much
//! alike, and, where it is longer, again when it has grown by half.
//!
//! A list that is written in another way than the API server does is parsed as a whole, at its end.

use serde::{
    Deserialize,
    de::{Error as _, IgnoredAny},
};
use serde_json::{Deserializer, Error};

use crate::object::{ListMeta, Object, ObjectList};

/// What comes right before the first object. Within a string its quotes would be escaped.
const ANNOUNCEMENT: &[u8] = br#""items":["#;
/// How far into a list that is looked for: there is no more before it than the metadata.
const FARTHEST: usize = 16 << 10;

/// A list of which some is still to come.
#[derive(Debug)]
pub(super) struct Listing<K> {
    place: Place,
    /// The list without its objects, as far as it came.
    rest: Vec<u8>,
    /// Objects, from the one that is not complete yet.
    objects: Vec<u8>,
    /// How much of an object has to be there before it is worth a try.
    promising: usize,
    /// Nothing more is to come.
    ended: bool,
    taken: Vec<K>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Before the objects.
    Head,
    /// Among the objects, before the first one.
    First,
    /// Among the objects, behind one.
    Behind,
    /// Among the objects, behind a comma.
    Next,
    /// Behind the objects, or in a list that is parsed as a whole.
    Tail,
}

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self {
            place: Place::Head,
            rest: Vec::new(),
            objects: Vec::new(),
            promising: 0,
            ended: false,
            taken: Vec::new(),
        }
    }
}

impl<K: Object> Listing<K> {
    /// Reads on, and returns the objects that are complete by now.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<Vec<K>, Error> {
        match self.place {
            Place::Head => {
                self.rest.extend_from_slice(bytes);
                self.find_objects();
            }
            Place::Tail => self.rest.extend_from_slice(bytes),
            Place::First | Place::Behind | Place::Next => self.objects.extend_from_slice(bytes),
        }
        self.take_objects()?;
        Ok(std::mem::take(&mut self.taken))
    }

    /// The objects that were not returned yet, and what is known of the list as a whole.
    pub(super) fn finish(mut self) -> Result<(Vec<K>, ListMeta), Error> {
        self.ended = true;
        self.take_objects()?;
        // In a list that was cut off between two objects, the brackets are still open.
        let ObjectList { metadata, items } = serde_json::from_slice(&self.rest)?;
        self.taken.extend(items);
        Ok((self.taken, metadata))
    }

    /// Goes on to the objects, if they begin in what is there.
    fn find_objects(&mut self) {
        let mut windows = self.rest.windows(ANNOUNCEMENT.len());
        match windows.position(|window| window == ANNOUNCEMENT) {
            Some(at) => {
                self.objects = self.rest.split_off(at + ANNOUNCEMENT.len());
                self.place = Place::First;
                if !announces(&self.rest) {
                    self.rest.append(&mut self.objects);
                    self.place = Place::Tail;
                }
            }
            None if self.rest.len() > FARTHEST => self.place = Place::Tail,
            None => {}
        }
    }

    /// Takes the objects that are complete.
    fn take_objects(&mut self) -> Result<(), Error> {
        let mut objects = std::mem::take(&mut self.objects);
        let mut at = 0;
        while !matches!(self.place, Place::Head | Place::Tail) {
            let there = objects.get(at..).unwrap_or_default();
            let Some(space) = there.iter().position(|byte| !b" \n\r\t".contains(byte)) else {
                break;
            };
            at += space;
            let there = there.get(space..).unwrap_or_default();
            match (self.place, there.first()) {
                (Place::First | Place::Behind, Some(b']')) => {
                    self.rest.extend_from_slice(there);
                    self.place = Place::Tail;
                    return Ok(());
                }
                (Place::Behind, Some(b',')) => {
                    self.place = Place::Next;
                    at += 1;
                }
                (Place::Behind, _) => return Err(Error::custom("expected `,` or `]`")),
                _ => match self.try_object(there)? {
                    Some(length) => at += length,
                    None => break,
                },
            }
        }
        objects.drain(..at);
        self.objects = objects;
        Ok(())
    }

    /// Takes the object that begins here, if it is complete, and returns its length.
    fn try_object(&mut self, there: &[u8]) -> Result<Option<usize>, Error> {
        if there.len() < self.promising && !self.ended {
            return Ok(None);
        }
        let mut values = Deserializer::from_slice(there).into_iter::<K>();
        match values.next().transpose() {
            Ok(object) => {
                let length = values.byte_offset();
                self.promising = length;
                self.place = Place::Behind;
                self.taken.extend(object);
                Ok(Some(length))
            }
            // What looks wrong may only be cut off: of a number, the sign alone is none.
            Err(error) if !(self.ended || error.is_data()) => {
                self.promising = there.len() + there.len() / 2;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

/// Whether this is a list up to its objects, and none of some other things of that name within it.
fn announces(head: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "items")]
        _items: Vec<IgnoredAny>,
    }
    let closed = [head, b"]}"].concat();
    serde_json::from_slice::<Head>(&closed).is_ok()
}

#[cfg(test)]
mod tests;
