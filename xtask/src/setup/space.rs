//! Room on the disk of the target folder.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// What builds, images and logs may take together.
const NEEDED: u64 = 2 << 30;

/// Makes sure that `folder` has room for all that is built.
///
/// # Errors
/// One line with the room there is.
pub(crate) fn ensure_space(folder: &Path) -> Result<()> {
    let place = folder.ancestors().find(|folder| folder.exists()).unwrap_or(folder);
    let stat = rustix::fs::statvfs(place)
        .with_context(|| format!("cannot ask for the room at {}", place.display()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    ensure!(
        free >= NEEDED,
        "{} MiB of disk are free at {}, and 2 GiB are needed; set CARGO_TARGET_DIR to another place",
        free >> 20,
        place.display()
    );
    Ok(())
}
