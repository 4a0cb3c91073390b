//! Calls about limits, times used and the machine.
use crate::memory::UserAddress;
use crate::process::{self, NS_PER_TICK, Process, current_process};
use crate::raw::{kernel, plain};
use crate::sched::current;
use crate::{Errno, Result};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;

const NS_PER_SECOND: u64 = 1_000_000_000;
const RUSAGE_SELF: i32 = 0;
const RUSAGE_CHILDREN: i32 = -1;
const RUSAGE_THREAD: i32 = 1;

pub(super) fn getrlimit(resource: u32, limit: UserAddress) -> Result<()> {
    let value = current_process().state.lock().limits.get(resource)?;
    limit.write(&value)
}

pub(super) fn setrlimit(resource: u32, limit: UserAddress) -> Result<()> {
    let new = limit.read()?;
    set(&current_process(), resource, new)
}

fn set(process: &Process, resource: u32, new: linux::rlimit64) -> Result<()> {
    let mut state = process.state.lock();
    let privileged = state.credentials.is_privileged();
    state.limits.set(resource, new, privileged)
}

pub(super) fn prlimit64(pid: u32, resource: u32, new: UserAddress, old: UserAddress) -> Result<()> {
    let process = if pid == 0 { current_process().clone() } else { process::find(pid)? };
    if !Arc::ptr_eq(&process, &current_process()) {
        crate::signal::check_permission(&process, 0)?;
    }
    let before = process.state.lock().limits.get(resource)?;
    if let Some(new) = new.optional() {
        set(&process, resource, new.read()?)?;
    }
    match old.optional() {
        Some(old) => old.write(&before),
        None => Ok(()),
    }
}

fn usage_of(cpu_ns: u64) -> linux::rusage {
    let mut usage: linux::rusage = plain::zeroed();
    usage.ru_utime.tv_sec = (cpu_ns / NS_PER_SECOND) as i64;
    usage.ru_utime.tv_usec = (cpu_ns % NS_PER_SECOND / 1000) as i64;
    usage
}

/// Stores the `struct rusage` of a child.
pub(super) fn write_usage(address: UserAddress, cpu_ns: u64) -> Result<()> {
    address.write(&usage_of(cpu_ns))
}

pub(super) fn getrusage(who: i32, usage: UserAddress) -> Result<()> {
    let me = current_process();
    let cpu_ns = match who {
        RUSAGE_SELF => me.cpu_ns(),
        RUSAGE_CHILDREN => me.children_ns.load(Ordering::Relaxed),
        RUSAGE_THREAD => current().cpu_ns(),
        _ => return Err(Errno::EINVAL),
    };
    let mut value = usage_of(cpu_ns);
    if who != RUSAGE_CHILDREN {
        value.ru_maxrss = me.space().usage().resident_pages as i64 * 4;
    }
    usage.write(&value)
}

pub(super) fn times(buffer: UserAddress) -> Result<u64> {
    let me = current_process();
    if let Some(buffer) = buffer.optional() {
        let own = me.cpu_ns() / NS_PER_TICK;
        let children = me.children_ns.load(Ordering::Relaxed) / NS_PER_TICK;
        buffer.write(&[own, 0, children, 0u64])?;
    }
    Ok(kernel::now_ns() / NS_PER_TICK)
}

pub(super) fn sysinfo(info: UserAddress) -> Result<()> {
    let (free, total) = crate::memory::usage();
    // Fixed point with 16 bits of fraction; no averages are kept.
    let load = (crate::sched::ready_count() as u64) << 16;
    let uptime = kernel::now_ns() / NS_PER_SECOND;
    let processes = process::process_count() as u64;
    // As `struct sysinfo`: uptime, three loads, total, free, shared, buffers, swap twice, processes, high twice, unit.
    let (total, free, unit) = (total as u64, free as u64, serix_block::PAGE_SIZE as u64);
    info.write(&[uptime, load, load, load, total, free, 0, 0, 0, 0, processes, 0, 0, unit])
}

/// All run with the same priority; the number that programs see is 20 less the nice value.
pub(super) fn getpriority(which: u32, _who: u32) -> Result<i64> {
    if which > 2 { Err(Errno::EINVAL) } else { Ok(20) }
}

pub(super) fn setpriority(which: u32, _who: u32, nice: i32) -> Result<()> {
    let privileged = current_process().state.lock().credentials.is_privileged();
    match () {
        () if which > 2 => Err(Errno::EINVAL),
        () if nice < 0 && !privileged => Err(Errno::EACCES),
        () => Ok(()),
    }
}
