//! Index nodes of hashed directories.
//!
//! A node is an array of (hash, block); the first entry's hash is not stored, its place holds room
//! and count. In the root the array follows the entries `.` and `..`.
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;

const ENTRY: usize = 8;
const TAIL: usize = 8;
/// Where the array begins in the root.
const ROOT_START: usize = 32;
/// Where the array begins in other nodes.
const NODE_START: usize = 8;

/// What the root says about its tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) hash_version: u8,
    /// Index levels below the root.
    pub(crate) levels: u8,
}

/// Where a node's array lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Root,
    Inner,
}

impl Role {
    fn start(self) -> usize {
        match self {
            Self::Root => ROOT_START,
            Self::Inner => NODE_START,
        }
    }
}

/// Entries that fit a node.
pub(crate) fn capacity(size: usize, role: Role, has_tail: bool) -> usize {
    (size - role.start() - if has_tail { TAIL } else { 0 }) / ENTRY
}

pub(crate) fn root(block: &[u8]) -> Root {
    Root { hash_version: block[0x1c], levels: block[0x1e] }
}

pub(crate) fn set_levels(block: &mut [u8], levels: u8) {
    block[0x1e] = levels;
}

pub(crate) fn count(block: &[u8], role: Role) -> usize {
    u16_at(block, role.start() + 2).into()
}

fn limit(block: &[u8], role: Role) -> usize {
    u16_at(block, role.start()).into()
}

pub(crate) fn is_full(block: &[u8], role: Role) -> bool {
    count(block, role) >= limit(block, role)
}

pub(crate) fn set_count(block: &mut [u8], role: Role, count: usize) {
    put_u16(block, role.start() + 2, count as u16);
}

/// The lowest hash below an entry; the low bit says that the block before has names of that hash.
pub(crate) fn hash(block: &[u8], role: Role, index: usize) -> u32 {
    if index == 0 { 0 } else { u32_at(block, role.start() + index * ENTRY) }
}

/// The logical block below an entry.
pub(crate) fn child(block: &[u8], role: Role, index: usize) -> u32 {
    u32_at(block, role.start() + index * ENTRY + 4) & 0x0fff_ffff
}

fn set_entry(block: &mut [u8], role: Role, index: usize, hash: u32, child: u32) {
    let at = role.start() + index * ENTRY;
    if index > 0 {
        put_u32(block, at, hash);
    }
    put_u32(block, at + 4, child);
}

/// The last entry whose hash is not above `hash`.
pub(crate) fn search(block: &[u8], role: Role, wanted: u32) -> usize {
    let (mut low, mut high) = (0, count(block, role));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if hash(block, role, middle) <= wanted {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// Adds an entry before `index`, which is not 0.
pub(crate) fn insert(block: &mut [u8], role: Role, index: usize, hash: u32, child: u32) {
    let count = count(block, role);
    let at = role.start() + index * ENTRY;
    block.copy_within(at..role.start() + count * ENTRY, at + ENTRY);
    set_entry(block, role, index, hash, child);
    set_count(block, role, count + 1);
}

/// Makes an empty array.
pub(crate) fn initialise(block: &mut [u8], role: Role, has_tail: bool) {
    let size = block.len();
    if role == Role::Inner {
        block.fill(0);
        put_u16(block, 4, size as u16);
    } else {
        block[ROOT_START..].fill(0);
    }
    put_u16(block, role.start(), capacity(size, role, has_tail) as u16);
}

/// Turns the first block of a directory (`.` and `..` first) into the root of a tree with one leaf.
pub(crate) fn initialise_root(block: &mut [u8], hash_version: u8, leaf: u32, has_tail: bool) {
    let size = block.len();
    put_u16(block, 12 + 4, (size - 12) as u16);
    block[24..ROOT_START].fill(0);
    block[0x1c] = hash_version;
    block[0x1d] = 8;
    initialise(block, Role::Root, has_tail);
    set_entry(block, Role::Root, 0, 0, leaf);
    set_count(block, Role::Root, 1);
}

/// Moves the entries from `from` on to the empty node `to`, and answers the first one's hash.
pub(crate) fn move_tail(node: &mut [u8], role: Role, from: usize, to: &mut [u8]) -> u32 {
    let count = count(node, role);
    let first = hash(node, role, from);
    for index in from..count {
        let (hash, child) = (hash(node, role, index), child(node, role, index));
        set_entry(to, Role::Inner, index - from, hash, child);
    }
    set_count(to, Role::Inner, count - from);
    set_count(node, role, from);
    first
}

/// Leaves one entry in the root, for `child`.
pub(crate) fn collapse_root(root: &mut [u8], child: u32) {
    set_entry(root, Role::Root, 0, 0, child);
    set_count(root, Role::Root, 1);
}

/// What is wrong with a node, if anything.
pub(crate) fn defect(block: &[u8], role: Role, has_tail: bool) -> Option<&'static str> {
    let size = block.len();
    let (count, limit) = (count(block, role), limit(block, role));
    if limit != capacity(size, role, has_tail) || count == 0 || count > limit {
        return Some("directory index count");
    }
    let shape = match role {
        Role::Root => block[0x1d] == 8 && u16_at(block, 16) as usize == size - 12,
        Role::Inner => u32_at(block, 0) == 0 && u16_at(block, 4) as usize == size,
    };
    if !shape {
        return Some("directory index header");
    }
    let ordered = (2..count).all(|at| hash(block, role, at - 1) < hash(block, role, at));
    if ordered { None } else { Some("directory index order") }
}

fn checksum(block: &[u8], role: Role, seed: u32) -> (usize, u32) {
    let tail = role.start() + limit(block, role) * ENTRY;
    let used = role.start() + count(block, role) * ENTRY;
    let crc = crc32c(crc32c(seed, &block[..used]), &block[tail..tail + 4]);
    (tail + 4, crc32c(crc, &[0; 4]))
}

/// Brings the checksum up to date.
pub(crate) fn seal(block: &mut [u8], role: Role, seed: u32) {
    let (at, crc) = checksum(block, role, seed);
    put_u32(block, at, crc);
}

/// Whether the checksum of a node without [`defect`] is right.
pub(crate) fn is_intact(block: &[u8], role: Role, seed: u32) -> bool {
    let (at, crc) = checksum(block, role, seed);
    u32_at(block, at) == crc
}
