//! A rule of the packet filter: what it matches, and what happens.

use std::fmt;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{IpFamily, hex, stable_hash};

/// The group of links (`ip link set group`) that the bridges of all fleets of a host are in, under whatever root: by it
/// one fleet's rules tell the others' packets.
pub const BRIDGE_GROUP: u32 = 0xf1ee7;

/// A rule: what it matches, each expression narrowing it down, and at the end what happens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Rule {
    /// What it is for, in words; the kernel keeps it, and `nft list ruleset` shows it.
    pub comment: String,
    /// The kernel's own instructions (`linux/netfilter/nf_tables.h`), which work on one register.
    pub expressions: Vec<Expression>,
}

/// An instruction of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Expression {
    /// Load what is known of the packet besides its bytes.
    Meta(Meta),
    /// Load what is known of its connection.
    Connection(Connection),
    /// Load bytes of it.
    Payload(Payload),
    /// Load the type of the destination as the routing table has it (`RTN_*`).
    DestinationType,
    /// Keep those bits of what was loaded.
    Mask(Vec<u8>),
    /// Go on only if what was loaded compares so with the value.
    Compare(Comparison, Vec<u8>),
    /// Accept the packet, in this chain.
    Accept,
    /// Drop it for good.
    Drop,
    /// Send its connection to that address, and port if one is given.
    SendTo(IpAddr, Option<u16>),
    /// Give its connection the host's address as source.
    Masquerade,
    /// Look for no connection that it belongs to.
    Untracked,
    /// Look at the rules of that chain, and come back. Fleet never writes it, nor what follows.
    Jump(String),
    /// Look at the rules of that chain instead of what is left of this one's.
    GoTo(String),
    /// Something else, by its name in the kernel.
    Other(String),
}

/// What is known of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meta {
    /// The link it came in by, 16 bytes.
    FromLink,
    /// The link it leaves by, 16 bytes.
    ToLink,
    /// The group of the former, 4 bytes in the host's order.
    FromGroup,
    /// The group of the latter.
    ToGroup,
    /// `NFPROTO_*`, 1 byte.
    Family,
    /// `IPPROTO_*`, 1 byte.
    Protocol,
}

/// What is known of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Connection {
    /// Bits, 4 bytes in the host's order.
    State,
    /// 0 with whoever began it, 1 against, 1 byte.
    Direction,
    /// `IPS_*`, 4 bytes in the host's order.
    Status,
}

/// Bytes of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Payload {
    /// The source, of a packet of that family.
    Source(IpFamily),
    /// The destination, of a packet of that family.
    Destination(IpFamily),
    /// TCP and UDP: the destination port.
    DestinationPort,
}

/// How to compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the words say it")]
pub enum Comparison {
    Equal,
    NotEqual,
    AtMost,
    AtLeast,
}

/// A protocol with ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        })
    }
}

/// `NFPROTO_*` of `linux/netfilter.h`.
const NFPROTO: [(IpFamily, u8); 2] = [(IpFamily::Ipv4, 2), (IpFamily::Ipv6, 10)];
/// `linux/rtnetlink.h`.
const RTN_LOCAL: u32 = 2;
/// `NF_CT_STATE_*_BIT` of `linux/netfilter/nf_conntrack_common.h`.
const INVALID: u32 = 1;
const RELATED: u32 = 4;
/// `IPS_DST_NAT` of the same.
const SENT_ELSEWHERE: u32 = 1 << 5;
/// `IFNAMSIZ`.
const LINK_NAME: usize = 16;

/// The longest comment that nft(8) takes, in bytes (`NFTNL_UDATA_COMMENT_MAXLEN` less its end).
pub const LONGEST_COMMENT: usize = 127;

