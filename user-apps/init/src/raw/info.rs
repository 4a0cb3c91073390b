//! Pages that the kernel mapped read-only.

use core::slice;
use core::sync::atomic::{AtomicBool, Ordering};
use serix_abi::info::InfoPage;
use serix_abi::start::StartInfo;
use serix_session::INFO_ADDRESS;
use serix_sys::{Result, Slot};

/// The start information page.
pub struct KernelInfo(&'static StartInfo);

impl KernelInfo {
    /// The page that the kernel passed to the first domain.
    ///
    /// # Safety
    /// `info` is the address that the kernel passed: the page and the modules that it names stay mapped
    /// read-only.
    #[must_use]
    pub const unsafe fn new(info: &'static StartInfo) -> Self {
        Self(info)
    }

    /// The page.
    #[must_use]
    pub const fn page(&self) -> &'static StartInfo {
        self.0
    }

    /// Init's own environment.
    pub(super) const fn environment(&self) -> Slot {
        Slot(self.0.environment)
    }

    /// The bytes of module `index`; none past the last.
    #[must_use]
    pub fn module(&self, index: usize) -> &'static [u8] {
        let mut used = self.0.modules.iter().take(self.0.module_count as usize);
        let Some(module) = used.nth(index).filter(|module| module.size > 0) else {
            return &[];
        };
        // SAFETY: the kernel mapped `size` bytes there, read-only and for good (`new`).
        unsafe { slice::from_raw_parts(module.address as *const u8, module.size as usize) }
    }
}

static CLOCK_MAPPED: AtomicBool = AtomicBool::new(false);

/// Maps the information page, from which on [`now_ns`] tells the time.
///
/// # Errors
/// As `serix_abi::Call::InfoMap`.
pub fn map_clock(info: &KernelInfo) -> Result<()> {
    // SAFETY: nothing else is mapped there (the map of docs/decisions/0003-address-map.md).
    unsafe { serix_sys::memory::info_map(info.environment(), INFO_ADDRESS) }?;
    CLOCK_MAPPED.store(true, Ordering::Relaxed);
    Ok(())
}

/// Nanoseconds of the TSC clock; zero before [`map_clock`].
#[must_use]
pub fn now_ns() -> u64 {
    if !CLOCK_MAPPED.load(Ordering::Relaxed) {
        return 0;
    }
    // SAFETY: the kernel mapped one `InfoPage` there (`map_clock`) and changes nothing in it but atomics.
    serix_sys::time::now_ns(unsafe { &*(INFO_ADDRESS as *const InfoPage) })
}
