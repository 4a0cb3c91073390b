//! A tree of files as the image will hold it.

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Result, bail, ensure};
use sha2::{Digest, Sha256};

/// Time of everything that is not from the host, and of the file system itself.
pub(super) const EPOCH: u64 = 1_700_000_000;
/// Part of every hash: changed when the same tree is to give another image.
const FORMAT: &[u8] = b"serix root image 1";

/// `--add HOST:GUEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addition {
    /// File or folder of the host.
    pub(crate) host: PathBuf,
    /// Absolute path in the guest.
    pub(crate) guest: PathBuf,
}

impl FromStr for Addition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, guest) = text.rsplit_once(":/").ok_or("expected HOST:/PATH/IN/GUEST")?;
        let guest = normal(Path::new(&format!("/{guest}"))).ok_or("`..` in the guest's path")?;
        if host.is_empty() {
            return Err("expected HOST:/PATH/IN/GUEST".to_owned());
        }
        Ok(Self { host: host.into(), guest })
    }
}

fn normal(path: &Path) -> Option<PathBuf> {
    let mut out = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => out.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(out)
}

/// What a path is.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    /// A folder.
    Folder,
    /// A file with this text.
    Text(&'static str),
    /// A file with what that file of the host holds.
    HostFile(PathBuf),
    /// A symbolic link.
    Link(PathBuf),
}

/// A path's attributes and contents.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Permission bits.
    pub(super) mode: u32,
    /// User and group.
    pub(super) owner: u32,
    /// Seconds.
    pub(super) modified: u64,
}

impl Entry {
    const fn new(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, owner: 0, modified: EPOCH }
    }

    pub(super) const fn folder(mode: u32) -> Self {
        Self::new(Kind::Folder, mode)
    }

    pub(super) const fn text(text: &'static str) -> Self {
        Self::new(Kind::Text(text), 0o644)
    }

    pub(super) fn program(host: &Path) -> Self {
        Self::new(Kind::HostFile(host.to_owned()), 0o755)
    }

    pub(super) fn link(target: &str) -> Self {
        Self::new(Kind::Link(target.into()), 0o777)
    }

    pub(super) const fn owned_by(mut self, owner: u32) -> Self {
        self.owner = owner;
        self
    }

    fn of_host(path: &Path, metadata: &Metadata) -> Result<Self> {
        let kind = if metadata.is_dir() {
            Kind::Folder
        } else if metadata.is_file() {
            Kind::HostFile(path.to_owned())
        } else if metadata.is_symlink() {
            Kind::Link(path.read_link()?)
        } else {
            bail!("{} is neither file, folder nor link", path.display());
        };
        let modified = u64::try_from(metadata.mtime()).unwrap_or(0);
        Ok(Self { kind, mode: metadata.mode() & 0o7777, owner: 0, modified })
    }

    /// Mode with the bits of the kind, as an inode has it.
    pub(super) const fn inode_mode(&self) -> u32 {
        let kind = match self.kind {
            Kind::Folder => 0o040_000,
            Kind::Text(_) | Kind::HostFile(_) => 0o100_000,
            Kind::Link(_) => 0o120_000,
        };
        kind | self.mode
    }

    /// Bytes of contents.
    pub(super) fn length(&self) -> Result<u64> {
        Ok(match &self.kind {
            Kind::HostFile(path) => path.metadata()?.len(),
            Kind::Text(text) => text.len() as u64,
            Kind::Folder | Kind::Link(_) => 4096,
        })
    }
}

/// Absolute paths and what they are; a folder comes before what it holds.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    entries: BTreeMap<PathBuf, Entry>,
}

impl Tree {
    /// Puts `entry` at `path`.
    pub(super) fn insert(&mut self, path: impl AsRef<Path>, entry: Entry) {
        self.entries.insert(path.as_ref().to_owned(), entry);
    }

