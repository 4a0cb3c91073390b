//! Calls about users and groups.
use crate::memory::UserAddress;
use crate::process::{Credentials, current_process};
use crate::{Errno, Result};
use alloc::sync::Arc;

/// Most supplementary groups.
const GROUPS_MAX: usize = 65536;
/// `_LINUX_CAPABILITY_VERSION_3`
const CAPABILITY_VERSION: u32 = 0x2008_0522;
/// All capabilities of Linux 6.
const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

fn read<T>(look: impl FnOnce(&Credentials) -> T) -> T {
    look(&current_process().state.lock().credentials)
}

fn change<T>(work: impl FnOnce(&mut Credentials) -> T) -> T {
    work(&mut current_process().state.lock().credentials)
}

pub(super) fn getuid() -> Result<u32> {
    Ok(read(|ids| ids.uid))
}

pub(super) fn geteuid() -> Result<u32> {
    Ok(read(|ids| ids.euid))
}

pub(super) fn getgid() -> Result<u32> {
    Ok(read(|ids| ids.gid))
}

pub(super) fn getegid() -> Result<u32> {
    Ok(read(|ids| ids.egid))
}

pub(super) fn setuid(uid: u32) -> Result<()> {
    change(|ids| ids.set_uid(uid))
}

pub(super) fn setgid(gid: u32) -> Result<()> {
    change(|ids| ids.set_gid(gid))
}

pub(super) fn setreuid(real: u32, effective: u32) -> Result<()> {
    change(|ids| {
        ids.set_user_ids(real, effective, crate::process::UNCHANGED)?;
        if real != crate::process::UNCHANGED {
            ids.suid = ids.euid;
        }
        Ok(())
    })
}

pub(super) fn setregid(real: u32, effective: u32) -> Result<()> {
    change(|ids| {
        ids.set_group_ids(real, effective, crate::process::UNCHANGED)?;
        if real != crate::process::UNCHANGED {
            ids.sgid = ids.egid;
        }
        Ok(())
    })
}

pub(super) fn setresuid(real: u32, effective: u32, saved: u32) -> Result<()> {
    change(|ids| ids.set_user_ids(real, effective, saved))
}

pub(super) fn setresgid(real: u32, effective: u32, saved: u32) -> Result<()> {
    change(|ids| ids.set_group_ids(real, effective, saved))
}

fn write_three(to: [UserAddress; 3], ids: [u32; 3]) -> Result<()> {
    to.iter().zip(ids).try_for_each(|(address, id)| address.write(&id))
}

pub(super) fn getresuid(
    real: UserAddress,
    effective: UserAddress,
    saved: UserAddress,
) -> Result<()> {
    write_three([real, effective, saved], read(|ids| [ids.uid, ids.euid, ids.suid]))
}

pub(super) fn getresgid(
    real: UserAddress,
    effective: UserAddress,
    saved: UserAddress,
) -> Result<()> {
    write_three([real, effective, saved], read(|ids| [ids.gid, ids.egid, ids.sgid]))
}

pub(super) fn setfsuid(uid: u32) -> Result<u32> {
    Ok(change(|ids| {
        let old = ids.fsuid;
        if ids.is_privileged() || [ids.uid, ids.euid, ids.suid, old].contains(&uid) {
            ids.fsuid = uid;
        }
        old
    }))
}

pub(super) fn setfsgid(gid: u32) -> Result<u32> {
    Ok(change(|ids| {
        let old = ids.fsgid;
        if ids.is_privileged() || [ids.gid, ids.egid, ids.sgid, old].contains(&gid) {
            ids.fsgid = gid;
        }
        old
    }))
}

pub(super) fn getgroups(count: i32, list: UserAddress) -> Result<usize> {
    let groups = read(|ids| ids.groups.clone());
    let room = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    if room == 0 {
        return Ok(groups.len());
    }
    if room < groups.len() {
        return Err(Errno::EINVAL);
    }
    for (index, group) in groups.iter().enumerate() {
        list.add(index as u64 * 4).write(group)?;
    }
    Ok(groups.len())
}

pub(super) fn setgroups(count: usize, list: UserAddress) -> Result<()> {
    if !read(Credentials::is_privileged) {
        return Err(Errno::EPERM);
    }
    if count > GROUPS_MAX {
        return Err(Errno::EINVAL);
    }
    let groups = Arc::new(list.read_vec::<u32>(count)?);
    change(|ids| ids.groups = groups);
    Ok(())
}

/// The superuser has all capabilities, others none; they cannot be divided.
pub(super) fn capget(header: UserAddress, data: UserAddress) -> Result<()> {
    check_version(header)?;
    let Some(data) = data.optional() else { return Ok(()) };
    let all = if read(Credentials::is_privileged) { ALL_CAPABILITIES } else { 0 };
    let (low, high) = (all as u32, (all >> 32) as u32);
    data.write(&[low, low, 0u32, high, high, 0u32])
}

pub(super) fn capset(header: UserAddress, data: UserAddress) -> Result<()> {
    check_version(header)?;
    let wanted: [u32; 6] = data.read()?;
    let all = if read(Credentials::is_privileged) { ALL_CAPABILITIES } else { 0 };
    let has = |low: u32, high: u32| (u64::from(high) << 32 | u64::from(low)) & !all == 0;
    if has(wanted[0], wanted[3]) && has(wanted[1], wanted[4]) { Ok(()) } else { Err(Errno::EPERM) }
}

fn check_version(header: UserAddress) -> Result<()> {
    let version: u32 = header.read()?;
    if version == CAPABILITY_VERSION {
        return Ok(());
    }
    header.write(&CAPABILITY_VERSION)?;
    Err(Errno::EINVAL)
}
