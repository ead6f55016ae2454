//! Expressions as the kernel has them (`linux/netfilter/nf_tables.h`), there and back.
//!
//! All work on register 1; a translation takes its address from register 1 and its port from register 2. What the
//! kernel shows that is not exactly what would be written here becomes [`Expression::Other`], and so a difference.

use std::net::IpAddr;

use crate::model::{Comparison, Connection, Expression, IpFamily, Meta, Payload};
use crate::network::attributes::{Reader, Writer};

const VERDICT_REGISTER: u32 = 0;
const REGISTER: u32 = 1;
const PORT_REGISTER: u32 = 2;

// The list of a rule's expressions.
const LIST_ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;
// A value of any kind.
const VALUE: u16 = 1;
const VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const DROP: u32 = 0;
const ACCEPT: u32 = 1;
// `NFT_JUMP` and `NFT_GOTO` of `linux/netfilter/nf_tables.h`.
const JUMP: u32 = (-3_i32).cast_unsigned();
const GO_TO: u32 = (-4_i32).cast_unsigned();
/// `NFPROTO_*` of `linux/netfilter.h`.
const FAMILY: [(IpFamily, u32); 2] = [(IpFamily::Ipv4, 2), (IpFamily::Ipv6, 10)];

const META: [(Meta, u32); 6] = [
    (Meta::FromLink, 6),
    (Meta::ToLink, 7),
    (Meta::Family, 15),
    (Meta::Protocol, 16),
    (Meta::FromGroup, 21),
    (Meta::ToGroup, 22),
];
const CONNECTION: [(Connection, u32); 3] =
    [(Connection::State, 0), (Connection::Direction, 1), (Connection::Status, 2)];
/// Base (network header 1, transport header 2), offset and length.
const PAYLOAD: [(Payload, [u32; 3]); 5] = [
    (Payload::Source(IpFamily::Ipv4), [1, 12, 4]),
    (Payload::Destination(IpFamily::Ipv4), [1, 16, 4]),
    (Payload::Source(IpFamily::Ipv6), [1, 8, 16]),
    (Payload::Destination(IpFamily::Ipv6), [1, 24, 16]),
    (Payload::DestinationPort, [2, 2, 2]),
];
const COMPARISON: [(Comparison, u32); 4] =
    [(Comparison::Equal, 0), (Comparison::NotEqual, 1), (Comparison::AtMost, 3), (Comparison::AtLeast, 5)];

fn code<A: PartialEq, B: Copy>(table: &[(A, B)], of: &A) -> B {
    table.iter().find(|(one, _)| one == of).expect("the table has all of them").1
}

fn meaning<A: Copy, B: PartialEq>(table: &[(A, B)], of: &B) -> Option<A> {
    table.iter().find(|(_, one)| one == of).map(|(one, _)| *one)
}

/// Writes `expressions` as a list into `list`.
pub(super) fn write(list: &mut Writer, expressions: &[Expression]) {
    for expression in expressions {
        write_one(list, expression);
    }
}

fn element(list: &mut Writer, name: &str, write: impl FnOnce(&mut Writer)) {
    list.nest(LIST_ELEMENT, |element| {
        element.text(NAME, name).nest(DATA, write);
    });
}