/// `text` as the comment of a rule. Of one that is too long stays the beginning, with what tells it from others that begin so.
fn comment_of(text: String) -> String {
    if text.len() <= LONGEST_COMMENT {
        return text;
    }
    let end = format!("… {}", hex(&stable_hash(&["comment", &text])[..4]));
    let fits = |length: &usize| text.is_char_boundary(*length);
    let length = (0..=LONGEST_COMMENT - end.len()).rev().find(fits).unwrap_or(0);
    format!("{}{end}", &text[..length])
}

impl Rule {
    /// One that matches everything, and does nothing yet. A comment that is longer than the kernel keeps it is cut: what is
    /// found there is compared with what was asked for.
    #[must_use]
    pub fn new(comment: impl Into<String>) -> Rule {
        Rule { comment: comment_of(comment.into()), expressions: Vec::new() }
    }

    fn and(mut self, expressions: impl IntoIterator<Item = Expression>) -> Rule {
        self.expressions.extend(expressions);
        self
    }

    fn compare(self, load: Expression, comparison: Comparison, value: impl Into<Vec<u8>>) -> Rule {
        self.and([load, Expression::Compare(comparison, value.into())])
    }

    fn bits(self, load: Connection, bits: u32) -> Rule {
        let masked = self.and([Expression::Connection(load), Expression::Mask(bits.to_ne_bytes().into())]);
        masked.and([Expression::Compare(Comparison::NotEqual, vec![0; 4])])
    }

    /// What came in by the link `name`.
    #[must_use]
    pub fn from_link(self, name: &str) -> Rule {
        self.compare(Expression::Meta(Meta::FromLink), Comparison::Equal, link_name(name))
    }

    /// What leaves by the link `name`.
    #[must_use]
    pub fn to_link(self, name: &str) -> Rule {
        self.compare(Expression::Meta(Meta::ToLink), Comparison::Equal, link_name(name))
    }

    /// What leaves by another link than `name`.
    #[must_use]
    pub fn not_to_link(self, name: &str) -> Rule {
        self.compare(Expression::Meta(Meta::ToLink), Comparison::NotEqual, link_name(name))
    }

    /// What came from a fleet's bridge.
    #[must_use]
    pub fn from_fleets(self) -> Rule {
        self.compare(Expression::Meta(Meta::FromGroup), Comparison::Equal, BRIDGE_GROUP.to_ne_bytes())
    }

    /// What leaves by a fleet's bridge.
    #[must_use]
    pub fn to_fleets(self) -> Rule {
        self.compare(Expression::Meta(Meta::ToGroup), Comparison::Equal, BRIDGE_GROUP.to_ne_bytes())
    }

    /// Packets of `family`: needed before ports are looked at.
    #[must_use]
    pub fn family(self, family: IpFamily) -> Rule {
        let known = NFPROTO.iter().filter(|(other, _)| *other == family).map(|(_, number)| *number);
        self.compare(Expression::Meta(Meta::Family), Comparison::Equal, known.collect::<Vec<u8>>())
    }

    /// Where an address stands in a packet depends on its family, so that is looked at first.
    fn address(self, which: impl Fn(IpFamily) -> Payload, comparison: Comparison, net: IpNet) -> Rule {
        let family = IpFamily::of(net.addr());
        let looked_at = self.expressions.contains(&Expression::Meta(Meta::Family));
        let rule = if looked_at { self } else { self.family(family) };
        let loaded = rule.and([Expression::Payload(which(family))]);
        let is_one = net.prefix_len() == net.max_prefix_len();
        let masked = if is_one { loaded } else { loaded.and([Expression::Mask(octets(net.netmask()))]) };
        masked.and([Expression::Compare(comparison, octets(net.network()))])
    }

    /// Packets from `net`.
    #[must_use]
    pub fn source(self, net: impl Into<IpNet>) -> Rule {
        self.address(Payload::Source, Comparison::Equal, net.into())
    }

    /// Packets of the family of `net` from elsewhere.
    #[must_use]
    pub fn not_source(self, net: impl Into<IpNet>) -> Rule {
        self.address(Payload::Source, Comparison::NotEqual, net.into())
    }

