//! Images of OCI registries: resolved, loaded, verified, put together, with real containers.

mod mirror;
mod world;

use std::fs;
use std::path::Path;

use mirror::{Fault, Image, Layer, Packing, Registry, Server, Stored};
use serde_json::{Value, json};
use world::{World, host, names_in};

/// What a second layer does to the first.
const BELOW: &str = "mkdir -p etc srv/opaque/deep srv/again srv/becomes-file/deep srv/real srv/kept
    echo old > etc/old; echo x > srv/opaque/x; echo y > srv/opaque/deep/y; echo 1 > srv/again/lower
    echo z > srv/becomes-file/deep/z; echo f > srv/becomes-directory; ln -s real srv/link; echo k > srv/kept/file
    ln srv/kept/file srv/kept/hard; echo b > srv/.ordinary; chmod 2750 srv/kept; chown 7:9 srv/kept/file";
const ABOVE: &str = "mkdir -p etc srv/opaque srv/again srv/becomes-directory srv/link srv/kept
    touch etc/.wh.old srv/opaque/.wh..wh..opq srv/.wh.again srv/.wh.never-there srv/.wh..wh.plnk
    echo first > srv/opaque/-before-the-whiteout; echo z > srv/opaque/z; echo 2 > srv/again/upper
    echo f > srv/becomes-file; echo d > srv/becomes-directory/d; echo l > srv/link/below
    touch srv/kept/.wh.hard; chmod 700 srv/kept";

/// A root file system that boots, whose file /etc/build says `mark`.
fn base(mark: &str) -> Layer {
    let dir = tempfile::Builder::new().prefix("fleet-layer-").tempdir_in("/var/tmp").expect("a directory");
    let root = mirror::root_file_system(dir.path());
    fs::write(root.join("etc/build"), format!("{mark}\n")).expect("written");
    Layer::of(&root, Packing::Gzip)
}

fn image(mark: &str, created: &str) -> Image {
    let layers = [base(mark), Layer::made_by(BELOW, Packing::Zstd), Layer::made_by(ABOVE, Packing::Plain)];
    Image::new(&layers, created)
}

fn fleet(host: &str, subnet: &str) -> String {
    format!(
        "fleet: registry\nnetwork: {{subnet: {subnet}}}\ncontainers: {{oo: {{image: 'oci:{host}/app:1', replicas: 2}}}}\n"
    )
}

/// The root file system of the only image that is stored.
fn stored(world: &World) -> Stored {
    let images = world.root().join("fleet/images");
    let names: Vec<String> = names_in(&images).into_iter().filter(|name| name.len() == 64).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    Stored::new(&world.root(), &names[0])
}

/// All in `top`: names, kinds, modes, owners, link texts, and the contents of files. An overlay does not count a file's
/// names anew when it hides one.
fn listing(top: &Path) -> String {
    let script = "find . -mindepth 1 -printf '%P %y %m %U:%G %l\\n' | sort; find . -type f -print0 | sort -z | xargs -0 sha256sum";
    let top = top.to_str().expect("text");
    host("sh", &["-c", &format!("cd {top} && {{ {script}; }}")]).replace("./", "")
}

