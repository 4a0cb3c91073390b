//! The cached walk: every name in the cache, under one shared lock, nothing allocated and nothing
//! counted but the result.
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

impl<P: Page> Vfs<P> {
    /// The place that a path names, if the cache knows the way; `None` if it does not.
    pub(super) fn resolve_cached(
        &self,
        context: &Context<'_, P>,
        path: &[u8],
        flags: ResolveFlags,
    ) -> Option<VfsResult<Location<P>>> {
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
            Ok(at) if flags.contains(ResolveFlags::DIRECTORY) && !at.node.is_directory() => {
                Some(Err(VfsError::NotDirectory))
            }
            Ok(at) => Some(Ok(at)),
            Err(Stop::Error(error)) => Some(Err(error)),
            Err(Stop::Unknown) => None,
        }
    }
}

impl<P: Page> Walk<'_, P> {
    /// Goes along `path` from `start`. `follows_last` is about a symbolic link at its end.
    fn go(
        &mut self,
        start: &Location<P>,
        path: &[u8],
        follows_last: bool,
    ) -> Result<Location<P>, Stop> {
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
                    return self.go(&above, rest, follows_last);
                }
            }
            let Some((name, known)) = tables.names.find(node.id(), &component) else {
                return Err(unknown(&component));
            };
            let child = known.ok_or(VfsError::NotFound)?;
            if child.has_many_names() {
                set_place(child, node, name);
            }
            if child.kind() == FileKind::Symlink && (follows_last || !rest.is_empty()) {
                let target = self.follow(mount, node, child)?;
                return self.go_on(&target, rest, follows_last);
            }
            node = child;
            while node.mount_count.load(Ordering::Relaxed) > 0 {
                match tables.mounts.covering(mount, node) {
                    Some(covering) => (mount, node) = (covering, covering.root()),
                    None => break,
                }
            }
        }
        if path.last() == Some(&b'/') && !node.is_directory() {
            return Err(VfsError::NotDirectory.into());
        }
        Ok(Location { mount: mount.clone(), node: node.clone() })
    }

    /// Goes on behind a symbolic link; at the end of a path there is nothing to go on with.
    fn go_on(
        &mut self,
        at: &Location<P>,
        rest: &[u8],
        follows_last: bool,
    ) -> Result<Location<P>, Stop> {
        match rest.is_empty() {
            true => Ok(at.clone()),
            false => self.go(at, rest, follows_last),
        }
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
            return self.go(self.context.root, target, true);
        }
        let base = Location { mount: mount.clone(), node: directory.clone() };
        self.go(&base, target, true)
    }
}

/// A name that is not in the cache is asked for, unless it is too long to be a name.
fn unknown(component: &Component<'_>) -> Stop {
    match component.name.len() > NAME_MAX {
        true => Stop::Error(VfsError::NameTooLong),
        false => Stop::Unknown,
    }
}
