//! Checksums of a damaged image made right again, so that what is behind them is reached.
//!
//! Written from the format's description and apart from the driver: it finds the metadata of a
//! sound image by itself, and seals any block of it in its role.
use crate::common::{be32, le16, le32, put_le16, put_le32};
use std::collections::BTreeMap;

/// What a metadata block is, and what its checksum needs.
#[derive(Clone, Copy, Debug)]
enum Role {
    Superblock,
    Descriptors,
    BlockBitmap(usize),
    InodeBitmap(usize),
    /// Inode table block; the number of its first inode.
    Inodes(u32),
    /// Node of an extent tree, of an inode.
    Extents(u32),
    /// Leaf of a directory.
    Leaf(u32),
    /// Node of a directory's hash tree; where its count and limit are.
    Index(u32, usize),
    Attributes,
    Orphans(u32),
    Journal,
}

/// The metadata of an image by block, and what seals it.
pub(crate) struct Metadata {
    block: usize,
    seed: u32,
    inode_size: usize,
    inodes_per_group: u32,
    blocks_per_group: usize,
    groups: usize,
    descriptor_size: usize,
    roles: BTreeMap<usize, Role>,
}

/// Inode flags.
const INDEX: u32 = 0x1000;
const EXTENTS: u32 = 0x8_0000;
/// Place of the superblock.
const SUPERBLOCK: usize = 1024;

/// CRC-32C, reflected, without a final inversion.
fn crc(mut state: u32, bytes: &[u8]) -> u32 {
    for byte in bytes {
        state ^= u32::from(*byte);
        for _ in 0..8 {
            state = if state & 1 != 0 { state >> 1 ^ 0x82f6_3b78 } else { state >> 1 };
        }
    }
    state
}

/// Physical blocks of an extent tree by logical block, and its own nodes.
#[derive(Default)]
struct Blocks {
    data: BTreeMap<u32, usize>,
    nodes: Vec<usize>,
}

impl Metadata {
    /// Finds the metadata of a sound image that has `metadata_csum` and `extent`.
    pub(crate) fn find(image: &[u8]) -> Self {
        let superblock = &image[SUPERBLOCK..];
        let block = 1024 << le32(superblock, 0x18);
        let blocks = le32(superblock, 4) as usize;
        let blocks_per_group = le32(superblock, 0x20) as usize;
        let has_seed = le32(superblock, 0x60) & 0x2000 != 0;
        let is_64bit = le32(superblock, 0x60) & 0x80 != 0;
        let uuid_seed = crc(!0, &superblock[0x68..0x78]);
        let mut found = Self {
            block,
            seed: if has_seed { le32(superblock, 0x270) } else { uuid_seed },
            inode_size: le16(superblock, 0x58).into(),
            inodes_per_group: le32(superblock, 0x28),
            blocks_per_group,
            groups: (blocks - le32(superblock, 0x14) as usize).div_ceil(blocks_per_group),
            descriptor_size: if is_64bit { le16(superblock, 0xfe).into() } else { 32 },
            roles: BTreeMap::new(),
        };
        found.roles.insert(SUPERBLOCK / block, Role::Superblock);
        for index in 0..(found.groups * found.descriptor_size).div_ceil(block) {
            found.roles.insert(SUPERBLOCK / block + 1 + index, Role::Descriptors);
        }
        let orphan_file = le32(superblock, 0x280);
        for group in 0..found.groups {
            found.find_group(image, group, orphan_file);
        }
        found
    }

    /// The blocks that hold metadata.
    pub(crate) fn blocks(&self) -> Vec<usize> {
        self.roles.keys().copied().collect()
    }

    fn descriptor(&self, group: usize) -> usize {
        (SUPERBLOCK / self.block + 1) * self.block + group * self.descriptor_size
    }

    fn find_group(&mut self, image: &[u8], group: usize, orphan_file: u32) {
        let descriptor = &image[self.descriptor(group)..];
        self.roles.insert(le32(descriptor, 0) as usize, Role::BlockBitmap(group));
        self.roles.insert(le32(descriptor, 4) as usize, Role::InodeBitmap(group));
        let table = le32(descriptor, 8) as usize * self.block;
        for index in 0..self.inodes_per_group as usize {
            let number = group as u32 * self.inodes_per_group + index as u32 + 1;
            let at = table + index * self.inode_size;
            let raw = &image[at..at + self.inode_size];
            if le16(raw, 0) == 0 || le16(raw, 0x1a) == 0 && number != 8 && number != orphan_file {
                continue;
            }
            let per_block = (self.block / self.inode_size) as u32;
            let first = number - (number - 1) % per_block;
            self.roles.insert(at / self.block, Role::Inodes(first));
            self.find_inode(image, raw, number, orphan_file);
        }
    }

