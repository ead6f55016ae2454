//! The root file system of a stored image, as overlayfs shows it to containers.

use std::fs;
use std::path::{Path, PathBuf};

use super::run;

/// A stored image, put together for as long as this lives.
pub(crate) struct Stored {
    dir: tempfile::TempDir,
    mounts: Vec<PathBuf>,
}

impl Stored {
    /// The image `digest` of the installation under `root`.
    pub(crate) fn new(root: &Path, digest: &str) -> Stored {
        let dir = tempfile::Builder::new().prefix("fleet-stored-").tempdir_in("/var/tmp").expect("a directory");
        let mut stored = Stored { dir, mounts: Vec::new() };
        let image = root.join("fleet/images").join(digest);
        let layers: Vec<String> = serde_json::from_slice(&fs::read(image.join("layers.json")).unwrap_or("[]".into()))
            .expect("a list of layers");
        let mut lowers: Vec<String> =
            layers.iter().rev().map(|id| format!("{}/tree", root.join("fleet/layers").join(id).display())).collect();
        // An overlay has no directory twice.
        let mut seen = Vec::new();
        lowers.retain(|lower| {
            !seen.contains(lower) && {
                seen.push(lower.clone());
                true
            }
        });
        let squashfs = image.join("rootfs.squashfs");
        if lowers.is_empty() && squashfs.exists() && !image.join("rootfs").exists() {
            let mask = image.join("mask");
            lowers.extend(mask.is_dir().then(|| mask.display().to_string()));
            stored.mount("squashfs", &["-o", "ro,loop", squashfs.to_str().expect("text")]);
            lowers.push(stored.path().display().to_string());
        }
        if lowers.is_empty() {
            lowers.push(image.join("rootfs").display().to_string());
        }
        // An overlay without a directory for changes has two others at least.
        let empty = stored.dir.path().join("empty");
        fs::create_dir(&empty).expect("a directory");
        lowers.push(empty.display().to_string());
        stored.mount("overlay", &["-o", &format!("ro,lowerdir={}", lowers.join(":")), "overlay"]);
        stored
    }

    fn mount(&mut self, kind: &str, options: &[&str]) {
        let at = self.dir.path().join(kind);
        fs::create_dir(&at).expect("a directory");
        run(self.dir.path(), "mount", &[&["-t", kind][..], options, &[at.to_str().expect("text")]].concat());
        self.mounts.push(at);
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.mounts.last().expect("mounted").clone()
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        for mount in self.mounts.iter().rev() {
            run(Path::new("/"), "umount", &[mount.to_str().expect("text")]);
        }
    }
}
