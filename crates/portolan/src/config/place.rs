//! Where in a configuration one is, while policies are made of it.

use super::{ConfigError, Handles};

/// A field, and those that it is in.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    outside: Option<&'a Self>,
    field: Field<'a>,
    handles: &'a Handles,
}

#[derive(Clone, Copy)]
enum Field<'a> {
    Root,
    Named(&'a str),
    Nth(usize),
}

impl<'a> Place<'a> {
    pub(super) fn root(handles: &'a Handles) -> Self {
        Self {
            outside: None,
            field: Field::Root,
            handles,
        }
    }

    /// What is in this field.
    pub(super) fn at<'b>(&'b self, field: &'b str) -> Place<'b> {
        self.inside(Field::Named(field))
    }

    /// What is at this place of the list.
    pub(super) fn nth<'b>(&'b self, nth: usize) -> Place<'b> {
        self.inside(Field::Nth(nth))
    }

    fn inside<'b>(&'b self, field: Field<'b>) -> Place<'b> {
        Place {
            outside: Some(self),
            field,
            handles: self.handles,
        }
    }

    pub(super) fn handles(&self) -> &'a Handles {
        self.handles
    }

    /// The error that what is here is wrong.
    pub(super) fn refuse(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::new(self.path(), problem)
    }

    fn path(&self) -> String {
        let outside = self.outside.map(Self::path).unwrap_or_default();
        match self.field {
            Field::Root => outside,
            Field::Nth(nth) => format!("{outside}[{nth}]"),
            Field::Named(name) if outside.is_empty() => name.to_owned(),
            Field::Named(name) => format!("{outside}.{name}"),
        }
    }
}
