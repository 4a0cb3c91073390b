//! What both parts of the benchmark share: how measurements become figures.
//!
//! Pure: the clock is the caller's.
#![no_std]

mod figures;

pub use figures::{Figures, KNOWN_LENGTH, is_exact};
