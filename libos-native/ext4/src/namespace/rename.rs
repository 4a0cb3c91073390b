//! Renaming.
use super::remove::{REMOVE_CREDITS, uncount};
use super::{check_directory, check_name};
use crate::directory::{INSERT_BLOCKS, INSERT_CREDITS, Located};
use crate::error::{Error, Result};
use crate::file_system::Ext4;
use crate::inode::Node;
use crate::journal::Handle;
use crate::layout::inode::{FileKind, Inode, ROOT};
use alloc::sync::Arc;
use alloc::vec::Vec;
use async_lock::RwLockWriteGuard;
use serix_block::BlockDevice;

/// How to rename.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RenameFlags {
    /// Replace what has the new name.
    #[default]
    Replace,
    /// Fail with `Exists` if the new name is taken.
    NoReplace,
    /// Swap the two entries, which must both exist.
    Exchange,
}

/// Directories above one another that are believed.
const MAX_DEPTH: usize = 1 << 16;

type Locked<'n> = RwLockWriteGuard<'n, Inode>;

/// One end of a rename: a directory under its lock, and what the name names.
struct Directories<'n> {
    from: Locked<'n>,
    /// `None` if both are the same.
    to: Option<Locked<'n>>,
}

impl Directories<'_> {
    fn to(&self) -> &Inode {
        self.to.as_deref().unwrap_or(&self.from)
    }
}

/// What a rename works on.
struct Rename<'a> {
    from: &'a Arc<Node>,
    from_name: &'a [u8],
    to: &'a Arc<Node>,
    to_name: &'a [u8],
    flags: RenameFlags,
}

impl<D: BlockDevice> Ext4<D> {
    /// Renames an entry.
    ///
    /// # Errors
    /// `NotFound`, `Exists`, `NotEmpty`, `IsDirectory` and `NotDirectory` if the kinds do not fit,
    /// `Invalid` for moving a directory below itself, `NoSpace`, `ReadOnly`, `Io`.
    pub async fn rename(
        &self,
        from: u32,
        from_name: &[u8],
        to: u32,
        to_name: &[u8],
        flags: RenameFlags,
    ) -> Result<()> {
        check_name(from_name)?;
        check_name(to_name)?;
        self.check_writable()?;
        let (source, target) = (self.node(from).await?, self.node(to).await?);
        let rename = Rename { from: &source, from_name, to: &target, to_name, flags };
        if from == to {
            let directories = Directories { from: source.body.write().await, to: None };
            return self.rename_locked(rename, directories, &[], &[]).await;
        }
        let _topology = self.rename_lock.lock().await;
        let above_from = self.ancestors(from).await?;
        let above_to = self.ancestors(to).await?;
        // The one above first; others in any order, as only one rename does this.
        let directories = if above_from.contains(&to) {
            let to = target.body.write().await;
            Directories { from: source.body.write().await, to: Some(to) }
        } else {
            let from = source.body.write().await;
            Directories { from, to: Some(target.body.write().await) }
        };
        self.rename_locked(rename, directories, &above_from, &above_to).await
    }

    /// A directory and all above it. Nothing moves between directories meanwhile.
    async fn ancestors(&self, number: u32) -> Result<Vec<u32>> {
        let mut chain = alloc::vec![number];
        let mut at = number;
        while at != ROOT {
            at = self.parent(at).await?;
            if chain.len() > MAX_DEPTH {
                return Err(Error::corrupt_inode("loop of directories", number));
            }
            chain.push(at);
        }
        Ok(chain)
    }

