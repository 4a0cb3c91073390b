//! Why an operation failed.
use serix_block::BlockError;

/// Result of an operation of this crate.
pub type Result<T> = core::result::Result<T, Error>;

/// Why an operation failed. The POSIX name is in parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The device failed (EIO).
    Io {
        /// File system block of the transfer's start.
        block: u64,
        /// What the device said.
        cause: BlockError,
    },
    /// What the disk says contradicts itself (EUCLEAN).
    Corrupt {
        /// What is wrong.
        what: &'static str,
        /// The block, where it is known; otherwise 0.
        block: u64,
        /// The inode, where it is known; otherwise 0.
        inode: u32,
    },
    /// Not an ext2, ext3 or ext4 file system (EINVAL).
    NotExt4,
    /// A feature of the image that is not supported, by the name that `tune2fs` uses (EINVAL).
    Unsupported(&'static str),
    /// The file system takes no changes: mounted so, or since an error (EROFS).
    ReadOnly,
    /// No such name (ENOENT).
    NotFound,
    /// The inode is not in use any more (ESTALE).
    Stale,
    /// The name is taken (EEXIST).
    Exists,
    /// The inode must be a directory and is not (ENOTDIR).
    NotDirectory,
    /// The operation is not for directories (EISDIR).
    IsDirectory,
    /// The directory has entries (ENOTEMPTY).
    NotEmpty,
    /// No free block or inode (ENOSPC).
    NoSpace,
    /// A name is longer than 255 bytes, or a link's target than a block (ENAMETOOLONG).
    NameTooLong,
    /// The inode has as many links as it can (EMLINK).
    TooManyLinks,
    /// Past the largest size of a file (EFBIG).
    FileTooLarge,
    /// An argument makes no sense (EINVAL).
    Invalid,
    /// The file system cannot do it (EOPNOTSUPP).
    NotSupported,
    /// No such extended attribute (ENODATA).
    NoAttribute,
    /// No data, or no hole, past this offset (ENXIO).
    NoSuchOffset,
    /// Memory is short (ENOMEM).
    NoMemory,
    /// Something still uses what must be unused (EBUSY).
    Busy,
}

impl Error {
    /// A contradiction in a block.
    pub(crate) const fn corrupt_block(what: &'static str, block: u64) -> Self {
        Self::Corrupt { what, block, inode: 0 }
    }

    /// A contradiction in an inode.
    pub(crate) const fn corrupt_inode(what: &'static str, inode: u32) -> Self {
        Self::Corrupt { what, block: 0, inode }
    }
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Io { block, cause } => write!(f, "device error {cause:?} at block {block}"),
            Self::Corrupt { what, block, inode } => {
                write!(f, "corrupt: {what} (block {block}, inode {inode})")
            }
            Self::Unsupported(name) => write!(f, "feature {name} is not supported"),
            other => core::fmt::Debug::fmt(other, f),
        }
    }
}

impl core::error::Error for Error {}
