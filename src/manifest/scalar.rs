//! Single values of a fleet file: text to what it means, or a complaint.

use std::fmt::Display;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::findings::Complaint;
use super::keys::{did_you_mean, listed};
use crate::model::{
    Bytes, CpuSet, Cpus, EngineKind, FleetName, Init, InitKind, IpFamily, MacAddress, Restart, SizeError, Weight,
    architecture,
};

/// Less than this and not even a small init lives: the kernel kills it while it starts.
const LEAST_MEMORY: Bytes = Bytes(4 << 20);

/// The most processes that Linux can have (`PID_MAX_LIMIT`, `proc_sys_kernel(5)`).
const MOST_PIDS: u32 = 4_194_304;

/// The longest that a stop may take, in seconds: one day.
const LONGEST_STOP_S: u32 = 86_400;

/// The longest host name that Linux takes (`__NEW_UTS_LEN`, sethostname(2)), though RFC 1123 allows 253.
const LONGEST_HOSTNAME: usize = 64;

/// A whole number of `range`.
pub(super) fn whole(text: &str, least: u32, most: u32) -> Result<u32, Complaint> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| Complaint::new(format!("`{text}` is not a whole number from {least} to {most}")))
}

fn parsed<T: FromStr<Err: Display>>(text: &str) -> Result<T, Complaint> {
    text.parse().map_err(|error: T::Err| Complaint::new(error.to_string()))
}

/// The question after the name that is closest to `text`, which is none itself.
pub(super) fn nearest_name(text: &str) -> Option<String> {
    let name: String = text.to_lowercase().replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    let name = name.trim_matches('-');
    (name != text && name.parse::<FleetName>().is_ok()).then(|| format!("did you mean `{name}`?"))
}

/// `engine`.
pub(super) fn engine(text: &str) -> Result<EngineKind, Complaint> {
    match text {
        "native" => Ok(EngineKind::Native),
        "lxc" | "incus" => {
            Err(Complaint::new(format!("the engine `{text}` is not available in this version of fleet"))
                .hint("leave `engine` out for the built-in one"))
        }
        _ => Err(Complaint::new(format!("unknown engine `{text}`")).hint("the engine here is `native`")),
    }
}

/// `replicas`.
pub(super) fn replicas(text: &str) -> Result<u32, Complaint> {
    whole(text, 1, 4000)
}

/// `pids`.
pub(super) fn pids(text: &str) -> Result<u32, Complaint> {
    whole(text, 1, MOST_PIDS)
}

/// `uid`: not root's, and neither nobody's (65534) nor the one that means none (65535).
pub(super) fn uid(text: &str) -> Result<u32, Complaint> {
    whole(text, 1, 65_533)
}

/// `memory`.
pub(super) fn memory(text: &str) -> Result<Bytes, Complaint> {
    let memory = bytes(text)?;
    if memory < LEAST_MEMORY {
        let complaint =
            Complaint::new(format!("`{text}` is too little memory: a container needs {LEAST_MEMORY} at least"));
        let meant = format!("{}MiB", text.trim());
        return Err(match meant.parse::<Bytes>() {
            // As docker and systemd write it.
            Ok(Bytes(0)) => complaint.hint("write `unlimited` for no limit"),
            Ok(meant_bytes) if meant_bytes >= LEAST_MEMORY => complaint.hint(format!("did you mean `{meant}`?")),
            Ok(_) | Err(_) => complaint,
        });
    }
    Ok(memory)
}

/// An amount of memory. Docker's units are those in small letters.
fn bytes(text: &str) -> Result<Bytes, Complaint> {
    const UNITS: [&str; 10] = ["K", "KiB", "M", "MiB", "MB", "G", "GiB", "GB", "T", "TiB"];
    text.parse::<Bytes>().map_err(|error| {
        let complaint = Complaint::new(error.to_string());
        let SizeError::BadUnit(unit) = error else { return complaint };
        let number = text.trim().strip_suffix(unit.as_str()).unwrap_or_default();
        let known = UNITS.into_iter().find(|known| known.eq_ignore_ascii_case(&unit));
        match known.map(|known| format!("{number}{known}")).filter(|meant| meant.parse::<Bytes>().is_ok()) {
            Some(meant) => complaint.hint(format!("did you mean `{meant}`?")),
            None => complaint,
        }
    })
}

/// `swap`: none is an amount.
pub(super) fn swap(text: &str) -> Result<Bytes, Complaint> {
    bytes(text)
}

/// `size` of a tmpfs, and `read` and `write` of `io`. To the kernel zero would mean "no limit".
pub(super) fn some_bytes(text: &str) -> Result<Bytes, Complaint> {
    match bytes(text)? {
        Bytes(0) => Err(Complaint::new(format!("`{text}` is no amount")).hint("leave the key out for no limit")),
        bytes => Ok(bytes),
    }
}

