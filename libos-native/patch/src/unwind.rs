//! `.eh_frame`: which functions there are (Linux Standard Base, core, chapter 10; DWARF 5, 6.4.1).
use crate::bytes::Bytes;
use crate::functions::Function;
use alloc::vec::Vec;
use core::ops::Range;

/// Encodings of pointers: the format below, the meaning above.
const ABSOLUTE: u8 = 0x00;
const RELATIVE: u8 = 0x10;
/// An encoding that says that there is no pointer.
const OMITTED: u8 = 0xFF;

/// What the functions of a common entry share.
#[derive(Clone, Copy)]
struct Common {
    offset: usize,
    encoding: u8,
    is_signal: bool,
}

/// Functions that overlap `near`; `address` is that of the section. What is not understood is left out.
pub(crate) fn functions(table: &[u8], address: u64, near: &Range<u64>) -> Vec<Function> {
    let mut found = Vec::new();
    let mut commons: Vec<Common> = Vec::new();
    let mut at = 0;
    while let Some(length) = table.u32(at) {
        let start = at + 4;
        // Zero ends the table; all ones begin an entry of more than 4 GiB.
        let Some(entry) = table.part(start, length as usize).filter(|entry| entry.len() >= 4)
        else {
            break;
        };
        match entry.u32(0) {
            Some(0) => commons.extend(common(entry, at)),
            Some(back) => {
                let offset = start.wrapping_sub(back as usize);
                // The entry belongs to the last one mostly.
                let common = commons.iter().rev().find(|common| common.offset == offset);
                let range = common.and_then(|common| {
                    let at = address.wrapping_add(start as u64 + 4);
                    range(&entry[4..], at, common.encoding)
                });
                if let (Some(range), Some(common)) = (range, common)
                    && range.start < near.end
                    && near.start < range.end
                {
                    found.push(Function { range, is_signal: common.is_signal });
                }
            }
            None => break,
        }
        at = start + length as usize;
    }
    found
}

/// Addresses of a function; `address` is where the first field is.
fn range(entry: &[u8], address: u64, encoding: u8) -> Option<Range<u64>> {
    let (start, size) = number(entry, encoding)?;
    let start = match encoding & 0x70 {
        ABSOLUTE => start,
        RELATIVE => start.wrapping_add(address),
        _ => return None,
    };
    let (length, _) = number(entry.get(size..)?, encoding & 0x0F)?;
    // Lengths have no sign, whatever the encoding.
    let length = if size == 4 { length & 0xFFFF_FFFF } else { length };
    Some(start..start.checked_add(length)?)
}

fn number(bytes: &[u8], encoding: u8) -> Option<(u64, usize)> {
    match encoding & 0x0F {
        0x03 => Some((bytes.u32(0)?.into(), 4)),
        0x0B => Some((i64::from(bytes.i32(0)?).cast_unsigned(), 4)),
        0x00 | 0x04 | 0x0C => Some((bytes.u64(0)?, 8)),
        _ => None,
    }
}

/// A common entry; `entry` starts at its number, which is zero.
fn common(entry: &[u8], offset: usize) -> Option<Common> {
    let version = entry.u8(4)?;
    let text = entry.get(5..)?;
    let text = &text[..text.iter().position(|byte| *byte == 0)?];
    let mut at = 5 + text.len() + 1;
    let mut found = Common { offset, encoding: ABSOLUTE, is_signal: false };
    let Some((b'z', letters)) = text.split_first() else {
        return text.is_empty().then_some(found);
    };
    // Alignments of code and data, the column of the return address, the length of what follows.
    skip_number(entry, &mut at)?;
    skip_number(entry, &mut at)?;
    if version == 1 {
        at += 1;
    } else {
        skip_number(entry, &mut at)?;
    }
    skip_number(entry, &mut at)?;
    for letter in letters {
        match letter {
            b'L' => at += 1,
            b'R' => {
                found.encoding = entry.u8(at)?;
                at += 1;
            }
            b'P' => {
                let encoding = entry.u8(at)?;
                at += 1;
                if encoding != OMITTED {
                    at += number(entry.get(at..)?, encoding)?.1;
                }
            }
            b'S' => found.is_signal = true,
            b'B' => {}
            _ => return None,
        }
    }
    Some(found)
}

/// Past a number of variable length.
fn skip_number(bytes: &[u8], at: &mut usize) -> Option<()> {
    while bytes.u8(*at)? & 0x80 != 0 {
        *at += 1;
    }
    *at += 1;
    Some(())
}
