//! The one error of this crate. A libOS makes its own numbers of it in one place.

/// Why an operation failed. The POSIX name is in parentheses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum VfsError {
    /// No such name (ENOENT).
    NotFound,
    /// The name is taken (EEXIST).
    Exists,
    /// A component that must be a directory is not (ENOTDIR).
    NotDirectory,
    /// The operation is not for directories (EISDIR).
    IsDirectory,
    /// The directory has entries (ENOTEMPTY).
    NotEmpty,
    /// The device or the quota is full (ENOSPC).
    NoSpace,
    /// File system or mount is read-only (EROFS).
    ReadOnly,
    /// The device failed (EIO).
    Io,
    /// A component or a path is too long (ENAMETOOLONG).
    NameTooLong,
    /// Too many symbolic links, or one where none may be (ELOOP).
    Loop,
    /// The mode bits do not allow it (EACCES).
    Access,
    /// Only an owner or a privileged user may (EPERM).
    Permission,
    /// Both names must be on one file system (EXDEV).
    CrossDevice,
    /// The inode has as many links as it can (EMLINK).
    TooManyLinks,
    /// An argument makes no sense (EINVAL).
    Invalid,
    /// The file system or the device cannot do it (EOPNOTSUPP).
    NotSupported,
    /// This kind of inode has no such control request (ENOTTY).
    NotTerminal,
    /// Memory is short and nothing could be evicted (ENOMEM).
    NoMemory,
    /// In use: a mount point, a mounted file system (EBUSY).
    Busy,
    /// Past the largest size of a file (EFBIG).
    FileTooLarge,
    /// No such extended attribute (ENODATA).
    NoData,
    /// The caller's buffer is too small (ERANGE).
    Range,
    /// The inode is gone (ESTALE).
    Stale,
    /// User memory could not be reached (EFAULT).
    Fault,
    /// The operation would wait and the caller does not want that (EAGAIN).
    WouldBlock,
    /// A signal or its like ended the wait (EINTR).
    Interrupted,
    /// The description was not opened for this, or is none (EBADF).
    BadDescriptor,
    /// No such device or address, or no data past this offset (ENXIO).
    NoDevice,
    /// The stream cannot seek (ESPIPE).
    NotSeekable,
    /// The other end is closed (EPIPE).
    BrokenPipe,
    /// A value does not fit its type (EOVERFLOW).
    Overflow,
    /// The file is being executed (ETXTBSY).
    TextBusy,
    /// What the disk says contradicts itself (EUCLEAN).
    Corrupt,
}

/// Result of an operation.
pub type VfsResult<T> = Result<T, VfsError>;

impl core::fmt::Display for VfsError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl core::error::Error for VfsError {}

impl From<serix_block::BlockError> for VfsError {
    fn from(error: serix_block::BlockError) -> Self {
        match error {
            serix_block::BlockError::ReadOnly => Self::ReadOnly,
            _ => Self::Io,
        }
    }
}
