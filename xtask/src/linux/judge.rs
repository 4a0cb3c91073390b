//! A Linux that runs the shell script on its second disk, for tests that want its opinion of the first.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Archive, kernel};
use crate::places::Places;
use crate::setup::find_busybox;

/// The kernel's modules that it needs, in the order of their loading: ext4 is built in, the disks are not. The
/// last one is for speed, and some processors have no use for it.
const MODULES: [&str; 7] = [
    "drivers/virtio/virtio_ring",
    "drivers/virtio/virtio",
    "drivers/virtio/virtio_pci_modern_dev",
    "drivers/virtio/virtio_pci_legacy_dev",
    "drivers/virtio/virtio_pci",
    "drivers/block/virtio_blk",
    "arch/x86/crypto/crc32c-intel",
];

/// The first process.
const INIT: &str = "#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for module in /modules/*; do insmod $module; done
while [ ! -b /dev/vdb ]; do usleep 10000; done
sh /dev/vdb
poweroff -f
";

/// A folder of `vmlinuz` and `initrd`, made once from the distribution's packages. The `initrd` holds busybox, and an
/// empty folder `/m`.
pub(crate) fn judge(places: &Places) -> Result<PathBuf> {
    let kernel = kernel(places)?;
    let folder = places.serix_folder("linux/judge")?;
    let initrd = initial_files(&kernel).context("Linux's initial files")?;
    // Renamed into their places, so that what is there is whole.
    for (name, bytes) in [("vmlinuz", std::fs::read(&kernel)?), ("initrd", initrd)] {
        let part = folder.join(format!("{name}.part"));
        std::fs::write(&part, bytes)?;
        std::fs::rename(part, folder.join(name))?;
    }
    Ok(folder)
}

/// The initial files for a kernel of the distribution's.
pub(crate) fn initial_files(kernel: &Path) -> Result<Vec<u8>> {
    let modules = modules(kernel)?;
    let mut archive = Archive::default();
    for name in ["bin", "dev", "proc", "sys", "m", "modules"] {
        archive.folder(name);
    }
    let busybox = find_busybox().context("no static busybox")?;
    archive.program("bin/busybox", &std::fs::read(busybox)?);
    archive.program("init", INIT.as_bytes());
    for (index, name) in MODULES.into_iter().enumerate() {
        let module = modules.join(format!("{name}.ko"));
        let bytes = std::fs::read(&module);
        let bytes = bytes.with_context(|| format!("cannot read {}", module.display()))?;
        let name = name.rsplit('/').next().unwrap_or(name);
        archive.program(&format!("modules/{index}-{name}"), &bytes);
    }
    Ok(archive.finish())
}

/// Where the modules of a kernel lie that was unpacked as `…/boot/vmlinuz-VERSION`.
fn modules(kernel: &Path) -> Result<PathBuf> {
    let name = kernel.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let version = name.strip_prefix("vmlinuz-").context("a kernel without a version")?;
    let root = kernel.parent().and_then(Path::parent).context("a kernel outside of a package")?;
    Ok(root.join("lib/modules").join(version).join("kernel"))
}
