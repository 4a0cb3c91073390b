//! Cores: registers, descriptors, entry code, contexts, extended state, local APIC, time.
pub mod apic;
pub mod backtrace;
pub mod context;
pub(crate) mod descriptors;
mod entry;
pub mod extended;
pub mod features;
pub mod histogram;
pub mod local;
pub mod registers;
pub mod time;
pub mod tlb;
pub mod topology;
pub mod trap;

pub use context::Context;
