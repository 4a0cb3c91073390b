//! The calls of epoll.
use super::poll::{Limit, with_mask};
use crate::file::epoll::{Epoll, Settings, Trigger};
use crate::file::table::Entry;
use crate::file::{Description, Object, current};
use crate::memory::UserAddress;
use crate::raw::plain;
use crate::{Errno, Result};
use alloc::sync::Arc;
use linux_raw_sys::general::{
    EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLL_CTL_MOD, O_RDWR, epoll_event,
};
use serix_chroma::{Events, FileKind};

/// Most events that one wait tells.
const EVENTS_MAX: i32 = 4096;

/// `epoll_create1`.
pub fn epoll_create1(flags: u32) -> Result<i64> {
    if flags & !EPOLL_CLOEXEC != 0 {
        return Err(Errno::EINVAL);
    }
    let description = Description::new(Object::Epoll(Epoll::default()), O_RDWR);
    let entry = Entry { description, close_on_exec: flags & EPOLL_CLOEXEC != 0 };
    current::install(entry, 0).map(i64::from)
}

/// `epoll_create`, whose size has no meaning.
pub fn epoll_create(size: i32) -> Result<i64> {
    if size <= 0 { Err(Errno::EINVAL) } else { epoll_create1(0) }
}

fn epoll_of(description: &Description) -> Result<&Epoll> {
    match description.object() {
        Object::Epoll(epoll) => Ok(epoll),
        _ => Err(Errno::EINVAL),
    }
}

/// Plain files are always ready, and cannot be waited for.
fn can_wait(description: &Description) -> bool {
    match description.object() {
        Object::File(file) => {
            file.direct().is_some()
                && !matches!(file.node().kind(), FileKind::Regular | FileKind::Directory)
        }
        _ => true,
    }
}

/// `epoll_ctl`.
pub fn epoll_ctl(descriptor: i32, operation: u32, of: i32, event: UserAddress) -> Result<i64> {
    let event = match operation {
        EPOLL_CTL_DEL => None,
        _ => Some(event.read::<epoll_event>()?),
    };
    let (holder, target) = (current::descriptor(descriptor)?, current::descriptor(of)?);
    if !can_wait(&target) {
        return Err(Errno::EPERM);
    }
    let epoll = epoll_of(&holder)?;
    if Arc::ptr_eq(&holder, &target) {
        return Err(Errno::EINVAL);
    }
    let settings = event.map(|event| {
        let bits = event.events;
        Settings {
            events: Events::from_bits_truncate(bits) | Events::ERROR | Events::HANG_UP,
            trigger: Trigger::from_bits_truncate(bits),
            data: event.data,
        }
    });
    match (operation, settings) {
        (EPOLL_CTL_ADD, Some(settings)) => epoll.add(of, &target, settings)?,
        (EPOLL_CTL_MOD, Some(settings)) => epoll.modify(of, &target, settings)?,
        (EPOLL_CTL_DEL, _) => epoll.remove(of, &target)?,
        _ => return Err(Errno::EINVAL),
    }
    Ok(0)
}

fn wait(descriptor: i32, into: UserAddress, count: i32, limit: Limit) -> Result<i64> {
    if count <= 0 {
        return Err(Errno::EINVAL);
    }
    let holder = current::descriptor(descriptor)?;
    let epoll = epoll_of(&holder)?;
    let ready = limit.wait(|waker| {
        let ready = epoll.collect(count.min(EVENTS_MAX) as usize, waker);
        (!ready.is_empty()).then_some(ready)
    })?;
    let ready = ready.unwrap_or_default();
    for (index, settings) in ready.iter().enumerate() {
        let mut event: epoll_event = plain::zeroed();
        event.events = settings.events.bits();
        event.data = settings.data;
        into.add((index * size_of::<epoll_event>()) as u64).write(&event)?;
    }
    Ok(ready.len() as i64)
}

fn limit_from_ms(timeout_ms: i32) -> Limit {
    match u64::try_from(timeout_ms) {
        Ok(ms) => Limit::after_ns(ms * 1_000_000),
        Err(_) => Limit::Never,
    }
}

/// `epoll_wait`. It is not started again after a handler, like `poll`.
pub fn epoll_wait(descriptor: i32, into: UserAddress, count: i32, timeout_ms: i32) -> Result<i64> {
    wait(descriptor, into, count, limit_from_ms(timeout_ms))
}

/// `epoll_pwait`.
pub fn epoll_pwait(
    descriptor: i32,
    into: UserAddress,
    count: i32,
    timeout_ms: i32,
    mask: UserAddress,
    mask_size: usize,
) -> Result<i64> {
    let limit = limit_from_ms(timeout_ms);
    with_mask(mask, mask_size, || wait(descriptor, into, count, limit))
}

/// `epoll_pwait2`.
pub fn epoll_pwait2(
    descriptor: i32,
    into: UserAddress,
    count: i32,
    timeout: UserAddress,
    mask: UserAddress,
    mask_size: usize,
) -> Result<i64> {
    let limit = Limit::from_timespec(timeout)?;
    with_mask(mask, mask_size, || wait(descriptor, into, count, limit))
}