    async fn rename_locked(
        &self,
        rename: Rename<'_>,
        mut directories: Directories<'_>,
        above_from: &[u32],
        above_to: &[u32],
    ) -> Result<()> {
        check_directory(&directories.from)?;
        check_directory(directories.to())?;
        let moved = self.find_entry(&directories.from, rename.from_name).await?;
        let moved = moved.ok_or(Error::NotFound)?;
        let replaced = self.find_entry(directories.to(), rename.to_name).await?;
        match (&replaced, rename.flags) {
            (Some(_), RenameFlags::NoReplace) => return Err(Error::Exists),
            (None, RenameFlags::Exchange) => return Err(Error::NotFound),
            (Some(entry), _) if entry.inode == moved.inode => return Ok(()),
            _ => {}
        }
        if above_to.contains(&moved.inode) {
            return Err(Error::Invalid);
        }
        if let Some(entry) = &replaced
            && above_from.contains(&entry.inode)
        {
            let exchange = rename.flags == RenameFlags::Exchange;
            return Err(if exchange { Error::Invalid } else { Error::NotEmpty });
        }
        let ends = [rename.from.number, rename.to.number];
        let named = [Some(moved.inode), replaced.as_ref().map(|entry| entry.inode)];
        if let Some(number) = named.into_iter().flatten().find(|named| ends.contains(named)) {
            return Err(Error::corrupt_inode("directory below itself", number));
        }
        let moved_node = self.child(rename.from.number, &moved).await?;
        let replaced_node = match &replaced {
            Some(entry) => Some(self.child(rename.to.number, entry).await?),
            None => None,
        };
        let (mut moved_body, mut replaced_body) =
            lock_both(&moved_node, replaced_node.as_ref()).await;
        let pair = replaced_node.as_ref().zip(replaced_body.as_deref_mut());
        if rename.flags == RenameFlags::Exchange
            && let (Some(pair), Some(entry)) = (pair, &replaced)
        {
            let work = Exchange { moved: &moved, entry, node: pair.0, body: pair.1 };
            let other = (&moved_node, &mut *moved_body);
            return self.exchange(&rename, &mut directories, work, other).await;
        }
        let mut pair = replaced_node.as_ref().zip(replaced_body.as_deref_mut());
        let is_gone = self
            .replace(
                &rename,
                &mut directories,
                &moved,
                (&moved_node, &mut *moved_body),
                replaced.as_ref().zip(pair.as_mut().map(|(node, body)| (*node, &mut **body))),
            )
            .await?;
        drop((moved_body, replaced_body, directories));
        match replaced_node {
            Some(node) if !is_gone => self.reap_node(&node).await,
            _ => Ok(()),
        }
    }

    /// Moves an entry; answers whether nothing of what it replaced is left to delete.
    async fn replace(
        &self,
        rename: &Rename<'_>,
        directories: &mut Directories<'_>,
        moved: &Located,
        (node, body): (&Arc<Node>, &mut Inode),
        replaced: Option<(&Located, (&Arc<Node>, &mut Inode))>,
    ) -> Result<bool> {
        let is_directory = body.is(FileKind::Directory);
        let crosses = directories.to.is_some();
        if let Some((_, (_, old))) = &replaced {
            self.check_removable(old, is_directory).await?;
        } else if is_directory && crosses {
            self.check_links(directories.to())?;
        }
        let blocks = if replaced.is_none() { INSERT_BLOCKS } else { 0 };
        let budget = self.promise(blocks).await?;
        let handle = self.begin(INSERT_CREDITS + REMOVE_CREDITS + 8).await?;
        let replaces = replaced.is_some();
        let outcome = async {
            let target = (node.number, moved.kind);
            let is_gone = if let Some((entry, (old_node, old))) = replaced {
                self.retarget_entry(&handle, directories.to(), entry, target);
                self.drop_link(&handle, old_node, old).await?
            } else {
                let to = directories.to.as_deref_mut().unwrap_or(&mut directories.from);
                self.add_entry(&handle, &budget, to, rename.to_name, target).await?;
                true
            };
            // Adding may have moved the entry within the same directory.
            let old_name = self.find_entry(&directories.from, rename.from_name).await?;
            let old_name = old_name.ok_or(Error::corrupt_inode("entry lost", node.number))?;
            self.remove_entry(&handle, &directories.from, &old_name);
            if is_directory && crosses {
                self.set_parent(&handle, body, rename.to.number).await?;
            }
            if is_directory && (crosses || replaces) {
                directories.from.links = uncount(directories.from.links);
            }
            if let Some(to) = directories.to.as_deref_mut()
                && is_directory
                && !replaces
            {
                self.count_link(to);
            }
            body.changed = self.now();
            node.note_change(handle.transaction(), true);
            self.store(&handle, body).await?;
            self.stamp_both(&handle, rename, directories).await?;
            Ok(is_gone)
        }
        .await;
        handle.finish(outcome)
    }