#[test]
fn an_image_is_loaded_once_and_a_second_apply_asks_nobody() {
    let registry = Registry::new();
    registry.push(&image("1", "2024-11-01T05:24:00Z"), "1");
    let world = World::new();
    world.write(&fleet(&registry.host(), "10.211.101.0/24"));
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(
        plan.contains("build 20241101_05:24, ") && plan.contains(&format!("oci:{}/app:1", registry.host())),
        "{plan}"
    );
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(
        world.sh("oo-2", "cat /etc/build /srv/opaque/z; ls -A /srv"),
        "1\nz\n.ordinary\nagain\nbecomes-directory\nbecomes-file\nkept\nlink\nopaque\nreal\n"
    );
    assert_eq!(
        world.sh("oo-1", "cat /srv/real/below; ls /etc/old 2>&1 || true"),
        "l\nls: /etc/old: No such file or directory\n"
    );
    // The digest is the one that the registry's own tools name.
    let inspect = host("skopeo", &["inspect", "--tls-verify=false", &format!("docker://{}/app:1", registry.host())]);
    let digest = serde_json::from_str::<Value>(&inspect).expect("JSON")["Digest"].clone();
    let lock: Value =
        serde_json::from_slice(&fs::read(world.dir.path().join("fleet.lock")).expect("pinned")).expect("JSON");
    let pin = &lock["fleets"]["registry"][0];
    assert_eq!(json!(format!("sha256:{}", pin["fingerprint"].as_str().expect("text"))), digest);
    assert_eq!(pin["distro"], "app:1");
    // The tag moves on; what runs stays until it is told.
    registry.push(&image("2", "2024-11-02T05:24:00Z"), "1");
    assert_eq!(world.changes(), 0);
    let outdated = world.fleet(&["outdated"]).expect(0).stdout;
    assert!(outdated.contains("20241101_05:24") && outdated.contains("→ 20241102_05:24"), "{outdated}");
    world.fleet(&["update", &format!("oci:{}/app:1", registry.host())]).expect(0);
    let plan = world.fleet(&["plan"]).expect(2).stdout;
    assert!(plan.contains("rebuild"), "{plan}");
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(world.sh("oo-1", "cat /etc/build"), "2\n");
    drop(registry);
    let again = world.fleet(&["apply", "-y", "--locked"]).expect(0);
    assert!(again.stdout.starts_with("Nothing to do"), "{again:?}");
    world.destroy();
}

#[test]
fn layers_give_the_tree_that_umoci_makes_of_them() {
    let layers = [
        Layer::made_by(BELOW, Packing::Gzip),
        Layer::made_by(ABOVE, Packing::Gzip),
        Layer::made_by("mkdir -p srv/opaque; touch srv/opaque/.wh.z; echo new > srv/opaque/new", Packing::Gzip),
    ];
    let image = Image::new(&layers, "2024-11-01T05:24:00Z");
    let server = Server::new(&image.path());
    let world = World::new();
    let name = format!("oci:{}/app:1", &server.url()[7..]);
    world.fleet(&["image", "pull", &name]).expect(0);
    let bundle = image.path().join("bundle");
    let ours = listing(&stored(&world).path());
    mirror::run(&image.path(), "umoci", &["unpack", "--keep-dirlinks", "--image", ".:1", "bundle"]);
    assert_eq!(ours, listing(&bundle.join("rootfs")));
    assert!(ours.contains("srv/opaque/new") && !ours.contains(".wh."), "{ours}");
    // Asked for again, by its digest, every blob is there; not even a layer that another image shares is loaded again.
    let more = Image::new(&[layers.into_iter().next().expect("the first")], "undated");
    let other = Server::new(&more.path());
    let digest = more.manifest.to_string();
    let name = format!("oci:{}/app@sha256:{}", &other.url()[7..], mirror::sha256(&[digest.as_bytes()]));
    world.fleet(&["image", "pull", &name]).expect(0);
    let layer = more.layer(0);
    assert!(!other.requests().contains(&layer), "the store has it");
    world.fleet(&["image", "prune"]).expect(0);
    assert_eq!(names_in(&world.root().join("fleet/downloads")), Vec::<String>::new());
}

