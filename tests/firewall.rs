//! The packet filter, written and read back in a network namespace of the test's own; nft(8) is the second witness.

use std::net::IpAddr;
use std::process::Command;

use fleet::model::{BRIDGE_GROUP, Chain, Chains, Hook, IpFamily, NetworkName, Protocol, Refusal, Rule, TableState};
use fleet::network::{read_firewall, write_chains};
use ipnet::IpNet;
use nix::sched::{CloneFlags, unshare};

/// Runs `work` on a thread whose network is empty; it goes with the thread.
fn in_an_empty_network(work: impl FnOnce() + Send + 'static) {
    let thread = std::thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("run these tests as root");
        work();
    });
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

fn nft(args: &[&str]) -> String {
    let output = Command::new("nft").args(args).output().expect("nft is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

fn chains(fleet: &str) -> Chains {
    let net: IpNet = "10.9.0.0/24".parse().expect("a net");
    let net6: IpNet = "fd00:9::/64".parse().expect("a net");
    let web = "10.9.0.5".parse().expect("an address");
    let six: IpAddr = "fd00:9::5".parse().expect("an address");
    let of = |hook: Hook, rules| (hook.chain_of(fleet, &NetworkName::default()), Chain { hook: Some(hook), rules });
    let port = || Rule::new("port 80").family(IpFamily::Ipv4).to_host().protocol(Protocol::Tcp);
    Chains::from([
        of(Hook::Arriving, vec![Rule::new("own").from_link("fb0").not_source(net).drop()]),
        of(
            Hook::Prerouting,
            vec![
                port().ports(80..=80).send_to(web, Some(8080)),
                Rule::new("port 80 of six")
                    .destination(six)
                    .to_host()
                    .protocol(Protocol::Udp)
                    .ports(53..=53)
                    .send_to(six, Some(5353)),
                Rule::new("").source(net6).not_source(net6).protocol(Protocol::Tcp).ports(1..=2).send_to(six, None),
            ],
        ),
        of(Hook::Output, vec![port().ports(80..=90).send_to(web, None)]),
        of(
            Hook::Forward,
            vec![
                Rule::new("replies").to_link("fb0").replies().accept(),
                Rule::new("errors").related().accept(),
                Rule::new("strays").unfitting().drop(),
                Rule::new("published").sent_elsewhere().accept(),
                Rule::new("fleets").from_fleets().to_fleets().drop(),
                Rule::new("one").destination("192.0.2.0/24".parse::<IpNet>().expect("a net")).accept(),
                Rule::new("six").destination("2001:db8::/32".parse::<IpNet>().expect("a net")).accept(),
                Rule::new("longer than a comment is kept ".repeat(9)).protocol(Protocol::Udp).drop(),
                Rule::new("six").family(IpFamily::Ipv6).drop(),
            ],
        ),
        of(
            Hook::Postrouting,
            vec![
                Rule::new("nat").source(net).not_to_link("fb0").masquerade(),
                Rule::new("nat").source(net6).masquerade(),
            ],
        ),
    ])
}

#[test]
fn what_was_written_is_read_back_and_is_what_nft_shows() {
    in_an_empty_network(|| {
        assert_eq!(read_firewall("").expect("read").table, TableState::Absent);
        write_chains("", "dev", &NetworkName::default(), &chains("dev")).expect("written");
        let found = read_firewall("").expect("read");
        assert_eq!((found.table, found.chains), (TableState::Ours, chains("dev")));
        let shown = nft(&["list", "table", "inet", "fleet"]);
        for line in [
            "comment \"made by fleet\"".to_owned(),
            "type filter hook prerouting priority raw; policy accept;".to_owned(),
            "type nat hook output priority -100; policy accept;".to_owned(),
            "iifname \"fb0\" ip saddr != 10.9.0.0/24 drop comment \"own\"".to_owned(),
            "fib daddr type local tcp dport 80 dnat ip to 10.9.0.5:8080 comment \"port 80\"".to_owned(),
            "tcp dport 80-90 dnat ip to 10.9.0.5".to_owned(),
            "oifname \"fb0\" ct direction reply accept comment \"replies\"".to_owned(),
            "ct state related accept".to_owned(),
            "ct state invalid drop".to_owned(),
            "ct status dnat accept".to_owned(),
            format!("iifgroup {BRIDGE_GROUP} oifgroup {BRIDGE_GROUP} drop"),
            "ip saddr 10.9.0.0/24 oifname != \"fb0\" masquerade".to_owned(),
            "ip6 saddr fd00:9::/64 masquerade comment \"nat\"".to_owned(),
            "ip6 daddr 2001:db8::/32 accept".to_owned(),
            "ip6 daddr fd00:9::5 fib daddr type local udp dport 53 dnat ip6 to [fd00:9::5]:5353".to_owned(),
            "ip6 saddr fd00:9::/64 ip6 saddr != fd00:9::/64 tcp dport 1-2 dnat ip6 to fd00:9::5".to_owned(),
        ] {
            assert!(shown.contains(&line), "`{line}` is not in\n{shown}");
        }
    });
}

#[test]
fn each_fleet_has_its_own_chains_and_the_last_takes_the_table_along() {
    in_an_empty_network(|| {
        write_chains("", "a", &NetworkName::default(), &chains("a")).expect("written");
        write_chains("", "b", &NetworkName::default(), &chains("b")).expect("written");
        write_chains("/other", "a", &NetworkName::default(), &chains("a")).expect("written");
        nft(&["add", "table", "inet", "mine"]);
        write_chains("", "a", &NetworkName::default(), &Chains::new()).expect("removed");
        assert_eq!(read_firewall("").expect("read").chains, chains("b"));
        write_chains("", "b", &NetworkName::default(), &Chains::new()).expect("removed");
        assert_eq!(read_firewall("").expect("read").table, TableState::Absent);
        assert_eq!(read_firewall("/other").expect("read").chains, chains("a"));
        write_chains("/other", "a", &NetworkName::default(), &Chains::new()).expect("removed");
        write_chains("/other", "a", &NetworkName::default(), &Chains::new()).expect("removed again");
        assert_eq!(nft(&["list", "ruleset"]), "table inet mine {\n}\n");
    });
}

#[test]
fn whatever_was_changed_by_hand_is_seen_and_mended() {
    in_an_empty_network(|| {
        for change in [
            "flush table inet fleet",
            "flush chain inet fleet forward-dev",
            "flush ruleset",
            "add rule inet fleet forward-dev tcp dport 22 accept",
            "insert rule inet fleet postrouting-dev counter accept",
            "chain inet fleet forward-dev { policy drop; }",
            "flush chain inet fleet arriving-dev; delete chain inet fleet arriving-dev",
            "flush chain inet fleet output-dev; delete chain inet fleet output-dev; \
             add chain inet fleet output-dev { type filter hook output priority 5; }",
            "add chain inet fleet forward-dev2",
        ] {
            write_chains("", "dev", &NetworkName::default(), &chains("dev")).expect("written");
            nft(&[change]);
            if !change.ends_with("dev2") {
                assert_ne!(read_firewall("").expect("read").chains, chains("dev"), "{change}");
            }
            write_chains("", "dev", &NetworkName::default(), &chains("dev")).expect("mended");
            let mut found = read_firewall("").expect("read").chains;
            // A chain of another fleet, for all that this one knows.
            found.remove("forward-dev2");
            assert_eq!(found, chains("dev"), "{change}");
        }
    });
}

#[test]
fn a_table_that_somebody_else_made_is_left_alone() {
    in_an_empty_network(|| {
        nft(&["add table inet fleet { comment \"mine\"; }; add chain inet fleet forward-dev"]);
        let before = nft(&["list", "ruleset"]);
        assert_eq!(read_firewall("").expect("read").table, TableState::Foreign("inet fleet".to_owned()));
        write_chains("", "dev", &NetworkName::default(), &chains("dev")).expect_err("it is not ours");
        assert_eq!(nft(&["list", "ruleset"]), before);
    });
}

#[test]
fn a_chain_that_drops_what_goes_through_is_seen() {
    in_an_empty_network(|| {
        nft(&[
            "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }; \
               add chain ip filter USER; add rule ip filter FORWARD jump USER",
        ]);
        let barrier = || read_firewall("").expect("read").barriers.remove(0);
        assert_eq!(barrier().name, "ip filter FORWARD");
        assert!(!barrier().is_open_for("fb0"));
        nft(&["add rule ip filter USER iifname fb0 counter accept; add rule ip filter USER oifname fb* accept"]);
        assert!(barrier().is_open_for("fb0"));
        assert!(!barrier().is_open_for("br0"));
        assert_eq!(barrier().family, Some(IpFamily::Ipv4));
        nft(&[
            "flush ruleset; add table ip6 f; add chain ip6 f FORWARD { type filter hook forward priority 0; policy drop; }",
        ]);
        assert_eq!((barrier().name.as_str(), barrier().family), ("ip6 f FORWARD", Some(IpFamily::Ipv6)));
    });
}

/// The chains of firewalld, as far as they are about what goes through, with that default zone.
fn firewalld(default: &str) -> String {
    format!(
        "table inet firewalld {{
            chain filter_FORWARD {{
                type filter hook forward priority filter + 10; policy accept;
                ct state {{ established, related }} accept
                ct status dnat accept
                iifname \"lo\" accept
                ct state invalid drop
                jump filter_FORWARD_ZONES
                reject with icmpx admin-prohibited
            }}
            chain filter_FORWARD_ZONES {{
                iifname \"eth0\" goto filter_FWD_public
                goto filter_FWD_{default}
            }}
            chain filter_FWD_public {{
                jump filter_FWD_public_allow
                counter reject with icmpx admin-prohibited
            }}
            chain filter_FWD_public_allow {{
                oifname \"eth0\" accept
            }}
            chain filter_FWD_trusted {{
                jump filter_FWD_trusted_stage2
            }}
            chain filter_FWD_trusted_stage2 {{
                oifname \"eth0\" jump filter_FWD_trusted_to_public
                jump filter_FWD_trusted_to_public
            }}
            chain filter_FWD_trusted_to_public {{
                accept
            }}
        }}"
    )
}

