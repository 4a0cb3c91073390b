//! The cached walk: every name in the cache, under one shared lock, nothing allocated and nothing
//! counted but the result, if that is to be kept.
//!
//! Places on the way are borrowed from the tables. `..` and symbolic links lead to places of their
//! own, from which the walk goes on in a nested call; a few of those are allowed, and whatever is
//! out of the ordinary is left to the slow walk.
use super::lookup::set_place;
use super::walk::ResolveFlags;
use super::{Context, Tables, Vfs};
use crate::component::Component;
use crate::mount::{Location, Mount};
use crate::node::Node;
use crate::path::{self, NAME_MAX};
use crate::{Access, FileKind, Page, VfsError, VfsResult};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;

/// Turns (`..` and symbolic links) in one cached walk.
const TURNS_MAX: u32 = 8;

const ORDINARY: ResolveFlags = ResolveFlags::NO_FOLLOW
    .union(ResolveFlags::DIRECTORY)
    .union(ResolveFlags::EMPTY_PATH)
    .union(ResolveFlags::NO_JUMPS);

/// Why a cached walk ended early.
enum Stop {
    /// Something is not in the cache, or out of the ordinary.
    Unknown,
    Error(VfsError),
}

impl From<VfsError> for Stop {
    fn from(error: VfsError) -> Self {
        Self::Error(error)
    }
}

struct Walk<'a, P: Page> {
    context: &'a Context<'a, P>,
    tables: &'a Tables<P>,
    turns: u32,
}

/// Where a walk ended: at a node in the tables, or at a place of its own that a turn led to.
enum End<'a, P: Page> {
    Here(&'a Arc<Mount<P>>, &'a Arc<Node<P>>),
    Elsewhere(Location<P>),
}

impl<P: Page> End<'_, P> {
    #[inline(always)]
    fn parts(&self) -> (&Arc<Mount<P>>, &Arc<Node<P>>) {
        match self {
            Self::Here(mount, node) => (mount, node),
            Self::Elsewhere(at) => (&at.mount, &at.node),
        }
    }

    #[inline(always)]
    fn into_place(self) -> Location<P> {
        match self {
            Self::Here(mount, node) => Location { mount: mount.clone(), node: node.clone() },
            Self::Elsewhere(at) => at,
        }
    }
}

impl<P: Page> Vfs<P> {
    /// The place that a path names, if the cache knows the way; `None` if it does not.
    #[inline]
    pub(super) fn resolve_cached(
        &self,
        context: &Context<'_, P>,
        path: &[u8],
        flags: ResolveFlags,
    ) -> Option<VfsResult<Location<P>>> {
        self.walk_cached(context, path, flags, |end| end.into_place())
    }

    /// Shows `look` the mount and the node that a path names, if the cache knows the way; `None` if it does not.
    /// Nothing is counted: `look` runs with the tables locked, and neither waits nor looks up names.
    #[inline]
    pub fn look_cached<R>(
        &self,
        context: &Context<'_, P>,
        path: &[u8],
        flags: ResolveFlags,
        look: impl FnOnce(&Arc<Mount<P>>, &Arc<Node<P>>) -> R,
    ) -> Option<VfsResult<R>> {
        self.walk_cached(context, path, flags, |end| {
            let (mount, node) = end.parts();
            look(mount, node)
        })
    }

