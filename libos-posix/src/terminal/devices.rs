//! The terminals there are, their numbers and names: `/dev/tty`, `/dev/console`, `/dev/ptmx`, `/dev/pts`.
use super::{Side, Terminal, screen, session};
use crate::file::{Page, wait};
use crate::fs::{Location, vfs};
use crate::process::current_process;
use crate::{Errno, Result};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::Any;
use linux_raw_sys::general::{O_ACCMODE, O_NOCTTY, O_WRONLY};
use serix_chroma::generated::{Dynamic, Folder, GeneratedFileSystem};
use serix_chroma::{
    Credentials, DeviceNumber, FileKind, FileSystem, Inode, Metadata, MetadataChange, Reply,
    ResolveFlags, VfsError, VfsResult, device,
};
use serix_terminal::Settings;
use spin::{Mutex, Once};

/// The running process's terminal.
const CURRENT: DeviceNumber = DeviceNumber { major: 5, minor: 0 };
/// The host's terminal.
pub(super) const CONSOLE: DeviceNumber = DeviceNumber { major: 5, minor: 1 };
/// The machine's own screen and keyboard.
pub(super) const SCREEN: DeviceNumber = DeviceNumber { major: 4, minor: 1 };
/// Makes a pair.
const MULTIPLEXER: DeviceNumber = DeviceNumber { major: 5, minor: 2 };
/// Programs' sides of pairs.
const PAIR_MAJOR: u32 = 136;
/// Most pairs at a time, as on Linux.
const PAIRS_MAX: usize = 4096;
/// The number by which programs know the file system of `/dev/pts`.
const MAGIC: u64 = 0x1CD1;
/// The group of terminals, for `write` and `wall`.
const TERMINAL_GROUP: u32 = 5;
/// Inode numbers in `/dev/pts`: its root, `ptmx`, then the pairs.
const ROOT_INO: u64 = 1;
const MULTIPLEXER_INO: u64 = 2;
const FIRST_INO: u64 = 3;

static PAIRS: Mutex<BTreeMap<u32, Arc<Terminal>>> = Mutex::new(BTreeMap::new());
static CONSOLE_TERMINAL: Once<Arc<Terminal>> = Once::new();

/// The host's terminal, if the session has one.
pub(super) fn console() -> Option<&'static Arc<Terminal>> {
    CONSOLE_TERMINAL.get()
}

pub(super) fn set_console(terminal: Arc<Terminal>) -> &'static Arc<Terminal> {
    CONSOLE_TERMINAL.call_once(|| terminal)
}

fn new_pair() -> Result<Arc<Terminal>> {
    let credentials = crate::file::current::credentials();
    let mut pairs = PAIRS.lock();
    if pairs.len() == PAIRS_MAX {
        return Err(Errno::ENOSPC);
    }
    let minor = (0..).find(|minor| !pairs.contains_key(minor)).ok_or(Errno::ENOSPC)?;
    let device = DeviceNumber { major: PAIR_MAJOR, minor };
    let terminal = Arc::new(Terminal::new(device, Settings::fresh(), true));
    terminal.change(|state| state.owner = (credentials.uid, TERMINAL_GROUP));
    pairs.insert(minor, terminal.clone());
    Ok(terminal)
}

/// A pair whose master's side is closed has no name any more.
pub(super) fn remove(device: DeviceNumber) {
    let removed = PAIRS.lock().remove(&device.minor);
    drop(removed);
}

/// Opens the terminal of a device's number; `None` if it is no terminal's. The side is to be closed.
///
/// # Errors
/// `ENXIO` without such a terminal, `EIO` for a locked or hung-up one, `EBUSY` for an exclusive one, `ENOSPC`.
pub fn open(number: DeviceNumber, flags: u32) -> Option<Result<(Arc<Terminal>, Side)>> {
    let found = match number {
        CURRENT => session::current_terminal().ok_or(Errno::ENXIO),
        CONSOLE => console().cloned().ok_or(Errno::ENXIO),
        SCREEN => screen::terminal().cloned().ok_or(Errno::ENXIO),
        MULTIPLEXER => return Some(new_pair().map(|terminal| (terminal, Side::Master))),
        DeviceNumber { major: PAIR_MAJOR, minor } => {
            PAIRS.lock().get(&minor).cloned().ok_or(Errno::EIO)
        }
        _ => return None,
    };
    Some(found.and_then(|terminal| {
        check_open(&terminal)?;
        terminal.open();
        let may_read = flags & O_ACCMODE != O_WRONLY;
        if flags & O_NOCTTY == 0 && may_read && [PAIR_MAJOR, SCREEN.major].contains(&number.major) {
            terminal.acquire_if_free();
        }
        Ok((terminal, Side::Program))
    }))
}