/// `read_iops` and `write_iops`.
pub(super) fn operations(text: &str) -> Result<u32, Complaint> {
    whole(text, 1, u32::MAX)
}

/// `cpu_weight` and `io_weight`.
pub(super) fn weight(text: &str) -> Result<Weight, Complaint> {
    let weight = text.parse().ok().and_then(Weight::new);
    weight.ok_or_else(|| {
        Complaint::new(format!("`{text}` is not a whole number from 1 to 10000"))
            .hint(format!("everything has {} that nothing is said of", Weight::DEFAULT))
    })
}

/// `cpuset`, or a part of it.
pub(super) fn cpuset(text: &str) -> Result<CpuSet, Complaint> {
    parsed(text)
}

/// `cpus`.
pub(super) fn cpus(text: &str) -> Result<Cpus, Complaint> {
    text.parse().map_err(|_| {
        Complaint::new(format!("`{text}` is not a number of processors from 0.01 to 4096")).hint("write `0.5` or `2`")
    })
}

/// `stop_timeout`, in seconds.
pub(super) fn stop_timeout(text: &str) -> Result<u32, Complaint> {
    let (number, factor) = match text.as_bytes() {
        [.., b's'] => (&text[..text.len() - 1], 1),
        [.., b'm'] => (&text[..text.len() - 1], 60),
        _ => (text, 1),
    };
    let number = whole(number, 0, LONGEST_STOP_S).ok();
    number.and_then(|number| number.checked_mul(factor)).filter(|seconds| *seconds <= LONGEST_STOP_S).ok_or_else(|| {
        Complaint::new(format!("`{text}` is not a time of at most a day"))
            .hint("write seconds as `30`, or `30s` or `2m`")
    })
}

/// `arch`, by any of the names of an architecture.
pub(super) fn arch(text: &str) -> Result<&'static str, Complaint> {
    architecture(text).ok_or_else(|| {
        Complaint::new(format!("`{text}` is no architecture"))
            .hint("write `amd64`, `arm64`, `i386` or another one of Debian's names")
    })
}

/// `init`.
pub(super) fn init(text: &str) -> Result<Init, Complaint> {
    if text == "auto" {
        return Ok(Init::Auto);
    }
    if text == "entrypoint" {
        return Ok(Init::Entrypoint);
    }
    if text.starts_with('/') && !text.contains(char::is_control) {
        return Ok(Init::Path(PathBuf::from(text)));
    }
    let kind = InitKind::ALL.into_iter().find(|(word, _)| *word == text);
    kind.map(|(_, kind)| Init::Kind(kind)).ok_or_else(|| {
        let words = || ["auto", "entrypoint"].into_iter().chain(InitKind::ALL.into_iter().map(|(word, _)| word));
        let hint = did_you_mean(text, words())
            .unwrap_or_else(|| format!("write an absolute path or one of {}", listed(words())));
        Complaint::new(format!("unknown init `{text}`")).hint(hint)
    })
}

/// `ip`, `ip6`, `gateway` and `gateway6`.
pub(super) fn ip(family: IpFamily, text: &str) -> Result<IpAddr, Complaint> {
    let hint = match (text.split_once('/'), family) {
        (Some((address, _)), _) => format!("did you mean `{address}`? the prefix length is the subnet's"),
        (None, IpFamily::Ipv4) => "write four numbers, such as `10.42.0.11`".to_owned(),
        (None, IpFamily::Ipv6) => "write it as `fd00:42::11`".to_owned(),
    };
    let address = text.parse().ok().filter(|address| IpFamily::of(*address) == family);
    address.ok_or_else(|| Complaint::new(format!("`{text}` is not an {family} address")).hint(hint))
}

/// One of `dns`.
pub(super) fn name_server(text: &str) -> Result<IpAddr, Complaint> {
    text.parse().map_err(|_| Complaint::new(format!("`{text}` is not an IP address")))
}

/// `mac`: an address that one station can have.
pub(super) fn mac(text: &str) -> Result<MacAddress, Complaint> {
    // The way back keeps out what the numbers themselves would let pass, such as `2:+a:…`.
    let mac = text.parse::<MacAddress>().ok().filter(|mac| mac.to_string().eq_ignore_ascii_case(text));
    let mac = mac.ok_or_else(|| {
        Complaint::new(format!("`{text}` is not a MAC address")).hint("write six pairs, such as `02:00:5e:10:00:01`")
    })?;
    let names_a_group = mac.0[0] & 1 == 1;
    if names_a_group || mac.0 == [0; 6] {
        let hint = "one for free use begins with `02`";
        return Err(Complaint::new(format!("`{text}` cannot be the address of one link")).hint(hint));
    }
    Ok(mac)
}

