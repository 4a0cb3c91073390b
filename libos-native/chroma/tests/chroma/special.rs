//! Devices and generated file systems.
use crate::support::{TestPage, at_root, block_on, ram_vfs};
use serix_chroma::device::{self, Entropy};
use serix_chroma::generated::{
    Contents, Document, Dynamic, Folder, GeneratedFileSystem, Link, Target,
};
use serix_chroma::{
    Credentials, DeviceNumber, DirectoryEntry, DirectorySink, Events, File, FileKind, Inode,
    Location, MountFlags, OpenFlags, ResolveFlags, Seek, Vfs, VfsError, VfsResult,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

const READ_WRITE: OpenFlags = OpenFlags::READ.union(OpenFlags::WRITE);

struct Counting(AtomicU64);

impl Entropy for Counting {
    fn fill(&self, bytes: &mut [u8]) {
        for byte in bytes {
            *byte = self.0.fetch_add(1, Ordering::Relaxed) as u8;
        }
    }
}

struct Tree {
    vfs: Arc<Vfs<TestPage>>,
    root: Credentials,
}

impl Tree {
    fn new(directory: &[u8]) -> Self {
        let tree = Self { vfs: ram_vfs(), root: Credentials::root() };
        let context = at_root(&tree.vfs, &tree.root);
        block_on(tree.vfs.make_directory(context, directory, 0o755)).expect("a directory");
        tree
    }

    fn open(&self, path: &[u8], flags: OpenFlags) -> VfsResult<Arc<File<TestPage>>> {
        let context = at_root(&self.vfs, &self.root);
        block_on(self.vfs.open(context, path, flags, ResolveFlags::empty(), 0o644))
    }

    fn find(&self, path: &[u8], flags: ResolveFlags) -> VfsResult<Location<TestPage>> {
        block_on(self.vfs.resolve(at_root(&self.vfs, &self.root), path, flags))
    }

    fn mount(&self, path: &[u8], root: Arc<dyn Inode<TestPage>>) {
        let disk = GeneratedFileSystem::new("proc", 0x9FA0, root);
        let context = at_root(&self.vfs, &self.root);
        let flags = MountFlags::empty();
        block_on(self.vfs.mount(context, path, disk, flags, b"proc")).expect("a mount");
    }
}

fn read(file: &File<TestPage>, len: usize) -> VfsResult<Vec<u8>> {
    let mut bytes = vec![0xEE; len];
    let count = block_on(file.read(&mut &mut bytes[..]))?;
    bytes.truncate(count);
    Ok(bytes)
}

#[test]
fn memory_devices() {
    let tree = Tree::new(b"/dev");
    let entropy = Arc::new(Counting(AtomicU64::new(0)));
    block_on(device::install(&tree.vfs, entropy.clone())).expect("devices");
    block_on(device::install(&tree.vfs, entropy)).expect("twice does no harm");
    let null = tree.open(b"/dev/null", READ_WRITE).expect("null");
    assert_eq!(read(&null, 10), Ok(vec![]));
    assert_eq!(block_on(null.write(&mut &b"abc"[..])), Ok(3));
    let zero = tree.open(b"/dev/zero", READ_WRITE).expect("zero");
    assert_eq!(read(&zero, 1000), Ok(vec![0; 1000]));
    let full = tree.open(b"/dev/full", READ_WRITE).expect("full");
    assert_eq!(read(&full, 10), Ok(vec![0; 10]));
    assert_eq!(block_on(full.write(&mut &b"abc"[..])), Err(VfsError::NoSpace));
    let random = tree.open(b"/dev/urandom", OpenFlags::READ).expect("urandom");
    let expected: Vec<u8> = (0..1000).map(|at| at as u8).collect();
    assert_eq!(read(&random, 1000), Ok(expected));
    assert_eq!(null.poll(Events::IN | Events::OUT, None), Events::IN | Events::OUT);
    let truncated = tree.open(b"/dev/null", OpenFlags::WRITE | OpenFlags::TRUNCATE);
    assert!(truncated.is_ok(), "as `>/dev/null` does");
    assert_eq!(block_on(null.seek(Seek::End(0))), Ok(0));
    let number = DeviceNumber { major: 9, minor: 9 };
    block_on(device::make_node(&tree.vfs, b"/dev/none", number, 0o600)).expect("a node");
    assert_eq!(tree.open(b"/dev/none", READ_WRITE).err(), Some(VfsError::NoDevice));
    let status = block_on(tree.vfs.status(null.location())).expect("status");
    assert_eq!((status.kind, status.device.minor), (FileKind::CharDevice, 3));
    tree.vfs.root().mount.set_flags(MountFlags::NO_DEVICES);
    assert_eq!(tree.open(b"/dev/null", READ_WRITE).err(), Some(VfsError::Access));
}

/// A setting that is read and written as text.
struct Setting(Arc<Mutex<Vec<u8>>>);

impl Contents for Setting {
    fn generate(&self) -> VfsResult<Vec<u8>> {
        Ok(self.0.lock().expect("setting").clone())
    }
    fn accept(&self, written: &[u8]) -> VfsResult<()> {
        *self.0.lock().expect("setting") = written.into();
        Ok(())
    }
}

/// Directories named by the numbers of living processes.
struct Processes(Arc<Mutex<Vec<u64>>>);

impl Dynamic<TestPage> for Processes {
    fn lookup(&self, name: &[u8]) -> VfsResult<Arc<dyn Inode<TestPage>>> {
        let text = std::str::from_utf8(name).map_err(|_| VfsError::NotFound)?;
        let number: u64 = text.parse().map_err(|_| VfsError::NotFound)?;
        if !self.0.lock().expect("processes").contains(&number) {
            return Err(VfsError::NotFound);
        }
        let status = Document::new(number * 100 + 1, 0o444, move || {
            Ok(format!("pid {number}\n").into_bytes())
        });
        let folder = Folder::new(number * 100);
        Ok(Arc::new(folder.entry(b"status", number * 100 + 1, FileKind::Regular, status)))
    }
    fn next(&self, key: u64) -> Option<(u64, Vec<u8>, u64, FileKind)> {
        let processes = self.0.lock().expect("processes");
        let number = processes.iter().copied().filter(|number| *number >= key).min()?;
        let name = number.to_string().into_bytes();
        Some((number, name, number * 100, FileKind::Directory))
    }
}

struct ToRoot(Location<TestPage>);

impl Target<TestPage> for ToRoot {
    fn text(&self) -> VfsResult<Vec<u8>> {
        Ok(b"no such text".to_vec())
    }
    fn place(&self) -> Option<Location<TestPage>> {
        Some(self.0.clone())
    }
}

struct Names(Vec<String>, usize);

impl DirectorySink for Names {
    fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool {
        if self.1 == 0 {
            return false;
        }
        self.1 -= 1;
        self.0.push(String::from_utf8_lossy(entry.name).into_owned());
        true
    }
}

#[test]
fn a_file_system_like_proc() {
    let tree = Tree::new(b"/proc");
    let setting = Arc::new(Mutex::new(b"1\n".to_vec()));
    let processes = Arc::new(Mutex::new(vec![1, 7]));
    let me = Arc::new(AtomicU64::new(7));
    let mine = me.clone();
    let this = Link::new(12, move || Ok(mine.load(Ordering::Relaxed).to_string().into_bytes()));
    let jump = Link::new(13, ToRoot(tree.vfs.root().clone()));
    let root = Folder::new(10)
        .entry(
            b"setting",
            11,
            FileKind::Regular,
            Document::new(11, 0o644, Setting(setting.clone())),
        )
        .entry(b"self", 12, FileKind::Symlink, this)
        .entry(b"top", 13, FileKind::Symlink, jump)
        .dynamic(Arc::new(Processes(processes.clone())));
    tree.mount(b"/proc", Arc::new(root));

    // What was opened stays as it was; what is opened later is new.
    let old = tree.open(b"/proc/setting", OpenFlags::READ).expect("a document");
    let writer = tree.open(b"/proc/setting", OpenFlags::WRITE | OpenFlags::TRUNCATE);
    assert_eq!(block_on(writer.expect("a document").write(&mut &b"22\n"[..])), Ok(3));
    assert_eq!(*setting.lock().expect("setting"), b"22\n");
    assert_eq!(read(&old, 1), Ok(b"1".to_vec()));
    assert_eq!(read(&old, 9), Ok(b"\n".to_vec()));
    assert_eq!(read(&old, 9), Ok(vec![]));
    let new = tree.open(b"/proc/setting", OpenFlags::READ).expect("a document");
    assert_eq!(read(&new, 9), Ok(b"22\n".to_vec()));

    // Nothing of the dynamic part is remembered.
    let file = tree.open(b"/proc/self/status", OpenFlags::READ).expect("a document");
    assert_eq!(read(&file, 99), Ok(b"pid 7\n".to_vec()));
    me.store(1, Ordering::Relaxed);
    let file = tree.open(b"/proc/self/status", OpenFlags::READ).expect("a document");
    assert_eq!(read(&file, 99), Ok(b"pid 1\n".to_vec()));
    assert_eq!(tree.find(b"/proc/8", ResolveFlags::empty()).err(), Some(VfsError::NotFound));
    processes.lock().expect("processes").push(8);
    assert!(tree.find(b"/proc/8/status", ResolveFlags::empty()).is_ok());
    processes.lock().expect("processes").retain(|number| *number != 8);
    assert_eq!(tree.find(b"/proc/8", ResolveFlags::empty()).err(), Some(VfsError::NotFound));

    // A link that jumps leads to its place, not to its text.
    let top = tree.find(b"/proc/top", ResolveFlags::empty()).expect("the root");
    assert!(top.is_same(tree.vfs.root()));
    assert!(tree.find(b"/proc/top/proc/1", ResolveFlags::empty()).is_ok());
    let refused = tree.find(b"/proc/top", ResolveFlags::NO_JUMPS);
    assert_eq!(refused.err(), Some(VfsError::Loop));

    // Listing, two at a time.
    let directory = tree.open(b"/proc", OpenFlags::READ).expect("a directory");
    let mut names = Names(Vec::new(), 0);
    loop {
        names.1 = 2;
        if block_on(directory.read_directory(&mut names)) == Ok(Some(0)) {
            break;
        }
    }
    assert_eq!(names.0, [".", "..", "setting", "self", "top", "1", "7"]);
    names.1 = 0;
    block_on(directory.seek(Seek::Start(0))).expect("the start");
    assert_eq!(block_on(directory.read_directory(&mut names)), Ok(None));

    // It cannot be changed.
    let context = at_root(&tree.vfs, &tree.root);
    let refused = block_on(tree.vfs.make_directory(context, b"/proc/x", 0o755));
    assert_eq!(refused.err(), Some(VfsError::Permission));
    assert_eq!(block_on(tree.vfs.unlink(context, b"/proc/setting")), Err(VfsError::Permission));
    let (path, _) = tree.vfs.path_of(file.location(), tree.vfs.root()).expect("a path");
    assert_eq!(path, b"/proc/1/status");
}
