//! What the calls about files ask of the running process.
use super::description::Description;
use super::table::{Entry, NoDescriptor, Table};
use crate::fs::Places;
use crate::process::{Resource, current_process};
use crate::signal;
use crate::signal::set::{SIGPIPE, SIGXFSZ};
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::O_PATH;
use serix_chroma::{Credentials, VfsError};

/// What a descriptor names, to be used.
///
/// # Errors
/// `EBADF`, also for one that only names a place (`O_PATH`).
#[inline]
pub fn descriptor(number: i32) -> Result<Arc<Description>> {
    let description = any_descriptor(number)?;
    if description.flags() & O_PATH == 0 { Ok(description) } else { Err(Errno::EBADF) }
}

/// What a descriptor names, to be written to; `None` for `/dev/null`, which takes everything without a look.
///
/// # Errors
/// As [`descriptor`].
#[inline]
pub fn descriptor_unless_sink(number: i32) -> Result<Option<Arc<Description>>> {
    let description = current_process().with_descriptors(|table| {
        table.with(|table| {
            let description = &table.entry(number)?.description;
            Ok::<_, VfsError>((!description.is_sink()).then(|| description.clone()))
        })
    })?;
    match description {
        Some(description) if description.flags() & O_PATH != 0 => Err(Errno::EBADF),
        description => Ok(description),
    }
}

/// What a descriptor names, be it only a place.
///
/// # Errors
/// `EBADF`.
#[inline]
pub fn any_descriptor(number: i32) -> Result<Arc<Description>> {
    Ok(current_process().with_descriptors(|table| table.get(number))?)
}

/// Uses the descriptor table.
#[inline]
pub fn with_descriptors<R>(work: impl FnOnce(&mut Table) -> R) -> R {
    current_process().with_descriptors(|table| table.with(work))
}

/// Uses working directory, root and umask.
#[inline]
pub fn with_fs<R>(work: impl FnOnce(&mut Places) -> R) -> R {
    current_process().context().with(work)
}

/// The same without keeping them alive on the way. Nothing in `work` may block.
#[inline]
pub fn with_places<R>(work: impl FnOnce(&Places) -> R) -> R {
    current_process().with_context(|context| context.with(|places| work(places)))
}

/// On whose behalf files are used.
#[inline]
#[must_use]
pub fn credentials() -> Credentials {
    current_process().state.lock().credentials.for_files()
}

/// The same with the real ids, which `access` goes by.
#[must_use]
pub fn real_credentials() -> Credentials {
    let mut credentials = current_process().state.lock().credentials.clone();
    (credentials.fsuid, credentials.fsgid) = (credentials.uid, credentials.gid);
    credentials.for_files()
}

/// One more than the largest descriptor.
#[must_use]
pub fn descriptor_limit() -> usize {
    limit(Resource::Descriptors).min(i32::MAX as u64) as usize
}

/// Bytes of the largest file.
#[must_use]
pub fn file_size_limit() -> u64 {
    limit(Resource::FileSize)
}

fn limit(resource: Resource) -> u64 {
    current_process().state.lock().limits.soft(resource)
}

/// Gives a description the lowest free number from `least` on.
///
/// # Errors
/// `EMFILE`.
#[inline]
pub fn install(entry: Entry, least: usize) -> Result<i32> {
    let limit = descriptor_limit();
    with_descriptors(|table| table.insert(entry, least, limit)).map_err(no_descriptor)
}

/// Checks that a number is free.
///
/// # Errors
/// `EMFILE`.
pub fn check_vacant() -> Result<()> {
    let limit = descriptor_limit();
    with_descriptors(|table| table.vacant(0, limit)).map(drop).map_err(no_descriptor)
}

fn no_descriptor(_: NoDescriptor) -> Errno {
    Errno::EMFILE
}

/// What the end of a descriptor ends beyond its description: the process's record locks on the file.
pub fn closed(entry: &Entry) {
    super::lock::closed(&entry.description);
}

/// The process wrote to a pipe that nobody reads.
pub fn broken_pipe() {
    signal::raise(SIGPIPE);
}

/// The process wrote past its file size limit.
pub fn file_size_exceeded() {
    signal::raise(SIGXFSZ);
}
