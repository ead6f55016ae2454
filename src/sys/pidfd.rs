//! What a pidfd tells of a process that is not the caller's child (`pidfd_open(2)`).

use std::os::fd::{AsRawFd as _, BorrowedFd};

/// `struct pidfd_info` of <linux/pidfd.h>, its first version (64 bytes). Later kernels accept it.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    pid: u32,
    thread_group: u32,
    parent: u32,
    ids: [u32; 8],
    exit_code: i32,
}

/// Asks for, and then says that there is, the exit code (Linux 6.15).
const PIDFD_INFO_EXIT: u64 = 1 << 3;

/// `_IOWR(0xFF, 11, struct pidfd_info)`.
const PIDFD_GET_INFO: libc::c_ulong = 0xc040_ff0b;

/// The status, as of wait(2), of the process behind `pidfd` once its parent has asked for it; `None` before, and on
/// kernels before 6.15. It is that of the process's own end: how `reboot(2)` ended a pid namespace is not in it.
#[must_use]
pub fn reaped_status(pidfd: BorrowedFd<'_>) -> Option<i32> {
    let mut info = PidfdInfo { mask: PIDFD_INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the request's number says how large `info` is, and it lives until the call returns.
    let result = unsafe { libc::ioctl(pidfd.as_raw_fd(), PIDFD_GET_INFO, &raw mut info) };
    (result == 0 && info.mask & PIDFD_INFO_EXIT != 0).then_some(info.exit_code)
}

/// The status, as of wait(2), of the process `pid` that started at `start_time` and has ended, while nobody has asked
/// for it yet; `None` afterwards. `reboot(2)` in a pid namespace is in it. Field 52 of `/proc/PID/stat`
/// (`proc_pid_stat(5)`).
#[must_use]
pub fn unreaped_status(pid: u32, start_time: u64) -> Option<i32> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, rest) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    let is_it = *fields.first()? == "Z" && fields.get(19)?.parse() == Ok(start_time);
    if is_it { fields.get(49)?.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd as _;
    use std::process::Command;

    use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, pidfd_open, waitid};

    use super::*;
    use crate::sys::process_start_time;

    #[test]
    fn a_status_is_seen_before_and_after_the_parent_asked_for_it() {
        assert_eq!(size_of::<PidfdInfo>(), 64);
        let mut child = Command::new("sleep").arg("0.05").spawn().expect("it runs");
        let start_time = process_start_time(child.id()).expect("readable").expect("it runs");
        assert_eq!(unreaped_status(child.id(), start_time), None);
        let pid = Pid::from_child(&child);
        let pidfd = pidfd_open(pid, PidfdFlags::empty()).expect("it runs");
        assert_eq!(reaped_status(pidfd.as_fd()), None);
        waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT).expect("it ends");
        assert_eq!(unreaped_status(child.id(), start_time), Some(0));
        assert_eq!(unreaped_status(child.id(), start_time + 1), None);
        child.wait().expect("it has ended");
        assert_eq!(unreaped_status(child.id(), start_time), None);
    }
}
