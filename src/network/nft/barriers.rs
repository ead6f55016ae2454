//! Chains of others that refuse what goes through the host: Docker's, ufw's, firewalld's.
//!
//! They are read, never changed: a packet passes only if every chain lets it through, whatever ours say.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::socket::{FilterSocket, INET, Kind};
use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, HOOK_NUMBER, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE,
    expressions,
};
use crate::model::{Barrier, Comparison, Expression, IpFamily, Meta, Refusal};
use crate::network::attributes::{Reader, Writer};

/// `NFPROTO_*` of `linux/netfilter.h`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;

/// The expressions of a table's rules, by the chain that they stand in.
type Table = BTreeMap<String, Vec<Vec<Expression>>>;

/// Reads all of them. The tables `ours` of the family inet are fleet's own, which ends no chain like that.
pub(super) fn read(socket: &mut FilterSocket, ours: &[String]) -> io::Result<Vec<Barrier>> {
    let mut found = Vec::new();
    for shown in socket.dump(Kind::GetChain, None, &Writer::default())? {
        let chain = Reader(&shown.attributes);
        let hook = chain.nest(CHAIN_HOOK).and_then(|hook| hook.number(HOOK_NUMBER));
        let (word, family) = match shown.family {
            INET => ("inet", None),
            IPV4 => ("ip", Some(IpFamily::Ipv4)),
            IPV6 => ("ip6", Some(IpFamily::Ipv6)),
            _ => continue,
        };
        let (Some(table), Some(name)) = (chain.text(CHAIN_TABLE), chain.text(CHAIN_NAME)) else { continue };
        if hook != Some(FORWARD) {
            continue;
        }
        let refusal = if chain.number(CHAIN_POLICY) == Some(POLICY_DROP) {
            Refusal::Policy
        } else if shown.family == INET && ours.contains(&table) {
            continue;
        } else {
            // There may be very many rules in the others.
            let own = rules(socket, shown.family, &table, Some(&name))?;
            let last = own.get(&name).and_then(|rules| rules.last());
            if !last.is_some_and(|rule| refuses(&telling(rule))) {
                continue;
            }
            Refusal::LastRule
        };
        let all = rules(socket, shown.family, &table, None)?;
        let (full_name, accepts_from, accepts_to) = (format!("{word} {table} {name}"), Vec::new(), Vec::new());
        let mut barrier = Barrier { name: full_name, refusal, family, accepts_from, accepts_to };
        match refusal {
            // In whatever chain it stands: the one that drops leads to it, as Docker's does to `DOCKER-USER`.
            Refusal::Policy => all.values().flatten().for_each(|rule| note(&mut barrier, rule)),
            Refusal::LastRule if fate(&all, &name, None) != Some(Fate::Refused) => continue,
            Refusal::LastRule => note_ways(&mut barrier, &all, &name),
        }
        found.push(barrier);
    }
    Ok(found)
}

/// The rules of the table `table`, or only those of its chain `chain`.
fn rules(socket: &mut FilterSocket, family: u8, table: &str, chain: Option<&str>) -> io::Result<Table> {
    let mut asked = Writer::default();
    asked.text(RULE_TABLE, table);
    if let Some(chain) = chain {
        asked.text(RULE_CHAIN, chain);
    }
    let mut rules = Table::new();
    for shown in socket.dump(Kind::GetRule, Some(family), &asked)? {
        let rule = Reader(&shown.attributes);
        // A dump may show more than what was asked for.
        if rule.text(RULE_TABLE).as_deref() == Some(table)
            && let Some(chain) = rule.text(RULE_CHAIN)
        {
            let expressions = rule.nest(RULE_EXPRESSIONS).map(expressions::read).unwrap_or_default();
            rules.entry(chain).or_default().push(expressions);
        }
    }
    Ok(rules)
}

