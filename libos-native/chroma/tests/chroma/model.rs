//! Random operations against a simple model, on the RAM disk and on a slow disk behind a tiny cache.
use crate::support::{Faults, Pages, Random, SlowDisk, TIGHT, TestPage, at_root, block_on};
use serix_chroma::{
    AllocateMode, Context, Credentials, DirectoryEntry, DirectorySink, File, FileKind, OpenFlags,
    RenameFlags, ResolveFlags, Seek, Vfs, VfsError, VfsResult,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What the model knows of an inode.
enum Body {
    File(Vec<u8>),
    Directory(BTreeMap<Vec<u8>, usize>),
    Symlink(Vec<u8>),
}

struct ModelInode {
    body: Body,
    links: u32,
}

/// The model: inodes by number, never removed; 0 is the root. Paths have no symbolic links on the
/// way and at most three components.
struct Model {
    inodes: Vec<ModelInode>,
}

impl Model {
    fn new() -> Self {
        let root = ModelInode { body: Body::Directory(BTreeMap::new()), links: 2 };
        Self { inodes: vec![root] }
    }

    fn directory(&self, at: usize) -> VfsResult<&BTreeMap<Vec<u8>, usize>> {
        match &self.inodes[at].body {
            Body::Directory(entries) => Ok(entries),
            Body::Symlink(_) => Err(VfsError::NotFound),
            Body::File(_) => Err(VfsError::NotDirectory),
        }
    }

    fn entries(&mut self, at: usize) -> &mut BTreeMap<Vec<u8>, usize> {
        match &mut self.inodes[at].body {
            Body::Directory(entries) => entries,
            _ => panic!("not a directory"),
        }
    }

    fn is_directory(&self, at: usize) -> bool {
        matches!(self.inodes[at].body, Body::Directory(_))
    }

    /// The parent's number and the last name.
    fn parent<'a>(&self, path: &'a [u8]) -> VfsResult<(usize, &'a [u8])> {
        let mut names = path[1..].split(|byte| *byte == b'/');
        let last = names.next_back().expect("a name");
        let mut at = 0;
        for name in names {
            at = *self.directory(at)?.get(name).ok_or(VfsError::NotFound)?;
        }
        self.directory(at)?;
        Ok((at, last))
    }

    fn find(&self, path: &[u8]) -> VfsResult<usize> {
        let (parent, name) = self.parent(path)?;
        self.directory(parent)?.get(name).copied().ok_or(VfsError::NotFound)
    }

    fn add(&mut self, path: &[u8], body: Body) -> VfsResult<usize> {
        let (parent, name) = self.parent(path)?;
        if self.directory(parent)?.contains_key(name) {
            return Err(VfsError::Exists);
        }
        let is_directory = matches!(body, Body::Directory(_));
        let links = if is_directory { 2 } else { 1 };
        self.inodes.push(ModelInode { body, links });
        let number = self.inodes.len() - 1;
        self.entries(parent).insert(name.into(), number);
        self.inodes[parent].links += u32::from(is_directory);
        Ok(number)
    }

    fn unlink(&mut self, path: &[u8]) -> VfsResult<()> {
        let number = self.find(path)?;
        if self.is_directory(number) {
            return Err(VfsError::IsDirectory);
        }
        let (parent, name) = self.parent(path)?;
        self.entries(parent).remove(name);
        self.inodes[number].links -= 1;
        Ok(())
    }

    fn rmdir(&mut self, path: &[u8]) -> VfsResult<()> {
        let number = self.find(path)?;
        match &self.inodes[number].body {
            Body::Directory(entries) if !entries.is_empty() => return Err(VfsError::NotEmpty),
            Body::Directory(_) => {}
            _ => return Err(VfsError::NotDirectory),
        }
        let (parent, name) = self.parent(path)?;
        self.entries(parent).remove(name);
        self.inodes[parent].links -= 1;
        Ok(())
    }

    fn link(&mut self, old: &[u8], new: &[u8]) -> VfsResult<()> {
        let number = self.find(old)?;
        let (parent, name) = self.parent(new)?;
        if self.directory(parent)?.contains_key(name) {
            return Err(VfsError::Exists);
        }
        if self.is_directory(number) {
            return Err(VfsError::Permission);
        }
        self.entries(parent).insert(name.into(), number);
        self.inodes[number].links += 1;
        Ok(())
    }

    fn is_below(&self, at: usize, above: usize) -> bool {
        at == above
            || self.directory(above).is_ok_and(|entries| {
                entries.values().any(|entry| self.is_directory(*entry) && self.is_below(at, *entry))
            })
    }

    fn rename(&mut self, old: &[u8], new: &[u8], flags: RenameFlags) -> VfsResult<()> {
        let ((from, from_name), (to, to_name)) = (self.parent(old)?, self.parent(new)?);
        let moved = self.find(old)?;
        let target = self.directory(to)?.get(to_name).copied();
        let is_exchange = flags.contains(RenameFlags::EXCHANGE);
        if target.is_some() && flags.contains(RenameFlags::NO_REPLACE) {
            return Err(VfsError::Exists);
        }
        if target.is_none() && is_exchange {
            return Err(VfsError::NotFound);
        }
        if self.is_directory(moved) && self.is_below(to, moved) {
            return Err(VfsError::Invalid);
        }
        if let Some(target) = target {
            if self.is_directory(target) && self.is_below(from, target) {
                let error = if is_exchange { VfsError::Invalid } else { VfsError::NotEmpty };
                return Err(error);
            }
            if target == moved {
                return Ok(());
            }
            if !is_exchange {
                self.check_replace(moved, target)?;
            }
        }
        self.move_entry((from, from_name), (to, to_name), moved, target, is_exchange);
        Ok(())
    }

    fn check_replace(&self, moved: usize, target: usize) -> VfsResult<()> {
        match (self.is_directory(moved), self.is_directory(target)) {
            (true, false) => Err(VfsError::NotDirectory),
            (false, true) => Err(VfsError::IsDirectory),
            (true, true) if !self.directory(target)?.is_empty() => Err(VfsError::NotEmpty),
            _ => Ok(()),
        }
    }

    fn move_entry(
        &mut self,
        (from, from_name): (usize, &[u8]),
        (to, to_name): (usize, &[u8]),
        moved: usize,
        target: Option<usize>,
        is_exchange: bool,
    ) {
        self.entries(from).remove(from_name);
        self.entries(to).insert(to_name.into(), moved);
        let weight = u32::from(self.is_directory(moved));
        self.inodes[from].links -= weight;
        self.inodes[to].links += weight;
        let Some(target) = target else { return };
        let weight = u32::from(self.is_directory(target));
        self.inodes[to].links -= weight;
        if is_exchange {
            self.entries(from).insert(from_name.into(), target);
            self.inodes[from].links += weight;
        } else if weight == 0 {
            self.inodes[target].links -= 1;
        }
    }
}

