//! The inits: how each is told, and how each is asked to shut down.
//!
//! | init | `/sbin/init` leads to | shuts down on |
//! |---|---|---|
//! | systemd | `systemd` | `SIGRTMIN+4` |
//! | sysvinit | `init`, beside an inittab | `SIGPWR` |
//! | openrc-init | `openrc-init` | `SIGPWR` |
//! | runit | `runit`, `runit-init` | `SIGPWR`, `SIGCONT` |
//! | busybox | `busybox` | `SIGUSR2` |
//! | any other `/sbin/init` | | `SIGPWR` |
//! | a program named by `init:` | | `SIGTERM` |
//! | the attendant of `init: entrypoint` | | `SIGTERM`, for which its program gets what the image says |
//!
//! Why: systemd(1) documents its real-time signals, and takes `SIGTERM` for an order to execute itself anew. sysvinit
//! runs the `powerwait` line of inittab(5), which the guest's set-up makes a shutdown. openrc-init has handled
//! `SIGPWR` since 0.45. Debian's runit does too; everybody else's takes `SIGCONT` if `/etc/runit/stopit` may be
//! executed (runit(8)), as LXC's images have it, and ignores the other. busybox's init reboots on `SIGTERM`. For an
//! init that is not known, LXC's default does nothing to who does not expect it (`lxc.container.conf(5)`), whereas many
//! reboot on `SIGTERM`; a program that is no init expects just that, the default of docker-stop(1).
//!
//! Who has not ended by the deadline is killed: `SIGKILL` from outside also ends a namespace's first process, and with
//! it the rest of the namespace (`pid_namespaces(7)`). A reboot is the guest's own doing: there, reboot(2) ends the
//! first process by `SIGHUP`, a halt or power-off by `SIGINT`.

use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::process::{Signal, pidfd_send_signal};

use crate::model::{Init, InitKind};
use crate::sys::{RootDir, signal_real_time};

/// What `program` of the root file system is, told by the name of the file that it leads to; `None` when that is
/// absent or no known init.
pub(super) fn detect_init(root: &RootDir, program: &Path) -> Option<InitKind> {
    let file = root.canonical(program).ok()??;
    let has = |path: &str| root.metadata_followed(Path::new(path)).is_ok_and(|found| found.is_some());
    match file.file_name()?.to_str()? {
        "systemd" => Some(InitKind::Systemd),
        "openrc-init" => Some(InitKind::Openrc),
        "runit" | "runit-init" => Some(InitKind::Runit),
        // One file with many names: only by this one it is an init.
        "busybox" | "busybox.static" => program.ends_with("init").then_some(InitKind::Busybox),
        "init" | "sysvinit" if has("/etc/inittab") => Some(InitKind::Sysvinit),
        _ => None,
    }
}

/// Asks the init behind `pidfd`, which is of this kind and was asked for as `asked`, to shut the guest down.
pub(super) fn ask_to_shut_down(pidfd: BorrowedFd<'_>, kind: Option<InitKind>, asked: &Init) -> std::io::Result<()> {
    let signals: &[Signal] = match (kind, asked) {
        (Some(InitKind::Systemd), _) => return signal_real_time(pidfd, 4),
        (Some(InitKind::Busybox), _) => &[Signal::USR2],
        (Some(InitKind::Runit), _) => &[Signal::POWER, Signal::CONT],
        (Some(InitKind::Sysvinit | InitKind::Openrc), _) | (None, Init::Auto | Init::Kind(_)) => &[Signal::POWER],
        (None, Init::Path(_) | Init::Entrypoint) => &[Signal::TERM],
    };
    Ok(signals.iter().try_for_each(|signal| pidfd_send_signal(pidfd, *signal))?)
}
