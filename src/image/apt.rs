//! The archives that this host's own APT is set up with: what is made here comes from where the host's packages come from.

use std::process::{Command, Stdio};

use crate::model::Family;

/// Lines of sources.list(5) for `suite` of `family`; none if APT knows no archive of that family. Then the usual one of
/// the family is asked.
pub(super) fn sources(family: Family, suite: &str) -> Vec<String> {
    let format = "$(REPO_URI) $(RELEASE) $(COMPONENT)";
    let listed = Command::new("apt-get")
        .args(["indextargets", "--format", format, "Created-By: Packages"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    listed.map_or_else(|_| Vec::new(), |output| chosen(&String::from_utf8_lossy(&output.stdout), family, suite))
}

/// Of the archives in `listed`, those of `family`, whatever release the host has of them, with `suite` in its place. A suite
/// that is no release has neither updates nor security ones.
fn chosen(listed: &str, family: Family, suite: &str) -> Vec<String> {
    let mut sources = Vec::new();
    for line in listed.lines() {
        let [uri, release, component] = *line.split(' ').collect::<Vec<_>>() else { continue };
        let (own, pocket) = match release.split_once('-') {
            Some((own, pocket)) => (own, pocket),
            None => (release, ""),
        };
        let is_whole = pocket.is_empty() || (matches!(pocket, "updates" | "security") && family.has_suite(suite));
        if !(family.has_suite(own) || own == suite) || !is_whole || !is_free(component) {
            continue;
        }
        let release = if pocket.is_empty() { suite.to_owned() } else { format!("{suite}-{pocket}") };
        let source = format!("deb {uri} {release} {component}");
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    // Without the release itself the rest is of no use.
    let is_base = |source: &String| source.contains(&format!(" {suite} "));
    if sources.iter().any(is_base) { sources } else { Vec::new() }
}

fn is_free(component: &str) -> bool {
    matches!(component, "main" | "universe")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTED: &str = "http://a/debian/ bookworm main\nhttp://a/debian/ bookworm contrib\n\
        http://a/debian/ bookworm-updates main\nhttp://a/debian/ bookworm-backports main\n\
        http://a/security/ bookworm-security main\nhttp://other/ stable main\nhttp://b/ubuntu/ noble-updates universe\n";

    #[test]
    fn another_release_is_looked_for_where_the_hosts_own_is() {
        let debian = |suite: &str| chosen(LISTED, Family::Debian, suite).join("\n");
        insta::assert_snapshot!(debian("trixie"), @r"
        deb http://a/debian/ trixie main
        deb http://a/debian/ trixie-updates main
        deb http://a/security/ trixie-security main
        ");
        assert_eq!(debian("sid"), "deb http://a/debian/ sid main");
        assert_eq!(chosen(LISTED, Family::Ubuntu, "noble"), Vec::<String>::new(), "it has no release");
    }
}
