//! Distributions from image servers: resolved, loaded, verified, kept, with real containers.

mod mirror;
mod world;

use std::fs;
use std::process::Command;

use mirror::{Fault, Forms, Server, Tree};
use world::{World, names_in, ran};

const SERIAL: &str = "20241101_05:24";

/// A fleet of one container from `test/1`.
fn fleet(server: &Server, subnet: &str) -> String {
    format!(
        "fleet: distros\nnetwork: {{subnet: {subnet}}}\nremotes: {{images: '{}'}}\ncontainers: {{dd: {{distro: test/1}}}}\n",
        server.url()
    )
}

fn apply_fails(world: &World) -> String {
    let failed = world.fleet(&["apply", "-y"]).expect(1);
    assert_eq!(names_in(&world.root().join("fleet/images")), Vec::<String>::new(), "nothing is half stored");
    let is_told = |line: &&str| line.starts_with(['!', ' ']) || line.contains(": failed: ");
    failed.stderr.lines().filter(is_told).collect::<Vec<_>>().join("\n")
}

/// A line without what depends on this host's busybox: its checksum and its length.
fn without_numbers(line: &str) -> String {
    let placeholder = |text: &str| {
        let digits = text.bytes().filter(u8::is_ascii_digit).count();
        if text.len() == 64 && digits > 0 {
            return Some("DIGEST");
        }
        (digits > 4 && digits == text.len()).then_some("NUMBER")
    };
    let parts = line.split_inclusive([' ', ',']).map(|part| {
        let text = part.trim_end_matches([' ', ',']);
        placeholder(text).map_or_else(|| part.to_owned(), |other| part.replace(text, other))
    });
    parts.collect()
}

#[test]
fn a_distribution_is_loaded_once_and_a_second_apply_asks_nobody() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(
        &fleet(&server, "10.211.8.0/24").replace("{dd: {distro: test/1}}", "{dd: {distro: test/1, replicas: 3}}"),
    );
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("test/1") && plan.contains(&format!("build {SERIAL}")), "{plan}");
    server.requests();
    world.fleet(&["apply", "-y"]).expect(0);
    assert!(server.agent().starts_with("fleet/"), "{}", server.agent());
    let place = "images/test/1/amd64/default/20241101_05%3A24";
    assert_eq!(
        server.requests(),
        [
            "streams/v1/index.json".to_owned(),
            "streams/v1/images.json".to_owned(),
            format!("{place}/incus.tar.xz"),
            format!("{place}/rootfs.tar.xz"),
        ]
    );
    assert_eq!(world.sh("dd-2", "cat /etc/build /etc/hostname"), "1\ndd-2\n");
    assert_eq!(world.sh("dd-1", "ls /etc/cloud"), "", "cloud-init is not switched off");
    assert_eq!(names_in(&world.root().join("fleet/downloads")), Vec::<String>::new());
    drop(server);
    assert_eq!(world.changes(), 0);
    let again = world.fleet(&["apply", "-y"]).expect(0);
    assert!(again.stdout.starts_with("Nothing to do"), "{again:?}");
    assert_eq!(again.stderr, "");
    world.destroy();
}

#[test]
fn a_squashfs_of_a_server_is_kept_as_it_is() {
    let tree = Tree::with_build(Forms::Both);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, "10.211.9.0/24"));
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("dd", "cat /etc/build; cat /etc/hostname"), "1\ndd\n");
    let images = world.root().join("fleet/images");
    let stored = names_in(&images).into_iter().find(|name| name.len() == 64).expect("it is stored");
    assert_eq!(names_in(&images.join(stored)), ["image.json", "rootfs.squashfs"]);
    assert_eq!(names_in(&world.root().join("fleet/downloads")), Vec::<String>::new());
    world.destroy();
}

