//! Directory blocks: a chain of entries that fills the block.
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use super::inode::FileKind;
use crate::checksum::crc32c;

/// Longest name in bytes.
pub(crate) const NAME_MAX: usize = 255;
const HEADER: usize = 8;
const TAIL: usize = 12;
const TAIL_TYPE: u8 = 0xde;

/// An entry of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Byte offset in the block.
    pub(crate) offset: usize,
    /// 0 if the entry is unused.
    pub(crate) inode: u32,
    /// Bytes up to the next entry.
    pub(crate) record: usize,
    pub(crate) name: &'a [u8],
    /// File type, or 0 where the file system stores none.
    pub(crate) kind: u8,
}

/// What the file system says about directory blocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding {
    /// Entries store their file type.
    pub(crate) has_kind: bool,
    /// Blocks end in a checksum.
    pub(crate) has_tail: bool,
}

/// The type byte of an entry.
pub(crate) fn kind_byte(kind: FileKind) -> u8 {
    match kind {
        FileKind::Regular => 1,
        FileKind::Directory => 2,
        FileKind::CharacterDevice => 3,
        FileKind::BlockDevice => 4,
        FileKind::Fifo => 5,
        FileKind::Socket => 6,
        FileKind::Symlink => 7,
    }
}

/// What a type byte means, if anything.
pub(crate) fn kind_of(byte: u8) -> Option<FileKind> {
    Some(match byte {
        1 => FileKind::Regular,
        2 => FileKind::Directory,
        3 => FileKind::CharacterDevice,
        4 => FileKind::BlockDevice,
        5 => FileKind::Fifo,
        6 => FileKind::Socket,
        7 => FileKind::Symlink,
        _ => return None,
    })
}

/// Bytes that an entry with a name of `len` bytes takes.
pub(crate) fn record_len(len: usize) -> usize {
    (HEADER + len).next_multiple_of(4)
}

impl Encoding {
    /// Where entries end in a block.
    pub(crate) fn end(self, block_size: usize) -> usize {
        if self.has_tail { block_size - TAIL } else { block_size }
    }
}

/// The entries of a block that [`defect`] found nothing wrong with.
pub(crate) fn entries(block: &[u8], encoding: Encoding) -> impl Iterator<Item = Entry<'_>> {
    let end = encoding.end(block.len());
    let mut offset = 0;
    core::iter::from_fn(move || {
        if offset >= end {
            return None;
        }
        let entry = entry(block, offset, encoding);
        offset += entry.record;
        Some(entry)
    })
}

fn entry(block: &[u8], offset: usize, encoding: Encoding) -> Entry<'_> {
    let name_len = usize::from(block[offset + 6]);
    Entry {
        offset,
        inode: u32_at(block, offset),
        record: usize::from(u16_at(block, offset + 4)),
        name: &block[offset + HEADER..offset + HEADER + name_len],
        kind: if encoding.has_kind { block[offset + 7] } else { 0 },
    }
}

/// What is wrong with a block, if anything.
pub(crate) fn defect(block: &[u8], encoding: Encoding, inodes: u32) -> Option<&'static str> {
    let end = encoding.end(block.len());
    let mut offset = 0;
    while offset < end {
        if offset + HEADER > end {
            return Some("directory entry");
        }
        let record = usize::from(u16_at(block, offset + 4));
        let needed = record_len(block[offset + 6].into());
        let fits = record >= HEADER + 4 && record.is_multiple_of(4) && offset + record <= end;
        if !fits || needed > record || u32_at(block, offset) > inodes {
            return Some("directory entry");
        }
        offset += record;
    }
    None
}

/// Finds a name: offset in the block, inode, type byte.
pub(crate) fn find(block: &[u8], name: &[u8], encoding: Encoding) -> Option<(usize, u32, u8)> {
    let end = encoding.end(block.len());
    let len = name.len();
    // Names of a directory begin alike more often than they end alike.
    let (&last, _) = name.split_last()?;
    let mut offset = 0;
    while offset < end {
        let header = u32_at(block, offset + 4);
        if (header >> 16 & 0xff) as usize == len && block[offset + HEADER + len - 1] == last {
            let entry = entry(block, offset, encoding);
            if entry.inode != 0 && ends_alike(entry.name, name) && entry.name == name {
                return Some((offset, entry.inode, entry.kind));
            }
        }
        offset += (header & 0xffff) as usize;
    }
    None
}

/// Whether two names of one length agree in their last bytes.
fn ends_alike(one: &[u8], other: &[u8]) -> bool {
    match (one.last_chunk::<8>(), other.last_chunk::<8>()) {
        (Some(one), Some(other)) => u64::from_ne_bytes(*one) == u64::from_ne_bytes(*other),
        _ => true,
    }
}

