//! `execve`: another program in the same process.
//!
//! Everything that can fail because of the file is decided before the old program is touched.
use super::image::{self, Program, Strings};
use super::{Phase, current_process, exit};
use crate::fs::{At, vfs};
use crate::memory::space::Origin;
use crate::memory::{AddressSpace, UserAddress, check_watermark};
use crate::raw::context;
use crate::raw::entry::TrapFrame;
use crate::sched::{self, current};
use crate::signal::AltStack;
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use linux_raw_sys::general::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use serix_chroma::ResolveFlags;

/// Most bytes of arguments and environment together, with their pointers (a quarter of the usual stack limit).
const STRINGS_MAX: usize = 2 << 20;
/// Bytes of a process's name, without a NUL.
const NAME_MAX: usize = 15;

/// Runs the program at a path in the running process; answers the registers that it starts with.
///
/// # Errors
/// As execve(2); the process goes on as it was.
pub fn execute(
    directory: i32,
    path: UserAddress,
    arguments: UserAddress,
    environment: UserAddress,
    flags: u32,
) -> Result<TrapFrame> {
    check_watermark()?;
    if flags & !(AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL);
    }
    let path = path.read_path()?;
    let mut budget = STRINGS_MAX;
    let arguments = read_list(arguments, &mut budget)?;
    let environment = read_list(environment, &mut budget)?;
    execute_strings(directory, path, Strings { arguments, environment }, flags)
}

/// As [`execute`], with strings of the libOS.
///
/// # Errors
/// As [`execute`].
pub fn execute_strings(
    directory: i32,
    path: Vec<u8>,
    strings: Strings,
    flags: u32,
) -> Result<TrapFrame> {
    let mut resolve = ResolveFlags::empty();
    resolve.set(ResolveFlags::EMPTY_PATH, flags & AT_EMPTY_PATH != 0);
    resolve.set(ResolveFlags::NO_FOLLOW, flags & AT_SYMLINK_NOFOLLOW != 0);
    let at = At::new(directory, &path)?;
    let place = crate::file::wait(vfs().resolve(at.context(), &path, resolve))?;
    let program = image::prepare(place, path, strings)?;
    end_other_threads()?;
    replace(program)
}

/// A list of strings that ends with a null pointer.
fn read_list(list: UserAddress, budget: &mut usize) -> Result<Vec<Vec<u8>>> {
    let mut strings = Vec::new();
    if list.is_null() {
        return Ok(strings);
    }
    loop {
        let at: u64 = list.add(strings.len() as u64 * 8).read()?;
        if at == 0 {
            return Ok(strings);
        }
        let string = UserAddress(at).read_string(*budget).map_err(|error| match error {
            Errno::ENAMETOOLONG => Errno::E2BIG,
            other => other,
        })?;
        *budget = budget.checked_sub(string.len() + 1 + 8).ok_or(Errno::E2BIG)?;
        strings.push(string);
    }
}

/// Ends all threads but the running one, and waits for that.
fn end_other_threads() -> Result<()> {
    let me = current();
    let process = me.process.clone();
    {
        let mut state = process.state.lock();
        if state.phase != Phase::Running || state.executing.is_some() {
            return Err(Errno::EAGAIN);
        }
        if state.threads.len() == 1 {
            return Ok(());
        }
        state.executing = Some(me.tid);
        state.threads.iter().filter(|thread| thread.tid != me.tid).for_each(|t| t.interrupt());
    }
    sched::wait(|waker| {
        process.changed.register(waker);
        (process.state.lock().threads.len() == 1).then_some(())
    });
    process.state.lock().executing = None;
    Ok(())
}

/// Past the point of no return: a failure ends the process.
fn replace(program: Program) -> Result<TrapFrame> {
    if leave_old_space().is_err() {
        return Err(Errno::ENOMEM);
    }
    let process = current_process().clone();
    let space = process.space();
    let frame = match image::load(&space, &program) {
        Ok(frame) => frame,
        Err(_) => exit::terminate(super::ExitStatus::Signalled {
            signal: crate::signal::set::SIGKILL,
            core: false,
        }),
    };
    space.layout().origin = Arc::new(Origin {
        arguments: flatten(&program.strings.arguments),
        environment: flatten(&program.strings.environment),
        executable: Some(program.place.clone()),
    });
    become_program(&program);
    Ok(frame)
}

fn flatten(strings: &[Vec<u8>]) -> Vec<u8> {
    let mut all = Vec::with_capacity(strings.iter().map(|string| string.len() + 1).sum());
    for string in strings {
        all.extend_from_slice(string);
        all.push(0);
    }
    all
}

/// Empties the space, or leaves it to those who share it and goes to a new one.
fn leave_old_space() -> Result<()> {
    let process = current_process().clone();
    let old = process.space();
    // The process's own handle and this one.
    if Arc::strong_count(&old) == 2 {
        old.clear();
        return Ok(());
    }
    let new = Arc::new(AddressSpace::create()?);
    let place = new.place();
    process.replace_space(new);
    let me = current();
    context::migrate(&me.context, place, Arc::as_ptr(&me.arc()));
    exit::release_parent(&process);
    Ok(())
}

/// What changes in the process besides its memory.
fn become_program(program: &Program) {
    let me = current();
    let process = me.process.clone();
    let descriptors = process.descriptors();
    let own = if Arc::strong_count(&descriptors) > 2 { descriptors.fork() } else { descriptors };
    own.close_for_exec();
    let old = process.replace_descriptors(own);
    drop(old);
    process.signals.lock().execute();
    {
        let mut signals = me.signals.lock();
        signals.alt_stack = AltStack::default();
    }
    me.clear_child_tid.store(0, Ordering::Relaxed);
    *me.rseq.lock() = None;
    me.context.reset_vectors();
    context::write_fs_base(0);
    let name = program.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let mut state = process.state.lock();
    state.name = name[..name.len().min(NAME_MAX)].to_vec();
    state.executable = program.path.clone();
    state.executed = true;
    state.exit_signal = crate::signal::set::SIGCHLD;
    state.credentials.execute(program.set_user, program.set_group);
    drop(state);
    exit::release_parent(&process);
}
