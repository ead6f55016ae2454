//! The packet filter `nf_tables` (nftables(8)), over netlink and without the nft program.
//!
//! All rules of one root are in one table of fleet's own, each network's in chains of its own: `forward-FLEET`,
//! `forward-FLEET.NETWORK` and so on.
//! They are replaced in one transaction, and read back expression by expression.

mod barriers;
mod expressions;
mod socket;

use std::io;

use crate::network::attributes::{Reader, Writer};
use socket::{APPEND, Batch, CREATE, FilterSocket, INET, Kind};

use crate::model::{Chain, Chains, Firewall, Hook, LONGEST_COMMENT, NetworkName, Rule, TableState, hex, stable_hash};

/// The mark of a table that is ours, as its comment.
const MARK: &str = "made by fleet";

// Attributes of tables, chains and rules.
const TABLE_NAME: u16 = 1;
const TABLE_FLAGS: u16 = 2;
const TABLE_USER_DATA: u16 = 6;
const CHAIN_TABLE: u16 = 1;
const CHAIN_NAME: u16 = 3;
const CHAIN_HOOK: u16 = 4;
const CHAIN_POLICY: u16 = 5;
const CHAIN_TYPE: u16 = 7;
const HOOK_NUMBER: u16 = 1;
const HOOK_PRIORITY: u16 = 2;
const RULE_TABLE: u16 = 1;
const RULE_CHAIN: u16 = 2;
const RULE_EXPRESSIONS: u16 = 4;
const RULE_USER_DATA: u16 = 7;

const POLICY_ACCEPT: u32 = 1;
/// The kind of a comment in the data that nft(8) keeps with tables and rules: one byte each for kind and length, text
/// with its end (libnftnl's `udata.h`).
const COMMENT: u8 = 0;

/// Type, number and priority of a hook's chains, after the names of nft(8).
fn place_of(hook: Hook) -> (&'static str, u32, i32) {
    match hook {
        Hook::Arriving => ("filter", 0, -300),
        Hook::Prerouting => ("nat", 0, -100),
        Hook::Output => ("nat", 3, -100),
        Hook::Forward => ("filter", 2, 0),
        Hook::Postrouting => ("nat", 4, 100),
    }
}

/// The name of the table of the root that `scope` stands for: `fleet` for the host's own.
fn table_name(scope: &str) -> String {
    if scope.is_empty() { "fleet".to_owned() } else { format!("fleet-{}", hex(&stable_hash(&["table", scope])[..4])) }
}

/// Reads the packet filter, as far as it concerns fleets of `scope`.
pub fn read_firewall(scope: &str) -> io::Result<Firewall> {
    let mut socket = FilterSocket::open()?;
    let table = table_name(scope);
    let (state, mut ours) = match state_of(&mut socket, &table) {
        Ok(found) => found,
        // What the kernel answers that has no such subsystem.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EOPNOTSUPP | libc::EPROTONOSUPPORT)) => {
            let table = TableState::Unavailable(error.to_string());
            return Ok(Firewall { table, ..Firewall::default() });
        }
        Err(error) => return Err(error),
    };
    let (mut chains, is_shared) = (Chains::new(), !ours.is_empty());
    if state == TableState::Ours {
        chains = read_chains(&mut socket, &table)?;
        ours.push(table);
    }
    Ok(Firewall { table: state, chains, is_shared, barriers: barriers::read(&mut socket, &ours)? })
}

/// Makes `chains` all that the network `network` of the fleet `fleet` has, in one transaction; the table goes with its
/// last chain.
pub fn write_chains(scope: &str, fleet: &str, network: &NetworkName, chains: &Chains) -> io::Result<()> {
    let mut socket = FilterSocket::open()?;
    let table = table_name(scope);
    let found = match state_of(&mut socket, &table)?.0 {
        TableState::Foreign(name) => {
            return Err(io::Error::other(format!("the table `{name}` was not made by fleet")));
        }
        TableState::Ours => read_chains(&mut socket, &table)?,
        TableState::Absent if chains.is_empty() => return Ok(()),
        TableState::Absent | TableState::Unavailable(_) => Chains::new(),
    };
    socket.commit(replacement(&table, fleet, network, &found, chains))
}

/// The transaction that puts `chains` in the place of what the network has of `found`.
fn replacement(table: &str, fleet: &str, network: &NetworkName, found: &Chains, chains: &Chains) -> Batch {
    let mut batch = Batch::default();
    let is_own = |name: &str| Hook::owner_of(name).is_some_and(|owner| owner == (fleet, network.clone()));
    let (own, others): (Vec<_>, Vec<_>) = found.iter().partition(|(name, _)| is_own(name));
    if chains.is_empty() && others.is_empty() {
        batch.add(Kind::DeleteTable, 0, |table_of| {
            table_of.text(TABLE_NAME, table);
        });
        return batch;
    }
    batch.add(Kind::NewTable, CREATE, |request| {
        request.text(TABLE_NAME, table).number(TABLE_FLAGS, 0).bytes(TABLE_USER_DATA, &comment(MARK));
    });
    for (name, chain) in own {
        batch.add(Kind::DeleteRule, 0, |request| {
            request.text(RULE_TABLE, table).text(RULE_CHAIN, name);
        });
        // What stands elsewhere than it should cannot be moved.
        if chains.get(name).is_none_or(|wanted| wanted.hook != chain.hook) {
            batch.add(Kind::DeleteChain, 0, |request| {
                request.text(CHAIN_TABLE, table).text(CHAIN_NAME, name);
            });
        }
    }
    for (name, chain) in chains {
        add_chain(&mut batch, table, name, chain);
    }
    batch
}