fn write_one(list: &mut Writer, expression: &Expression) {
    let load = |list: &mut Writer, name, key: u32| {
        element(list, name, |data| {
            data.number(1, REGISTER).number(2, key);
        });
    };
    let value = |data: &mut Writer, kind, bytes: &[u8]| {
        data.nest(kind, |data| {
            data.bytes(VALUE, bytes);
        });
    };
    match expression {
        Expression::Meta(key) => load(list, "meta", code(&META, key)),
        Expression::Connection(key) => load(list, "ct", code(&CONNECTION, key)),
        Expression::Payload(part) => {
            let [base, offset, length] = code(&PAYLOAD, part);
            element(list, "payload", |data| {
                data.number(1, REGISTER).number(2, base).number(3, offset).number(4, length);
            });
        }
        // RESULT is the address's type (3), FLAGS the destination (2).
        Expression::DestinationType => {
            element(list, "fib", |data| {
                data.number(1, REGISTER).number(2, 3).number(3, 2);
            });
        }
        Expression::Mask(mask) => element(list, "bitwise", |data| {
            data.number(1, REGISTER).number(2, REGISTER).number(3, u32::try_from(mask.len()).unwrap_or(0));
            value(data, 4, mask);
            value(data, 5, &vec![0; mask.len()]);
        }),
        Expression::Compare(comparison, with) => element(list, "cmp", |data| {
            data.number(1, REGISTER).number(2, code(&COMPARISON, comparison));
            value(data, 3, with);
        }),
        Expression::Accept | Expression::Drop => element(list, "immediate", |data| {
            let code = if *expression == Expression::Accept { ACCEPT } else { DROP };
            data.number(1, VERDICT_REGISTER).nest(2, |data| {
                data.nest(VERDICT, |verdict| {
                    verdict.number(VERDICT_CODE, code);
                });
            });
        }),
        Expression::SendTo(address, port) => {
            element(list, "immediate", |data| {
                data.number(1, REGISTER);
                match address {
                    IpAddr::V4(address) => value(data, 2, &address.octets()),
                    IpAddr::V6(address) => value(data, 2, &address.octets()),
                }
            });
            if let Some(port) = port {
                element(list, "immediate", |data| {
                    data.number(1, PORT_REGISTER);
                    value(data, 2, &port.to_be_bytes());
                });
            }
            element(list, "nat", |data| {
                data.number(1, 1).number(2, code(&FAMILY, &IpFamily::of(*address))).number(3, REGISTER);
                if port.is_some() {
                    data.number(5, PORT_REGISTER);
                }
            });
        }
        Expression::Masquerade => element(list, "masq", |_| ()),
        Expression::Untracked => element(list, "notrack", |_| ()),
        // Never asked for: the kernel refuses it.
        Expression::Jump(_) | Expression::GoTo(_) => element(list, "immediate", |_| ()),
        Expression::Other(name) => element(list, name, |_| ()),
    }
}

/// What an element of the kernel's list is.
enum Element {
    Whole(Expression),
    /// A value for a register, to be used by what follows.
    Immediate(u32, Vec<u8>),
    /// A translation of the destination to an address of that family; whether to a port, too.
    Translation {
        family: IpFamily,
        to_port: bool,
    },
}

/// Reads the list of a rule's expressions.
pub(super) fn read(list: Reader<'_>) -> Vec<Expression> {
    let mut expressions = Vec::new();
    let mut values: Vec<(u32, Vec<u8>)> = Vec::new();
    for (kind, value) in list.all() {
        if kind != LIST_ELEMENT {
            continue;
        }
        let element = Reader(value);
        let name = element.text(NAME).unwrap_or_default();
        match read_one(&name, element.nest(DATA).unwrap_or(Reader(&[]))) {
            Some(Element::Whole(expression)) => expressions.push(expression),
            Some(Element::Immediate(register, value)) => values.push((register, value)),
            Some(Element::Translation { family, to_port }) => {
                let sent = translation(&values, family, to_port).unwrap_or(Expression::Other(name));
                expressions.push(sent);
                values.clear();
            }
            None => expressions.push(Expression::Other(name)),
        }
    }
    expressions.extend(values.iter().map(|_| Expression::Other("immediate".to_owned())));
    expressions
}

fn translation(values: &[(u32, Vec<u8>)], family: IpFamily, to_port: bool) -> Option<Expression> {
    let (address, port) = match (values, to_port) {
        ([(REGISTER, address)], false) => (address, None),
        ([(REGISTER, address), (PORT_REGISTER, port)], true) => {
            (address, Some(u16::from_be_bytes(port.as_slice().try_into().ok()?)))
        }
        _ => return None,
    };
    let address = match family {
        IpFamily::Ipv4 => IpAddr::from(<[u8; 4]>::try_from(address.as_slice()).ok()?),
        IpFamily::Ipv6 => IpAddr::from(<[u8; 16]>::try_from(address.as_slice()).ok()?),
    };
    Some(Expression::SendTo(address, port))
}

