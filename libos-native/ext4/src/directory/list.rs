//! Listing a directory with cookies that stay valid while it changes.
//!
//! With `dir_index`, entries come in the order of their hashes, as leaves are split along hashes:
//! an entry that stays is listed exactly once. Without, blocks never exchange entries, and the
//! cookie is a byte offset.
use crate::error::Result;
use crate::file_system::Ext4;
use crate::kind::Kind;
use crate::layout::directory::{self as block, Entry};
use crate::layout::inode::{FileKind, Inode};
use crate::name_hash::Hasher;
use alloc::vec::Vec;
use serix_block::BlockDevice;

/// Cookies below are not handed out: the users of this crate give `.` and `..` theirs.
const FIRST_COOKIE: u64 = 3;

/// An entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// Its name.
    pub name: Vec<u8>,
    /// The inode it names.
    pub inode: u32,
    /// What the inode is; `None` where the file system does not store it.
    pub kind: Option<FileKind>,
    /// The cookie with which listing goes on after this entry; 3 or more, at most `i64::MAX`.
    pub next: u64,
}

/// Some entries, and where to go on.
pub(crate) struct Batch {
    pub(crate) entries: Vec<DirectoryEntry>,
    pub(crate) next: u64,
}

/// Whether a directory is listed by hash.
pub(crate) fn is_hash_ordered(has_index: bool, indexed: bool, blocks: u32) -> bool {
    has_index && (indexed || blocks == 1)
}

fn is_listed(entry: &Entry<'_>) -> bool {
    entry.inode != 0 && !entry.name.is_empty() && entry.name != b"." && entry.name != b".."
}

fn listed(entry: &Entry<'_>, next: u64) -> DirectoryEntry {
    let kind = block::kind_of(entry.kind);
    DirectoryEntry { name: entry.name.to_vec(), inode: entry.inode, kind, next }
}

/// The cookie after the entry with this hash.
fn cookie_of(hasher: &Hasher, name: &[u8]) -> u64 {
    let hash = hasher.hash(name);
    (u64::from(hash.major >> 1) << 32 | u64::from(hash.minor)) + FIRST_COOKIE
}

impl<D: BlockDevice> Ext4<D> {
    /// Some entries from `cookie` on, or `None` at the end. A batch may be empty.
    pub(crate) async fn list(&self, directory: &Inode, cookie: u64) -> Result<Option<Batch>> {
        let blocks = self.directory_blocks(directory);
        let indexed = self.is_indexed(directory);
        if !is_hash_ordered(self.has_index(), indexed, blocks) {
            return self.list_block(directory, cookie).await;
        }
        let mut entries = Vec::new();
        let end = if indexed {
            self.collect_indexed(directory, cookie, &mut entries).await?
        } else {
            self.collect(directory, 0, &self.hasher, cookie, &mut entries).await?;
            None
        };
        entries.sort_unstable_by_key(|entry| entry.next);
        let next = end.or(entries.last().map(|last| last.next));
        Ok(next.filter(|next| *next > cookie).map(|next| Batch { entries, next }))
    }

    /// Adds the entries of a block that come after `cookie`.
    async fn collect(
        &self,
        directory: &Inode,
        logical: u32,
        hasher: &Hasher,
        cookie: u64,
        entries: &mut Vec<DirectoryEntry>,
    ) -> Result<()> {
        let kind = Kind::Entries(directory.seed);
        let buffer = self.directory_buffer(directory, logical, kind).await?;
        buffer.read(|bytes| {
            for entry in block::entries(bytes, self.rules.directory).filter(is_listed) {
                let next = cookie_of(hasher, entry.name);
                if next > cookie {
                    entries.push(listed(&entry, next));
                }
            }
        });
        Ok(())
    }

    /// Adds the entries of the leaf where `cookie` points, and of those that go on with its last
    /// hash. Answers the cookie where the next leaf begins, if there is one.
    async fn collect_indexed(
        &self,
        directory: &Inode,
        cookie: u64,
        entries: &mut Vec<DirectoryEntry>,
    ) -> Result<Option<u64>> {
        let position = cookie.saturating_sub(FIRST_COOKIE);
        let hash = (position >> 32 << 1) as u32;
        let mut path = self.index_path(directory, |_| hash).await?;
        loop {
            let hasher = path.hasher;
            self.collect(directory, path.leaf(), &hasher, cookie, entries).await?;
            let Some(key) = self.next_leaf(directory, &mut path).await? else { return Ok(None) };
            if key & 1 == 0 {
                // Just before the first entry that may be there.
                let next = (u64::from(key >> 1) << 32) + FIRST_COOKIE - 1;
                if next > cookie {
                    return Ok(Some(next));
                }
            }
        }
    }

    async fn list_block(&self, directory: &Inode, cookie: u64) -> Result<Option<Batch>> {
        let position = cookie.saturating_sub(FIRST_COOKIE);
        let size = self.disk.block_size() as u64;
        let logical = position / size;
        if position >= directory.size {
            return Ok(None);
        }
        let kind = Kind::Entries(directory.seed);
        let buffer = self.directory_buffer(directory, logical as u32, kind).await?;
        let start = logical * size;
        let entries = buffer.read(|bytes| {
            let all = block::entries(bytes, self.rules.directory).filter(is_listed);
            let later = all.filter(|entry| start + entry.offset as u64 >= position);
            let next = |entry: &Entry<'_>| {
                let after = (entry.offset + entry.record) as u64;
                start
                    + if after >= self.rules.directory.end(bytes.len()) as u64 {
                        size
                    } else {
                        after
                    }
            };
            later.map(|entry| listed(&entry, next(&entry) + FIRST_COOKIE)).collect()
        });
        Ok(Some(Batch { entries, next: start + size + FIRST_COOKIE }))
    }
}