    fn find_inode(&mut self, image: &[u8], raw: &[u8], number: u32, orphan_file: u32) {
        let attributes = le32(raw, 0x68) as usize;
        if attributes != 0 {
            self.roles.insert(attributes, Role::Attributes);
        }
        let (kind, flags) = (le16(raw, 0) & 0xf000, le32(raw, 0x20));
        let mut blocks = Blocks::default();
        if flags & EXTENTS != 0 {
            self.walk(image, &raw[0x28..0x28 + 60], &mut blocks);
        }
        for node in &blocks.nodes {
            self.roles.insert(*node, Role::Extents(number));
        }
        if number == 8 {
            self.roles.insert(blocks.data[&0], Role::Journal);
        } else if number == orphan_file {
            for place in blocks.data.values() {
                self.roles.insert(*place, Role::Orphans(number));
            }
        } else if kind == 0x4000 {
            self.find_directory(image, number, flags & INDEX != 0, &blocks);
        }
    }

    fn find_directory(&mut self, image: &[u8], number: u32, indexed: bool, blocks: &Blocks) {
        for (logical, place) in &blocks.data {
            let is_root = indexed && *logical == 0;
            let role = if is_root { Role::Index(number, 32) } else { Role::Leaf(number) };
            self.roles.insert(*place, role);
        }
        let root = blocks.data[&0] * self.block;
        // Levels below the root: those it leads to are nodes themselves.
        if indexed && image[root + 30] > 0 {
            let count = le16(&image[root..], 34);
            for entry in 0..usize::from(count) {
                let logical = le32(&image[root..], 32 + entry * 8 + 4);
                self.roles.insert(blocks.data[&logical], Role::Index(number, 8));
            }
        }
    }

    /// Goes through a node of an extent tree and those below it.
    fn walk(&self, image: &[u8], node: &[u8], found: &mut Blocks) {
        let (entries, depth) = (usize::from(le16(node, 2)), le16(node, 6));
        for entry in (0..entries).map(|index| &node[12 + index * 12..]) {
            if depth > 0 {
                let place = le32(entry, 4) as usize;
                found.nodes.push(place);
                let at = place * self.block;
                self.walk(image, &image[at..at + self.block], found);
                continue;
            }
            let (logical, start) = (le32(entry, 0), le32(entry, 8));
            for index in 0..u32::from(le16(entry, 4) & 0x7fff) {
                found.data.insert(logical + index, (start + index) as usize);
            }
        }
    }

    /// Makes the checksums of these blocks right, whatever is in them.
    pub(crate) fn seal(&self, image: &mut [u8], blocks: &[usize]) {
        let is_late =
            |block: &&usize| matches!(self.roles[*block], Role::Descriptors | Role::Superblock);
        blocks
            .iter()
            .filter(|block| !is_late(block))
            .for_each(|block| self.seal_one(image, *block));
        // What those say of themselves in the descriptors may have changed.
        (0..self.groups).for_each(|group| self.seal_descriptor(image, group));
        let superblock = &mut image[SUPERBLOCK..SUPERBLOCK + 1024];
        let sum = crc(!0, &superblock[..0x3fc]);
        put_le32(superblock, 0x3fc, sum);
    }

    /// The seed of what belongs to an inode, with its generation as it is now.
    fn inode_seed(&self, image: &[u8], number: u32) -> u32 {
        let group = ((number - 1) / self.inodes_per_group) as usize;
        let index = ((number - 1) % self.inodes_per_group) as usize;
        let table = le32(&image[self.descriptor(group)..], 8) as usize;
        let generation = table * self.block + index * self.inode_size + 0x64;
        let numbered = crc(self.seed, &number.to_le_bytes());
        crc(numbered, image.get(generation..generation + 4).unwrap_or(&[0; 4]))
    }

