//! Path resolution, permissions, mounts and the name cache.
use crate::support::{
    Faults, Pages, SlowDisk, TIGHT, TestPage, at_root, block_on, ram_disk, ram_vfs,
};
use serix_chroma::{
    Access, Context, Credentials, DeviceNumber, DirectoryEntry, DirectorySink, FileKind, Location,
    MountFlags, OpenFlags, Pending, RenameFlags, ResolveFlags, SetTime, Timestamp, Vfs, VfsError,
    VfsResult, XattrMode,
};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn user(uid: u32, gid: u32) -> Credentials {
    Credentials { uid, gid, ..Credentials::default() }
}

/// A tree and the privileged user at its root.
struct Tree {
    vfs: Arc<Vfs<TestPage>>,
    root: Credentials,
}

impl Tree {
    fn new() -> Self {
        Self::over(ram_vfs())
    }

    fn over(vfs: Arc<Vfs<TestPage>>) -> Self {
        Self { vfs, root: Credentials::root() }
    }

    fn at(&self) -> Context<'_, TestPage> {
        at_root(&self.vfs, &self.root)
    }

    fn mkdir(&self, path: &[u8], mode: u32) -> Location<TestPage> {
        block_on(self.vfs.make_directory(self.at(), path, mode)).expect("a directory")
    }

    fn file(&self, path: &[u8], mode: u32) -> Location<TestPage> {
        let none = DeviceNumber::default();
        let made = self.vfs.create(self.at(), path, FileKind::Regular, mode, none);
        block_on(made).expect("a file")
    }

    fn symlink(&self, target: &[u8], path: &[u8]) {
        block_on(self.vfs.symlink(self.at(), target, path)).expect("a link");
    }

    fn find(&self, path: &[u8]) -> VfsResult<Location<TestPage>> {
        self.find_with(self.at(), path, ResolveFlags::empty())
    }

    fn find_with(
        &self,
        context: Context<'_, TestPage>,
        path: &[u8],
        flags: ResolveFlags,
    ) -> VfsResult<Location<TestPage>> {
        // Twice: the way through file systems and the way through the cache must agree.
        let first = block_on(self.vfs.resolve(context, path, flags));
        let second = block_on(self.vfs.resolve(context, path, flags));
        match (&first, &second) {
            (Ok(first), Ok(second)) => assert!(first.is_same(second)),
            _ => assert_eq!(first.as_ref().err(), second.as_ref().err()),
        }
        first
    }

    fn error(&self, path: &[u8]) -> VfsError {
        self.find(path).err().expect("an error")
    }

    fn path(&self, at: &Location<TestPage>) -> Vec<u8> {
        self.vfs.path_of(at, self.vfs.root()).expect("a path").0
    }
}

#[test]
fn ways_through_the_tree() {
    let tree = Tree::new();
    tree.mkdir(b"/a", 0o755);
    tree.mkdir(b"/a/b", 0o755);
    let file = tree.file(b"/a/b/f", 0o644);
    for path in [&b"/a/b/f"[..], b"a/b/f", b"//a///b//f", b"/a/./b/../b/f", b"/../../a/b/f"] {
        assert!(tree.find(path).expect("the file").is_same(&file));
    }
    assert_eq!(tree.path(&file), b"/a/b/f");
    assert_eq!(tree.error(b"/a/b/f/"), VfsError::NotDirectory);
    assert_eq!(tree.error(b"/a/b/f/x"), VfsError::NotDirectory);
    assert_eq!(tree.error(b"/a/b/f/.."), VfsError::NotDirectory);
    assert_eq!(tree.error(b"/a/x/f"), VfsError::NotFound);
    assert_eq!(tree.error(b""), VfsError::NotFound);
    assert_eq!(tree.error(&[b'x'; 256]), VfsError::NameTooLong);
    assert_eq!(tree.error(&[b'/'; 4096]), VfsError::NameTooLong);
    let empty = tree.find_with(tree.at(), b"", ResolveFlags::EMPTY_PATH);
    assert!(empty.expect("the base").is_same(tree.vfs.root()));
}

