//! Values that are their bytes: what moves between Rust types and program memory.
use linux_raw_sys::general as linux;

/// A type for which every bit pattern of its size is a value.
///
/// # Safety
/// 1. Any bytes are a valid value. 2. No interior mutability and no pointers that Rust code follows.
pub unsafe trait Plain: Copy + 'static {}

macro_rules! plain {
    ($($type:ty),+ $(,)?) => {
        $(
            // SAFETY: an integer, or a `repr(C)` structure of the Linux ABI made of integers and raw pointers.
            unsafe impl Plain for $type {}
        )+
    };
}

plain! {
    u8, i8, u16, i16, u32, i32, u64, i64, usize, isize,
    linux::__kernel_timespec, linux::__kernel_old_timeval, linux::__kernel_itimerspec,
    linux::__kernel_old_itimerval, linux::rlimit, linux::rlimit64, linux::rusage,
    linux::iovec, linux::pollfd, linux::statfs, linux::statfs64, linux::statx, linux::stat, linux::timezone, linux::flock,
    linux::epoll_event, linux::open_how, linux::clone_args, linux::robust_list_head,
}

// SAFETY: an array of plain values has no padding of its own.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

/// A value of zero bytes, padding included.
#[inline]
#[must_use]
pub fn zeroed<T: Plain>() -> T {
    // SAFETY: any bytes are a value.
    unsafe { core::mem::zeroed() }
}

/// The bytes of a value that was made by [`zeroed`] and then filled in.
#[inline]
#[must_use]
pub fn bytes_of<T: Plain>(value: &T) -> &[u8] {
    // SAFETY: the value's own memory; plain values are made of zeroed memory, so padding is initialised.
    unsafe { core::slice::from_raw_parts(core::ptr::from_ref(value).cast(), size_of::<T>()) }
}

/// The bytes of a value, to be filled.
#[inline]
#[must_use]
pub fn bytes_of_mut<T: Plain>(value: &mut T) -> &mut [u8] {
    // SAFETY: as `bytes_of`; any bytes written are a value.
    unsafe { core::slice::from_raw_parts_mut(core::ptr::from_mut(value).cast(), size_of::<T>()) }
}
