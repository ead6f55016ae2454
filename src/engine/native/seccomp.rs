//! The system calls that no system container needs and that reach beyond it, for all that a kernel of this
//! architecture runs.
//!
//! In a user namespace the kernel refuses nearly all of them by itself; the filter stands for the day when it does
//! not, and for privileged containers. LXC and Incus refuse the same ones.

use crate::sys::{Refusal, SystemCallFilter, Table};

/// umount2(2) with `MNT_FORCE` (its second argument) breaks a network file system for everybody.
const FORCE: (u32, u32) = (1, 1);

/// The numbers of the refused calls in one architecture.
struct Numbers {
    /// `AUDIT_ARCH_…` of `linux/audit.h`.
    architecture: u32,
    /// See [`Table::end`].
    end: Option<u32>,
    umount2: u32,
    /// Calls that load kernels and modules, open files by handle (which reaches files outside of the root), and switch
    /// swap space.
    refused: &'static [u32],
}

#[cfg(target_arch = "x86_64")]
const ARCHITECTURES: [Numbers; 2] = [
    Numbers {
        architecture: 0xc000_003e,
        // Above are x32's, which no distribution uses.
        end: Some(0x4000_0000),
        umount2: 166,
        // kexec_load, kexec_file_load, init_module, finit_module, delete_module, open_by_handle_at, swapon, swapoff
        refused: &[246, 320, 175, 313, 176, 304, 167, 168],
    },
    // i386, in the order above, without kexec_file_load, which it has not.
    Numbers { architecture: 0x4000_0003, end: None, umount2: 52, refused: &[283, 128, 350, 129, 342, 87, 115] },
];

#[cfg(target_arch = "aarch64")]
const ARCHITECTURES: [Numbers; 2] = [
    Numbers {
        architecture: 0xc000_00b7,
        end: None,
        umount2: 39,
        // kexec_load, kexec_file_load, init_module, finit_module, delete_module, open_by_handle_at, swapon, swapoff
        refused: &[104, 294, 105, 273, 106, 265, 224, 225],
    },
    // 32-bit ARM, in the same order.
    Numbers { architecture: 0x4000_0028, end: None, umount2: 52, refused: &[347, 401, 128, 379, 129, 371, 87, 115] },
];

/// The filter for an ordinary container.
pub(super) fn filter() -> SystemCallFilter {
    let tables = ARCHITECTURES.map(|numbers| {
        let forced = Refusal { call: numbers.umount2, flags: Some(FORCE), errno: libc::EACCES };
        let refused = numbers.refused.iter().map(|call| Refusal { call: *call, flags: None, errno: libc::EPERM });
        Table {
            architecture: numbers.architecture,
            end: numbers.end,
            refusals: std::iter::once(forced).chain(refused).collect(),
        }
    });
    SystemCallFilter::new(&tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_this_architecture_are_the_c_librarys() {
        let calls = [
            libc::SYS_kexec_load,
            libc::SYS_kexec_file_load,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_open_by_handle_at,
            libc::SYS_swapon,
            libc::SYS_swapoff,
        ];
        let own: Vec<i64> = ARCHITECTURES[0].refused.iter().map(|number| i64::from(*number)).collect();
        assert_eq!(own, calls);
        assert_eq!(i64::from(ARCHITECTURES[0].umount2), libc::SYS_umount2);
    }
}
