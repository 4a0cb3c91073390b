//! The mount table as text.
use crate::file::Page;
use crate::fs::{Location, vfs};
use alloc::format;
use alloc::vec::Vec;
use serix_chroma::{Mount, MountFlags};

/// Characters that would end a field are written in octal.
fn push_escaped(text: &mut Vec<u8>, field: &[u8]) {
    for &byte in field {
        match byte {
            b' ' | b'\t' | b'\n' | b'\\' => {
                text.extend_from_slice(format!("\\{byte:03o}").as_bytes());
            }
            _ => text.push(byte),
        }
    }
}

fn options(mount: &Mount<Page>) -> Vec<u8> {
    let access: &[u8] = if mount.check_writable().is_err() { b"ro" } else { b"rw" };
    let mut options = access.to_vec();
    for (flag, name) in [
        (MountFlags::NO_SUID, &b",nosuid"[..]),
        (MountFlags::NO_DEVICES, b",nodev"),
        (MountFlags::NO_EXECUTE, b",noexec"),
    ] {
        if mount.flags().contains(flag) {
            options.extend_from_slice(name);
        }
    }
    options.extend_from_slice(b",relatime");
    options
}

/// Where a mount is, seen from a root; `None` if it is not below it.
fn path(mount: &Mount<Page>, root: &Location) -> Option<Vec<u8>> {
    match mount.covers() {
        None => Some(b"/".to_vec()),
        Some(covered) => vfs().path_of(covered, root).map(|(path, _)| path),
    }
}

/// `/proc/<pid>/mounts`.
pub(super) fn mounts(root: &Location) -> Vec<u8> {
    let mut text = Vec::new();
    for mount in vfs().mounts() {
        let Some(path) = path(&mount, root) else { continue };
        push_escaped(&mut text, mount.source());
        text.push(b' ');
        push_escaped(&mut text, &path);
        text.push(b' ');
        text.extend_from_slice(mount.volume().file_system().type_name().as_bytes());
        text.push(b' ');
        text.extend_from_slice(&options(&mount));
        text.extend_from_slice(b" 0 0\n");
    }
    text
}

/// `/proc/<pid>/mountinfo`.
pub(super) fn mount_info(root: &Location) -> Vec<u8> {
    let mut text = Vec::new();
    for mount in vfs().mounts() {
        let Some(path) = path(&mount, root) else { continue };
        let parent = mount.covers().map_or(0, |covered| covered.mount.id());
        let start = format!("{} {parent} 0:{} / ", mount.id(), mount.volume().id());
        text.extend_from_slice(start.as_bytes());
        push_escaped(&mut text, &path);
        text.push(b' ');
        text.extend_from_slice(&options(&mount));
        let kind = format!(" - {} ", mount.volume().file_system().type_name());
        text.extend_from_slice(kind.as_bytes());
        push_escaped(&mut text, mount.source());
        text.extend_from_slice(b" rw\n");
    }
    text
}
