//! Opening: from a path to an open file description.
use super::entries::{New, Parent};
use super::{Context, ResolveFlags, Vfs};
use crate::file::File;
use crate::mount::{Location, MountFlags};
use crate::{
    Access, Credentials, DeviceNumber, FileKind, OpenIntent, Page, Reply, VfsError, VfsResult,
};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

bitflags::bitflags! {
    /// How to open.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct OpenFlags: u32 {
        /// For reading.
        const READ = 1;
        /// For writing.
        const WRITE = 2;
        /// Make it if it is not there.
        const CREATE = 4;
        /// With `CREATE`: fail if it is there.
        const EXCLUSIVE = 8;
        /// Empty it.
        const TRUNCATE = 16;
        /// Every write goes to the end.
        const APPEND = 32;
        /// It must be a directory.
        const DIRECTORY = 64;
        /// Fail with `Loop` if it is a symbolic link.
        const NO_FOLLOW = 128;
        /// Reads and writes never wait.
        const NON_BLOCKING = 256;
        /// Every write is made durable, with what is needed to read it.
        const DATA_SYNC = 512;
        /// Every write is made durable with all metadata.
        const SYNC = 1024;
        /// Only the place: no permission is asked, nothing can be read or written.
        const PATH = 2048;
    }
}

impl OpenFlags {
    fn access(self) -> Access {
        let mut access = Access::empty();
        access.set(Access::READ, self.contains(Self::READ));
        access.set(Access::WRITE, self.intersects(Self::WRITE | Self::TRUNCATE));
        access
    }

    pub(crate) fn intent(self) -> OpenIntent {
        let mut intent = OpenIntent::empty();
        intent.set(OpenIntent::READ, self.contains(Self::READ));
        intent.set(OpenIntent::WRITE, self.contains(Self::WRITE));
        intent.set(OpenIntent::NON_BLOCKING, self.contains(Self::NON_BLOCKING));
        intent
    }

    fn resolve(self, extra: ResolveFlags) -> ResolveFlags {
        let mut flags = extra;
        flags.set(ResolveFlags::DIRECTORY, self.contains(Self::DIRECTORY));
        flags |= match self.contains(Self::NO_FOLLOW) {
            true => ResolveFlags::NO_FOLLOW,
            false => ResolveFlags::empty(),
        };
        flags
    }
}

