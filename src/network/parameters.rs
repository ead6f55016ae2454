//! Parameters of the kernel (`Documentation/networking/ip-sysctl.rst`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Parameters with their values, by the path below `/proc/sys`.
pub type Parameters = Vec<(String, String)>;

const FORWARDING: &str = "net/ipv4/ip_forward";
const LINKS: &str = "net/ipv4/conf";

fn path(parameter: &str) -> PathBuf {
    Path::new("/proc/sys").join(parameter)
}

fn read(parameter: &str) -> io::Result<String> {
    Ok(fs::read_to_string(path(parameter))?.trim().to_owned())
}

/// Writes `value` if it is not there already.
fn write(parameter: &str, value: &str) -> io::Result<()> {
    if read(parameter)? == value { Ok(()) } else { fs::write(path(parameter), value) }
}

/// Whether the host passes IPv4 packets on from one link to another.
#[must_use]
pub fn forwards() -> bool {
    read(FORWARDING).is_ok_and(|value| value == "1")
}

/// What [`set_forwarding`] may change besides: that parameter sets others along with itself (`inet_forward_change` of
/// the kernel).
pub fn beside_forwarding() -> io::Result<Parameters> {
    let redirects = format!("{LINKS}/all/accept_redirects");
    let mut found = vec![(redirects.clone(), read(&redirects)?)];
    for entry in fs::read_dir(path(LINKS))? {
        let parameter = format!("{LINKS}/{}/forwarding", entry?.file_name().to_string_lossy());
        // Of those of single links, only what is on will be another: off is what all are when it is off.
        if let Ok(value) = read(&parameter)
            && value != "0"
        {
            found.push((parameter, value));
        }
    }
    Ok(found)
}

/// Has the host pass packets on, or no longer; then puts `beside` back.
pub fn set_forwarding(is_on: bool, beside: &Parameters) -> io::Result<()> {
    write(FORWARDING, if is_on { "1" } else { "0" })?;
    for (parameter, value) in beside {
        match write(parameter, value) {
            // The link is gone.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
}

fn ipv6_of(link: &str) -> String {
    format!("net/ipv6/conf/{link}/disable_ipv6")
}

/// Whether the host speaks IPv6 on the link `link`. A kernel without IPv6 has no such parameter.
pub(super) fn speaks_ipv6(link: &str) -> bool {
    read(&ipv6_of(link)).is_ok_and(|value| value == "0")
}

/// Has the host no longer speak it there.
pub(super) fn forgo_ipv6(link: &str) -> io::Result<()> {
    if speaks_ipv6(link) { write(&ipv6_of(link), "1") } else { Ok(()) }
}

fn loopback_of(link: &str) -> String {
    format!("{LINKS}/{link}/route_localnet")
}

/// Whether the link `link` takes packets from and to the host's loopback addresses.
pub(super) fn takes_loopback(link: &str) -> bool {
    read(&loopback_of(link)).is_ok_and(|value| value != "0")
}

/// Has the link `link` take them, or no longer.
pub(super) fn set_loopback(link: &str, is_taken: bool) -> io::Result<()> {
    write(&loopback_of(link), if is_taken { "1" } else { "0" })
}
