//! Single facts and habits of processes.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd};
use std::time::Duration;

use nix::sys::signal::{SigHandler, SigSet, Signal, signal};
use rustix::thread::{CapabilitySet, remove_capability_from_bounding_set};

/// When process `pid` started, in clock ticks since boot: with the pid it tells one process from any other of the
/// same boot. Field 22 of `/proc/PID/stat` (`proc_pid_stat(5)`), counted behind the last `)`, because the name in
/// field 2 may hold anything. `None` if there is no such process or it is a zombie.
pub fn process_start_time(pid: u32) -> io::Result<Option<u64>> {
    let stat = match std::fs::read(format!("/proc/{pid}/stat")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ESRCH) => {
            return Ok(None);
        }
        stat => stat?,
    };
    let stat = String::from_utf8_lossy(&stat);
    let mut fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_ascii_whitespace();
    if matches!(fields.next(), Some("Z" | "X")) {
        return Ok(None);
    }
    let start_time = fields.nth(18).and_then(|field| field.parse().ok());
    start_time.map(Some).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How long ago a process of this boot started whose [`process_start_time`] is `start_time`. Nobody sets the clock that this is
/// read from (`CLOCK_BOOTTIME`, `clock_gettime(2)`).
#[must_use]
pub fn age_of_process(start_time: u64) -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is all that is written to, and lives until the call returns.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_BOOTTIME, &raw mut now) };
    // SAFETY: the call takes a number and touches no memory of ours.
    let ticks_per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let (true, Ok(now_s)) = (result == 0, u64::try_from(now.tv_sec)) else { return Duration::ZERO };
    let started_at_s = u64::try_from(ticks_per_second).ok().and_then(|ticks| start_time.checked_div(ticks));
    Duration::from_secs(now_s.saturating_sub(started_at_s.unwrap_or(now_s)))
}

/// What process `pid` and those that come from it may at most do: capabilities as bits (capabilities(7), "Capability
/// bounding set"), and whether executing a program may give them anything (`PR_SET_NO_NEW_PRIVS`).
pub fn privilege_bounds(pid: u32) -> io::Result<PrivilegeBounds> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let capabilities = field("CapBnd:").and_then(|text| u64::from_str_radix(text, 16).ok());
    let capabilities = capabilities.ok_or_else(|| io::Error::other("its status has no `CapBnd`"))?;
    Ok(PrivilegeBounds { capabilities, no_new_privileges: field("NoNewPrivs:") == Some("1") })
}

/// What a process may at most do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrivilegeBounds {
    capabilities: u64,
    no_new_privileges: bool,
}

impl PrivilegeBounds {
    /// Makes them those of the calling thread as well.
    pub fn apply(self) -> io::Result<()> {
        for number in (0..u64::BITS).filter(|number| self.capabilities & (1 << number) == 0) {
            match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
                // The kernel's last one was the one before.
                Err(rustix::io::Errno::INVAL) => break,
                other => other?,
            }
        }
        if self.no_new_privileges {
            rustix::thread::set_no_new_privs(true)?;
        }
        Ok(())
    }
}

/// Names the calling thread in `/proc/PID/comm`; at most 15 bytes are kept.
pub fn set_process_name(name: &str) -> io::Result<()> {
    let name: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(15).collect();
    Ok(rustix::thread::set_name(&CString::new(name)?)?)
}

