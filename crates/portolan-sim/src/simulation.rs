//! A run: clients ask, Pods answer, and time goes on.

use std::{sync::Arc, time::Duration};

use portolan_core::{
    Endpoint, EndpointSet, InFlight, LoadReport, Outcome as Seen, Placement, Policy, Time,
};

use crate::{
    agenda::Agenda,
    client::Client,
    outcome::{Ending, Outcome},
    pod::{Fate, Kind, Pod},
    random::Chance,
    scenario::Scenario,
};

/// Makes the policy of a client.
pub type MakePolicy<'a> = &'a dyn Fn() -> Arc<dyn Policy>;

/// Plays a scenario to its end, by one policy. The same seed gives the same outcome.
#[must_use]
pub fn run(scenario: &Scenario, policy: MakePolicy<'_>, seed: u64) -> Outcome {
    let mut run = Run::begin(scenario, policy, seed);
    while let Some(event) = run.agenda.next() {
        if run.agenda.now() >= run.end {
            break;
        }
        run.happens(event);
    }
    run.outcome.complete()
}

enum Event {
    /// A client has something to ask.
    Ask,
    /// A request has reached its Pod.
    Arrives(usize),
    /// A Pod is done with a request.
    Done(usize),
    /// The answer has reached the client, with what the Pod reports.
    Answer(usize, LoadReport),
    /// The client waits no longer; the number says for which of the requests that had this place.
    GiveUp(usize, u64),
    /// A Pod is replaced.
    Replace,
}

/// A request that a client or a Pod still knows of.
struct Request {
    /// Of all requests; places are used again.
    number: u64,
    sent: Time,
    /// The client's, until it is answered or given up.
    in_flight: Option<InFlight>,
    pod: usize,
    fate: Option<Fate>,
}

struct Run<'a> {
    scenario: &'a Scenario,
    agenda: Agenda<Event>,
    end: Time,
    chance: Chance,
    clients: Vec<Client>,
    /// All that there ever were; a Pod's number is in its name.
    pods: Vec<Pod>,
    /// The numbers of those that are there, in order.
    alive: Vec<usize>,
    requests: Vec<Option<Request>>,
    vacant: Vec<usize>,
    asked: u64,
    outcome: Outcome,
}

impl<'a> Run<'a> {
    fn begin(scenario: &'a Scenario, policy: MakePolicy<'_>, seed: u64) -> Self {
        let mut chance = Chance::of(seed);
        let pods: Vec<_> = (0..scenario.pods)
            .map(|nth| Pod::start(scenario.kind(nth), scenario.size, Time::ORIGIN))
            .collect();
        let alive: Vec<_> = (0..pods.len()).collect();
        let endpoints = endpoints(&alive);
        let clients = (0..scenario.clients)
            .map(|_| Client::start(policy(), &endpoints, chance.bits()))
            .collect();
        let mut agenda = Agenda::default();
        agenda.after(Duration::ZERO, Event::Ask);
        if let Some((every, _)) = scenario.replacement() {
            agenda.after(every, Event::Replace);
        }
        Self {
            scenario,
            agenda,
            end: Time::ORIGIN + scenario.warm_up + scenario.measured,
            chance,
            clients,
            pods,
            alive,
            requests: Vec::new(),
            vacant: Vec::new(),
            asked: 0,
            outcome: Outcome::default(),
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Ask => self.ask(),
            Event::Arrives(place) => self.arrives(place),
            Event::Done(place) => self.done(place),
            Event::Answer(place, report) => self.answer(place, &report),
            Event::GiveUp(place, number) => self.give_up(place, number),
            Event::Replace => self.replace(),
        }
    }

    fn ask(&mut self) {
        let between = Duration::from_secs_f64(1.0 / self.scenario.rate());
        self.agenda
            .after(self.chance.exponential(between), Event::Ask);
        let (client, entropy) = (self.chance.below(self.clients.len()), self.chance.bits());
        let now = self.agenda.now();
        let sent = self
            .clients
            .get(client)
            .and_then(|client| client.send(now, entropy));
        let Some((position, in_flight)) = sent else {
            return self.count(now, Ending::Failed);
        };
        let pod = self.alive.get(position).copied().unwrap_or_default();
        self.asked += 1;
        let request = Request {
            number: self.asked,
            sent: now,
            in_flight: Some(in_flight),
            pod,
            fate: None,
        };
        let place = self.vacant.pop().unwrap_or_else(|| {
            self.requests.push(None);
            self.requests.len() - 1
        });
        if let Some(vacant) = self.requests.get_mut(place) {
            *vacant = Some(request);
        }
        let delay = self.delay();
        self.agenda.after(delay, Event::Arrives(place));
    }

