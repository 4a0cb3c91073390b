//! The tree of a session: its root, `/dev`, `/proc`, and the file systems that `mount` makes.
use super::{VFS, disk, proc, sys, vfs, write_back};
use crate::file::description::File;
use crate::file::{self, Page};
use crate::memory::{self, SessionFrames};
use crate::raw::kernel;
use crate::terminal;
use crate::{Errno, Result};
use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU64, Ordering};
use serix_chroma::device::{self, Entropy};
use serix_chroma::ramdisk::{RamDisk, RamDiskLimits};
use serix_chroma::{
    CacheLimits, Clock, Context, Credentials, FileSystem, MountFlags, OpenFlags, ResolveFlags,
    Setup, Vfs, VfsError, VfsResult,
};
use spin::Once;

/// Names that the tree remembers.
const NAMES: usize = 4096;

/// The time of day by the TSC.
pub(super) struct SessionClock;

impl Clock for SessionClock {
    fn now_ns(&self) -> i64 {
        (kernel::info().epoch_ns + kernel::now_ns()) as i64
    }
}

/// The CPU's random numbers.
struct CpuEntropy;

impl Entropy for CpuEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&kernel::random().to_le_bytes()[..part.len()]);
        }
    }
}

/// Makes the tree, whose root is that of `root`, with `/dev`, `/proc`, `/sys` and `/tmp` in it.
///
/// # Errors
/// Those of the root file system.
pub async fn start(
    root: Arc<dyn FileSystem<Page>>,
    flags: MountFlags,
    source: &[u8],
) -> VfsResult<()> {
    let (_, frames) = memory::usage();
    let setup = Setup {
        source: Arc::new(SessionFrames),
        clock: Arc::new(SessionClock),
        limits: CacheLimits::for_pages(frames as u64 / 2),
        names: NAMES,
        seed: kernel::random(),
    };
    let tree = Vfs::new(root, flags, source, setup).await?;
    VFS.call_once(|| tree);
    for (path, mode) in
        [(&b"/dev"[..], 0o755), (b"/proc", 0o555), (b"/sys", 0o555), (b"/tmp", 0o1777)]
    {
        make_directory(path, mode).await?;
    }
    mount(b"/dev", ram_disk(device_limits(), 0o755)?, b"devtmpfs").await?;
    mount(b"/proc", proc::file_system(), b"proc").await?;
    mount_where_possible(b"/sys", sys::file_system(), b"sysfs").await?;
    fill_devices().await?;
    write_back::start();
    Ok(())
}

/// An empty root in memory, for sessions without a disk.
///
/// # Errors
/// `NoSpace` if there is no memory for it.
pub fn memory_root() -> VfsResult<Arc<dyn FileSystem<Page>>> {
    ram_disk(default_limits(), 0o755)
}

fn default_limits() -> RamDiskLimits {
    let (_, frames) = memory::usage();
    RamDiskLimits { pages: frames as u64 / 2, inodes: frames as u64 / 2 }
}

fn device_limits() -> RamDiskLimits {
    RamDiskLimits { pages: default_limits().pages, inodes: 4096 }
}

fn ram_disk(limits: RamDiskLimits, mode: u32) -> VfsResult<Arc<dyn FileSystem<Page>>> {
    let disk: Arc<RamDisk<Page>> =
        RamDisk::new(limits, mode, Arc::new(SessionClock), kernel::random())?;
    Ok(disk)
}

