//! Calls about processes and threads.
use super::resources;
use crate::memory::UserAddress;
use crate::process::{
    self, CloneRequest, Process, WaitEvent, WaitRequest, WaitTarget, current_process,
};
use crate::raw::entry::TrapFrame;
use crate::raw::{PROGRAM_END, context, plain};
use crate::sched::current;
use crate::signal::info::{Origin, SignalInfo};
use crate::signal::set::{SIGCHLD, SIGNAL_MAX};
use crate::{Errno, Result};
use alloc::sync::Arc;
use core::sync::atomic::Ordering;
use linux_raw_sys::general as linux;
use linux_raw_sys::prctl;

pub(super) fn getpid() -> Result<u32> {
    Ok(current_process().pid)
}

pub(super) fn getppid() -> Result<u32> {
    Ok(current_process().parent_pid())
}

pub(super) fn gettid() -> Result<u32> {
    Ok(current().tid)
}

/// Finishes a call that had the whole frame.
fn answer(trap: &mut TrapFrame, result: Result<u32>) {
    trap.rax = match result {
        Ok(value) => u64::from(value),
        Err(errno) => errno.to_register() as u64,
    };
}

fn registers(trap: &TrapFrame) -> [u64; 6] {
    [trap.rdi, trap.rsi, trap.rdx, trap.r10, trap.r8, trap.r9]
}

pub(super) extern "sysv64" fn fork(trap: &mut TrapFrame) {
    let request = CloneRequest { exit_signal: SIGCHLD, ..CloneRequest::default() };
    let result = process::clone(&request, trap);
    answer(trap, result);
}

pub(super) extern "sysv64" fn vfork(trap: &mut TrapFrame) {
    let flags = u64::from(linux::CLONE_VM | linux::CLONE_VFORK);
    let request = CloneRequest { flags, exit_signal: SIGCHLD, ..CloneRequest::default() };
    let result = process::clone(&request, trap);
    answer(trap, result);
}

pub(super) extern "sysv64" fn clone(trap: &mut TrapFrame) {
    let request = CloneRequest {
        flags: trap.rdi & 0xFFFF_FF00,
        exit_signal: (trap.rdi & 0xFF) as u32,
        stack: trap.rsi,
        parent_tid: trap.rdx,
        child_tid: trap.r10,
        tls: trap.r8,
    };
    let result = process::clone(&request, trap);
    answer(trap, result);
}

pub(super) extern "sysv64" fn clone3(trap: &mut TrapFrame) {
    let result = clone3_request(UserAddress(trap.rdi), trap.rsi as usize)
        .and_then(|request| process::clone(&request, trap));
    answer(trap, result);
}

/// Bytes of the first version of `struct clone_args`.
const CLONE_ARGS_MIN: usize = 64;

fn clone3_request(arguments: UserAddress, size: usize) -> Result<CloneRequest> {
    if size < CLONE_ARGS_MIN {
        return Err(Errno::EINVAL);
    }
    let mut args: linux::clone_args = plain::zeroed();
    let known = size.min(size_of::<linux::clone_args>());
    arguments.read_bytes(&mut plain::bytes_of_mut(&mut args)[..known])?;
    for at in known..size.min(4096) {
        if arguments.add(at as u64).read::<u8>()? != 0 {
            return Err(Errno::E2BIG);
        }
    }
    if args.set_tid_size != 0 || args.cgroup != 0 || args.exit_signal > SIGNAL_MAX.into() {
        return Err(Errno::EINVAL);
    }
    if (args.stack == 0) != (args.stack_size == 0) {
        return Err(Errno::EINVAL);
    }
    Ok(CloneRequest {
        flags: args.flags,
        exit_signal: args.exit_signal as u32,
        stack: args.stack.wrapping_add(args.stack_size),
        parent_tid: args.parent_tid,
        child_tid: args.child_tid,
        tls: args.tls,
    })
}

pub(super) extern "sysv64" fn execve(trap: &mut TrapFrame) {
    let [path, arguments, environment, ..] = registers(trap).map(UserAddress);
    let result = process::execute(linux::AT_FDCWD, path, arguments, environment, 0)
        .map(|frame| *trap = frame);
    if let Err(errno) = result {
        answer(trap, Err(errno));
    }
}

pub(super) extern "sysv64" fn execveat(trap: &mut TrapFrame) {
    let [_, path, arguments, environment, ..] = registers(trap).map(UserAddress);
    let (directory, flags) = (trap.rdi as i32, trap.r8 as u32);
    let result =
        process::execute(directory, path, arguments, environment, flags).map(|frame| *trap = frame);
    if let Err(errno) = result {
        answer(trap, Err(errno));
    }
}

pub(super) fn exit(status: u32) -> Result<()> {
    process::set_exit_code(status as u8);
    process::exit_thread()
}

