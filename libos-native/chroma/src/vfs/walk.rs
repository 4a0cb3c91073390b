//! From a path to a place.
//!
//! The cached walk (`cached`) is tried first; this is the other one, a future that asks file systems,
//! reads symbolic links and knows all flags.
use super::{Context, Tables, Vfs};
use crate::component::Component;
use crate::mount::Location;
use crate::node::Node;
use crate::path::{self, NAME_MAX};
use crate::{Access, FileKind, Page, Reply, VfsError, VfsResult};
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Symbolic links in one walk.
pub(super) const LINKS_MAX: u32 = 40;

bitflags::bitflags! {
    /// How a path is resolved.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct ResolveFlags: u32 {
        /// A symbolic link as last component is the result.
        const NO_FOLLOW = 1;
        /// The result must be a directory.
        const DIRECTORY = 2;
        /// No symbolic links at all (`Loop`).
        const NO_SYMLINKS = 4;
        /// No links that jump, as in `/proc/self/fd` (`Loop`).
        const NO_JUMPS = 8;
        /// Never leave the base directory (`CrossDevice`).
        const BENEATH = 16;
        /// Never cross a mount (`CrossDevice`).
        const ONE_MOUNT = 32;
        /// The empty path is the base itself.
        const EMPTY_PATH = 64;
    }
}

impl<P: Page> Vfs<P> {
    /// The place that a path names. Ready if the name cache knows the way.
    pub fn resolve<'a>(
        &'a self,
        context: Context<'a, P>,
        path: &'a [u8],
        flags: ResolveFlags,
    ) -> Reply<'a, Location<P>> {
        if path.is_empty() && flags.contains(ResolveFlags::EMPTY_PATH) {
            return Reply::done(context.base.clone());
        }
        match self.resolve_cached(&context, path, flags) {
            Some(result) => Reply::Ready(result),
            None => Reply::later(self.resolve_slowly(context, path, flags)),
        }
    }

    /// The same without boxing, for use inside other operations.
    pub(super) async fn locate(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        flags: ResolveFlags,
    ) -> VfsResult<Location<P>> {
        match self.resolve_cached(&context, path, flags) {
            Some(result) => result,
            None => self.resolve_slowly(context, path, flags).await,
        }
    }

    async fn resolve_slowly(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        flags: ResolveFlags,
    ) -> VfsResult<Location<P>> {
        let mut walk = Walk::start(&context, path, flags)?;
        let mut pending: Vec<u8> = path.into();
        let mut from = 0;
        let mut links = 0;
        while let Some((component, rest)) = Component::split(&pending[from..]) {
            let name = component.name;
            from = pending.len() - rest.len();
            if walk.enter_plain(&self.tables.read(), &component)? {
                continue;
            }
            let node = self.child(&walk.at.node, name).await?;
            let node = node.ok_or(VfsError::NotFound)?;
            if node.kind() != FileKind::Symlink || !walk.follows(rest) {
                walk.enter_node(&self.tables.read(), &node)?;
                continue;
            }
            links += 1;
            if links > LINKS_MAX || flags.contains(ResolveFlags::NO_SYMLINKS) {
                return Err(VfsError::Loop);
            }
            if let Some(place) = node.inode().jump() {
                walk.jump(place)?;
                continue;
            }
            let mut next = link_target(&node).await?;
            walk.begin_target(&next)?;
            if !rest.is_empty() {
                next.extend_from_slice(rest);
            }
            if next.len() > 4 * path::PATH_MAX {
                return Err(VfsError::NameTooLong);
            }
            (pending, from) = (next, 0);
        }
        walk.finish(&pending)
    }

    /// The path of a place as seen from `root`, and whether its name is gone. `None` if it cannot be
    /// reached from there.
    pub fn path_of(&self, at: &Location<P>, root: &Location<P>) -> Option<(Vec<u8>, bool)> {
        let mut names: Vec<Arc<[u8]>> = Vec::new();
        let mut at = at.clone();
        let mut is_deleted = false;
        while !at.is_same(root) {
            if Arc::ptr_eq(&at.node, at.mount.root()) {
                at = at.mount.covers()?.clone();
                continue;
            }
            let (parent, name) = {
                let place = at.node.place.lock();
                let place = place.as_ref()?;
                is_deleted |= place.is_deleted;
                (place.parent.clone(), place.name.clone())
            };
            names.push(name);
            at.node = parent;
        }
        let mut path = Vec::new();
        for name in names.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Some((path, is_deleted))
    }
}