/// What of a rule makes a difference to a packet.
fn telling(rule: &[Expression]) -> Vec<&Expression> {
    let is_silent =
        |expression: &&Expression| !matches!(expression, Expression::Other(name) if name == "counter" || name == "log");
    rule.iter().filter(is_silent).collect()
}

fn refuses(telling: &[&Expression]) -> bool {
    match telling {
        [Expression::Drop] => true,
        [Expression::Other(name)] => name == "reject" || name == "target REJECT",
        _ => false,
    }
}

/// Notes what a rule accepts by its link alone.
fn note(barrier: &mut Barrier, rule: &[Expression]) {
    if let [Expression::Meta(which), Expression::Compare(Comparison::Equal, value), Expression::Accept] =
        telling(rule).as_slice()
    {
        match which {
            Meta::FromLink => barrier.accepts_from.push(pattern(value)),
            Meta::ToLink => barrier.accepts_to.push(pattern(value)),
            Meta::FromGroup | Meta::ToGroup | Meta::Family | Meta::Protocol => {}
        }
    }
}

/// Notes from which links the chain `base` accepts all that comes in. One that ends in a rule has others for what answers
/// it, and for what was sent elsewhere on purpose; of what is sent to such a link only the rest is refused, as ours do.
fn note_ways(barrier: &mut Barrier, table: &Table, base: &str) {
    let links: BTreeSet<&[u8]> = table.values().flatten().filter_map(|rule| from_link(&telling(rule))).collect();
    for link in links.into_iter().filter(|link| fate(table, base, Some(link)) == Some(Fate::Accepted)) {
        barrier.accepts_from.push(pattern(link));
        barrier.accepts_to.push(pattern(link));
    }
}

fn from_link<'r>(telling: &[&'r Expression]) -> Option<&'r [u8]> {
    match telling {
        [Expression::Meta(Meta::FromLink), Expression::Compare(Comparison::Equal, value), ..] => Some(value),
        _ => None,
    }
}

/// What becomes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Accepted,
    Refused,
}

/// What becomes of a packet in the chain `chain` that comes from `link`, or from one that no rule names, by those rules that
/// look at nothing else; `None` if none of them decides. No chain leads to itself.
fn fate(table: &Table, chain: &str, link: Option<&[u8]>) -> Option<Fate> {
    for rule in table.get(chain)? {
        let rule = telling(rule);
        let what = match from_link(&rule) {
            None => &rule[..],
            Some(named) if link.is_some_and(|link| link.starts_with(named)) => &rule[2..],
            Some(_) => continue,
        };
        match what {
            [Expression::Accept] => return Some(Fate::Accepted),
            [Expression::Jump(other)] => {
                if let Some(fate) = fate(table, other, link) {
                    return Some(fate);
                }
            }
            [Expression::GoTo(other)] => return fate(table, other, link),
            what if refuses(what) => return Some(Fate::Refused),
            _ => {}
        }
    }
    None
}

/// A name with its end is compared whole, one without by its beginning.
fn pattern(value: &[u8]) -> String {
    match value.iter().position(|byte| *byte == 0) {
        Some(end) => String::from_utf8_lossy(&value[..end]).into_owned(),
        None => String::from_utf8_lossy(value).into_owned() + "*",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Rule;

    #[test]
    fn only_what_accepts_a_link_whole_opens_a_barrier() {
        let mut barrier = Barrier {
            name: String::new(),
            refusal: Refusal::Policy,
            family: None,
            accepts_from: vec![],
            accepts_to: vec![],
        };
        note(&mut barrier, &Rule::new("").from_link("fb0").accept().expressions);
        note(&mut barrier, &Rule::new("").to_link("fb0").replies().accept().expressions);
        note(&mut barrier, &Rule::new("").to_link("fb1").drop().expressions);
        assert_eq!((barrier.accepts_from, barrier.accepts_to), (vec!["fb0".to_owned()], vec![]));
        assert_eq!(pattern(b"br"), "br*");
    }
}
