//! Why DNS cannot be used at all.

use std::error::Error as StdError;

/// Why no [`Dns`](crate::Dns) can be made.
///
/// What goes wrong later, while asking, is a [`SourceError`](portolan_core::SourceError) in the stream
/// of resolutions.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The system's DNS configuration cannot be read.
    #[error(
        "the DNS configuration of this system (`/etc/resolv.conf`) cannot be used: {cause}; mend it, \
         or name the servers with `Dns::with_nameservers`"
    )]
    SystemConfig {
        /// What is wrong with it.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// There is nobody to ask.
    #[error("no DNS server was named; give the address of at least one, such as `10.96.0.10:53`")]
    NoNameservers,
    /// The text is no domain.
    #[error("`{domain}` is no DNS domain ({cause}); expected one such as `cluster.local`")]
    InvalidDomain {
        /// The text.
        domain: String,
        /// What is wrong with it.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
    /// The client could not be made.
    #[error("no DNS client can be made: {cause}")]
    Client {
        /// What went wrong.
        #[source]
        cause: Box<dyn StdError + Send + Sync>,
    },
}
