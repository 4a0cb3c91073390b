//! The tree of names of a session.
//!
//! Owns the one tree and what is mounted in it. It may use chroma, the devices of `io` and what the processes
//! show of themselves; descriptors are the business of `file`.
mod context;
mod disk;
mod proc;
mod setup;
mod sys;
mod write_back;

pub use context::{At, Context, Places};
pub use disk::{disk_of, mount_disk};
pub use setup::{memory_file, memory_root, new_file_system, shut_down, start};

use crate::file::Page;
use alloc::sync::Arc;
use serix_chroma::Vfs;
use spin::Once;

/// A place in the tree.
pub type Location = serix_chroma::Location<Page>;

static VFS: Once<Arc<Vfs<Page>>> = Once::new();

/// The tree of names.
///
/// # Panics
/// Before the root is mounted.
#[must_use]
pub fn vfs() -> &'static Arc<Vfs<Page>> {
    VFS.get().expect("the root is mounted first")
}
