//! `/sys`: the cores, and empty folders where programs look for devices that a session does not have.
use super::proc::{Builder, ino};
use crate::file::Page;
use crate::raw::kernel;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use serix_chroma::FileSystem;
use serix_chroma::generated::GeneratedFileSystem;

/// The number by which programs know this file system.
const MAGIC: u64 = 0x6265_6572;
/// Places of the folders; the files of each count on from it.
const BLOCK: u32 = 10;
const CLASS: u32 = 20;
const DEVICES: u32 = 30;
const SYSTEM: u32 = 40;
const CPU: u32 = 50;

/// A new instance; all show the same.
#[must_use]
pub(super) fn file_system() -> Arc<dyn FileSystem<Page>> {
    let cpu =
        Builder::new(0, CPU).text("online", cores).text("possible", cores).text("present", cores);
    let system = Builder::new(0, SYSTEM).folder("cpu", ino(0, CPU), cpu.folder);
    let devices = Builder::new(0, DEVICES).folder("system", ino(0, SYSTEM), system.folder);
    let root = Builder::new(0, 0)
        .folder("block", ino(0, BLOCK), Builder::new(0, BLOCK).folder)
        .folder("class", ino(0, CLASS), Builder::new(0, CLASS).folder)
        .folder("devices", ino(0, DEVICES), devices.folder);
    GeneratedFileSystem::new("sysfs", MAGIC, Arc::new(root.folder))
}

/// The numbers of the cores, as a list of ranges.
fn cores() -> String {
    match kernel::info().core_count {
        0 | 1 => "0\n".into(),
        count => format!("0-{}\n", count - 1),
    }
}
