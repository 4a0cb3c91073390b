//! Random operations against a model in memory, then everybody compares.
use crate::common::{
    MODERN, Mounted, Scratch, check_clean, debugfs, long, mkfs, mount, options, pages_of,
};
use crate::random::Random;
use serix_block::BlockDevice;
use serix_block::host::{HostPage, MemoryDisk, block_on};
use serix_ext4::{AllocateMode, Error, Ext4, FileKind, RenameFlags};
use std::collections::BTreeMap;
use std::path::Path;

/// What the model knows of an inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    File(Vec<u8>),
    Link(Vec<u8>),
    Directory(BTreeMap<String, usize>),
}

/// Inodes by a number of the model's own; 0 is the root.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) inodes: BTreeMap<usize, Content>,
    /// For each directory but the root, the one above it and its name there.
    above: BTreeMap<usize, (usize, String)>,
    next: usize,
}

/// Largest file of the model.
const MAX_SIZE: u64 = 400_000;

impl Model {
    pub(crate) fn new() -> Self {
        let inodes = BTreeMap::from([(0, Content::Directory(BTreeMap::new()))]);
        Self { inodes, above: BTreeMap::new(), next: 1 }
    }

    pub(crate) fn entries(&self, directory: usize) -> &BTreeMap<String, usize> {
        match &self.inodes[&directory] {
            Content::Directory(entries) => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    fn entries_mut(&mut self, directory: usize) -> &mut BTreeMap<String, usize> {
        match self.inodes.get_mut(&directory) {
            Some(Content::Directory(entries)) => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    fn add(&mut self, directory: usize, name: &str, content: Content) -> usize {
        let number = self.next;
        self.next += 1;
        self.inodes.insert(number, content);
        self.add_name(directory, name, number);
        number
    }

    /// Adds a name, or makes one name another inode.
    fn add_name(&mut self, directory: usize, name: &str, number: usize) {
        if matches!(self.inodes[&number], Content::Directory(_)) {
            self.above.insert(number, (directory, name.to_owned()));
        }
        self.entries_mut(directory).insert(name.to_owned(), number);
    }

    fn drop_name(&mut self, directory: usize, name: &str) {
        let number = self.entries_mut(directory).remove(name).expect("a name of the model");
        let named = self.inodes.values().any(|content| match content {
            Content::Directory(entries) => entries.values().any(|other| *other == number),
            _ => false,
        });
        if !named {
            self.inodes.remove(&number);
            self.above.remove(&number);
        }
    }

    /// Whether the directory `below` is `above` or lies below it.
    fn is_below(&self, below: usize, above: usize) -> bool {
        let mut at = below;
        while at != above {
            let Some((directory, _)) = self.above.get(&at) else { return false };
            at = *directory;
        }
        true
    }

    fn directories(&self) -> Vec<usize> {
        let is_directory = |content: &Content| matches!(content, Content::Directory(_));
        self.inodes.iter().filter(|(_, one)| is_directory(one)).map(|(number, _)| *number).collect()
    }
}

/// A mounted file system beside its model.
pub(crate) struct Pair<D: BlockDevice<Page = HostPage>> {
    pub(crate) mounted: Mounted<D>,
    pub(crate) model: Model,
    random: Random,
    /// The random numbers before the last step.
    before: Random,
    names: u64,
    /// Whether space is reserved with `fallocate`.
    reserves: bool,
}

/// What one step did, for tests that look at single steps.
#[derive(Debug)]
pub(crate) enum Outcome {
    Done,
    Failed(Error),
}

impl<D: BlockDevice<Page = HostPage>> Pair<D> {
    pub(crate) fn new(mounted: Mounted<D>, seed: u64) -> Self {
        let random = Random::new(seed);
        let before = random.clone();
        Self { mounted, model: Model::new(), random, before, names: 40, reserves: true }
    }

    /// How many different names there are in a directory.
    fn with_names(mut self, names: u64) -> Self {
        self.names = names;
        self
    }

    fn name(&mut self) -> String {
        let number = self.random.below(self.names);
        // Of very different lengths, so that leaves split unevenly.
        format!("n{number}-{}", "x".repeat((number * number % 61) as usize))
    }

    fn pick(&mut self, from: &[usize]) -> usize {
        from[self.random.below(from.len() as u64) as usize]
    }

    /// A directory of the model, its inode, and a name.
    fn place(&mut self) -> (usize, u32, String) {
        let directories = self.model.directories();
        let directory = self.pick(&directories);
        let inode = self.inode_of(directory);
        (directory, inode, self.name())
    }

    /// The inode of a directory of the model, by lookups from the root.
    fn inode_of(&self, wanted: usize) -> u32 {
        let mut names = Vec::new();
        let mut at = wanted;
        while let Some((directory, name)) = self.model.above.get(&at) {
            names.push(name);
            at = *directory;
        }
        let look = |inode, name: &String| block_on(self.mounted.0.lookup(inode, name.as_bytes()));
        let found = names.into_iter().rev().try_fold(2, look);
        found.expect("a directory of the model")
    }

    /// The next step, or once more the last one, which failed.
    pub(crate) fn step_again(&mut self, again: bool) -> Outcome {
        if again {
            self.random = self.before.clone();
        }
        self.step()
    }

    /// One random operation on both. Fails the test if they disagree; an error that the model
    /// does not expect is the outcome, and the model is as before.
    pub(crate) fn step(&mut self) -> Outcome {
        self.before = self.random.clone();
        let outcome = match self.random.below(100) {
            0..14 => self.make_file(),
            14..19 => self.make_directory(),
            19..23 => self.make_link(),
            23..45 => self.write(),
            45..52 => self.truncate(),
            52..58 => self.allocate(),
            58..66 => self.unlink(),
            66..70 => self.rmdir(),
            70..80 => self.rename(),
            80..85 => self.hard_link(),
            85..95 => self.check_one(),
            95..97 => block_on(self.mounted.0.sync()),
            _ => self.scatter(),
        };
        outcome.map_or_else(Outcome::Failed, |()| Outcome::Done)
    }

    /// Checks that an error is the one that the model expects.
    fn expect<T: core::fmt::Debug>(result: Result<T, Error>, expected: Error) -> Result<(), Error> {
        match result {
            Err(error) if error == expected => Ok(()),
            Err(error @ (Error::Io { .. } | Error::ReadOnly | Error::NoSpace)) => Err(error),
            other => panic!("{other:?} instead of {expected:?}"),
        }
    }

    fn make_file(&mut self) -> Result<(), Error> {
        let (directory, inode, name) = self.place();
        let made = self.mounted.create(inode, &name, FileKind::Regular);
        if self.model.entries(directory).contains_key(&name) {
            return Self::expect(made, Error::Exists);
        }
        made?;
        self.model.add(directory, &name, Content::File(Vec::new()));
        Ok(())
    }

    fn make_directory(&mut self) -> Result<(), Error> {
        let (directory, inode, name) = self.place();
        let made = self.mounted.create(inode, &name, FileKind::Directory);
        if self.model.entries(directory).contains_key(&name) {
            return Self::expect(made, Error::Exists);
        }
        made?;
        self.model.add(directory, &name, Content::Directory(BTreeMap::new()));
        Ok(())
    }

    fn make_link(&mut self) -> Result<(), Error> {
        let (directory, inode, name) = self.place();
        let len = 1 + self.random.below(300) as usize;
        // Parts of a path are short: ext4-view holds a link to that.
        let letter = b'a' + (len % 26) as u8;
        let target: Vec<_> =
            (0..len).map(|at| if at % 100 == 99 { b'/' } else { letter }).collect();
        let made = block_on(self.mounted.0.symlink(inode, name.as_bytes(), &target, 1, 2));
        if self.model.entries(directory).contains_key(&name) {
            return Self::expect(made, Error::Exists);
        }
        made?;
        self.model.add(directory, &name, Content::Link(target));
        Ok(())
    }

    /// A file of the model that some name leads to, and its inode.
    fn file(&mut self) -> Option<(usize, u32)> {
        let (directory, inode, _) = self.place();
        let is_file = |number: &usize| matches!(self.model.inodes[number], Content::File(_));
        let entries = self.model.entries(directory).iter();
        let files: Vec<_> = entries.filter(|(_, number)| is_file(number)).collect();
        if files.is_empty() {
            return None;
        }
        let (name, number) = files[self.random.clone().below(files.len() as u64) as usize];
        let found = block_on(self.mounted.0.lookup(inode, name.as_bytes())).ok()?;
        Some((*number, found))
    }

    fn bytes_mut(&mut self, number: usize) -> &mut Vec<u8> {
        match self.model.inodes.get_mut(&number) {
            Some(Content::File(bytes)) => bytes,
            other => panic!("{other:?} is no file"),
        }
    }

    fn write(&mut self) -> Result<(), Error> {
        let Some((number, inode)) = self.file() else { return Ok(()) };
        let size = self.bytes_mut(number).len() as u64;
        let offset = match self.random.below(3) {
            0 => size,
            _ => self.random.below(MAX_SIZE),
        };
        let len = 1 + self.random.below(20_000) as usize;
        let bytes = vec![self.random.next() as u8; len];
        self.mounted.write(inode, offset, &bytes)?;
        let content = self.bytes_mut(number);
        let end = offset as usize + len;
        if content.len() < end {
            content.resize(end, 0);
        }
        content[offset as usize..end].copy_from_slice(&bytes);
        Ok(())
    }

    /// Writes a few pages, far from one another or not, in one request, as a cache does.
    fn scatter(&mut self) -> Result<(), Error> {
        let Some((number, inode)) = self.file() else { return Ok(()) };
        let mut content = self.bytes_mut(number).clone();
        let mut indices: Vec<u64> =
            (0..2 + self.random.below(20)).map(|_| self.random.below(MAX_SIZE / 4096)).collect();
        indices.sort_unstable();
        indices.dedup();
        let byte = self.random.next() as u8;
        let size = content.len().max((indices[indices.len() - 1] as usize + 1) * 4096);
        content.resize(size, 0);
        let pages: Vec<_> = indices.iter().map(|_| pages_of(&[byte; 4096])).collect();
        for index in &indices {
            block_on(self.mounted.0.prepare_write(inode, *index, 1))?;
            content[*index as usize * 4096..][..4096].fill(byte);
        }
        let runs = indices.iter().zip(&pages).map(|(index, pages)| (*index, &pages[..]));
        // What was prepared is never refused for lack of space.
        let written = block_on(self.mounted.0.write_runs(inode, runs, size as u64));
        assert_ne!(written, Err(Error::NoSpace));
        written?;
        *self.bytes_mut(number) = content;
        Ok(())
    }

    fn truncate(&mut self) -> Result<(), Error> {
        let Some((number, inode)) = self.file() else { return Ok(()) };
        let size = self.random.below(MAX_SIZE);
        block_on(self.mounted.0.truncate(inode, size))?;
        self.bytes_mut(number).resize(size as usize, 0);
        Ok(())
    }

    fn allocate(&mut self) -> Result<(), Error> {
        let Some((number, inode)) = self.file() else { return Ok(()) };
        let (offset, len) = (self.random.below(MAX_SIZE), 1 + self.random.below(50_000));
        let keep_size = self.random.below(2) == 0;
        let modes = if self.reserves { 3 } else { 1 };
        let mode = match self.random.below(modes) {
            2 => AllocateMode::Reserve { keep_size },
            0 => AllocateMode::PunchHole,
            _ => AllocateMode::ZeroRange { keep_size },
        };
        match block_on(self.mounted.0.fallocate(inode, mode, offset, len)) {
            Err(Error::NotSupported) => return Ok(()),
            other => other?,
        }
        let content = self.bytes_mut(number);
        let (start, end) = (offset as usize, (offset + len) as usize);
        let grows = !matches!(mode, AllocateMode::PunchHole) && !keep_size;
        if grows && content.len() < end {
            content.resize(end, 0);
        }
        if !matches!(mode, AllocateMode::Reserve { .. }) {
            let stop = end.min(content.len());
            content[start.min(stop)..stop].fill(0);
        }
        Ok(())
    }

    fn unlink(&mut self) -> Result<(), Error> {
        let (directory, inode, name) = self.place();
        let result = block_on(self.mounted.0.unlink(inode, name.as_bytes()));
        match self.model.entries(directory).get(&name) {
            None => Self::expect(result, Error::NotFound),
            Some(number) if matches!(self.model.inodes[number], Content::Directory(_)) => {
                Self::expect(result, Error::IsDirectory)
            }
            Some(_) => {
                result?;
                self.model.drop_name(directory, &name);
                Ok(())
            }
        }
    }

    fn rmdir(&mut self) -> Result<(), Error> {
        let (directory, inode, name) = self.place();
        let result = block_on(self.mounted.0.rmdir(inode, name.as_bytes()));
        let found =
            self.model.entries(directory).get(&name).map(|number| &self.model.inodes[number]);
        match found {
            None => Self::expect(result, Error::NotFound),
            Some(Content::Directory(entries)) if entries.is_empty() => {
                result?;
                self.model.drop_name(directory, &name);
                Ok(())
            }
            Some(Content::Directory(_)) => Self::expect(result, Error::NotEmpty),
            Some(_) => Self::expect(result, Error::NotDirectory),
        }
    }

    fn hard_link(&mut self) -> Result<(), Error> {
        let Some((number, inode)) = self.file() else { return Ok(()) };
        let (directory, parent, name) = self.place();
        let result = block_on(self.mounted.0.link(inode, parent, name.as_bytes()));
        if self.model.entries(directory).contains_key(&name) {
            return Self::expect(result, Error::Exists);
        }
        result?;
        self.model.add_name(directory, &name, number);
        Ok(())
    }

    fn rename(&mut self) -> Result<(), Error> {
        let ((from, from_inode, name), (to, to_inode, to_name)) = (self.place(), self.place());
        let flags = match self.random.below(4) {
            0 => RenameFlags::NoReplace,
            1 => RenameFlags::Exchange,
            _ => RenameFlags::Replace,
        };
        let fs = &self.mounted.0;
        let result =
            block_on(fs.rename(from_inode, name.as_bytes(), to_inode, to_name.as_bytes(), flags));
        match self.rename_error((from, &name), (to, &to_name), flags) {
            Some(expected) => Self::expect(result, expected),
            None => {
                result?;
                self.rename_model((from, &name), (to, &to_name), flags);
                Ok(())
            }
        }
    }

    /// The error that a rename must end in.
    fn rename_error(
        &self,
        (from, name): (usize, &String),
        (to, to_name): (usize, &String),
        flags: RenameFlags,
    ) -> Option<Error> {
        let Some(moved) = self.model.entries(from).get(name) else { return Some(Error::NotFound) };
        let replaced = self.model.entries(to).get(to_name);
        match (replaced, flags) {
            (Some(_), RenameFlags::NoReplace) => return Some(Error::Exists),
            (None, RenameFlags::Exchange) => return Some(Error::NotFound),
            (Some(replaced), _) if replaced == moved => return None,
            _ => {}
        }
        if self.model.is_below(to, *moved) && from != to {
            return Some(Error::Invalid);
        }
        let replaced = replaced?;
        if flags == RenameFlags::Exchange {
            let upwards = from != to && self.model.is_below(from, *replaced);
            return upwards.then_some(Error::Invalid);
        }
        match (&self.model.inodes[moved], &self.model.inodes[replaced]) {
            (_, Content::Directory(_)) if from != to && self.model.is_below(from, *replaced) => {
                Some(Error::NotEmpty)
            }
            (Content::Directory(_), Content::Directory(entries)) => {
                (!entries.is_empty()).then_some(Error::NotEmpty)
            }
            (Content::Directory(_), _) => Some(Error::NotDirectory),
            (_, Content::Directory(_)) => Some(Error::IsDirectory),
            _ => None,
        }
    }

    fn rename_model(
        &mut self,
        (from, name): (usize, &String),
        (to, to_name): (usize, &String),
        flags: RenameFlags,
    ) {
        let moved = self.model.entries(from)[name];
        let replaced = self.model.entries(to).get(to_name).copied();
        if replaced == Some(moved) {
            return;
        }
        if flags == RenameFlags::Exchange {
            self.model.add_name(from, name, replaced.expect("other end"));
            self.model.add_name(to, to_name, moved);
            return;
        }
        if replaced.is_some() {
            self.model.drop_name(to, to_name);
        }
        self.model.entries_mut(from).remove(name);
        self.model.add_name(to, to_name, moved);
    }

    fn check_one(&mut self) -> Result<(), Error> {
        let Some((number, inode)) = self.file() else { return Ok(()) };
        let found = self.mounted.read(inode, 0, self.mounted.size(inode) as usize)?;
        let expected = self.bytes_mut(number);
        let differs = found.iter().zip(&*expected).position(|(a, b)| a != b);
        let (ours, theirs) = (found.len(), expected.len());
        assert!(found == *expected, "inode {inode}: {ours} of {theirs} bytes, from {differs:?}");
        Ok(())
    }

    /// Compares everything.
    pub(crate) fn check_all(&self) {
        check_tree(&self.mounted, &self.model, 0, 2);
    }
}

/// Compares a directory and all below it.
pub(crate) fn check_tree<D: BlockDevice<Page = HostPage>>(
    mounted: &Mounted<D>,
    model: &Model,
    directory: usize,
    inode: u32,
) {
    let mut listed = mounted.list(inode);
    listed.retain(|(name, _)| name != b"lost+found");
    listed.sort();
    let names: Vec<_> =
        model.entries(directory).keys().map(|name| name.clone().into_bytes()).collect();
    let listed_names: Vec<_> = listed.iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(listed_names, names, "names in inode {inode}");
    for ((name, number), (_, found)) in model.entries(directory).iter().zip(&listed) {
        assert_eq!(block_on(mounted.0.lookup(inode, name.as_bytes())), Ok(*found));
        match &model.inodes[number] {
            Content::Directory(_) => check_tree(mounted, model, *number, *found),
            Content::File(bytes) => {
                assert!(mounted.read_all(*found) == *bytes, "contents of {name}, inode {found}");
            }
            Content::Link(target) => {
                assert_eq!(block_on(mounted.0.readlink(*found)).as_ref(), Ok(target));
            }
        }
    }
}

/// Compares the model with what `debugfs rdump` extracts.
pub(crate) fn check_by_debugfs(image: &[u8], model: &Model) {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path()).expect("scratch directory");
    let request = format!("rdump / {}", scratch.path().display());
    let said = debugfs(image, &request);
    check_extracted(scratch.path(), model, 0, &said);
}

fn check_extracted(path: &Path, model: &Model, directory: usize, said: &str) {
    for (name, number) in model.entries(directory) {
        let path = path.join(name);
        match &model.inodes[number] {
            Content::Directory(_) => check_extracted(&path, model, *number, said),
            Content::File(bytes) => {
                let found = std::fs::read(&path).unwrap_or_else(|error| panic!("{error}: {said}"));
                assert!(found == *bytes, "debugfs reads {} otherwise", path.display());
            }
            Content::Link(target) => {
                let found = std::fs::read_link(&path).expect("extracted link");
                assert_eq!(found.as_os_str().as_encoded_bytes(), target.as_slice());
            }
        }
    }
}

/// Compares the model with what the crate `ext4-view` reads.
fn check_by_view(image: Vec<u8>, model: &Model) {
    let view = ext4_view::Ext4::load(Box::new(image)).expect("ext4-view loads the image");
    check_view_directory(&view, model, 0, "");
}

fn check_view_directory(view: &ext4_view::Ext4, model: &Model, directory: usize, path: &str) {
    for (name, number) in model.entries(directory) {
        let path = format!("{path}/{name}");
        match &model.inodes[number] {
            Content::Directory(_) => check_view_directory(view, model, *number, &path),
            Content::File(bytes) => {
                let found = view.read(path.as_str()).expect("ext4-view reads");
                let differs = found.iter().zip(bytes).position(|(a, b)| a != b);
                assert!(found == *bytes, "{path}: {} bytes, differs at {differs:?}", bytes.len());
            }
            Content::Link(target) => {
                let found = view.read_link(path.as_str()).expect("ext4-view reads a link");
                assert_eq!(found.as_ref(), target.as_slice());
            }
        }
    }
}

/// Feature sets: name, size in MiB, arguments of `mkfs.ext4`, and whether `ext4-view` judges too.
/// It reads what follows an unwritten extent wrong, so no space is reserved in those, and it
/// knows no holes without extents.
pub(crate) const SETS: &[(&str, u64, &[&str], bool)] = &[
    ("modern", 64, MODERN, false),
    ("modern, viewed", 64, MODERN, true),
    ("1k", 32, &["-b", "1024", "-O", "orphan_file"], false),
    ("2k", 48, &["-b", "2048"], true),
    ("small journal", 64, &["-b", "4096", "-J", "size=4"], false),
    ("no checksums", 64, &["-b", "4096", "-O", "^metadata_csum,^64bit"], true),
    ("meta_bg", 300, &["-b", "1024", "-O", "meta_bg,^resize_inode"], false),
    ("no journal", 64, &["-b", "4096", "-O", "^has_journal"], false),
    ("no index", 64, &["-b", "4096", "-O", "^dir_index"], true),
    ("small inodes", 64, &["-b", "4096", "-I", "128"], false),
    ("ext3", 64, &["-b", "4096", "-t", "ext3"], false),
    ("ext2", 32, &["-b", "1024", "-t", "ext2"], false),
    ("ext2 bare", 32, &["-b", "1024", "-t", "ext2", "-O", "none"], false),
];

fn run_set(set: &(&str, u64, &[&str], bool), steps: u64, seed: u64) {
    let (name, size, arguments, viewed) = set;
    println!("feature set {name}");
    let disk = MemoryDisk::new(mkfs(*size, arguments));
    let mut pair = Pair::new(Mounted(mount(&disk)), seed);
    pair.reserves = !viewed;
    let rounds = if long() { 4 } else { 2 };
    for round in 0..rounds {
        if round * 2 == rounds {
            pair = pair.with_names(400);
        }
        for step in 0..steps / rounds {
            if let Outcome::Failed(error) = pair.step()
                && error != Error::NoSpace
            {
                panic!("{name}: step {step} of round {round}: {error}");
            }
        }
        pair.check_all();
        block_on(pair.mounted.0.unmount()).expect("unmount");
        let image = disk.with(|bytes| bytes.clone());
        check_clean(&image);
        check_by_debugfs(&image, &pair.model);
        if *viewed {
            check_by_view(image, &pair.model);
        }
        pair.mounted = Mounted(mount(&disk));
        pair.check_all();
    }
}

fn run(name: &str) {
    let steps = if long() { 100_000 } else { 500 };
    let index = SETS.iter().position(|set| set.0 == name).expect("a set of that name");
    run_set(&SETS[index], steps, 1000 + index as u64);
}

/// A test for each set, so that long runs can be split and what failed is named.
macro_rules! sets {
    ($($test:ident $name:literal),* $(,)?) => {
        $(#[test]
        fn $test() {
            run($name);
        })*
        #[test]
        fn each_set_has_its_test() {
            let names: Vec<_> = SETS.iter().map(|set| set.0).collect();
            assert_eq!(names, [$($name),*]);
        }
    };
}

sets! {
    set_modern "modern",
    set_viewed "modern, viewed",
    set_1k "1k",
    set_2k "2k",
    set_small_journal "small journal",
    set_no_checksums "no checksums",
    set_meta_bg "meta_bg",
    set_no_journal "no journal",
    set_no_index "no index",
    set_small_inodes "small inodes",
    set_ext3 "ext3",
    set_ext2 "ext2",
    set_ext2_bare "ext2 bare",
}

#[test]
fn a_small_cache_does_as_well() {
    let disk = MemoryDisk::new(mkfs(64, MODERN));
    let mut options = options();
    options.cache_bytes = 0;
    let fs = block_on(Ext4::mount(disk.clone(), options)).expect("mount");
    let mut pair = Pair::new(Mounted(fs), 5).with_names(300);
    for _ in 0..1500 {
        assert!(matches!(pair.step(), Outcome::Done));
    }
    pair.check_all();
    block_on(pair.mounted.0.unmount()).expect("unmount");
    let image = disk.with(|bytes| bytes.clone());
    check_clean(&image);
}
