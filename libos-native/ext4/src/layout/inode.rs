//! Inodes as stored.
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::checksum::crc32c;

/// The root directory's number.
pub(crate) const ROOT: u32 = 2;
/// Bytes of block map (or of a short symbolic link's target) in an inode.
pub(crate) const MAP_SIZE: usize = 60;
/// Bytes of an inode that every file system has.
pub(crate) const BASE_SIZE: usize = 128;

/// Inode flags (`FS_*_FL`).
pub(crate) mod flags {
    /// The directory has a hash tree.
    pub(crate) const INDEX: u32 = 0x1000;
    /// `i_blocks` counts file system blocks.
    pub(crate) const HUGE_FILE: u32 = 0x4_0000;
    /// The block map is an extent tree.
    pub(crate) const EXTENTS: u32 = 0x8_0000;
    /// The contents are in the inode.
    pub(crate) const INLINE_DATA: u32 = 0x1000_0000;
}

/// A point in time: seconds and nanoseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds after that second, below 10^9.
    pub nanoseconds: u32,
}

impl Time {
    fn parse(seconds: u32, extra: u32) -> Self {
        let epoch = i64::from(extra & 3) << 32;
        let nanoseconds = (extra >> 2).min(999_999_999);
        Self { seconds: i64::from(seconds as i32) + epoch, nanoseconds }
    }

    /// The low 32 bits, and the word with epoch and nanoseconds.
    fn split(self) -> (u32, u32) {
        let limited = self.seconds.clamp(-0x8000_0000, 0x3_7fff_ffff);
        let epoch = ((limited - i64::from(limited as i32)) >> 32) as u32 & 3;
        (limited as u32, self.nanoseconds << 2 | epoch)
    }
}

/// What an inode is, by the type bits of its mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum FileKind {
    /// A named pipe.
    Fifo = 1,
    /// A device of characters.
    CharacterDevice = 2,
    /// A directory.
    Directory = 4,
    /// A device of blocks.
    BlockDevice = 6,
    /// A regular file.
    Regular = 8,
    /// A symbolic link.
    Symlink = 10,
    /// A socket's name.
    Socket = 12,
}

impl FileKind {
    /// The kind that a mode's type bits name.
    #[must_use]
    pub const fn from_mode(mode: u16) -> Option<Self> {
        Some(match mode >> 12 {
            1 => Self::Fifo,
            2 => Self::CharacterDevice,
            4 => Self::Directory,
            6 => Self::BlockDevice,
            8 => Self::Regular,
            10 => Self::Symlink,
            12 => Self::Socket,
            _ => return None,
        })
    }

    /// The type bits of a mode.
    #[must_use]
    pub const fn mode_bits(self) -> u16 {
        (self as u16) << 12
    }
}

/// An inode's fields.
#[derive(Clone, Debug, Default)]
pub(crate) struct Inode {
    pub(crate) number: u32,
    /// Where checksums of what belongs to it begin.
    pub(crate) seed: u32,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    pub(crate) links: u16,
    /// In units of 512 bytes.
    pub(crate) sectors: u64,
    pub(crate) flags: u32,
    pub(crate) generation: u32,
    pub(crate) accessed: Time,
    pub(crate) changed: Time,
    pub(crate) modified: Time,
    pub(crate) created: Time,
    /// Time of deletion, or the next inode of the orphan list.
    pub(crate) deleted: u32,
    /// The block of extended attributes, or 0.
    pub(crate) attributes: u64,
    /// Bytes of the inode after the first 128 that hold fields.
    pub(crate) extra_size: u16,
    pub(crate) map: Map,
}

/// The 60 bytes of block map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map(pub(crate) [u8; MAP_SIZE]);

impl Default for Map {
    fn default() -> Self {
        Self([0; MAP_SIZE])
    }
}

/// What the file system says about the encoding of inodes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding {
    pub(crate) block_size: usize,
    pub(crate) huge_file: bool,
    /// The file system's checksum seed.
    pub(crate) seed: u32,
}

fn extra_at(bytes: &[u8], extra_size: u16, at: usize) -> u32 {
    let end = BASE_SIZE + usize::from(extra_size);
    if at + 4 <= end { u32_at(bytes, at) } else { 0 }
}

fn put_extra(bytes: &mut [u8], extra_size: u16, at: usize, value: u32) {
    if at + 4 <= BASE_SIZE + usize::from(extra_size) {
        put_u32(bytes, at, value);
    }
}