/// `hostname`: labels of RFC 1123 with dots between them.
pub(super) fn hostname(text: &str) -> Result<String, Complaint> {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() > LONGEST_HOSTNAME {
        return Err(Complaint::new(format!("a host name has at most {LONGEST_HOSTNAME} characters")));
    }
    if !text.split('.').all(is_label) {
        return Err(Complaint::new(format!("`{text}` is not a host name"))
            .hint("a host name is made of letters, digits, `-` and single dots"));
    }
    Ok(text.to_owned())
}

/// `bridge`: what the kernel takes as the name of a link (`dev_valid_name`) and takes as it is: a `%` it
/// would fill in.
pub(super) fn bridge(text: &str) -> Result<String, Complaint> {
    let bad = text.is_empty()
        || text.len() > 15
        || matches!(text, "." | "..")
        || text.chars().any(|c| matches!(c, '/' | ':' | '%') || c.is_whitespace() || c.is_control());
    if bad {
        let hint = "1 to 15 bytes, without `/`, `:`, `%` and blanks";
        return Err(Complaint::new(format!("`{text}` is not the name of a network link")).hint(hint));
    }
    Ok(text.to_owned())
}

/// The name of a user (useradd(8)).
pub(super) fn user_name(text: &str) -> Result<String, Complaint> {
    if text == "root" {
        return Err(Complaint::new("`root` is there already").hint("root's keys are the container's own `ssh_keys`"));
    }
    let good = text.len() <= 32
        && text.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && text.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-'));
    if !good {
        let hint = "at most 32 of `a-z`, `0-9`, `_` and `-`, the first neither a digit nor `-`";
        return Err(Complaint::new(format!("`{text}` is not a user name")).hint(hint));
    }
    Ok(text.to_owned())
}

/// `shell`. A colon or a line end would break passwd(5).
pub(super) fn shell(text: &str) -> Result<String, Complaint> {
    if !text.starts_with('/') || text.contains(|c: char| c == ':' || c.is_control()) {
        return Err(Complaint::new(format!("`{text}` is not an absolute path")).hint("write `/bin/sh`"));
    }
    Ok(text.to_owned())
}

/// `restart`. What YAML 1.1 calls a truth value is taken for the word: a `no` may have been made `false` on its way.
pub(super) fn restart(text: &str) -> Result<Restart, Complaint> {
    if text == "false" {
        return Ok(Restart::No);
    }
    one_of("restart policy", text, &Restart::ALL).map_err(|complaint| match text {
        // The first of docker's, and YAML's own words, of which one is near a word that means the opposite.
        "unless-stopped" => complaint.hint("did you mean `always`?"),
        "off" => complaint.hint("did you mean `no`?"),
        "on" | "yes" | "true" => complaint.hint("did you mean `always`, or `on-failure`?"),
        _ => complaint,
    })
}

/// The value of `all` that `text` names, `kind` being what they are.
pub(super) fn one_of<T: Copy>(kind: &str, text: &str, all: &[(&'static str, T)]) -> Result<T, Complaint> {
    let found = all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| {
        let words = || all.iter().map(|(word, _)| *word);
        let hint = did_you_mean(text, words()).unwrap_or_else(|| format!("write one of {}", listed(words())));
        Complaint::new(format!("unknown {kind} `{text}`")).hint(hint)
    })
}

/// `mode`, in octal, with no more bits than `most` has.
pub(super) fn mode(text: &str, most: u32) -> Result<u32, Complaint> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let octal = !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7'));
    let mode = if octal { u32::from_str_radix(digits, 8).ok() } else { None };
    mode.filter(|mode| *mode <= most).ok_or_else(|| {
        Complaint::new(format!("`{text}` is not a mode of at most {most:#o} in octal")).hint("write it as `0640`")
    })
}

/// A path in the guest: absolute, without `.`, `..` and doubled or trailing slashes.
pub(super) fn guest_path(text: &str) -> Result<PathBuf, Complaint> {
    if !text.starts_with('/') || text.contains(char::is_control) {
        return Err(Complaint::new(format!("`{}` is not an absolute path", text.escape_debug()))
            .hint("in the guest, paths begin with `/`"));
    }
    if text.split('/').any(|part| part == "..") {
        return Err(Complaint::new(format!("`{text}` leads upwards")).hint("write the path without `..`"));
    }
    Ok(Path::new(text).components().collect())
}

/// `sudo`, `privileged`, `nesting`, `read_only` and `recursive`.
pub(super) fn truth(text: &str) -> Result<bool, Complaint> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(Complaint::new(format!("`{text}` is neither `true` nor `false`"))),
    }
}
