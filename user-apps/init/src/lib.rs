//! The first domain: starts the sessions of the manifest, each with what the manifest gives it, and
//! supervises them.
//!
//! The way of a session through the modules: [`inventory`] (what the kernel handed over) and the manifest
//! become a [`plan`], which carves [`frames`] by a [`layout`] around the libOS [`image`] and finds disk
//! extents by [`gpt`]; [`start`] makes the domain; [`supervise`] waits for its end by the rules of
//! [`policy`]. [`raw`] has the only unsafe code.
//!
//! Invariant: everything that can be wrong with manifest, images and disks is found while planning, before
//! the first session runs.
#![no_std]
extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod boot;
pub mod disk;
pub mod error;
pub mod frames;
pub mod gpt;
pub mod image;
pub mod inventory;
pub mod layout;
pub mod machine;
pub mod plan;
pub mod policy;
pub mod raw;
pub mod report;
pub mod start;
pub mod start_block;
pub mod supervise;
