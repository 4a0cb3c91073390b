//! Calls that wait for any of several descriptors: `poll` and `select` in their forms.
use crate::file::current;
use crate::file::description::Description;
use crate::memory::UserAddress;
use crate::raw::kernel;
use crate::sched::{self, WaitError, current as current_thread};
use crate::signal::{self, SignalSet};
use crate::{Errno, Result};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::task::Waker;
use linux_raw_sys::general::{
    __kernel_old_timeval, __kernel_timespec, POLLERR, POLLHUP, POLLIN, POLLNVAL, POLLOUT, POLLPRI,
    POLLRDBAND, POLLRDHUP, POLLRDNORM, POLLWRBAND, POLLWRNORM, pollfd,
};
use serix_chroma::Events;

const NANOSECONDS: i64 = 1_000_000_000;
/// Most descriptors in one `select`: what `fd_set` holds where programs enlarge it.
const SELECT_MAX: usize = 65536;

/// A descriptor and what is wanted of it, in bits of `poll`.
struct Item {
    file: Option<Arc<Description>>,
    wanted: u32,
    found: u32,
}

impl Item {
    fn new(number: i32, wanted: u32) -> Self {
        let file = (number >= 0).then(|| current::descriptor(number).ok()).flatten();
        let found = if number >= 0 && file.is_none() { POLLNVAL } else { 0 };
        Self { file, wanted, found }
    }

    /// Asks the description; true if there is something to tell.
    fn check(&mut self, waker: Option<&Waker>) -> bool {
        if let Some(file) = &self.file {
            let events = file.poll(Events::from_bits_truncate(interest(self.wanted)), waker);
            let always = POLLERR | POLLHUP;
            self.found = with_aliases(events.bits()) & (self.wanted | always);
        }
        self.found != 0
    }
}

/// Bits of `poll` as the events that objects know: "normal" and "band" data are data.
fn interest(wanted: u32) -> u32 {
    let mut bits = wanted & (POLLIN | POLLPRI | POLLOUT | POLLRDHUP);
    bits |= if wanted & POLLRDNORM != 0 { POLLIN } else { 0 };
    bits |= if wanted & (POLLWRNORM | POLLWRBAND) != 0 { POLLOUT } else { 0 };
    bits | if wanted & POLLRDBAND != 0 { POLLPRI } else { 0 }
}

fn with_aliases(found: u32) -> u32 {
    let mut bits = found;
    bits |= if found & POLLIN != 0 { POLLRDNORM } else { 0 };
    bits | if found & POLLOUT != 0 { POLLWRNORM | POLLWRBAND } else { 0 }
}

/// Until when to wait.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Never,
    /// Nanoseconds of the TSC clock; those that have passed mean not to wait at all.
    At(u64),
}

impl Limit {
    pub(crate) fn after_ns(ns: u64) -> Self {
        match ns {
            0 => Self::At(0),
            _ => Self::At(kernel::now_ns().saturating_add(ns)),
        }
    }

    pub(crate) fn after(seconds: i64, nanoseconds: i64) -> Result<Self> {
        if seconds < 0 || !(0..NANOSECONDS).contains(&nanoseconds) {
            return Err(Errno::EINVAL);
        }
        let ns = (seconds as u64).saturating_mul(NANOSECONDS as u64);
        Ok(Self::after_ns(ns.saturating_add(nanoseconds as u64)))
    }

    pub(crate) fn from_timespec(address: UserAddress) -> Result<Self> {
        let Some(address) = address.optional() else { return Ok(Self::Never) };
        let time: __kernel_timespec = address.read()?;
        Self::after(time.tv_sec, time.tv_nsec)
    }

    fn remaining_ns(self) -> Option<u64> {
        match self {
            Self::Never => None,
            Self::At(deadline) => Some(deadline.saturating_sub(kernel::now_ns())),
        }
    }