/// Sets the resource limit with the kernel's number `resource` of process `pid` (prlimit(2)); `None` is unlimited.
/// Raising a hard limit takes `CAP_SYS_RESOURCE`.
pub fn set_resource_limit(pid: u32, resource: u8, soft: Option<u64>, hard: Option<u64>) -> io::Result<()> {
    let limit = libc::rlimit64 {
        rlim_cur: soft.unwrap_or(libc::RLIM64_INFINITY),
        rlim_max: hard.unwrap_or(libc::RLIM64_INFINITY),
    };
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    // SAFETY: `limit` lives until the call returns, and no old value is asked for.
    let result = unsafe { libc::prlimit64(pid, resource.into(), &raw const limit, std::ptr::null_mut()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Marks every descriptor from `first` on close-on-exec (`close_range(2)`, Linux 5.11).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: only a flag of descriptors changes; none is closed, so no owner in this process is cheated.
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Closes every descriptor from 3 on but `kept`. For a new process that uses nothing of what it was forked with: values
/// of its parent's stack that own other descriptors must never be used or dropped in it.
pub fn close_all_except(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut bounds: Vec<u32> = kept.iter().map(|fd| fd.as_raw_fd().cast_unsigned()).collect();
    bounds.sort_unstable();
    let mut first = 3;
    for bound in bounds.into_iter().chain([u32::MAX]) {
        let last = if bound == u32::MAX { bound } else { bound.saturating_sub(1) };
        if first <= last {
            // SAFETY: whoever owns these descriptors in this process is not used any more, as the caller promises.
            let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
            if result != 0 {
                return Err(io::Error::last_os_error());
            }
        }
        first = bound.saturating_add(1).max(first);
    }
    Ok(())
}

/// Ends the calling process at once with `status`: no value that it has is dropped, and no handler runs. For a process that
/// was forked with what belongs to its parent.
pub fn exit_now(status: u8) -> ! {
    // SAFETY: it does not return, and reads nothing.
    unsafe { libc::_exit(status.into()) }
}

/// What kind of kernel a process sees (personality(2)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personality {
    /// One of this machine's 32-bit architecture.
    Linux32,
}

/// `linux/personality.h`.
const PER_LINUX32: libc::c_ulong = 8;

/// Sets what kind of kernel the calling process sees, and what comes from it.
pub fn set_personality(personality: Personality) -> io::Result<()> {
    let persona = match personality {
        Personality::Linux32 => PER_LINUX32,
    };
    // SAFETY: the call takes a number and touches no memory.
    let before = unsafe { libc::personality(persona) };
    if before < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// What becomes of children that end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Children {
    /// They wait to be asked for their status (`wait(2)`).
    Waited,
    /// They vanish at once (`SIGCHLD` ignored).
    Forgotten,
}

/// Sets what becomes of the calling process's children.
pub fn set_children(children: Children) -> io::Result<()> {
    let action = match children {
        Children::Waited => SigHandler::SigDfl,
        Children::Forgotten => SigHandler::SigIgn,
    };
    // SAFETY: no handler is installed, so no code of ours runs in a signal's context.
    unsafe { signal(Signal::SIGCHLD, action) }?;
    Ok(())
}

/// Gives the calling process the signal dispositions and the mask that a program expects at its start: Rust's
/// runtime ignores `SIGPIPE`, a shell what it starts in the background has to ignore, and execve(2) keeps what is
/// ignored or blocked.
pub fn default_signals() -> io::Result<()> {
    for changeable in Signal::iterator().filter(|one| !matches!(one, Signal::SIGKILL | Signal::SIGSTOP)) {
        // SAFETY: as above, no handler is installed.
        unsafe { signal(changeable, SigHandler::SigDfl) }?;
    }
    Ok(SigSet::empty().thread_set_mask()?)
}

/// Sends the real-time signal `SIGRTMIN + offset` to the process behind `pidfd`. `SIGRTMIN` is the C library's, the
/// one that systemd(1) documents its signals by.
pub fn signal_real_time(pidfd: BorrowedFd<'_>, offset: i32) -> io::Result<()> {
    let signal = libc::SIGRTMIN() + offset;
    let info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo asks for the same as kill(2); nothing else is read.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal, info, 0) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_by_its_start_time() {
        let own = || process_start_time(std::process::id()).expect("readable");
        assert_eq!(own().expect("it runs"), own().expect("it runs"));
        assert_eq!(process_start_time(u32::MAX).expect("nothing to read"), None);
    }

    #[test]
    fn the_age_of_a_process_is_counted_from_its_start() {
        let start_time = process_start_time(std::process::id()).expect("readable").expect("it runs");
        assert!(age_of_process(start_time) < Duration::from_mins(10));
        let uptime = std::fs::read_to_string("/proc/uptime").expect("readable");
        let uptime: u64 = uptime.split('.').next().and_then(|seconds| seconds.parse().ok()).expect("a number");
        assert!(age_of_process(0).as_secs().abs_diff(uptime) < 60);
    }
}