    #[inline(always)]
    fn walk_cached<R>(
        &self,
        context: &Context<'_, P>,
        path: &[u8],
        flags: ResolveFlags,
        finish: impl FnOnce(End<'_, P>) -> R,
    ) -> Option<VfsResult<R>> {
        if let Err(error) = path::check(path) {
            return Some(Err(error));
        }
        if !ORDINARY.contains(flags) {
            return None;
        }
        let tables = self.tables.read();
        let mut walk = Walk { context, tables: &tables, turns: 0 };
        let start = if path[0] == b'/' { context.root } else { context.base };
        match walk.go(start, path, !flags.contains(ResolveFlags::NO_FOLLOW)) {
            Ok(end) if flags.contains(ResolveFlags::DIRECTORY) && !end.parts().1.is_directory() => {
                Some(Err(VfsError::NotDirectory))
            }
            Ok(end) => Some(Ok(finish(end))),
            Err(Stop::Error(error)) => Some(Err(error)),
            Err(Stop::Unknown) => None,
        }
    }
}

impl<P: Page> Walk<'_, P> {
    /// Goes along `path` from `start`. `follows_last` is about a symbolic link at its end.
    fn go<'s>(
        &'s mut self,
        start: &'s Location<P>,
        path: &[u8],
        follows_last: bool,
    ) -> Result<End<'s, P>, Stop> {
        let tables = self.tables;
        let (mut mount, mut node): (&Arc<Mount<P>>, &Arc<Node<P>>) = (&start.mount, &start.node);
        let mut rest = path;
        while let Some((component, tail)) = Component::split(rest) {
            self.check_search(node)?;
            rest = tail;
            if component.has_dot() {
                if component.is_dot() {
                    continue;
                }
                if component.is_dot_dot() {
                    let above = self.above(mount, node)?;
                    return self.go_on(above, rest, follows_last);
                }
            }
            let Some(known) = tables.names.find(node.id(), &component) else {
                return Err(unknown(&component));
            };
            let Some(child) = known.target() else { return Err(VfsError::NotFound.into()) };
            if child.is_out_of_the_ordinary() {
                if child.has_many_names() {
                    set_place(child, node, known.name());
                }
                if child.kind() == FileKind::Symlink && (follows_last || !rest.is_empty()) {
                    let target = self.follow(mount, node, child)?;
                    return self.go_on(target, rest, follows_last);
                }
            }
            node = child;
            while node.mount_count.load(Ordering::Relaxed) > 0 {
                match tables.mounts.covering(mount, node) {
                    Some(covering) => (mount, node) = (covering, covering.root()),
                    None => break,
                }
            }
            if rest.is_empty() {
                return Ok(End::Here(mount, node));
            }
        }
        if path.last() == Some(&b'/') && !node.is_directory() {
            return Err(VfsError::NotDirectory.into());
        }
        Ok(End::Here(mount, node))
    }

    /// Goes on behind a symbolic link; at the end of a path there is nothing to go on with.
    fn go_on<'s>(
        &mut self,
        at: Location<P>,
        rest: &[u8],
        follows_last: bool,
    ) -> Result<End<'s, P>, Stop> {
        let end = match rest.is_empty() {
            true => at,
            false => self.go(&at, rest, follows_last)?.into_place(),
        };
        Ok(End::Elsewhere(end))
    }

    #[inline]
    fn check_search(&self, node: &Node<P>) -> VfsResult<()> {
        if !node.is_directory() {
            return Err(VfsError::NotDirectory);
        }
        if self.context.credentials.privileged {
            return Ok(());
        }
        node.check(self.context.credentials, Access::EXECUTE)
    }

    fn turn(&mut self) -> Result<(), Stop> {
        self.turns += 1;
        match self.turns > TURNS_MAX {
            true => Err(Stop::Unknown),
            false => Ok(()),
        }
    }

    #[cold]
    fn above(&mut self, mount: &Arc<Mount<P>>, node: &Arc<Node<P>>) -> Result<Location<P>, Stop> {
        self.turn()?;
        let at = Location { mount: mount.clone(), node: node.clone() };
        let mut above = at.above(self.context.root);
        self.tables.mounts.enter(&mut above);
        Ok(above)
    }

    /// Where the symbolic link `link` in `directory` leads, all links at its end followed.
    fn follow(
        &mut self,
        mount: &Arc<Mount<P>>,
        directory: &Arc<Node<P>>,
        link: &Node<P>,
    ) -> Result<Location<P>, Stop> {
        self.turn()?;
        let target = link.link_target.get().ok_or(Stop::Unknown)?;
        path::check(target)?;
        if target[0] == b'/' {
            return Ok(self.go(self.context.root, target, true)?.into_place());
        }
        let base = Location { mount: mount.clone(), node: directory.clone() };
        Ok(self.go(&base, target, true)?.into_place())
    }
}

/// A name that is not in the cache is asked for, unless it is too long to be a name.
fn unknown(component: &Component<'_>) -> Stop {
    match component.name.len() > NAME_MAX {
        true => Stop::Error(VfsError::NameTooLong),
        false => Stop::Unknown,
    }
}
