//! Who asks, and whether the mode bits let him.
use crate::{VfsError, VfsResult};
use alloc::sync::Arc;
use alloc::vec::Vec;

bitflags::bitflags! {
    /// What is wanted of an inode. The bits are those of one octal digit of a mode.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Access: u32 {
        /// Read the contents, list the directory.
        const READ = 4;
        /// Change the contents, the directory's entries.
        const WRITE = 2;
        /// Execute the file, search the directory.
        const EXECUTE = 1;
    }
}

/// User and groups on whose behalf an operation runs.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    /// User id for file access.
    pub uid: u32,
    /// Group id for file access.
    pub gid: u32,
    /// Further groups.
    pub groups: Arc<Vec<u32>>,
    /// Whether mode bits do not bind (CAP_DAC_OVERRIDE), nor ownership (CAP_FOWNER, CAP_CHOWN).
    pub privileged: bool,
}

impl Credentials {
    /// The privileged user 0.
    #[must_use]
    pub fn root() -> Self {
        Self { privileged: true, ..Self::default() }
    }

    /// Whether `gid` is one of the groups.
    #[must_use]
    pub fn in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }

    /// Whether an inode of `uid` may be changed as its owner may.
    #[must_use]
    pub fn owns(&self, uid: u32) -> bool {
        self.privileged || self.uid == uid
    }

    /// Checks `wanted` against the permission bits of an inode.
    ///
    /// # Errors
    /// `Access` if any wanted bit is missing.
    pub fn check(
        &self,
        wanted: Access,
        mode: u32,
        uid: u32,
        gid: u32,
        is_directory: bool,
    ) -> VfsResult<()> {
        let class_shift = if self.uid == uid {
            6
        } else if self.in_group(gid) {
            3
        } else {
            0
        };
        let missing = wanted.bits() & !(mode >> class_shift);
        // Privilege reads and writes anything, but executes only what somebody may execute.
        let overrides = self.privileged
            && (is_directory || missing & Access::EXECUTE.bits() == 0 || mode & 0o111 != 0);
        if missing == 0 || overrides { Ok(()) } else { Err(VfsError::Access) }
    }
}