#[test]
fn symbolic_links() {
    let tree = Tree::new();
    tree.mkdir(b"/d", 0o755);
    let file = tree.file(b"/d/f", 0o644);
    tree.symlink(b"d", b"/relative");
    tree.symlink(b"/d/f", b"/absolute");
    tree.symlink(b"../d/./f", b"/d/up");
    tree.symlink(b"loop", b"/loop");
    tree.symlink(b"gone", b"/dangling");
    for path in [&b"/relative/f"[..], b"/absolute", b"/d/up", b"/relative/up"] {
        assert!(tree.find(path).expect("the file").is_same(&file));
    }
    assert!(tree.find(b"/relative/").expect("a directory").node.is_directory());
    assert_eq!(tree.error(b"/absolute/"), VfsError::NotDirectory);
    assert_eq!(tree.error(b"/loop"), VfsError::Loop);
    assert_eq!(tree.error(b"/dangling"), VfsError::NotFound);
    let itself = tree.find_with(tree.at(), b"/loop", ResolveFlags::NO_FOLLOW);
    let itself = itself.expect("the link");
    assert_eq!(block_on(tree.vfs.read_link(&itself)), Ok(b"loop".to_vec()));
    let refused = tree.find_with(tree.at(), b"/relative/f", ResolveFlags::NO_SYMLINKS);
    assert_eq!(refused.err(), Some(VfsError::Loop));
}

#[test]
fn forty_links_and_no_more() {
    let tree = Tree::new();
    tree.file(b"/l0", 0o644);
    for number in 1..=41 {
        let target = format!("l{}", number - 1);
        tree.symlink(target.as_bytes(), format!("/l{number}").as_bytes());
    }
    assert!(tree.find(b"/l40").is_ok());
    assert_eq!(tree.error(b"/l41"), VfsError::Loop);
}

#[test]
fn roots_and_fences() {
    let tree = Tree::new();
    let jail = tree.mkdir(b"/jail", 0o755);
    let inner = tree.mkdir(b"/jail/in", 0o755);
    tree.file(b"/secret", 0o644);
    tree.symlink(b"/secret", b"/jail/out");
    tree.symlink(b"/in", b"/jail/ok");
    let jailed = Context { root: &jail, base: &inner, ..tree.at() };
    let none = ResolveFlags::empty();
    let found = tree.find_with(jailed, b"../../../..", none).expect("the jail");
    assert!(found.is_same(&jail));
    assert_eq!(tree.find_with(jailed, b"/out", none).err(), Some(VfsError::NotFound));
    assert!(tree.find_with(jailed, b"/ok", none).expect("inside").is_same(&inner));
    let fenced = Context { base: &jail, ..tree.at() };
    let beneath = ResolveFlags::BENEATH;
    assert!(tree.find_with(fenced, b"in/../in", beneath).is_ok());
    for path in [&b"../secret"[..], b"/secret", b"out", b"in/../.."] {
        let refused = tree.find_with(fenced, path, beneath);
        assert_eq!(refused.err(), Some(VfsError::CrossDevice));
    }
    assert_eq!(tree.vfs.path_of(&inner, &jail).expect("a path").0, b"/in");
    assert!(tree.vfs.path_of(tree.vfs.root(), &jail).is_none());
}

