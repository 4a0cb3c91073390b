//! This crate's values as chroma's, and back.
use crate::error::Error;
use crate::layout::inode::{FileKind, Time};
use crate::{AllocateMode, AttributeChange, Attributes, RenameFlags, XattrMode};
use serix_chroma as chroma;
use serix_chroma::{DeviceNumber, Metadata, MetadataChange, Timestamp, VfsError};

pub(super) fn error(error: Error) -> VfsError {
    match error {
        Error::Io { .. } => VfsError::Io,
        Error::Corrupt { .. } => VfsError::Corrupt,
        Error::NotExt4 | Error::Unsupported(_) | Error::Invalid => VfsError::Invalid,
        Error::ReadOnly => VfsError::ReadOnly,
        Error::NotFound => VfsError::NotFound,
        Error::Stale => VfsError::Stale,
        Error::Exists => VfsError::Exists,
        Error::NotDirectory => VfsError::NotDirectory,
        Error::IsDirectory => VfsError::IsDirectory,
        Error::NotEmpty => VfsError::NotEmpty,
        Error::NoSpace => VfsError::NoSpace,
        Error::NameTooLong => VfsError::NameTooLong,
        Error::TooManyLinks => VfsError::TooManyLinks,
        Error::FileTooLarge => VfsError::FileTooLarge,
        Error::NotSupported => VfsError::NotSupported,
        Error::NoAttribute => VfsError::NoData,
        Error::NoSuchOffset => VfsError::NoDevice,
        Error::NoMemory => VfsError::NoMemory,
        Error::Busy => VfsError::Busy,
    }
}

fn timestamp(time: Time) -> Timestamp {
    Timestamp { seconds: time.seconds, nanoseconds: time.nanoseconds }
}

fn time(timestamp: Timestamp) -> Time {
    Time { seconds: timestamp.seconds, nanoseconds: timestamp.nanoseconds }
}

pub(super) fn kind(kind: FileKind) -> chroma::FileKind {
    match kind {
        FileKind::Fifo => chroma::FileKind::Fifo,
        FileKind::CharacterDevice => chroma::FileKind::CharDevice,
        FileKind::Directory => chroma::FileKind::Directory,
        FileKind::BlockDevice => chroma::FileKind::BlockDevice,
        FileKind::Regular => chroma::FileKind::Regular,
        FileKind::Symlink => chroma::FileKind::Symlink,
        FileKind::Socket => chroma::FileKind::Socket,
    }
}

pub(super) fn own_kind(kind: chroma::FileKind) -> FileKind {
    match kind {
        chroma::FileKind::Fifo => FileKind::Fifo,
        chroma::FileKind::CharDevice => FileKind::CharacterDevice,
        chroma::FileKind::Directory => FileKind::Directory,
        chroma::FileKind::BlockDevice => FileKind::BlockDevice,
        chroma::FileKind::Regular => FileKind::Regular,
        chroma::FileKind::Symlink => FileKind::Symlink,
        chroma::FileKind::Socket => FileKind::Socket,
    }
}

pub(super) fn metadata(found: &Attributes, block_size: u32) -> Metadata {
    Metadata {
        ino: found.inode.into(),
        kind: kind(found.kind),
        mode: found.mode.into(),
        uid: found.uid,
        gid: found.gid,
        links: found.links,
        size: found.size,
        blocks: found.sectors,
        block_size,
        device: DeviceNumber { major: found.device.0, minor: found.device.1 },
        accessed: timestamp(found.accessed),
        modified: timestamp(found.modified),
        changed: timestamp(found.changed),
        created: found.created.map(timestamp),
    }
}

pub(super) fn change(change: &MetadataChange) -> AttributeChange {
    AttributeChange {
        mode: change.mode.map(|mode| mode as u16 & 0xfff),
        uid: change.uid,
        gid: change.gid,
        size: change.size,
        accessed: change.accessed.map(time),
        modified: change.modified.map(time),
        changed: change.changed.map(time),
    }
}

pub(super) fn allocate_mode(mode: chroma::AllocateMode) -> AllocateMode {
    match mode {
        chroma::AllocateMode::Reserve { keep_size } => AllocateMode::Reserve { keep_size },
        chroma::AllocateMode::PunchHole => AllocateMode::PunchHole,
        chroma::AllocateMode::ZeroRange { keep_size } => AllocateMode::ZeroRange { keep_size },
    }
}

pub(super) fn xattr_mode(mode: chroma::XattrMode) -> XattrMode {
    match mode {
        chroma::XattrMode::Any => XattrMode::Any,
        chroma::XattrMode::Create => XattrMode::Create,
        chroma::XattrMode::Replace => XattrMode::Replace,
    }
}

/// `None` for a combination that means nothing.
pub(super) fn rename_flags(flags: chroma::RenameFlags) -> Option<RenameFlags> {
    match (
        flags.contains(chroma::RenameFlags::NO_REPLACE),
        flags.contains(chroma::RenameFlags::EXCHANGE),
    ) {
        (false, false) => Some(RenameFlags::Replace),
        (true, false) => Some(RenameFlags::NoReplace),
        (false, true) => Some(RenameFlags::Exchange),
        (true, true) => None,
    }
}
