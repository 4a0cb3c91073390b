//! Listing directories.
use super::File;
use crate::vfs::OpenFlags;
use crate::{DirectoryEntry, DirectorySink, FileKind, Page, VfsError, VfsResult};
use core::sync::atomic::Ordering;

/// Positions before the file system's own: `.`, then `..`, then its start.
const PARENT: u64 = 1;
const OWN: u64 = 2;

/// Passes entries on and remembers behind which one to go on.
struct Tracking<'a> {
    sink: &'a mut dyn DirectorySink,
    next: u64,
    is_full: bool,
    count: usize,
}

impl DirectorySink for Tracking<'_> {
    fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool {
        if self.is_full || !self.sink.entry(entry) {
            self.is_full = true;
            return false;
        }
        self.next = entry.next;
        self.count += 1;
        true
    }
}

impl<P: Page> File<P> {
    /// Lists entries from the position on, `.` and `..` first, until the sink is full. Answers how
    /// many it took; `None` if it could not take even the first.
    ///
    /// # Errors
    /// `NotDirectory`, `BadDescriptor`, `NotFound` for a removed directory, and those of the file
    /// system.
    pub async fn read_directory(&self, sink: &mut dyn DirectorySink) -> VfsResult<Option<usize>> {
        self.check(OpenFlags::READ)?;
        let node = self.node();
        if !node.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        if node.has_no_name() {
            return Err(VfsError::NotFound);
        }
        let _guard = self.moving.lock().await;
        let mut tracking = Tracking { sink, next: self.position(), is_full: false, count: 0 };
        self.own_entries(&mut tracking);
        if !tracking.is_full {
            let cookie = if tracking.next == OWN { 0 } else { tracking.next };
            node.inode().read_directory(cookie, &mut tracking).await?;
        }
        self.position.store(tracking.next, Ordering::Relaxed);
        Ok((tracking.count > 0 || !tracking.is_full).then_some(tracking.count))
    }

    fn own_entries(&self, tracking: &mut Tracking<'_>) {
        let node = self.node();
        if tracking.next < PARENT {
            tracking.entry(&own(b".", node.ino(), PARENT));
        }
        if tracking.next == PARENT && !tracking.is_full {
            let parent = node.place.lock().as_ref().map(|place| place.parent.ino());
            tracking.entry(&own(b"..", parent.unwrap_or(node.ino()), OWN));
        }
    }
}

fn own(name: &[u8], ino: u64, next: u64) -> DirectoryEntry<'_> {
    DirectoryEntry { name, ino, kind: FileKind::Directory, next }
}