pub(super) fn exit_group(status: u32) -> Result<()> {
    process::exit_group(status as u8)
}

pub(super) fn wait4(
    pid: i32,
    status: UserAddress,
    options: u32,
    usage: UserAddress,
) -> Result<u32> {
    let known = linux::WNOHANG
        | linux::WUNTRACED
        | linux::WCONTINUED
        | linux::__WNOTHREAD
        | linux::__WCLONE
        | linux::__WALL;
    if options & !known != 0 {
        return Err(Errno::EINVAL);
    }
    let target = match pid {
        i32::MIN => return Err(Errno::ESRCH),
        1.. => WaitTarget::Process(pid as u32),
        0 => WaitTarget::Group(current_process().state.lock().group),
        -1 => WaitTarget::Any,
        _ => WaitTarget::Group(pid.unsigned_abs()),
    };
    let request = WaitRequest {
        target,
        ended: true,
        stopped: options & linux::WUNTRACED != 0,
        continued: options & linux::WCONTINUED != 0,
        no_hang: options & linux::WNOHANG != 0,
        keep: false,
    };
    let Some(waited) = process::wait_for_child(&request)? else { return Ok(0) };
    if let Some(status) = status.optional() {
        status.write(&waited.event.to_status())?;
    }
    if let Some(usage) = usage.optional() {
        resources::write_usage(usage, waited.cpu_ns)?;
    }
    Ok(waited.pid)
}

pub(super) fn waitid(
    kind: u32,
    id: u32,
    info: UserAddress,
    options: u32,
    usage: UserAddress,
) -> Result<()> {
    let events = linux::WEXITED | linux::WSTOPPED | linux::WCONTINUED;
    let known = events | linux::WNOHANG | linux::WNOWAIT | linux::__WALL | linux::__WCLONE;
    if options & !known != 0 || options & events == 0 {
        return Err(Errno::EINVAL);
    }
    let target = match kind {
        linux::P_ALL => WaitTarget::Any,
        linux::P_PID => WaitTarget::Process(id),
        linux::P_PGID if id == 0 => WaitTarget::Group(current_process().state.lock().group),
        linux::P_PGID => WaitTarget::Group(id),
        _ => return Err(Errno::EINVAL),
    };
    let request = WaitRequest {
        target,
        ended: options & linux::WEXITED != 0,
        stopped: options & linux::WSTOPPED != 0,
        continued: options & linux::WCONTINUED != 0,
        no_hang: options & linux::WNOHANG != 0,
        keep: options & linux::WNOWAIT != 0,
    };
    let waited = process::wait_for_child(&request)?;
    if let (Some(usage), Some(waited)) = (usage.optional(), &waited) {
        resources::write_usage(usage, waited.cpu_ns)?;
    }
    let Some(info) = info.optional() else { return Ok(()) };
    match waited {
        None => info.zero(linux::SI_MAX_SIZE as usize),
        Some(waited) => {
            let (code, status) = describe(waited.event);
            let origin = Origin::Child { pid: waited.pid, uid: waited.uid, status, user_ticks: 0 };
            info.write_bytes(&SignalInfo { signal: SIGCHLD, code, origin }.to_bytes())
        }
    }
}

fn describe(event: WaitEvent) -> (i32, i32) {
    use crate::process::Report;
    use crate::signal::info::code;
    match event {
        WaitEvent::Ended(status) => crate::signal::describe_exit(status),
        WaitEvent::Report(Report::Stopped(signal)) => (code::CHILD_STOPPED, signal as i32),
        WaitEvent::Report(Report::Continued) => {
            (code::CHILD_CONTINUED, crate::signal::set::SIGCONT as i32)
        }
    }
}

fn process_or_me(pid: u32) -> Result<Arc<Process>> {
    if pid == 0 { Ok(current_process().clone()) } else { process::find(pid) }
}

pub(super) fn setpgid(pid: i32, group: i32) -> Result<()> {
    if pid < 0 || group < 0 {
        return Err(Errno::EINVAL);
    }
    let me = current_process().clone();
    let target = process_or_me(pid as u32)?;
    let is_me = Arc::ptr_eq(&me, &target);
    let my_session = me.state.lock().session;
    if !is_me {
        if target.parent_pid() != me.pid {
            return Err(Errno::ESRCH);
        }
        let state = target.state.lock();
        if state.session != my_session {
            return Err(Errno::EPERM);
        }
        if state.executed {
            return Err(Errno::EACCES);
        }
    }
    let group = if group == 0 { target.pid } else { group as u32 };
    if target.state.lock().session == target.pid {
        return Err(Errno::EPERM);
    }
    let exists = group == target.pid
        || process::find_group(group)
            .iter()
            .any(|member| member.state.lock().session == my_session);
    if !exists {
        return Err(Errno::EPERM);
    }
    target.state.lock().group = group;
    Ok(())
}

