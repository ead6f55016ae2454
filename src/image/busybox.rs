//! The built-in image: a root file system that fleet assembles from a static busybox.

use std::ffi::OsStr;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::Timespec;
use sha2::{Digest as _, Sha256};

use super::digest::hex;
use super::error::TreeError;
use super::file_hashes::FileHashes;
use super::tree::{Attributes, Tree, inside};
use crate::model::ImageDigest;

/// Begins what is hashed. **Another number whenever [`build`] makes something else of the same program.**
const RECIPE: &str = "fleet-busybox-1\n";

/// The time of everything in it, so that the same program makes the same image: 2025-01-01.
const BUILT_AT_S: i64 = 1_735_689_600;

const DIRECTORIES: &[(&str, u32)] = &[
    ("", 0o755),
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/init.d", 0o755),
    ("home", 0o755),
    ("mnt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/tmp", 0o1777),
];

const FILES: &[(&str, u32, &str)] = &[
    ("etc/group", 0o644, "root:x:0:\ntty:x:5:\nwheel:x:10:\nusers:x:100:\nnobody:x:65534:\n"),
    ("etc/init.d/rcS", 0o755, RCS),
    ("etc/inittab", 0o644, INITTAB),
    ("etc/os-release", 0o644, "ID=busybox\nNAME=\"BusyBox\"\nPRETTY_NAME=\"BusyBox, assembled by fleet\"\n"),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n"),
    ("etc/profile", 0o644, "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"),
    // `*` and not `!`: no password fits, but keys of an SSH server do.
    ("etc/shadow", 0o600, "root:*:20089:0:99999:7:::\nnobody:*:20089:0:99999:7:::\n"),
    ("etc/shells", 0o644, "/bin/sh\n/bin/ash\n"),
];

/// What init runs. There is no `shutdown` line on purpose: init ends all processes by itself, and to unmount or sync
/// anything is not a guest's affair, for its mounts go with it.
const INITTAB: &str = "\
::sysinit:/etc/init.d/rcS
console::askfirst:-/bin/sh
::ctrlaltdel:/sbin/reboot
::restart:/sbin/init
";

/// The first thing that init runs. Mounts and links are there already when it does.
const RCS: &str = "\
#!/bin/sh
[ -s /etc/hostname ] && hostname -F /etc/hostname
exit 0
";

/// Applets for a busybox that cannot list its own: those that a container needs.
const APPLETS: &str = "\
bin/ash bin/cat bin/chgrp bin/chmod bin/chown bin/cp bin/date bin/dd bin/df bin/dmesg bin/echo bin/egrep bin/false \
bin/fgrep bin/grep bin/gunzip bin/gzip bin/hostname bin/kill bin/ln bin/login bin/ls bin/mkdir bin/mknod bin/mktemp \
bin/more bin/mount bin/mv bin/netstat bin/pidof bin/ping bin/ping6 bin/ps bin/pwd bin/rm bin/rmdir bin/sed bin/sh \
bin/sleep bin/stty bin/su bin/sync bin/tar bin/touch bin/true bin/umount bin/uname bin/usleep bin/vi bin/zcat \
sbin/getty sbin/halt sbin/ifconfig sbin/init sbin/ip sbin/klogd sbin/logread sbin/poweroff sbin/reboot sbin/route \
sbin/sysctl sbin/syslogd sbin/udhcpc usr/bin/[ usr/bin/[[ usr/bin/awk usr/bin/basename usr/bin/clear usr/bin/cmp \
usr/bin/cut usr/bin/dirname usr/bin/du usr/bin/env usr/bin/expr usr/bin/find usr/bin/free usr/bin/head usr/bin/id \
usr/bin/killall usr/bin/less usr/bin/logger usr/bin/md5sum usr/bin/nc usr/bin/nslookup usr/bin/od usr/bin/printf \
usr/bin/readlink usr/bin/realpath usr/bin/seq usr/bin/sha256sum usr/bin/sort usr/bin/stat usr/bin/tail usr/bin/tee \
usr/bin/test usr/bin/timeout usr/bin/top usr/bin/tr usr/bin/traceroute usr/bin/uniq usr/bin/uptime usr/bin/wc \
usr/bin/wget usr/bin/which usr/bin/whoami usr/bin/xargs usr/bin/yes usr/sbin/chroot";

/// What the image of the program with the SHA-256 `program` is known by.
pub(super) fn digest(program: &str) -> ImageDigest {
    ImageDigest(hex(Sha256::new_with_prefix(RECIPE).chain_update(program)))
}

/// The applets of the busybox `program` by the paths that they want, in order; always with an init.
pub(super) fn applets(program: &Path) -> Vec<String> {
    let listed = Command::new(program).arg("--list-full").stdin(Stdio::null()).stderr(Stdio::null()).output();
    let listed = listed.ok().filter(|output| output.status.success()).map(|output| output.stdout).unwrap_or_default();
    let listed = String::from_utf8_lossy(&listed);
    // `linuxrc`, the one applet at the top, is for initial ram disks.
    let mut applets: Vec<String> =
        listed.lines().filter(|applet| applet.contains('/') && *applet != "bin/busybox").map(str::to_owned).collect();
    if applets.is_empty() {
        applets = APPLETS.split(' ').map(str::to_owned).collect();
    }
    applets.extend(["bin/sh", "sbin/init"].map(str::to_owned));
    applets.sort();
    applets.dedup();
    applets
}

/// Writes the root file system around `program` into `tree`; returns the hashes of its files.
pub(super) fn build(mut tree: Tree, program: &[u8], applets: &[String]) -> Result<FileHashes, TreeError> {
    for (path, mode) in DIRECTORIES {
        tree.directory(Path::new(path), &attributes(*mode))?;
    }
    for applet in applets {
        tree.symlink(&inside(applet.as_bytes())?, OsStr::new("/bin/busybox"), &attributes(0o777))?;
    }
    tree.symlink(Path::new("var/run"), OsStr::new("/run"), &attributes(0o777))?;
    for (path, mode, text) in FILES {
        write(&mut tree, Path::new(path), *mode, text.as_bytes())?;
    }
    write(&mut tree, Path::new("bin/busybox"), 0o755, program)?;
    tree.finish()
}

fn write(tree: &mut Tree, path: &Path, mode: u32, bytes: &[u8]) -> Result<(), TreeError> {
    let size = bytes.len() as u64;
    tree.file(path, size, &attributes(mode), |file| file.write_all(bytes).map_err(TreeError::write(path)))
}

fn attributes(mode: u32) -> Attributes {
    let mtime = Timespec { tv_sec: BUILT_AT_S, tv_nsec: 0 };
    Attributes { mode, uid: 0, gid: 0, mtime, xattrs: Vec::new(), named: Vec::new() }
}