#[test]
fn a_chain_whose_last_rule_refuses_the_rest_is_seen_unless_its_rules_accept_a_link() {
    in_an_empty_network(|| {
        write_chains("", "dev", &NetworkName::default(), &chains("dev")).expect("written");
        nft(&[&firewalld("public")]);
        let barriers = || read_firewall("").expect("read").barriers;
        assert_eq!(
            barriers().iter().map(|one| (one.name.as_str(), one.refusal)).collect::<Vec<_>>(),
            [("inet firewalld filter_FORWARD", Refusal::LastRule)]
        );
        let is_open = || ["fb0", "fb1", "eth0"].map(|link| barriers()[0].is_open_for(link));
        assert_eq!(is_open(), [false; 3]);
        // As `firewall-cmd --zone=trusted --add-interface=fb0` does.
        nft(&["insert rule inet firewalld filter_FORWARD_ZONES iifname fb0 goto filter_FWD_trusted"]);
        assert_eq!(is_open(), [true, false, false]);
        nft(&["insert rule inet firewalld filter_FORWARD iifname fb* counter accept"]);
        assert_eq!(is_open(), [true, true, false]);
        // Where whoever is not named is trusted, nobody is kept out.
        nft(&["delete table inet firewalld"]);
        nft(&[&firewalld("trusted")]);
        assert_eq!(barriers(), []);
        nft(&["delete table inet firewalld; add table ip f"]);
        nft(&[
            "add chain ip f FORWARD { type filter hook forward priority 0; }; add rule ip f FORWARD tcp dport 1 drop",
        ]);
        assert_eq!(barriers(), []);
        nft(&["add rule ip f FORWARD drop"]);
        assert_eq!(barriers().len(), 1);
    });
}

#[test]
fn a_thousand_published_ports_are_one_transaction() {
    in_an_empty_network(|| {
        let web = "10.9.0.5".parse().expect("an address");
        let rule = |port: u16| {
            Rule::new(format!("port {port}"))
                .family(IpFamily::Ipv4)
                .to_host()
                .protocol(Protocol::Tcp)
                .ports(port..=port)
                .send_to(web, Some(80))
        };
        let rules: Vec<Rule> = (1000..3000).map(rule).collect();
        let chains = Chains::from([("output-dev".to_owned(), Chain { hook: Some(Hook::Output), rules })]);
        write_chains("", "dev", &NetworkName::default(), &chains).expect("written");
        assert_eq!(read_firewall("").expect("read").chains, chains);
    });
}
