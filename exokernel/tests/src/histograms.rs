//! The histograms on the information page, as a session reads them.

use core::mem::offset_of;
use serix_abi::info::{Histogram, InfoPage};
use serix_session::INFO_ADDRESS;

use crate::raw::{Fault, read};

/// Whether the kernel keeps them.
///
/// # Errors
/// The fault, if there is no information page.
pub fn are_kept() -> Result<bool, Fault> {
    Ok(read(INFO_ADDRESS + offset_of!(InfoPage, histograms_on) as u64)? == 1)
}

/// How often a row was counted.
///
/// # Errors
/// The fault, if there is no information page.
pub fn count(row: usize) -> Result<u64, Fault> {
    let start = offset_of!(InfoPage, histograms) + row * size_of::<Histogram>();
    let words = (start..start + size_of::<Histogram>()).step_by(8);
    words.map(|at| read(INFO_ADDRESS + at as u64)).try_fold(0, |sum, pair| {
        let pair = pair?;
        Ok(sum + (pair & 0xFFFF_FFFF) + (pair >> 32))
    })
}
