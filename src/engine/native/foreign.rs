//! Programs of other architectures than this host's: whether the kernel runs them, and what it is told of them.
//!
//! Some processors run the 32-bit programs of their family themselves. For others a handler of `binfmt_misc` must be there
//! that was opened when it was registered (flag `F`), for a container has no file of the host's (Linux
//! Documentation/admin-guide/binfmt-misc.rst).

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::process::{Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::model::native_architecture;
use crate::sys::{Personality, set_personality};

const HANDLERS: &str = "/proc/sys/fs/binfmt_misc";

/// How the files of an architecture begin: class (1 is 32-bit) and byte order (1 is little-endian) of elf(5), and its machine.
const HEADERS: [(&str, u8, u8, u16); 9] = [
    ("amd64", 2, 1, 62),
    ("arm64", 2, 1, 183),
    ("armel", 1, 1, 40),
    ("armhf", 1, 1, 40),
    ("i386", 1, 1, 3),
    ("loong64", 2, 1, 258),
    ("ppc64el", 2, 1, 21),
    ("riscv64", 2, 1, 243),
    ("s390x", 2, 2, 22),
];

/// `exit(0)` on i386 and on ARM.
const EXIT_I386: [u8; 8] = [0x31, 0xdb, 0x8d, 0x43, 0x01, 0xcd, 0x80, 0x90];
const EXIT_ARM: [u8; 12] = [0x00, 0x00, 0xa0, 0xe3, 0x01, 0x70, 0xa0, 0xe3, 0x00, 0x00, 0x00, 0xef];

/// Whether the kernel runs programs for `arch`, by Debian's name, in a container.
pub(super) fn can_run(arch: &str) -> bool {
    arch == native_architecture() || runs_directly(arch) || has_handler(arch)
}

/// Has the calling process, which is of `arch` from here on, and what comes from it see a kernel of that architecture
/// (uname(2)), as far as this one can pretend to be one.
pub(super) fn pretend(arch: &str) -> io::Result<()> {
    if is_smaller_of_host(arch) { set_personality(Personality::Linux32) } else { Ok(()) }
}

/// Whether `arch` is the 32-bit one of this host's family.
fn is_smaller_of_host(arch: &str) -> bool {
    matches!((native_architecture(), arch), ("amd64", "i386") | ("arm64", "armhf" | "armel"))
}

/// Runs the smallest program there is: no file says whether the kernel was built for it, and the processor made for it.
fn runs_directly(arch: &str) -> bool {
    if !is_smaller_of_host(arch) {
        return false;
    }
    let code: &[u8] = if arch == "i386" { &EXIT_I386 } else { &EXIT_ARM };
    let run = || -> io::Result<bool> {
        let mut file = File::from(memfd_create("fleet", MemfdFlags::CLOEXEC)?);
        file.write_all(&program(arch, code))?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let status = Command::new(path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
        Ok(status?.success())
    };
    run().unwrap_or(false)
}

/// A 32-bit program that is loaded whole and consists of `code`: elf(5), one header of each kind.
fn program(arch: &str, code: &[u8]) -> Vec<u8> {
    const PLACE: u32 = 0x10000;
    const HEADERS_LENGTH: u32 = 52 + 32;
    let length = HEADERS_LENGTH + u32::try_from(code.len()).unwrap_or_default();
    let mut file = header(arch).unwrap_or_default();
    let mut words = |words: &[u32]| file.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    // Version, entry, program headers, section headers, flags (of ARM the ABI's version 5).
    let flags = if arch == "i386" { 0 } else { 0x0500_0000 };
    words(&[1, PLACE + HEADERS_LENGTH, 52, 0, flags]);
    // Lengths of the headers, 52 and 32, and how many there are, two to a word.
    words(&[0x0020_0034, 1, 0]);
    // PT_LOAD, readable and executable.
    words(&[1, 0, PLACE, PLACE, length, length, 5, 0x1000]);
    file.extend(code);
    file
}

/// The first bytes of a program of `arch`.
fn header(arch: &str) -> Option<Vec<u8>> {
    let (_, class, order, machine) = *HEADERS.iter().find(|(name, ..)| *name == arch)?;
    let half = |number: u16| if order == 1 { number.to_le_bytes() } else { number.to_be_bytes() };
    let mut header = vec![0x7f, b'E', b'L', b'F', class, order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header.extend(half(2));
    header.extend(half(machine));
    Some(header)
}

/// Whether a handler takes programs of `arch` and serves containers.
fn has_handler(arch: &str) -> bool {
    let Some(header) = header(arch) else { return false };
    let Ok(entries) = fs::read_dir(HANDLERS) else { return false };
    entries.flatten().any(|entry| fs::read_to_string(entry.path()).is_ok_and(|text| takes(&text, &header)))
}

/// Whether the handler that is described by `text` takes what begins with `header`, and serves containers.
fn takes(text: &str, header: &[u8]) -> bool {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let bytes = |text: &str| -> Option<Vec<u8>> {
        let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
    };
    let Some(magic) = field("magic ").and_then(bytes) else { return false };
    let mask = field("mask ").and_then(bytes).unwrap_or_else(|| vec![0xff; magic.len()]);
    let is_enabled = text.lines().next() == Some("enabled");
    let is_open = field("flags:").is_some_and(|flags| flags.contains('F'));
    let at_begin = field("offset ").is_none_or(|offset| offset == "0");
    let fits = magic.len() <= header.len()
        && magic.len() == mask.len()
        && magic.iter().zip(&mask).zip(header).all(|((magic, mask), byte)| magic & mask == byte & mask);
    is_enabled && is_open && at_begin && fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_is_told_by_magic_and_mask_and_must_be_open() {
        let qemu = "enabled\ninterpreter /usr/libexec/qemu-binfmt/aarch64-binfmt-P\nflags: POCF\noffset 0\n\
            magic 7f454c460201010000000000000000000200b700\nmask ffffffffffffff00fffffffffffffffffeffffff\n";
        let arm64 = header("arm64").expect("it is known");
        assert!(takes(qemu, &arm64));
        assert!(!takes(qemu, &header("s390x").expect("it is known")));
        assert!(!takes(&qemu.replace("POCF", "POC"), &arm64), "it would look for the interpreter in the container");
        assert!(!takes(&qemu.replace("enabled", "disabled"), &arm64));
        assert!(!takes("enabled\n", &arm64) && !takes("", &arm64));
        assert!(can_run(native_architecture()));
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_smallest_program_is_one() {
        let file = program("i386", &EXIT_I386);
        assert_eq!(file.len(), 52 + 32 + EXIT_I386.len());
        // Most kernels have it; those that have not must not be taken for ones that have.
        let config = fs::read_to_string("/proc/kallsyms").unwrap_or_default();
        assert_eq!(
            runs_directly("i386"),
            config.contains(" entry_INT80_compat") || config.contains(" do_int80_emulation")
        );
    }
}
