//! The keys of a fleet file: those there are, those still to come, and what a misspelt one was meant to be.

use super::findings::Complaint;
use crate::model::Resource;

/// The keys of one kind of mapping.
#[derive(Debug)]
pub(super) struct Keys {
    /// Those that mean something.
    known: &'static [&'static str],
    /// Those that are part of the file's format, but not of this version.
    planned: &'static [&'static str],
}

/// Keys of the file itself.
pub(super) const FLEET: Keys = Keys {
    known: &[
        "fleet",
        "engine",
        "prefix",
        "network",
        "networks",
        "remotes",
        "templates",
        "defaults",
        "profiles",
        "containers",
    ],
    planned: &["include"],
};

/// Keys of `network`, and of each of `networks`.
#[rustfmt::skip]
pub(super) const NETWORK: Keys = Keys {
    known: &[
        "subnet", "subnet6", "bridge", "dns", "nat", "isolated", "egress", "mtu", "members_per_bridge", "type", "parent", "mode", "gateway",
        "gateway6",
    ],
    planned: &[],
};

/// Keys of a container, of a profile and of `defaults`.
#[rustfmt::skip]
pub(super) const CONTAINER: Keys = Keys {
    known: &[
        "replicas", "profiles", "distro", "image", "arch", "init", "memory", "memory_high", "swap", "cpus", "cpu_weight",
        "cpuset", "pids", "io_weight", "io", "ip", "ip6", "mac", "hostname", "users", "ssh_keys", "mounts", "devices",
        "privileged", "nesting", "capabilities", "seccomp", "sysctls", "rlimits", "restart", "stop_timeout",
        "ports", "networks",
    ],
    planned: &[
        "dns", "files", "packages", "run", "env", "gui", "autostart", "depends_on",
        "ready", "protect", "identity", "labels", "lxc", "incus",
    ],
};

/// Keys of one of `networks` of a container as a mapping, and of one whose network is its key.
pub(super) const LINK: Keys = Keys { known: &["network", "ip", "ip6", "mac", "name"], planned: &[] };
pub(super) const KEYED_LINK: Keys = Keys { known: &["ip", "ip6", "mac", "name"], planned: &[] };

/// Keys of `io`.
pub(super) const IO: Keys = Keys { known: &["read", "write", "read_iops", "write_iops"], planned: &[] };

/// Keys of `capabilities`.
pub(super) const CAPABILITIES: Keys = Keys { known: &["add", "drop"], planned: &[] };

/// Keys of `rlimits`.
pub(super) const RLIMITS: Keys = Keys { known: &Resource::NAMES, planned: &[] };

/// Keys of one of `rlimits` as a mapping.
pub(super) const RLIMIT: Keys = Keys { known: &["soft", "hard"], planned: &[] };

/// Keys of one of `mounts` as a mapping.
pub(super) const MOUNT: Keys =
    Keys { known: &["type", "source", "target", "read_only", "ids", "recursive", "size", "mode"], planned: &[] };

/// Keys of one of `devices` as a mapping.
pub(super) const DEVICE: Keys = Keys { known: &["source", "target", "mode"], planned: &[] };

/// Keys of one of `users`.
pub(super) const USER: Keys = Keys { known: &["name", "uid", "shell", "sudo", "ssh_keys"], planned: &[] };

/// Keys of `image` as a mapping.
pub(super) const IMAGE: Keys =
    Keys { known: &["source", "https", "sha256", "bootstrap", "packages", "init", "serial"], planned: &[] };

/// Keys of one of `remotes` as a mapping.
pub(super) const REMOTE: Keys = Keys { known: &["url", "key"], planned: &[] };

/// Keys of `templates`: the built-in templates that a fleet file may replace.
pub(super) const TEMPLATES: Keys = Keys {
    known: &["hosts", "hostname", "resolv.conf", "networkd.network", "interfaces", "sudoers", "doas.conf"],
    planned: &[],
};

impl Keys {
    /// Those that mean something.
    pub(super) fn known(&self) -> &'static [&'static str] {
        self.known
    }

    /// Says what is wrong with `key`, if anything is.
    pub(super) fn check(&self, key: &str) -> Result<(), Complaint> {
        if self.known.contains(&key) {
            return Ok(());
        }
        if self.planned.contains(&key) {
            return Err(Complaint::new(format!("`{key}` is not supported by this version of fleet")));
        }
        let hint = did_you_mean(key, self.known.iter().copied())
            .unwrap_or_else(|| format!("the keys here are {}", listed(self.known.iter().copied())));
        Err(Complaint::new(format!("unknown key `{key}`")).hint(hint))
    }
}

/// The question after the one of `words` that is closest to `word`, unless all are far off.
pub(super) fn did_you_mean<'w>(word: &str, words: impl Iterator<Item = &'w str>) -> Option<String> {
    let furthest = (word.chars().count() / 3).max(1);
    let (_, nearest) = words
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min()?;
    Some(format!("did you mean `{nearest}`?"))
}

/// Words as a list in a sentence: `a`, `b` and `c`.
pub(super) fn listed<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<String> = words.map(|word| format!("`{word}`")).collect();
    match words.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_gets_a_suggestion_and_a_strange_one_the_list() {
        let complaint = NETWORK.check("subent").expect_err("it is no key");
        assert_eq!(complaint, Complaint::new("unknown key `subent`").hint("did you mean `subnet`?"));
        let complaint = NETWORK.check("colour").expect_err("it is no key");
        let hint = "the keys here are `subnet`, `subnet6`, `bridge`, `dns`, `nat`, `isolated`, `egress`, `mtu`, `members_per_bridge`, `type`, `parent`, \
                    `mode`, `gateway` and `gateway6`";
        assert_eq!(complaint, Complaint::new("unknown key `colour`").hint(hint));
    }

    #[test]
    fn a_key_of_a_later_version_is_not_an_unknown_one() {
        let complaint = CONTAINER.check("packages").expect_err("it is not there yet");
        assert_eq!(complaint, Complaint::new("`packages` is not supported by this version of fleet"));
    }
}
