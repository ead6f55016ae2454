//! Whose files a thread makes, and whom it is in a user namespace (credentials(7)).

use std::io;
use std::thread;

use nix::unistd::{Gid, Uid, setfsgid, setfsuid};
use rustix::thread::{self as rthread, CapabilitiesSecureBits};

/// Lets the calling thread change its user ids without losing capabilities (`SECBIT_NO_SETUID_FIXUP`,
/// capabilities(7)).
pub fn keep_capabilities() -> io::Result<()> {
    let bits = CapabilitiesSecureBits::NO_SETUID_FIXUP | CapabilitiesSecureBits::KEEP_CAPS;
    Ok(rthread::set_capabilities_secure_bits(bits)?)
}

/// Undoes [`keep_capabilities`]: what the calling thread becomes, and what comes from it, loses its capabilities with
/// its root, as every daemon that changes its user relies on. A new user namespace begins like this by itself.
pub fn lose_capabilities_with_root() -> io::Result<()> {
    Ok(rthread::set_capabilities_secure_bits(CapabilitiesSecureBits::empty())?)
}

/// Sets the calling thread's effective user and group id. Call [`keep_capabilities`] first.
pub fn set_effective_ids(id: u32) -> io::Result<()> {
    let gid = rustix::process::Gid::from_raw(id);
    let uid = rustix::process::Uid::from_raw(id);
    rthread::set_thread_res_gid(None, gid, None)?;
    Ok(rthread::set_thread_res_uid(None, uid, None)?)
}

/// Makes the calling thread user 0 and group 0 of its user namespace, in no other group.
pub fn become_namespace_root() -> io::Result<()> {
    become_user(0, 0, &[])
}

/// Makes the calling thread, which is root of its user namespace, the user `uid` with the group `gid` and the
/// supplementary `groups`. Whoever is not root then keeps no capability.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    let groups: Vec<_> = groups.iter().map(|gid| rustix::process::Gid::from_raw(*gid)).collect();
    let gid = rustix::process::Gid::from_raw(gid);
    let uid = rustix::process::Uid::from_raw(uid);
    rthread::set_thread_groups(&groups)?;
    rthread::set_thread_res_gid(gid, gid, gid)?;
    Ok(rthread::set_thread_res_uid(uid, uid, uid)?)
}

/// Sets whom the calling thread's new files belong to (setfsuid(2)). Call [`keep_capabilities`] first.
pub fn set_filesystem_ids(id: u32) -> io::Result<()> {
    setfsgid(Gid::from_raw(id));
    setfsuid(Uid::from_raw(id));
    // setfsuid(2) reports no error: ask again with an id that is never valid.
    if setfsuid(Uid::from_raw(u32::MAX)).as_raw() == id { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

/// Runs `work` in a thread of its own whose new files belong to user and group `id` (setfsuid(2)), with all the
/// capabilities of the caller.
pub fn as_filesystem_user<T: Send>(id: u32, work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().spawn_scoped(scope, || {
            keep_capabilities()?;
            set_filesystem_ids(id)?;
            Ok(work())
        })?;
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the thread panicked")))
    })
}
