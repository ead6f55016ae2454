//! The layout on disk, and how files get there, whole or not at all, and trees away.
//!
//! Start at [`Layout`]. This room never interprets what it stores.

mod atomic;
mod boot;
mod host_changes;
mod layout;
mod lock;
mod remove;
mod stored_image;
mod volumes;

pub use atomic::{discard_draft, publish_dir, sync_file_system_of, write_atomic, write_volatile};
pub use boot::boot_id;
pub use host_changes::{Changed, HostChanges};
pub use layout::Layout;
pub use lock::{HostLock, LockError};
pub use remove::remove_tree;
pub use stored_image::{Lower, StoredRoot, layer_trees};
pub use volumes::Volumes;
