//! Contenders in turns: what disturbs one run disturbs them all, and the median forgets it.

use std::{fmt, time::Duration};

use criterion::Criterion;

use crate::{BoxError, Run};

/// How long a single run lasts, roughly, where nothing else is said: well within what a scheduler gives a thread at once, and
/// thousands of times what it costs to read the clock.
const RUN: Duration = Duration::from_millis(8);

/// Something to be measured: does so many turns, and says what they cost.
pub struct Contender<'a> {
    name: String,
    run: Box<dyn FnMut(u64) -> Result<Run, BoxError> + 'a>,
    lasting: Duration,
}

/// What one turn of a contender costs, in nanoseconds of CPU time.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Which contender's.
    pub name: String,
    /// The median of the runs that count; `None` where none does.
    pub median: Option<f64>,
    /// The lowest and the highest of the middle half of the runs.
    pub quartiles: Option<(f64, f64)>,
    /// How many runs count.
    pub runs: usize,
    /// The cost in each round; `None` where the run does not count.
    rounds: Vec<Option<f64>>,
}

impl<'a> Contender<'a> {
    /// One that `run` measures.
    pub fn new(
        name: impl Into<String>,
        run: impl FnMut(u64) -> Result<Run, BoxError> + 'a,
    ) -> Self {
        Self {
            name: name.into(),
            run: Box::new(run),
            lasting: RUN,
        }
    }

    /// Sets how long a single run lasts: longer where there is a beginning and an end to it that are
    /// not to count.
    #[must_use]
    pub fn lasting(mut self, time: Duration) -> Self {
        self.lasting = time;
        self
    }
}

/// Criterion's own statistics of each contender: outliers, and the change since the last run.
///
/// # Errors
/// As the contenders do.
pub fn criterion(
    criterion: &mut Criterion,
    group: &str,
    contenders: &mut [Contender<'_>],
) -> Result<(), BoxError> {
    let mut group = criterion.benchmark_group(group);
    for contender in contenders {
        let mut failure = None;
        group.bench_function(contender.name.as_str(), |bencher| {
            bencher.iter_custom(|turns| match (contender.run)(turns) {
                Ok(run) => run.cpu,
                Err(error) => {
                    failure = Some(error);
                    RUN
                }
            });
        });
        if let Some(failure) = failure {
            return Err(failure);
        }
    }
    group.finish();
    Ok(())
}

/// Criterion as the benches use it: short, since the figures come from [`compare`].
#[must_use]
pub fn short_criterion() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args()
}

/// Runs the contenders in turns, `rounds` times each.
///
/// # Errors
/// As the contenders do.
pub fn compare(rounds: usize, contenders: &mut [Contender<'_>]) -> Result<Vec<Cost>, BoxError> {
    let mut turns = Vec::new();
    for contender in contenders.iter_mut() {
        turns.push(calibrate(contender)?);
    }
    let mut samples = vec![Vec::with_capacity(rounds); contenders.len()];
    for _ in 0..rounds {
        for ((contender, &turns), samples) in contenders.iter_mut().zip(&turns).zip(&mut samples) {
            let run = (contender.run)(turns)?;
            samples.push(Some(run.cpu.as_nanos() as f64 / turns as f64));
        }
    }
    Ok(contenders
        .iter()
        .zip(samples)
        .map(|(contender, samples)| Cost::of(contender.name.clone(), samples))
        .collect())
}

/// How many turns make a run. Finding out warms up caches and pools as well.
fn calibrate(contender: &mut Contender<'_>) -> Result<u64, BoxError> {
    let mut turns = 16;
    loop {
        let run = (contender.run)(turns)?;
        // By CPU time: a run that was interrupted lasted longer than it was long.
        if run.cpu >= contender.lasting / 4 {
            let per_turn = run.cpu.as_secs_f64() / turns as f64;
            return Ok((contender.lasting.as_secs_f64() / per_turn).max(1.0) as u64);
        }
        turns *= 2;
    }
}

impl Cost {
    pub(crate) fn of(name: String, rounds: Vec<Option<f64>>) -> Self {
        let samples = sorted(rounds.iter().flatten().copied());
        Self {
            name,
            median: at(&samples, 0.5),
            quartiles: at(&samples, 0.25).zip(at(&samples, 0.75)),
            runs: samples.len(),
            rounds,
        }
    }

    /// This cost as a multiple of another of the same comparison: the median of the rounds, so that
    /// a bad moment, which the two share, does not count.
    #[must_use]
    pub fn ratio_to(&self, other: &Self) -> Option<f64> {
        self.by_round(other, |ours, theirs| ours / theirs)
    }

    /// By how much this cost is more than another of the same comparison, likewise.
    #[must_use]
    pub fn difference_to(&self, other: &Self) -> Option<f64> {
        self.by_round(other, |ours, theirs| ours - theirs)
    }

    fn by_round(&self, other: &Self, compare: impl Fn(f64, f64) -> f64) -> Option<f64> {
        let rounds = self.rounds.iter().zip(&other.rounds);
        let compared = rounds.filter_map(|(ours, theirs)| Some(compare((*ours)?, (*theirs)?)));
        at(&sorted(compared), 0.5)
    }
}

fn sorted(samples: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut samples: Vec<f64> = samples.collect();
    samples.sort_by(f64::total_cmp);
    samples
}

/// The sample at this share of the way up.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let position = (sorted.len().saturating_sub(1) as f64 * share).round();
    sorted.get(position as usize).copied()
}

impl fmt::Debug for Contender<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Contender").field(&self.name).finish()
    }
}
