//! Filters of system calls (seccomp(2), Documentation/userspace-api/seccomp_filter.rst).

use std::io;

use libc::sock_filter;

/// One system call that is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// Its number, in the table's architecture.
    pub call: u32,
    /// Refused only if this argument, counted from 0, has one of these bits set.
    pub flags: Option<(u32, u32)>,
    /// The error that the caller gets.
    pub errno: i32,
}

/// What is refused to programs of one architecture; what is not named is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The architecture (`AUDIT_ARCH_…` of `linux/audit.h`).
    pub architecture: u32,
    /// From this number on no call exists (`ENOSYS`): x32 has its own at 2^30.
    pub end: Option<u32>,
    /// What is refused.
    pub refusals: Vec<Refusal>,
}

/// A filter, ready to be installed. Architectures without a table have no system calls (`ENOSYS`).
#[derive(Debug, Clone)]
pub struct SystemCallFilter(Vec<sock_filter>);

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCHITECTURE: u32 = 4;
const ARGUMENTS: u32 = 16;
/// Where the lower half of a 64-bit argument lies.
const LOWER_HALF: u32 = if cfg!(target_endian = "big") { 4 } else { 0 };

const LOAD: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JUMP: u32 = libc::BPF_JMP | libc::BPF_JA;
const JUMP_IF_EQUAL: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JUMP_IF_FROM: u32 = libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K;
const JUMP_IF_BITS: u32 = libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K;
const RETURN: u32 = libc::BPF_RET | libc::BPF_K;

impl SystemCallFilter {
    /// The filter that refuses what `tables` name.
    #[must_use]
    pub fn new(tables: &[Table]) -> SystemCallFilter {
        let mut program = Vec::new();
        for table in tables {
            let body = body(table);
            program.push(instruction(LOAD, ARCHITECTURE));
            program.push(branch(JUMP_IF_EQUAL, table.architecture, 1, 0));
            program.push(instruction(JUMP, u32::try_from(body.len()).unwrap_or(u32::MAX)));
            program.extend(body);
        }
        program.push(refuse(libc::ENOSYS));
        SystemCallFilter(program)
    }

    /// Filters the calls of the calling thread and of all its children from now on. It cannot be undone. The caller
    /// has `CAP_SYS_ADMIN` in its user namespace.
    pub fn install(&self) -> io::Result<()> {
        let program = libc::sock_fprog {
            len: u16::try_from(self.0.len()).map_err(io::Error::other)?,
            filter: self.0.as_ptr().cast_mut(),
        };
        // SAFETY: the kernel reads `len` instructions at `filter` and keeps no pointer to them.
        let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
        if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// What is done for a program of the table's architecture.
fn body(table: &Table) -> Vec<sock_filter> {
    let mut body = vec![instruction(LOAD, NUMBER)];
    if let Some(end) = table.end {
        body.extend([branch(JUMP_IF_FROM, end, 0, 1), refuse(libc::ENOSYS)]);
    }
    for Refusal { call, flags, errno } in &table.refusals {
        match flags {
            None => body.extend([branch(JUMP_IF_EQUAL, *call, 0, 1), refuse(*errno)]),
            Some((argument, bits)) => body.extend([
                branch(JUMP_IF_EQUAL, *call, 0, 4),
                instruction(LOAD, ARGUMENTS + 8 * argument + LOWER_HALF),
                branch(JUMP_IF_BITS, *bits, 0, 1),
                refuse(*errno),
                instruction(LOAD, NUMBER),
            ]),
        }
    }
    body.push(instruction(RETURN, libc::SECCOMP_RET_ALLOW));
    body
}

fn refuse(errno: i32) -> sock_filter {
    instruction(RETURN, libc::SECCOMP_RET_ERRNO | (errno.cast_unsigned() & libc::SECCOMP_RET_DATA))
}

fn instruction(code: u32, k: u32) -> sock_filter {
    branch(code, k, 0, 0)
}

/// Goes on `yes` instructions further on if the condition holds, else `no`.
fn branch(code: u32, k: u32, yes: u8, no: u8) -> sock_filter {
    // Codes have 16 bits; the C library's constants only happen to be wider.
    sock_filter { code: u16::try_from(code).unwrap_or(u16::MAX), jt: yes, jf: no, k }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: u32 = 7;
    const OTHER: u32 = 8;

    /// What the filter answers to a call, worked out as the kernel does.
    fn answer(filter: &SystemCallFilter, architecture: u32, call: u32, argument: u32) -> u32 {
        let (mut place, mut loaded) = (0, 0);
        loop {
            let sock_filter { code, jt, jf, k } = filter.0[place];
            let jump = |holds: bool| usize::from(if holds { jt } else { jf });
            place += 1;
            match u32::from(code) {
                LOAD => {
                    loaded = match k {
                        NUMBER => call,
                        ARCHITECTURE => architecture,
                        _ => argument,
                    }
                }
                JUMP => place += k as usize,
                JUMP_IF_EQUAL => place += jump(loaded == k),
                JUMP_IF_FROM => place += jump(loaded >= k),
                JUMP_IF_BITS => place += jump(loaded & k != 0),
                RETURN => return k,
                other => panic!("no code {other}"),
            }
        }
    }

    #[test]
    fn only_what_a_table_names_is_refused_and_only_to_its_architecture() {
        let refusals = vec![
            Refusal { call: 5, flags: Some((1, 0b1)), errno: libc::EACCES },
            Refusal { call: 6, flags: None, errno: libc::EPERM },
        ];
        let filter = SystemCallFilter::new(&[
            Table { architecture: HERE, end: Some(100), refusals },
            Table { architecture: OTHER, end: None, refusals: Vec::new() },
        ]);
        let errno = |errno: i32| libc::SECCOMP_RET_ERRNO | errno.cast_unsigned();
        let allowed = libc::SECCOMP_RET_ALLOW;
        assert_eq!(answer(&filter, HERE, 6, 0), errno(libc::EPERM));
        assert_eq!(answer(&filter, HERE, 5, 0b11), errno(libc::EACCES));
        assert_eq!(answer(&filter, HERE, 5, 0b10), allowed);
        assert_eq!(answer(&filter, HERE, 4, 0b11), allowed);
        assert_eq!(answer(&filter, HERE, 100, 0), errno(libc::ENOSYS));
        assert_eq!(answer(&filter, OTHER, 6, 0), allowed);
        assert_eq!(answer(&filter, 9, 4, 0), errno(libc::ENOSYS));
    }
}
