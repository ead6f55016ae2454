//! Whether a program runs without libraries.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

/// The program header type of a program that wants an interpreter, which loads its libraries (elf(5)).
const PT_INTERP: u32 = 3;

/// Whether `file` is a program of this host's byte order that names no interpreter: a statically linked one.
pub(super) fn is_static(file: &File) -> io::Result<bool> {
    let mut head = [0; 64];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        other => other?,
    }
    let order = if cfg!(target_endian = "little") { 1 } else { 2 };
    // Where the fields of the file header stand: start, size and number of program headers.
    let layout = match (head.starts_with(b"\x7fELF"), head[4], head[5] == order) {
        (true, 1, true) => (u64::from(u32_at(&head, 28)), u16_at(&head, 42), u16_at(&head, 44)),
        (true, 2, true) => (u64_at(&head, 32), u16_at(&head, 54), u16_at(&head, 56)),
        _ => return Ok(false),
    };
    let (start, size, count) = layout;
    for index in 0..u64::from(count) {
        let Some(at) = start.checked_add(index * u64::from(size)) else { return Ok(false) };
        let mut kind = [0; 4];
        file.read_exact_at(&mut kind, at)?;
        if u32::from_ne_bytes(kind) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(count > 0)
}

fn u16_at(bytes: &[u8; 64], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8; 64], at: usize) -> u32 {
    u32::from_ne_bytes(*bytes[at..].first_chunk().expect("the callers' offsets are inside the header"))
}

fn u64_at(bytes: &[u8; 64], at: usize) -> u64 {
    u64::from_ne_bytes(*bytes[at..].first_chunk().expect("the callers' offsets are inside the header"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn check(path: &Path) -> bool {
        is_static(&File::open(path).expect("it is there")).expect("it is readable")
    }

    #[test]
    fn a_program_with_libraries_is_told_from_one_without_and_from_text() {
        let myself = std::env::current_exe().expect("this test is a program");
        assert!(!check(&myself));
        let dir = tempfile::tempdir().expect("a temporary directory");
        let text = dir.path().join("text");
        std::fs::write(&text, [b'x'; 100]).expect("a file");
        assert!(!check(&text));
        std::fs::write(&text, "short").expect("a file");
        assert!(!check(&text));
    }
}
