//! Building the guest's programs with cargo, and holding products still while they are taken.

mod cargo;
mod lock;

pub(crate) use cargo::{Cargo, Package, Program, guest_programs, program_name};
pub(crate) use lock::Lock;
