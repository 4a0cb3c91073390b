//! The kernel's pure algorithms.
//!
//! No unsafe, no hardware, no locks, no allocation: storage comes from the kernel, as slices at boot
//! or through small traits over frames that a caller's domain paid for. So all of it runs, and is
//! attacked, on the host. Knows the ABI's records and nothing of the kernel.
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod binding;
pub mod deadline;
pub mod extent;
pub mod grant;
pub mod ids;
pub mod ledger;
pub mod nospec;
pub mod seal;
pub mod slices;
pub mod watch;

#[cfg(any(test, kani))]
pub mod properties;

#[cfg(all(kani, not(feature = "real-kani")))]
#[path = "kani_shim.rs"]
mod kani;
#[cfg(all(kani, feature = "real-kani"))]
pub(crate) use ::kani;

pub use ids::{DomainId, Frame, NodeId};
