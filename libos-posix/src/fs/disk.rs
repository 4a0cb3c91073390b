//! File systems on the disks of the session.
use super::setup::SessionClock;
use super::vfs;
use crate::file::Page;
use crate::io;
use crate::memory::{self, SessionFrames};
use crate::session::{Disk, disks, log_line};
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use serix_chroma::{
    Clock, Credentials, DeviceNumber, FileKind, FileSystem, PAGE_SIZE, VfsError, VfsResult,
};
use serix_ext4::{Options, Time, Volume};
use serix_transfer::BlockExtent;
use spin::Mutex;

/// Major number of the session's disks, one of those that Linux leaves to local use.
const MAJOR: u32 = 240;
/// Bounds of the metadata cache of a file system, in bytes.
const CACHE_LEAST: usize = 512 << 10;
const CACHE_MOST: usize = 16 << 20;

fn now() -> Time {
    let now = SessionClock.now();
    Time { seconds: now.seconds, nanoseconds: now.nanoseconds }
}

/// The disks that hold a mounted file system, by slot. A second mount of one would not know what the first has
/// in its caches.
static MOUNTED: Mutex<BTreeMap<u32, Weak<dyn FileSystem<Page>>>> = Mutex::new(BTreeMap::new());

/// The ext4 file system on a disk.
///
/// # Errors
/// `Busy` if it is mounted already, `ReadOnly` if it is to be written and may not be.
pub async fn mount_disk(disk: &Disk, writable: bool) -> VfsResult<Arc<dyn FileSystem<Page>>> {
    let is_mounted = MOUNTED.lock().get(&disk.slot.0).is_some_and(|one| one.strong_count() > 0);
    if is_mounted {
        return Err(VfsError::Busy);
    }
    if writable && !disk.writable {
        return Err(VfsError::ReadOnly);
    }
    let mounted = ext4(disk, writable).await?;
    MOUNTED.lock().insert(disk.slot.0, Arc::downgrade(&mounted));
    Ok(mounted)
}

/// The disk that a device number names.
pub fn disk_of(number: DeviceNumber) -> Option<&'static Disk> {
    (number.major == MAJOR).then(|| disks().get(number.minor as usize)).flatten()
}

/// The disks with their numbers.
pub(super) fn numbered() -> impl Iterator<Item = (DeviceNumber, &'static Disk)> {
    (0..).zip(disks()).map(|(minor, disk)| (DeviceNumber { major: MAJOR, minor }, disk))
}

/// Makes a node in `/dev` for each disk: what `mount` takes. A name that is there already stays what it is.
pub(super) async fn make_nodes() -> VfsResult<()> {
    let credentials = Credentials::root();
    for (number, disk) in numbered() {
        let path = [b"/dev/", &disk.name[..]].concat();
        let context = vfs().root_context(&credentials);
        match vfs().create(context, &path, FileKind::BlockDevice, 0o660, number).await {
            Ok(_) | Err(VfsError::Exists) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Mounts what is on a disk.
///
/// # Errors
/// `Invalid` if it is no ext4, and those of the device; the log has the particulars.
async fn ext4(disk: &Disk, writable: bool) -> VfsResult<Arc<dyn FileSystem<Page>>> {
    let (slot, sectors) = (disk.slot.0, disk.sectors);
    let device = BlockExtent::new(io::ring().clone(), SessionFrames, slot, sectors, writable);
    let (_, frames) = memory::usage();
    let options = Options {
        read_only: !writable,
        log: Arc::new(|line| log_line(format_args!("ext4: {line}"))),
        cache_bytes: (frames * PAGE_SIZE / 32).clamp(CACHE_LEAST, CACHE_MOST),
        ..Options::new(Arc::new(now))
    };
    match Volume::mount(device, options).await {
        Ok(volume) => Ok(Arc::new(volume)),
        Err(error) => {
            log_line(format_args!("ext4: {error}"));
            Err(match error {
                serix_ext4::Error::Io { .. } => VfsError::Io,
                serix_ext4::Error::Corrupt { .. } => VfsError::Corrupt,
                _ => VfsError::Invalid,
            })
        }
    }
}
