//! Resource limits. Pure.
use crate::{Errno, Result};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::rlimit64;

/// The resources that are enforced somewhere; the others are only kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Resource {
    /// Largest file, in bytes.
    FileSize = linux::RLIMIT_FSIZE as usize,
    /// Stack, in bytes.
    Stack = linux::RLIMIT_STACK as usize,
    /// Processes of a user.
    Processes = linux::RLIMIT_NPROC as usize,
    /// Descriptors: one more than the largest.
    Descriptors = linux::RLIMIT_NOFILE as usize,
    /// Address space, in bytes.
    AddressSpace = linux::RLIMIT_AS as usize,
    /// Data segment, in bytes.
    Data = linux::RLIMIT_DATA as usize,
}

/// "No limit".
const INFINITY: u64 = u64::MAX;
const COUNT: usize = 16;

/// Soft and hard limits of a process.
#[derive(Clone, Copy, Debug)]
pub struct Limits([(u64, u64); COUNT]);

impl Default for Limits {
    fn default() -> Self {
        let mut limits = [(INFINITY, INFINITY); COUNT];
        limits[Resource::Stack as usize] = (8 << 20, INFINITY);
        limits[Resource::Descriptors as usize] = (1024, 4096);
        limits[Resource::Processes as usize] = (1024, 1024);
        limits[linux::RLIMIT_CORE as usize].0 = 0;
        limits[linux::RLIMIT_MEMLOCK as usize] = (8 << 20, 8 << 20);
        limits[linux::RLIMIT_SIGPENDING as usize] = (1024, 1024);
        limits[linux::RLIMIT_MSGQUEUE as usize] = (819_200, 819_200);
        limits[linux::RLIMIT_NICE as usize] = (0, 0);
        limits[linux::RLIMIT_RTPRIO as usize] = (0, 0);
        Self(limits)
    }
}

impl Limits {
    /// The soft limit.
    #[inline]
    #[must_use]
    pub const fn soft(&self, resource: Resource) -> u64 {
        self.0[resource as usize].0
    }

    /// Both limits by their number.
    ///
    /// # Errors
    /// `EINVAL`.
    pub fn get(&self, number: u32) -> Result<rlimit64> {
        let (soft, hard) = self.0.get(number as usize).ok_or(Errno::EINVAL)?;
        Ok(rlimit64 { rlim_cur: *soft, rlim_max: *hard })
    }

    /// Sets both.
    ///
    /// # Errors
    /// `EINVAL`; `EPERM` if an unprivileged process raises the hard limit.
    pub fn set(&mut self, number: u32, new: rlimit64, privileged: bool) -> Result<()> {
        let (soft, hard) = self.0.get_mut(number as usize).ok_or(Errno::EINVAL)?;
        if new.rlim_cur > new.rlim_max {
            return Err(Errno::EINVAL);
        }
        if new.rlim_max > *hard && !privileged {
            return Err(Errno::EPERM);
        }
        (*soft, *hard) = (new.rlim_cur, new.rlim_max);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hard_limit_only_falls_without_privilege() {
        let mut limits = Limits::default();
        let number = Resource::Descriptors as u32;
        let new = |soft, hard| rlimit64 { rlim_cur: soft, rlim_max: hard };
        assert_eq!(limits.set(number, new(10, 5), true), Err(Errno::EINVAL));
        assert_eq!(limits.set(number, new(10, 5000), false), Err(Errno::EPERM));
        limits.set(number, new(10, 100), false).unwrap();
        assert_eq!(limits.soft(Resource::Descriptors), 10);
        assert_eq!(limits.set(number, new(10, 4096), false), Err(Errno::EPERM));
        limits.set(number, new(10, 5000), true).unwrap();
        assert_eq!(limits.get(99).map(|_| ()), Err(Errno::EINVAL));
    }
}
