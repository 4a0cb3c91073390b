//! Limine's own files: those of a release, or of a distribution's package.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::tool::{find_in_path, is_executable};

/// Where packages and `make install` put the files.
const USUAL: [&str; 3] = ["/usr/share/limine", "/usr/local/share/limine", "/opt/limine"];
/// The loader for UEFI firmware.
const UEFI: &str = "BOOTX64.EFI";
/// The loader that the BIOS stage reads from the boot volume.
const BIOS: &str = "limine-bios.sys";
/// The program that writes the BIOS stage to a disk.
const TOOL: &str = "limine";

/// What a folder of Limine's has.
#[derive(Clone, Debug)]
pub(crate) struct Limine {
    /// Takes the place of our own `BOOTX64.EFI`.
    pub(crate) uefi: Option<PathBuf>,
    /// Goes beside `limine.conf`.
    pub(crate) bios: Option<PathBuf>,
    tool: Option<PathBuf>,
}

impl Limine {
    /// Looks into `folder`, or where Limine usually is.
    ///
    /// # Errors
    /// There is no loader of Limine's.
    pub(crate) fn find(folder: Option<&Path>) -> Result<Self> {
        let found = match folder {
            Some(folder) => Self::look_into(folder),
            None => USUAL.iter().find_map(|folder| Self::look_into(Path::new(folder))),
        };
        found.with_context(|| match folder {
            Some(folder) => {
                format!("--limine: {} has neither {UEFI} nor {BIOS}", folder.display())
            }
            None => format!(
                "no Limine in {}: name the folder of a release with --limine DIR",
                USUAL.join(", ")
            ),
        })
    }

    fn look_into(folder: &Path) -> Option<Self> {
        let file = |name: &str| Some(folder.join(name)).filter(|file| file.is_file());
        let (uefi, bios) = (file(UEFI), file(BIOS));
        if uefi.is_none() && bios.is_none() {
            return None;
        }
        let tool = file(TOOL).filter(|tool| is_executable(tool)).or_else(|| find_in_path(TOOL));
        Some(Self { uefi, bios, tool })
    }

    /// Writes the BIOS stage to `image`, into its partition number `partition`; where no program does that, gives the
    /// command for whoever has it.
    ///
    /// # Errors
    /// The program failed.
    pub(crate) fn install_bios_stage(
        &self,
        image: &Path,
        partition: usize,
    ) -> Result<Option<String>> {
        let line = format!("limine bios-install {} {partition}", image.display());
        let Some(tool) = &self.tool else { return Ok(Some(line)) };
        let mut command = Command::new(tool);
        command.arg("bios-install").arg(image).arg(partition.to_string()).stdin(Stdio::null());
        let output = command.output();
        let output = output.with_context(|| format!("cannot start {}", tool.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`{line}` failed: {}", said.trim());
        Ok(None)
    }
}