#[test]
fn a_registry_that_wants_a_token_gets_one_and_nobody_else_does() {
    let image = image("1", "2024-11-01T05:24:00Z");
    let (server, elsewhere) = (Server::new(&image.path()), Server::new(&image.path()));
    let token = "token?service=reg&scope=repository%3Aapp%3Apull";
    fs::write(
        image.path().join("token?service=reg&scope=repository%3Aapp%3Apull".replace("%3A", ":")),
        r#"{"token": "abc"}"#,
    )
    .expect("written");
    let wants = Fault::Wants {
        header: "Bearer abc".to_owned(),
        challenge: format!(r#"Bearer realm="{}/token",service="reg",scope="repository:app:pull,push""#, server.url()),
    };
    server.fault("v2/app/manifests/1", wants.clone());
    server.fault(&image.layer(1), wants);
    server.fault(&image.layer(0), Fault::Redirect(format!("{}/{}", elsewhere.url(), image.layer(0))));
    elsewhere.fault(&image.layer(0), Fault::CutAfter(400_000));
    let world = World::new();
    let name = format!("oci:{}/app:1", &server.url()[7..]);
    world.fleet(&["image", "pull", &name]).expect(0);
    assert!(server.authorizations().contains(&"Bearer abc".to_owned()));
    // What broke off went on.
    assert_eq!(elsewhere.requests()[..2], [image.layer(0), format!("{} 400000-", image.layer(0))]);
    assert_eq!(elsewhere.authorizations(), Vec::<String>::new());
    // A giver of tokens that wants to know who asks is told what is kept, and only it.
    let secret = "Basic bWU6c2VjcmV0".to_owned();
    server.fault(token, Fault::Wants { header: secret.clone(), challenge: "Basic realm=x".to_owned() });
    let refused = world.fleet(&["image", "pull", &name]).expect(1).stderr;
    assert!(refused.contains("the server answers 401") && refused.contains("skopeo login"), "{refused}");
    let logins = world.dir.path().join("auth.json");
    let host = &server.url()[7..];
    fs::write(&logins, json!({"auths": {host: {"auth": "bWU6c2VjcmV0"}}}).to_string()).expect("written");
    server.authorizations();
    let output = world.command(&["image", "pull", &name]).env("REGISTRY_AUTH_FILE", &logins).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let seen = server.authorizations();
    assert_eq!(seen.iter().filter(|header| **header == secret).count(), 1, "{seen:?}");
}

#[test]
fn what_a_registry_gives_is_checked_and_hostile_layers_are_refused() {
    let world = World::new();
    let refused = |image: &Image| {
        let server = Server::new(&image.path());
        let name = format!("oci:{}/app:1", &server.url()[7..]);
        let failed = world.fleet(&["image", "pull", &name]).expect(1).stderr;
        let stored = names_in(&world.root().join("fleet/images"));
        assert_eq!(stored, Vec::<String>::new(), "nothing is half stored");
        let size = image.manifest["layers"][0]["size"].to_string();
        let digits = |word: &str| word.len() >= 64 && word.bytes().any(|byte| byte.is_ascii_digit());
        let failed = failed.replace(&format!("should be {size}"), "should be LENGTH");
        let line = failed.replace(&server.url(), "SERVER").replace(&server.url()[7..], "HOST");
        let root = world.root().display().to_string();
        let words: Vec<String> = line
            .replace(&root, "ROOT")
            .split_inclusive([' ', '`', '/', ':', '\n', ','])
            .map(|word| {
                let text = word.trim_end_matches([' ', '`', '/', ':', '\n', ',']);
                if digits(text) { word.replace(text, "DIGEST") } else { word.to_owned() }
            })
            .collect();
        words.concat()
    };
    let small = || Image::new(&[Layer::made_by("echo x > x", Packing::Gzip)], "2024-11-01T05:24:00Z");
    let with = |change: &dyn Fn(&mut Image)| {
        let mut image = small();
        change(&mut image);
        refused(&image)
    };
    let manifest = |image: &Image| {
        image.path().join("v2/app/manifests").join(names_in(&image.path().join("v2/app/manifests")).pop().expect("one"))
    };
    let archive = |transform: &str| {
        let dir = tempfile::tempdir_in("/var/tmp").expect("a directory");
        fs::write(dir.path().join("x"), "x").expect("written");
        mirror::run(dir.path(), "tar", &["-P", "--transform", transform, "-cf", "layer.tar", "x"]);
        let archive = fs::read(dir.path().join("layer.tar")).expect("readable");
        refused(&Image::new(&[Layer { archive, packing: Packing::Gzip }], "2024-11-01T05:24:00Z"))
    };
    let seen = [
        with(&|image| fs::write(manifest(image), "{}").expect("written")),
        with(&|image| fs::write(image.path().join(image.layer(0)), "x".repeat(1000)).expect("written")),
        with(&|image| {
            image.config["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "1".repeat(64)));
            image.publish();
        }),
        with(&|image| {
            image.config["architecture"] = json!("s390x");
            image.publish();
        }),
        archive("s,x,../x,"),
        archive("s,x,a/.wh...,"),
        archive("s,x,.wh.,"),
        archive("s,x,/../.wh.y,"),
    ];
    let seen = seen.concat();
    let is_told = |line: &&str| line.starts_with(' ') || line.starts_with("error");
    let seen: Vec<&str> =
        seen.lines().filter(is_told).filter(|line| !line.contains("hint: make the archive")).collect();
    insta::assert_snapshot!(seen.join("\n"), @r"
    error: cannot use image `oci:HOST/app:1`: cannot verify `sha256:DIGEST` of `SERVER`: its SHA-256 is DIGEST
      hint: nothing of it was used: tell whoever runs the registry
    error: cannot verify `SERVER/v2/app/blobs/sha256:DIGEST`: its length is 1000, and should be LENGTH
      hint: nothing of it was used: try again later, and tell whoever runs the server
    error: cannot unpack `ROOT/fleet/downloads/DIGEST`
      because: cannot read the archive: it is damaged or incomplete
      because: a layer does not unpack to what the image says
      hint: copy or download the archive again
    error: cannot use image `oci:HOST/app:1`: it is not there for linux/amd64, only for `linux/mips64le`, `linux/s390x`
      hint: choose another tag or image
    error: cannot unpack `ROOT/fleet/downloads/DIGEST`
      because: cannot accept entry `../x`: a name must be relative, without `..` and null bytes
    error: cannot unpack `ROOT/fleet/downloads/DIGEST`
      because: cannot accept entry `a/.wh...`: a name must be relative, without `..` and null bytes
    error: cannot unpack `ROOT/fleet/downloads/DIGEST`
      because: cannot accept entry `.wh.`: a name must be relative, without `..` and null bytes
    error: cannot unpack `ROOT/fleet/downloads/DIGEST`
      because: cannot accept entry `/../.wh.y`: a name must be relative, without `..` and null bytes
    ");
}

#[test]
fn what_a_registry_no_longer_has_is_said_and_a_newer_build_is_offered() {
    let mut image = Image::new(&[Layer::made_by("echo x > x", Packing::Gzip)], "2024-11-01T05:24:00Z");
    let old = image.publish();
    let server = Server::new(&image.path());
    let world = World::new();
    world.write(&fleet(&server.url()[7..], "10.211.103.0/24"));
    let pinned = world.fleet(&["update"]).expect(0).stdout;
    assert!(pinned.contains("→ 20241101_05:24"), "{pinned}");
    // A time that is before the old one is no reason to keep a tag from moving.
    image.config["created"] = json!("1970-01-01T00:00:00Z");
    image.publish();
    fs::remove_file(image.path().join("v2/app/manifests").join(old)).expect("removed");
    let gone = world.fleet(&["image", "pull"]).expect(1).stderr.replace(&server.url(), "SERVER");
    insta::assert_snapshot!(gone.replace(&server.url()[7..], "HOST"), @r"
    error: cannot use image `oci:HOST/app:1`: `SERVER` no longer has its build 20241101_05:24
      hint: `fleet update oci:HOST/app:1` moves to the newest build
    ");
    world.fleet(&["update", &format!("oci:{}/app:1", &server.url()[7..])]).expect(0);
    world.fleet(&["image", "pull"]).expect(0);
    assert_eq!(fs::read_to_string(stored(&world).path().join("x")).expect("readable"), "x\n");
}

#[test]
fn a_layer_takes_nothing_away_outside_its_tree() {
    let world = World::new();
    let victim = world.dir.path().join("victim");
    fs::create_dir(&victim).expect("a directory");
    fs::write(victim.join("file"), "host").expect("written");
    let (outside, up) = (victim.display(), format!("../../../../../../../..{}", victim.display()));
    let layers = [
        Layer::made_by(
            &format!(
                "ln -s {outside} link; ln -s {up} up; mkdir -p .{outside}; echo x > .{outside}/file; echo y > .{outside}/kept"
            ),
            Packing::Gzip,
        ),
        Layer::made_by("mkdir link up; touch link/.wh.file up/.wh.file", Packing::Gzip),
        Layer::made_by("mkdir up; touch up/.wh..wh..opq; echo new > up/new", Packing::Gzip),
    ];
    let image = Image::new(&layers, "2024-11-01T05:24:00Z");
    let server = Server::new(&image.path());
    world.fleet(&["image", "pull", &format!("oci:{}/app:1", &server.url()[7..])]).expect(0);
    assert_eq!(names_in(&victim), ["file"]);
    let stored = stored(&world);
    let inside = stored.path().join(victim.strip_prefix("/").expect("absolute"));
    assert_eq!(names_in(&inside), ["new"]);
}

#[test]
fn an_image_without_an_init_says_what_helps() {
    let below = "mkdir bin; cp /bin/busybox bin; for applet in sh sleep; do ln -s busybox bin/$applet; done";
    let image = Image::new(&[Layer::made_by(below, Packing::Gzip)], "2024-11-01T05:24:00Z");
    let server = Server::new(&image.path());
    let world = World::new();
    let text = fleet(&server.url()[7..], "10.211.102.0/24");
    world.write(&text);
    let failed = world.fleet(&["apply", "-y"]).expect(1).stderr;
    let told = "oo-1: failed: cannot start anything in `oo-1`: its image has no `/sbin/init`, and names no program that it is \
                made for\n  hint: use an image with an init system, or name the program with `init: /path`\n";
    assert!(failed.contains(told), "{failed}");
    // The way out.
    world.write(&text.replace("replicas: 2", "replicas: 2, init: /bin/sh"));
    world.fleet(&["apply", "-y"]).expect(0);
    world.destroy();
}

#[test]
fn another_architecture_is_chosen_and_not_run_where_the_kernel_cannot() {
    let mut image = Image::new(&[Layer::made_by("echo x > x", Packing::Gzip)], "2024-11-01T05:24:00Z");
    image.config["architecture"] = json!("s390x");
    image.publish();
    let server = Server::new(&image.path());
    let world = World::new();
    let name = format!("oci:{}/app:1", &server.url()[7..]);
    let none = world.fleet(&["image", "pull", &name]).expect(1).stderr;
    assert!(none.contains("it is not there for linux/"), "{none}");
    world.fleet(&["image", "pull", &format!("{name}/s390x")]).expect(0);
    assert_eq!(world.fleet(&["image", "ls", "-o", "json"]).expect(0).json()["images"][0]["arch"], "s390x");
    world.write(&fleet(&server.url()[7..], "10.211.104.0/24").replace("replicas: 2", "arch: s390x, init: /x"));
    let refused = world.fleet(&["apply", "-y"]).expect(1).stderr;
    insta::assert_snapshot!(refused, @r"
    ! host  the kernel runs no programs for s390x
      hint: install qemu-user-static, or another handler of binfmt_misc with the flag F, or choose `arch: amd64`
    ");
    // Loaded beforehand it may well be, and pinned.
    world.fleet(&["update"]).expect(0);
    let lock: Value =
        serde_json::from_slice(&fs::read(world.dir.path().join("fleet.lock")).expect("pinned")).expect("JSON");
    let pin = &lock["fleets"]["registry"][0];
    assert_eq!((&pin["distro"], &pin["arch"]), (&json!("app:1/s390x"), &json!("s390x")));
}
