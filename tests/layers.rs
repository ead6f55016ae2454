//! Layers of OCI images: each stored once, shared, verified and collected.

mod mirror;
mod world;

use std::fs;
use std::path::Path;

use mirror::{Image, Layer, Packing, Server, Stored, run, sha256};
use world::{World, host, names_in};

/// Brings `image` into the store of `world`; returns its digest.
fn pull(world: &World, image: &Image) -> String {
    let server = Server::new(&image.path());
    let name = format!("oci:{}/app:1", &server.url()[7..]);
    let pulled = world.fleet(&["image", "pull", &name, "-o", "json"]).expect(0).json();
    pulled["images"][0]["digest"].as_str().expect("text").to_owned()
}

fn image(layers: &[Layer]) -> Image {
    Image::new(layers, "2024-11-01T05:24:00Z")
}

fn made(script: &str) -> Layer {
    Layer::made_by(script, Packing::Gzip)
}

fn layers(world: &World) -> Vec<String> {
    names_in(&world.root().join("fleet/layers"))
}

fn diff_id(layer: &Layer) -> String {
    sha256(&[&layer.archive])
}

/// What `script` of the shell prints in the stored image.
fn seen(world: &World, digest: &str, script: &str) -> String {
    let stored = Stored::new(&world.root(), digest);
    host("sh", &["-c", &format!("cd {} && {{ {script}; }}", stored.path().display())])
}

/// The archive of the files that `script` makes, in which only `names` have entries.
fn only(script: &str, names: &[&str]) -> Layer {
    let dir = tempfile::Builder::new().prefix("fleet-layer-").tempdir_in("/var/tmp").expect("a directory");
    run(dir.path(), "sh", &["-ec", script]);
    run(dir.path(), "tar", &[&["--numeric-owner", "--no-recursion", "-cf", "layer.tar"], names].concat());
    Layer { archive: fs::read(dir.path().join("layer.tar")).expect("readable"), packing: Packing::Zstd }
}

#[test]
fn images_that_share_a_layer_share_it_on_disk_until_the_last_is_gone() {
    let world = World::new();
    let base = made("mkdir usr; head -c 1000000 /dev/zero > usr/large; echo base > name");
    let other = made("mkdir etc; echo other > etc/base");
    let (one, two) = (made("echo one > name"), made("echo two > name; mkdir usr; echo 2 > usr/two"));
    let alone = [diff_id(&base), diff_id(&one), diff_id(&two)];
    let first = pull(&world, &image(&[base.clone(), one.clone()]));
    let inode = host("stat", &["-c", "%i", world.root().join("fleet/layers").join(&alone[0]).to_str().expect("text")]);
    let second = pull(&world, &image(&[base, two]));
    // The same layer upon another one is the same, too.
    let third = pull(&world, &image(&[other.clone(), one]));
    let mut expected: Vec<String> = alone.to_vec();
    expected.push(diff_id(&other));
    expected.sort();
    assert_eq!(layers(&world), expected);
    assert_eq!(
        host("stat", &["-c", "%i", world.root().join("fleet/layers").join(&alone[0]).to_str().expect("text")]),
        inode
    );
    assert_eq!(seen(&world, &first, "cat name; stat -c %s usr/large"), "one\n1000000\n");
    assert_eq!(seen(&world, &second, "cat name usr/two"), "two\n2\n");
    assert_eq!(seen(&world, &third, "cat name etc/base"), "one\nother\n");

    let listed = world.fleet(&["image", "ls", "-o", "json"]).expect(0).json();
    let bytes = |digest: &str| {
        let images = listed["images"].as_array().expect("a list").iter();
        images.filter(|image| image["digest"] == digest).find_map(|image| image["bytes"].as_u64()).expect("it is there")
    };
    assert!(bytes(&first) > 1_000_000 && bytes(&second) > 1_000_000 && bytes(&third) < 100_000, "{listed}");

    // Each is known by the others to be as it was; a layer that was changed is seen in all images that have it.
    let verify = || world.fleet(&["image", "verify", "-o", "json"]);
    assert!(verify().expect(0).json()["images"].as_array().expect("a list").iter().all(|it| it["intact"] == true));
    fs::write(world.root().join("fleet/layers").join(&alone[0]).join("tree/name"), "changed").expect("written");
    let verified = verify().expect(1).json();
    let intact = |digest: &str| {
        let images = verified["images"].as_array().expect("a list").iter();
        images
            .filter(|image| image["digest"] == digest)
            .find_map(|image| image["intact"].as_bool())
            .expect("it is told")
    };
    assert_eq!([intact(&first), intact(&second), intact(&third)], [false, false, true]);

    world.fleet(&["image", "export", &second[..12], "two.tar.zst"]).expect(0);
    let names = host("tar", &["-tf", world.dir.path().join("two.tar.zst").to_str().expect("text")]);
    assert_eq!(names, ".\nname\nusr\nusr/large\nusr/two\n");

    // What a killed pull left goes, too.
    fs::create_dir_all(world.root().join(format!("fleet/layers/.draft-{}-1-0/tree", alone[0]))).expect("made");
    world.fleet(&["image", "prune"]).expect(0);
    assert_eq!(layers(&world), Vec::<String>::new());
}

