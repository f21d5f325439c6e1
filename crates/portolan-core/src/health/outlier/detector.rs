//! Who is out, who is on trial, and who is next.

use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

use super::{
    rates::{Interval, too_far_below, too_many_fail},
    settings::OutlierEjection,
};
use crate::{Candidate, EndpointState, Time, policy::random_bits};

/// How many requests must succeed to end a trial.
const TRIAL: u64 = 3;
/// By how much of itself an ejection is lengthened at most.
const JITTER: f64 = 0.2;

/// Looks after the endpoints of one balancer.
///
/// ```
/// use portolan_core::health::{OutlierEjection, Outliers};
/// use portolan_core::{
///     Endpoint, EndpointSet, Measurement, Membership, Outcome, Placement, Time, reconcile,
/// };
///
/// let endpoints: EndpointSet = ["db-0", "db-1"]
///     .map(|name| Endpoint::new(Placement::new(name), "10.0.0.1:80".parse().unwrap()))
///     .into_iter()
///     .collect();
/// let (membership, _) = reconcile(&Membership::default(), &endpoints, Measurement::default());
/// let [_, second] = membership.members() else { unreachable!() };
/// for _ in 0..5 {
///     second.state.record_untimed(Outcome::ErrorResponse);
/// }
/// let mut outliers = Outliers::new(OutlierEjection::new(), Time::ORIGIN);
/// let decisions = outliers.look(membership.members(), Time::ORIGIN, 7);
/// assert_eq!(decisions.len(), 1);
/// assert!(outliers.is_ejected(second));
/// ```
pub struct Outliers {
    settings: OutlierEjection,
    /// By the address of the state, which is its own for as long as it is kept here.
    watched: HashMap<usize, Watched>,
    next_sweep: Time,
    ejected: usize,
    /// Counts the looks, to find those who are gone.
    pass: u64,
}

struct Watched {
    state: Arc<EndpointState>,
    standing: Standing,
    /// How many ejections have followed on one another.
    ejections: u32,
    /// What was counted at the last sweep.
    requests: u64,
    failures: u64,
    pass: u64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Standing {
    In,
    Out {
        until: Time,
    },
    /// It is back; what was counted then.
    OnTrial {
        requests: u64,
        failures: u64,
    },
}

/// What was decided of an endpoint.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Decision {
    /// It is left out.
    Ejected {
        /// Who.
        state: Arc<EndpointState>,
        /// Why.
        because: Because,
        /// For how long.
        lasts: Duration,
    },
    /// It is back, on trial.
    Returned {
        /// Who.
        state: Arc<EndpointState>,
    },
}

/// Why an endpoint is ejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Because {
    /// Too many requests in a row were not answered.
    ConsecutiveFailures,
    /// Too many answers in a row said that it cannot serve.
    ConsecutiveErrorResponses,
    /// Its success rate is far below the others'.
    SuccessRate,
    /// Too many of its requests fail.
    FailurePercentage,
    /// A request failed while it was on trial.
    FailedTrial,
}

impl Outliers {
    /// Nobody is ejected.
    #[must_use]
    pub fn new(settings: OutlierEjection, now: Time) -> Self {
        Self {
            next_sweep: now + settings.interval,
            settings,
            watched: HashMap::new(),
            ejected: 0,
            pass: 0,
        }
    }