#[test]
fn a_tree_that_incus_wrote_is_understood() {
    let tool = mirror::incus_simplestreams();
    let tree = Tree::new();
    let (made, top) = (tree.dir.path(), tree.path());
    fs::create_dir_all(&top).expect("a directory");
    mirror::root_file_system(made);
    let architecture = if cfg!(target_arch = "aarch64") { "aarch64" } else { "x86_64" };
    let add = |variant: &str, args: &[&str]| {
        let metadata = format!(
            "architecture: {architecture}\ncreation_date: 1730438640\nproperties:\n  architecture: {architecture}\n  \
             os: Test\n  release: '1'\n  variant: {variant}\n  description: a test\n"
        );
        fs::write(made.join("metadata.yaml"), metadata).expect("written");
        mirror::run(made, "tar", args);
    };
    let tool = tool.to_str().expect("text");
    mirror::run(
        made,
        "mksquashfs",
        &["rootfs", "root.squashfs", "-noappend", "-quiet", "-no-progress", "-comp", "zstd"],
    );
    add("default", &["-cJf", "metadata.tar.xz", "metadata.yaml"]);
    mirror::run(&top, tool, &["add", "../metadata.tar.xz", "../root.squashfs", "--alias", "test/1"]);
    add("unified", &["-czf", "unified.tar.gz", "metadata.yaml", "rootfs"]);
    mirror::run(&top, tool, &["add", "../unified.tar.gz"]);
    let server = Server::new(&top);
    let world = World::new();
    world.write(
        &fleet(&server, "10.211.10.0/24")
            .replace("{dd: {distro: test/1}}", "{dd: {distro: test/1}, uu: {distro: 'images:Test/1/unified'}}"),
    );
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("dd", "cat /etc/build"), "1\n");
    assert_eq!(world.sh("uu", "cat /etc/build; ls / | grep -c metadata || true"), "1\n0\n");
    assert_eq!(world.changes(), 0);
    world.destroy();
}

#[test]
fn a_newer_build_on_the_server_does_not_touch_what_runs() {
    let mut tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, "10.211.11.0/24"));
    world.fleet(&["apply", "-y"]).expect(0);
    tree.add("20241102_05:24", "2", Forms::ArchiveOnly);
    assert_eq!(world.changes(), 0);
    // One more container of the fleet is like the others.
    world.write(&fleet(&server, "10.211.11.0/24").replace("{dd:", "{ee: {distro: test/1}, dd:"));
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("ee", "cat /etc/build"), "1\n");
    world.destroy();
}

#[test]
fn a_server_that_moved_or_vanished_is_no_reason_to_rebuild() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let (server, other) = (Server::new(&tree.path()), Server::new(&tree.path()));
    let world = World::new();
    let text = fleet(&server, "10.211.12.0/24");
    world.write(&text);
    world.fleet(&["apply", "-y"]).expect(0);
    let pid = world.pid("dd");
    world.write(&fleet(&other, "10.211.12.0/24"));
    drop((server, other));
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!((world.pid("dd"), world.changes()), (pid, 0));
    world.destroy();
    // The store has what is needed for a new one, too.
    world.write(&text);
    world.fleet(&["apply", "-y"]).expect(0);
    world.destroy();
}

#[test]
fn a_server_that_is_not_there_is_said_and_nothing_is_changed() {
    let world = World::new();
    let tree = Tree::new();
    let server = Server::new(tree.dir.path());
    world.write(&fleet(&server, "10.211.13.0/24"));
    let address = server.url();
    let text = |world: &World| apply_fails(world).replace(&address, "SERVER").replace(&address[7..], "HOST");
    insta::assert_snapshot!(text(&world), @r"
    ! test/1  cannot fetch `SERVER/streams/v1/index.json`: the server answers 404
      hint: is it the address of an image server that has simplestreams?
    ");
    drop(server);
    insta::assert_snapshot!(text(&world), @r"
    ! test/1  cannot reach `HOST`: Connection refused (os error 111)
      hint: check the network and the server's address; `fleet image ls` shows what this host has
    ");
    // Whoever only looks, or takes away, needs no server.
    assert_eq!(world.state("dd"), "absent");
    world.destroy();
}

/// So much of an archive of `size` bytes that it takes some attempts, and no more than a download has.
fn eighth(size: u64) -> usize {
    usize::try_from(size / 8).expect("it is small").max(100_000)
}

#[test]
fn a_transfer_that_breaks_off_goes_on_where_it_was() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, "10.211.14.0/24"));
    // A connection that was kept and is closed just as it is used again.
    let index = "streams/v1/index.json";
    server.fault(index, Fault::HangUp);
    assert_eq!(world.fleet(&["plan"]).expect(2).stderr, "");
    assert_eq!(server.requests().iter().filter(|path| *path == index).count(), 2);
    let path = Tree::archive(SERIAL);
    // Killed in the middle.
    server.fault(&path, Fault::StallAfter(100_000));
    let mut killed = world.spawn(&["apply", "-y"]);
    let downloads = world.root().join("fleet/downloads");
    let loaded =
        || names_in(&downloads).iter().map(|name| fs::metadata(downloads.join(name)).map_or(0, |it| it.len())).max();
    world::eventually("100000 bytes", || loaded() == Some(100_000));
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    server.mend();
    server.requests();
    // Then cut by the server, which is asked for the rest within one apply.
    let size = fs::metadata(tree.path().join(path.replace("%3A", ":"))).expect("it is there").len();
    let piece = eighth(size);
    server.fault(&path, Fault::CutAfter(piece));
    let done = world.fleet(&["apply", "-y"]).expect(0);
    assert!(done.stderr.contains("loading goes on"), "{done:?}");
    let asked: Vec<String> = server.requests().into_iter().filter(|request| request.starts_with(&path)).collect();
    assert_eq!(asked[0], format!("{path} 100000-"));
    assert!(asked.len() as u64 >= (size - 100_000) / piece as u64, "{asked:?}");
    assert_eq!(world.sh("dd", "cat /etc/build"), "1\n");
    world.destroy();
}

