//! The rule for a site: what is displaced, or where a jump finds room.
use crate::bytes::Bytes;
use crate::decode::{Flow, Instruction, decode};
use crate::trampoline::{SLOT_SIZE, TAIL_LENGTH};
use crate::{PAGE_SIZE, Refusal};
use alloc::vec::Vec;

/// The instruction that sites are.
pub const SYSCALL: [u8; 2] = [0x0F, 0x05];
/// Its length.
pub const SYSCALL_LENGTH: u64 = SYSCALL.len() as u64;
/// Longest function that is decoded.
pub const FUNCTION_MAX: u64 = 64 * 1024;
/// `jmp` with a distance of four bytes.
pub(crate) const JUMP_LENGTH: usize = 5;
/// Loads of 15 to rax.
const SIGNAL_RETURNS: [&[u8]; 2] = [&[0xB8, 15, 0, 0, 0], &[0x48, 0xC7, 0xC0, 15, 0, 0, 0]];

/// Bytes of a program, and where they are.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Address of the first.
    pub address: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Code<'_> {
    fn end(&self) -> u64 {
        self.address.saturating_add(self.bytes.len() as u64)
    }
}

/// How the jump gets its room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It takes the place of an instruction before the site. What stands between them stays, and is done by the trampoline.
    Before,
    /// It stands in padding at this address, and the site is a short jump there.
    Padding(u64),
}

/// What is to be done with a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The rule.
    pub rule: Rule,
    /// Address of the `syscall` instruction.
    pub site: u64,
    /// What the trampoline does: the displaced instruction, and all up to the site; nothing when there is padding.
    pub displaced: Vec<u8>,
    /// Bytes of the displaced instruction itself.
    pub first: usize,
    /// Where distances relative to rip are, each with the end of its instruction.
    pub(crate) relative: Vec<(usize, usize)>,
    /// Bytes of padding that are taken.
    pub(crate) padding: usize,
}

impl Plan {
    /// Where a thread goes on that was put back before the displaced instruction.
    #[must_use]
    pub fn start(&self) -> u64 {
        self.site - self.displaced.len() as u64
    }
}

/// Most bytes before a site that a trampoline has room for.
const DISPLACED_MAX: u64 = (SLOT_SIZE - TAIL_LENGTH) as u64;

/// What decoding a function found about a site.
struct Findings {
    /// The instructions before it, each with its address, from the last one on that does not go on to the next.
    before: Vec<(u64, Instruction)>,
    /// Where direct branches near it lead.
    targets: Vec<u64>,
}

/// Chooses a rule for a site in a function; `gaps` are the bytes between functions near it.
///
/// # Errors
/// Why there is none.
pub fn plan(function: Code<'_>, gaps: &[Code<'_>], site: u64) -> Result<Plan, Refusal> {
    let found = scan(function, site)?;
    let bytes = |start: u64| {
        &function.bytes[(start - function.address) as usize..(site - function.address) as usize]
    };
    if found.before.last().is_some_and(|(start, _)| SIGNAL_RETURNS.contains(&bytes(*start))) {
        return Err(Refusal::SignalReturn);
    }
    // Nobody may jump into the middle of what changes.
    let is_entered =
        |from: u64, to: u64| found.targets.iter().any(|at| (from + 1..to).contains(at));
    let movable = found.before.iter().rev().take_while(|(start, instruction)| {
        site - start <= DISPLACED_MAX && is_movable(bytes(*start), *instruction)
    });
    let displaced = movable.clone().find(|(start, instruction)| {
        instruction.length >= JUMP_LENGTH
            && in_one_page(*start, site + SYSCALL_LENGTH)
            && !is_entered(*start, start + instruction.length as u64)
    });
    if let Some((start, first)) = displaced {
        let relative = movable.take_while(|(address, _)| address >= start);
        let relative = relative.filter_map(|(address, instruction)| {
            let offset = (address - start) as usize;
            Some((offset + instruction.relative_at?, offset + instruction.length))
        });
        return Ok(Plan {
            rule: Rule::Before,
            site,
            displaced: bytes(*start).to_vec(),
            first: first.length,
            relative: relative.collect(),
            padding: 0,
        });
    }
    if !in_one_page(site, site + SYSCALL_LENGTH) || is_entered(site, site + SYSCALL_LENGTH) {
        return Err(Refusal::NoRoom);
    }
    let (stub, padding) = gaps.iter().find_map(|gap| room(*gap, site)).ok_or(Refusal::NoRoom)?;
    let (displaced, relative) = (Vec::new(), Vec::new());
    Ok(Plan { rule: Rule::Padding(stub), site, displaced, first: 0, relative, padding })
}

