//! Opening: from a path to an open file description.
use super::entries::{New, Parent};
use super::{Context, ResolveFlags, Vfs};
use crate::file::File;
use crate::mount::{Location, MountFlags};
use crate::path::PATH_MAX;
use crate::{
    Access, Credentials, DeviceNumber, FileKind, OpenIntent, Page, Reply, VfsError, VfsResult,
};
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
        let is_exclusive = flags.contains(OpenFlags::EXCLUSIVE);
        // What is there is opened the way any other file is.
        let follow = if is_exclusive { ResolveFlags::NO_FOLLOW } else { ResolveFlags::empty() };
        match self.locate(context, path, flags.resolve(resolve) | follow).await {
            Ok(_) if is_exclusive => return Err(VfsError::Exists),
            Ok(at) if at.node.is_directory() => return Err(VfsError::IsDirectory),
            Ok(at) => return self.open_place(at, context.credentials, flags).await,
            Err(VfsError::NotFound) => {}
            Err(error) => return Err(error),
        }
        let mut path: Vec<u8> = path.into();
        let mut base = context.base.clone();
        for _ in 0..super::walk::LINKS_MAX {
            let context = Context { base: &base, ..context };
            let parent = self.parent_checked(context, &path, resolve).await?;
            match self.create_step(&parent, context.credentials, flags, mode).await? {
                Made::File(file) => return Ok(file),
                Made::Link(target) => {
                    let directory = parent.directory;
                    path = target;
                    base = directory;
                }
            }
            if path.len() > PATH_MAX {
                return Err(VfsError::NameTooLong);
            }
        }
        Err(VfsError::Loop)
    }

    /// As `parent`, with the flags of the caller for the way there.
    async fn parent_checked<'a>(
        &self,
        context: Context<'_, P>,
        path: &'a [u8],
        resolve: ResolveFlags,
    ) -> VfsResult<Parent<'a, P>> {
        let last = crate::path::split_last(path)?;
        if !last.parent.is_empty() {
            let flags = (resolve - ResolveFlags::NO_FOLLOW) | ResolveFlags::DIRECTORY;
            self.locate(context, last.parent, flags).await?;
        }
        self.parent(context, path).await
    }

    async fn create_step(
        &self,
        parent: &Parent<'_, P>,
        credentials: &Credentials,
        flags: OpenFlags,
        mode: u32,
    ) -> VfsResult<Made<P>> {
        if parent.has_slash || parent.is_special() {
            return Err(VfsError::IsDirectory);
        }
        let new = New::Inode(FileKind::Regular, mode, DeviceNumber::default());
        match self.make(parent, credentials, new).await {
            // The mode of a file that was just made does not bind its maker.
            Ok(at) => {
                let flags = flags - OpenFlags::TRUNCATE;
                return self.open_checked(at, credentials, flags).await.map(Made::File);
            }
            Err(VfsError::Exists) if !flags.contains(OpenFlags::EXCLUSIVE) => {}
            Err(error) => return Err(error),
        }
        let node = self.child(parent.node(), parent.name).await?;
        let node = node.ok_or(VfsError::NotFound)?;
        if node.kind() == FileKind::Symlink {
            if flags.contains(OpenFlags::NO_FOLLOW) {
                return Err(VfsError::Loop);
            }
            return super::walk::link_target(&node).await.map(Made::Link);
        }
        let at = parent.directory.with_node(node);
        self.open_place(at, credentials, flags).await.map(Made::File)
    }
}

enum Made<P: Page> {
    File(Arc<File<P>>),
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
