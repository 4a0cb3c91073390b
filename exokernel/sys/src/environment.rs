//! Dispatchers.
use crate::raw::native;
use crate::{Result, Slot};
use serix_abi::Call;
use serix_abi::dispatcher::DispatcherParameters;

/// Gives an environment a dispatcher; the value is its number.
///
/// # Errors
/// As `serix_abi::Call::DispatcherCreate`.
///
/// # Safety
/// The entries are code that keeps the upcall contract (docs/decisions/0002-kernel-abi.md), and the
/// page is used by nothing else.
pub unsafe fn dispatcher_create(
    environment: Slot,
    parameters: &DispatcherParameters,
) -> Result<u64> {
    // SAFETY: the kernel reads exactly `parameters`.
    unsafe {
        native(
            Call::DispatcherCreate,
            [environment.0.into(), core::ptr::from_ref(parameters) as u64, 0, 0, 0, 0],
        )
    }
}

/// Sets the entries and restart range of dispatcher `number`.
///
/// # Errors
/// As `serix_abi::Call::DispatcherEntries`.
///
/// # Safety
/// As [`dispatcher_create`].
pub unsafe fn dispatcher_entries(
    environment: Slot,
    number: u64,
    parameters: &DispatcherParameters,
) -> Result<()> {
    // SAFETY: the kernel reads exactly `parameters`.
    unsafe {
        native(
            Call::DispatcherEntries,
            [environment.0.into(), number, core::ptr::from_ref(parameters) as u64, 0, 0, 0],
        )
    }
    .map(drop)
}
