//! What the tests share: images made by `mkfs.ext4`, and judges that are not this crate.
use serix_block::host::{HostPage, MemoryDisk, block_on};
use serix_block::{PAGE_SIZE, Page};
use serix_ext4::{Error, Ext4, FileKind, NewInode, Options, Time};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};

/// What `mkfs.ext4` makes by default since version 1.47.
pub(crate) const MODERN: &[&str] = &["-b", "4096", "-O", "orphan_file,metadata_csum_seed"];

/// Whether the long runs were asked for.
pub(crate) fn long() -> bool {
    std::env::var_os("SERIX_LONG").is_some_and(|value| value == "1")
}

/// A file or a directory that goes when it is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("serix-ext4-{}-{number}.img", std::process::id());
        Self(std::env::temp_dir().join(name))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let removed = std::fs::remove_file(&self.0);
        if removed.is_err() {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

/// Runs a tool; answers its exit status and all it said.
pub(crate) fn tool(name: &str, arguments: &[&str], path: &Path) -> (i32, String) {
    let output = Command::new("timeout")
        .args(["120", name])
        .args(arguments)
        .arg(path)
        .env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin")
        .output()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

/// Makes a file system of `size_mib` MiB.
pub(crate) fn mkfs(size_mib: u64, arguments: &[&str]) -> Vec<u8> {
    let scratch = Scratch::new();
    let file = std::fs::File::create(scratch.path()).expect("scratch file");
    file.set_len(size_mib << 20).expect("size of the image");
    let mut all = vec!["-q", "-F", "-E", "lazy_itable_init=1"];
    all.extend(arguments);
    let (status, said) = tool("mkfs.ext4", &all, scratch.path());
    assert_eq!(status, 0, "mkfs.ext4 {arguments:?}: {said}");
    std::fs::read(scratch.path()).expect("image")
}

/// An image as a file without the parts that are zero.
pub(crate) fn write_image(image: &[u8]) -> Scratch {
    const PART: usize = 1 << 16;
    let scratch = Scratch::new();
    let file = std::fs::File::create(scratch.path()).expect("scratch file");
    file.set_len(image.len() as u64).expect("size of the image");
    for (index, part) in image.chunks(PART).enumerate() {
        if part != &[0; PART][..part.len()] {
            file.write_all_at(part, (index * PART) as u64).expect("image");
        }
    }
    scratch
}

/// Fails unless `e2fsck -fn` finds nothing and there is no journal to replay.
pub(crate) fn check_clean(image: &[u8]) {
    check_clean_file(write_image(image).path());
}

pub(crate) fn check_clean_file(path: &Path) {
    let (status, said) = tool("e2fsck", &["-fn"], path);
    if status != 0 || said.contains("skipping journal") || said.contains("Fix") {
        let kept = std::env::temp_dir().join("serix-ext4-failed.img");
        let _ = std::fs::copy(path, &kept);
        panic!("e2fsck ({status}), image kept in {}: {said}", kept.display());
    }
    let (status, said) = tool("dumpe2fs", &["-h"], path);
    assert_eq!(status, 0, "dumpe2fs: {said}");
    assert!(!said.contains("needs_recovery"), "journal not empty: {said}");
}

/// Runs a `debugfs` request on an image.
pub(crate) fn debugfs(image: &[u8], request: &str) -> String {
    tool("debugfs", &["-R", request], write_image(image).path()).1
}

/// Options with a clock that ticks a millisecond per look.
pub(crate) fn options() -> Options {
    let ticks = AtomicI64::new(0);
    let clock = move || {
        let tick = ticks.fetch_add(1, Ordering::Relaxed);
        Time { seconds: 1_700_000_000 + tick / 1000, nanoseconds: (tick % 1000) as u32 * 1_000_000 }
    };
    let mut options = Options::new(Arc::new(clock));
    options.log = Arc::new(|line| eprintln!("{line}"));
    options
}

pub(crate) fn mount(disk: &MemoryDisk) -> Arc<Ext4<MemoryDisk>> {
    block_on(Ext4::mount(disk.clone(), options())).expect("mount")
}

pub(crate) fn plain(kind: FileKind) -> NewInode {
    NewInode { kind, mode: 0o644, uid: 1000, gid: 100, device: (0, 0) }
}

/// Pages that hold `bytes`, the last one filled up with zeroes.
pub(crate) fn pages_of(bytes: &[u8]) -> Vec<HostPage> {
    let page_of = |part: &[u8]| {
        let page = HostPage::zeroed();
        page.write(0, part);
        page
    };
    bytes.chunks(PAGE_SIZE).map(page_of).collect()
}

/// The bytes of pages.
pub(crate) fn bytes_of(pages: &[HostPage]) -> Vec<u8> {
    let mut bytes = vec![0; pages.len() * PAGE_SIZE];
    for (page, part) in pages.iter().zip(bytes.chunks_mut(PAGE_SIZE)) {
        page.read(0, part);
    }
    bytes
}

/// A file system and the few calls that a page cache makes of reads and writes.
pub(crate) struct Mounted<D: serix_block::BlockDevice<Page = HostPage>>(pub(crate) Arc<Ext4<D>>);

impl<D: serix_block::BlockDevice<Page = HostPage>> Mounted<D> {
    pub(crate) fn size(&self, inode: u32) -> u64 {
        block_on(self.0.attributes(inode)).expect("attributes").size
    }

    pub(crate) fn read(&self, inode: u32, offset: u64, len: usize) -> Result<Vec<u8>, Error> {
        let first = offset / PAGE_SIZE as u64;
        let last = (offset + len as u64).div_ceil(PAGE_SIZE as u64);
        let pages: Vec<_> = (first..last).map(|_| HostPage::zeroed()).collect();
        block_on(self.0.read_pages(inode, first, &pages))?;
        let skipped = (offset % PAGE_SIZE as u64) as usize;
        Ok(bytes_of(&pages)[skipped..skipped + len].to_vec())
    }

    pub(crate) fn read_all(&self, inode: u32) -> Vec<u8> {
        let size = self.size(inode) as usize;
        self.read(inode, 0, size).expect("read")
    }

    /// Reads, changes and writes the pages that a range touches.
    pub(crate) fn write(&self, inode: u32, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        let first = offset / PAGE_SIZE as u64;
        let end = offset + bytes.len() as u64;
        let start = first * PAGE_SIZE as u64;
        let len = end.next_multiple_of(PAGE_SIZE as u64) - start;
        let mut content = self.read(inode, start, len as usize)?;
        let at = (offset - start) as usize;
        content[at..at + bytes.len()].copy_from_slice(bytes);
        let pages = pages_of(&content);
        block_on(self.0.prepare_write(inode, first, pages.len() as u64))?;
        let size = block_on(self.0.attributes(inode))?.size.max(end);
        block_on(self.0.write_pages(inode, first, &pages, size))
    }

    pub(crate) fn create(&self, directory: u32, name: &str, kind: FileKind) -> Result<u32, Error> {
        block_on(self.0.create(directory, name.as_bytes(), plain(kind)))
    }

    pub(crate) fn list(&self, directory: u32) -> Vec<(Vec<u8>, u32)> {
        let mut all = Vec::new();
        let mut cookie = 0;
        loop {
            let entries = block_on(self.0.read_dir(directory, cookie)).expect("read_dir");
            let Some(last) = entries.last() else { return all };
            cookie = last.next;
            all.extend(entries.into_iter().map(|entry| (entry.name, entry.inode)));
        }
    }
}

/// Little-endian numbers of an image.
pub(crate) fn le16(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn le32(bytes: &[u8], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

/// A big-endian number, as the journal has them.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    le32(bytes, at).swap_bytes()
}

pub(crate) fn put_le16(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_le32(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_le_bytes());
}