#[derive(Default)]
struct Listing(Vec<(Vec<u8>, FileKind)>, usize);

impl DirectorySink for Listing {
    fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool {
        if self.1 == 0 {
            return false;
        }
        self.1 -= 1;
        self.0.push((entry.name.into(), entry.kind));
        true
    }
}

/// A description that stays open, and the inode of the model that it is of.
struct Open(Arc<File<TestPage>>, usize);

struct Run {
    vfs: Arc<Vfs<TestPage>>,
    credentials: Credentials,
    model: Model,
    random: Random,
    open: Vec<Open>,
}

const NAMES: [&[u8]; 5] = [b"a", b"b", b"c", b"a-name-of-some-length", b"d"];
const SIZE: u64 = 70_000;

impl Run {
    fn context(&self) -> Context<'_, TestPage> {
        at_root(&self.vfs, &self.credentials)
    }

    fn path(&mut self) -> Vec<u8> {
        let mut path = Vec::new();
        for _ in 0..1 + self.random.below(3) {
            path.push(b'/');
            let name = *self.random.choose(&NAMES);
            path.extend_from_slice(name);
        }
        path
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 | 1 => self.create(),
            2 | 3 => self.mkdir(),
            4 => self.symlink(),
            5 => self.link(),
            6 | 7 => self.unlink(),
            8 => self.rmdir(),
            9 | 10 => self.rename(),
            11 => self.list(),
            12 => self.stat(),
            13 | 14 => self.write(),
            15 | 16 => self.read(),
            17 => self.resize(),
            18 => self.punch(),
            _ => self.close_or_sync(),
        }
    }

    fn create(&mut self) {
        let path = self.path();
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;
        let expected = self.model.add(&path, Body::File(Vec::new()));
        let resolve = ResolveFlags::empty();
        let file = block_on(self.vfs.open(self.context(), &path, flags, resolve, 0o644));
        assert_eq!(file.as_ref().err().copied(), expected.as_ref().err().copied());
        if let (Ok(file), Ok(number)) = (file, expected) {
            self.open.push(Open(file, number));
        }
    }

    fn mkdir(&mut self) {
        let path = self.path();
        let expected = self.model.add(&path, Body::Directory(BTreeMap::new()));
        let made = block_on(self.vfs.make_directory(self.context(), &path, 0o755));
        assert_eq!(made.err(), expected.err());
    }

    fn symlink(&mut self) {
        let path = self.path();
        let target = b"nowhere/at all".to_vec();
        let expected = self.model.add(&path, Body::Symlink(target.clone()));
        let made = block_on(self.vfs.symlink(self.context(), &target, &path));
        assert_eq!(made.err(), expected.err());
    }

    fn link(&mut self) {
        let (old, new) = (self.path(), self.path());
        let expected = self.model.link(&old, &new);
        let linked = block_on(async {
            let flags = ResolveFlags::NO_FOLLOW;
            let old = self.vfs.resolve(self.context(), &old, flags).await?;
            self.vfs.link(&old, self.context(), &new).await
        });
        assert_eq!(linked, expected);
    }

    fn unlink(&mut self) {
        let path = self.path();
        let expected = self.model.unlink(&path);
        assert_eq!(block_on(self.vfs.unlink(self.context(), &path)), expected);
    }

    fn rmdir(&mut self) {
        let path = self.path();
        let expected = self.model.rmdir(&path);
        let removed = block_on(self.vfs.remove_directory(self.context(), &path));
        assert_eq!(removed, expected);
    }

    fn rename(&mut self) {
        let (old, new) = (self.path(), self.path());
        let flags = [
            RenameFlags::empty(),
            RenameFlags::empty(),
            RenameFlags::NO_REPLACE,
            RenameFlags::EXCHANGE,
        ];
        let flags = *self.random.choose(&flags);
        let expected = self.model.rename(&old, &new, flags);
        let context = self.context();
        let renamed = block_on(self.vfs.rename(context, &old, context, &new, flags));
        assert_eq!(renamed, expected, "{old:?} {new:?} {flags:?}");
    }

    fn list(&mut self) {
        let path = self.path();
        let expected = self.model.find(&path);
        let resolve = ResolveFlags::NO_FOLLOW;
        let flags = OpenFlags::READ | OpenFlags::NO_FOLLOW;
        let opened = block_on(self.vfs.open(self.context(), &path, flags, resolve, 0));
        let Ok(number) = expected else {
            assert_eq!(opened.err(), expected.err());
            return;
        };
        let Body::Directory(entries) = &self.model.inodes[number].body else {
            return;
        };
        let file = opened.expect("a directory");
        let mut listing = Listing::default();
        loop {
            listing.1 = 1 + self.random.below(4) as usize;
            let count = block_on(file.read_directory(&mut listing)).expect("entries");
            if count.expect("room for one") == 0 {
                break;
            }
        }
        let mut found: Vec<_> = listing.0.into_iter().map(|(name, _)| name).collect();
        found.sort();
        let mut names: Vec<Vec<u8>> = vec![b".".into(), b"..".into()];
        names.extend(entries.keys().cloned());
        assert_eq!(found, names);
    }

    fn stat(&mut self) {
        let path = self.path();
        let expected = self.model.find(&path);
        let resolve = ResolveFlags::NO_FOLLOW;
        let found = block_on(self.vfs.resolve(self.context(), &path, resolve));
        let (Ok(number), Ok(found)) = (&expected, &found) else {
            assert_eq!(found.as_ref().err(), expected.as_ref().err());
            return;
        };
        let metadata = block_on(self.vfs.status(found)).expect("metadata");
        let inode = &self.model.inodes[*number];
        assert_eq!(metadata.links, inode.links);
        match &inode.body {
            Body::File(bytes) => assert_eq!(metadata.size, bytes.len() as u64),
            Body::Directory(_) => assert_eq!(metadata.kind, FileKind::Directory),
            Body::Symlink(target) => {
                let read = block_on(self.vfs.read_link(found)).expect("a target");
                assert_eq!(read, *target);
            }
        }
        let root = self.vfs.root();
        let (path_found, is_deleted) = self.vfs.path_of(found, root).expect("below the root");
        assert!(!is_deleted);
        if matches!(inode.body, Body::Directory(_)) {
            assert_eq!(path_found, path);
        }
    }

    /// An open file and what the model has of it.
    fn pick(&mut self) -> Option<(Arc<File<TestPage>>, usize)> {
        if self.open.is_empty() {
            return None;
        }
        let at = self.random.below(self.open.len() as u64) as usize;
        let Open(file, number) = &self.open[at];
        Some((file.clone(), *number))
    }

    fn bytes(&mut self, number: usize) -> &mut Vec<u8> {
        match &mut self.model.inodes[number].body {
            Body::File(bytes) => bytes,
            _ => panic!("not a file"),
        }
    }

    fn write(&mut self) {
        let Some((file, number)) = self.pick() else { return };
        let offset = self.random.below(SIZE);
        let len = self.random.below(3 * 4096 + 1) as usize;
        let fill = self.random.next() as u8 | 1;
        let data: Vec<u8> = (0..len).map(|at| fill.wrapping_add(at as u8)).collect();
        let is_append = self.random.below(4) == 0;
        let written = if is_append {
            file.set_flags(OpenFlags::APPEND);
            block_on(file.write(&mut &data[..]))
        } else {
            file.set_flags(OpenFlags::empty());
            block_on(file.pwrite(offset, &mut &data[..]))
        };
        assert_eq!(written, Ok(len));
        let bytes = self.bytes(number);
        let offset = if is_append { bytes.len() } else { offset as usize };
        if len > 0 {
            let end = offset + len;
            bytes.resize(bytes.len().max(end), 0);
            bytes[offset..end].copy_from_slice(&data);
        }
        // Appending for ever would slow the test down.
        if bytes.len() > 2 * SIZE as usize {
            bytes.truncate(10);
            block_on(file.truncate(10)).expect("a cut");
        }
    }

    fn read(&mut self) {
        let Some((file, number)) = self.pick() else { return };
        let offset = self.random.below(SIZE) as usize;
        let mut into = vec![0xEE; self.random.below(5 * 4096) as usize];
        let count = block_on(file.pread(offset as u64, &mut &mut into[..])).expect("a read");
        let bytes = self.bytes(number);
        let expected = &bytes[offset.min(bytes.len())..];
        let expected = &expected[..expected.len().min(into.len())];
        assert_eq!(count, expected.len());
        assert!(into[..count] == *expected, "contents at {offset}");
        let end = block_on(file.seek(Seek::End(0))).expect("an end");
        assert_eq!(end, self.bytes(number).len() as u64);
    }

    fn resize(&mut self) {
        let Some((file, number)) = self.pick() else { return };
        let size = self.random.below(SIZE);
        block_on(file.truncate(size)).expect("a size");
        self.bytes(number).resize(size as usize, 0);
    }

    fn punch(&mut self) {
        let Some((file, number)) = self.pick() else { return };
        let (offset, len) = (self.random.below(SIZE), 1 + self.random.below(20_000));
        block_on(file.allocate(AllocateMode::PunchHole, offset, len)).expect("a hole");
        let bytes = self.bytes(number);
        let end = bytes.len().min((offset + len) as usize);
        if let Some(range) = bytes.get_mut(offset as usize..end) {
            range.fill(0);
        }
    }

    fn close_or_sync(&mut self) {
        match self.random.below(4) {
            0 => block_on(self.vfs.sync()).expect("a sync"),
            1 => {
                self.vfs.shrink(1000);
            }
            _ if self.open.len() > 4 => {
                let at = self.random.below(self.open.len() as u64) as usize;
                self.open.swap_remove(at);
            }
            _ => self.reopen(),
        }
    }

    fn reopen(&mut self) {
        let path = self.path();
        let Ok(number) = self.model.find(&path) else { return };
        if !matches!(self.model.inodes[number].body, Body::File(_)) {
            return;
        }
        let flags = OpenFlags::READ | OpenFlags::WRITE;
        let resolve = ResolveFlags::empty();
        let file = block_on(self.vfs.open(self.context(), &path, flags, resolve, 0));
        self.open.push(Open(file.expect("a file"), number));
    }
}

