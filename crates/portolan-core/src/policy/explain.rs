//! Why a pick comes out as it does, in words.

use std::{any::type_name, fmt, sync::Arc};

use super::{PickContext, Picker, Reason, Tried, Verdict};
use crate::{Candidate, Candidates, Endpoint, Index, Placement};

/// Why a pick comes out as it does: what each policy on the way made of the request, whom that left, who is
/// chosen, and who would have been next.
///
/// It is made by asking the same pickers that requests ask, with nothing sent. Its [`Display`](fmt::Display)
/// is one line for logs; the parts are there for whoever wants to draw them.
///
/// ```
/// use portolan_core::{
///     Candidate, Candidates, Endpoint, EndpointState, Explanation, Measurement, PickContext, Placement,
///     Policy, Time, policy::LeastRequest,
/// };
/// use std::sync::Arc;
///
/// let endpoint = Arc::new(Endpoint::new(Placement::new("db-0"), "10.0.0.1:5432".parse().unwrap()));
/// let state = Arc::new(EndpointState::new(Arc::clone(&endpoint), Measurement::default()));
/// let candidates = Candidates::new([Candidate { endpoint, state }], 0);
///
/// let picker = LeastRequest::new().build(&candidates);
/// let explanation = Explanation::of(&*picker, &candidates, &PickContext::new(Time::ORIGIN, 0));
/// assert_eq!(explanation.chosen().unwrap().placement().as_str(), "db-0");
/// println!("{explanation}"); // LeastRequest: fewest in flight of two drawn from 1; chosen: db-0 (10.0.0.1:5432)
/// ```
#[derive(Clone, Debug, Default)]
pub struct Explanation {
    steps: Vec<Step>,
    /// Who is taken off is named, and not only counted.
    in_full: bool,
    verdict: Option<Verdict>,
    chosen: Option<Arc<Endpoint>>,
    runner_up: Option<Arc<Endpoint>>,
}

/// What one policy, or one rule before it, made of the request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// Which one.
    pub policy: &'static str,
    /// What it goes by, and how.
    pub said: String,
    /// How many endpoints it left to choose from; `None` where it took nobody off.
    pub left: Option<usize>,
    /// Whom it took off, where the explanation is [in full](Explanation::of).
    pub removed: Vec<Placement>,
}

impl Explanation {
    /// Asks a picker of these candidates, and has it explain itself in full. Nobody is asked for anything.
    #[must_use]
    pub fn of(picker: &dyn Picker, candidates: &Candidates, context: &PickContext<'_>) -> Self {
        let mut this = Self::in_full();
        this.ask(picker, candidates, context);
        this
    }

    /// An explanation to be filled, in which those who are taken off are named, and the one who would be next.
    #[must_use]
    pub fn in_full() -> Self {
        Self {
            in_full: true,
            ..Self::default()
        }
    }

    /// An explanation in which those who are taken off are counted, and not named: for errors, of which
    /// there may be many at a time.
    #[must_use]
    pub fn in_brief() -> Self {
        Self::default()
    }

    /// Has a picker of these candidates go on with the explanation.
    pub fn ask(&mut self, picker: &dyn Picker, candidates: &Candidates, context: &PickContext<'_>) {
        let verdict = picker.explain(context, self);
        let endpoint = |verdict| match verdict {
            Verdict::Use(index) => candidates.get(index).map(|one| Arc::clone(&one.endpoint)),
            _ => None,
        };
        self.verdict = Some(verdict);
        self.chosen = endpoint(verdict);
        if let (Verdict::Use(index), true) = (verdict, self.in_full) {
            let mut tried: Tried = context.tried.clone();
            tried.insert(index);
            // Not picked: a picker may remember whom it has picked.
            let next = picker.explain(&context.with_tried(&tried), &mut Self::in_brief());
            self.runner_up = endpoint(next);
        }
    }

    pub(crate) fn is_in_full(&self) -> bool {
        self.in_full
    }

