//! Parameters of the kernel (`Documentation/networking/ip-sysctl.rst`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::model::{IpFamily, Ipv6Use};

/// Parameters with their values, by the path below `/proc/sys`.
pub type Parameters = Vec<(String, String)>;

/// Where the parameters of single links are, by family.
fn links(family: IpFamily) -> &'static str {
    match family {
        IpFamily::Ipv4 => "net/ipv4/conf",
        IpFamily::Ipv6 => "net/ipv6/conf",
    }
}

/// The parameter that has the host pass packets of `family` on.
fn forwarding(family: IpFamily) -> String {
    family.forwarding().replace('.', "/")
}

pub(super) fn path(parameter: &str) -> PathBuf {
    Path::new("/proc/sys").join(parameter)
}

pub(super) fn read(parameter: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(parameter))?.trim().to_owned())
}

/// The same; `None` where there is no such parameter: of a link that is gone, or of IPv6 in a kernel without.
fn read_if_there(parameter: &str) -> io::Result<Option<String>> {
    match read(parameter) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}

/// Writes `value` if it is not there already.
pub(super) fn write(parameter: &str, value: &str) -> io::Result<()> {
    if read(parameter)? == value { Ok(()) } else { fs::write(path(parameter), value) }
}

/// Whether the host passes packets of `family` on from one link to another.
pub fn forwards(family: IpFamily) -> io::Result<bool> {
    Ok(read_if_there(&forwarding(family))?.is_some_and(|value| value == "1"))
}

/// What [`set_forwarding`] may change besides: that parameter sets others along with itself (`inet_forward_change` and
/// `addrconf_fixup_forwarding` of the kernel).
pub fn beside_forwarding(family: IpFamily) -> io::Result<Parameters> {
    let mut found = Parameters::new();
    if family == IpFamily::Ipv4 {
        let redirects = format!("{}/all/accept_redirects", links(family));
        found.push((redirects.clone(), read(&redirects)?));
    }
    for entry in fs::read_dir(path(links(family)))? {
        let parameter = format!("{}/{}/forwarding", links(family), entry?.file_name().to_string_lossy());
        // Of those of single links, only what is on will be another: off is what all are when it is off.
        if let Some(value) = read_if_there(&parameter)?
            && value != "0"
        {
            found.push((parameter, value));
        }
    }
    Ok(found)
}

/// Has the host pass packets of `family` on, or no longer; then puts `beside` back.
pub fn set_forwarding(family: IpFamily, is_on: bool, beside: &Parameters) -> io::Result<()> {
    write(&forwarding(family), if is_on { "1" } else { "0" })?;
    put_back(beside)
}

fn put_back<'a>(before: impl IntoIterator<Item = &'a (String, String)>) -> io::Result<()> {
    for (parameter, value) in before {
        match write(parameter, value) {
            // The link is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn of_ipv6(link: &str, name: &str) -> String {
    format!("{}/{link}/{name}", links(IpFamily::Ipv6))
}

/// Whether the kernel takes addresses and routes from routers (1), and does even when it is one itself (2).
const FOLLOWING: &str = "accept_ra";

/// Whether the kernel takes addresses and routes from routers that advertise themselves on the link `link`, and would
/// not once the host passes packets on: with 2 it would.
pub(super) fn follows_routers(link: &str) -> io::Result<bool> {
    Ok(read_if_there(&of_ipv6(link, FOLLOWING))?.is_some_and(|value| value == "1"))
}

/// What [`go_on_following_routers`] changes, as it is now.
pub fn followed_routers(links: &[String]) -> io::Result<Parameters> {
    links
        .iter()
        .map(|link| of_ipv6(link, FOLLOWING))
        .map(|parameter| Ok((parameter.clone(), read(&parameter)?)))
        .collect()
}

/// Has the kernel go on taking them on `links` when the host passes packets on.
pub fn go_on_following_routers(links: &[String]) -> io::Result<()> {
    links.iter().try_for_each(|link| write(&of_ipv6(link, FOLLOWING), "2"))
}

/// Puts back what of `before` is about them.
pub fn stop_following_routers(before: &Parameters) -> io::Result<()> {
    let is_about_them = |parameter: &str| parameter.ends_with(FOLLOWING);
    put_back(before.iter().filter(|(parameter, _)| is_about_them(parameter)))
}

/// What lets others on a link change the host's addresses and routes.
const LISTENING: [&str; 3] = [FOLLOWING, "autoconf", "accept_redirects"];

/// What the host does with IPv6 on the link `link`. A kernel without IPv6 has no such parameters.
pub(super) fn ipv6_use(link: &str) -> io::Result<Ipv6Use> {
    let is_off = |name: &str| io::Result::Ok(read_if_there(&of_ipv6(link, name))?.is_some_and(|value| value == "0"));
    if !is_off("disable_ipv6")? {
        return Ok(Ipv6Use::Off);
    }
    for name in LISTENING {
        if !is_off(name)? {
            return Ok(Ipv6Use::Listening);
        }
    }
    Ok(Ipv6Use::Static)
}

/// Has the host speak IPv6 on the link `link` and take nothing from others there, or speak none.
///
/// Nobody but fleet gives out addresses there, so that none has to be tried for duplicates (`accept_dad`) before it can
/// be used.
pub(super) fn set_ipv6(link: &str, is_spoken: bool) -> io::Result<()> {
    if !is_spoken {
        let off = of_ipv6(link, "disable_ipv6");
        return if read_if_there(&off)?.is_some() { write(&off, "1") } else { Ok(()) };
    }
    for name in LISTENING.into_iter().chain(["accept_dad", "disable_ipv6"]) {
        write(&of_ipv6(link, name), "0")?;
    }
    Ok(())
}

fn loopback_of(link: &str) -> String {
    format!("{}/{link}/route_localnet", links(IpFamily::Ipv4))
}

/// Whether the link `link` takes packets from and to the host's loopback addresses.
pub(super) fn takes_loopback(link: &str) -> io::Result<bool> {
    Ok(read_if_there(&loopback_of(link))?.is_some_and(|value| value != "0"))
}

/// Has the link `link` take them, or no longer.
pub(super) fn set_loopback(link: &str, is_taken: bool) -> io::Result<()> {
    write(&loopback_of(link), if is_taken { "1" } else { "0" })
}

/// Does `work` while other addresses of a subnet on the link `link` outlive its first one.
pub(super) fn with_promotion(link: &str, work: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let parameter = format!("{}/{link}/promote_secondaries", links(IpFamily::Ipv4));
    let before = read(&parameter)?;
    write(&parameter, "1")?;
    let done = work();
    write(&parameter, &before)?;
    done
}