#[test]
fn what_comes_is_not_what_was_said() {
    let mut tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, "10.211.15.0/24"));
    let good = tree.products.clone();
    let refused = |tree: &Tree| {
        tree.write();
        apply_fails(&world).replace(&server.url(), "SERVER").replace(&server.url()[7..], "HOST")
    };
    tree.items(SERIAL)["root.tar.xz"]["sha256"] = "a".repeat(64).into();
    let mut seen = vec![refused(&tree)];
    tree.products = good.clone();
    tree.items(SERIAL)["incus.tar.xz"]["combined_rootxz_sha256"] = "b".repeat(64).into();
    seen.push(refused(&tree));
    tree.products = good.clone();
    tree.items(SERIAL)["root.tar.xz"]["size"] = 12_345.into();
    seen.push(refused(&tree));
    tree.products = good.clone();
    tree.items(SERIAL)["root.tar.xz"]["path"] = "../secret".into();
    seen.push(refused(&tree));
    tree.products = good.clone();
    tree.items(SERIAL)["root.tar.xz"]["path"] = "images/gone.tar.xz".into();
    seen.push(refused(&tree));
    tree.products = good;
    tree.write();
    server.fault("streams/v1/images.json", Fault::Redirect("http://images.example/images.json".to_owned()));
    seen.push(refused(&tree));
    server.mend();
    server.fault(&Tree::archive(SERIAL), Fault::EndAfter(1000));
    seen.push(refused(&tree));
    server.mend();
    fs::write(tree.path().join("streams/v1/index.json"), "<html>").expect("written");
    seen.push(apply_fails(&world).replace(&server.url(), "SERVER"));
    let huge = fs::File::create(tree.path().join("streams/v1/index.json")).expect("made");
    huge.set_len(33 << 20).expect("room");
    seen.push(apply_fails(&world).replace(&server.url(), "SERVER"));
    let seen = seen.join("\n");
    let seen: Vec<String> = seen.lines().filter(|line| !line.starts_with(' ')).map(without_numbers).collect();
    insta::assert_snapshot!(seen.join("\n"), @r"
    test/1: failed: cannot verify `SERVER/images/test/1/amd64/default/20241101_05%3A24/rootfs.tar.xz`: its SHA-256 is DIGEST, and should be aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
    test/1: failed: cannot verify `test/1 of SERVER`: its fingerprint is DIGEST, and should be bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
    test/1: failed: cannot verify `SERVER/images/test/1/amd64/default/20241101_05%3A24/rootfs.tar.xz`: its length is NUMBER, and should be NUMBER
    ! test/1  cannot trust `SERVER`: the path `../secret` does not lead to a place below the server
    test/1: failed: cannot use image `test/1`: `SERVER` no longer has its build 20241101_05:24
    ! test/1  cannot fetch `SERVER/streams/v1/images.json`: the server redirects to `http://images.example/images.json`, and only https is safe
    test/1: failed: cannot read `SERVER/images/test/1/amd64/default/20241101_05%3A24/rootfs.tar.xz` to its end: the server ended it too early
    ! test/1  cannot understand `SERVER/streams/v1/index.json`: expected value at line 1 column 1
    ! test/1  cannot accept `SERVER/streams/v1/index.json`: it is longer than NUMBER bytes
    ");
    world.destroy();
}