impl<P: Page> Vfs<P> {
    /// Opens a path; ready if the name cache knows the way and nothing is to be made, emptied or
    /// asked of a device. `mode`, the umask applied, is that of a file that is made.
    ///
    /// Named pipes and sockets open like [`OpenFlags::PATH`]: their ends are the libOS's.
    pub fn open<'a>(
        &'a self,
        context: Context<'a, P>,
        path: &'a [u8],
        flags: OpenFlags,
        resolve: ResolveFlags,
        mode: u32,
    ) -> Reply<'a, Arc<File<P>>> {
        if flags.contains(OpenFlags::CREATE) {
            return Reply::later(self.open_or_create(context, path, flags, resolve, mode));
        }
        match self.resolve(context, path, flags.resolve(resolve)) {
            Reply::Ready(Ok(at)) => self.open_ready(at, context.credentials, flags),
            Reply::Ready(Err(error)) => Reply::fail(error),
            at => {
                Reply::later(
                    async move { self.open_place(at.await?, context.credentials, flags).await },
                )
            }
        }
    }

    /// Opens a regular file or a directory if the name cache knows the way and nothing is to be made, emptied or asked of a device; `None` for
    /// everything else.
    pub fn open_known(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        flags: OpenFlags,
    ) -> Option<VfsResult<Arc<File<P>>>> {
        if flags.intersects(OpenFlags::CREATE | OpenFlags::TRUNCATE | OpenFlags::PATH) {
            return None;
        }
        let at = match self.resolve_cached(&context, path, flags.resolve(ResolveFlags::empty()))? {
            Ok(at) => at,
            Err(error) => return Some(Err(error)),
        };
        if at.node.mapping().is_err() && !at.node.is_directory() || at.node.inode().is_direct() {
            return None;
        }
        let privileged = context.credentials.privileged;
        let checked = check_open(&at, context.credentials, flags);
        Some(checked.map(|()| File::new(at, flags, None, privileged)))
    }

    fn open_ready<'a>(
        &'a self,
        at: Location<P>,
        credentials: &'a Credentials,
        flags: OpenFlags,
    ) -> Reply<'a, Arc<File<P>>> {
        let is_plain = at.node.mapping().is_ok() || at.node.is_directory();
        if !is_plain || flags.contains(OpenFlags::TRUNCATE) || at.node.inode().is_direct() {
            return Reply::later(self.open_place(at, credentials, flags));
        }
        if let Err(error) = check_open(&at, credentials, flags) {
            return Reply::fail(error);
        }
        Reply::done(File::new(at, flags, None, credentials.privileged))
    }

    /// Opens a place.
    ///
    /// # Errors
    /// Those of permission, of kinds that do not open, and of the device.
    pub async fn open_place(
        &self,
        at: Location<P>,
        credentials: &Credentials,
        flags: OpenFlags,
    ) -> VfsResult<Arc<File<P>>> {
        check_open(&at, credentials, flags)?;
        self.open_checked(at, credentials, flags).await
    }

    async fn open_checked(
        &self,
        at: Location<P>,
        credentials: &Credentials,
        flags: OpenFlags,
    ) -> VfsResult<Arc<File<P>>> {
        let privileged = credentials.privileged;
        if flags.contains(OpenFlags::PATH) {
            return Ok(File::new(at, flags, None, privileged));
        }
        let kind = at.node.kind();
        let intent = flags.intent();
        let direct = if kind.is_device() {
            let own = Some(at.node.inode().clone()).filter(|inode| inode.is_direct());
            let device = own.or_else(|| self.device(&at.node));
            let device = device.ok_or(VfsError::NoDevice)?;
            let opened = device.open(intent, credentials).await?;
            Some(opened.unwrap_or(device))
        } else if at.node.inode().is_direct() {
            let inode = at.node.inode();
            let opened = inode.open(intent, credentials).await?;
            Some(opened.unwrap_or_else(|| inode.clone()))
        } else {
            None
        };
        if flags.contains(OpenFlags::TRUNCATE) && kind == FileKind::Regular && direct.is_none() {
            at.node.resize(0, privileged).await?;
        }
        Ok(File::new(at, flags, direct, privileged))
    }

    async fn open_or_create(
        &self,
        context: Context<'_, P>,
        path: &[u8],
        flags: OpenFlags,
        resolve: ResolveFlags,
        mode: u32,
    ) -> VfsResult<Arc<File<P>>> {
        let (mut path, mut base) = (Cow::Borrowed(path), Cow::Borrowed(context.base));
        for _ in 0..=super::walk::LINKS_MAX {
            let context = Context { base: &base, ..context };
            let parent = self.parent_checked(context, &path, resolve).await?;
            let target = match self.open_step(&parent, context, flags, resolve, mode).await? {
                Step::Open(file) => return Ok(file),
                Step::Link(target) => target,
            };
            base = Cow::Owned(parent.directory);
            path = Cow::Owned(target);
        }
        Err(VfsError::Loop)
    }

    /// As `parent`; flags that fence the way in are for the way there too.
    async fn parent_checked<'a>(
        &self,
        context: Context<'_, P>,
        path: &'a [u8],
        resolve: ResolveFlags,
    ) -> VfsResult<Parent<'a, P>> {
        let fences = resolve - ResolveFlags::NO_FOLLOW;
        if !fences.is_empty() {
            let last = crate::path::split_last(path)?;
            if !last.parent.is_empty() {
                self.locate(context, last.parent, fences).await?;
            }
        }
        self.parent(context, path).await
    }

    /// Opens what is there, makes what is not, or answers where a link leads.
    async fn open_step(
        &self,
        parent: &Parent<'_, P>,
        context: Context<'_, P>,
        flags: OpenFlags,
        resolve: ResolveFlags,
        mode: u32,
    ) -> VfsResult<Step<P>> {
        let is_exclusive = flags.contains(OpenFlags::EXCLUSIVE);
        if parent.is_special() || parent.has_slash {
            let exists = is_exclusive && parent.is_special();
            return Err(if exists { VfsError::Exists } else { VfsError::IsDirectory });
        }
        let found = match self.child(parent.node(), parent.name).await? {
            Some(node) => Some(node),
            None => match self.make_file(parent, context.credentials, flags, mode).await {
                // Somebody else was faster.
                Err(VfsError::Exists) if !is_exclusive => {
                    self.child(parent.node(), parent.name).await?
                }
                made => return made.map(Step::Open),
            },
        };
        let node = found.ok_or(VfsError::NotFound)?;
        if is_exclusive {
            return Err(VfsError::Exists);
        }
        let fences = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_JUMPS;
        if node.kind() == FileKind::Symlink && !flags.contains(OpenFlags::NO_FOLLOW) {
            return match node.inode().jump() {
                _ if resolve.intersects(fences) => Err(VfsError::Loop),
                Some(place) => self.open_found(place, context, flags).await,
                None => super::walk::link_target(&node).await.map(Step::Link),
            };
        }
        let mut at = parent.directory.with_node(node);
        self.tables.read().mounts.enter(&mut at);
        self.open_found(at, context, flags).await
    }

    async fn open_found(
        &self,
        at: Location<P>,
        context: Context<'_, P>,
        flags: OpenFlags,
    ) -> VfsResult<Step<P>> {
        if at.node.is_directory() {
            return Err(VfsError::IsDirectory);
        }
        if flags.contains(OpenFlags::DIRECTORY) {
            return Err(VfsError::NotDirectory);
        }
        self.open_place(at, context.credentials, flags).await.map(Step::Open)
    }

    async fn make_file(
        &self,
        parent: &Parent<'_, P>,
        credentials: &Credentials,
        flags: OpenFlags,
        mode: u32,
    ) -> VfsResult<Arc<File<P>>> {
        let new = New::Inode(FileKind::Regular, mode, DeviceNumber::default());
        let at = self.make(parent, credentials, new).await?;
        // The mode of a file that was just made does not bind its maker.
        self.open_checked(at, credentials, flags - OpenFlags::TRUNCATE).await
    }
}

enum Step<P: Page> {
    Open(Arc<File<P>>),
    Link(Vec<u8>),
}

fn check_open<P: Page>(
    at: &Location<P>,
    credentials: &Credentials,
    flags: OpenFlags,
) -> VfsResult<()> {
    if flags.contains(OpenFlags::PATH) {
        return Ok(());
    }
    let access = flags.access();
    let is_write = access.contains(Access::WRITE);
    match at.node.kind() {
        FileKind::Symlink => return Err(VfsError::Loop),
        FileKind::Directory if is_write => return Err(VfsError::IsDirectory),
        FileKind::Regular if is_write => at.mount.check_writable()?,
        FileKind::Socket => return Err(VfsError::NoDevice),
        FileKind::CharDevice | FileKind::BlockDevice
            if at.mount.flags().contains(MountFlags::NO_DEVICES) =>
        {
            return Err(VfsError::Access);
        }
        _ => {}
    }
    at.node.check(credentials, access)
}