    async fn stamp_both(
        &self,
        handle: &Handle<'_, D>,
        rename: &Rename<'_>,
        directories: &mut Directories<'_>,
    ) -> Result<()> {
        self.stamp_directory(handle, rename.from, &mut directories.from).await?;
        if let Some(to) = directories.to.as_deref_mut() {
            self.stamp_directory(handle, rename.to, to).await?;
        }
        Ok(())
    }

    /// Swaps two entries.
    async fn exchange(
        &self,
        rename: &Rename<'_>,
        directories: &mut Directories<'_>,
        work: Exchange<'_>,
        (node, body): (&Arc<Node>, &mut Inode),
    ) -> Result<()> {
        let kinds = (body.is(FileKind::Directory), work.body.is(FileKind::Directory));
        match kinds {
            (true, false) if directories.to.is_some() => self.check_links(directories.to())?,
            (false, true) if directories.to.is_some() => self.check_links(&directories.from)?,
            _ => {}
        }
        let handle = self.begin(16).await?;
        let outcome = async {
            let (there, here) =
                ((node.number, work.moved.kind), (work.node.number, work.entry.kind));
            self.retarget_entry(&handle, &directories.from, work.moved, here);
            self.retarget_entry(&handle, directories.to(), work.entry, there);
            if directories.to.is_some() {
                self.exchange_parents(&handle, rename, directories, kinds, (&*body, &*work.body))
                    .await?;
            }
            for (node, body) in [(node, body), (work.node, work.body)] {
                body.changed = self.now();
                node.note_change(handle.transaction(), true);
                self.store(&handle, body).await?;
            }
            self.stamp_both(&handle, rename, directories).await
        }
        .await;
        handle.finish(outcome)
    }

    /// After an exchange between directories, `..` and the links of both follow.
    async fn exchange_parents(
        &self,
        handle: &Handle<'_, D>,
        rename: &Rename<'_>,
        directories: &mut Directories<'_>,
        kinds: (bool, bool),
        (moved, other): (&Inode, &Inode),
    ) -> Result<()> {
        if kinds.0 {
            self.set_parent(handle, moved, rename.to.number).await?;
        }
        if kinds.1 {
            self.set_parent(handle, other, rename.from.number).await?;
        }
        let Some(to) = directories.to.as_deref_mut() else { return Ok(()) };
        match kinds {
            (true, false) => {
                directories.from.links = uncount(directories.from.links);
                self.count_link(to);
            }
            (false, true) => {
                to.links = uncount(to.links);
                self.count_link(&mut directories.from);
            }
            _ => {}
        }
        Ok(())
    }
}

/// The other side of an exchange.
struct Exchange<'a> {
    moved: &'a Located,
    entry: &'a Located,
    node: &'a Arc<Node>,
    body: &'a mut Inode,
}

/// Locks two inodes of a rename in the order of their numbers.
async fn lock_both<'n>(
    moved: &'n Arc<Node>,
    replaced: Option<&'n Arc<Node>>,
) -> (Locked<'n>, Option<Locked<'n>>) {
    match replaced {
        Some(replaced) if replaced.number < moved.number => {
            let replaced = replaced.body.write().await;
            (moved.body.write().await, Some(replaced))
        }
        Some(replaced) => {
            let moved = moved.body.write().await;
            (moved, Some(replaced.body.write().await))
        }
        None => (moved.body.write().await, None),
    }
}
