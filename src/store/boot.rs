//! Which boot this is.

use std::fs;
use std::io;

/// The identity of this boot, which no other has (`/proc/sys/kernel/random/boot_id`, random(4)).
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}