/// The target of a symbolic link, read once.
pub(super) async fn link_target<P: Page>(node: &Node<P>) -> VfsResult<Vec<u8>> {
    if let Some(target) = node.link_target.get() {
        return Ok(target.to_vec());
    }
    let target = node.inode().read_link().await?;
    if node.inode().is_cacheable() {
        node.link_target.call_once(|| target.clone().into());
    }
    Ok(target)
}

struct Walk<'a, P: Page> {
    context: Context<'a, P>,
    flags: ResolveFlags,
    at: Location<P>,
}

impl<'a, P: Page> Walk<'a, P> {
    fn start(context: &Context<'a, P>, path: &[u8], flags: ResolveFlags) -> VfsResult<Self> {
        path::check(path)?;
        let is_absolute = path[0] == b'/';
        if is_absolute && flags.contains(ResolveFlags::BENEATH) {
            return Err(VfsError::CrossDevice);
        }
        let start = if is_absolute { context.root } else { context.base };
        Ok(Self { context: *context, flags, at: start.clone() })
    }

    /// Whether a symbolic link with `rest` behind it is followed.
    fn follows(&self, rest: &[u8]) -> bool {
        !rest.is_empty() || !self.flags.contains(ResolveFlags::NO_FOLLOW)
    }

    fn may_search(&self) -> VfsResult<()> {
        if !self.at.node.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        self.at.node.check(self.context.credentials, Access::EXECUTE)
    }

    /// Checks that names can be looked up here, and goes through `.` and `..`.
    fn enter_plain(&mut self, tables: &Tables<P>, component: &Component<'_>) -> VfsResult<bool> {
        self.may_search()?;
        if component.name.len() > NAME_MAX {
            return Err(VfsError::NameTooLong);
        }
        if component.is_dot_dot() {
            self.go_up(tables)?;
        }
        Ok(component.is_dot() || component.is_dot_dot())
    }

    fn go_up(&mut self, tables: &Tables<P>) -> VfsResult<()> {
        let is_beneath = self.flags.contains(ResolveFlags::BENEATH);
        if is_beneath && self.at.is_same(self.context.base) {
            return Err(VfsError::CrossDevice);
        }
        let above = self.at.above(self.context.root);
        self.move_to(tables, above)
    }

    fn enter_node(&mut self, tables: &Tables<P>, node: &Arc<Node<P>>) -> VfsResult<()> {
        self.move_to(tables, self.at.with_node(node.clone()))
    }

    fn move_to(&mut self, tables: &Tables<P>, mut at: Location<P>) -> VfsResult<()> {
        tables.mounts.enter(&mut at);
        let is_other = !Arc::ptr_eq(&at.mount, &self.at.mount);
        if is_other && self.flags.contains(ResolveFlags::ONE_MOUNT) {
            return Err(VfsError::CrossDevice);
        }
        self.at = at;
        Ok(())
    }

    fn jump(&mut self, place: Location<P>) -> VfsResult<()> {
        if self.flags.contains(ResolveFlags::NO_JUMPS) {
            return Err(VfsError::Loop);
        }
        if self.flags.contains(ResolveFlags::BENEATH) {
            return Err(VfsError::CrossDevice);
        }
        self.at = place;
        Ok(())
    }

    /// Starts on the target of a symbolic link.
    fn begin_target(&mut self, target: &[u8]) -> VfsResult<()> {
        path::check(target)?;
        if target[0] == b'/' {
            if self.flags.contains(ResolveFlags::BENEATH) {
                return Err(VfsError::CrossDevice);
            }
            self.at = self.context.root.clone();
        }
        Ok(())
    }

    fn finish(self, path: &[u8]) -> VfsResult<Location<P>> {
        let wants_directory =
            self.flags.contains(ResolveFlags::DIRECTORY) || path.last() == Some(&b'/');
        if wants_directory && !self.at.node.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        Ok(self.at)
    }
}