#[test]
fn an_archive_on_a_web_server_is_known_by_its_checksum() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    let path = Tree::archive(SERIAL);
    let sum = mirror::sha256(&[&fs::read(tree.path().join(path.replace("%3A", ":"))).expect("readable")]);
    let fleet = |sum: &str| {
        format!(
            "fleet: web\nnetwork: {{subnet: 10.211.17.0/24}}\ncontainers:\n  ww:\n    image: {{https: '{}/{path}', sha256: {sum}}}\n",
            server.url()
        )
    };
    world.write(&fleet(&"c".repeat(64)));
    let refused = world.fleet(&["apply", "-y"]).expect(1).stderr;
    assert!(refused.contains(&format!("its SHA-256 is {sum}, and should be cccc")), "{refused}");
    world.write(&fleet(&sum));
    let size = fs::metadata(tree.path().join(path.replace("%3A", ":"))).expect("it is there").len();
    server.fault(&path, Fault::CutAfter(eighth(size)));
    server.requests();
    world.fleet(&["apply", "-y"]).expect(0);
    assert!(server.requests().len() > 1);
    assert_eq!(world.sh("ww", "cat /etc/build"), "1\n");
    server.requests();
    assert_eq!(world.changes(), 0);
    assert_eq!(server.requests(), Vec::<String>::new());
    world.destroy();
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_for_all_of_it_again() {
    let tree = Tree::with_build(Forms::ArchiveOnly);
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, "10.211.18.0/24"));
    let path = Tree::archive(SERIAL);
    server.fault(&path, Fault::StallAfter(100_000));
    let mut killed = world.spawn(&["apply", "-y"]);
    let downloads = world.root().join("fleet/downloads");
    world::eventually("100000 bytes", || {
        names_in(&downloads).iter().any(|name| fs::metadata(downloads.join(name)).is_ok_and(|it| it.len() == 100_000))
    });
    killed.kill().expect("killed");
    killed.wait().expect("ended");
    server.fault(&path, Fault::WithoutRanges);
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("dd", "cat /etc/build"), "1\n");
    world.destroy();
}

#[test]
fn nothing_is_fetched_without_encryption_where_it_began_with_it() {
    let world = World::new();
    let dir = world.dir.path();
    mirror::run(
        dir,
        "openssl",
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-keyout",
            "key.pem",
            "-out",
            "cert.pem",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost",
            "-addext",
            "basicConstraints=critical,CA:FALSE",
        ],
    );
    fs::create_dir_all(dir.join("streams/v1")).expect("a directory");
    let answer = "HTTP/1.0 302 Found\r\nLocation: http://localhost:1/index.json\r\n\r\n";
    fs::write(dir.join("streams/v1/index.json"), answer).expect("written");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
    let mut server = Command::new("openssl")
        .args([
            "s_server",
            "-quiet",
            "-HTTP",
            "-cert",
            "cert.pem",
            "-key",
            "key.pem",
            "-accept",
            &format!("127.0.0.1:{port}"),
        ])
        .current_dir(dir)
        .stdin(std::process::Stdio::null())
        .spawn()
        .expect("package openssl");
    world::eventually("the server", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
    world.write(&format!(
        "fleet: tls\nnetwork: {{subnet: 10.211.16.0/24}}\nremotes: {{images: 'https://localhost:{port}'}}\ncontainers: {{tt: {{distro: test/1}}}}\n"
    ));
    let plan = |trusted: bool| {
        let mut command = world.command(&["plan"]);
        if trusted {
            command.env("SSL_CERT_FILE", dir.join("cert.pem"));
        }
        let plan = ran(&command.output().expect("fleet runs"));
        plan.stderr.replace(&port.to_string(), "PORT")
    };
    let (untrusted, trusted) = (plan(false), plan(true));
    server.kill().expect("killed");
    server.wait().expect("ended");
    assert!(untrusted.contains("invalid peer certificate"), "{untrusted}");
    insta::assert_snapshot!(trusted, @r"
    ! test/1  cannot fetch `https://localhost:PORT/streams/v1/index.json`: the server redirects to `http://localhost:1/index.json`, and only https is safe
      hint: is it the address of an image server that has simplestreams?
    ");
}
