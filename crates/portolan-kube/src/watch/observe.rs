//! One object, watched for what somebody wants to know of it.

use std::{pin::Pin, sync::Arc};

use futures::{Stream, StreamExt as _, stream};
use portolan_core::{SourceError, SourceErrorKind};
use tokio::{runtime::Handle, sync::Notify};

use super::{follow, informer::Update};
use crate::{
    Observations, Observed,
    cluster::Shared,
    object::{Object, Scope},
};

/// What the object of this name comes to by `read`: all that is known, and whatever changes.
pub(crate) fn observe<K: Object, T: Clone + PartialEq + Send + 'static>(
    shared: Arc<Shared>,
    namespace: String,
    name: String,
    read: impl Fn(K) -> Result<Option<T>, SourceError> + Send + 'static,
) -> Observations<T> {
    if let Some(error) = [&namespace, &name]
        .into_iter()
        .find_map(|text| refusal(text))
    {
        let refused = stream::iter([Observed::Failed(error)]);
        return Observations::new(refused.chain(stream::pending()));
    }
    let observer = Observer {
        shared,
        scope: Scope::Named {
            namespace,
            name: name.clone(),
        },
        name,
        updates: None,
        read,
        known: None,
        failing: false,
    };
    Observations::new(stream::unfold(observer, |mut observer| async {
        let observed = observer.next().await;
        Some((observed, observer))
    }))
}

/// What is wrong with a name. What has no place in one would ask for something else.
fn refusal(name: &str) -> Option<SourceError> {
    let begins = name.starts_with(|first: char| first.is_ascii_alphanumeric());
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-.".contains(&byte);
    if begins && name.bytes().all(fits) {
        return None;
    }
    let name = name.escape_debug();
    let message = format!("`{name}` is not the name of an object or of a namespace");
    Some(SourceError::new(SourceErrorKind::Invalid, message))
}

struct Observer<K, T, F> {
    shared: Arc<Shared>,
    scope: Scope,
    name: String,
    /// Nothing before the first poll.
    updates: Option<Pin<Box<dyn Stream<Item = Update<K>> + Send>>>,
    read: F,
    /// What the object came to when it was heard of last.
    known: Option<Result<Option<T>, SourceError>>,
    /// Whether it was said since that nothing is learnt.
    failing: bool,
}

impl<K, T, F> Observer<K, T, F>
where
    K: Object,
    T: Clone + PartialEq,
    F: Fn(K) -> Result<Option<T>, SourceError>,
{
    async fn next(&mut self) -> Observed<T> {
        if let Err(error) = Handle::try_current() {
            let message = "a watch needs a Tokio runtime; poll its stream within one";
            let error = SourceError::new(SourceErrorKind::Invalid, message).with_cause(error);
            return Observed::Failed(error);
        }
        loop {
            let (shared, scope) = (&self.shared, &self.scope);
            let updates = self.updates.get_or_insert_with(|| {
                let suspicion = Arc::new(Notify::new());
                Box::pin(follow::informer(shared, scope.clone(), &suspicion, 1))
            });
            let Some(update) = updates.next().await else {
                return std::future::pending().await;
            };
            let known = match update {
                Update::Replaced(listed) => match listed.into_iter().next() {
                    Some(object) => (self.read)(object),
                    None => Ok(None),
                },
                Update::Applied(object) => (self.read)(object),
                Update::Deleted(object) if object.meta().name != self.name => continue,
                Update::Deleted(_) => Ok(None),
                Update::Failed(error) => {
                    self.failing = true;
                    return Observed::Failed(error);
                }
                Update::Recovered => match self.known.take() {
                    Some(known) => known,
                    None => continue,
                },
            };
            let is_new = !self
                .known
                .as_ref()
                .is_some_and(|before| is_same(before, &known));
            self.known = Some(known.clone());
            if std::mem::take(&mut self.failing) || is_new {
                return match known {
                    Ok(Some(present)) => Observed::Present(present),
                    Ok(None) => Observed::Absent,
                    Err(error) => Observed::Failed(error),
                };
            }
        }
    }
}

fn is_same<T: PartialEq>(
    before: &Result<Option<T>, SourceError>,
    now: &Result<Option<T>, SourceError>,
) -> bool {
    match (before, now) {
        (Ok(before), Ok(now)) => before == now,
        (Err(before), Err(now)) => before.to_string() == now.to_string(),
        _ => false,
    }
}