#[test]
fn permissions_on_the_way() {
    let tree = Tree::new();
    tree.mkdir(b"/private", 0o700);
    tree.mkdir(b"/private/d", 0o777);
    let file = tree.file(b"/private/d/f", 0o644);
    let stranger = user(1000, 1000);
    let context = Context { credentials: &stranger, ..tree.at() };
    let none = ResolveFlags::empty();
    // Warm for the privileged user: the cache must not open the way for others.
    assert!(tree.find(b"/private/d/f").is_ok());
    let refused = tree.find_with(context, b"/private/d/f", none);
    assert_eq!(refused.err(), Some(VfsError::Access));
    let private = tree.find(b"/private").expect("the directory");
    block_on(tree.vfs.set_mode(&private, &tree.root, 0o711)).expect("a mode");
    assert!(tree.find_with(context, b"/private/d/f", none).is_ok());
    let open = |flags| block_on(tree.vfs.open(context, b"/private/d/f", flags, none, 0));
    assert!(open(OpenFlags::READ).is_ok());
    assert_eq!(open(OpenFlags::WRITE).err(), Some(VfsError::Access));
    assert_eq!(open(OpenFlags::READ | OpenFlags::TRUNCATE).err(), Some(VfsError::Access));
    assert_eq!(tree.vfs.access(&file, &tree.root, Access::EXECUTE), Err(VfsError::Access));
    assert_eq!(tree.vfs.access(&file, &tree.root, Access::WRITE), Ok(()));
    let unlink = block_on(tree.vfs.unlink(context, b"/private/d/f"));
    assert_eq!(unlink, Ok(()));
    let refused = block_on(tree.vfs.make_directory(context, b"/private/x", 0o755));
    assert_eq!(refused.err(), Some(VfsError::Access));
}

#[test]
fn sticky_and_set_group_id() {
    let tree = Tree::new();
    let (one, two) = (user(1, 10), user(2, 10));
    tree.mkdir(b"/tmp", 0o1777);
    let shared = tree.mkdir(b"/shared", 0o777);
    block_on(tree.vfs.set_owner(&shared, &tree.root, Some(0), Some(77))).expect("an owner");
    block_on(tree.vfs.set_mode(&shared, &tree.root, 0o2777)).expect("a mode");
    let as_user = |credentials| Context { credentials, ..tree.at() };
    let made = block_on(tree.vfs.make_directory(as_user(&one), b"/tmp/d", 0o755));
    made.expect("a directory");
    let removed = block_on(tree.vfs.remove_directory(as_user(&two), b"/tmp/d"));
    assert_eq!(removed, Err(VfsError::Permission));
    let (context, none) = (as_user(&two), RenameFlags::empty());
    let renamed = block_on(tree.vfs.rename(context, b"/tmp/d", context, b"/tmp/e", none));
    assert_eq!(renamed, Err(VfsError::Permission));
    assert!(block_on(tree.vfs.remove_directory(as_user(&one), b"/tmp/d")).is_ok());
    let inner = block_on(tree.vfs.make_directory(as_user(&one), b"/shared/d", 0o755));
    let inner = block_on(tree.vfs.status(&inner.expect("a directory"))).expect("status");
    assert_eq!((inner.uid, inner.gid, inner.mode), (1, 77, 0o2755));
}

#[test]
fn owners() {
    let tree = Tree::new();
    let file = tree.file(b"/f", 0o6755);
    let mut one = user(1, 10);
    let mode = || block_on(tree.vfs.status(&file)).expect("status").mode;
    assert_eq!(mode(), 0o6755);
    let refused = block_on(tree.vfs.set_owner(&file, &one, Some(1), None));
    assert_eq!(refused, Err(VfsError::Permission));
    block_on(tree.vfs.set_owner(&file, &tree.root, Some(1), Some(10))).expect("an owner");
    assert_eq!(mode(), 0o755, "the bits that lend rights go");
    let other_group = block_on(tree.vfs.set_owner(&file, &one, None, Some(11)));
    assert_eq!(other_group, Err(VfsError::Permission));
    one.groups = Arc::new(vec![11]);
    assert_eq!(block_on(tree.vfs.set_owner(&file, &one, None, Some(11))), Ok(()));
    assert_eq!(block_on(tree.vfs.set_owner(&file, &one, Some(2), None)), Err(VfsError::Permission));
    let two = user(2, 20);
    assert_eq!(block_on(tree.vfs.set_mode(&file, &two, 0o777)), Err(VfsError::Permission));
    block_on(tree.vfs.set_mode(&file, &one, 0o4755)).expect("a mode");
    let context = tree.at();
    let stranger = Context { credentials: &one, ..context };
    let opened = tree.vfs.open(stranger, b"/f", OpenFlags::WRITE, ResolveFlags::empty(), 0);
    let opened = block_on(opened).expect("a file");
    assert_eq!(block_on(opened.write(&mut &b"x"[..])), Ok(1));
    assert_eq!(mode(), 0o755, "writing takes set-user-id away");
}

