//! Where things are: the checkout, which is only read, and the target folder, which is written.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The two roots.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// The checkout.
    pub(crate) source: PathBuf,
    /// Cargo's target folder, whatever set it.
    pub(crate) target: PathBuf,
}

impl Places {
    /// Finds both: cargo names the manifest's folder, and this program lies at `TARGET/debug/xtask`.
    pub(crate) fn find() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let source = manifest.parent().context("xtask lies in no folder")?.to_owned();
        let program = std::env::current_exe().context("cannot find xtask itself")?;
        let target = program.ancestors().nth(2).context("xtask lies in no target folder")?;
        Ok(Self { source, target: target.to_owned() })
    }

    /// `NAME` below the folder of our own in the target folder.
    pub(crate) fn serix(&self, name: &str) -> PathBuf {
        self.target.join("serix").join(name)
    }

    /// The same, made if need be.
    pub(crate) fn serix_folder(&self, name: &str) -> Result<PathBuf> {
        let folder = self.serix(name);
        create_folder(&folder)?;
        Ok(folder)
    }

    /// Where cargo puts the programs of the guest.
    pub(crate) fn guest_binaries(&self) -> PathBuf {
        self.target.join("x86_64-unknown-none").join("guest")
    }

    /// Where cargo puts the loader for UEFI firmware.
    pub(crate) fn uefi_binaries(&self) -> PathBuf {
        self.target.join("x86_64-unknown-uefi").join("guest")
    }
}

/// Makes a folder and all above it.
pub(crate) fn create_folder(folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}
