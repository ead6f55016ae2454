//! The memory of processes that live long and do little.

use std::fs;

/// How far below its present end a stack may have reached, in bytes. The kernel keeps that much unmapped below every
/// stack (`stack_guard_gap`), so nothing else can lie there.
const STACK_REACH: usize = 1 << 20;

/// Gives back to the kernel what the calling process, which has one thread, does not need while it waits: pages of
/// program code, which come back when they are executed, memory that was freed, and stack that earlier calls used.
pub fn give_back_memory() {
    give_back_code();
    give_back_free_memory();
    give_back_free_stack();
}

/// What the C library keeps of freed memory (`malloc_trim(3)`, glibc only).
fn give_back_free_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: it only moves the allocator's own bounds, under the allocator's own lock.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Code is never written to, so its pages are always those of its file: the program's, and libraries'.
fn give_back_code() {
    let maps = fs::read_to_string("/proc/self/maps").unwrap_or_default();
    for (begin, end) in maps.lines().filter_map(code_of) {
        // SAFETY: the mapping is of a file, and unchanged; its next use reads the same bytes from there.
        unsafe {
            libc::madvise(begin as *mut libc::c_void, end - begin, libc::MADV_DONTNEED);
        }
    }
}

/// The bounds of the mapping that a line of `/proc/PID/maps` tells of, if it is of a file's code.
fn code_of(line: &str) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (begin, end) = fields.next()?.split_once('-')?;
    let is_code = fields.next()? == "r-xp" && fields.nth(3).is_some_and(|path| path.starts_with('/'));
    let address = |text| usize::from_str_radix(text, 16).ok();
    if is_code { Some((address(begin)?, address(end)?)) } else { None }
}

/// The pages below the caller's frame.
#[inline(never)]
fn give_back_free_stack() {
    let page = 4096;
    let here = 0_u8;
    // The page below this one may hold what the call itself needs.
    let end = (&raw const here as usize & !(page - 1)) - 2 * page;
    let length = STACK_REACH - 2 * page;
    // SAFETY: what lies between is the stack below every live frame, or unmapped; the call refuses the latter, having
    // done the former.
    unsafe {
        libc::madvise((end - length) as *mut libc::c_void, length, libc::MADV_DONTNEED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_what_is_executed_from_a_file() {
        let line = "55f1257e6000-55f125f00000 r-xp 00001000 fd:00 1234  /usr/bin/fleet";
        assert_eq!(code_of(line), Some((0x55f1_257e_6000, 0x55f1_25f0_0000)));
        assert_eq!(code_of("7ffc74a0b000-7ffc74a0d000 r-xp 00000000 00:00 0  [vdso]"), None);
        assert_eq!(code_of("55f125f00000-55f125f01000 rw-p 00001000 fd:00 1234  /usr/bin/fleet"), None);
        assert!(fs::read_to_string("/proc/self/maps").expect("readable").lines().any(|line| code_of(line).is_some()));
    }
}