#[test]
fn times() {
    let tree = Tree::new();
    let file = tree.file(b"/f", 0o644);
    let (one, time) = (user(1, 1), Timestamp::from_nanoseconds(1_500_000_000));
    let (keep, at) = (SetTime::Keep, SetTime::At(time));
    let refused = block_on(tree.vfs.set_times(&file, &one, keep, at));
    assert_eq!(refused, Err(VfsError::Permission));
    let now = SetTime::Now;
    assert_eq!(block_on(tree.vfs.set_times(&file, &one, now, now)), Err(VfsError::Access));
    let opened = tree.vfs.open(tree.at(), b"/f", OpenFlags::WRITE, ResolveFlags::empty(), 0);
    let opened = block_on(opened).expect("a file");
    block_on(opened.write(&mut &b"x"[..])).expect("a write");
    let before = block_on(tree.vfs.status(&file)).expect("status");
    assert!(before.modified > before.created.expect("a time"));
    block_on(tree.vfs.set_times(&file, &tree.root, keep, at)).expect("times");
    let after = block_on(tree.vfs.status(&file)).expect("status");
    assert_eq!(after.modified, time);
    assert_eq!(after.accessed, before.accessed);
    assert!(after.changed > before.changed);
}

#[test]
fn create_through_links() {
    let tree = Tree::new();
    tree.mkdir(b"/d", 0o755);
    tree.symlink(b"d/new", b"/to-new");
    tree.symlink(b"round", b"/round");
    let create = OpenFlags::WRITE | OpenFlags::CREATE;
    let open = |path: &'static [u8], flags| {
        block_on(tree.vfs.open(tree.at(), path, flags, ResolveFlags::empty(), 0o600)).map(drop)
    };
    assert_eq!(open(b"/to-new", create | OpenFlags::EXCLUSIVE), Err(VfsError::Exists));
    assert_eq!(open(b"/to-new", create | OpenFlags::NO_FOLLOW), Err(VfsError::Loop));
    assert_eq!(open(b"/to-new", create), Ok(()));
    assert!(tree.find(b"/d/new").is_ok());
    assert_eq!(open(b"/round", create), Err(VfsError::Loop));
    assert_eq!(open(b"/d", create), Err(VfsError::IsDirectory));
    assert_eq!(open(b"/d/x/", create), Err(VfsError::IsDirectory));
    assert_eq!(open(b"/none/x", create), Err(VfsError::NotFound));
    assert_eq!(open(b"/d", OpenFlags::READ | OpenFlags::WRITE), Err(VfsError::IsDirectory));
    assert_eq!(
        open(b"/d/new", OpenFlags::READ | OpenFlags::DIRECTORY),
        Err(VfsError::NotDirectory)
    );
    assert_eq!(open(b"/to-new", OpenFlags::READ | OpenFlags::NO_FOLLOW), Err(VfsError::Loop));
}

