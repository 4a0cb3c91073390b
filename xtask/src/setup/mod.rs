//! What the host must have, and how it gets there.
//!
//! Owns the list of tools, how each is recognised, and the command of each package manager.
//! Invariant: nothing is installed before packages, size and command have been printed.

mod install;
mod limine;
mod newer_qemu;
mod rust;
mod space;
mod tool;

use anyhow::Result;

pub(crate) use install::Policy;
pub(crate) use limine::Limine;
pub(crate) use newer_qemu::newer_qemu;
pub(crate) use rust::{RustPart, ensure_rust, has_rust};
pub(crate) use space::ensure_space;
pub(crate) use tool::{Tool, find_busybox, find_e2fsprogs, find_firmware, qemu_version};

use crate::report::Progress;

/// Makes sure that all of `tools` are there, installing what is not if `policy` lets it.
///
/// # Errors
/// One line that names what is missing and the command that installs it.
pub(crate) fn ensure(tools: &[Tool], policy: Policy, progress: &mut Progress) -> Result<()> {
    let missing: Vec<_> =
        tools.iter().filter_map(|&tool| Some((tool, tool.check().err()?))).collect();
    if missing.is_empty() {
        return Ok(());
    }
    install::install(&missing, policy, progress)?;
    for &(tool, _) in &missing {
        tool.check()?;
    }
    Ok(())
}
