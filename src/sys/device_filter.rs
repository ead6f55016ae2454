//! Which devices the processes of a cgroup of version 2 may use: a small program that the kernel asks at every open(2)
//! and mknod(2) of a device (bpf(2), `BPF_PROG_TYPE_CGROUP_DEVICE`; Documentation/admin-guide/cgroup-v2.rst, "Device
//! controller").

use std::io;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};

/// Devices that may be read and written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedDevice {
    /// Whether it is a block device; else it is a character device.
    pub is_block: bool,
    /// Its major number.
    pub major: u32,
    /// Its minor number; all of them when not given.
    pub minor: Option<u32>,
}

/// One instruction (`struct bpf_insn`).
#[repr(C)]
#[derive(Debug, Clone, Copy)]
struct Instruction {
    code: u8,
    /// The register that it writes in the lower half, the one that it reads in the upper.
    registers: u8,
    offset: i16,
    value: i32,
}

const LOAD_WORD: u8 = 0x61;
const AND: u8 = 0x54;
const SHIFT_RIGHT: u8 = 0x74;
const MOVE: u8 = 0xbc;
const SET: u8 = 0xb4;
const JUMP_UNLESS_EQUAL: u8 = 0x55;
const EXIT: u8 = 0x95;

/// Registers: the answer, the argument, and what is taken from it.
const ANSWER: u8 = 0;
const ARGUMENT: u8 = 1;
const KIND: u8 = 2;
const ACCESS: u8 = 3;
const MAJOR: u8 = 4;
const MINOR: u8 = 5;

/// `enum`s of `struct bpf_cgroup_dev_ctx` in `linux/bpf.h`.
const KIND_BLOCK: i32 = 1;
const KIND_CHARACTER: i32 = 2;
const ACCESS_MAKE: i32 = 1;

const PROGRAM_LOAD: libc::c_int = 5;
const PROGRAM_ATTACH: libc::c_int = 8;
const TYPE_CGROUP_DEVICE: u32 = 15;
const ATTACH_CGROUP_DEVICE: u32 = 6;

/// The part of `union bpf_attr` that loads a program.
#[repr(C)]
#[derive(Default)]
struct LoadAttributes {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log_buffer: u64,
    kernel_version: u32,
    flags: u32,
}

/// The part of `union bpf_attr` that attaches one.
#[repr(C)]
#[derive(Default)]
struct AttachAttributes {
    target: u32,
    program: u32,
    attach_type: u32,
    flags: u32,
}

/// Lets the processes of the cgroup with the directory `group` use only `devices`, and make nodes of any. What was said
/// before of this group does not hold any more. Nobody below may say otherwise.
pub fn allow_only(group: BorrowedFd<'_>, devices: &[AllowedDevice]) -> io::Result<()> {
    let program = load(&assemble(devices))?;
    let attributes = AttachAttributes {
        target: group.as_raw_fd().cast_unsigned(),
        program: program.as_raw_fd().cast_unsigned(),
        attach_type: ATTACH_CGROUP_DEVICE,
        flags: 0,
    };
    // SAFETY: `attributes` lives until the call returns; its size is passed.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_ATTACH, &raw const attributes, size_of::<AttachAttributes>()) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn load(program: &[Instruction]) -> io::Result<OwnedFd> {
    let attributes = LoadAttributes {
        program_type: TYPE_CGROUP_DEVICE,
        instruction_count: u32::try_from(program.len()).map_err(io::Error::other)?,
        instructions: program.as_ptr() as u64,
        // It calls no function of the kernel's, so that no licence matters.
        license: c"".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    // SAFETY: `attributes` and what it points to live until the call returns; its size is passed.
    let fd = unsafe { libc::syscall(libc::SYS_bpf, PROGRAM_LOAD, &raw const attributes, size_of::<LoadAttributes>()) };
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just made the descriptor, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The program: 1 allows, 0 refuses.
fn assemble(devices: &[AllowedDevice]) -> Vec<Instruction> {
    let one = |code, to: u8, from: u8, offset, value| Instruction { code, registers: to | from << 4, offset, value };
    let allow = [one(SET, ANSWER, 0, 0, 1), one(EXIT, 0, 0, 0, 0)];
    let mut program = vec![
        // The first word has the kind in its lower half and the access in its upper.
        one(LOAD_WORD, KIND, ARGUMENT, 0, 0),
        one(MOVE, ACCESS, KIND, 0, 0),
        one(AND, KIND, 0, 0, 0xffff),
        one(SHIFT_RIGHT, ACCESS, 0, 0, 16),
        one(LOAD_WORD, MAJOR, ARGUMENT, 4, 0),
        one(LOAD_WORD, MINOR, ARGUMENT, 8, 0),
        one(JUMP_UNLESS_EQUAL, ACCESS, 0, 2, ACCESS_MAKE),
    ];
    program.extend(allow);
    for device in devices {
        let kind = if device.is_block { KIND_BLOCK } else { KIND_CHARACTER };
        let mut conditions = vec![(KIND, kind), (MAJOR, device.major.cast_signed())];
        conditions.extend(device.minor.map(|minor| (MINOR, minor.cast_signed())));
        let count = i16::try_from(conditions.len()).expect("there are three");
        for (place, (register, value)) in (1_i16..).zip(conditions) {
            // Past the conditions that follow, and past what allows.
            program.push(one(JUMP_UNLESS_EQUAL, register, 0, count - place + 2, value));
        }
        program.extend(allow);
    }
    program.extend([one(SET, ANSWER, 0, 0, 0), one(EXIT, 0, 0, 0, 0)]);
    program
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the program answers, worked out as the kernel does.
    fn answer(program: &[Instruction], word: i32, major: i32, minor: i32) -> i32 {
        let mut registers = [0_i32; 16];
        let mut place = 0;
        loop {
            let Instruction { code, registers: pair, offset, value } = program[place];
            let (to, from) = (usize::from(pair & 15), usize::from(pair >> 4));
            place += 1;
            match code {
                LOAD_WORD => registers[to] = [word, major, minor][usize::try_from(offset / 4).expect("positive")],
                MOVE => registers[to] = registers[from],
                AND => registers[to] &= value,
                SHIFT_RIGHT => registers[to] >>= value,
                SET => registers[to] = value,
                JUMP_UNLESS_EQUAL if registers[to] != value => {
                    place += usize::try_from(offset).expect("only forward");
                }
                JUMP_UNLESS_EQUAL => {}
                EXIT => return registers[usize::from(ANSWER)],
                other => panic!("no code {other}"),
            }
        }
    }

    #[test]
    fn only_the_devices_that_are_named_may_be_used_and_any_be_made() {
        let program = assemble(&[
            AllowedDevice { is_block: false, major: 1, minor: Some(3) },
            AllowedDevice { is_block: false, major: 136, minor: None },
        ]);
        let (read_character, read_block, make_block) = (2 << 16 | 2, 2 << 16 | 1, 1 << 16 | 1);
        assert_eq!(answer(&program, read_character, 1, 3), 1);
        assert_eq!(answer(&program, read_character, 1, 1), 0);
        assert_eq!(answer(&program, read_character, 136, 9), 1);
        assert_eq!(answer(&program, read_block, 1, 3), 0);
        assert_eq!(answer(&program, make_block, 8, 0), 1);
    }
}