/// Makes a directory unless something of that name is there; a root that cannot be written has to have it.
async fn make_directory(path: &[u8], mode: u32) -> VfsResult<()> {
    let credentials = Credentials::root();
    match vfs().make_directory(vfs().root_context(&credentials), path, mode).await {
        Ok(_) | Err(VfsError::Exists | VfsError::ReadOnly) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn mount(path: &[u8], what: Arc<dyn FileSystem<Page>>, source: &[u8]) -> VfsResult<()> {
    let credentials = Credentials::root();
    let context: Context<'_, Page> = vfs().root_context(&credentials);
    vfs().mount(context, path, what, MountFlags::NO_SUID, source).await.map(drop)
}

/// The same where a root that cannot be written may lack the directory.
async fn mount_where_possible(
    path: &[u8],
    what: Arc<dyn FileSystem<Page>>,
    source: &[u8],
) -> VfsResult<()> {
    match mount(path, what, source).await {
        Err(VfsError::NotFound) => Ok(()),
        other => other,
    }
}

async fn fill_devices() -> VfsResult<()> {
    device::install(vfs(), Arc::new(CpuEntropy)).await?;
    terminal::devices::install().await?;
    make_directory(b"/dev/shm", 0o1777).await?;
    make_directory(b"/dev/pts", 0o755).await?;
    mount(b"/dev/pts", terminal::file_system(), b"devpts").await?;
    let credentials = Credentials::root();
    for (name, target) in [
        (&b"/dev/fd"[..], &b"/proc/self/fd"[..]),
        (b"/dev/stdin", b"/proc/self/fd/0"),
        (b"/dev/stdout", b"/proc/self/fd/1"),
        (b"/dev/stderr", b"/proc/self/fd/2"),
    ] {
        vfs().symlink(vfs().root_context(&credentials), target, name).await?;
    }
    disk::make_nodes().await
}

/// The file system that `mount` makes of a type and its options.
///
/// # Errors
/// `ENODEV` for a type that there is none of, `EINVAL` for bad options.
pub fn new_file_system(kind: &[u8], options: &[u8]) -> Result<Arc<dyn FileSystem<Page>>> {
    match kind {
        b"proc" => Ok(proc::file_system()),
        b"sysfs" => Ok(sys::file_system()),
        b"devpts" => Ok(terminal::file_system()),
        b"tmpfs" | b"ramfs" => {
            let (limits, mode) = ram_disk_options(options)?;
            Ok(ram_disk(limits, mode)?)
        }
        b"devtmpfs" => {
            // One for all, as on Linux: what is mounted at /dev already.
            let credentials = Credentials::root();
            let context = vfs().root_context(&credentials);
            let place = file::wait(vfs().resolve(context, b"/dev", ResolveFlags::empty()))?;
            Ok(place.mount.volume().file_system().clone())
        }
        _ => Err(Errno::ENODEV),
    }
}

/// Options of a RAM disk: `size`, `nr_inodes`, `mode`.
fn ram_disk_options(options: &[u8]) -> Result<(RamDiskLimits, u32)> {
    let (mut limits, mut mode) = (default_limits(), 0o1777);
    let options = core::str::from_utf8(options).map_err(|_| Errno::EINVAL)?;
    for option in options.split(',').filter(|option| !option.is_empty()) {
        match option.split_once('=') {
            Some(("size", size)) => {
                limits.pages = number_with_unit(size)?.div_ceil(serix_chroma::PAGE_SIZE as u64);
            }
            Some(("nr_inodes", count)) => limits.inodes = number_with_unit(count)?,
            Some(("mode", octal)) => {
                mode = u32::from_str_radix(octal, 8).map_err(|_| Errno::EINVAL)? & 0o7777;
            }
            _ => {}
        }
    }
    Ok((limits, mode))
}

fn number_with_unit(text: &str) -> Result<u64> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'k' | b'K') => (&text[..text.len() - 1], 10),
        Some(b'm' | b'M') => (&text[..text.len() - 1], 20),
        Some(b'g' | b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    number.checked_shl(shift).filter(|n| n >> shift == number).ok_or(Errno::EINVAL)
}

/// A tree of its own for files without a name.
static NAMELESS: Once<Arc<Vfs<Page>>> = Once::new();
/// Tells the files in it apart while they have their names.
static NEXT_NAME: AtomicU64 = AtomicU64::new(0);

/// A file in memory that has no name: what `memfd_create` makes. The name is for people.
///
/// # Errors
/// `NoSpace`.
pub async fn memory_file(name: &[u8]) -> VfsResult<Arc<File>> {
    let tree = match NAMELESS.get() {
        Some(tree) => tree,
        None => {
            let tree = nameless_tree().await?;
            NAMELESS.call_once(|| tree)
        }
    };
    let number = NEXT_NAME.fetch_add(1, Ordering::Relaxed);
    let readable = core::str::from_utf8(name).unwrap_or("?").replace('/', "_");
    let path = format!("/memfd:{:.200}-{number}", readable);
    let credentials = Credentials::root();
    let context = tree.root_context(&credentials);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
    let file = tree.open(context, path.as_bytes(), flags, ResolveFlags::empty(), 0o777).await?;
    tree.unlink(context, path.as_bytes()).await?;
    Ok(file)
}

async fn nameless_tree() -> VfsResult<Arc<Vfs<Page>>> {
    let setup = Setup {
        source: Arc::new(SessionFrames),
        clock: Arc::new(SessionClock),
        limits: CacheLimits::for_pages(64),
        names: 16,
        seed: kernel::random(),
    };
    let root = ram_disk(default_limits(), 0o700)?;
    Box::pin(Vfs::new(root, MountFlags::empty(), b"none", setup)).await
}

/// Ends all file systems, for the end of the session: everything is durable, disks are marked clean.
///
/// # Errors
/// The first error of any; the others are ended all the same.
pub fn shut_down() -> Result<()> {
    match VFS.get() {
        Some(tree) => file::block_on(tree.shut_down()),
        None => Ok(()),
    }
}