fn run(vfs: Arc<Vfs<TestPage>>, seed: u64, steps: usize) -> Run {
    let mut run = Run {
        vfs,
        credentials: Credentials::root(),
        model: Model::new(),
        random: Random(seed),
        open: Vec::new(),
    };
    for _ in 0..steps {
        run.step();
    }
    run
}

#[test]
fn ram_disk_is_as_the_model() {
    for seed in 1..=6 {
        let pages = Pages::new(usize::MAX);
        let vfs =
            crate::support::vfs_over(crate::support::ram_disk(1 << 20, 1 << 20), TIGHT, &pages, 64);
        drop(run(vfs, seed, 8_000));
        assert_eq!(pages.live(), 0, "pages leaked with seed {seed}");
    }
}

#[test]
fn cached_disk_is_as_the_model() {
    for seed in 1..=6 {
        let faults = Arc::new(Faults::default());
        // Less memory than the cache's own budget in half of the runs.
        let pages = Pages::new(if seed % 2 == 0 { 16 } else { 40 });
        let vfs = crate::support::vfs_over(SlowDisk::new(faults), TIGHT, &pages, 32);
        let mut run = run(vfs, seed, 8_000);
        run.open.clear();
        block_on(run.vfs.sync()).expect("a sync");
        assert_eq!(run.vfs.cache().dirty_count(), 0);
        drop(run);
        assert_eq!(pages.live(), 0, "pages leaked with seed {seed}");
    }
}