fn check_open(terminal: &Terminal) -> Result<()> {
    let is_privileged = current_process().state.lock().credentials.is_privileged();
    terminal.look(|state| {
        if state.is_hung_up || state.pair.as_ref().is_some_and(|pair| pair.is_locked) {
            Err(Errno::EIO)
        } else if state.is_exclusive && !is_privileged {
            Err(Errno::EBUSY)
        } else {
            Ok(())
        }
    })
}

/// The place of a terminal's node.
pub(super) fn place_of(terminal: &Terminal) -> Result<Location> {
    let path = match terminal.device {
        CONSOLE => "/dev/console".into(),
        SCREEN => "/dev/tty1".into(),
        DeviceNumber { minor, .. } => format!("/dev/pts/{minor}"),
    };
    let credentials = Credentials::root();
    let context = vfs().root_context(&credentials);
    wait(vfs().resolve(context, path.as_bytes(), ResolveFlags::empty()))
}

/// Makes the nodes of `/dev`, which must be there.
///
/// # Errors
/// Those of making nodes.
pub async fn install() -> VfsResult<()> {
    for (path, number, mode) in [
        (&b"/dev/tty"[..], CURRENT, 0o666),
        (b"/dev/console", CONSOLE, 0o620),
        (b"/dev/tty1", SCREEN, 0o620),
        (b"/dev/ptmx", MULTIPLEXER, 0o666),
    ] {
        vfs().register_device(FileKind::CharDevice, number, Arc::new(NumberNode(number, 0)));
        device::make_node(vfs(), path, number, mode).await?;
    }
    Ok(())
}

/// The file system of `/dev/pts`.
#[must_use]
pub fn file_system() -> Arc<dyn FileSystem<Page>> {
    let multiplexer = Arc::new(NumberNode(MULTIPLEXER, MULTIPLEXER_INO));
    let root = Folder::with(Metadata::unstored(ROOT_INO, FileKind::Directory, 0o755))
        .entry(b"ptmx", MULTIPLEXER_INO, FileKind::CharDevice, multiplexer)
        .dynamic(Arc::new(Pairs));
    GeneratedFileSystem::new("devpts", MAGIC, Arc::new(root))
}

/// The entries of `/dev/pts`.
struct Pairs;

impl Dynamic<Page> for Pairs {
    fn lookup(&self, name: &[u8]) -> VfsResult<Arc<dyn Inode<Page>>> {
        let text = core::str::from_utf8(name).map_err(|_| VfsError::NotFound)?;
        let minor: u32 = text.parse().map_err(|_| VfsError::NotFound)?;
        if format!("{minor}") != text {
            return Err(VfsError::NotFound);
        }
        let terminal = PAIRS.lock().get(&minor).cloned().ok_or(VfsError::NotFound)?;
        Ok(Arc::new(PairNode(terminal)))
    }

    fn next(&self, key: u64) -> Option<(u64, Vec<u8>, u64, FileKind)> {
        let from = u32::try_from(key).ok()?;
        let minor = *PAIRS.lock().range(from..).next()?.0;
        let name = format!("{minor}").into_bytes();
        Some((minor.into(), name, FIRST_INO + u64::from(minor), FileKind::CharDevice))
    }
}

/// The node of a program's side. It is only a name: opening it leads to [`open`].
struct PairNode(Arc<Terminal>);

impl Inode<Page> for PairNode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        let ino = FIRST_INO + u64::from(self.0.device.minor);
        let ((uid, gid), mode) = self.0.look(|state| (state.owner, state.mode));
        let metadata = Metadata::unstored(ino, FileKind::CharDevice, mode);
        Reply::done(Metadata { device: self.0.device, uid, gid, ..metadata })
    }

    fn set_metadata(&self, change: MetadataChange) -> Reply<'_, ()> {
        self.0.change(|state| {
            state.mode = change.mode.unwrap_or(state.mode);
            state.owner.0 = change.uid.unwrap_or(state.owner.0);
            state.owner.1 = change.gid.unwrap_or(state.owner.1);
        });
        Reply::done(())
    }

    fn is_direct(&self) -> bool {
        true
    }
}

/// A device that is nothing but a number.
struct NumberNode(DeviceNumber, u64);

impl Inode<Page> for NumberNode {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn metadata(&self) -> Reply<'_, Metadata> {
        let metadata = Metadata::unstored(self.1, FileKind::CharDevice, 0o666);
        Reply::done(Metadata { device: self.0, ..metadata })
    }

    fn set_metadata(&self, _: MetadataChange) -> Reply<'_, ()> {
        Reply::fail(VfsError::Permission)
    }

    fn is_direct(&self) -> bool {
        true
    }
}
