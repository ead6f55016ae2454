//! A tree in the format of the public image server: the same files, names and fields, as its generator writes them.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use super::run;

/// The forms in which a build has its root file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Forms {
    Both,
    ArchiveOnly,
    SquashfsOnly,
}

/// A tree of images in the making.
pub(crate) struct Tree {
    pub(crate) dir: TempDir,
    pub(crate) products: Value,
}

/// A root file system that boots: the one whose archive `FLEET_TEST_ALPINE` names, or one made of this host's busybox.
pub(crate) fn root_file_system(dir: &Path) -> PathBuf {
    let root = dir.join("rootfs");
    fs::create_dir_all(&root).expect("a directory");
    if let Some(archive) = std::env::var_os("FLEET_TEST_ALPINE") {
        run(dir, "tar", &["-C", "rootfs", "-xf", &archive.to_string_lossy()]);
    } else {
        for name in ["bin", "sbin", "etc/init.d", "proc", "sys", "dev", "root", "tmp", "run", "var"] {
            fs::create_dir_all(root.join(name)).expect("a directory");
        }
        fs::copy("/bin/busybox", root.join("bin/busybox")).expect("package busybox-static");
        for name in ["bin/sh", "bin/cat", "bin/ls", "bin/hostname", "sbin/init", "sbin/poweroff"] {
            symlink("/bin/busybox", root.join(name)).expect("a link");
        }
        fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").expect("written");
        fs::write(root.join("etc/group"), "root:x:0:\n").expect("written");
        fs::write(root.join("etc/inittab"), "::sysinit:/bin/hostname -F /etc/hostname\n").expect("written");
    }
    // What shows how faithfully it is unpacked.
    fs::write(root.join("etc/build"), "1\n").expect("written");
    fs::create_dir_all(root.join("usr/bin")).expect("a directory");
    fs::hard_link(root.join("etc/build"), root.join("etc/also")).expect("a link");
    fs::copy("/bin/busybox", root.join("usr/bin/capable")).expect("package busybox-static");
    fs::set_permissions(root.join("usr/bin/capable"), fs::Permissions::from_mode(0o4755)).expect("root");
    let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    rustix::fs::setxattr(
        root.join("usr/bin/capable"),
        "security.capability",
        &capability,
        rustix::fs::XattrFlags::empty(),
    )
    .expect("root may set capabilities");
    root
}

impl Tree {
    /// An empty tree.
    pub(crate) fn new() -> Tree {
        let dir = tempfile::Builder::new().prefix("fleet-mirror-").tempdir_in("/var/tmp").expect("a directory");
        Tree { dir, products: json!({}) }
    }

    /// A tree with the first build of `test/1`.
    pub(crate) fn with_build(forms: Forms) -> Tree {
        let mut tree = Tree::new();
        tree.add("20241101_05:24", "1", forms);
        tree
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("tree")
    }

    /// Removes the build `serial` of `test/1`, as servers do after some days.
    pub(crate) fn remove(&mut self, serial: &str) {
        self.products["test:1:amd64:default"]["versions"].as_object_mut().expect("versions").remove(serial);
        self.write();
        fs::remove_dir_all(self.path().join(format!("images/test/1/amd64/default/{serial}"))).expect("removed");
    }

