//! Real root file systems, built once by mmdebstrap from the packages that this machine's APT knows, and kept in the
//! target directory as archives.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a root file system is made of.
#[derive(Debug, Clone, Copy, Hash)]
pub(crate) struct Recipe {
    pub(crate) name: &'static str,
    /// The release of Debian: `bookworm`.
    pub(crate) suite: &'static str,
    /// What it has beside Debian's minimum, set apart by commas.
    pub(crate) packages: &'static str,
    /// Shell commands run at the end, with the root file system as `$1`.
    pub(crate) hooks: &'static [&'static str],
}

impl Recipe {
    /// The root file system as an archive; built if it is not there.
    pub(crate) fn archive(&self) -> PathBuf {
        let mut hash = DefaultHasher::new();
        self.hash(&mut hash);
        let file_name = format!("{}-{:08x}.tar.zst", self.name, hash.finish() & 0xffff_ffff);
        let archive = Path::new(env!("CARGO_TARGET_TMPDIR")).join(file_name);
        // Whoever else wants the same one waits until it is there.
        let lock = File::create(archive.with_extension("lock")).expect("the target directory is writable");
        lock.lock().expect("a file can be locked");
        if !archive.exists() {
            self.build(&archive);
        }
        archive
    }

    fn build(&self, archive: &Path) {
        let draft = archive.with_extension("new.zst");
        let built = Command::new("mmdebstrap")
            .args(["--quiet", "--variant=minbase", "--format=tar", &format!("--include={}", self.packages)])
            .args(self.hooks.iter().map(|hook| format!("--customize-hook={hook}")))
            .arg(self.suite)
            .arg(&draft)
            .status();
        assert!(built.expect("mmdebstrap is installed").success(), "{self:?}");
        fs::rename(&draft, archive).expect("renamed");
    }
}

/// Alpine's arrangement, made of Debian's packages: busybox as PID 1, which runs `OpenRC`.
const LIKE_ALPINE: Recipe = Recipe {
    name: "like-alpine",
    suite: "bookworm",
    packages: "openrc,busybox-static,iproute2,iputils-ping",
    hooks: &[
        "for name in init reboot poweroff halt ifup ifdown; do ln -sf /bin/busybox \"$1/sbin/$name\"; done",
        "printf '%s\\n' '::sysinit:/sbin/openrc sysinit' '::sysinit:/sbin/openrc boot' '::wait:/sbin/openrc default' \
         'tty1::respawn:/sbin/getty 38400 tty1' '::ctrlaltdel:/sbin/reboot' '::shutdown:/sbin/openrc shutdown' \
         > \"$1/etc/inittab\"",
    ],
};

/// The archive of an Alpine root file system: the one that `FLEET_TEST_ALPINE` names, or one that is like it.
pub(crate) fn alpine() -> PathBuf {
    std::env::var_os("FLEET_TEST_ALPINE").map_or_else(|| LIKE_ALPINE.archive(), PathBuf::from)
}
