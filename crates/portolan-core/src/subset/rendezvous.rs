//! Rendezvous subsets (gRFC A68): the endpoints that draw the best lots for this client.

use std::sync::Arc;

use super::lot;
use crate::Candidate;

/// The endpoints that draw the best lots for this client: of so many, whoever the other clients are.
///
/// The lots of one endpoint have nothing to do with another's. So when an endpoint goes, only the clients that used it
/// take up one other each; when one comes, only those for which it draws a better lot let go of one.
///
/// The load is even by chance only. With c clients and n endpoints, an endpoint is used by c·size/n clients on average,
/// and the busiest of 1,000 by some √ of that more than three times over: at 16 by 29 or so, at 100 by 130. Choose the
/// size by that, or take the [`Aperture`](super::Aperture).
///
/// Weights do not decide who is in it, except that one of weight zero is only where there are too few others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RendezvousSubset {
    seed: u64,
    size: usize,
}

impl RendezvousSubset {
    /// That of the client of this name, which has to be its own: a Pod's name, its UID. A `size` of 0 counts as 1.
    #[must_use]
    pub fn of(client: &str, size: usize) -> Self {
        Self {
            seed: lot(CLIENT, client),
            size: size.max(1),
        }
    }

    pub(super) fn says(&self) -> String {
        format!("the {} that draw the best lots for this client", self.size)
    }

    pub(super) fn part(&self, all: &Arc<[Candidate]>) -> Arc<[Candidate]> {
        if all.len() <= self.size {
            return Arc::clone(all);
        }
        // Candidates are in the order of their names, so that equal lots, too, fall the same everywhere.
        let lots = all.iter().zip(0_u32..).map(|(one, position)| {
            let endpoint = &one.endpoint;
            let lot = lot(self.seed, endpoint.placement().as_str());
            (endpoint.weight().value() == 0, lot, position)
        });
        let mut lots: Vec<_> = lots.collect();
        // The best ones first, in whatever order: they need not be sorted among themselves.
        lots.select_nth_unstable(self.size - 1);
        let mut chosen: Vec<_> = lots
            .iter()
            .take(self.size)
            .map(|(.., position)| *position as usize)
            .collect();
        chosen.sort_unstable();
        let chosen = chosen.into_iter();
        chosen
            .filter_map(|position| all.get(position).cloned())
            .collect()
    }
}

/// The seed by which names of clients are hashed: any number, but always the same.
pub(super) const CLIENT: u64 = 0x636c_6965_6e74;