/// Bytes that an entry of this inode with a name of `len` bytes really needs.
fn used(inode: u32, len: usize) -> usize {
    if inode == 0 { 0 } else { record_len(len) }
}

/// The first place with room for a name of `len` bytes.
pub(crate) fn room(block: &[u8], len: usize, encoding: Encoding) -> Option<usize> {
    let (needed, end) = (record_len(len), encoding.end(block.len()));
    let mut offset = 0;
    while offset < end {
        let header = u32_at(block, offset + 4);
        let record = (header & 0xffff) as usize;
        // Only an entry that is longer than the new one can have so much to spare.
        if record >= needed
            && record >= needed + used(u32_at(block, offset), (header >> 16 & 0xff) as usize)
        {
            return Some(offset);
        }
        offset += record;
    }
    None
}

/// Adds an entry at a place that [`room`] found.
pub(crate) fn insert(
    block: &mut [u8],
    offset: usize,
    name: &[u8],
    target: (u32, u8),
    encoding: Encoding,
) {
    let old = entry(block, offset, encoding);
    let (used, record) = (used(old.inode, old.name.len()), old.record);
    if used > 0 {
        put_u16(block, offset + 4, used as u16);
    }
    write_entry(block, offset + used, record - used, name, target);
}

fn write_entry(block: &mut [u8], at: usize, record: usize, name: &[u8], target: (u32, u8)) {
    put_u32(block, at, target.0);
    put_u16(block, at + 4, record as u16);
    block[at + 6] = name.len() as u8;
    block[at + 7] = target.1;
    block[at + HEADER..at + HEADER + name.len()].copy_from_slice(name);
}

/// Removes the entry at `offset`: the one before takes its space.
pub(crate) fn remove(block: &mut [u8], offset: usize) {
    let record = u16_at(block, offset + 4);
    let (mut before, mut at) = (None, 0);
    while at < offset {
        before = Some(at);
        at += usize::from(u16_at(block, at + 4));
    }
    if let Some(before) = before {
        let len = u16_at(block, before + 4);
        put_u16(block, before + 4, len + record);
    }
    put_u32(block, offset, 0);
}

/// Makes the entry at `offset` name another inode.
pub(crate) fn retarget(block: &mut [u8], offset: usize, target: (u32, u8)) {
    put_u32(block, offset, target.0);
    block[offset + 7] = target.1;
}

/// Makes a block without entries.
pub(crate) fn initialise(block: &mut [u8], encoding: Encoding) {
    block.fill(0);
    let end = encoding.end(block.len());
    put_u16(block, 4, end as u16);
    initialise_tail(block, encoding);
}

fn initialise_tail(block: &mut [u8], encoding: Encoding) {
    if encoding.has_tail {
        let tail = block.len() - TAIL;
        block[tail..].fill(0);
        put_u16(block, tail + 4, TAIL as u16);
        block[tail + 7] = TAIL_TYPE;
    }
}

/// Makes the first block of a new directory.
pub(crate) fn initialise_first(block: &mut [u8], own: u32, parent: u32, encoding: Encoding) {
    initialise(block, encoding);
    let end = encoding.end(block.len());
    let kind = if encoding.has_kind { kind_byte(FileKind::Directory) } else { 0 };
    write_entry(block, 0, record_len(1), b".", (own, kind));
    write_entry(block, record_len(1), end - record_len(1), b"..", (parent, kind));
}

/// Writes `entries` one after the other to a block, the last one filling it.
pub(crate) fn pack<'a>(
    block: &mut [u8],
    packed: impl Iterator<Item = Entry<'a>>,
    encoding: Encoding,
) {
    initialise(block, encoding);
    let end = encoding.end(block.len());
    let (mut at, mut last) = (0, 0);
    for entry in packed {
        let record = record_len(entry.name.len());
        write_entry(block, at, record, entry.name, (entry.inode, entry.kind));
        last = at;
        at += record;
    }
    put_u16(block, last + 4, (end - last) as u16);
}

/// Brings the checksum up to date.
pub(crate) fn seal(block: &mut [u8], seed: u32) {
    let tail = block.len() - TAIL;
    let crc = crc32c(seed, &block[..tail]);
    put_u32(block, tail + 8, crc);
}

/// Whether the block has a checksum, and the right one.
pub(crate) fn is_intact(block: &[u8], seed: u32) -> bool {
    let tail = block.len() - TAIL;
    let is_tail = u32_at(block, tail) == 0
        && u16_at(block, tail + 4) == TAIL as u16
        && block[tail + 7] == TAIL_TYPE;
    is_tail && u32_at(block, tail + 8) == crc32c(seed, &block[..tail])
}