#[test]
fn what_a_layer_takes_from_those_below_is_as_it_would_be_in_one_tree() {
    let world = World::new();
    let base = made(
        "mkdir -p usr/lib opt/app/old srv/deep var/gone; echo 1 > usr/lib/one; ln -s usr/lib lib; chmod 750 opt/app; chown 7:8 opt/app; echo f > opt/app/file; ln -s file opt/app/link; echo x > srv/deep/x; echo y > srv/y; echo g > var/gone/g
        touch -d @1000000000 opt/app",
    );
    // Names without entries for their directories; through a link below; hard links to a file and to a link below.
    let upper = only(
        "mkdir -p lib opt/app/new new/dir srv var; echo 2 > lib/two; echo n > opt/app/new/n; touch opt/app/file opt/app/link
        ln opt/app/file hard; ln opt/app/link hardlink; touch new/.wh.nothing srv/.wh.deep var/.wh.gone; mkdir srv/deep var/gone; echo z > srv/deep/z",
        &["opt/app/new/n", "lib/two", "new/.wh.nothing", "new/dir", "srv/.wh.deep", "srv/deep/z", "var/.wh.gone"],
    );
    let links = only(
        "mkdir -p opt/app lib; touch opt/app/file; ln opt/app/file hard; ln opt/app/file lib/hard; tar -cf a opt/app/file hard lib/hard; rm opt/app/file",
        &["a"],
    );
    // Only the links, not what they link to: a whole archive is cut before its second entry.
    let cut = |archive: Vec<u8>| {
        let inner = archive[512..].to_vec();
        Layer { archive: inner[512..].to_vec(), packing: Packing::Plain }
    };
    let digest = pull(&world, &image(&[base, upper, cut(links.archive)]));
    let tree = "find . -mindepth 1 -printf '%P %y %m %U:%G %l\\n' | sort; cat lib/one lib/two hard; stat -c %Y opt/app; ls var new";
    assert_eq!(
        seen(&world, &digest, tree),
        "hard f 644 0:0 \nlib l 777 0:0 usr/lib\nnew d 755 0:0 \nnew/dir d 755 0:0 \nopt d 755 0:0 \nopt/app d 750 7:8 \n\
         opt/app/file f 644 0:0 \nopt/app/link l 777 0:0 file\nopt/app/new d 755 0:0 \nopt/app/new/n f 644 0:0 \n\
         opt/app/old d 755 0:0 \nsrv d 755 0:0 \nsrv/deep d 755 0:0 \nsrv/deep/z f 644 0:0 \nsrv/y f 644 0:0 \nusr d 755 0:0 \n\
         usr/lib d 755 0:0 \nusr/lib/hard f 644 0:0 \nusr/lib/one f 644 0:0 \nusr/lib/two f 644 0:0 \nvar d 755 0:0 \n\
         1\n2\nf\n1000000000\nnew:\ndir\n\nvar:\n"
    );
    // One file by all its names.
    assert_eq!(seen(&world, &digest, "stat -c %i hard lib/hard opt/app/file | sort -u | wc -l").trim(), "1");
    // Neither of the upper ones has its own name: they are so upon these layers alone.
    assert_eq!(layers(&world).len(), 3);
}

#[test]
fn a_layer_twice_and_a_layer_that_hides_all_are_stacked() {
    let world = World::new();
    let twice = made("mkdir a; echo a > a/a");
    let hides = made("touch .wh..wh..opq; mkdir b a; echo b > b/b");
    let layers = [twice.clone(), made("mkdir a; touch a/.wh.a"), twice.clone(), hides, twice, made("true")];
    let digest = pull(&world, &image(&layers));
    assert_eq!(seen(&world, &digest, "find . -mindepth 1 | sort | xargs"), "./a ./a/a ./b ./b/b\n");
    world.fleet(&["image", "export", &digest[..12], "all.tar.zst"]).expect(0);
    let names = host("tar", &["-tf", world.dir.path().join("all.tar.zst").to_str().expect("text")]);
    assert_eq!(names, ".\na\na/a\nb\nb/b\n");
    let bottom = pull(&world, &image(&[made("mkdir d; touch d/.wh.x d/.wh..wh..opq .wh.y; echo d > d/d")]));
    assert_eq!(seen(&world, &bottom, "find . -mindepth 1 | sort | xargs"), "./d ./d/d\n");
    let own = Path::new("fleet/layers");
    assert!(names_in(&world.root().join(own)).iter().all(|name| name.len() == 64));
}
