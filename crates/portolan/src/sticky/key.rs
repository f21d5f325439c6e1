//! What tokens are signed with.

use std::fmt;

use crate::BuildError;

/// A secret that tokens are signed with. All replicas of a program have the same, or a client's session would depend on which
/// of them it meets.
///
/// It is never shown: not in logs, and not by `Debug`.
#[derive(Clone)]
pub struct SigningKey(Box<[u8]>);

impl SigningKey {
    /// As many bytes as the hash has (RFC 2104, 3): with fewer it would be the key that is guessed.
    const LEAST: usize = 32;

    /// The key of these bytes, which must be random: `openssl rand 32`.
    ///
    /// # Errors
    /// Where there are fewer than 32 bytes.
    pub fn new(secret: &[u8]) -> Result<Self, BuildError> {
        if secret.len() < Self::LEAST {
            return Err(BuildError::Setting {
                setting: "sticky.key",
                value: format!("{} bytes", secret.len()),
                expected: "expected 32 random bytes or more",
            });
        }
        Ok(Self(secret.into()))
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningKey(…)")
    }
}
