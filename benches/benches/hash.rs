//! Consistent hashing: how even, how steady, how soon built, how soon picked; beside gRPC's and Envoy's ring, and
//! beside grpc-go where `go` is there. `benches/pingora` has the same beside pingora's ketama and volo's ring.

#[path = "support/grpc_go.rs"]
mod grpc_go;

use std::{fmt::Write as _, hint::black_box, sync::Arc};

use portolan_benches::{
    BoxError, Contender, Cost, Figures, Goal, Run, candidates, compare, criterion, endpoint,
    keyed_picks, no_picks, short_criterion,
};
use portolan_core::{
    Candidates, InFlight, PickContext, Picker, Placement, Policy, Time, Verdict,
    policy::{GrpcRingHash, JumpHash, Maglev, Rendezvous, RingHash, key_hash},
};

use grpc_go::GrpcGo;

const ROUNDS: usize = 40;
const HOSTS: u32 = 100;
/// Points of the ring with which grpc-go is compared: as many as Portolan's.
const POINTS: u32 = 16_000;

fn main() -> Result<(), BoxError> {
    tables()?;
    let mut figures =
        Figures::new("hash, CPU per pick among 100 hosts, and per build of 1,000 x 160 points");
    pick_figures(&mut figures)?;
    build_figures(&mut figures)?;
    figures.print()?;
    Ok(())
}

