//! A batch of keys: split by shard, asked shard by shard, and the answers back in the order of the keys.

use std::{collections::HashMap, fmt, hash::Hash, sync::Arc};

use futures::StreamExt;

use super::Scatter;

/// Why there is no answer for a key.
#[derive(Debug)]
#[non_exhaustive]
pub enum KeyError<E> {
    /// The call to its shard failed; for all keys of the shard alike.
    Failed(Arc<E>),
    /// Its shard answered for fewer keys than it was asked for.
    Short,
    /// Its shard was not heard of in time.
    Unheard,
    /// No shard has the key.
    Unassigned,
}

/// Asks for many keys at once: each shard is called once, with all of its keys, and the answers come back in the
/// order of the keys, each in its own place. A key that comes twice is asked for twice.
///
/// `shard_of` says the shard of a key, such as [`Shard::shard_of`](crate::policy::Shard::shard_of); `ask` asks one shard
/// for some keys, and returns an answer for each, in their order. How many shards are asked at once, and for how
/// long, `scatter` says; how many answers are enough is each key's own matter here.
///
/// ```
/// use portolan::{policy::{Shard, Sharding, Shards}, scatter::{Scatter, by_shard}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let shards = Shard::by_ordinal(Shards::fixed(2)).keys(Sharding::number());
/// let values = by_shard(Scatter::new(), ["4", "7", "6"], |key| shards.shard_of(key.as_bytes()), async |shard, keys| {
///     // One request with all of these keys: `Routing::key` of any of them leads to the shard.
///     Ok::<_, portolan::Error>(keys.iter().map(|key| format!("{key} of shard {shard}")).collect())
/// })
/// .await;
/// let values: Vec<_> = values.into_iter().map(|value| value.unwrap()).collect();
/// assert_eq!(values, ["4 of shard 0", "7 of shard 1", "6 of shard 0"]);
/// # }
/// ```
///
/// # Cancel safety
/// Dropping the future cancels what is under way. Requests that were sent may have been processed.
pub async fn by_shard<K, S, V, E, A, F>(
    scatter: Scatter,
    keys: impl IntoIterator<Item = K>,
    mut shard_of: impl FnMut(&K) -> Option<S>,
    ask: A,
) -> Vec<Result<V, KeyError<E>>>
where
    K: Clone + Send,
    S: Clone + Eq + Hash + Send,
    V: Send,
    E: Send,
    A: Fn(S, Vec<K>) -> F + Send,
    F: Future<Output = Result<Vec<V>, E>> + Send,
{
    let mut results = Vec::new();
    let mut parts: Vec<Part<K, S>> = Vec::new();
    let mut known: HashMap<S, usize> = HashMap::new();
    for (place, key) in keys.into_iter().enumerate() {
        let Some(shard) = shard_of(&key) else {
            results.push(Err(KeyError::Unassigned));
            continue;
        };
        results.push(Err(KeyError::Unheard));
        let at = *known.entry(shard.clone()).or_insert(parts.len());
        if at == parts.len() {
            parts.push(Part::of(shard));
        }
        if let Some(part) = parts.get_mut(at) {
            part.keys.push(key);
            part.places.push(place);
        }
    }
    let ask = move |part: Part<K, S>| ask(part.shard, part.keys);
    let mut answers = scatter.over(parts, ask);
    while let Some((part, answer)) = answers.next().await {
        let mut answer = answer.map(Vec::into_iter).map_err(Arc::new);
        for place in part.places {
            let result = match &mut answer {
                Ok(values) => values.next().ok_or(KeyError::Short),
                Err(error) => Err(KeyError::Failed(Arc::clone(error))),
            };
            if let Some(slot) = results.get_mut(place) {
                *slot = result;
            }
        }
    }
    results
}

/// What one shard is asked for, and where the answers go.
#[derive(Clone)]
struct Part<K, S> {
    shard: S,
    keys: Vec<K>,
    places: Vec<usize>,
}

impl<K, S> Part<K, S> {
    fn of(shard: S) -> Self {
        Self {
            shard,
            keys: Vec::new(),
            places: Vec::new(),
        }
    }
}

impl<E: fmt::Display> fmt::Display for KeyError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Short => f.write_str("the shard answered for fewer keys than it was asked for"),
            Self::Unheard => f.write_str("the shard was not heard of in time"),
            Self::Unassigned => f.write_str("no shard has the key"),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for KeyError<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => Some(&**error),
            _ => None,
        }
    }
}