    /// Adds the build `serial` of `test/1`, whose file /etc/build says `mark`.
    pub(crate) fn add(&mut self, serial: &str, mark: &str, forms: Forms) {
        let made = self.dir.path();
        let root = root_file_system(made);
        fs::write(root.join("etc/build"), format!("{mark}\n")).expect("written");
        let place = format!("images/test/1/amd64/default/{serial}");
        let dir = self.path().join(&place);
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(made.join("metadata.yaml"), "architecture: x86_64\ncreation_date: 1730438640\n").expect("written");
        run(made, "tar", &["-cJf", dir.join("incus.tar.xz").to_str().expect("text"), "metadata.yaml"]);
        let squashfs = dir.join("rootfs.squashfs");
        // In the packing of Incus the names are left to templates, and nothing is switched off.
        run(made, "mksquashfs", &["rootfs", squashfs.to_str().expect("text"), "-noappend", "-quiet", "-no-progress"]);
        let mut items = json!({
            "incus.tar.xz": self.item("incus.tar.xz", &format!("{place}/incus.tar.xz")),
            "root.squashfs": self.item("squashfs", &format!("{place}/rootfs.squashfs")),
        });
        items["incus.tar.xz"]["combined_squashfs_sha256"] = self.combined(&place, "rootfs.squashfs");
        if forms == Forms::ArchiveOnly {
            items.as_object_mut().expect("items").remove("root.squashfs");
        }
        if forms != Forms::SquashfsOnly {
            fs::write(root.join("etc/hostname"), "LXC_NAME\n").expect("written");
            fs::create_dir_all(root.join("etc/cloud")).expect("a directory");
            fs::write(root.join("etc/cloud/cloud-init.disabled"), "").expect("written");
            let archive = dir.join("rootfs.tar.xz");
            let archive = archive.to_str().expect("text");
            run(
                made,
                "tar",
                &["-C", "rootfs", "--numeric-owner", "--xattrs", "--xattrs-include=*", "-cJf", archive, "."],
            );
            items["root.tar.xz"] = self.item("root.tar.xz", &format!("{place}/rootfs.tar.xz"));
            items["incus.tar.xz"]["combined_rootxz_sha256"] = self.combined(&place, "rootfs.tar.xz");
        }
        items["lxd.tar.xz"] = items["incus.tar.xz"].clone();
        items["lxd.tar.xz"]["ftype"] = json!("lxd.tar.xz");
        let mut product = self.products["test:1:amd64:default"].take();
        if product.is_null() {
            product = json!({"aliases": "test/1/default,test/1", "arch": fleet::model::native_architecture(),
                "os": "Test", "release": "1", "release_title": "1", "variant": "default", "versions": {}});
        }
        product["versions"][serial] = json!({ "items": items });
        self.products["test:1:amd64:default"] = product;
        fs::remove_dir_all(&root).expect("removed");
        self.write();
    }

    /// Writes the index and the products.
    pub(crate) fn write(&self) {
        let streams = self.path().join("streams/v1");
        fs::create_dir_all(&streams).expect("a directory");
        let names: Vec<&String> = self.products.as_object().expect("products").keys().collect();
        let index = json!({"format": "index:1.0", "index": {"images": {"datatype": "image-downloads",
            "format": "products:1.0", "path": "streams/v1/images.json", "products": names}}});
        let images = json!({"content_id": "images", "datatype": "image-downloads", "format": "products:1.0",
            "products": self.products});
        fs::write(streams.join("index.json"), index.to_string()).expect("written");
        fs::write(streams.join("images.json"), images.to_string()).expect("written");
    }

    /// The items of the build `serial`, to be spoilt; [`Tree::write`] publishes it.
    pub(crate) fn items(&mut self, serial: &str) -> &mut Value {
        &mut self.products["test:1:amd64:default"]["versions"][serial]["items"]
    }

    /// The path of the archive of the build `serial` as it is asked for.
    pub(crate) fn archive(serial: &str) -> String {
        format!("images/test/1/amd64/default/{}/rootfs.tar.xz", serial.replace(':', "%3A"))
    }

    fn item(&self, ftype: &str, path: &str) -> Value {
        let content = fs::read(self.path().join(path)).expect("readable");
        json!({"ftype": ftype, "path": path, "sha256": sha256(&[&content]), "size": content.len()})
    }

    fn combined(&self, place: &str, root: &str) -> Value {
        let read = |name: &str| fs::read(self.path().join(place).join(name)).expect("readable");
        json!(sha256(&[&read("incus.tar.xz"), &read(root)]))
    }
}

/// The SHA-256 of `parts` one behind the other.
pub(crate) fn sha256(parts: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    fleet::model::hex(&hash.finalize())
}
