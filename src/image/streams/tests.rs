//! What servers say, and what is made of it. Loading is tested with a real server, in `tests/distros.rs`.

use serde_json::{Value, json};

use super::choose::newest;
use super::document::{Index, Products};
use crate::image::source::Unavailable;
use crate::model::{Build, BuildFiles, Distro, native_architecture};

const SHA256: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

fn item(ftype: &str, path: &str) -> Value {
    json!({"ftype": ftype, "path": path, "sha256": SHA256, "size": 7})
}

/// A build as the public server has it, with deltas and disks of virtual machines.
fn version(serial: &str) -> Value {
    let path = |name: &str| format!("images/debian/bookworm/amd64/default/{serial}/{name}");
    let mut metadata = item("incus.tar.xz", &path("incus.tar.xz"));
    metadata["combined_rootxz_sha256"] = json!("b".repeat(64));
    metadata["combined_squashfs_sha256"] = json!("c".repeat(64));
    metadata["combined_disk-kvm-img_sha256"] = json!("d".repeat(64));
    json!({"items": {
        "incus.tar.xz": metadata,
        "disk.qcow2": item("disk-kvm.img", &path("disk.qcow2")),
        "root.20241001_05:24.vcdiff": {"ftype": "squashfs.vcdiff", "delta_base": "20241001_05:24", "path": "x", "size": 1},
        "root.squashfs": item("squashfs", &path("rootfs.squashfs")),
        "root.tar.xz": item("root.tar.xz", &path("rootfs.tar.xz")),
    }})
}

fn product(arch: &str, aliases: &str, versions: &Value) -> Value {
    json!({"aliases": aliases, "arch": arch, "os": "Debian", "release": "bookworm", "variant": "default",
        "requirements": {"cgroup": "v2"}, "versions": versions})
}

fn found(products: &Value, name: &str) -> Result<Build, Unavailable> {
    found_for(products, name, false)
}

fn found_for(products: &Value, name: &str, mounts_squashfs: bool) -> Result<Build, Unavailable> {
    let products: Products = serde_json::from_value(json!({ "products": products })).expect("products");
    let server = "https://images.example".parse().expect("an address");
    newest(&products.products, &Distro { server, name: name.parse().expect("a name") }, mounts_squashfs)
}

fn refused(products: &Value, name: &str) -> String {
    let Unavailable { why, hint } = found(products, name).expect_err("it is not there");
    format!("{why} ({})", hint.unwrap_or_default())
}

fn debian() -> Value {
    let native = native_architecture();
    let versions = json!({"20241031_05:24": version("20241031_05:24"), "20241101_05:24": version("20241101_05:24")});
    json!({
        "debian:bookworm:amd64:default": product(native, "debian/bookworm/default,debian/bookworm,debian/12", &versions),
        "debian:bookworm:arm64:cloud": product("s390x", "debian/12/cloud", &json!({})),
    })
}

#[test]
fn the_newest_build_is_found_by_each_of_its_names() {
    let build = found(&debian(), "debian/12").expect("it is there");
    assert_eq!((build.serial.as_str(), build.arch.as_str()), ("20241101_05:24", native_architecture()));
    assert_eq!(build.fingerprint.0, "b".repeat(64));
    let BuildFiles::Archive { root, .. } = &build.files else { panic!("{build:?}") };
    assert_eq!(root.path, "images/debian/bookworm/amd64/default/20241101_05:24/rootfs.tar.xz");
    for name in ["Debian/Bookworm", "debian/bookworm/default", &format!("debian/12/{}", native_architecture())] {
        assert_eq!(found(&debian(), name).expect(name).fingerprint, build.fingerprint);
    }
}

#[test]
fn where_the_kernel_mounts_squashfs_that_is_taken() {
    let build = found_for(&debian(), "debian/12", true).expect("it is there");
    assert_eq!(build.fingerprint.0, "c".repeat(64));
    assert!(matches!(build.files, BuildFiles::Squashfs { .. }));
    let mut products = debian();
    let versions = &mut products["debian:bookworm:amd64:default"]["versions"];
    versions["20241101_05:24"]["items"].as_object_mut().expect("items").remove("root.squashfs");
    let build = found_for(&products, "debian/12", true).expect("it is there");
    assert_eq!(build.fingerprint.0, "b".repeat(64));
}

#[test]
fn without_an_archive_the_squashfs_is_taken_and_a_version_without_either_is_passed_over() {
    let mut products = debian();
    let versions = &mut products["debian:bookworm:amd64:default"]["versions"];
    versions["20241101_05:24"]["items"].as_object_mut().expect("items").remove("root.tar.xz");
    versions["20241102_05:24"] = json!({"items": {"disk.qcow2": item("disk-kvm.img", "x")}});
    versions["daily"] = version("daily");
    let build = found(&products, "debian/12").expect("it is there");
    assert_eq!(build.serial, "20241101_05:24");
    assert_eq!(build.fingerprint.0, "c".repeat(64));
    assert!(matches!(build.files, BuildFiles::Squashfs { .. }));
}