#[test]
fn mounts() {
    let tree = Tree::new();
    tree.mkdir(b"/mnt", 0o755);
    tree.file(b"/mnt/hidden", 0o644);
    let (context, disk) = (tree.at(), ram_disk(16, 16));
    let flags = MountFlags::empty();
    let mount = block_on(tree.vfs.mount(context, b"/mnt", disk, flags, b"tmp")).expect("a mount");
    assert_eq!(tree.error(b"/mnt/hidden"), VfsError::NotFound);
    let file = tree.file(b"/mnt/f", 0o644);
    assert_eq!(tree.path(&file), b"/mnt/f");
    assert!(tree.find(b"/mnt/..").expect("the root").is_same(tree.vfs.root()));
    let none = RenameFlags::empty();
    let moved = block_on(tree.vfs.rename(context, b"/mnt/f", context, b"/f", none));
    assert_eq!(moved, Err(VfsError::CrossDevice));
    assert_eq!(block_on(tree.vfs.link(&file, context, b"/f")), Err(VfsError::CrossDevice));
    let busy = block_on(tree.vfs.remove_directory(context, b"/mnt"));
    assert_eq!(busy, Err(VfsError::Busy));
    let one = tree.find_with(context, b"/mnt/f", ResolveFlags::ONE_MOUNT);
    assert_eq!(one.err(), Some(VfsError::CrossDevice));
    mount.set_flags(MountFlags::READ_ONLY);
    let refused = block_on(tree.vfs.make_directory(context, b"/mnt/d", 0o755));
    assert_eq!(refused.err(), Some(VfsError::ReadOnly));
    assert_eq!(tree.vfs.mounts().len(), 2);
    assert_eq!(block_on(tree.vfs.unmount(&mount)), Err(VfsError::Busy));
    drop(file);
    assert_eq!(block_on(tree.vfs.unmount(&mount)), Ok(()));
    assert!(tree.find(b"/mnt/hidden").is_ok());
    assert_eq!(tree.vfs.mounts().len(), 1);
}

#[test]
fn bind_mount_shows_a_directory_twice() {
    let tree = Tree::new();
    let source = tree.mkdir(b"/source", 0o755);
    tree.mkdir(b"/view", 0o755);
    let flags = MountFlags::READ_ONLY;
    block_on(tree.vfs.bind(tree.at(), b"/view", &source, flags)).expect("a mount");
    tree.file(b"/source/f", 0o644);
    let seen = tree.find(b"/view/f").expect("the file");
    assert_eq!(tree.path(&seen), b"/view/f");
    let refused = block_on(tree.vfs.unlink(tree.at(), b"/view/f"));
    assert_eq!(refused, Err(VfsError::ReadOnly));
    assert!(block_on(tree.vfs.unlink(tree.at(), b"/source/f")).is_ok());
    assert_eq!(tree.error(b"/view/f"), VfsError::NotFound);
}

#[test]
fn the_name_cache_answers_without_the_file_system() {
    let faults = Arc::new(Faults::default());
    let disk = SlowDisk::new(faults.clone());
    let tree = Tree::over(crate::support::vfs_over(disk, TIGHT, &Pages::new(100), 64));
    tree.mkdir(b"/a", 0o755);
    tree.mkdir(b"/a/b", 0o755);
    tree.file(b"/a/b/c", 0o644);
    assert_eq!(tree.error(b"/a/b/none"), VfsError::NotFound);
    let asked = faults.lookups.load(Ordering::Relaxed);
    let none = ResolveFlags::empty();
    for path in [&b"/a/b/c"[..], b"/a/b/none", b"a/../a/b/c"] {
        let reply = tree.vfs.resolve(tree.at(), path, none);
        assert!(matches!(reply, Pending::Ready(_)), "{path:?} is not ready");
    }
    assert_eq!(faults.lookups.load(Ordering::Relaxed), asked);
    // Many names push each other out, and everything is found again all the same.
    for number in 0..200 {
        tree.file(format!("/a/{number}").as_bytes(), 0o644);
    }
    for number in 0..200 {
        assert!(tree.find(format!("/a/{number}").as_bytes()).is_ok());
    }
    assert!(tree.find(b"/a/b/c").is_ok());
    assert!(faults.lookups.load(Ordering::Relaxed) > asked);
}

