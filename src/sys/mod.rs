//! The safe skin over the kernel, and the only place with `unsafe`. It does not know fleet's words.
//!
//! One file for each kernel subject. What rustix or nix have safely is used from there directly.

#![expect(unsafe_code, reason = "this is the one room for it")]

mod clone;
mod credentials;
mod device_filter;
mod found;
mod frame;
mod keyring;
mod memory;
mod message;
mod mount_attributes;
mod overlay;
mod pidfd;
mod power;
mod process;
mod pty;
mod read;
mod rootdir;
mod seccomp;
mod squashfs;
mod user_namespace;
mod walk;
mod writeback;
mod xattrs;

pub use clone::{CloneRequest, Cloned, clone_into, fork, is_single_threaded};
pub use credentials::{
    as_filesystem_user, become_namespace_root, become_user, keep_capabilities, lose_capabilities_with_root,
    set_effective_ids, set_filesystem_ids,
};
pub use device_filter::{AllowedDevice, allow_only};
pub use found::{Attributes, Found, Links};
pub use frame::send_frame;
pub use keyring::join_new_session_keyring;
pub use memory::give_back_memory;
pub use message::{MessageSocket, Received};
pub use mount_attributes::{
    TreeAttributes, copy_of_mount, copy_of_tree, map_ids_of_mount, set_read_only, set_tree_attributes,
};
pub use overlay::{Devices, Overlay, most_overlay_lowers};
pub use pidfd::{reaped_status, unreaped_status};
pub use power::{GuestIds, is_not_the_guests};
pub use process::{
    Children, Personality, PrivilegeBounds, age_of_process, close_all_except, close_on_exec_from, default_signals,
    exit_now, privilege_bounds, process_start_time, set_children, set_personality, set_process_name,
    set_resource_limit, signal_real_time,
};
pub use pty::{Pty, open_pty, peer_of};
pub use rootdir::{FileKind, Metadata, RootDir};
pub use seccomp::{Refusal, SystemCallFilter, Table};
pub use squashfs::{can_map_squashfs, knows_squashfs, mount_squashfs};
pub use user_namespace::user_namespace_of_one;
pub use writeback::begin_writeback;
pub use xattrs::{FILE_CAPABILITIES, Xattr, capabilities_of_guest, read_xattrs, write_xattr};
