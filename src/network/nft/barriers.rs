//! Chains of others that drop what goes through the host: Docker's, ufw's, firewalld's.
//!
//! They are read, never changed: a packet passes only if every chain lets it through, whatever ours say.

use std::collections::BTreeMap;
use std::io;

use super::socket::{FilterSocket, INET, Kind};
use super::{
    CHAIN_HOOK, CHAIN_NAME, CHAIN_POLICY, CHAIN_TABLE, HOOK_NUMBER, RULE_CHAIN, RULE_EXPRESSIONS, RULE_TABLE,
    expressions,
};
use crate::model::{Barrier, Comparison, Expression, IpFamily, Meta};
use crate::network::attributes::{Reader, Writer};

/// `NFPROTO_*` of `linux/netfilter.h`.
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const FORWARD: u32 = 2;
const POLICY_DROP: u32 = 0;

/// Reads all of them.
pub(super) fn read(socket: &mut FilterSocket) -> io::Result<Vec<Barrier>> {
    let mut found: BTreeMap<(u8, String), Barrier> = BTreeMap::new();
    for shown in socket.dump(Kind::GetChain, None, &Writer::default())? {
        let chain = Reader(&shown.attributes);
        let hook = chain.nest(CHAIN_HOOK).and_then(|hook| hook.number(HOOK_NUMBER));
        let drops = hook == Some(FORWARD) && chain.number(CHAIN_POLICY) == Some(POLICY_DROP);
        let (word, family) = match shown.family {
            INET => ("inet", None),
            IPV4 => ("ip", Some(IpFamily::Ipv4)),
            IPV6 => ("ip6", Some(IpFamily::Ipv6)),
            _ => continue,
        };
        if drops && let (Some(table), Some(name)) = (chain.text(CHAIN_TABLE), chain.text(CHAIN_NAME)) {
            let name = format!("{word} {table} {name}");
            let barrier = Barrier { name, family, accepts_from: Vec::new(), accepts_to: Vec::new() };
            found.insert((shown.family, table), barrier);
        }
    }
    for ((family, table), barrier) in &mut found {
        let mut of_table = Writer::default();
        of_table.text(RULE_TABLE, table);
        for shown in socket.dump(Kind::GetRule, Some(*family), &of_table)? {
            let rule = Reader(&shown.attributes);
            // In whatever chain it stands: the one that drops leads to it, as Docker's does to `DOCKER-USER`.
            if rule.text(RULE_TABLE).as_ref() == Some(table) && rule.text(RULE_CHAIN).is_some() {
                let expressions = rule.nest(RULE_EXPRESSIONS).map(expressions::read).unwrap_or_default();
                note(barrier, &expressions);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// Notes what a rule accepts by its link alone.
fn note(barrier: &mut Barrier, expressions: &[Expression]) {
    let counter = Expression::Other("counter".to_owned());
    let telling: Vec<&Expression> = expressions.iter().filter(|expression| **expression != counter).collect();
    if let [Expression::Meta(which), Expression::Compare(Comparison::Equal, value), Expression::Accept] =
        telling.as_slice()
    {
        match which {
            Meta::FromLink => barrier.accepts_from.push(pattern(value)),
            Meta::ToLink => barrier.accepts_to.push(pattern(value)),
            Meta::FromGroup | Meta::ToGroup | Meta::Family | Meta::Protocol => {}
        }
    }
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
        let mut barrier = Barrier { name: String::new(), family: None, accepts_from: vec![], accepts_to: vec![] };
        note(&mut barrier, &Rule::new("").from_link("fb0").accept().expressions);
        note(&mut barrier, &Rule::new("").to_link("fb0").replies().accept().expressions);
        note(&mut barrier, &Rule::new("").to_link("fb1").drop().expressions);
        assert_eq!((barrier.accepts_from, barrier.accepts_to), (vec!["fb0".to_owned()], vec![]));
        assert_eq!(pattern(b"br"), "br*");
    }
}
