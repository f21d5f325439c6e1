//! A Pod: a queue, first come, first served, with workers.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use portolan_core::{LoadReport, Time};

use crate::{meter::Meter, random::Chance};

/// What a Pod is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// As it should be.
    Sound,
    /// Everything takes it so many times as long.
    Slow(f64),
    /// It fails whatever it is asked, at once.
    Failing,
    /// Freshly started: everything takes it so many times as long at first, and less and less until it is as it should
    /// be, after so long a time.
    Cold(f64, Duration),
}

/// What all Pods have in common.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// How many requests it serves at once.
    pub workers: u32,
    /// How long one takes, on average, by the exponential law.
    pub work: Duration,
    /// How many more may wait; what comes on top is refused at once.
    pub queue: u32,
}

/// A Pod.
#[derive(Debug)]
pub struct Pod {
    kind: Kind,
    size: Size,
    began: Time,
    /// When each of the workers is free.
    free: BinaryHeap<Reverse<Time>>,
    in_hand: u32,
    meter: Meter,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fate {
    /// When the Pod is done with it.
    pub done: Time,
    /// How long a worker worked on it; `None` where it fails.
    pub worked: Option<Duration>,
    arrived: Time,
    /// How many were in hand when it came.
    before_it: u32,
}

/// How long it takes to say no.
const REFUSAL: Duration = Duration::from_micros(200);

impl Pod {
    /// One that starts now.
    #[must_use]
    pub fn start(kind: Kind, size: Size, now: Time) -> Self {
        Self {
            kind,
            size,
            began: now,
            free: (0..size.workers).map(|_| Reverse(now)).collect(),
            in_hand: 0,
            meter: Meter::begin(size.workers, now),
        }
    }

    /// A request arrives. What becomes of it is decided now, since nobody is let past; the Pod is to be
    /// [told](Self::done) when it is over.
    pub fn arrive(&mut self, now: Time, chance: &mut Chance) -> Fate {
        let refused = Fate {
            done: now + REFUSAL,
            worked: None,
            arrived: now,
            before_it: self.in_hand,
        };
        let full = self.in_hand >= self.size.workers + self.size.queue;
        self.in_hand += 1;
        if full || self.kind == Kind::Failing {
            return refused;
        }
        let Some(Reverse(free)) = self.free.pop() else {
            return refused;
        };
        let start = free.max(now);
        let worked = chance
            .exponential(self.size.work)
            .mul_f64(self.slowness(start));
        let done = start + worked;
        self.free.push(Reverse(done));
        Fate {
            done,
            worked: Some(worked),
            ..refused
        }
    }

    /// A request is over. What the Pod reports with its answer.
    pub fn done(&mut self, fate: &Fate, now: Time) -> LoadReport {
        match fate.worked {
            Some(worked) => {
                let took = now.since(fate.arrived);
                self.meter.answered(worked, fate.before_it, took, now);
            }
            None => self.meter.failed(now),
        }
        // The one that is being answered is still in hand.
        let report = self.meter.report(self.in_hand, now);
        self.in_hand = self.in_hand.saturating_sub(1);
        report
    }

    /// How many times as long everything takes.
    fn slowness(&self, now: Time) -> f64 {
        match self.kind {
            Kind::Sound | Kind::Failing => 1.0,
            Kind::Slow(factor) => factor,
            Kind::Cold(factor, until) => {
                let warm = now.since(self.began).as_secs_f64() / until.as_secs_f64();
                1.0 + (factor - 1.0) * (1.0 - warm.min(1.0))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size {
        workers: 2,
        work: Duration::from_millis(10),
        queue: 3,
    };

    #[test]
    fn workers_take_the_first_that_came_and_what_is_too_much_is_refused() {
        let (mut pod, mut chance) = (Pod::start(Kind::Sound, SIZE, Time::ORIGIN), Chance::of(7));
        let fates: Vec<_> = (0..6)
            .map(|_| pod.arrive(Time::ORIGIN, &mut chance))
            .collect();
        assert!(fates[..5].iter().all(|fate| fate.worked.is_some()));
        assert_eq!(fates[5].worked, None);
        assert_eq!(fates[5].done, Time::ORIGIN + REFUSAL);
        // The third begins when the first of the two before it is done.
        let first = fates[0].done.min(fates[1].done);
        assert_eq!(fates[2].done, first + fates[2].worked.unwrap());
        let report = pod.done(&fates[0], fates[0].done);
        assert_eq!(report.requests_in_flight(), Some(6));
    }

    /// M/M/1: the mean time in the system is the mean work over what is left of the capacity.
    #[test]
    fn a_queue_is_as_long_as_theory_has_it() {
        let size = Size {
            workers: 1,
            queue: u32::MAX / 2,
            ..SIZE
        };
        for load in [0.5, 0.8] {
            let (mut pod, mut chance) =
                (Pod::start(Kind::Sound, size, Time::ORIGIN), Chance::of(42));
            let (mut now, mut total) = (Time::ORIGIN, Duration::ZERO);
            let count = 400_000;
            for _ in 0..count {
                now = now + chance.exponential(size.work.div_f64(load));
                total += pod.arrive(now, &mut chance).done.since(now);
            }
            let mean = total.as_secs_f64() / f64::from(count) / size.work.as_secs_f64();
            let theory = 1.0 / (1.0 - load);
            assert!(
                (mean / theory - 1.0).abs() < 0.05,
                "{mean} against {theory}"
            );
        }
    }

    #[test]
    fn a_cold_pod_warms_up() {
        let pod = Pod::start(Kind::Cold(5.0, Duration::from_secs(4)), SIZE, Time::ORIGIN);
        let after = |seconds| pod.slowness(Time::ORIGIN + Duration::from_secs(seconds));
        assert_eq!(
            [after(0), after(2), after(4), after(60)],
            [5.0, 3.0, 1.0, 1.0]
        );
    }
}