    fn seal_one(&self, image: &mut [u8], block: usize) {
        let at = block * self.block..(block + 1) * self.block;
        let role = self.roles[&block];
        let seed = match role {
            Role::Extents(inode) | Role::Leaf(inode) | Role::Index(inode, _) => {
                self.inode_seed(image, inode)
            }
            Role::Orphans(inode) => {
                crc(self.inode_seed(image, inode), &(block as u64).to_le_bytes())
            }
            Role::Attributes => crc(self.seed, &(block as u64).to_le_bytes()),
            _ => self.seed,
        };
        let bytes = &mut image[at];
        match role {
            Role::Inodes(first) => self.seal_inodes(bytes, first),
            Role::Extents(_) => seal_tail(bytes, seed, 12 + usize::from(le16(bytes, 4)) * 12),
            Role::Leaf(_) => {
                let sum = crc(seed, &bytes[..self.block - 12]);
                put_le32(bytes, self.block - 4, sum);
            }
            Role::Index(_, place) => seal_index(bytes, seed, place),
            Role::Attributes => {
                put_le32(bytes, 0x10, 0);
                let sum = crc(seed, bytes);
                put_le32(bytes, 0x10, sum);
            }
            Role::Orphans(_) => {
                let sum = crc(seed, &bytes[..self.block - 8]);
                put_le32(bytes, self.block - 4, sum);
            }
            Role::Journal => seal_journal(bytes),
            Role::BlockBitmap(group) => {
                let sum = crc(seed, &bytes[..self.blocks_per_group / 8]);
                self.note(image, group, (0x18, 0x38), sum);
            }
            Role::InodeBitmap(group) => {
                let sum = crc(seed, &bytes[..self.inodes_per_group as usize / 8]);
                self.note(image, group, (0x1a, 0x3a), sum);
            }
            Role::Superblock | Role::Descriptors => {}
        }
    }

    /// Stores the checksum of a bitmap in its group's descriptor.
    fn note(&self, image: &mut [u8], group: usize, (low, high): (usize, usize), sum: u32) {
        let at = self.descriptor(group);
        put_le16(&mut image[at..], low, sum as u16);
        if self.descriptor_size >= 64 {
            put_le16(&mut image[at..], high, (sum >> 16) as u16);
        }
    }

    fn seal_descriptor(&self, image: &mut [u8], group: usize) {
        let at = self.descriptor(group);
        let raw = &mut image[at..at + self.descriptor_size];
        put_le16(raw, 0x1e, 0);
        let sum = crc(crc(self.seed, &(group as u32).to_le_bytes()), raw);
        put_le16(raw, 0x1e, sum as u16);
    }

    fn seal_inodes(&self, bytes: &mut [u8], first: u32) {
        for (raw, number) in bytes.chunks_exact_mut(self.inode_size).zip(first..) {
            // One that was never used has no checksum.
            if raw.iter().all(|byte| *byte == 0) {
                continue;
            }
            let has_high = self.inode_size > 128 && le16(raw, 0x80) >= 4;
            put_le16(raw, 0x7c, 0);
            if has_high {
                put_le16(raw, 0x82, 0);
            }
            let numbered = crc(self.seed, &number.to_le_bytes());
            let sum = crc(crc(numbered, &raw[0x64..0x68]), raw);
            put_le16(raw, 0x7c, sum as u16);
            if has_high {
                put_le16(raw, 0x82, (sum >> 16) as u16);
            }
        }
    }
}

/// A checksum right behind what it covers.
fn seal_tail(bytes: &mut [u8], seed: u32, tail: usize) {
    if tail + 4 <= bytes.len() {
        let sum = crc(seed, &bytes[..tail]);
        put_le32(bytes, tail, sum);
    }
}

/// A node of a hash tree: its used entries, then the tail's own first half.
fn seal_index(bytes: &mut [u8], seed: u32, place: usize) {
    let (limit, count) = (usize::from(le16(bytes, place)), usize::from(le16(bytes, place + 2)));
    let (used, tail) = (place + count * 8, place + limit * 8);
    if used > bytes.len() || tail + 8 > bytes.len() {
        return;
    }
    let sum = crc(crc(crc(seed, &bytes[..used]), &bytes[tail..tail + 4]), &[0; 4]);
    put_le32(bytes, tail + 4, sum);
}

/// The journal's superblock, whose numbers are big-endian, if it has a checksum.
fn seal_journal(bytes: &mut [u8]) {
    if be32(bytes, 0x28) & 0x18 != 0 {
        bytes[0xfc..0x100].fill(0);
        let sum = crc(!0, &bytes[..1024]);
        bytes[0xfc..0x100].copy_from_slice(&sum.to_be_bytes());
    }
}
