//! Moving names.
use super::entries::{Parent, check_not_mounted, check_sticky};
use super::lookup::{EntryChange, mark_deleted};
use super::{Context, Vfs};
use crate::node::Node;
use crate::sync::SleepGuard;
use crate::{Access, Credentials, FileKind, Page, RenameFlags, VfsError, VfsResult};
use alloc::sync::Arc;

/// The locks of the two directories; one if they are the same.
struct Guards<'a> {
    from: SleepGuard<'a>,
    to: Option<SleepGuard<'a>>,
}

async fn lock_both<'a, P: Page>(from: &'a Arc<Node<P>>, to: &'a Arc<Node<P>>) -> Guards<'a> {
    if Arc::ptr_eq(from, to) {
        return Guards { from: from.changing.lock().await, to: None };
    }
    if from.id() < to.id() {
        let from = from.changing.lock().await;
        let to = Some(to.changing.lock().await);
        return Guards { from, to };
    }
    let to = Some(to.changing.lock().await);
    let from = from.changing.lock().await;
    Guards { from, to }
}

/// Whether `below` is `above` or lies below it.
fn is_below<P: Page>(below: &Arc<Node<P>>, above: &Arc<Node<P>>) -> bool {
    let mut at = below.clone();
    loop {
        if Arc::ptr_eq(&at, above) {
            return true;
        }
        let parent = at.place.lock().as_ref().map(|place| place.parent.clone());
        match parent {
            Some(parent) => at = parent,
            None => return false,
        }
    }
}

impl<P: Page> Vfs<P> {
    /// Renames `from` to `to`, each path in its own context.
    ///
    /// # Errors
    /// As POSIX `rename`: `CrossDevice`, `Invalid` for a directory moved below itself, `NotEmpty`,
    /// `Exists`, `Busy` for mount points and special names, and so on.
    pub async fn rename(
        &self,
        from_context: Context<'_, P>,
        from: &[u8],
        to_context: Context<'_, P>,
        to: &[u8],
        flags: RenameFlags,
    ) -> VfsResult<()> {
        let from = self.parent(from_context, from).await?;
        let to = self.parent(to_context, to).await?;
        if !Arc::ptr_eq(&from.directory.mount, &to.directory.mount) {
            return Err(VfsError::CrossDevice);
        }
        if from.is_special() {
            return Err(VfsError::Busy);
        }
        if to.is_special() {
            let no_replace = flags.contains(RenameFlags::NO_REPLACE);
            return Err(if no_replace { VfsError::Exists } else { VfsError::Busy });
        }
        let is_move = !Arc::ptr_eq(from.node(), to.node());
        let volume = from.node().volume().clone();
        let _renaming = match is_move {
            true => Some(volume.renaming.lock().await),
            false => None,
        };
        let guards = lock_both(from.node(), to.node()).await;
        let replaced =
            self.rename_locked(&from, &to, from_context.credentials, flags, &guards).await?;
        drop(guards);
        match replaced {
            Some(node) => self.name_removed(node).await,
            None => Ok(()),
        }
    }

    /// Renames with the locks held; answers the node whose name was replaced.
    async fn rename_locked(
        &self,
        from: &Parent<'_, P>,
        to: &Parent<'_, P>,
        credentials: &Credentials,
        flags: RenameFlags,
        guards: &Guards<'_>,
    ) -> VfsResult<Option<Arc<Node<P>>>> {
        let moved = self.child(from.node(), from.name).await?;
        let moved = moved.ok_or(VfsError::NotFound)?;
        let target = self.child(to.node(), to.name).await?;
        check_ends(from, to, &moved, target.as_ref(), flags)?;
        if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &moved)) {
            return Ok(None);
        }
        check_allowed(from, to, &moved, credentials)?;
        if let Some(target) = &target {
            check_sticky(to.node(), target, credentials)?;
            check_not_mounted(target)?;
            check_kinds(&moved, target, flags)?;
        }
        let is_exchange = flags.contains(RenameFlags::EXCHANGE);
        let mut old = EntryChange::begin(self, from.node(), from.name, &guards.from);
        let to_guard = guards.to.as_ref().unwrap_or(&guards.from);
        let mut new = EntryChange::begin(self, to.node(), to.name, to_guard);
        let inode = from.node().inode();
        inode.rename(from.name, to.node().inode(), to.name, flags).await?;
        old.settle(target.as_ref().filter(|_| is_exchange));
        let replaced = target.filter(|_| !is_exchange);
        if let Some(node) = &replaced {
            mark_deleted(node, to.node(), to.name);
            node.set_no_name(node.is_directory());
        }
        new.settle(Some(&moved));
        Ok(replaced)
    }
}

/// Checks which of the two names must be there, and that no directory moves below itself.
fn check_ends<P: Page>(
    from: &Parent<'_, P>,
    to: &Parent<'_, P>,
    moved: &Arc<Node<P>>,
    target: Option<&Arc<Node<P>>>,
    flags: RenameFlags,
) -> VfsResult<()> {
    let is_exchange = flags.contains(RenameFlags::EXCHANGE);
    if target.is_some() && flags.contains(RenameFlags::NO_REPLACE) {
        return Err(VfsError::Exists);
    }
    if target.is_none() && is_exchange {
        return Err(VfsError::NotFound);
    }
    let target_is_directory = target.is_some_and(|target| target.is_directory());
    let to_must_be_directory =
        to.has_slash && if is_exchange { !target_is_directory } else { !moved.is_directory() };
    if from.has_slash && !moved.is_directory() || to_must_be_directory {
        return Err(VfsError::NotDirectory);
    }
    if moved.is_directory() && is_below(to.node(), moved) {
        return Err(VfsError::Invalid);
    }
    if let Some(target) = target
        && target.is_directory()
        && is_below(from.node(), target)
    {
        return Err(if is_exchange { VfsError::Invalid } else { VfsError::NotEmpty });
    }
    if to.node().has_no_name() {
        return Err(VfsError::NotFound);
    }
    Ok(())
}

fn check_allowed<P: Page>(
    from: &Parent<'_, P>,
    to: &Parent<'_, P>,
    moved: &Arc<Node<P>>,
    credentials: &Credentials,
) -> VfsResult<()> {
    from.check_change(credentials)?;
    to.check_change(credentials)?;
    check_sticky(from.node(), moved, credentials)?;
    check_not_mounted(moved)?;
    // A directory that moves elsewhere gets another `..`.
    let is_move = !Arc::ptr_eq(from.node(), to.node());
    if is_move && moved.kind() == FileKind::Directory {
        moved.check(credentials, Access::WRITE)?;
    }
    Ok(())
}

fn check_kinds<P: Page>(moved: &Node<P>, target: &Node<P>, flags: RenameFlags) -> VfsResult<()> {
    if flags.contains(RenameFlags::EXCHANGE) {
        return Ok(());
    }
    match (moved.is_directory(), target.is_directory()) {
        (true, false) => Err(VfsError::NotDirectory),
        (false, true) => Err(VfsError::IsDirectory),
        _ => Ok(()),
    }
}