    /// All of it.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&Path, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path.as_path(), entry))
    }

    /// Brings in a file or folder of the host. A folder is merged with one that is there.
    pub(super) fn add(&mut self, addition: &Addition) -> Result<()> {
        let Addition { host, guest } = addition;
        // A link that is named itself stands for what it points to; those inside stay links.
        let metadata = host.metadata().with_context(|| format!("cannot add {}", host.display()))?;
        self.add_folders_above(guest);
        let into_folder = !metadata.is_dir() && self.is_folder(guest);
        match host.file_name() {
            Some(name) if into_folder => self.add_one(host, &guest.join(name), &metadata),
            _ => self.add_one(host, guest, &metadata),
        }
    }

    fn is_folder(&self, path: &Path) -> bool {
        self.entries.get(path).is_some_and(|entry| matches!(entry.kind, Kind::Folder))
    }

    fn add_folders_above(&mut self, path: &Path) {
        for folder in path.ancestors().skip(1) {
            self.entries.entry(folder.to_owned()).or_insert_with(|| Entry::folder(0o755));
        }
    }

    fn add_one(&mut self, host: &Path, guest: &Path, metadata: &Metadata) -> Result<()> {
        let name = guest.as_os_str().as_encoded_bytes();
        ensure!(!name.contains(&b'\n'), "{} has a line break in its name", guest.display());
        let is_merged = metadata.is_dir() && self.is_folder(guest);
        if !is_merged {
            self.entries.insert(guest.to_owned(), Entry::of_host(host, metadata)?);
        }
        if !metadata.is_dir() {
            return Ok(());
        }
        let children =
            host.read_dir().with_context(|| format!("cannot read {}", host.display()))?;
        for child in children {
            let child = child?;
            self.add_one(&child.path(), &guest.join(child.file_name()), &child.metadata()?)?;
        }
        Ok(())
    }

    /// A hash of all that the image depends on.
    pub(super) fn hash(&self) -> Result<String> {
        let mut hash = Sha256::new();
        hash.update(FORMAT);
        for (path, entry) in self.entries() {
            let contents = match &entry.kind {
                Kind::Folder => Vec::new(),
                Kind::Text(text) => text.as_bytes().to_vec(),
                Kind::Link(target) => target.as_os_str().as_encoded_bytes().to_vec(),
                Kind::HostFile(file) => hash_file(file)
                    .with_context(|| format!("cannot read {}", file.display()))?
                    .into_bytes(),
            };
            let name = path.as_os_str().as_encoded_bytes();
            for part in [name, &contents] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            hash.update(entry.inode_mode().to_le_bytes());
            hash.update(entry.owner.to_le_bytes());
            hash.update(entry.modified.to_le_bytes());
        }
        Ok(hexadecimal(&hash.finalize()))
    }
}

/// SHA-256 of a file's contents.
pub(super) fn hash_file(path: &Path) -> Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hexadecimal(&hash.finalize())),
            length => hash.update(&buffer[..length]),
        }
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn additions_are_read() {
        let addition = |text: &str| text.parse::<Addition>();
        let is = |host: &str, guest: &str| Ok(Addition { host: host.into(), guest: guest.into() });
        assert_eq!(addition("a/b:/bin/x"), is("a/b", "/bin/x"));
        assert_eq!(addition("c:d:/e//f/"), is("c:d", "/e/f"));
        assert_eq!(addition("x:/"), is("x", "/"));
        assert!(addition("x:y").is_err());
        assert!(addition(":/y").is_err());
        assert!(addition("x:/a/../b").is_err());
    }

    #[test]
    fn a_tree_takes_files_folders_and_links() {
        let host = std::env::temp_dir().join(format!("serix-tree-{}", std::process::id()));
        std::fs::create_dir_all(host.join("sub")).unwrap();
        std::fs::write(host.join("sub/file"), "text").unwrap();
        std::os::unix::fs::symlink("sub/file", host.join("link")).unwrap();
        let mut tree = Tree::default();
        tree.insert("/", Entry::folder(0o755));
        tree.insert("/etc", Entry::folder(0o700));
        let add = |tree: &mut Tree, host: PathBuf, guest: &str| {
            tree.add(&Addition { host, guest: guest.into() }).unwrap();
        };
        add(&mut tree, host.clone(), "/etc");
        add(&mut tree, host.join("sub/file"), "/deep/er/name");
        add(&mut tree, host.join("sub/file"), "/etc");
        let paths: Vec<_> = tree.entries().map(|(path, _)| path.to_str().unwrap()).collect();
        let expected = [
            "/",
            "/deep",
            "/deep/er",
            "/deep/er/name",
            "/etc",
            "/etc/file",
            "/etc/link",
            "/etc/sub",
            "/etc/sub/file",
        ];
        assert_eq!(paths, expected);
        assert_eq!(tree.entries[Path::new("/etc")].mode, 0o700, "a merged folder keeps its mode");
        let before = tree.hash().unwrap();
        assert_eq!(tree.hash().unwrap(), before);
        std::fs::write(host.join("sub/file"), "next").unwrap();
        assert_ne!(tree.hash().unwrap(), before, "contents count");
        std::fs::remove_dir_all(&host).unwrap();
    }
}
