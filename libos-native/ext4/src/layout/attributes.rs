//! Extended attributes as stored: entries from the front, values from the back.
use super::bytes::{put_u16, put_u32, u16_at, u32_at};
use crate::error::Error;
use alloc::vec::Vec;

pub(crate) const MAGIC: u32 = 0xea02_0000;
/// Bytes before the entries in a block.
pub(crate) const BLOCK_HEADER: usize = 32;
/// Bytes before the entries in an inode.
pub(crate) const INODE_HEADER: usize = 4;
const ENTRY: usize = 16;

/// Beginnings of names, and the numbers that stand for them. Those of access control lists are not
/// among them: lists of others stay where they are, unseen, and none can be set.
const PREFIXES: [(u8, &[u8]); 3] = [(1, b"user."), (4, b"trusted."), (6, b"security.")];

/// An attribute; the name is without its prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attribute {
    pub(crate) prefix: u8,
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Splits a full name into the prefix's number and the rest; `NotSupported` for an unknown prefix,
/// `Invalid` for nothing behind it.
pub(crate) fn split_name(full: &[u8]) -> Result<(u8, &[u8]), Error> {
    let found = PREFIXES.iter().find(|(_, prefix)| full.starts_with(prefix));
    let (number, prefix) = found.ok_or(Error::NotSupported)?;
    match &full[prefix.len()..] {
        rest @ [_, ..] if rest.len() <= 255 => Ok((*number, rest)),
        _ => Err(Error::Invalid),
    }
}

/// The full name, if the prefix is known.
pub(crate) fn full_name(attribute: &Attribute) -> Option<Vec<u8>> {
    let found = PREFIXES.iter().find(|(number, _)| *number == attribute.prefix);
    found.map(|(_, prefix)| [prefix, attribute.name.as_slice()].concat())
}

fn padded(len: usize) -> usize {
    len.next_multiple_of(4)
}

/// Bytes that a list takes, without what comes before the entries.
pub(crate) fn space(list: &[Attribute]) -> usize {
    let one = |attribute: &Attribute| {
        ENTRY + padded(attribute.name.len()) + padded(attribute.value.len())
    };
    list.iter().map(one).sum::<usize>() + 4
}

/// Reads a list. `area` begins with the entries at `start`; offsets of values count from `base`.
pub(crate) fn parse(
    area: &[u8],
    start: usize,
    base: usize,
) -> Result<Vec<Attribute>, &'static str> {
    let mut list = Vec::new();
    let mut at = start;
    loop {
        if at + 4 > area.len() {
            return Err("attribute entry");
        }
        if u32_at(area, at) == 0 {
            return Ok(list);
        }
        let name_end = at + ENTRY + usize::from(area[at]);
        if name_end > area.len() {
            return Err("attribute name");
        }
        if u32_at(area, at + 4) != 0 {
            return Err("attribute value in an inode");
        }
        let from = base + usize::from(u16_at(area, at + 2));
        let value = from.checked_add(u32_at(area, at + 8) as usize);
        let value = value.and_then(|end| area.get(from..end)).ok_or("attribute value")?;
        list.push(Attribute {
            prefix: area[at + 1],
            name: area[at + ENTRY..name_end].to_vec(),
            value: value.to_vec(),
        });
        at = padded(name_end - start) + start;
    }
}

/// Writes a list that fits. Entries of a block have hashes and are sorted.
pub(crate) fn store(area: &mut [u8], start: usize, base: usize, list: &[Attribute], hashed: bool) {
    area[start..].fill(0);
    let (mut at, mut end) = (start, area.len());
    for attribute in list {
        end -= padded(attribute.value.len());
        area[at] = attribute.name.len() as u8;
        area[at + 1] = attribute.prefix;
        let offset = if attribute.value.is_empty() { 0 } else { end - base };
        put_u16(area, at + 2, offset as u16);
        put_u32(area, at + 8, attribute.value.len() as u32);
        if hashed {
            put_u32(area, at + 12, entry_hash(attribute));
        }
        let name_end = at + ENTRY + attribute.name.len();
        area[at + ENTRY..name_end].copy_from_slice(&attribute.name);
        area[end..end + attribute.value.len()].copy_from_slice(&attribute.value);
        at = padded(name_end - start) + start;
    }
}

/// The order of entries in a block.
pub(crate) fn sort(list: &mut [Attribute]) {
    list.sort_by(|a, b| {
        let key = |one: &Attribute| (one.prefix, one.name.len());
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
}

fn entry_hash(attribute: &Attribute) -> u32 {
    let name =
        attribute.name.iter().fold(0_u32, |hash, byte| hash << 5 ^ hash >> 27 ^ u32::from(*byte));
    attribute.value.chunks(4).fold(name, |hash, part| {
        let mut word = [0; 4];
        word[..part.len()].copy_from_slice(part);
        hash << 16 ^ hash >> 16 ^ u32::from_le_bytes(word)
    })
}

/// Writes a block's header.
pub(crate) fn store_header(block: &mut [u8], list: &[Attribute]) {
    block[..BLOCK_HEADER].fill(0);
    let mix = |all: u32, one: u32| (one != 0).then_some(all << 16 ^ all >> 16 ^ one);
    let hash = list.iter().map(entry_hash).try_fold(0, mix);
    put_u32(block, 0, MAGIC);
    put_u32(block, 4, 1);
    put_u32(block, 8, 1);
    put_u32(block, 12, hash.unwrap_or(0));
}

#[cfg(test)]
mod tests {
    use super::{Attribute, full_name, parse, space, split_name, store};
    use alloc::vec;
    use alloc::vec::Vec;

    fn sample() -> Vec<Attribute> {
        let one = |name: &[u8], len| Attribute {
            prefix: 1,
            name: name.to_vec(),
            value: vec![len as u8; len],
        };
        vec![one(b"a", 0), one(b"bcd", 5), one(b"name", 17)]
    }

    #[test]
    fn lists_come_back() {
        let list = sample();
        let mut area = vec![0; 4 + space(&list)];
        store(&mut area, 4, 4, &list, false);
        assert_eq!(parse(&area, 4, 4), Ok(list));
    }

    #[test]
    fn names_split_and_join() {
        let (prefix, rest) = split_name(b"user.color").expect("known prefix");
        let attribute = Attribute { prefix, name: rest.to_vec(), value: Vec::new() };
        assert_eq!(full_name(&attribute).expect("known prefix"), b"user.color");
        assert_eq!(split_name(b"user."), Err(crate::Error::Invalid));
        assert_eq!(split_name(b"other.x"), Err(crate::Error::NotSupported));
    }

    #[test]
    fn damage_is_an_error() {
        let list = sample();
        let mut area = vec![0; 4 + space(&list)];
        store(&mut area, 4, 4, &list, false);
        for byte in 4..area.len() {
            let mut bad = area.clone();
            bad[byte] ^= 0xff;
            // Whatever it answers, it stays inside the area.
            assert!(parse(&bad, 4, 4).map_or(true, |list| list.len() < area.len()));
        }
    }
}
