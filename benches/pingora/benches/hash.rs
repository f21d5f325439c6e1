//! A pick by a key, beside pingora's ketama and volo's ring in the same run: 100 hosts, 16,000 points each.

use std::{cell::RefCell, hint::black_box, sync::Arc};

use futures::executor::block_on;
use metainfo::{METAINFO, MetaInfo};
use pingora_load_balancing::{LoadBalancer, selection::Consistent};
use portolan_benches::{
    BoxError, Contender, Figures, Goal, Run, candidates, compare, endpoints, keyed_picks, no_picks,
};
use portolan_core::policy::{Ketama, Maglev, RingHash};
use volo::{
    context::Endpoint,
    discovery::StaticDiscover,
    loadbalance::{
        LoadBalance, RequestHash,
        consistent_hash::{ConsistentHashBalance, ConsistentHashOption},
    },
};

const HOSTS: u32 = 100;
const POINTS: u32 = 160;
const ROUNDS: usize = 40;

fn main() -> Result<(), BoxError> {
    let all = candidates(endpoints(HOSTS));
    let mut contenders = [
        no_picks("the pointer's load alone", &all),
        pingora()?,
        volo(),
        keyed_picks("portolan RingHash", &RingHash::new(), &all),
        keyed_picks("portolan Maglev", &Maglev::new(), &all),
        keyed_picks("portolan Ketama", &Ketama::by_address(), &all),
    ];
    let costs = compare(ROUNDS, &mut contenders)?;
    let mut figures = Figures::new("hash, CPU per pick, beside pingora's ketama and volo's ring");
    costs.iter().for_each(|cost| figures.add_cost(cost));
    let [load, pingora, volo, ours @ ..] = &*costs else {
        return Err("nothing was measured".into());
    };
    for cost in ours {
        for peer in [pingora, volo] {
            let figure = format!("{} with the load, of {}", cost.name, peer.name);
            figures.add(figure, cost.ratio_to(peer), "", Goal::AtMost(0.2));
        }
        let beyond = cost.difference_to(load);
        figures.add(
            format!("{}, beyond the load", cost.name),
            beyond,
            "ns",
            Goal::AtMost(30.0),
        );
    }
    figures.print()?;
    Ok(())
}

/// The hash of a turn's key, which is other each time.
fn key(turn: u64) -> u64 {
    turn.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// It hashes the key itself.
fn pingora<'a>() -> Result<Contender<'a>, BoxError> {
    let addresses = endpoints(HOSTS).map(|one| one.address());
    let balancer = LoadBalancer::<Consistent>::try_from_iter(addresses.collect::<Vec<_>>())?;
    let balancer = Arc::new(balancer);
    Ok(Contender::new("pingora's ketama", move |turns| {
        let (run, done) = Run::of(|| -> Result<(), BoxError> {
            for turn in 0..turns {
                let picked = balancer.select(&key(turn).to_le_bytes(), 256);
                black_box(picked).ok_or("no backend")?;
            }
            Ok(())
        });
        done?;
        Ok(run)
    }))
}

/// It is given a hash, in what goes along with the request.
fn volo<'a>() -> Contender<'a> {
    let addresses: Vec<_> = endpoints(HOSTS).map(|one| one.address()).collect();
    let discover = StaticDiscover::from(addresses);
    let balancer = ConsistentHashBalance::new(ConsistentHashOption::new(1, POINTS, true));
    let endpoint = Endpoint::new("search".into());
    Contender::new("volo's ring", move |turns| {
        let picks = async {
            for turn in 0..turns {
                METAINFO.with(|info| info.borrow_mut().insert(RequestHash(key(turn))));
                let mut picker = balancer.get_picker(&endpoint, &discover).await?;
                black_box(picker.next()).ok_or("no instance")?;
            }
            Ok::<_, BoxError>(())
        };
        let info = RefCell::new(MetaInfo::new());
        let (run, done) = Run::of(|| block_on(METAINFO.scope(info, picks)));
        done?;
        Ok(run)
    })
}
