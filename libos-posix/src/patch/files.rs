//! Functions of files, and what was found out before.
use crate::file::description::File;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use serix_chroma::Timestamp;
use serix_patch::Refusal;
use serix_patch::functions::{self, Around};
use spin::Mutex;

/// A version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Version {
    /// Which mount, by its address while the file is open.
    mount: usize,
    ino: u64,
    size: u64,
    modified: Timestamp,
    changed: Timestamp,
}

struct Known {
    version: Version,
    offset: u64,
    found: Result<Around, Refusal>,
}

/// Found last, the oldest first: other processes of the same program ask for the same.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());
/// Most of them.
const KNOWN_MAX: usize = 256;

struct Reader<'a>(&'a File);

impl functions::Source for Reader<'_> {
    fn read(&self, offset: u64, length: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; length];
        let done = crate::file::block_on(self.0.read_exact_at(offset, &mut bytes)).ok()?;
        (done == length).then_some(bytes)
    }
}

/// The function of the site at an offset of a file. May wait for the file.
pub(super) fn around(file: &Arc<File>, offset: u64) -> Result<Around, Refusal> {
    let metadata = crate::file::wait(file.node().metadata()).map_err(|_| Refusal::NoFunction)?;
    let version = Version {
        mount: Arc::as_ptr(&file.location().mount).addr(),
        ino: metadata.ino,
        size: metadata.size,
        modified: metadata.modified,
        changed: metadata.changed,
    };
    let known = |known: &&Known| known.version == version && known.offset == offset;
    if let Some(known) = KNOWN.lock().iter().find(known) {
        return known.found.clone();
    }
    // Tables are read whole, once: only when there is much to spare.
    crate::memory::check_fork_reserve().map_err(|_| Refusal::NoFunction)?;
    let found = functions::around(&Reader(file), offset);
    let mut all = KNOWN.lock();
    if all.len() >= KNOWN_MAX {
        all.remove(0);
    }
    all.push(Known { version, offset, found: found.clone() });
    found
}