fn add_chain(batch: &mut Batch, table: &str, name: &str, chain: &Chain) {
    batch.add(Kind::NewChain, CREATE, |request| {
        request.text(CHAIN_TABLE, table).text(CHAIN_NAME, name);
        if let Some(hook) = chain.hook {
            let (kind, number, priority) = place_of(hook);
            request.nest(CHAIN_HOOK, |place| {
                place.number(HOOK_NUMBER, number).number(HOOK_PRIORITY, priority.cast_unsigned());
            });
            request.number(CHAIN_POLICY, POLICY_ACCEPT).text(CHAIN_TYPE, kind);
        }
    });
    for rule in &chain.rules {
        batch.add(Kind::NewRule, CREATE | APPEND, |request| {
            request.text(RULE_TABLE, table).text(RULE_CHAIN, name);
            request.nest(RULE_EXPRESSIONS, |list| expressions::write(list, &rule.expressions));
            request.bytes(RULE_USER_DATA, &comment(&rule.comment));
        });
    }
}

/// Whose the table `name` of the family inet is, and the others that are ours.
fn state_of(socket: &mut FilterSocket, name: &str) -> io::Result<(TableState, Vec<String>)> {
    let (mut state, mut others) = (TableState::Absent, Vec::new());
    for shown in socket.dump(Kind::GetTable, Some(INET), &Writer::default())? {
        let attributes = Reader(&shown.attributes);
        let is_ours = attributes.bytes(TABLE_USER_DATA).is_some_and(|data| comment_in(data) == MARK);
        let shown = attributes.text(TABLE_NAME).unwrap_or_default();
        match (shown == name, is_ours) {
            (true, true) => state = TableState::Ours,
            (true, false) => state = TableState::Foreign(format!("inet {name}")),
            (false, true) => others.push(shown),
            (false, false) => {}
        }
    }
    Ok((state, others))
}

/// The chains of our table, with their rules.
fn read_chains(socket: &mut FilterSocket, table: &str) -> io::Result<Chains> {
    let mut chains = Chains::new();
    for shown in socket.dump(Kind::GetChain, Some(INET), &Writer::default())? {
        let attributes = Reader(&shown.attributes);
        if shown.family != INET || attributes.text(CHAIN_TABLE).as_deref() != Some(table) {
            continue;
        }
        let name = attributes.text(CHAIN_NAME).unwrap_or_default();
        chains.insert(name, Chain { hook: hook_in(attributes), rules: Vec::new() });
    }
    let mut of_table = Writer::default();
    of_table.text(RULE_TABLE, table);
    for shown in socket.dump(Kind::GetRule, Some(INET), &of_table)? {
        let attributes = Reader(&shown.attributes);
        // A dump may show more than what was asked for.
        if shown.family != INET || attributes.text(RULE_TABLE).as_deref() != Some(table) {
            continue;
        }
        let name = attributes.text(RULE_CHAIN).unwrap_or_default();
        let rule = Rule {
            comment: attributes.bytes(RULE_USER_DATA).map(comment_in).unwrap_or_default(),
            expressions: attributes.nest(RULE_EXPRESSIONS).map(expressions::read).unwrap_or_default(),
        };
        // A chain that was made between the two questions is not there for the first.
        chains.entry(name).or_insert(Chain { hook: None, rules: Vec::new() }).rules.push(rule);
    }
    Ok(chains)
}

fn hook_in(chain: Reader<'_>) -> Option<Hook> {
    if chain.number(CHAIN_POLICY) != Some(POLICY_ACCEPT) {
        return None;
    }
    let hook = chain.nest(CHAIN_HOOK)?;
    let place = (chain.text(CHAIN_TYPE)?, hook.number(HOOK_NUMBER)?, hook.number(HOOK_PRIORITY)?.cast_signed());
    let is_there = |hook: &Hook| {
        let (kind, number, priority) = place_of(*hook);
        (kind, number, priority) == (place.0.as_str(), place.1, place.2)
    };
    Hook::ALL.iter().map(|(_, hook)| *hook).find(is_there)
}

/// `text` as nft(8) keeps a comment; what is longer than it takes is cut off.
fn comment(text: &str) -> Vec<u8> {
    let end = (0..=text.len().min(LONGEST_COMMENT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let mut bytes = vec![COMMENT, u8::try_from(end + 1).unwrap_or(u8::MAX)];
    bytes.extend(&text.as_bytes()[..end]);
    bytes.push(0);
    bytes
}

fn comment_in(data: &[u8]) -> String {
    let mut rest = data;
    while let [kind, length, tail @ ..] = rest {
        let value = tail.get(..usize::from(*length)).unwrap_or(tail);
        if *kind == COMMENT {
            return String::from_utf8_lossy(value.strip_suffix(&[0]).unwrap_or(value)).into_owned();
        }
        rest = tail.get(usize::from(*length)..).unwrap_or_default();
    }
    String::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_read_as_it_was_written() {
        assert_eq!(comment_in(&comment("port 80")), "port 80");
        // nft(8) keeps other things before and behind it.
        assert_eq!(comment_in(&[1, 2, 9, 9, 0, 2, b'x', 0, 3, 1, 7]), "x");
        assert_eq!(comment_in(&comment(&"ä".repeat(100))).len(), 126);
    }

    #[test]
    fn roots_have_tables_of_their_own() {
        assert_eq!(table_name(""), "fleet");
        assert_ne!(table_name("/a"), table_name("/b"));
    }
}
