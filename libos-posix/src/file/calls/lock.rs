//! The calls that lock files.
use crate::file::lock::{FileLocks, Kind, Owner, Range, Record, WHOLE, owner_of};
use crate::file::{Description, Object, current};
use crate::memory::UserAddress;
use crate::process::current_process;
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    F_GETLK, F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_RDLCK, F_SETLK, F_SETLKW, F_UNLCK, F_WRLCK,
    LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, O_ACCMODE, O_RDONLY, O_WRONLY, SEEK_CUR, SEEK_END,
    SEEK_SET, flock as flock_layout,
};

fn locks_of(file: &Description) -> Result<Arc<FileLocks>> {
    FileLocks::of(file.location().ok_or(Errno::EBADF)?)
}

/// `flock`.
pub fn flock(descriptor: i32, operation: u32) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    let (locks, owner) = (locks_of(&file)?, owner_of(&file));
    let may_wait = operation & LOCK_NB == 0;
    let lock = |is_exclusive| {
        let wanted = Record { owner, is_exclusive, range: WHOLE };
        locks.set(Kind::Whole, wanted, may_wait)
    };
    match operation & !LOCK_NB {
        LOCK_UN => locks.release(Kind::Whole, owner, WHOLE),
        LOCK_SH => lock(false)?,
        LOCK_EX => lock(true)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

/// The range that a `struct flock` names.
fn range_of(file: &Description, lock: &flock_layout) -> Result<Range> {
    let Object::File(open) = file.object() else { return Err(Errno::EBADF) };
    let base = match lock.l_whence as u32 {
        SEEK_SET => 0,
        SEEK_CUR => open.position() as i64,
        SEEK_END => open.node().mapping()?.size() as i64,
        _ => return Err(Errno::EINVAL),
    };
    let at = base.checked_add(lock.l_start).ok_or(Errno::EOVERFLOW)?;
    let (start, end) = match lock.l_len {
        0 => (at, i64::MAX),
        len if len > 0 => (at, at.checked_add(len).ok_or(Errno::EOVERFLOW)?),
        len => (at.checked_add(len).ok_or(Errno::EINVAL)?, at),
    };
    let start = u64::try_from(start).map_err(|_| Errno::EINVAL)?;
    let end = if lock.l_len == 0 { u64::MAX } else { end as u64 };
    Ok(Range { start, end })
}

/// The lock commands of `fcntl`; `EINVAL` for all others.
pub(crate) fn control(file: &Description, command: u32, address: UserAddress) -> Result<i64> {
    let is_known =
        matches!(command, F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
    if !is_known {
        return Err(Errno::EINVAL);
    }
    let mut lock: flock_layout = address.read()?;
    let is_of_description = command >= F_OFD_GETLK;
    if is_of_description && lock.l_pid != 0 {
        return Err(Errno::EINVAL);
    }
    let owner = match is_of_description {
        true => owner_of(file),
        false => Owner::Process(current_process().pid),
    };
    let range = range_of(file, &lock)?;
    let locks = locks_of(file)?;
    let kind = lock.l_type as u32;
    if matches!(command, F_GETLK | F_OFD_GETLK) {
        if kind != F_RDLCK && kind != F_WRLCK {
            return Err(Errno::EINVAL);
        }
        let wanted = Record { owner, is_exclusive: kind == F_WRLCK, range };
        describe(&mut lock, locks.conflict(Kind::Ranges, &wanted));
        address.write(&lock)?;
        return Ok(0);
    }
    let may_wait = matches!(command, F_SETLKW | F_OFD_SETLKW);
    set(file, &locks, owner, range, kind, may_wait)
}

fn set(
    file: &Description,
    locks: &FileLocks,
    owner: Owner,
    range: Range,
    kind: u32,
    may_wait: bool,
) -> Result<i64> {
    let access = file.flags() & O_ACCMODE;
    let is_exclusive = match kind {
        F_UNLCK => {
            locks.release(Kind::Ranges, owner, range);
            return Ok(0);
        }
        F_RDLCK if access != O_WRONLY => false,
        F_WRLCK if access != O_RDONLY => true,
        F_RDLCK | F_WRLCK => return Err(Errno::EBADF),
        _ => return Err(Errno::EINVAL),
    };
    locks.set(Kind::Ranges, Record { owner, is_exclusive, range }, may_wait)?;
    Ok(0)
}

fn describe(lock: &mut flock_layout, conflict: Option<Record>) {
    let Some(record) = conflict else {
        lock.l_type = F_UNLCK as i16;
        return;
    };
    lock.l_type = if record.is_exclusive { F_WRLCK } else { F_RDLCK } as i16;
    lock.l_whence = SEEK_SET as i16;
    lock.l_start = record.range.start as i64;
    let is_to_the_end = record.range.end == u64::MAX;
    lock.l_len = if is_to_the_end { 0 } else { (record.range.end - record.range.start) as i64 };
    lock.l_pid = match record.owner {
        Owner::Process(pid) => pid as i32,
        Owner::Description(_) => -1,
    };
}