    fn arrives(&mut self, place: usize) {
        let now = self.agenda.now();
        let Some(request) = self.requests.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let Some(pod) = self.pods.get_mut(request.pod) else {
            return;
        };
        let fate = pod.arrive(now, &mut self.chance);
        request.fate = Some(fate);
        self.agenda.at(fate.done, Event::Done(place));
        // Where the answer comes in time, which is nearly always, nobody needs to look at the clock.
        let limit = request.sent + self.scenario.patience;
        if fate.done >= limit {
            self.agenda.at(limit, Event::GiveUp(place, request.number));
        }
    }

    fn done(&mut self, place: usize) {
        let now = self.agenda.now();
        let Some(request) = self.requests.get_mut(place).and_then(Option::as_mut) else {
            return;
        };
        let (Some(fate), Some(pod)) = (request.fate, self.pods.get_mut(request.pod)) else {
            return;
        };
        let report = pod.done(&fate, now);
        match request.in_flight {
            Some(_) => {
                let delay = self.delay();
                self.agenda.after(delay, Event::Answer(place, report));
            }
            // Nobody waits for it any more.
            None => drop(self.forget(place)),
        }
    }

    fn answer(&mut self, place: usize, report: &LoadReport) {
        let now = self.agenda.now();
        let Some(request) = self.forget(place) else {
            return;
        };
        let (Some(in_flight), Some(fate)) = (request.in_flight, request.fate) else {
            return;
        };
        let took = now.since(request.sent);
        let (seen, ending) = match fate.worked {
            Some(_) => (Seen::Success, Ending::Answered(took)),
            None => (Seen::Failure, Ending::Failed),
        };
        in_flight.record(seen, took, now);
        in_flight.state().report_load(report, now);
        self.count(request.sent, ending);
    }

    fn give_up(&mut self, place: usize, number: u64) {
        let now = self.agenda.now();
        let request = self.requests.get_mut(place).and_then(Option::as_mut);
        let Some(request) = request.filter(|request| request.number == number) else {
            return;
        };
        let Some(in_flight) = request.in_flight.take() else {
            return;
        };
        let sent = request.sent;
        in_flight.record(Seen::Cancelled, now.since(sent), now);
        self.count(sent, Ending::GivenUp);
    }

    /// The oldest Pod goes, once it has answered what it has; a new one comes.
    fn replace(&mut self) {
        let Some((every, kind)) = self.scenario.replacement() else {
            return;
        };
        self.agenda.after(every, Event::Replace);
        self.start_pod(kind);
        let endpoints = endpoints(&self.alive);
        for client in &mut self.clients {
            client.take_up(&endpoints, self.chance.bits());
        }
    }

    fn start_pod(&mut self, kind: Kind) {
        self.alive.remove(0);
        self.alive.push(self.pods.len());
        let pod = Pod::start(kind, self.scenario.size, self.agenda.now());
        self.pods.push(pod);
    }

    fn forget(&mut self, place: usize) -> Option<Request> {
        let request = self.requests.get_mut(place)?.take();
        self.vacant.push(place);
        request
    }

    /// Counts a request, if it was sent while it counts.
    fn count(&mut self, sent: Time, ending: Ending) {
        if sent.since(Time::ORIGIN) >= self.scenario.warm_up {
            self.outcome.count(ending);
        }
    }

    fn delay(&mut self) -> Duration {
        let half = self.scenario.network / 2;
        half + self.chance.exponential(half)
    }
}

/// The endpoints that these Pods are. Their names are in the order of their numbers.
fn endpoints(alive: &[usize]) -> EndpointSet {
    let endpoint = |number: &usize| {
        let placement = Placement::new(format!("web-{number:06}"));
        let [.., a, b, c] = number.to_be_bytes();
        Endpoint::new(placement, ([10, a, b, c], 80).into())
    };
    alive.iter().map(endpoint).collect()
}