    /// Adds the steps of another one.
    pub(crate) fn append(&mut self, other: &Self) {
        self.steps.extend_from_slice(&other.steps);
    }

    /// Notes what a policy goes by.
    pub fn note(&mut self, policy: &'static str, said: impl Into<String>) {
        self.steps.push(Step {
            policy,
            said: said.into(),
            left: None,
            removed: Vec::new(),
        });
    }

    /// Notes which of the candidates a policy leaves to choose from, and by what.
    pub fn narrow<'a>(
        &mut self,
        policy: &'static str,
        said: impl Into<String>,
        candidates: impl IntoIterator<Item = &'a Candidate>,
        leaves: impl Fn(Index, &Candidate) -> bool,
    ) {
        let (mut left, mut removed) = (0, Vec::new());
        for (position, one) in candidates.into_iter().enumerate() {
            if leaves(Index::at(position), one) {
                left += 1;
            } else if self.in_full {
                removed.push(one.endpoint.placement().clone());
            }
        }
        self.steps.push(Step {
            policy,
            said: said.into(),
            left: Some(left),
            removed,
        });
    }

    /// What each policy made of the request, from the outermost to the innermost.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What it came to; `None` before anybody was asked.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    /// Who is chosen.
    #[must_use]
    pub fn chosen(&self) -> Option<&Arc<Endpoint>> {
        self.chosen.as_ref()
    }

    /// Who would have been chosen in its stead, had it been tried already; not in an explanation
    /// [in brief](Self::in_brief).
    #[must_use]
    pub fn runner_up(&self) -> Option<&Arc<Endpoint>> {
        self.runner_up.as_ref()
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            write!(f, "{step}; ")?;
        }
        match (self.verdict, &self.chosen) {
            (_, Some(chosen)) => {
                write!(f, "chosen: {} ({})", chosen.placement(), chosen.address())?
            }
            (Some(Verdict::Fail(reason)), None) => write!(f, "refused: {reason}")?,
            (Some(Verdict::Use(_)), None) => {
                f.write_str("chosen: an endpoint that does not exist")?
            }
            (Some(Verdict::WaitUpTo(limit)), None) => {
                write!(f, "nobody now: waits for {limit:?} at most")?
            }
            (Some(Verdict::Wait), None) => f.write_str("nobody now: waits")?,
            (None, None) => f.write_str("nobody was asked")?,
        }
        match &self.runner_up {
            Some(next) => write!(f, "; next: {} ({})", next.placement(), next.address()),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.policy, self.said)?;
        if let Some(left) = self.left {
            write!(f, ", which leaves {left}")?;
        }
        for (nth, one) in self.removed.iter().take(NAMED).enumerate() {
            write!(
                f,
                "{}{one}",
                if nth == 0 { " (and takes off " } else { ", " }
            )?;
        }
        match self.removed.len() {
            0 => Ok(()),
            few if few <= NAMED => f.write_str(")"),
            many => write!(f, " and {} more)", many - NAMED),
        }
    }
}

/// How many of those who are taken off a line of text names.
const NAMED: usize = 8;

/// What a picker that does not explain itself comes to.
pub(super) fn unexplained<P: Picker + ?Sized>(
    picker: &P,
    context: &PickContext<'_>,
    explanation: &mut Explanation,
) -> Verdict {
    let path = type_name::<P>();
    let generics = path.find('<').unwrap_or(path.len());
    let start = path
        .get(..generics)
        .and_then(|path| path.rfind("::"))
        .map_or(0, |at| at + 2);
    let name = path.get(start..generics).unwrap_or(path);
    let name = name.strip_suffix("Picker").unwrap_or(name);
    let verdict = picker.pick(context);
    explanation.note(
        name,
        match verdict {
            Verdict::Use(_) => "by its own rule",
            Verdict::Fail(Reason::AllTried) => "each of its endpoints has been tried",
            Verdict::Fail(_) => "refuses",
            Verdict::Wait | Verdict::WaitUpTo(_) => "has nobody now",
        },
    );
    verdict
}
