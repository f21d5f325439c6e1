//! What is wrong with a setting that makes no sense.

/// A setting that makes no sense: which one, what it was set to, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is {value}: {expected}")]
#[non_exhaustive]
pub struct InvalidSetting {
    /// Which one.
    pub setting: &'static str,
    /// What it was set to.
    pub value: String,
    /// What was expected.
    pub expected: &'static str,
}

impl InvalidSetting {
    pub(crate) fn new(
        setting: &'static str,
        value: &dyn std::fmt::Debug,
        expected: &'static str,
    ) -> Self {
        Self {
            setting,
            value: format!("{value:?}"),
            expected,
        }
    }
}

/// `Err` where what holds of the setting does not.
pub(crate) fn expect(
    holds: bool,
    setting: &'static str,
    value: &dyn std::fmt::Debug,
    expected: &'static str,
) -> Result<(), InvalidSetting> {
    match holds {
        true => Ok(()),
        false => Err(InvalidSetting::new(setting, value, expected)),
    }
}