type Named = (&'static str, Arc<dyn Policy>);

fn policies() -> [Named; 6] {
    [
        ("RingHash", Arc::new(RingHash::new())),
        ("Maglev", Arc::new(Maglev::new())),
        ("Rendezvous", Arc::new(Rendezvous::new())),
        ("JumpHash", Arc::new(JumpHash::new())),
        ("gRPC's ring", Arc::new(GrpcRingHash::by_placement())),
        (
            "Envoy's ring",
            Arc::new(GrpcRingHash::by_placement().ring_size(1_024, 8 << 20)),
        ),
    ]
}

/// Spread, disruption, build and pick of each, at some sizes.
fn tables() -> Result<(), BoxError> {
    for hosts in [3, 10, 100, 500] {
        let all = numbered(hosts, None);
        let mut builds = Vec::new();
        let mut picks = Vec::new();
        // Policies of their own: while a ring is in use, the same one is not built again.
        for ((name, policy), (_, another)) in policies().into_iter().zip(policies()) {
            builds.push(builds_of(name, another, vec![all.clone()], Reuse::No));
            picks.push(keyed_picks(name, &*policy, &all));
        }
        let builds = compare(8, &mut builds)?;
        let picks = compare(16, &mut picks)?;
        let mut table = format!(
            "\n== table: {hosts} hosts\n{:<14}{:>14}{:>16}{:>14}{:>14}\n",
            "policy", "busiest/mean", "moved, one off", "build", "pick"
        );
        for (((name, policy), build), pick) in policies().into_iter().zip(builds).zip(picks) {
            let (busiest, moved) = (busiest(&*policy, &all), moved(&*policy, hosts));
            let micros = build.median.unwrap_or_default() / 1_000.0;
            let nanos = pick.median.unwrap_or_default();
            writeln!(
                table,
                "{name:<14}{busiest:>14.2}{:>15.2}%{micros:>11.0} µs{nanos:>11.1} ns",
                100.0 * moved
            )?;
        }
        print(&table)?;
    }
    Ok(())
}

fn print(table: &str) -> Result<(), BoxError> {
    use std::io::Write as _;
    std::io::stdout().lock().write_all(table.as_bytes())?;
    Ok(())
}

fn pick_figures(figures: &mut Figures) -> Result<(), BoxError> {
    let all = numbered(HOSTS, None);
    let of_grpc = GrpcRingHash::by_placement().ring_size(u64::from(POINTS), u64::from(POINTS));
    let mut contenders = vec![
        no_picks("the pointer's load alone", &all),
        keyed_picks("RingHash", &RingHash::new(), &all),
        keyed_picks("Maglev", &Maglev::new(), &all),
        keyed_picks(
            "RingHash, bounded load",
            &RingHash::new().bounded_load(1.25),
            &all,
        ),
        keyed_picks(
            "Maglev, bounded load",
            &Maglev::new().bounded_load(1.25),
            &all,
        ),
        keyed_picks("Rendezvous", &Rendezvous::new(), &all),
        keyed_picks("JumpHash", &JumpHash::new(), &all),
        keyed_picks("GrpcRingHash", &of_grpc, &all),
    ];
    let (busy, _requests) = half_busy(HOSTS);
    let (many, _more) = half_busy(1_000);
    for (name, candidates) in [("half of 100", &busy), ("half of 1,000", &many)] {
        let name = format!("RingHash, bounded load, {name} hosts full");
        contenders.push(keyed_picks(
            name,
            &RingHash::new().bounded_load(1.25),
            candidates,
        ));
    }
    criterion(&mut short_criterion(), "hash", &mut contenders)?;
    let ours = contenders.len();
    let peers = [
        ("hash", "grpc-go, hash at hand"),
        ("header", "grpc-go, key in a header"),
    ];
    for (what, name) in peers {
        match GrpcGo::start(what, HOSTS, POINTS)? {
            Some(mut peer) => contenders.push(Contender::new(name, move |turns| peer.picks(turns))),
            None => break,
        }
    }
    let costs = compare(ROUNDS, &mut contenders)?;
    costs.iter().for_each(|cost| figures.add_cost(cost));
    let [load, ring, maglev, ..] = &*costs else {
        return Err("nothing was measured".into());
    };
    let beyond = |cost: &Cost| cost.difference_to(load);
    figures.add(
        "RingHash, beyond the pointer's load",
        beyond(ring),
        "ns",
        Goal::AtMost(30.0),
    );
    figures.add(
        "Maglev, of RingHash",
        maglev.ratio_to(ring),
        "",
        Goal::AtMost(1.0),
    );
    let theirs = costs.get(ours..).unwrap_or_default();
    for (peer, goal) in theirs.iter().zip([Goal::AtMost(0.5), Goal::None]) {
        figures.add(
            format!("RingHash with the load, of {}", peer.name),
            ring.ratio_to(peer),
            "",
            goal,
        );
    }
    if theirs.is_empty() {
        figures.add(
            "RingHash with the load, of grpc-go (go is not there)",
            None,
            "",
            Goal::None,
        );
    }
    Ok(())
}

fn build_figures(figures: &mut Figures) -> Result<(), BoxError> {
    let (all, one_less) = (numbered(1_000, None), numbered(1_000, Some(637)));
    let restarted = numbered(1_000, None);
    let ring = || Arc::new(RingHash::new());
    let mut contenders = [
        bare_sort(1_000, 160),
        builds_of("ring built", ring(), vec![all.clone()], Reuse::No),
        builds_of(
            "one host gone or back",
            ring(),
            vec![all.clone(), one_less],
            Reuse::Last,
        ),
        builds_of(
            "one host restarted",
            ring(),
            vec![all, restarted],
            Reuse::Last,
        ),
    ];
    let costs = compare(ROUNDS, &mut contenders)?;
    costs.iter().for_each(|cost| figures.add_cost(cost));
    let [sort, build, change, restart] = &*costs else {
        return Err("nothing was measured".into());
    };
    figures.add(
        "built, of the bare sort",
        build.ratio_to(sort),
        "",
        Goal::AtMost(1.3),
    );
    figures.add(
        "one host changed, of a build",
        change.ratio_to(build),
        "",
        Goal::AtMost(0.2),
    );
    figures.add(
        "one host restarted, of a build",
        restart.ratio_to(build),
        "",
        Goal::AtMost(0.2),
    );
    Ok(())
}

/// Whether the picker before is still in use while the next one is built, as in a balancer.
#[derive(Clone, Copy, PartialEq)]
enum Reuse {
    No,
    Last,
}

/// Pickers built for these candidates, in turn.
fn builds_of<'a>(
    name: &str,
    policy: Arc<dyn Policy>,
    candidates: Vec<Candidates>,
    reuse: Reuse,
) -> Contender<'a> {
    let mut former: Option<Arc<dyn Picker>> = None;
    let mut turn = 0;
    Contender::new(name, move |turns| {
        let mut total = Run::default();
        for _ in 0..turns {
            turn = (turn + 1) % candidates.len();
            let next = candidates.get(turn).ok_or("no candidates")?;
            let (run, picker) = Run::of(|| policy.build(next));
            total += run;
            former = Some(black_box(picker)).filter(|_| reuse == Reuse::Last);
        }
        black_box(&former);
        Ok(total)
    })
}

