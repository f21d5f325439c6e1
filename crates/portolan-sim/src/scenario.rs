//! How many clients and Pods there are, how much is asked, and what is wrong.

use std::{fmt, time::Duration};

use crate::pod::{Kind, Size};

/// What is wrong with some of the Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nothing.
    None,
    /// A tenth of them is four times as slow.
    Slow,
    /// A tenth of them fails whatever it is asked, at once.
    Failing,
    /// Every other second one of them is replaced by a new one, which is eight times as slow at first, and warm after
    /// five seconds.
    ColdStarts,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::None, Self::Slow, Self::Failing, Self::ColdStarts];
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "plain",
            Self::Slow => "slow Pods",
            Self::Failing => "failing Pods",
            Self::ColdStarts => "cold starts",
        })
    }
}

/// A set-up.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What is wrong.
    pub fault: Fault,
    /// How much is asked, of what the Pods can do that are warm and do not fail.
    pub load: f64,
    /// How many clients there are, which all ask as much.
    pub clients: usize,
    /// How many Pods.
    pub pods: usize,
    /// What each of them is like.
    pub size: Size,
    /// How long a message is on its way, on average: at least half of it, the rest by the exponential law.
    pub network: Duration,
    /// After how long a client gives up.
    pub patience: Duration,
    /// For how long nothing is measured.
    pub warm_up: Duration,
    /// For how long it is then.
    pub measured: Duration,
}

impl Scenario {
    /// 20 clients and 30 Pods with two workers each, which work 10 ms on a request: 6,000 requests/s are all that they
    /// can do. 100 requests may wait at a Pod. Clients give up after a second.
    ///
    /// The first 20 seconds are not measured: weights that backends report count after ten, and what had piled up by then
    /// has to be worked off.
    #[must_use]
    pub fn new(fault: Fault, load: f64) -> Self {
        Self {
            fault,
            load,
            clients: 20,
            pods: 30,
            size: Size {
                workers: 2,
                work: Duration::from_millis(10),
                queue: 100,
            },
            network: Duration::from_micros(250),
            patience: Duration::from_secs(1),
            warm_up: Duration::from_secs(20),
            measured: Duration::from_secs(10),
        }
    }

    /// The same, for other times.
    #[must_use]
    pub fn lasting(mut self, warm_up: Duration, measured: Duration) -> Self {
        self.warm_up = warm_up;
        self.measured = measured;
        self
    }

    /// What the nth Pod of the beginning is.
    #[must_use]
    pub fn kind(&self, nth: usize) -> Kind {
        match (self.fault, nth % 10) {
            (Fault::Slow, 0) => Kind::Slow(4.0),
            (Fault::Failing, 0) => Kind::Failing,
            _ => Kind::Sound,
        }
    }

    /// After how long a Pod is replaced, and by what.
    #[must_use]
    pub fn replacement(&self) -> Option<(Duration, Kind)> {
        let cold = Kind::Cold(8.0, Duration::from_secs(5));
        (self.fault == Fault::ColdStarts).then_some((Duration::from_secs(2), cold))
    }

    /// How many requests there are to be in a second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        let one = f64::from(self.size.workers) / self.size.work.as_secs_f64();
        let capacity = (0..self.pods).map(|nth| match self.kind(nth) {
            Kind::Slow(factor) => one / factor,
            Kind::Failing => 0.0,
            Kind::Sound | Kind::Cold(..) => one,
        });
        self.load * capacity.sum::<f64>()
    }
}