    /// Looks at the members, and decides. To be called when an [alarm](EndpointState::alarm) rings, when the members
    /// have changed, and at [`next_look`](Self::next_look). `entropy` is for the jitter.
    pub fn look(&mut self, members: &[Candidate], now: Time, entropy: u64) -> Vec<Decision> {
        self.take_up(members);
        let mut decisions = Vec::new();
        let mut suspects = Vec::new();
        let (mut ready, mut out, mut intervals) = (0, 0, Vec::new());
        let sweeps = now >= self.next_sweep;
        for one in members {
            let Some(watched) = self.watched.get_mut(&key(one)) else {
                continue;
            };
            let is_ready = one.endpoint.conditions().is_ready();
            ready += usize::from(is_ready);
            if watched.may_return(now) {
                watched.arm(1, 1);
                self.ejected -= 1;
                let state = Arc::clone(&watched.state);
                decisions.push(Decision::Returned { state });
            }
            if watched.has_passed_trial() {
                watched.standing = Standing::In;
                self.settings.arm(watched);
            }
            // Who is not ready is left out whatever is decided here, and takes up nobody's place.
            out += usize::from(is_ready && watched.is_out());
            if let Some(because) = watched.suspicion(&self.settings) {
                suspects.push((watched.state.consecutive_failures(), key(one), because));
            }
            if sweeps {
                intervals.push((key(one), watched.sweep()));
            }
        }
        // Those with most failures in a row first: not all may be out at once.
        suspects.sort_by(|(a, ..), (b, ..)| b.cmp(a));
        let suspects = suspects.into_iter().map(|(_, key, because)| (key, because));
        let mut suspects: Vec<_> = suspects.collect();
        if sweeps {
            self.next_sweep = now + self.settings.interval;
            suspects.extend(self.outliers(&intervals));
        }
        for (nth, (key, because)) in suspects.into_iter().enumerate() {
            if out >= self.may_be_out(ready) {
                break;
            }
            let entropy = random_bits(entropy, nth as u64);
            if let Some(decision) = self.eject(key, because, now, entropy) {
                decisions.push(decision);
                out += 1;
            }
        }
        decisions
    }

    /// Whether it is left out.
    #[must_use]
    pub fn is_ejected(&self, candidate: &Candidate) -> bool {
        self.ejected > 0
            && self
                .watched
                .get(&key(candidate))
                .is_some_and(Watched::is_out)
    }

    /// How many are left out.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    /// When to look again, even if nothing happens.
    #[must_use]
    pub fn next_look(&self) -> Time {
        let returns = self
            .watched
            .values()
            .filter_map(|watched| match watched.standing {
                Standing::Out { until } => Some(until),
                _ => None,
            });
        match self.ejected {
            0 => self.next_sweep,
            _ => returns.fold(self.next_sweep, Time::min),
        }
    }

    /// Whether so few of the ready endpoints are left that ejections are not to be gone by.
    #[must_use]
    pub fn panics(&self, ready: usize, left: usize) -> bool {
        (left as f64) < self.settings.panic_threshold * ready as f64
    }

    /// Watches those who have come, and lets go of those who are gone.
    fn take_up(&mut self, members: &[Candidate]) {
        self.pass += 1;
        for one in members {
            let settings = &self.settings;
            let watched = self.watched.entry(key(one)).or_insert_with(|| {
                let watched = Watched::new(&one.state);
                settings.arm(&watched);
                watched
            });
            watched.pass = self.pass;
        }
        if self.watched.len() > members.len() {
            self.watched.retain(|_, watched| watched.pass == self.pass);
            self.ejected = self
                .watched
                .values()
                .filter(|watched| watched.is_out())
                .count();
        }
    }

    fn outliers(&self, intervals: &[(usize, Option<Interval>)]) -> Vec<(usize, Because)> {
        let (keys, counted): (Vec<_>, Vec<_>) = intervals
            .iter()
            .filter_map(|(key, interval)| Some((*key, (*interval)?)))
            .unzip();
        let rate = self
            .settings
            .success_rate
            .map(|settings| (Because::SuccessRate, too_far_below(settings, &counted)));
        let percentage = self.settings.failure_percentage.map(|settings| {
            (
                Because::FailurePercentage,
                too_many_fail(settings, &counted),
            )
        });
        let found = rate.into_iter().chain(percentage);
        found
            .flat_map(|(because, places)| places.into_iter().map(move |place| (place, because)))
            .filter_map(|(place, because)| Some((*keys.get(place)?, because)))
            .collect()
    }

    fn may_be_out(&self, ready: usize) -> usize {
        let share = (self.settings.max_ejected * ready as f64) as usize;
        // Never the last one.
        share.max(1).min(ready.saturating_sub(1))
    }

