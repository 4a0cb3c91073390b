//! What is known of an inode besides its contents.

/// A point in time, counted from 1970-01-01 00:00 UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after that second, below 10^9.
    pub nanoseconds: u32,
}

impl Timestamp {
    /// From nanoseconds since 1970.
    #[must_use]
    pub const fn from_nanoseconds(ns: i64) -> Self {
        Self {
            seconds: ns.div_euclid(1_000_000_000),
            nanoseconds: ns.rem_euclid(1_000_000_000) as u32,
        }
    }
}

/// Tells the time of day to whoever stamps files.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since 1970-01-01 00:00 UTC.
    fn now_ns(&self) -> i64;

    /// The same as a [`Timestamp`].
    fn now(&self) -> Timestamp {
        Timestamp::from_nanoseconds(self.now_ns())
    }
}

/// What an inode is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// A named pipe.
    Fifo = 1,
    /// A device of characters.
    CharDevice = 2,
    /// A directory.
    Directory = 4,
    /// A device of blocks.
    BlockDevice = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket's name.
    Socket = 12,
}

impl FileKind {
    /// The file type bits of a POSIX `st_mode` (0o170000). Shifted right by 12 they are the
    /// `d_type` of a directory entry.
    #[must_use]
    pub const fn mode_bits(self) -> u32 {
        (self as u32) << 12
    }

    /// The kind that the type bits of a `st_mode` name.
    #[must_use]
    pub const fn from_mode(mode: u32) -> Option<Self> {
        Some(match (mode >> 12) & 0xf {
            1 => Self::Fifo,
            2 => Self::CharDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::Regular,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }

    /// Whether nodes of this kind stand for a device.
    #[must_use]
    pub const fn is_device(self) -> bool {
        matches!(self, Self::CharDevice | Self::BlockDevice)
    }
}

/// The number of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DeviceNumber {
    /// Which driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// What `stat` tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metadata {
    /// Number of the inode, unique in its file system while the inode is open or linked.
    pub ino: u64,
    /// What it is.
    pub kind: FileKind,
    /// Permission bits with set-user-id, set-group-id and sticky: the low 12 bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Number of names.
    pub links: u32,
    /// Length in bytes.
    pub size: u64,
    /// Space taken, in units of 512 bytes.
    pub blocks: u64,
    /// Unit of efficient I/O, in bytes.
    pub block_size: u32,
    /// For device nodes, which device.
    pub device: DeviceNumber,
    /// Last read.
    pub accessed: Timestamp,
    /// Last write.
    pub modified: Timestamp,
    /// Last change of contents or metadata.
    pub changed: Timestamp,
    /// Creation, where the file system knows it.
    pub created: Option<Timestamp>,
}

impl Metadata {
    /// Metadata of an inode that is stored nowhere: one name, no contents, no owner.
    #[must_use]
    pub fn unstored(ino: u64, kind: FileKind, mode: u32) -> Self {
        let never = Timestamp::default();
        Self {
            ino,
            kind,
            mode,
            uid: 0,
            gid: 0,
            links: 1 + u32::from(kind == FileKind::Directory),
            size: 0,
            blocks: 0,
            block_size: crate::PAGE_SIZE as u32,
            device: DeviceNumber::default(),
            accessed: never,
            modified: never,
            changed: never,
            created: None,
        }
    }
}

/// User and group that own a new inode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

/// What an inode is to be when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewInode {
    /// Anything but a symbolic link, which [`crate::Inode::symlink`] makes.
    pub kind: FileKind,
    /// The low 12 mode bits, umask already applied.
    pub mode: u32,
    /// Owner.
    pub owner: Owner,
    /// For device nodes, which device; zero otherwise.
    pub device: DeviceNumber,
}

/// A change of metadata; `None` leaves a field as it is.
///
/// The file system sets `changed` to now unless it is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetadataChange {
    /// The low 12 mode bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Length in bytes: shorter frees what is behind, longer reads as zeroes.
    pub size: Option<u64>,
    /// Last read.
    pub accessed: Option<Timestamp>,
    /// Last write.
    pub modified: Option<Timestamp>,
    /// Last change.
    pub changed: Option<Timestamp>,
}