    /// Packets to `net`.
    #[must_use]
    pub fn destination(self, net: impl Into<IpNet>) -> Rule {
        self.address(Payload::Destination, Comparison::Equal, net.into())
    }

    /// Packets of the family of `net` to elsewhere.
    #[must_use]
    pub fn not_destination(self, net: impl Into<IpNet>) -> Rule {
        self.address(Payload::Destination, Comparison::NotEqual, net.into())
    }

    /// Packets to an address of the host.
    #[must_use]
    pub fn to_host(self) -> Rule {
        self.compare(Expression::DestinationType, Comparison::Equal, RTN_LOCAL.to_ne_bytes())
    }

    /// Packets of `protocol`.
    #[must_use]
    pub fn protocol(self, protocol: Protocol) -> Rule {
        let number = match protocol {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
        };
        self.compare(Expression::Meta(Meta::Protocol), Comparison::Equal, [number])
    }

    /// Packets to one of `ports`; the protocol is known to have some.
    #[must_use]
    pub fn ports(self, ports: RangeInclusive<u16>) -> Rule {
        let loaded = self.and([Expression::Payload(Payload::DestinationPort)]);
        let compare = |comparison, port: u16| Expression::Compare(comparison, port.to_be_bytes().into());
        if ports.start() == ports.end() {
            return loaded.and([compare(Comparison::Equal, *ports.start())]);
        }
        loaded.and([compare(Comparison::AtLeast, *ports.start()), compare(Comparison::AtMost, *ports.end())])
    }

    /// Packets against the direction in which their connection was begun.
    #[must_use]
    pub fn replies(self) -> Rule {
        self.compare(Expression::Connection(Connection::Direction), Comparison::Equal, [1])
    }

    /// Packets that belong to a connection without being of it: errors of its way.
    #[must_use]
    pub fn related(self) -> Rule {
        self.bits(Connection::State, RELATED)
    }

    /// Packets that fit no connection: they would leave untranslated.
    #[must_use]
    pub fn unfitting(self) -> Rule {
        self.bits(Connection::State, INVALID)
    }

    /// Packets of a connection that was sent elsewhere than it was addressed to: by a published port.
    #[must_use]
    pub fn sent_elsewhere(self) -> Rule {
        self.bits(Connection::Status, SENT_ELSEWHERE)
    }

    /// Accepts them.
    #[must_use]
    pub fn accept(self) -> Rule {
        self.and([Expression::Accept])
    }

    /// Drops them.
    #[must_use]
    pub fn drop(self) -> Rule {
        self.and([Expression::Drop])
    }

    /// Leaves them without a connection, so that nothing is translated.
    #[must_use]
    pub fn untracked(self) -> Rule {
        self.and([Expression::Untracked])
    }

    /// Sends their connections to `address`, and to `port` if it is given.
    #[must_use]
    pub fn send_to(self, address: IpAddr, port: Option<u16>) -> Rule {
        self.and([Expression::SendTo(address, port)])
    }

    /// Gives their connections the host's own address as source.
    #[must_use]
    pub fn masquerade(self) -> Rule {
        self.and([Expression::Masquerade])
    }
}

/// The bytes of `address` as they stand in a packet.
fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().into(),
        IpAddr::V6(address) => address.octets().into(),
    }
}

/// A link's name as the kernel compares it: with zeros behind.
fn link_name(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.resize(LINK_NAME, 0);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_is_cut_where_the_kernel_would_and_still_tells_one_rule_from_another() {
        assert_eq!(Rule::new("ä".repeat(63)).comment.len(), 126);
        assert_eq!(Rule::new("a".repeat(127)).comment, "a".repeat(127));
        let [one, other] = ["x", "y"].map(|end| Rule::new("ä".repeat(63) + end + end));
        assert_ne!(one.comment, other.comment);
        assert!(one.comment.len() <= LONGEST_COMMENT && one.comment.starts_with("äää"), "{}", one.comment);
        assert_eq!(Rule::new(one.comment.clone()), one);
    }
}