/// `None` for what would not be written like this.
fn read_one(name: &str, data: Reader<'_>) -> Option<Element> {
    let into_register = data.number(1) == Some(REGISTER);
    let value = |kind| data.nest(kind).and_then(|value| value.bytes(VALUE)).map(<[u8]>::to_vec);
    let whole = match name {
        "meta" if into_register => Expression::Meta(meaning(&META, &data.number(2)?)?),
        "ct" if into_register && data.bytes(3).is_none() => {
            Expression::Connection(meaning(&CONNECTION, &data.number(2)?)?)
        }
        "payload" if into_register => {
            let part = [data.number(2)?, data.number(3)?, data.number(4)?];
            Expression::Payload(meaning(&PAYLOAD, &part)?)
        }
        "fib" if into_register && (data.number(2), data.number(3)) == (Some(3), Some(2)) => Expression::DestinationType,
        "bitwise" if into_register && data.number(2) == Some(REGISTER) && data.number(6).unwrap_or(0) == 0 => {
            let is_plain = value(5)?.iter().all(|byte| *byte == 0);
            is_plain.then_some(Expression::Mask(value(4)?))?
        }
        "cmp" if into_register => Expression::Compare(meaning(&COMPARISON, &data.number(2)?)?, value(3)?),
        "immediate" if data.number(1) == Some(VERDICT_REGISTER) => {
            let verdict = data.nest(2)?.nest(VERDICT)?;
            match verdict.number(VERDICT_CODE)? {
                DROP => Expression::Drop,
                ACCEPT => Expression::Accept,
                JUMP => Expression::Jump(verdict.text(VERDICT_CHAIN)?),
                GO_TO => Expression::GoTo(verdict.text(VERDICT_CHAIN)?),
                _ => return None,
            }
        }
        "immediate" => return Some(Element::Immediate(data.number(1)?, value(2)?)),
        "nat" => return read_translation(data),
        "masq" if data.all().all(|(_, value)| value.iter().all(|byte| *byte == 0)) => Expression::Masquerade,
        "notrack" => Expression::Untracked,
        // Of iptables(8), which has some of its targets as modules.
        "target" => Expression::Other(format!("target {}", data.text(1)?)),
        _ => return None,
    };
    Some(Element::Whole(whole))
}

/// The kernel shows each register twice, as the first and the last of a range, and flags that it derives from them.
fn read_translation(data: Reader<'_>) -> Option<Element> {
    /// `NF_NAT_RANGE_MAP_IPS` and `NF_NAT_RANGE_PROTO_SPECIFIED` of `linux/netfilter/nf_nat.h`.
    const DERIVED_FLAGS: u32 = 3;
    let family = meaning(&FAMILY, &data.number(2)?)?;
    let is_ours = data.number(1) == Some(1)
        && data.number(3) == Some(REGISTER)
        && data.number(4).is_none_or(|last| last == REGISTER)
        && data.number(6).is_none_or(|last| Some(last) == data.number(5))
        && data.number(7).unwrap_or(0) & !DERIVED_FLAGS == 0;
    let to_port = match data.number(5) {
        None => false,
        Some(PORT_REGISTER) => true,
        Some(_) => return None,
    };
    is_ours.then_some(Element::Translation { family, to_port })
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::model::{Protocol, Rule};

    fn there_and_back(rule: &Rule) -> Vec<Expression> {
        let mut writer = Writer::default();
        write(&mut writer, &rule.expressions);
        read(Reader(&writer.0))
    }

    #[test]
    fn every_expression_is_read_as_it_was_written() {
        for (net, one) in [("10.1.0.0/16", "10.1.2.3"), ("fd00:1::/64", "fd00:1::3")] {
            let net: IpNet = net.parse().expect("a net");
            let address: IpAddr = one.parse().expect("an address");
            let matching = Rule::new("all")
                .from_link("fb0")
                .not_to_link("eth0")
                .from_fleets()
                .to_fleets()
                .family(IpFamily::of(address))
                .source(net)
                .not_source(net)
                .destination(address)
                .to_host()
                .protocol(Protocol::Udp)
                .ports(80..=90)
                .replies()
                .related()
                .sent_elsewhere();
            for rule in [
                matching.clone().accept(),
                matching.clone().drop(),
                matching.clone().masquerade(),
                matching.clone().untracked(),
                matching.clone().send_to(address, None),
                matching.ports(7..=7).send_to(address, Some(8080)),
            ] {
                assert_eq!(there_and_back(&rule), rule.expressions);
            }
        }
    }

    #[test]
    fn the_family_of_an_address_is_looked_at_once_and_first() {
        let net: IpNet = "fd00:1::/64".parse().expect("a net");
        let rule = Rule::new("").source(net).destination(net);
        assert_eq!(rule, Rule::new("").family(IpFamily::Ipv6).source(net).destination(net));
    }

    #[test]
    fn what_is_never_written_is_a_difference() {
        let mut writer = Writer::default();
        element(&mut writer, "counter", |_| ());
        // A mark instead of a translation's address.
        element(&mut writer, "immediate", |data| {
            data.number(1, 3).nest(2, |data| {
                data.bytes(VALUE, &[1, 2, 3, 4]);
            });
        });
        let others = ["counter", "immediate"].map(|name| Expression::Other(name.to_owned()));
        assert_eq!(read(Reader(&writer.0)), others);
    }
}