pub(super) fn getpgid(pid: u32) -> Result<u32> {
    Ok(process_or_me(pid)?.state.lock().group)
}

pub(super) fn getpgrp() -> Result<u32> {
    getpgid(0)
}

pub(super) fn setsid() -> Result<u32> {
    let me = current_process().clone();
    if !process::find_group(me.pid).is_empty() {
        return Err(Errno::EPERM);
    }
    let mut state = me.state.lock();
    (state.group, state.session) = (me.pid, me.pid);
    let terminal = state.terminal.take();
    drop(state);
    drop(terminal);
    Ok(me.pid)
}

pub(super) fn getsid(pid: u32) -> Result<u32> {
    Ok(process_or_me(pid)?.state.lock().session)
}

/// Bytes of a thread's name with its NUL.
const NAME_SIZE: usize = 16;

pub(super) fn prctl(option: u32, a: u64, _b: u64, _c: u64, _d: u64) -> Result<u64> {
    let me = current_process();
    match option {
        prctl::PR_SET_NAME => {
            let mut name = [0; NAME_SIZE];
            let text = UserAddress(a).read_string(NAME_SIZE).or_else(|error| match error {
                Errno::ENAMETOOLONG => UserAddress(a).read_vec(NAME_SIZE - 1),
                other => Err(other),
            })?;
            let length = text.len().min(NAME_SIZE - 1);
            name[..length].copy_from_slice(&text[..length]);
            me.state.lock().name = name[..length].to_vec();
            Ok(0)
        }
        prctl::PR_GET_NAME => {
            let mut name = [0; NAME_SIZE];
            let text = me.state.lock().name.clone();
            name[..text.len()].copy_from_slice(&text);
            UserAddress(a).write_bytes(&name).map(|()| 0)
        }
        prctl::PR_SET_PDEATHSIG if a <= SIGNAL_MAX.into() => {
            me.state.lock().parent_death_signal = a as u32;
            Ok(0)
        }
        prctl::PR_GET_PDEATHSIG => {
            let signal = me.state.lock().parent_death_signal;
            UserAddress(a).write(&signal).map(|()| 0)
        }
        prctl::PR_SET_CHILD_SUBREAPER => {
            me.state.lock().reaps = a != 0;
            Ok(0)
        }
        prctl::PR_GET_CHILD_SUBREAPER => {
            let reaps = me.state.lock().reaps;
            UserAddress(a).write(&u32::from(reaps)).map(|()| 0)
        }
        prctl::PR_GET_DUMPABLE => Ok(1),
        prctl::PR_SET_DUMPABLE if a <= 1 => Ok(0),
        // Every capability of the bounding set is there, and none can be kept or dropped.
        prctl::PR_CAPBSET_READ if a <= 40 => Ok(1),
        prctl::PR_GET_KEEPCAPS | prctl::PR_GET_NO_NEW_PRIVS | prctl::PR_GET_SECUREBITS => Ok(0),
        prctl::PR_GET_TIMERSLACK => Ok(50_000),
        prctl::PR_SET_TIMERSLACK => Ok(0),
        _ => Err(Errno::EINVAL),
    }
}

const ARCH_SET_FS: u32 = 0x1002;
const ARCH_GET_FS: u32 = 0x1003;
const ARCH_GET_GS: u32 = 0x1004;

/// GS base belongs to the libOS, so a program cannot have one (docs/decisions/0002-kernel-abi.md).
pub(super) fn arch_prctl(code: u32, address: u64) -> Result<()> {
    match code {
        ARCH_SET_FS if address >= PROGRAM_END => Err(Errno::EPERM),
        ARCH_SET_FS => {
            context::write_fs_base(address);
            Ok(())
        }
        ARCH_GET_FS => UserAddress(address).write(&context::read_fs_base()),
        ARCH_GET_GS => UserAddress(address).write(&0u64),
        _ => Err(Errno::EINVAL),
    }
}

pub(super) fn set_tid_address(address: u64) -> Result<u32> {
    let me = current();
    me.clear_child_tid.store(address, Ordering::Relaxed);
    Ok(me.tid)
}

/// Robust lists matter for threads that die while they hold a lock that others share; the address is kept by nobody
/// until then.
pub(super) fn set_robust_list(_head: u64, length: usize) -> Result<()> {
    if length == size_of::<linux::robust_list_head>() { Ok(()) } else { Err(Errno::EINVAL) }
}

/// Only the native personality exists.
pub(super) fn personality(persona: u32) -> Result<u32> {
    const QUERY: u32 = u32::MAX;
    const NO_RANDOMIZE: u32 = 0x0004_0000;
    if persona == QUERY || persona & !NO_RANDOMIZE == 0 { Ok(0) } else { Err(Errno::EINVAL) }
}
