//! Reading text, and finding out in which field an error is.

use serde::{Deserializer, de::DeserializeOwned};

use super::ConfigError;

pub(super) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let config = from_deserializer(&mut deserializer)?;
    deserializer.end().map_err(ConfigError::whole)?;
    Ok(config)
}

pub(super) fn from_yaml<T: DeserializeOwned>(text: &str) -> Result<T, ConfigError> {
    // Its own error knows the place in the text, and is told of only when it comes back from in there.
    let mut path = String::new();
    serde_saphyr::with_deserializer_from_str(text, |deserializer| {
        serde_path_to_error::deserialize(deserializer).map_err(|error| {
            path = error.path().to_string();
            error.into_inner()
        })
    })
    .map_err(|error| ConfigError::unreadable(path, error.without_snippet()))
}

pub(super) fn from_deserializer<'de, T: DeserializeOwned, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, ConfigError> {
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let path = error.path().to_string();
        ConfigError::unreadable(path, error.into_inner())
    })
}