    fn eject(&mut self, key: usize, because: Because, now: Time, entropy: u64) -> Option<Decision> {
        let watched = self.watched.get_mut(&key)?;
        if watched.is_out() {
            return None;
        }
        let doubled = 1_u32.checked_shl(watched.ejections).unwrap_or(u32::MAX);
        let lasts = self.settings.shortest.saturating_mul(doubled);
        let unit = (entropy >> 11) as f64 / (1_u64 << 53) as f64;
        let lasts = lasts.min(self.settings.longest);
        let lasts = lasts.saturating_add(lasts.mul_f64(JITTER * unit));
        watched.ejections = watched.ejections.saturating_add(1).min(31);
        watched.standing = Standing::Out { until: now + lasts };
        self.ejected += 1;
        Some(Decision::Ejected {
            state: Arc::clone(&watched.state),
            because,
            lasts,
        })
    }
}

impl OutlierEjection {
    fn arm(&self, watched: &Watched) {
        watched.arm(
            self.consecutive_failures.unwrap_or(0),
            self.consecutive_error_responses.unwrap_or(0),
        );
    }
}

impl Watched {
    fn new(state: &Arc<EndpointState>) -> Self {
        Self {
            standing: Standing::In,
            ejections: 0,
            requests: state.requests(),
            failures: state.failures(),
            pass: 0,
            state: Arc::clone(state),
        }
    }

    fn arm(&self, failures: u16, error_responses: u16) {
        self.state.alarm().set(failures, error_responses);
    }

    fn is_out(&self) -> bool {
        matches!(self.standing, Standing::Out { .. })
    }

    /// Whether its time is over. Then it is on trial.
    fn may_return(&mut self, now: Time) -> bool {
        let is_over = matches!(self.standing, Standing::Out { until } if now >= until);
        if is_over {
            let (requests, failures) = (self.state.requests(), self.state.failures());
            self.standing = Standing::OnTrial { requests, failures };
            // What it was ejected for has been dealt with.
            (self.requests, self.failures) = (requests, failures);
        }
        is_over
    }

    /// Successes ring no alarm, so that a trial may have been passed long before a failure is seen. Which came
    /// first is not known, but a failure is looked at soon after it.
    fn has_passed_trial(&self) -> bool {
        let Standing::OnTrial { requests, failures } = self.standing else {
            return false;
        };
        let answered = self.state.requests().saturating_sub(requests);
        let failed = self.state.failures().saturating_sub(failures);
        answered.saturating_sub(failed) >= TRIAL * failed.max(1)
    }

    /// What speaks for leaving it out at once.
    fn suspicion(&self, settings: &OutlierEjection) -> Option<Because> {
        match self.standing {
            Standing::Out { .. } => None,
            Standing::OnTrial { failures, .. } => {
                (self.state.failures() > failures).then_some(Because::FailedTrial)
            }
            Standing::In => {
                let errors = self.state.consecutive_error_responses();
                let unanswered = self.state.consecutive_failures().saturating_sub(errors);
                let too_many = |count: u32, limit: Option<u16>| {
                    limit.is_some_and(|limit| count >= u32::from(limit))
                };
                if too_many(unanswered, settings.consecutive_failures) {
                    Some(Because::ConsecutiveFailures)
                } else if too_many(errors, settings.consecutive_error_responses) {
                    Some(Because::ConsecutiveErrorResponses)
                } else {
                    None
                }
            }
        }
    }

    /// What it did since the last sweep, where it was in all the while. An interval without an ejection makes
    /// the next one shorter.
    fn sweep(&mut self) -> Option<Interval> {
        let (requests, failures) = (self.state.requests(), self.state.failures());
        let interval = Interval {
            requests: requests.saturating_sub(self.requests),
            failures: failures.saturating_sub(self.failures),
        };
        (self.requests, self.failures) = (requests, failures);
        if self.standing != Standing::In {
            return None;
        }
        self.ejections = self.ejections.saturating_sub(1);
        Some(interval)
    }
}

fn key(candidate: &Candidate) -> usize {
    Arc::as_ptr(&candidate.state).addr()
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ConsecutiveFailures => "too many requests in a row were not answered",
            Self::ConsecutiveErrorResponses => {
                "too many answers in a row said that it cannot serve"
            }
            Self::SuccessRate => "its success rate is far below the others'",
            Self::FailurePercentage => "too many of its requests fail",
            Self::FailedTrial => "a request failed while it was on trial",
        })
    }
}

impl fmt::Debug for Outliers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outliers")
            .field("settings", &self.settings)
            .field("watched", &self.watched.len())
            .field("ejected", &self.ejected)
            .finish_non_exhaustive()
    }
}
