//! Faults of the API, on a test's order.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use tokio::sync::watch;

use crate::store::Store;

/// An event on its way to a watching client, for [`Faults::drop_events_if`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct WatchedEvent<'a> {
    /// `ADDED`, `MODIFIED` or `DELETED`, as this watch sees it.
    pub change: &'static str,
    /// The plural of the resource: `endpointslices`.
    pub resource: &'static str,
    /// The object.
    pub object: &'a Value,
}

/// A way in which an answer is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Corruption {
    /// Bytes that are no JSON.
    Garbage,
    /// The first half, and then the end.
    Truncated,
    /// JSON whose fields have types that nobody expects.
    WrongTypes,
}

/// Whether the API is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    Up,
    Down,
    Hung,
}

/// What every open connection must follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    pub(crate) availability: Availability,
    /// Counts the orders to break open watches.
    pub(crate) cuts: u64,
    /// Counts the orders to end open watches in good order.
    pub(crate) ends: u64,
}

type Filter = Arc<dyn Fn(&WatchedEvent<'_>) -> bool + Send + Sync>;

#[derive(Default)]
struct Plan {
    drop_next: u64,
    drop_if: Option<Filter>,
    double: bool,
    delay: Duration,
    answers: VecDeque<(StatusCode, u64)>,
    corruption: Option<Corruption>,
}

/// Orders faults of the API. They hit clients, not the cluster's own controllers and kubelet: so
/// the cluster goes on changing behind a client's back, as a real one does.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use portolan_test::TestCluster;
///
/// let cluster = TestCluster::start().await?;
/// let client = cluster.client();
/// cluster.faults().api_down();
/// assert!(client.apiserver_version().await.is_err());
/// cluster.faults().api_up();
/// client.apiserver_version().await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Faults {
    condition: Arc<watch::Sender<Condition>>,
    plan: Arc<Mutex<Plan>>,
    store: Arc<Store>,
}

impl Faults {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        let condition = watch::Sender::new(Condition {
            availability: Availability::Up,
            cuts: 0,
            ends: 0,
        });
        Self {
            condition: Arc::new(condition),
            plan: Arc::default(),
            store,
        }
    }

    /// Takes the API down: connections are refused, open ones break.
    pub fn api_down(&self) {
        self.set_availability(Availability::Down);
    }

    /// Brings the API back after [`api_down`](Self::api_down) or [`hang_api`](Self::hang_api).
    pub fn api_up(&self) {
        self.set_availability(Availability::Up);
    }

    /// Freezes the API, as SIGSTOP does: it accepts connections and answers nothing; open watches
    /// fall silent and go on where they were after [`api_up`](Self::api_up).
    pub fn hang_api(&self) {
        self.set_availability(Availability::Hung);
    }

    /// Breaks every open watch in the middle of the stream.
    pub fn cut_watches(&self) {
        self.condition.send_modify(|condition| condition.cuts += 1);
    }

    /// Ends every open watch in good order, as the server does at its time limit.
    pub fn end_watches(&self) {
        self.condition.send_modify(|condition| condition.ends += 1);
    }

    /// Loses the next `count` events. An event for two watches counts twice; what a watch begins
    /// with is no event.
    pub fn drop_events(&self, count: u64) {
        self.plan().drop_next = count;
    }

    /// Loses all events for which `filter` says true, until [`heal`](Self::heal).
    pub fn drop_events_if(
        &self,
        filter: impl Fn(&WatchedEvent<'_>) -> bool + Send + Sync + 'static,
    ) {
        self.plan().drop_if = Some(Arc::new(filter));
    }

    /// Sends every event twice, until [`heal`](Self::heal).
    pub fn double_events(&self) {
        self.plan().double = true;
    }

    /// Delivers every event `late` after it happened; zero ends it.
    pub fn delay_events(&self, late: Duration) {
        self.plan().delay = late;
    }

    /// Forgets the history, as etcd's compaction does: a watch from any version known before gets
    /// `410 Gone`. Open watches go on: cut them to see it.
    pub fn compact(&self) {
        self.store.compact();
    }

    /// Breaks the next answer, or the next event of a watch, whichever comes first.
    pub fn corrupt_next_answer(&self, corruption: Corruption) {
        self.plan().corruption = Some(corruption);
    }

    /// Answers the next `count` requests by a bare `status`; orders queue up.
    pub fn answer_status(&self, status: StatusCode, count: u64) {
        self.plan().answers.push_back((status, count));
    }

    /// Ends all faults; what was lost stays lost.
    pub fn heal(&self) {
        *self.plan() = Plan::default();
        self.api_up();
    }

    fn set_availability(&self, availability: Availability) {
        self.condition
            .send_modify(|condition| condition.availability = availability);
    }

    pub(crate) fn condition(&self) -> watch::Receiver<Condition> {
        self.condition.subscribe()
    }

    /// Waits while the API hangs; fails while it is down.
    pub(crate) async fn admit(&self) -> io::Result<()> {
        let mut condition = self.condition();
        let settled = condition
            .wait_for(|condition| condition.availability != Availability::Hung)
            .await;
        match settled {
            Ok(condition) if condition.availability == Availability::Up => Ok(()),
            _ => Err(io::Error::new(
                io::ErrorKind::ConnectionRefused,
                "the API is down, on the test's order",
            )),
        }
    }

    /// The status that the next request is to be answered by.
    pub(crate) fn next_status(&self) -> Option<StatusCode> {
        let mut plan = self.plan();
        while let Some((status, left)) = plan.answers.front_mut() {
            if let Some(rest) = left.checked_sub(1) {
                *left = rest;
                return Some(*status);
            }
            plan.answers.pop_front();
        }
        None
    }

    pub(crate) fn take_corruption(&self) -> Option<Corruption> {
        self.plan().corruption.take()
    }

    /// How often an event is to be sent.
    pub(crate) fn copies(&self, event: &WatchedEvent<'_>) -> usize {
        let filter = {
            let mut plan = self.plan();
            if let Some(rest) = plan.drop_next.checked_sub(1) {
                plan.drop_next = rest;
                return 0;
            }
            plan.drop_if.clone()
        };
        // The test's own code runs without the lock.
        if filter.is_some_and(|filter| filter(event)) {
            return 0;
        }
        if self.plan().double { 2 } else { 1 }
    }

    pub(crate) fn event_delay(&self) -> Duration {
        self.plan().delay
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults")
            .field("condition", &*self.condition.borrow())
            .finish_non_exhaustive()
    }
}

impl Corruption {
    /// Breaks the bytes of an answer.
    pub(crate) fn apply(self, mut answer: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Garbage => b"{\"kind\": \xff\x00 not JSON".to_vec(),
            Self::Truncated => {
                answer.truncate(answer.len() / 2);
                answer
            }
            Self::WrongTypes => match serde_json::from_slice(&answer) {
                Ok(value) => with_wrong_types(value).to_string().into_bytes(),
                Err(_) => answer,
            },
        }
    }
}

/// Turns what clients rely on into something else: maps into numbers, lists into text.
fn with_wrong_types(mut value: Value) -> Value {
    let object = match value.get_mut("object") {
        Some(object) => object,
        None => &mut value,
    };
    if let Some(fields) = object.as_object_mut() {
        for (name, field) in fields {
            *field = match (name.as_str(), &*field) {
                ("kind" | "apiVersion", _) => continue,
                (_, Value::Array(_) | Value::Null) => Value::String("not a list".to_owned()),
                (_, Value::String(_)) => Value::Bool(true),
                _ => Value::from(7),
            };
        }
    }
    value
}