impl Inode {
    /// Reads an inode; the slice is as long as inodes are.
    pub(crate) fn parse(bytes: &[u8], number: u32, encoding: Encoding) -> Self {
        let extra_size = extra_size(bytes);
        let extra = |at| extra_at(bytes, extra_size, at);
        let mode = u16_at(bytes, 0);
        let flags = u32_at(bytes, 0x20);
        let mut map = Map::default();
        map.0.copy_from_slice(&bytes[0x28..0x28 + MAP_SIZE]);
        let generation = u32_at(bytes, 0x64);
        Self {
            number,
            seed: seed(encoding.seed, number, generation),
            mode,
            uid: u32::from(u16_at(bytes, 0x78)) << 16 | u32::from(u16_at(bytes, 0x2)),
            gid: u32::from(u16_at(bytes, 0x7a)) << 16 | u32::from(u16_at(bytes, 0x18)),
            size: u64::from(u32_at(bytes, 0x6c)) << 32 | u64::from(u32_at(bytes, 0x4)),
            links: u16_at(bytes, 0x1a),
            sectors: sectors(bytes, flags, encoding),
            flags,
            generation,
            accessed: Time::parse(u32_at(bytes, 0x8), extra(0x8c)),
            changed: Time::parse(u32_at(bytes, 0xc), extra(0x84)),
            modified: Time::parse(u32_at(bytes, 0x10), extra(0x88)),
            created: Time::parse(extra(0x90), extra(0x94)),
            deleted: u32_at(bytes, 0x14),
            attributes: u64::from(u16_at(bytes, 0x76)) << 32 | u64::from(u32_at(bytes, 0x68)),
            extra_size,
            map,
        }
    }

    /// Stores the fields; what is not a field here (attributes in the inode, the time of deletion)
    /// stays.
    pub(crate) fn store(&self, bytes: &mut [u8], encoding: Encoding) {
        put_u16(bytes, 0, self.mode);
        put_u16(bytes, 0x2, self.uid as u16);
        put_u32(bytes, 0x4, self.size as u32);
        put_u16(bytes, 0x18, self.gid as u16);
        put_u16(bytes, 0x1a, self.links);
        put_u32(bytes, 0x64, self.generation);
        put_u32(bytes, 0x68, self.attributes as u32);
        put_u32(bytes, 0x6c, (self.size >> 32) as u32);
        put_u16(bytes, 0x76, (self.attributes >> 32) as u16);
        put_u16(bytes, 0x78, (self.uid >> 16) as u16);
        put_u16(bytes, 0x7a, (self.gid >> 16) as u16);
        bytes[0x28..0x28 + MAP_SIZE].copy_from_slice(&self.map.0);
        self.store_sectors(bytes, encoding);
        if bytes.len() > BASE_SIZE {
            put_u16(bytes, 0x80, self.extra_size);
        }
        self.store_times(bytes);
    }

    fn store_times(&self, bytes: &mut [u8]) {
        let base =
            [(0x8, 0x8c, self.accessed), (0xc, 0x84, self.changed), (0x10, 0x88, self.modified)];
        for (low, high, time) in base {
            let (seconds, extra) = time.split();
            put_u32(bytes, low, seconds);
            put_extra(bytes, self.extra_size, high, extra);
        }
        let (seconds, extra) = self.created.split();
        put_extra(bytes, self.extra_size, 0x90, seconds);
        put_extra(bytes, self.extra_size, 0x94, extra);
    }

    fn store_sectors(&self, bytes: &mut [u8], encoding: Encoding) {
        let fits = self.sectors < 1 << 32 || (encoding.huge_file && self.sectors < 1 << 48);
        let per_block = (encoding.block_size / 512) as u64;
        let (flags, count) = if fits {
            (self.flags & !flags::HUGE_FILE, self.sectors)
        } else {
            (self.flags | flags::HUGE_FILE, self.sectors / per_block)
        };
        put_u32(bytes, 0x20, flags);
        put_u32(bytes, 0x1c, count as u32);
        if encoding.huge_file {
            put_u16(bytes, 0x74, (count >> 32) as u16);
        }
    }

    pub(crate) fn kind(&self) -> Option<FileKind> {
        FileKind::from_mode(self.mode)
    }

    pub(crate) fn is(&self, kind: FileKind) -> bool {
        self.kind() == Some(kind)
    }

    pub(crate) fn has(&self, flag: u32) -> bool {
        self.flags & flag != 0
    }