/// Whether an instruction does the same elsewhere. An address size of 32 bits would wrap a distance to rip.
fn is_movable(bytes: &[u8], instruction: Instruction) -> bool {
    let bytes = &bytes[..instruction.length];
    instruction.relative_at.is_none() || !bytes.contains(&0x67)
}

fn in_one_page(start: u64, end: u64) -> bool {
    start / PAGE_SIZE == (end - 1) / PAGE_SIZE
}

/// Decodes a whole function.
fn scan(function: Code<'_>, site: u64) -> Result<Findings, Refusal> {
    let is_inside =
        function.address <= site && site.saturating_add(SYSCALL_LENGTH) <= function.end();
    if !is_inside {
        return Err(Refusal::NotThere);
    }
    if function.bytes.len() as u64 > FUNCTION_MAX {
        return Err(Refusal::Undecodable);
    }
    let near = site.saturating_sub(DISPLACED_MAX)..site + SYSCALL_LENGTH;
    let mut found = Findings { before: Vec::new(), targets: Vec::new() };
    let (mut at, mut is_met) = (function.address, false);
    while at < function.end() {
        let rest = &function.bytes[(at - function.address) as usize..];
        let Some(instruction) = decode(rest) else { return Err(Refusal::Undecodable) };
        if at == site {
            is_met = rest.starts_with(&SYSCALL) && instruction.length == SYSCALL.len();
        }
        match instruction.flow {
            Flow::Next if at < site => found.before.push((at, instruction)),
            _ if at < site => found.before.clear(),
            _ => {}
        }
        at += instruction.length as u64;
        if let Flow::Relative(distance) = instruction.flow {
            let target = at.wrapping_add_signed(distance.into());
            if near.contains(&target) {
                found.targets.push(target);
            }
        }
    }
    if is_met { Ok(found) } else { Err(Refusal::NotThere) }
}

/// Where in a gap there is room for a jump that the site reaches: address and bytes. The gap is nothing but padding, and jumps
/// that stand there for other sites.
fn room(gap: Code<'_>, site: u64) -> Option<(u64, usize)> {
    let mut found = None;
    let (mut start, mut at) = (gap.address, gap.address);
    while at < gap.end() {
        let instruction = decode(&gap.bytes[(at - gap.address) as usize..])?;
        at += instruction.length as u64;
        match instruction.flow {
            _ if instruction.is_padding => {}
            Flow::Relative(_) if instruction.length == JUMP_LENGTH => {
                start = at;
                continue;
            }
            _ => return None,
        }
        let length = at - start;
        if found.is_none() && length >= JUMP_LENGTH as u64 {
            if reaches(site, start) && in_one_page(start.min(site), at.max(site + SYSCALL_LENGTH)) {
                found = Some((start, length as usize));
            }
            start = at;
        }
    }
    found
}

/// Whether a short jump at `site` reaches an address.
fn reaches(site: u64, address: u64) -> bool {
    short_distance(site, address).is_some()
}

pub(crate) fn short_distance(site: u64, address: u64) -> Option<i8> {
    let distance = address.wrapping_sub(site + SYSCALL_LENGTH).cast_signed();
    i8::try_from(distance).ok()
}

/// The distance at `at` of an instruction, which [`decode`] found there.
pub(crate) fn distance_at(displaced: &[u8], at: usize) -> Option<i32> {
    displaced.i32(at)
}

#[cfg(test)]
mod tests;
