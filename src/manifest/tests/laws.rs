//! What holds for every text.

use std::collections::HashSet;

use proptest::prelude::*;

use super::read;

const VALID: &str = "
fleet: dev-cluster
network: {subnet: 10.42.0.0/24, dns: [10.0.0.1]}
defaults: &defaults
  distro: busybox
  memory: 256MiB
  users: [{name: dev, uid: 1000, sudo: true}]
profiles:
  big: {memory: 2GiB, cpus: 2}
containers:
  agent: {replicas: 10, ip: 10.42.0.11, cpus: 0.5}
  db: {<<: *defaults, profiles: [big], init: systemd, hostname: \"${NAME:-db}\"}
  own: {image: {source: 'file:a.tar', sha256: 00}}
";

/// Pieces that mean something somewhere.
const PIECES: [&str; 20] = [
    ":",
    "- ",
    "[",
    "]",
    "{",
    "}",
    "\n",
    "  ",
    "*defaults",
    "&x ",
    "<<: ",
    "${",
    "}",
    "$$",
    "\"",
    "'",
    "|",
    "!!int ",
    "\t",
    "é\u{feff}\0",
];

/// Reads `text`; whatever comes of it must be whole.
fn check(text: &str) -> Result<(), TestCaseError> {
    let Err(rejected) = read(text) else { return Ok(()) };
    prop_assert!(!rejected.findings.is_empty());
    prop_assert!(rejected.findings.is_sorted_by_key(|finding| (finding.line, finding.column)));
    for finding in &rejected.findings {
        let (start, length) = finding.span;
        prop_assert!(text.get(start..start + length).is_some(), "{finding:?}");
        prop_assert!(finding.line >= 1 && finding.column >= 1);
        prop_assert!(!finding.message.is_empty() && !finding.message.ends_with('.'), "{finding:?}");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_text_is_a_fleet_or_has_findings(text in "(?s).{0,200}") {
        check(&text)?;
    }

    #[test]
    fn any_mixture_of_yaml_is_a_fleet_or_has_findings(
        parts in prop::collection::vec(prop::sample::select(
            PIECES.iter().copied().chain(VALID.split_inclusive([' ', '\n'])).collect::<Vec<_>>()
        ), 0..60)
    ) {
        check(&parts.concat())?;
    }

    #[test]
    fn any_change_of_a_fleet_file_is_a_fleet_or_has_findings(
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..8_usize, prop::sample::select(PIECES.to_vec())), 1..4)
    ) {
        let mut text = VALID.to_owned();
        for (at, length, piece) in cuts {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.floor_char_boundary((start + length).min(text.len())).max(start);
            text.replace_range(start..end, piece);
        }
        check(&text)?;
    }

    #[test]
    fn addresses_are_distinct_and_the_order_of_the_file_does_not_matter(
        names in prop::collection::hash_set("[a-z]{1,4}", 1..60),
        prefix in 25..=26_u8,
    ) {
        let names: Vec<String> = names.into_iter().collect();
        let file = |names: &mut dyn Iterator<Item = &String>| {
            let containers = names.map(|name| format!("  \"{name}\": {{distro: busybox}}\n")).collect::<Vec<_>>().concat();
            read(&format!("fleet: dev\nnetwork: {{subnet: 10.0.0.0/{prefix}}}\ncontainers:\n{containers}"))
                .expect("the subnet is large enough")
        };
        let mut hosts = file(&mut names.iter()).members;
        let mut reversed = file(&mut names.iter().rev()).members;
        let distinct: HashSet<_> = hosts.iter().map(|member| member.addresses[0].1).collect();
        prop_assert_eq!(distinct.len(), names.len());
        hosts.sort();
        reversed.sort();
        prop_assert_eq!(hosts, reversed);
    }
}