    /// Waits until `check` answers, with a waker from the second time on.
    pub(crate) fn wait<T>(
        self,
        mut check: impl FnMut(Option<&Waker>) -> Option<T>,
    ) -> Result<Option<T>> {
        let found = check(None);
        if found.is_some() || self == Self::At(0) {
            return Ok(found);
        }
        let deadline = match self {
            Self::Never => None,
            Self::At(deadline) => Some(deadline),
        };
        match sched::wait_until(deadline, |waker| check(Some(waker))) {
            Ok(found) => Ok(Some(found)),
            Err(WaitError::TimedOut) => Ok(None),
            Err(WaitError::Interrupted) => Err(Errno::RESTART_NO_HANDLER),
        }
    }
}

/// Waits for one of the items; answers how many have something to tell.
fn wait_for(items: &mut [Item], limit: Limit) -> Result<usize> {
    let count = limit.wait(|waker| {
        let mut count = 0;
        for item in items.iter_mut() {
            // All are asked, because the waker has to be everywhere.
            count += usize::from(item.check(waker));
        }
        (count > 0).then_some(count)
    });
    Ok(count?.unwrap_or(0))
}

fn poll_until(descriptors: UserAddress, count: u32, limit: Limit) -> Result<i64> {
    if count as usize > current::descriptor_limit() {
        return Err(Errno::EINVAL);
    }
    let mut entries: Vec<pollfd> = descriptors.read_vec(count as usize)?;
    let mut items: Vec<Item> =
        entries.iter().map(|entry| Item::new(entry.fd, entry.events as u16 as u32)).collect();
    let ready = wait_for(&mut items, limit)?;
    for (index, (entry, item)) in entries.iter_mut().zip(&items).enumerate() {
        entry.revents = item.found as i16;
        descriptors.add((index * size_of::<pollfd>()) as u64).write(entry)?;
    }
    Ok(ready as i64)
}

/// `poll`.
pub fn poll(descriptors: UserAddress, count: u32, timeout_ms: i32) -> Result<i64> {
    let limit = match u64::try_from(timeout_ms) {
        Ok(ms) => Limit::after_ns(ms * 1_000_000),
        Err(_) => Limit::Never,
    };
    poll_until(descriptors, count, limit)
}

/// `ppoll`.
pub fn ppoll(
    descriptors: UserAddress,
    count: u32,
    timeout: UserAddress,
    mask: UserAddress,
    mask_size: usize,
) -> Result<i64> {
    let limit = Limit::from_timespec(timeout)?;
    with_mask(mask, mask_size, || poll_until(descriptors, count, limit))
}

/// Does something while the running thread's mask is another one. If a signal ended it, the old mask comes back
/// only after that signal is handled.
pub(crate) fn with_mask(
    mask: UserAddress,
    size: usize,
    work: impl FnOnce() -> Result<i64>,
) -> Result<i64> {
    let Some(mask) = mask.optional() else { return work() };
    if size != size_of::<u64>() {
        return Err(Errno::EINVAL);
    }
    let old = signal::set_mask(SignalSet(mask.read()?));
    let outcome = work();
    match outcome {
        Err(Errno::RESTART | Errno::RESTART_NO_HANDLER | Errno::EINTR) => {
            current_thread().signals.lock().saved_mask = Some(old);
        }
        _ => {
            signal::set_mask(old);
        }
    }
    outcome
}

/// What each of the three sets of `select` asks for, and what counts as an answer.
const SETS: [(u32, u32); 3] = [
    (POLLIN, POLLIN | POLLRDNORM | POLLHUP | POLLERR),
    (POLLOUT, POLLOUT | POLLWRNORM | POLLERR),
    (POLLPRI, POLLPRI),
];

/// The sets of a `select`, as bytes.
struct Sets {
    addresses: [UserAddress; 3],
    bits: [Vec<u8>; 3],
}

