//! The page of the vDSO, one for the session, and its place in a program.
use super::FramePage;
use super::space::{AddressSpace, Behind, MapRequest, Placement};
use super::vma::Access;
use crate::raw::vdso::{self, ClockData};
use crate::raw::{frame_map, kernel};
use crate::{Errno, Result};
use serix_block::PAGE_SIZE;
use spin::Once;

static PAGE: Once<Option<FramePage>> = Once::new();

/// The page, made when it is first wanted.
fn page() -> Option<&'static FramePage> {
    PAGE.call_once(|| {
        let page = FramePage::zeroed()?;
        frame_map::write(page.frame(), 0, vdso::image());
        set_clock(&page, kernel::info().epoch_ns);
        Some(page)
    })
    .as_ref()
}

fn set_clock(page: &FramePage, epoch_ns: u64) {
    let data = ClockData { multiplier: kernel::info().tsc_multiplier, epoch_ns };
    let at = vdso::image().len() - vdso::CLOCK_SIZE;
    frame_map::write(page.frame(), at, &data.to_bytes());
}

/// The time of day was set: `epoch_ns` is Unix time when the TSC was zero.
pub fn set_epoch(epoch_ns: u64) {
    if let Some(page) = page() {
        set_clock(page, epoch_ns);
    }
}

/// Puts it into a program's memory; answers where.
///
/// # Errors
/// `ENOMEM`.
pub fn map(space: &AddressSpace) -> Result<u64> {
    let page = page().ok_or(Errno::ENOMEM)?;
    space.map(MapRequest {
        place: Placement::Anywhere,
        length: PAGE_SIZE as u64,
        access: Access::READ | Access::EXECUTE,
        shared: false,
        grows_down: false,
        backing: Behind::Page(page.clone()),
        limit: u64::MAX,
    })
}
