//! Nodes of extent trees.
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;

const MAGIC: u16 = 0xf30a;
/// Bytes of a node's header, and of each entry.
pub(crate) const ENTRY: usize = 12;
/// Levels below the root that are believed.
pub(crate) const MAX_DEPTH: u16 = 5;
/// Longest extent of written blocks.
pub(crate) const MAX_LEN: u32 = 32768;
/// Longest extent of unwritten blocks: the length field's top bit says "unwritten".
pub(crate) const MAX_UNWRITTEN: u32 = 32767;

/// A run of blocks of a file that lies contiguously on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) logical: u32,
    pub(crate) len: u32,
    pub(crate) physical: u64,
    pub(crate) unwritten: bool,
}

impl Extent {
    /// The logical block after the last one.
    pub(crate) fn end(&self) -> u64 {
        u64::from(self.logical) + u64::from(self.len)
    }

    /// Whether `next` continues this one so that both can be one.
    pub(crate) fn joins(&self, next: &Self) -> bool {
        let limit = if self.unwritten { MAX_UNWRITTEN } else { MAX_LEN };
        self.unwritten == next.unwritten
            && self.end() == u64::from(next.logical)
            && self.physical + u64::from(self.len) == next.physical
            && self.len + next.len <= limit
    }
}

/// Entries in use, room, and level above the leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) entries: u16,
    pub(crate) max: u16,
    pub(crate) depth: u16,
}

impl Header {
    pub(crate) fn parse(node: &[u8]) -> Self {
        Self { entries: u16_at(node, 2), max: u16_at(node, 4), depth: u16_at(node, 6) }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries >= self.max
    }
}

/// Makes an empty node of `bytes.len()` bytes, or of as much as `capacity` entries take.
pub(crate) fn initialise(node: &mut [u8], capacity: u16, depth: u16) {
    node.fill(0);
    put_u16(node, 0, MAGIC);
    put_u16(node, 4, capacity);
    put_u16(node, 6, depth);
}

/// Entries that fit a node of `size` bytes.
pub(crate) fn capacity(size: usize) -> u16 {
    ((size - ENTRY) / ENTRY) as u16
}

fn at(index: u16) -> usize {
    ENTRY + usize::from(index) * ENTRY
}

/// The first logical block of an entry, of a leaf or of an index.
pub(crate) fn key(node: &[u8], index: u16) -> u32 {
    u32_at(node, at(index))
}

pub(crate) fn set_key(node: &mut [u8], index: u16, key: u32) {
    put_u32(node, at(index), key);
}

pub(crate) fn extent(node: &[u8], index: u16) -> Extent {
    let at = at(index);
    let len = u32::from(u16_at(node, at + 4));
    let unwritten = len > MAX_LEN;
    Extent {
        logical: u32_at(node, at),
        len: if unwritten { len - MAX_LEN } else { len },
        physical: u64::from(u16_at(node, at + 6)) << 32 | u64::from(u32_at(node, at + 8)),
        unwritten,
    }
}

pub(crate) fn set_extent(node: &mut [u8], index: u16, extent: Extent) {
    let at = at(index);
    let len = if extent.unwritten { extent.len + MAX_LEN } else { extent.len };
    put_u32(node, at, extent.logical);
    put_u16(node, at + 4, len as u16);
    put_u16(node, at + 6, (extent.physical >> 32) as u16);
    put_u32(node, at + 8, extent.physical as u32);
}

/// The block that an index entry points to.
pub(crate) fn child(node: &[u8], index: u16) -> u64 {
    let at = at(index);
    u64::from(u16_at(node, at + 8)) << 32 | u64::from(u32_at(node, at + 4))
}

pub(crate) fn set_child(node: &mut [u8], index: u16, key: u32, block: u64) {
    let at = at(index);
    put_u32(node, at, key);
    put_u32(node, at + 4, block as u32);
    put_u16(node, at + 8, (block >> 32) as u16);
    put_u16(node, at + 10, 0);
}

/// Makes room for an entry before `index`.
pub(crate) fn open_gap(node: &mut [u8], index: u16) {
    let entries = u16_at(node, 2);
    node.copy_within(at(index)..at(entries), at(index + 1));
    put_u16(node, 2, entries + 1);
}

/// Removes the entry `index`.
pub(crate) fn close_gap(node: &mut [u8], index: u16) {
    let entries = u16_at(node, 2);
    node.copy_within(at(index + 1)..at(entries), at(index));
    node[at(entries - 1)..at(entries)].fill(0);
    put_u16(node, 2, entries - 1);
}

/// Moves the entries from `from` on to the empty node `to`.
pub(crate) fn move_tail(node: &mut [u8], from: u16, to: &mut [u8]) {
    let entries = u16_at(node, 2);
    let moved = &mut node[at(from)..at(entries)];
    to[ENTRY..ENTRY + moved.len()].copy_from_slice(moved);
    moved.fill(0);
    put_u16(to, 2, entries - from);
    put_u16(node, 2, from);
}

/// Copies all entries, and the level, of `from` to the node `to`, which has room for them.
pub(crate) fn copy_entries(from: &[u8], to: &mut [u8]) {
    let header = Header::parse(from);
    to[ENTRY..at(header.entries)].copy_from_slice(&from[ENTRY..at(header.entries)]);
    put_u16(to, 2, header.entries);
    put_u16(to, 6, header.depth);
}

/// The last entry whose key is not above `logical`, or 0.
pub(crate) fn search(node: &[u8], logical: u32) -> u16 {
    let (mut low, mut high) = (0, u16_at(node, 2));
    while low + 1 < high {
        let middle = low.midpoint(high);
        if key(node, middle) <= logical {
            low = middle;
        } else {
            high = middle;
        }
    }
    low
}

/// What is wrong with a node, if anything: the rest of this module trusts a node that passed.
pub(crate) fn defect(node: &[u8], contains: impl Fn(u64, u64) -> bool) -> Option<&'static str> {
    let header = Header::parse(node);
    if u16_at(node, 0) != MAGIC || header.max > capacity(node.len()) || header.max == 0 {
        return Some("extent header");
    }
    if header.entries > header.max || header.depth > MAX_DEPTH {
        return Some("extent header");
    }
    let mut next = 0;
    for index in 0..header.entries {
        if u64::from(key(node, index)) < next {
            return Some("extent order");
        }
        let inside = if header.depth == 0 {
            let extent = extent(node, index);
            next = extent.end();
            extent.len > 0 && contains(extent.physical, extent.len.into())
        } else {
            next = u64::from(key(node, index)) + 1;
            contains(child(node, index), 1)
        };
        if !inside || next > 1 << 32 {
            return Some("extent out of range");
        }
    }
    None
}

fn tail(node: &[u8]) -> usize {
    ENTRY + usize::from(u16_at(node, 4)) * ENTRY
}

/// Brings the checksum of a node outside the inode up to date.
pub(crate) fn seal(node: &mut [u8], seed: u32) {
    let tail = tail(node);
    if tail + 4 <= node.len() {
        let crc = crc32c(seed, &node[..tail]);
        put_u32(node, tail, crc);
    }
}

/// Whether the checksum of a node outside the inode is right.
pub(crate) fn is_intact(node: &[u8], seed: u32) -> bool {
    let tail = tail(node);
    tail + 4 <= node.len() && u32_at(node, tail) == crc32c(seed, &node[..tail])
}
