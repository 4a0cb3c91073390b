//! Control requests.
use crate::file::{Description, Object, current, wait_interruptibly};
use crate::memory::UserAddress;
use crate::memory::user::ProgramMemory;
use crate::{Errno, Result};
use linux_raw_sys::general::O_NONBLOCK;
use linux_raw_sys::ioctl::{FIOASYNC, FIOCLEX, FIONBIO, FIONCLEX, FIONREAD};

/// `ioctl`.
pub fn ioctl(descriptor: i32, request: u32, argument: u64) -> Result<i64> {
    let file = current::descriptor(descriptor)?;
    match request {
        FIOCLEX | FIONCLEX => {
            let close = request == FIOCLEX;
            current::with_descriptors(|table| table.set_close_on_exec(descriptor, close))?;
            Ok(0)
        }
        FIONBIO => {
            let on: i32 = UserAddress(argument).read()?;
            file.set_flags(O_NONBLOCK, if on != 0 { O_NONBLOCK } else { 0 });
            Ok(0)
        }
        FIOASYNC => Err(Errno::ENOTTY),
        _ => object_control(&file, request, argument),
    }
}

fn object_control(file: &Description, request: u32, argument: u64) -> Result<i64> {
    match (file.object(), request) {
        (Object::Terminal(terminal, side), _) => {
            crate::terminal::control::control(terminal, *side, request, argument)
        }
        (Object::Pipe(pipe, _), FIONREAD) => {
            UserAddress(argument).write(&(pipe.len() as i32))?;
            Ok(0)
        }
        (Object::File(open), FIONREAD) if open.direct().is_none() => {
            let left = open.node().mapping().map_err(|_| Errno::ENOTTY)?.size();
            let left = left.saturating_sub(open.position()).min(i32::MAX as u64);
            UserAddress(argument).write(&(left as i32))?;
            Ok(0)
        }
        (Object::File(open), _) => {
            wait_interruptibly(open.control(request, argument, &mut ProgramMemory))
        }
        _ => Err(Errno::ENOTTY),
    }
}
