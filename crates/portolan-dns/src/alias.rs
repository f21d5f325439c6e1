//! Following aliases (CNAME) through one answer.

use std::collections::HashMap;

use hickory_resolver::proto::rr::{Name, RData, Record};

/// How many aliases may lead to a name. Real chains have three or four; the limit keeps a chain that
/// grows with each answer from being followed for ever.
pub(crate) const MAX_ALIASES: usize = 16;

/// Where the aliases of an answer lead.
#[derive(Debug)]
pub(crate) struct Chased<'a> {
    /// The name at the end of the chain.
    pub(crate) name: Name,
    /// Everything that the answer says of that name.
    pub(crate) records: Vec<&'a Record>,
    /// The least TTL of the aliases on the way.
    pub(crate) ttl: Option<u32>,
    /// How many there were.
    pub(crate) aliases: usize,
}

/// That aliases lead in a circle, or too far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Endless;

/// Follows the aliases of `answers` from `name` to their end.
pub(crate) fn chase<'a>(answers: &'a [Record], name: &Name) -> Result<Chased<'a>, Endless> {
    let aliases: HashMap<&Name, (&Name, u32)> = answers
        .iter()
        .filter_map(|record| match &record.data {
            RData::CNAME(target) => Some((&record.name, (&target.0, record.ttl))),
            _ => None,
        })
        .collect();
    let mut chased = Chased {
        name: name.clone(),
        records: Vec::new(),
        ttl: None,
        aliases: 0,
    };
    while let Some((target, ttl)) = aliases.get(&chased.name) {
        chased.aliases += 1;
        // In a circle there is always one more.
        if chased.aliases > MAX_ALIASES {
            return Err(Endless);
        }
        chased.name = (*target).clone();
        chased.name.set_fqdn(true);
        chased.ttl = Some(chased.ttl.map_or(*ttl, |least| least.min(*ttl)));
    }
    chased.records = answers
        .iter()
        .filter(|record| record.name == chased.name)
        .collect();
    Ok(chased)
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use hickory_resolver::proto::rr::rdata::{A, CNAME};

    use super::*;

    fn name(text: &str) -> Name {
        Name::from_str(text).unwrap()
    }

    fn alias(from: &str, to: &str, ttl: u32) -> Record {
        Record::from_rdata(name(from), ttl, RData::CNAME(CNAME(name(to))))
    }

    fn address(of: &str) -> Record {
        Record::from_rdata(name(of), 60, RData::A(A::new(10, 0, 0, 1)))
    }

    #[test]
    fn aliases_are_followed_in_any_order_and_case() {
        let answers = [
            address("end.example."),
            alias("MIDDLE.example.", "end.example.", 7),
            alias("start.example.", "middle.example.", 9),
            address("stranger.example."),
        ];
        let chased = chase(&answers, &name("start.example.")).unwrap();
        assert_eq!(chased.name, name("end.example."));
        assert_eq!(chased.records, [&answers[0]]);
        assert_eq!((chased.ttl, chased.aliases), (Some(7), 2));
    }

    #[test]
    fn without_an_alias_the_name_itself_is_the_end() {
        let answers = [address("end.example.")];
        let chased = chase(&answers, &name("end.example.")).unwrap();
        assert_eq!((chased.records.len(), chased.ttl), (1, None));
    }

    #[test]
    fn circles_and_endless_chains_are_given_up() {
        let circle = [
            alias("a.example.", "b.example.", 1),
            alias("b.example.", "a.example.", 1),
        ];
        assert_eq!(chase(&circle, &name("a.example.")).unwrap_err(), Endless);
        let own = [alias("a.example.", "a.example.", 1)];
        assert_eq!(chase(&own, &name("a.example.")).unwrap_err(), Endless);
        let long: Vec<_> = (0..=MAX_ALIASES)
            .map(|n| {
                alias(
                    &format!("n{n}.example."),
                    &format!("n{}.example.", n + 1),
                    1,
                )
            })
            .collect();
        assert_eq!(chase(&long, &name("n0.example.")).unwrap_err(), Endless);
        let fits = chase(&long, &name("n1.example.")).unwrap();
        assert_eq!(fits.aliases, MAX_ALIASES);
    }
}
