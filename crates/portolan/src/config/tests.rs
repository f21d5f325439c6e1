//! What is read, what is made of it, what is refused and where, and what the schema says of it.

mod built;
mod nested;
mod refused;
mod schema;

use super::{ConfigError, Handles, PolicyConfig};
use crate::policy::{
    Leadership, Progress, Random, ReplicaLag, Routes, ShardMaps, Sharding, Shards,
};

/// What the texts of these tests refer to.
fn handles() -> Handles {
    let (_, maps) = ShardMaps::channel();
    let (_, shards) = Shards::changing(3);
    Handles::new()
        .leadership("db", &Leadership::new())
        .lag("db", &ReplicaLag::new())
        .progress("db", &Progress::new())
        .maps("orders", maps)
        .shards("orders", shards)
        .sharding(
            "first byte",
            Sharding::by(|key, _| key.first().map(|byte| u32::from(*byte))),
        )
        .routes("moved", &Routes::by_key())
        .policy("mine", Random::new())
}

/// Reads and builds, as one step.
fn accept(text: &str) -> Result<PolicyConfig, ConfigError> {
    let config = PolicyConfig::from_json(text)?;
    config.build_with(&handles())?;
    Ok(config)
}
