//! `ports` of a container: which of its ports are published on the host.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::container::Group;
use super::findings::Complaint;
use super::keys::did_you_mean;
use super::node::{Entry, Placed, Span};
use super::reader::{Reader, item_place};
use crate::model::{PortForward, Protocol};

/// The longest range whose numbers change on the way: each of its ports is a rule of its own.
const LONGEST_SHIFTED: u16 = 256;

const SHAPE: &str = "write `HOST:CONTAINER`, `ADDRESS:HOST:CONTAINER`, `8000-8010:8000-8010` or `53:53/udp`";

/// Reads the list.
pub(super) fn ports(reader: &mut Reader, entry: &Entry) -> Option<Vec<Placed<PortForward>>> {
    let mut ports: Vec<Placed<PortForward>> = Vec::new();
    for node in reader.list(entry)? {
        let span = item_place(entry.key.span, node);
        let Some(text) = reader.item("a port", entry.key.span, node) else { continue };
        let Some(value) = reader.accept(span, port(text)) else { continue };
        if let Some(number) = ports.iter().find_map(|other| value.clash(&other.value)) {
            reader.complain(span, format!("port {number}/{} of the host is there twice", value.protocol));
        }
        ports.push(Placed { value, span });
    }
    Some(ports)
}

fn port(text: &str) -> Result<PortForward, Complaint> {
    let bad = |why: String| Complaint::new(format!("`{text}` is not a published port: {why}")).hint(SHAPE);
    let (numbers, protocol) = match text.rsplit_once('/') {
        None => (text, Protocol::Tcp),
        Some((numbers, "tcp")) => (numbers, Protocol::Tcp),
        Some((numbers, "udp")) => (numbers, Protocol::Udp),
        Some((_, other)) => {
            let complaint = bad(format!("the protocol `{other}` is neither `tcp` nor `udp`"));
            let question = did_you_mean(other, ["tcp", "udp"].into_iter());
            return Err(if let Some(question) = question { complaint.hint(question) } else { complaint });
        }
    };
    let mut parts = numbers.rsplitn(3, ':');
    let (guest, host, address) = (parts.next(), parts.next(), parts.next());
    let (Some(guest), Some(host)) = (guest, host) else {
        return Err(bad("it does not say which port of the host leads to which of the container".to_owned()));
    };
    let address = address.map(address_of_host).transpose().map_err(bad)?;
    if address == Some(Ipv6Addr::LOCALHOST.into()) {
        let rest = text.split_once("]:").map_or(text, |(_, rest)| rest);
        let hint = format!("write `127.0.0.1:{rest}`, or `{rest}` for all other addresses of the host");
        return Err(bad("the kernel lets no answer from another link get to ::1".to_owned()).hint(hint));
    }
    let (host, count) = range(host).map_err(bad)?;
    let (guest, guests) = range(guest).map_err(bad)?;
    if count != guests {
        return Err(bad(format!("{count} of the host lead to {guests} of the container")));
    }
    if host != guest && count > LONGEST_SHIFTED {
        let why = format!("a range of more than {LONGEST_SHIFTED} ports keeps its numbers");
        return Err(bad(why));
    }
    Ok(PortForward { address, host, guest, count, protocol })
}

/// `127.0.0.1` or `[2001:db8::1]`.
fn address_of_host(text: &str) -> Result<IpAddr, String> {
    if let Some(address) = text.strip_prefix('[') {
        let address = address.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
        let address = address.ok_or_else(|| format!("`{text}` is not an IPv6 address in brackets"))?;
        return Ok(address.into());
    }
    let why = if text.contains(':') { "is an IPv6 address without brackets" } else { "is not an IPv4 address" };
    text.parse::<Ipv4Addr>().map(IpAddr::from).map_err(|_| format!("`{text}` {why}"))
}

/// `8000` or `8000-8010`: the first, and how many.
fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { text.parse().ok() } else { None };
        number.filter(|number| *number > 0).ok_or_else(|| format!("`{text}` is not a whole number from 1 to 65535"))
    };
    let Some((first, last)) = text.split_once('-') else { return Ok((number(text)?, 1)) };
    let (first, last) = (number(first)?, number(last)?);
    if last < first {
        return Err(format!("the range `{text}` ends before it begins"));
    }
    Ok((first, last - first + 1))
}

/// Finds ports of the host that two containers publish. One finding for each group.
pub(super) fn check_ports(reader: &mut Reader, groups: &[Group]) {
    let mut seen: Vec<(&Group, &Placed<PortForward>)> = Vec::new();
    let mut complained: HashSet<Span> = HashSet::new();
    for group in groups {
        let ports = group.keys.ports.value().map(Vec::as_slice).unwrap_or_default();
        if let (Some(first), true) = (ports.first(), group.names.len() > 1) {
            let message = format!("`{}` has replicas, which cannot share a port of the host", group.key.value);
            let complaint = Complaint::new(message).hint("publish a port of a container that is one");
            if complained.insert(first.span) {
                reader.complain(first.span, complaint);
            }
            continue;
        }
        let clash = ports.iter().find_map(|port| {
            let (other, at) = seen.iter().find(|(_, at)| port.value.clash(&at.value).is_some())?;
            Some((port, *other, at.span, port.value.clash(&at.value)?))
        });
        if let Some((port, other, at, number)) = clash {
            let line = reader.line(at);
            let (here, there) = (&group.key.value, &other.key.value);
            let message = if at == port.span {
                format!("`{there}` and `{here}` would both publish port {number}/{} of the host", port.value.protocol)
            } else {
                format!(
                    "port {number}/{} of the host, which `{here}` publishes, is that of `{there}` in line {line}",
                    port.value.protocol
                )
            };
            reader.complain(port.span, Complaint::new(message).hint("choose another port of the host for one of them"));
        }
        seen.extend(ports.iter().map(|port| (group, port)));
    }
}