#[test]
fn deep_trees_end_without_a_deep_stack() {
    let tree = Tree::new();
    let mut at = tree.vfs.root().clone();
    for _ in 0..20_000 {
        let context = Context { base: &at, ..tree.at() };
        let below = block_on(tree.vfs.make_directory(context, b"d", 0o755));
        at = below.expect("a directory");
    }
    let (path, _) = tree.vfs.path_of(&at, tree.vfs.root()).expect("a path");
    assert_eq!(path.len(), 40_000);
    drop(at);
    drop(tree);
}

#[derive(Default)]
struct Names(Vec<Vec<u8>>);

impl DirectorySink for Names {
    fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool {
        self.0.push(entry.name.into());
        true
    }
}

#[test]
fn listing_goes_on_while_names_are_removed() {
    let tree = Tree::new();
    tree.mkdir(b"/d", 0o755);
    for number in 0..100 {
        tree.file(format!("/d/{number}").as_bytes(), 0o644);
    }
    struct Few(Vec<Vec<u8>>, usize);
    impl DirectorySink for Few {
        fn entry(&mut self, entry: &DirectoryEntry<'_>) -> bool {
            let fits = self.0.len() < self.1;
            if fits {
                self.0.push(entry.name.into());
            }
            fits
        }
    }
    let none = ResolveFlags::empty();
    let directory = tree.vfs.open(tree.at(), b"/d", OpenFlags::READ, none, 0);
    let directory = block_on(directory).expect("a directory");
    // As `rm -r` does: list a few, remove them, go on.
    let mut removed = 0;
    loop {
        let mut few = Few(Vec::new(), 7);
        let count = block_on(directory.read_directory(&mut few)).expect("entries");
        if count == Some(0) {
            break;
        }
        for name in few.0.iter().filter(|name| !name.starts_with(b".")) {
            let path = [b"/d/", &name[..]].concat();
            block_on(tree.vfs.unlink(tree.at(), &path)).expect("a name");
            removed += 1;
        }
    }
    assert_eq!(removed, 100);
    assert_eq!(block_on(tree.vfs.remove_directory(tree.at(), b"/d")), Ok(()));
    let gone = block_on(directory.read_directory(&mut Names::default()));
    assert_eq!(gone, Err(VfsError::NotFound));
    let made = Context { base: directory.location(), ..tree.at() };
    let made = block_on(tree.vfs.make_directory(made, b"x", 0o755));
    assert_eq!(made.err(), Some(VfsError::NotFound));
}

#[test]
fn extended_attributes() {
    let tree = Tree::new();
    let file = tree.file(b"/f", 0o644);
    let one = user(1, 1);
    let (name, any) = (&b"user.x"[..], XattrMode::Any);
    let set = |who: &Credentials, name: &'static [u8], mode| {
        block_on(tree.vfs.set_xattr(&file, who, name, b"value", mode))
    };
    assert_eq!(set(&one, b"user.x", any), Err(VfsError::Access));
    assert_eq!(set(&tree.root, b"user.x", XattrMode::Replace), Err(VfsError::NoData));
    assert_eq!(set(&tree.root, b"user.x", any), Ok(()));
    assert_eq!(set(&tree.root, b"user.x", XattrMode::Create), Err(VfsError::Exists));
    assert_eq!(set(&one, b"trusted.x", any), Err(VfsError::Permission));
    assert_eq!(block_on(tree.vfs.xattr(&file, &one, name)), Ok(b"value".to_vec()));
    assert_eq!(block_on(tree.vfs.xattr_names(&file)), Ok(b"user.x\0".to_vec()));
    assert_eq!(block_on(tree.vfs.remove_xattr(&file, &tree.root, name)), Ok(()));
    assert_eq!(block_on(tree.vfs.xattr(&file, &one, name)), Err(VfsError::NoData));
}