    /// Major and minor number of a device node.
    pub(crate) fn device(&self) -> (u32, u32) {
        let old = u32_at(&self.map.0, 0);
        if old != 0 {
            return (old >> 8 & 0xff, old & 0xff);
        }
        let new = u32_at(&self.map.0, 4);
        (new >> 8 & 0xfff, new & 0xff | new >> 12 & 0xf_ff00)
    }

    pub(crate) fn set_device(&mut self, major: u32, minor: u32) {
        self.map = Map::default();
        if major < 256 && minor < 256 {
            put_u32(&mut self.map.0, 0, major << 8 | minor);
        } else {
            let word = minor & 0xff | (major & 0xfff) << 8 | (minor & 0xf_ff00) << 12;
            put_u32(&mut self.map.0, 4, word);
        }
    }
}

/// Bytes after the first 128 that hold fields, within the inode.
fn extra_size(bytes: &[u8]) -> u16 {
    if bytes.len() <= BASE_SIZE {
        return 0;
    }
    let size = u16_at(bytes, 0x80);
    if usize::from(size) + BASE_SIZE <= bytes.len() { size & !3 } else { 0 }
}

fn sectors(bytes: &[u8], flags: u32, encoding: Encoding) -> u64 {
    let high = if encoding.huge_file { u16_at(bytes, 0x74) } else { 0 };
    let count = u64::from(high) << 32 | u64::from(u32_at(bytes, 0x1c));
    let in_blocks = encoding.huge_file && flags & flags::HUGE_FILE != 0;
    if in_blocks { count * (encoding.block_size / 512) as u64 } else { count }
}

/// Sets the time of deletion, or the next inode of the orphan list.
pub(crate) fn set_deleted(bytes: &mut [u8], value: u32) {
    put_u32(bytes, 0x14, value);
}

/// The seed of everything that belongs to an inode.
pub(crate) fn seed(file_system: u32, number: u32, generation: u32) -> u32 {
    crc32c(crc32c(file_system, &number.to_le_bytes()), &generation.to_le_bytes())
}

const CHECKSUM_LOW: usize = 0x7c;
const CHECKSUM_HIGH: usize = 0x82;

fn has_high(bytes: &[u8]) -> bool {
    bytes.len() > BASE_SIZE && u16_at(bytes, 0x80) >= 4
}

fn checksum(bytes: &[u8], file_system: u32, number: u32) -> u32 {
    let start = seed(file_system, number, u32_at(bytes, 0x64));
    let zero = [0; 2];
    let crc = crc32c(crc32c(start, &bytes[..CHECKSUM_LOW]), &zero);
    let crc = crc32c(crc, &bytes[CHECKSUM_LOW + 2..BASE_SIZE]);
    if !has_high(bytes) {
        return crc32c(crc, &bytes[BASE_SIZE..]);
    }
    let crc = crc32c(crc32c(crc, &bytes[BASE_SIZE..CHECKSUM_HIGH]), &zero);
    crc32c(crc, &bytes[CHECKSUM_HIGH + 2..])
}

/// Brings the checksum of a raw inode up to date.
pub(crate) fn seal(bytes: &mut [u8], file_system: u32, number: u32) {
    let crc = checksum(bytes, file_system, number);
    put_u16(bytes, CHECKSUM_LOW, crc as u16);
    if has_high(bytes) {
        put_u16(bytes, CHECKSUM_HIGH, (crc >> 16) as u16);
    }
}

/// Whether the checksum of a raw inode is right.
pub(crate) fn is_intact(bytes: &[u8], file_system: u32, number: u32) -> bool {
    let crc = checksum(bytes, file_system, number);
    let low = u16_at(bytes, CHECKSUM_LOW) == crc as u16;
    low && (!has_high(bytes) || u16_at(bytes, CHECKSUM_HIGH) == (crc >> 16) as u16)
}

#[cfg(test)]
mod tests {
    use super::{Inode, Time};

    #[test]
    fn times_survive_both_ends_of_their_range() {
        for seconds in [-0x8000_0000, -1, 0, 0x7fff_ffff, 0x8000_0000, 0x3_7fff_ffff] {
            let time = Time { seconds, nanoseconds: 999_999_999 };
            let (low, extra) = time.split();
            assert_eq!(Time::parse(low, extra), time);
        }
    }

    #[test]
    fn device_numbers_in_both_encodings() {
        for pair in [(5, 1), (0, 255), (8, 256), (0xfff, 0xf_ffff)] {
            let mut inode = Inode::default();
            inode.set_device(pair.0, pair.1);
            assert_eq!(inode.device(), pair);
        }
    }
}
