//! Two threads that are really at it together, however busy the machine.
//!
//! Where others want the cores as well, two threads of a long run take turns, and contention between
//! them does not show. So the runs are short here, a tenth of a millisecond; the two meet before each;
//! and a run counts only if its two halves lie over each other on the clock.

use std::{
    sync::{
        Barrier,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{BoxError, Cost};

/// How much of the longer half the two have in common in a run that counts.
const OVERLAP: f64 = 0.8;

/// What one turn costs, of `turns` that each thread does.
#[derive(Clone, Debug)]
pub struct Together {
    /// One thread alone.
    pub alone: Cost,
    /// Two threads at once: the work of both. It is measured as wall time, which here is CPU time, since
    /// in a run that counts nobody is interrupted for long.
    pub cpu: Cost,
    /// Two threads at once: the time that goes by until the turns of both are done, each turn of either.
    pub elapsed: Cost,
}

/// Compares one thread alone with two at once.
///
/// Each thread is given what it runs by `prepare`: `run(tasks, turns)`, which does so many turns in so
/// many tasks.
///
/// # Errors
/// As the runs do.
pub fn alone_and_together<R>(
    name: &str,
    rounds: usize,
    turns: u64,
    prepare: impl Fn() -> Result<R, BoxError> + Sync,
) -> Result<Together, BoxError>
where
    R: FnMut(u64, u64) -> Result<(), BoxError>,
{
    let meeting = Meeting::default();
    let started = Barrier::new(2);
    let half = |first: bool| -> Result<Vec<[Span; 2]>, BoxError> {
        let prepared = prepare();
        started.wait();
        let mut run = prepared?;
        let mut spans = Vec::with_capacity(rounds);
        for _ in 0..rounds {
            meeting.meet();
            let alone = match first {
                true => {
                    // Once for nothing: what the other thread wrote last is to be in this one's cache.
                    run(1, turns)?;
                    Span::of(|| run(1, turns))?
                }
                false => Span::of(|| Ok(()))?,
            };
            meeting.meet();
            spans.push([alone, Span::of(|| run(2, turns))?]);
        }
        Ok(spans)
    };
    let (ours, theirs) = thread::scope(|scope| {
        let other = scope.spawn(|| half(false));
        let ours = half(true);
        (ours, other.join())
    });
    let theirs = theirs.map_err(|_| "the other thread panicked")??;
    let (mut alone, mut cpu, mut elapsed) = (Vec::new(), Vec::new(), Vec::new());
    for ([one, both], [_, other]) in ours?.into_iter().zip(theirs) {
        let each = |time: Duration| time.as_nanos() as f64 / turns as f64;
        alone.push(Some(each(one.length())));
        let counts = both.overlap(&other) >= OVERLAP;
        cpu.push(counts.then(|| each((both.length() + other.length()) / 2)));
        elapsed.push(counts.then(|| each(both.with(&other).length() / 2)));
    }
    Ok(Together {
        alone: Cost::of(format!("{name}, 1 task"), alone),
        cpu: Cost::of(format!("{name}, 4 tasks on 2 threads, CPU"), cpu),
        elapsed: Cost::of(format!("{name}, 4 tasks on 2 threads, elapsed"), elapsed),
    })
}

/// Where two threads wait for each other, awake: to be woken would take longer than the run.
#[derive(Default)]
struct Meeting(AtomicUsize);

impl Meeting {
    fn meet(&self) {
        let arrived = self.0.fetch_add(1, Ordering::AcqRel);
        let both = (arrived / 2 + 1) * 2;
        let mut spins = 0_u32;
        while self.0.load(Ordering::Acquire) < both {
            spins += 1;
            // The other one may want this very core.
            if spins.is_multiple_of(1024) {
                thread::yield_now();
            }
            std::hint::spin_loop();
        }
    }
}

/// From when until when.
struct Span {
    start: Instant,
    end: Instant,
}

impl Span {
    fn of(work: impl FnOnce() -> Result<(), BoxError>) -> Result<Self, BoxError> {
        let start = Instant::now();
        work()?;
        Ok(Self {
            start,
            end: Instant::now(),
        })
    }

    fn length(&self) -> Duration {
        self.end - self.start
    }

    /// From when the first of the two began until the last ended.
    fn with(&self, other: &Self) -> Self {
        Self {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    fn overlap(&self, other: &Self) -> f64 {
        let common = self
            .end
            .min(other.end)
            .saturating_duration_since(self.start.max(other.start));
        let longer = self.length().max(other.length()).as_secs_f64();
        common.as_secs_f64() / longer.max(f64::MIN_POSITIVE)
    }
}