impl Sets {
    fn load(count: usize, addresses: [UserAddress; 3]) -> Result<Self> {
        // Whole words, as Linux reads and writes them.
        let length = count.div_ceil(64) * 8;
        let mut bits = [(); 3].map(|()| vec![0; length]);
        for (bits, address) in bits.iter_mut().zip(addresses) {
            if let Some(address) = address.optional() {
                address.read_bytes(bits)?;
            }
        }
        Ok(Self { addresses, bits })
    }

    fn wanted(&self, number: usize) -> u32 {
        let sets = SETS.iter().zip(&self.bits);
        sets.filter(|(_, bits)| bits[number / 8] & 1 << (number % 8) != 0)
            .fold(0, |wanted, ((ask, _), _)| wanted | ask)
    }

    /// Leaves in the sets what was found; answers how many bits that is.
    fn store(&mut self, found: &[(usize, Item)]) -> Result<usize> {
        self.bits.iter_mut().for_each(|bits| bits.fill(0));
        let mut count = 0;
        for (number, item) in found {
            for ((ask, answer), bits) in SETS.iter().zip(&mut self.bits) {
                if item.wanted & ask != 0 && item.found & answer != 0 {
                    bits[number / 8] |= 1 << (number % 8);
                    count += 1;
                }
            }
        }
        for (bits, address) in self.bits.iter().zip(self.addresses) {
            if let Some(address) = address.optional() {
                address.write_bytes(bits)?;
            }
        }
        Ok(count)
    }
}

fn select_until(count: i32, addresses: [UserAddress; 3], limit: Limit) -> Result<i64> {
    let count = usize::try_from(count).map_err(|_| Errno::EINVAL)?;
    let count = count.min(SELECT_MAX);
    let mut sets = Sets::load(count, addresses)?;
    let mut found = Vec::new();
    for number in 0..count {
        let wanted = sets.wanted(number);
        if wanted != 0 {
            current::descriptor(number as i32)?;
            found.push((number, Item::new(number as i32, wanted)));
        }
    }
    limit.wait(|waker| {
        let mut ready = false;
        for (_, item) in &mut found {
            ready |= item.check(waker);
        }
        ready.then_some(())
    })?;
    sets.store(&found).map(|count| count as i64)
}

/// `select`. The time that is left is stored, as on Linux.
pub fn select(
    count: i32,
    read: UserAddress,
    write: UserAddress,
    except: UserAddress,
    timeout: UserAddress,
) -> Result<i64> {
    let limit = match timeout.optional() {
        None => Limit::Never,
        Some(address) => {
            let time: __kernel_old_timeval = address.read()?;
            let seconds = time.tv_sec.saturating_add(time.tv_usec.div_euclid(1_000_000));
            Limit::after(seconds, time.tv_usec.rem_euclid(1_000_000) * 1000)?
        }
    };
    let ready = select_until(count, [read, write, except], limit)?;
    if let (Some(address), Some(left)) = (timeout.optional(), limit.remaining_ns()) {
        let left = [(left / NANOSECONDS as u64) as i64, (left % NANOSECONDS as u64 / 1000) as i64];
        // The sets are what the caller came for; a timeout in read-only memory is allowed.
        let _ = address.write(&left);
    }
    Ok(ready)
}

/// `pselect6`; the last argument points to the mask's address and size.
pub fn pselect6(
    count: i32,
    read: UserAddress,
    write: UserAddress,
    except: UserAddress,
    timeout: UserAddress,
    mask: UserAddress,
) -> Result<i64> {
    let limit = Limit::from_timespec(timeout)?;
    let [mask, size] = match mask.optional() {
        Some(address) => address.read::<[u64; 2]>()?,
        None => [0, 0],
    };
    let ready = with_mask(UserAddress(mask), size as usize, || {
        select_until(count, [read, write, except], limit)
    })?;
    if let (Some(address), Some(left)) = (timeout.optional(), limit.remaining_ns()) {
        let left = [(left / NANOSECONDS as u64) as i64, (left % NANOSECONDS as u64) as i64];
        let _ = address.write(&left);
    }
    Ok(ready)
}