/// The points of so many hosts, which somebody has made already, put in order by the standard library.
fn bare_sort<'a>(hosts: u32, points: u32) -> Contender<'a> {
    let hash = |host: u32, point: u32| key_hash(format!("{host}-{point}").as_bytes());
    let points: Vec<(u64, u32)> = (0..hosts)
        .flat_map(|host| (0..points).map(move |point| (hash(host, point), host)))
        .collect();
    Contender::new("bare sort of the points", move |turns| {
        let mut total = Run::default();
        for _ in 0..turns {
            let mut points = points.clone();
            let (run, ()) = Run::of(|| points.sort_unstable());
            total += run;
            black_box(points);
        }
        Ok(total)
    })
}

/// So many hosts that are numbered, but one that is not there.
fn numbered(hosts: u32, gone: Option<u32>) -> Candidates {
    let there = (0..hosts).filter(|host| Some(*host) != gone);
    candidates(there.map(|host| endpoint(host, 0).with_ordinal(host)))
}

/// So many hosts, of which every other has twenty requests in flight, and the others have none.
fn half_busy(hosts: u32) -> (Candidates, Vec<InFlight>) {
    let all = numbered(hosts, None);
    let busy = all.iter().step_by(2);
    let requests = busy.flat_map(|one| std::iter::repeat_n(&one.state, 20));
    let requests = requests
        .map(|state| InFlight::begin(Arc::clone(state)))
        .collect();
    (all, requests)
}

const KEYS: u32 = 1_000_000;

fn owners(policy: &dyn Policy, candidates: &Candidates) -> impl Iterator<Item = usize> {
    let picker = policy.build(candidates);
    (0..KEYS).filter_map(move |key| {
        let key = key.to_le_bytes();
        match picker.pick(&PickContext::new(Time::ORIGIN, 0).with_key(&key)) {
            Verdict::Use(index) => Some(index.position()),
            _ => None,
        }
    })
}

/// The keys of the host that has most, of the mean.
fn busiest(policy: &dyn Policy, candidates: &Candidates) -> f64 {
    let mut counts = vec![0_u32; candidates.len()];
    for owner in owners(policy, candidates) {
        if let Some(count) = counts.get_mut(owner) {
            *count += 1;
        }
    }
    let most = counts.iter().copied().max().unwrap_or_default();
    f64::from(most) * counts.len() as f64 / f64::from(KEYS)
}

/// The part of the keys of all others that moves when the last host leaves.
fn moved(policy: &dyn Policy, hosts: u32) -> f64 {
    let (before, after) = (numbered(hosts, None), numbered(hosts - 1, None));
    let name = |candidates: &Candidates, position: usize| -> Option<Placement> {
        Some(
            candidates
                .as_slice()
                .get(position)?
                .endpoint
                .placement()
                .clone(),
        )
    };
    let gone = hosts as usize - 1;
    let (mut all, mut moved) = (0_u32, 0_u32);
    for (one, other) in owners(policy, &before).zip(owners(policy, &after)) {
        if one != gone {
            all += 1;
            moved += u32::from(name(&before, one) != name(&after, other));
        }
    }
    f64::from(moved) / f64::from(all.max(1))
}