#[test]
fn the_metadata_of_lxd_and_unified_images_do_as_well() {
    let mut lxd = item("lxd.tar.xz", "m");
    lxd["combined_sha256"] = json!("e".repeat(64));
    let items = json!({"lxd.tar.xz": lxd, "root.tar.xz": item("root.tar.xz", "r")});
    let native = native_architecture();
    let products = json!({
        "a": product(native, "a", &json!({"20240101": {"items": items}})),
        "b": product(native, "b", &json!({"20240101": {"items": {"x": item("incus_combined.tar.gz", "u")}}})),
    });
    assert_eq!(found(&products, "a").expect("it is there").fingerprint.0, "e".repeat(64));
    assert_eq!(found(&products, "b").expect("it is there").fingerprint.0, SHA256);
}

#[test]
fn what_is_not_offered_is_explained() {
    insta::assert_snapshot!(refused(&debian(), "debain/12"), @"`https://images.example` does not know `debain/12` (did you mean `debian/12`?)");
    insta::assert_snapshot!(refused(&debian(), "debian/13"), @"`https://images.example` does not know `debian/13` (it offers `debian/12`, `debian/bookworm`, `debian/bookworm/default`)");
    insta::assert_snapshot!(refused(&debian(), "plan9"), @"`https://images.example` does not know `plan9` (it offers `debian`)");
    insta::assert_snapshot!(refused(&json!({}), "debian/12").replace(native_architecture(), "HERE"), @"`https://images.example` does not know `debian/12` (it offers nothing for HERE)");
    insta::assert_snapshot!(refused(&debian(), "debian/12/cloud").replace(native_architecture(), "HERE"), @"`https://images.example` does not offer `debian/12/cloud` for HERE, only for s390x (choose another distribution, or another server with `remotes`)");
}

#[test]
fn what_cannot_be_checked_or_leads_elsewhere_is_refused() {
    let with = |item: &str, key: &str, value: Value| {
        let mut products = debian();
        products["debian:bookworm:amd64:default"]["versions"]["20241101_05:24"]["items"][item][key] = value;
        refused(&products, "debian/12")
    };
    let refusals = [
        with("root.tar.xz", "path", json!("../../etc/passwd")),
        with("root.tar.xz", "path", json!("/etc/passwd")),
        with("incus.tar.xz", "path", json!("https://evil.example/x")),
        with("incus.tar.xz", "path", json!("x\u{1b}[2J")),
        with("root.tar.xz", "sha256", json!("abc")),
        with("incus.tar.xz", "combined_rootxz_sha256", json!("../x")),
        with("root.tar.xz", "size", json!(0)),
        with("root.tar.xz", "size", json!(1_u64 << 40)),
    ];
    insta::assert_snapshot!(refusals.map(|refusal| refusal.replace(" (tell whoever runs the server, or use another one with `remotes`)", "")).join("\n"), @r"
    cannot trust `https://images.example`: the path `../../etc/passwd` does not lead to a place below the server
    cannot trust `https://images.example`: the path `/etc/passwd` does not lead to a place below the server
    cannot trust `https://images.example`: the path `https://evil.example/x` does not lead to a place below the server
    cannot trust `https://images.example`: the path `x\u{1b}[2J` does not lead to a place below the server
    cannot trust `https://images.example`: the `sha256` of `images/debian/bookworm/amd64/default/20241101_05:24/rootfs.tar.xz` is not a SHA-256
    cannot trust `https://images.example`: the combined `sha256` of `images/debian/bookworm/amd64/default/20241101_05:24/incus.tar.xz` is not a SHA-256
    cannot trust `https://images.example`: `images/debian/bookworm/amd64/default/20241101_05:24/rootfs.tar.xz` is said to have 0 bytes
    cannot trust `https://images.example`: `images/debian/bookworm/amd64/default/20241101_05:24/rootfs.tar.xz` is said to have 1099511627776 bytes
    ");
}

#[test]
fn only_streams_of_images_are_read() {
    let index: Index = serde_json::from_value(json!({"format": "index:1.0", "index": {
        "images": {"datatype": "image-downloads", "path": "streams/v1/images.json", "products": []},
        "ids": {"datatype": "image-ids", "path": "streams/v1/ids.json"},
    }}))
    .expect("an index");
    assert_eq!(index.image_paths().collect::<Vec<_>>(), ["streams/v1/images.json"]);
}
